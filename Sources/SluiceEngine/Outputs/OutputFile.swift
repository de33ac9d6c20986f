package import SluiceCore
import SluiceIO

/// The bytes of one file of the result, appended in order.
///
/// Until `finish` the file has a temporary name. A resumed run truncates it to the last checkpoint and continues it.
final class OutputFile {
    // Used by the ordered steps of a conveyor: one thread at a time.

    /// The content of a frame ends at the first line end at or past this many bytes.
    static let frameBytes = 2 << 20

    let path: String
    let fileSystem: FileSystem
    private let partialPath: String
    /// Nil once it has its final name.
    private var file: OpenFile?
    private var digests = XXHashStream()
    /// The length of the file so far.
    private(set) var count = 0
    /// The ends of the pieces whose writing to disk was started after the last call of `forget`.
    private var flushes = [0]
    private static let flushBytes = 16 << 20

    /// Creates a file.
    init(_ path: String, fileSystem: FileSystem) throws(IOFailure) {
        self.path = path
        self.fileSystem = fileSystem
        partialPath = path + AtomicFile.temporarySuffix
        file = try fileSystem.create(partialPath)
    }

    /// Continues a file after the bytes covered by a checkpoint, which must be unchanged.
    ///
    /// - Parameter check: checks the file, whether it has its final name already or, cut to those bytes, its temporary one.
    init(
        _ path: String, from state: SinkState, fileSystem: FileSystem,
        check: (_ path: String, _ isFinished: Bool) throws(IOFailure) -> Void
    ) throws(IOFailure) {
        self.path = path
        self.fileSystem = fileSystem
        partialPath = path + AtomicFile.temporarySuffix
        count = state.fileBytes
        let isPartial = try fileSystem.status(of: partialPath) != nil
        // Otherwise the run stopped after renaming this file, but before renaming the others.
        let found = isPartial ? partialPath : path
        do throws(IOFailure) {
            if !isPartial, try fileSystem.status(of: path) == nil {
                throw Self.damaged(found, "it is missing, but the checkpoint lists it")
            }
            let opened = try fileSystem.openForUpdating(found)
            try verify(opened, state, found)
            if isPartial {
                try opened.truncate(to: UInt64(count))
                file = consume opened
            }
            try check(found, !isPartial)
        } catch {
            // Report any damage of our own file in the same way.
            guard error.errno == nil else { throw error }
            throw Self.damaged(found, error.found)
        }
    }

    static func damaged(_ path: String, _ found: String) -> IOFailure {
        IOFailure(.corruptWorkFile, path: path, found: found)
    }

    private func verify(_ opened: borrowing OpenFile, _ state: SinkState, _ found: String) throws(IOFailure) {
        guard try opened.status().size >= UInt64(count) else {
            throw Self.damaged(found, "it is shorter than the checkpoint states")
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var at = 0
        while at < count {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, count - at)])
            let got = try opened.read(into: part, at: UInt64(at))
            if got == 0 { break }
            digests.update(UnsafeRawBufferPointer(rebasing: part[..<got]))
            at += got
        }
        guard digest == state.fileDigest else { throw Self.damaged(found, "it differs from what was written") }
    }

    /// XXH3-128 of the bytes of the file.
    var digest: String { hexadecimal(digests.digest128) }

    /// Whether it has its final name.
    var isFinished: Bool { file == nil }

    func append(_ pieces: [UnsafeRawBufferPointer]) throws(IOFailure) {
        try file?.write(pieces, at: UInt64(count))
        for piece in pieces {
            count += piece.count
            digests.update(piece)
        }
        beginFlushing()
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws(IOFailure) {
        try file?.write(bytes, at: UInt64(count))
        count += bytes.count
        digests.update(bytes)
        beginFlushing()
    }

    /// Starts writing to disk during the run, so that the last `flush` waits less.
    ///
    /// By now the piece before the last one is usually on disk, and the system need not keep it in memory: the whole
    /// file then passes through the same few pages, which takes a third of the time that new pages take.
    private func beginFlushing() {
        guard let last = flushes.last, count - last >= Self.flushBytes else { return }
        file?.beginFlushing(UInt64(last)..<UInt64(count))
        flushes.append(count)
        guard flushes.count > 3 else { return }
        file?.forget(UInt64(flushes[0])..<UInt64(flushes[1]))
        flushes.removeFirst()
    }

    /// Appends the first `end` bytes of another file.
    func append(bytesOf path: String, _ end: Int) throws(IOFailure) {
        let source = try fileSystem.openForReading(path)
        guard end <= Int(try source.status().size) else {
            throw Self.damaged(path, "it is shorter than what was written")
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var at = 0
        while at < end {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, end - at)])
            let got = try source.read(into: part, at: UInt64(at))
            guard got > 0 else { throw Self.damaged(path, "it has become shorter") }
            try append(UnsafeRawBufferPointer(rebasing: part[..<got]))
            at += got
        }
    }

    /// Returns once all appended bytes are on disk.
    func flush() throws(IOFailure) { try file?.flush() }

    /// Flushes the file and gives it its final name.
    func finish() throws(IOFailure) {
        guard file != nil else { return }
        try flush()
        file = nil
        try fileSystem.rename(partialPath, to: path)
    }
}

/// The digest as 32 hexadecimal digits.
package func hexadecimal(_ hash: ContentHash) -> String {
    func digits(_ value: UInt64) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: 16 - text.utf8.count) + text
    }
    return digits(hash.high) + digits(hash.low)
}
