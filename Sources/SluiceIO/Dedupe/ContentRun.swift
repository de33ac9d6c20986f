import CZstd

/// The layout of a run: a work file of zstd frames, each preceded by its two sizes (unpacked, packed) and first key.
///
/// A frame holds contents, each preceded by its key and size. A frame ends before it would exceed the requested size,
/// so a larger content has a frame of its own. Thanks to the key before the frame, a merge of many runs unpacks a frame
/// only when its turn comes.
private enum ContentLayout {
    static let header = Array("SLUICEc1".utf8)
    static let beforeFrame = 16 + ContentKey.size
    static let beforeContent = ContentKey.size + 8
    /// Buffer size for writing and reading a run.
    static let bufferBytes = 16 << 10
}

/// Writes contents in the order of their keys, as a run or as sections of a file.
struct ContentRunWriter<Output: WorkOutput & ~Copyable>: ~Copyable {
    private var file: Output
    private let compressor: FrameCompressor
    private let frameBytes: Int
    private let plain: Scratch
    private let packed: Scratch
    private var used = 0

    init(_ file: consuming Output, frameBytes: Int, compressor: FrameCompressor) {
        self.file = file
        self.compressor = compressor
        self.frameBytes = frameBytes
        plain = Scratch(ContentLayout.beforeFrame + frameBytes)
        packed = Scratch(FrameCompressor.bound(frameBytes))
    }

    /// - Parameter key: at least the previous key.
    mutating func append(_ key: ContentKey, _ content: UnsafeRawBufferPointer) throws(IOFailure) {
        let size = ContentLayout.beforeContent + content.count
        if used > 0, used + size > frameBytes { try endFrame() }
        plain.grow(to: ContentLayout.beforeFrame + used + size, keeping: ContentLayout.beforeFrame + used)
        if used == 0 {
            key.store(in: UnsafeMutableRawBufferPointer(rebasing: plain.bytes[16..<ContentLayout.beforeFrame]))
        }
        let place = UnsafeMutableRawBufferPointer(rebasing: plain.bytes[(ContentLayout.beforeFrame + used)...])
        key.store(in: place)
        place.setWord(ContentKey.size / 8, UInt64(content.count))
        UnsafeMutableRawBufferPointer(rebasing: place[ContentLayout.beforeContent...]).copyMemory(from: content)
        used += size
        file.add(items: 1)
    }

    fileprivate mutating func endFrame() throws(IOFailure) {
        guard used > 0 else { return }
        packed.grow(to: FrameCompressor.bound(used), keeping: 0)
        let content = UnsafeRawBufferPointer(
            rebasing: plain.bytes[ContentLayout.beforeFrame..<(ContentLayout.beforeFrame + used)])
        let size = try compressor.compress(content, to: packed.bytes)
        plain.bytes.setWord(0, UInt64(used))
        plain.bytes.setWord(1, UInt64(size))
        try file.append(UnsafeRawBufferPointer(rebasing: plain.bytes[..<ContentLayout.beforeFrame]))
        try file.append(UnsafeRawBufferPointer(rebasing: packed.bytes[..<size]))
        used = 0
    }

}

extension ContentRunWriter where Output == WorkFileWriter {
    init(_ path: String, frameBytes: Int, compressor: FrameCompressor, fileSystem: FileSystem) throws(IOFailure) {
        let file = try WorkFileWriter(
            path, header: ContentLayout.header, bufferBytes: ContentLayout.bufferBytes, fileSystem: fileSystem)
        self.init(file, frameBytes: frameBytes, compressor: compressor)
    }

    consuming func finish() throws(IOFailure) {
        try endFrame()
        try file.finish()
    }
}

extension ContentRunWriter where Output == SectionFileWriter {
    /// Ends sections until this one is being written.
    mutating func begin(section: Int) throws(IOFailure) {
        guard section > file.section else { return }
        try endFrame()
        try file.begin(section: section)
    }

    consuming func finish() throws(IOFailure) {
        try endFrame()
        try file.finish()
    }
}

