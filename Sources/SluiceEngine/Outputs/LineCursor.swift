import Glibc
import SluiceIO

/// Reads a file line by line. Memory: the longest line twice, at least 512 KiB.
final class LineCursor {
    let path: String
    private let source: any ByteSource
    private var buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 512 << 10, alignment: 64)
    /// The place of the next line, and of what has not been searched for its end.
    private var start = 0
    private var scanned = 0
    private var filled = 0
    private var isAtEnd = false

    init(_ path: String, _ fileSystem: FileSystem) throws(IOFailure) {
        self.path = path
        source = try fileSystem.openInput(path)
    }

    deinit { buffer.deallocate() }

    /// The next line with its line end; nil at the end. Valid until the next call.
    func next() throws(IOFailure) -> UnsafeRawBufferPointer? {
        while true {
            if let base = buffer.baseAddress, let found = memchr(base + scanned, 0x0A, filled - scanned) {
                let end = UnsafeRawPointer(found) - UnsafeRawPointer(base) + 1
                defer { (start, scanned) = (end, end) }
                return UnsafeRawBufferPointer(rebasing: buffer[start..<end])
            }
            scanned = filled
            guard !isAtEnd else { return nil }
            makeRoom()
            let count = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            if count == 0 { isAtEnd = true }
            filled += count
        }
    }

    private func makeRoom() {
        let rest = filled - start
        let isTooSmall = rest > buffer.count / 2
        let next =
            isTooSmall ? UnsafeMutableRawBufferPointer.allocate(byteCount: buffer.count * 2, alignment: 64) : buffer
        if let from = buffer.baseAddress, let to = next.baseAddress { memmove(to, from + start, rest) }
        if isTooSmall {
            buffer.deallocate()
            buffer = next
        }
        (start, scanned, filled) = (0, scanned - start, rest)
    }
}
