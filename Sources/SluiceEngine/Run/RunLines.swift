package import SluiceCore
import SluiceIO

extension RunReader {
    /// The lines of one of the result's files, such as picks or quarantine, one after another; nil if the run wrote none.
    package func lines(of name: String) throws -> RunLines? {
        guard manifest.outputNames.contains(name) else { return nil }
        return try RunLines(file(name), fileSystem)
    }
}

/// The lines of a file of a result. Memory: the longest line twice, at least 512 KiB.
package final class RunLines {
    private let cursor: LineCursor

    fileprivate init(_ path: String, _ fileSystem: FileSystem) throws {
        do throws(IOFailure) { cursor = try LineCursor(path, fileSystem) } catch { throw EngineError(error) }
    }

    /// The next line; nil at the end.
    package func next() throws -> JSONValue? {
        do {
            guard let line = try cursor.next() else { return nil }
            return try JSONValue(json: Array(line))
        } catch let failure as IOFailure {
            throw EngineError(failure)
        } catch {
            throw EngineError(
                .data, "\(cursor.path): a line is damaged (\(error)); `sluice verify` shows what was changed")
        }
    }
}
