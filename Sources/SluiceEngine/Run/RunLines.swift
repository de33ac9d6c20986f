package import SluiceCore
package import SluiceIO

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

extension InputSpec {
    /// The longest record that is read, and the most blocks.
    private static var mostBytes: Int { 1 << 20 }
    private static var mostBlocks: Int { 64 }

    /// Reads the first records of the first file, as far as they can be read.
    ///
    /// - Parameter most: the most records.
    package func forEachRecordAtTheBeginning(
        most: Int, in store: any InputStore, _ body: (JSONValue) -> Void
    ) throws {
        guard let file = try InputCatalog(self, store: store).files.first, !file.isStream else { return }
        let reader = BlockReader(
            try store.openInput(file.path), limits: FramingLimits(maxRecord: min(maxRecord, Self.mostBytes)))
        let block = RawBlock()
        var left = most
        for _ in 0..<Self.mostBlocks {
            guard left > 0, try reader.next(into: block) else { return }
            for line in block.lines.prefix(left) {
                guard let record = try? JSONValue(json: Array(block.bytes(of: line))) else { continue }
                left -= 1
                body(record)
            }
        }
    }
}
