import SluiceCore
import SluiceIO

/// An output of zstd frames.
///
/// A frame ends at the first line end at or past `OutputFile.frameBytes` of its content, and where a part of the input
/// ends: so the file's content, compressed or not, depends only on its lines and the parts. Frames are compressed in
/// parallel and appended in order. The file ends with a seek table (zstd's seekable format), so a reader finds a line
/// without reading all of them; `zstd -dc` skips it.
final class FrameSink: RecordSink {
    let file: OutputFile
    private(set) var state: SinkState
    let takesFrames = true
    private var frames: [ZstdSeekableWriter.Sizes]
    private var digest: XXHashStream
    private let buffers: ObjectPool<FrameBuffer>

    /// - Parameters:
    ///   - state: that of a checkpoint; nil for a new file.
    ///   - buffers: the source of memory for full frames.
    init(
        _ path: String, from state: SinkState?, buffers: ObjectPool<FrameBuffer>, fileSystem: FileSystem
    ) throws(IOFailure) {
        self.state = state ?? SinkState()
        self.buffers = buffers
        var frames: [ZstdSeekableWriter.Sizes] = []
        var digest = XXHashStream()
        guard let state else {
            file = try OutputFile(path, fileSystem: fileSystem)
            self.frames = frames
            self.digest = consume digest
            return
        }
        file = try OutputFile(path, from: state, fileSystem: fileSystem) { path, isFinished throws(IOFailure) in
            if isFinished {
                try Self.checkEnd(of: path, fileSystem)
            } else {
                frames = try Self.sizes(of: path, fileSystem)
            }
            var content = try Self.add(contentOf: path, to: &digest, fileSystem)
            if !isFinished {
                state.pending.withUnsafeBytes { digest.update($0) }
                content += state.pending.count
            }
            guard content == state.contentBytes else {
                throw OutputFile.damaged(path, "it has \(content) bytes of lines instead of \(state.contentBytes)")
            }
        }
        self.frames = frames
        self.digest = consume digest
    }

    var contentDigest: String { hexadecimal(digest.digest128) }

    // MARK: Resuming

    private static func sizes(
        of path: String, _ fileSystem: FileSystem
    ) throws(IOFailure) -> [ZstdSeekableWriter.Sizes] {
        var sizes: [ZstdSeekableWriter.Sizes] = []
        for frame in try fileSystem.zstdFrames(of: path) {
            guard let size = UInt32(exactly: frame.size), let content = UInt32(exactly: frame.contentSize ?? 0) else {
                throw OutputFile.damaged(path, "a frame has an impossible size")
            }
            sizes.append(ZstdSeekableWriter.Sizes(compressed: size, content: content))
        }
        return sizes
    }

    /// Checks that a file with its final name ends as `finish` ends it: with the seek table.
    private static func checkEnd(of path: String, _ fileSystem: FileSystem) throws(IOFailure) {
        let sizes = try sizes(of: path, fileSystem)
        let end = sizes.reduce(0) { $0 + UInt64($1.compressed) }
        let table = ZstdSeekableWriter.seekTable(sizes)
        let file = try fileSystem.openForReading(path)
        guard try file.status().size == end + UInt64(table.count) else {
            throw OutputFile.damaged(path, "it has another size than was written")
        }
        let found = UnsafeMutableRawBufferPointer.allocate(byteCount: table.count, alignment: 1)
        defer { found.deallocate() }
        guard try file.read(into: found, at: end) == table.count, found.elementsEqual(table) else {
            throw OutputFile.damaged(path, "its seek table differs from what was written")
        }
    }

    /// - Returns: the unpacked size in bytes.
    private static func add(
        contentOf path: String, to digest: inout XXHashStream, _ fileSystem: FileSystem
    ) throws(IOFailure) -> Int {
        let source = try fileSystem.openInput(path)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var total = 0
        while case let count = try source.read(into: buffer), count > 0 {
            total += count
            digest.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        return total
    }

    // MARK: Adding lines

    func add(_ pieces: [UnsafeRawBufferPointer], lines count: Int, to full: inout [Frame]) {
        guard pieces.contains(where: { !$0.isEmpty }) else { return }
        state.lines += count
        for bytes in pieces {
            state.contentBytes += bytes.count
            fill(bytes, &full)
        }
    }

    private func fill(_ bytes: UnsafeRawBufferPointer, _ full: inout [Frame]) {
        digest.update(bytes)
        var rest = bytes
        let size = OutputFile.frameBytes
        while state.pending.count + rest.count >= size {
            // The frame ends at the first line end at or past its size.
            let from = max(0, size - 1 - state.pending.count)
            guard let end = rest[from...].firstIndex(of: 0x0A) else { break }
            state.pending.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest[...end]))
            endFrame(to: &full)
            state.pending.reserveCapacity(size + (size >> 3))
            rest = UnsafeRawBufferPointer(rebasing: rest[(end + 1)...])
        }
        state.pending.append(contentsOf: rest)
    }

    func take(_ line: inout [UInt8], lines count: Int, to full: inout [Frame]) {
        guard !line.isEmpty, state.pending.count + line.count >= OutputFile.frameBytes else {
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
        full.append(Frame(sink: self, buffer: buffer))
    }

    func endFrame(to full: inout [Frame]) {
        guard !state.pending.isEmpty else { return }
        let buffer = buffers.take()
        swap(&buffer.content, &state.pending)
        full.append(Frame(sink: self, buffer: buffer))
    }

    // MARK: Appending

    func append(lines pieces: [UnsafeRawBufferPointer]) {}

    /// Appends a compressed frame.
    func append(_ buffer: FrameBuffer) throws(IOFailure) {
        if let failure = buffer.failure { throw failure }
        try file.append(buffer.compressed)
        frames.append(
            ZstdSeekableWriter.Sizes(
                compressed: UInt32(buffer.compressed.count), content: UInt32(buffer.content.count)))
    }

    func append(contentsOf path: String, _ facts: OutputFacts) throws(IOFailure) {
        let sizes = try Self.sizes(of: path, file.fileSystem).filter { $0.content > 0 }
        try file.append(bytesOf: path, sizes.reduce(0) { $0 + Int($1.compressed) })
        let content = try ContentFacts(of: path, fileSystem: file.fileSystem) { [self] in digest.update($0) }
        guard OutputFacts(lines: content.lines, bytes: content.bytes, digest: content.hash) == facts else {
            throw OutputFile.damaged(path, "it differs from what was written")
        }
        frames += sizes
        state.lines += facts.lines
        state.contentBytes += facts.bytes
    }

    /// Writes the remaining lines and the seek table.
    func finish(_ compressor: FrameCompressor) throws(IOFailure) {
        guard !file.isFinished else { return }
        if !state.pending.isEmpty || frames.isEmpty {
            let last = FrameBuffer()
            last.content = state.pending
            last.compress(with: compressor)
            try append(last)
        }
        let table = ZstdSeekableWriter.seekTable(frames)
        try table.span.bytes.withUnsafeBytes { bytes throws(IOFailure) in try file.append(bytes) }
        try file.finish()
    }
}
