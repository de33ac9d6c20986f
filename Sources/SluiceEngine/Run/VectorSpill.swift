import SluiceIO

/// Vectors on disk, row after row, in a file without a name that is gone with the process.
///
/// For vectors of which there may be more than memory. Not thread-safe.
package final class VectorSpill {
    package let dimension: Int
    package private(set) var rows = 0
    private let file: UnnamedFile
    private var isFlushed = true

    /// The bytes that it holds in memory, with a buffer of the usual size.
    package static let memory = 2 << 20

    /// - Throws: `EngineError` with code `.resources` if there is no folder for temporary files.
    package init(dimension: Int, bufferBytes: Int = memory / 2) throws(EngineError) {
        self.dimension = dimension
        do throws(IOFailure) { file = try UnnamedFile(bufferBytes: bufferBytes) } catch { throw EngineError(error) }
    }

    /// Adds a row.
    package func append(_ vector: ArraySlice<Int8>) throws(EngineError) {
        do { try vector.withUnsafeBytes { try file.append($0) } } catch { throw EngineError(any: error) }
        rows += 1
        isFlushed = false
    }

    /// The rows of a range, row after row.
    package func read(_ range: Range<Int>) throws(EngineError) -> [Int8] {
        var vectors = [Int8](repeating: 0, count: range.count * dimension)
        do {
            if !isFlushed { try file.flush() }
            isFlushed = true
            let start = UInt64(range.lowerBound * dimension)
            let got = try vectors.withUnsafeMutableBytes { try file.read(into: $0, at: start) }
            guard got == vectors.count else { throw EngineError(.resources, "a temporary file was cut short") }
        } catch {
            throw EngineError(any: error)
        }
        return vectors
    }

    /// The rows with these numbers, in their order.
    package func gather(_ numbers: some Sequence<Int>) throws(EngineError) -> [Int8] {
        var vectors: [Int8] = []
        for number in numbers { vectors += try read(number..<(number + 1)) }
        return vectors
    }
}
