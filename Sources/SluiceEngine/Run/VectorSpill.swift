import Glibc
import SluiceIO

/// Vectors on disk, row after row, in a file without a name that is gone with the process.
///
/// For vectors of which there may be more than memory. Not thread-safe.
package final class VectorSpill {
    package let dimension: Int
    package private(set) var rows = 0
    private let descriptor: Int32
    private var buffer: [Int8] = []
    private var written = 0
    private static let bufferBytes = 1 << 20

    /// The bytes that it holds in memory.
    package static let memory = 2 * bufferBytes

    /// - Throws: `EngineError` with code `.resources` if there is no folder for temporary files.
    package init(dimension: Int) throws(EngineError) {
        self.dimension = dimension
        let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var name = Array("\(folder)/sluice-XXXXXX".utf8CString)
        descriptor = mkstemp(&name)
        guard descriptor >= 0 else {
            throw EngineError(
                .resources,
                "\(folder), the folder for temporary files, can't be written: \(String(cString: strerror(errno))); name another one in TMPDIR"
            )
        }
        unlink(name)
    }

    deinit { close(descriptor) }

    /// Adds a row.
    package func append(_ vector: ArraySlice<Int8>) throws(EngineError) {
        buffer += vector
        rows += 1
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    private func flush() throws(EngineError) {
        var done = 0
        while done < buffer.count {
            let put = buffer.withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress.map { $0 + done }, $0.count - done, off_t(written + done))
            }
            if put < 0, errno == EINTR { continue }
            guard put > 0 else {
                throw EngineError(
                    .resources,
                    "vectors can't be written to the folder for temporary files: \(String(cString: strerror(errno))); name another one in TMPDIR"
                )
            }
            done += put
        }
        written += done
        buffer.removeAll(keepingCapacity: true)
    }

    /// The rows of a range, row after row.
    package func read(_ range: Range<Int>) throws(EngineError) -> [Int8] {
        if !buffer.isEmpty { try flush() }
        var vectors = [Int8](repeating: 0, count: range.count * dimension)
        var done = 0
        while done < vectors.count {
            let got = vectors.withUnsafeMutableBytes {
                pread(
                    descriptor, $0.baseAddress.map { $0 + done }, $0.count - done,
                    off_t(range.lowerBound * dimension + done))
            }
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { throw EngineError(.resources, "vectors can't be read from the temporary file") }
            done += got
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
