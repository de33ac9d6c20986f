package import SluiceCore
import SluiceIO

/// A frame of an output, not yet written.
struct Frame {
    let stream: OutputStream
    let buffer: FrameBuffer
}

/// The lines of a frame and their compressed form. Reused for later frames, so that the system provides its memory only
/// once.
final class FrameBuffer {
    // Belongs to one frame, and so to one thread at a time.

    var content: [UInt8] = []
    private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var compressedCount = 0
    /// Why it could not be compressed. Frames are compressed in parallel and fail in order, when they are appended.
    private(set) var failure: IOFailure?

    deinit { memory.deallocate() }

    var compressed: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<compressedCount]) }

    func compress(with compressor: FrameCompressor) {
        let bound = FrameCompressor.bound(content.count)
        if memory.count < bound {
            memory.deallocate()
            memory = .allocate(byteCount: bound, alignment: 64)
        }
        do throws(IOFailure) {
            compressedCount = try compressor.compress(content, to: memory)
        } catch {
            failure = error
        }
    }

    /// Prepares it for the next frame; frees the memory that a huge line needed.
    func empty() {
        compressedCount = 0
        content.removeAll(keepingCapacity: content.capacity <= 2 * OutputStream.frameBytes)
        if memory.count > 2 * OutputStream.frameBytes {
            memory.deallocate()
            memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        }
    }
}

extension OutputCompression {
    /// The name of the file of kept records.
    package var keptName: String { self == .zstd ? "kept.jsonl.zst" : "kept.jsonl" }
}

/// One JSON Lines file of the run directory: zstd, written in frames, or uncompressed lines.
///
/// A frame ends at the first line end at or past `frameBytes` of its content, and where a part of the input ends, so the
/// file's content, compressed or not, depends only on its lines and the parts. Frames are compressed in parallel and appended in order. The file ends with a seek table
/// (zstd's seekable format), so a reader finds a line without reading all of them; `zstd -dc` skips it. Without
/// compression a parcel's lines are written directly, without a copy.
///
/// Until `finish` the file has a temporary name. A resumed run truncates it to the last checkpoint and continues it.
final class OutputStream {
    // Used by the ordered steps of a conveyor: one thread at a time.

    static let frameBytes = 2 << 20

    /// The part of a checkpoint that allows the file to be continued.
    struct State: Sendable, Equatable {
        var fileBytes = 0
        /// XXH3-128 of these bytes of the file; set when a checkpoint is written.
        var fileDigest = ""
        var contentBytes = 0
        var lines = 0
        /// Lines not yet in a frame.
        var pending: [UInt8] = []
    }

    let name: String
    let path: String
    let compression: OutputCompression
    private let partialPath: String
    private let fileSystem: FileSystem
    private var file: OpenFile?
    private var frames: [ZstdSeekableWriter.Sizes] = []
    private var digest = XXHashStream()
    private var fileDigests = XXHashStream()
    /// What has been added; without the length of the file, since lines may be appended while others are added.
    private(set) var state = State()
    /// The length of the file so far.
    private(set) var fileBytes = 0
    /// The ends of the pieces whose writing to disk was started after the last call of `forget`.
    private var flushes = [0]
    private static let flushBytes = 16 << 20
    private let buffers: ObjectPool<FrameBuffer>

    var lines: Int { state.lines }
    var contentBytes: Int { state.contentBytes }

    /// - Parameters:
    ///   - checkpoint: the state when the run stopped; nil for a new file.
    ///   - buffers: the source of memory for full frames.
    init(
        name: String, folder: String, compression: OutputCompression, from checkpoint: State? = nil,
        buffers: ObjectPool<FrameBuffer>, fileSystem: FileSystem
    ) throws(IOFailure) {
        self.name = name
        self.compression = compression
        self.buffers = buffers
        path = "\(folder)/\(name)"
        partialPath = path + AtomicFile.temporarySuffix
        self.fileSystem = fileSystem
        guard let checkpoint else {
            file = try fileSystem.create(partialPath)
            return
        }
        state = checkpoint
        fileBytes = checkpoint.fileBytes
        let isPartial = try fileSystem.status(of: partialPath) != nil
        // Otherwise the run stopped after renaming this file, but before renaming the others.
        let found = isPartial ? partialPath : path
        do throws(IOFailure) {
            if !isPartial, try fileSystem.status(of: path) == nil {
                throw Self.damaged(found, "it is missing, but the checkpoint lists it")
            }
            try adopt(found, isPartial: isPartial)
        } catch {
            // Report any damage of our own file in the same way.
            guard error.errno == nil else { throw error }
            throw Self.damaged(found, error.found)
        }
    }

    private static func damaged(_ path: String, _ found: String) -> IOFailure {
        IOFailure(.corruptWorkFile, path: path, found: found)
    }

