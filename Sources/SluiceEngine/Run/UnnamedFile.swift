import Glibc
import SluiceIO

/// A temporary file that the system removes with the process, however that ends.
final class UnnamedFile: @unchecked Sendable {
    // @unchecked: one thread writes; others read only after its last `flush`.
    private let descriptor: Int32
    private let folder: String
    private var buffer: [UInt8] = []
    private let bufferBytes: Int
    private(set) var size: UInt64 = 0

    /// - Parameter bufferBytes: what is collected before it is written.
    init(bufferBytes: Int = 1 << 20) throws(IOFailure) {
        self.bufferBytes = bufferBytes
        folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var path = Array("\(folder)/sluice-XXXXXX".utf8CString)
        descriptor = mkstemp(&path)
        guard descriptor >= 0, fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else {
            throw IOFailure(
                .cannotWrite, path: folder, errno: errno,
                found: "no temporary file could be made: \(String(cString: strerror(errno)))",
                advice: "Name another folder for temporary files in TMPDIR.")
        }
        unlink(path)
    }

    deinit { close(descriptor) }

    func append(_ bytes: some Sequence<UInt8>) throws(IOFailure) {
        let before = buffer.count
        buffer.append(contentsOf: bytes)
        size += UInt64(buffer.count - before)
        if buffer.count >= bufferBytes { try flush() }
    }

    func flush() throws(IOFailure) {
        var done = 0
        while done < buffer.count {
            let count = buffer[done...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw IOFailure(
                    errno == ENOSPC ? .diskFull : .cannotWrite, path: folder, errno: errno,
                    found: "a temporary file can't be written: \(String(cString: strerror(errno)))",
                    advice: "Name another folder for temporary files in TMPDIR.")
            }
            done += count
        }
        buffer.removeAll(keepingCapacity: true)
    }

    /// Reads what was flushed; fewer bytes than asked for only at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(IOFailure) -> Int {
        var done = 0
        while done < buffer.count {
            let count = pread(
                descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done, off_t(offset) + off_t(done))
            if count == 0 { break }
            if count > 0 {
                done += count
                continue
            }
            guard errno == EINTR else {
                throw IOFailure(
                    .cannotRead, path: folder, errno: errno,
                    found: "a temporary file can't be read: \(String(cString: strerror(errno)))")
            }
        }
        return done
    }
}