/// Reads a run or section of contents; unpacks a frame when its first content is requested.
final class ContentRunReader: MergeSource {
    private let file: any WorkInput
    /// The key of the next content; nil at the end, once the file's checksum has been verified.
    private(set) var head: ContentKey?
    private let frame = Scratch(0)
    /// The offset of the next content in the unpacked frame, which has `end` bytes.
    private var at = 0
    private var end = 0
    /// The sizes of the next frame, unpacked and packed; nil once the frame has been unpacked.
    private var waiting: (plain: Int, packed: Int)?

    init(_ file: any WorkInput) throws(IOFailure) {
        self.file = file
        try advance()
    }

    convenience init(_ path: String, fileSystem: FileSystem) throws(IOFailure) {
        try self.init(
            WorkFileReader(
                path, header: ContentLayout.header, bufferBytes: ContentLayout.bufferBytes, fileSystem: fileSystem))
    }

    /// The content whose key is `head`, valid until `advance()`.
    func content(_ unpacker: FrameUnpacker) throws(IOFailure) -> UnsafeRawBufferPointer {
        if let sizes = waiting { try unpack(sizes, unpacker) }
        guard end - at >= ContentLayout.beforeContent else { throw broken() }
        let bytes = UnsafeRawBufferPointer(rebasing: frame.bytes[at..<end])
        let size = bytes.word(ContentKey.size / 8)
        guard size <= UInt64(bytes.count - ContentLayout.beforeContent) else { throw broken() }
        return UnsafeRawBufferPointer(rebasing: bytes[ContentLayout.beforeContent...].prefix(Int(size)))
    }

    /// Moves to the next content.
    func advance() throws(IOFailure) {
        if end > at {
            let size = UnsafeRawBufferPointer(rebasing: frame.bytes[at..<end]).word(ContentKey.size / 8)
            at += ContentLayout.beforeContent + Int(size)
        }
        if end - at >= ContentLayout.beforeContent {
            head = ContentKey(UnsafeRawBufferPointer(rebasing: frame.bytes[at..<end]))
            return
        }
        guard end == at else { throw broken() }
        // An unusually large frame is used up: release its memory.
        if frame.bytes.count > 1 << 20 { frame.release() }
        (at, end) = (0, 0)
        if try file.isAtEnd() {
            head = nil
            return
        }
        let bytes = try file.next(ContentLayout.beforeFrame)
        head = ContentKey(UnsafeRawBufferPointer(rebasing: bytes[16...]))
        guard let plain = Int(exactly: bytes.word(0)), let packed = Int(exactly: bytes.word(1)),
            plain >= ContentLayout.beforeContent
        else { throw broken() }
        waiting = (plain, packed)
    }

    private func unpack(_ sizes: (plain: Int, packed: Int), _ unpacker: FrameUnpacker) throws(IOFailure) {
        waiting = nil
        guard UInt64(sizes.packed) <= file.remaining else { throw broken() }
        unpacker.packed.grow(to: sizes.packed, keeping: 0)
        var got = 0
        while got < sizes.packed {
            let piece = try file.next(min(ContentLayout.bufferBytes, sizes.packed - got))
            UnsafeMutableRawBufferPointer(rebasing: unpacker.packed.bytes[got...]).copyMemory(from: piece)
            got += piece.count
        }
        let packed = UnsafeRawBufferPointer(rebasing: unpacker.packed.bytes[..<got])
        // Check the size first: a damaged header must not decide how much memory is allocated.
        guard ZSTD_getFrameContentSize(packed.baseAddress, packed.count) == UInt64(sizes.plain) else { throw broken() }
        frame.grow(to: sizes.plain, keeping: 0)
        let content = UnsafeMutableRawBufferPointer(rebasing: frame.bytes[..<sizes.plain])
        guard try unpacker.decompressor.unpack(packed, of: file.path, to: content) else { throw broken() }
        (at, end) = (0, sizes.plain)
    }

    private func broken() -> IOFailure { WorkFooter.broken(file.path, 0, "one of its frames is damaged") }
}

/// Unpacks frames of any number of runs. One per thread.
final class FrameUnpacker {
    fileprivate let decompressor = FrameDecompressor()
    fileprivate let packed = Scratch(0)
}