    /// Continues a file after the bytes covered by the checkpoint, which must be unchanged.
    private func adopt(_ found: String, isPartial: Bool) throws(IOFailure) {
        let opened = try fileSystem.openForUpdating(found)
        guard try opened.status().size >= UInt64(fileBytes) else {
            throw Self.damaged(found, "it is shorter than the checkpoint states")
        }
        try digestFile(opened, UInt64(fileBytes))
        guard fileDigest == state.fileDigest else { throw Self.damaged(found, "it differs from what was written") }
        if isPartial {
            try opened.truncate(to: UInt64(fileBytes))
            file = consume opened
        } else {
            try checkEnd(of: opened, found)
        }
        guard compression == .zstd else { return }
        if isPartial { frames = try frameSizes(of: found) }
        var content = try digestContent(of: found)
        if isPartial {
            state.pending.withUnsafeBytes { digest.update($0) }
            content += state.pending.count
        }
        guard content == state.contentBytes else {
            throw Self.damaged(found, "it has \(content) bytes of lines instead of \(state.contentBytes)")
        }
    }

    private func frameSizes(of path: String) throws(IOFailure) -> [ZstdSeekableWriter.Sizes] {
        var sizes: [ZstdSeekableWriter.Sizes] = []
        for frame in try fileSystem.zstdFrames(of: path) {
            guard let size = UInt32(exactly: frame.size), let content = UInt32(exactly: frame.contentSize ?? 0) else {
                throw Self.damaged(path, "a frame has an impossible size")
            }
            sizes.append(ZstdSeekableWriter.Sizes(compressed: size, content: content))
        }
        return sizes
    }

    /// Checks that a file with its final name ends as `finish` ends it: after its lines, or with the seek table.
    private func checkEnd(of file: borrowing OpenFile, _ path: String) throws(IOFailure) {
        var end = UInt64(fileBytes)
        var table: [UInt8] = []
        if compression == .zstd {
            let sizes = try frameSizes(of: path)
            end = sizes.reduce(0) { $0 + UInt64($1.compressed) }
            table = ZstdSeekableWriter.seekTable(sizes)
        }
        guard try file.status().size == end + UInt64(table.count) else {
            throw Self.damaged(path, "it has another size than was written")
        }
        let found = UnsafeMutableRawBufferPointer.allocate(byteCount: table.count, alignment: 1)
        defer { found.deallocate() }
        guard try file.read(into: found, at: end) == table.count, found.elementsEqual(table) else {
            throw Self.damaged(path, "its seek table differs from what was written")
        }
    }

    private func digestFile(_ file: borrowing OpenFile, _ end: UInt64) throws(IOFailure) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var at: UInt64 = 0
        while at < end {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(UInt64(buffer.count), end - at))])
            let count = try file.read(into: part, at: at)
            if count == 0 { return }
            fileDigests.update(UnsafeRawBufferPointer(rebasing: part[..<count]))
            at += UInt64(count)
        }
    }

    /// XXH3-128 of the bytes of the file.
    var fileDigest: String { hexadecimal(fileDigests.digest128) }

    /// - Returns: the unpacked size in bytes.
    private func digestContent(of path: String) throws(IOFailure) -> Int {
        let source = try fileSystem.openInput(path)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var total = 0
        while true {
            let count = try source.read(into: buffer)
            if count == 0 { return total }
            total += count
            digest.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    /// Counts complete lines and, if they are to be compressed, adds them to frames; full frames go to `full`.
    ///
    /// - Parameters:
    ///   - pieces: each of complete lines.
    ///   - count: the number of lines; those that went to a work file instead don't count.
    func add(_ pieces: [UnsafeRawBufferPointer], lines count: Int, to full: inout [Frame]) {
        guard pieces.contains(where: { !$0.isEmpty }) else { return }
        state.lines += count
        for bytes in pieces {
            state.contentBytes += bytes.count
            if compression == .zstd { fill(bytes, &full) }
        }
    }

    private func fill(_ bytes: UnsafeRawBufferPointer, _ full: inout [Frame]) {
        digest.update(bytes)
        var rest = bytes
        while state.pending.count + rest.count >= Self.frameBytes {
            // The frame ends at the first line end at or past its size.
            let from = max(0, Self.frameBytes - 1 - state.pending.count)
            guard let end = rest[from...].firstIndex(of: 0x0A) else { break }
            state.pending.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest[...end]))
            let buffer = buffers.take()
            swap(&buffer.content, &state.pending)
            full.append(Frame(stream: self, buffer: buffer))
            state.pending.reserveCapacity(Self.frameBytes + (Self.frameBytes >> 3))
            rest = UnsafeRawBufferPointer(rebasing: rest[(end + 1)...])
        }
        state.pending.append(contentsOf: rest)
    }

    /// Makes a frame of the lines that wait for one, if there are any.
    func endFrame(to full: inout [Frame]) {
        guard !state.pending.isEmpty else { return }
        let buffer = buffers.take()
        swap(&buffer.content, &state.pending)
        full.append(Frame(stream: self, buffer: buffer))
    }

    /// Appends lines added before, uncompressed.
    func append(lines pieces: [UnsafeRawBufferPointer]) throws(IOFailure) {
        try file?.write(pieces, at: UInt64(fileBytes))
        for piece in pieces {
            fileBytes += piece.count
            fileDigests.update(piece)
        }
        beginFlushing()
    }

    /// Adds one long line, like `add`. If it fills a frame, its memory is taken over instead of copied.
    func take(_ line: inout [UInt8], lines count: Int, to full: inout [Frame]) {
        guard !line.isEmpty, state.pending.count + line.count >= Self.frameBytes else {
            line.withUnsafeBytes { add([$0], lines: count, to: &full) }
            line = []
            return
        }
        state.lines += count
        state.contentBytes += line.count
        line.withUnsafeBytes { digest.update($0) }
        line.insert(contentsOf: state.pending, at: 0)
        state.pending.removeAll(keepingCapacity: true)
        let buffer = buffers.take()
        buffer.content = line
        line = []
        full.append(Frame(stream: self, buffer: buffer))
    }

    /// Appends a compressed frame.
    func append(_ buffer: FrameBuffer) throws(IOFailure) {
        if let failure = buffer.failure { throw failure }
        try write(buffer.compressed)
        frames.append(
            ZstdSeekableWriter.Sizes(
                compressed: UInt32(buffer.compressed.count), content: UInt32(buffer.content.count)))
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(IOFailure) {
        try file?.write(bytes, at: UInt64(fileBytes))
        fileBytes += bytes.count
        fileDigests.update(bytes)
        beginFlushing()
    }

    /// Starts writing to disk during the run, so that the last `flush` waits less.
    ///
    /// By now the piece before the last one is usually on disk, and the system need not keep it in memory: the whole
    /// file then passes through the same few pages, which takes a third of the time that new pages take.
    private func beginFlushing() {
        guard let last = flushes.last, fileBytes - last >= Self.flushBytes else { return }
        file?.beginFlushing(UInt64(last)..<UInt64(fileBytes))
        flushes.append(fileBytes)
        guard flushes.count > 3 else { return }
        file?.forget(UInt64(flushes[0])..<UInt64(flushes[1]))
        flushes.removeFirst()
    }

    /// What a finished file holds.
    var facts: OutputFacts { OutputFacts(lines: state.lines, bytes: state.contentBytes, digest: contentDigest) }

    /// Appends the frames, or the uncompressed lines, of a file that another stream has finished.
    ///
    /// Cost: reads the file twice, since its content is unpacked, to check it and for the digest of all of them.
    ///
    /// - Throws: `IOFailure` with code `.corruptWorkFile` if it doesn't hold what `facts` say.
    func append(contentsOf path: String, _ facts: OutputFacts) throws(IOFailure) {
        let size = Int(try fileSystem.openForReading(path).status().size)
        var end = facts.bytes
        if compression == .zstd {
            let sizes = try frameSizes(of: path).filter { $0.content > 0 }
            end = sizes.reduce(0) { $0 + Int($1.compressed) }
            frames += sizes
        }
        guard end <= size else { throw Self.damaged(path, "it is shorter than what was written") }
        try appendBytes(of: path, end)
        let content = try ContentFacts(of: path, fileSystem: fileSystem) { [self] in digest.update($0) }
        guard OutputFacts(lines: content.lines, bytes: content.bytes, digest: content.hash) == facts else {
            throw Self.damaged(path, "it differs from what was written")
        }
        state.lines += facts.lines
        state.contentBytes += facts.bytes
    }

    private func appendBytes(of path: String, _ end: Int) throws(IOFailure) {
        let source = try fileSystem.openForReading(path)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var at = 0
        while at < end {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, end - at)])
            let count = try source.read(into: part, at: UInt64(at))
            guard count > 0 else { throw Self.damaged(path, "it has become shorter") }
            try write(UnsafeRawBufferPointer(rebasing: part[..<count]))
            at += count
        }
    }

    /// Returns once all appended bytes are on disk.
    func flush() throws(IOFailure) { try file?.flush() }

    /// Writes the remaining lines and the seek table, and renames the file to its final name.
    func finish(_ compressor: FrameCompressor) throws(IOFailure) {
        guard file != nil else { return }
        if compression == .zstd { try finishFrames(compressor) }
        try flush()
        file = nil
        try fileSystem.rename(partialPath, to: path)
    }

    private func finishFrames(_ compressor: FrameCompressor) throws(IOFailure) {
        if !state.pending.isEmpty || frames.isEmpty {
            let last = FrameBuffer()
            last.content = state.pending
            last.compress(with: compressor)
            try append(last)
        }
        let table = ZstdSeekableWriter.seekTable(frames)
        try table.span.bytes.withUnsafeBytes { bytes throws(IOFailure) in try write(bytes) }
    }

    /// XXH3-128 of the content, uncompressed.
    var contentDigest: String { compression == .zstd ? hexadecimal(digest.digest128) : fileDigest }
}

/// The digest as 32 hexadecimal digits.
package func hexadecimal(_ hash: ContentHash) -> String {
    func digits(_ value: UInt64) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: 16 - text.utf8.count) + text
    }
    return digits(hash.high) + digits(hash.low)
}
