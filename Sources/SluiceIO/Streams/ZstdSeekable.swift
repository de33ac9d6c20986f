import CZstd

// zstd's seekable format (contrib/seekable_format in its source): independent frames, then a skippable frame with the
// sizes of all of them. Any zstd program can read such a file sequentially.
private let seekTableMagic: UInt32 = 0x184D_2A5E
private let seekableMagic: UInt32 = 0x8F92_EAB1

/// The size at which frames of a seekable file end.
public let defaultFrameBytes = 2 << 20

/// Writes a `.zst` file of independent frames with a seek table; `finish()` gives the file its name.
///
/// Records given to `append(_:)` form frames that end at the first record end at or past `frameBytes`, so frames depend
/// only on the content. Frames compressed elsewhere, on several threads, can be added in order with
/// `appendFrame(_:contentSize:)`; the same rule then gives the same file.
public final class ZstdSeekableWriter {
    public struct Sizes: Sendable, Equatable {
        public var compressed: UInt32
        public var content: UInt32

        public init(compressed: UInt32, content: UInt32) {
            self.compressed = compressed
            self.content = content
        }
    }

    private var file: AtomicFile?
    private let compressor: FrameCompressor
    private let frameBytes: Int
    private var pending: [UInt8] = []
    private var frame: [UInt8] = []
    /// The frames so far.
    public private(set) var frames: [Sizes] = []
    /// The unpacked size of all frames, without records waiting for a full frame.
    public private(set) var contentBytes: UInt64 = 0
    public private(set) var compressedBytes: UInt64 = 0
    public let path: String

    public init(
        _ path: String, level: Int = 3, frameBytes: Int = defaultFrameBytes, fileSystem: FileSystem = .local
    ) throws(IOFailure) {
        self.path = path
        self.frameBytes = min(max(1, frameBytes), 1 << 29)
        compressor = FrameCompressor(level: level)
        file = try AtomicFile(path, fileSystem: fileSystem)
    }

    /// Adds a record or line, including its line end; frames end only between records.
    public func append(_ record: UnsafeRawBufferPointer) throws(IOFailure) {
        pending.append(contentsOf: record)
        if pending.count >= frameBytes { try endFrame() }
    }

    public func append(_ record: [UInt8]) throws(IOFailure) {
        pending.append(contentsOf: record)
        if pending.count >= frameBytes { try endFrame() }
    }

    private func endFrame() throws(IOFailure) {
        let size = pending.count
        try compressor.compress(pending, into: &frame)
        pending.removeAll(keepingCapacity: true)
        try appendFrame(frame, contentSize: size)
    }

    /// Adds a frame made by a `FrameCompressor` from `contentSize` bytes (below 4 GiB).
    public func appendFrame(_ frame: [UInt8], contentSize: Int) throws(IOFailure) {
        precondition(pending.isEmpty, "a frame can't follow records that wait for theirs")
        try file!.write(frame)
        frames.append(Sizes(compressed: UInt32(frame.count), content: UInt32(contentSize)))
        contentBytes += UInt64(contentSize)
        compressedBytes += UInt64(frame.count)
    }

    /// The skippable frame that ends a seekable file.
    public static func seekTable(_ frames: [Sizes]) -> [UInt8] {
        var table: [UInt8] = []
        func put(_ value: UInt32) { for i in 0..<4 { table.append(UInt8(truncatingIfNeeded: value >> UInt32(8 * i))) } }
        put(seekTableMagic)
        put(UInt32(frames.count * 8 + 9))
        for sizes in frames {
            put(sizes.compressed)
            put(sizes.content)
        }
        put(UInt32(frames.count))
        table.append(0)  // No checksums in the table: the frames have their own.
        put(seekableMagic)
        return table
    }

    /// Writes the seek table and renames the file to its final name. A file without content is an empty frame.
    public func finish() throws(IOFailure) {
        if !pending.isEmpty || frames.isEmpty { try endFrame() }
        let table = Self.seekTable(frames)
        try file!.write(table)
        compressedBytes += UInt64(table.count)
        guard let whole = file.take() else { return }
        try whole.commit()
    }
}

/// Reads any frame of a seekable file, or of any zstd file whose frames state their content size.
///
/// One thread at a time.
public final class ZstdSeekableReader {
    private let file: OpenFile
    private let context: OpaquePointer
    /// The starts of the frames in the file, and the end of the last one.
    private var starts: [UInt64] = [0]
    /// The starts of the frames' contents, and the end of the last one.
    private var contents: [UInt64] = [0]
    private var packed: [UInt8] = []
    public var path: String { file.path }

    public init(_ path: String, fileSystem: FileSystem = .local) throws(IOFailure) {
        file = try fileSystem.openForReading(path)
        context = try makeUnpackingContext(for: path)
        let size = try file.status().size
        if try readTable(size) { return }
        for frame in try fileSystem.zstdFrames(of: path) {
            guard let content = frame.contentSize, frame.size < 1 << 31, content < 1 << 31 else {
                throw IOFailure(
                    .corruptStream, path: path, offset: frame.offset,
                    found: "this file has no seek table and its frames don't state their sizes",
                    advice: "Read it from front to back.")
            }
            // Skippable frames may be in between.
            starts[starts.count - 1] = frame.offset
            starts.append(frame.offset + frame.size)
            contents.append(contents.last! + content)
        }
    }

    deinit { ZSTD_freeDCtx(context) }

    public var frameCount: Int { starts.count - 1 }
    /// The unpacked size of the whole file.
    public var contentSize: UInt64 { contents.last! }

    /// The content of a frame, as a range of the unpacked file.
    public func contentRange(_ frame: Int) -> Range<UInt64> { contents[frame]..<contents[frame + 1] }

    /// The frame that contains a byte of the unpacked file.
    public func frame(holding byte: UInt64) -> Int {
        var low = 0
        var high = frameCount
        while high - low > 1 {
            let middle = (low + high) / 2
            if contents[middle] <= byte { low = middle } else { high = middle }
        }
        return low
    }

    /// Unpacks a frame into `bytes`, replacing their content.
    public func read(frame: Int, into bytes: inout [UInt8]) throws(IOFailure) {
        let size = Int(starts[frame + 1] - starts[frame])
        let wanted = Int(contents[frame + 1] - contents[frame])
        resize(&packed, size)
        resize(&bytes, wanted)
        let at = starts[frame]
        let got = try file.read(into: &packed, at: at)
        let result = packed.withUnsafeBytes { source in
            bytes.withUnsafeMutableBytes {
                ZSTD_decompressDCtx(context, $0.baseAddress, $0.count, source.baseAddress, got)
            }
        }
        guard ZSTD_isError(result) == 0, result == wanted else {
            let words = ZSTD_isError(result) == 0 ? "the size differs" : String(cString: ZSTD_getErrorName(result))
            throw IOFailure(
                .corruptStream, path: path, offset: at, found: "corrupt zstd data in frame \(frame) (\(words))",
                advice: "Copy the file again.")
        }
    }

    private func resize(_ bytes: inout [UInt8], _ count: Int) {
        if bytes.count > count {
            bytes.removeSubrange(count...)
        } else {
            bytes.append(contentsOf: repeatElement(0, count: count - bytes.count))
        }
    }

    /// Reads the seek table; `false` if there is none.
    private func readTable(_ size: UInt64) throws(IOFailure) -> Bool {
        let table = try ZstdSeekTable(size: size) { (bytes, offset) throws(IOFailure) in
            try file.read(into: &bytes, at: offset)
        }
        guard let table else { return false }
        for frame in table.frames {
            starts.append(starts.last! + UInt64(frame.compressed))
            contents.append(contents.last! + UInt64(frame.content))
        }
        guard starts.last! == table.end else {
            throw IOFailure(
                .corruptStream, path: path, offset: table.end, found: "the seek table doesn't fit the file",
                advice: "Copy the file again.")
        }
        return true
    }
}

/// The sizes of all frames, which a seekable file ends with.
struct ZstdSeekTable {
    let frames: [ZstdSeekableWriter.Sizes]
    /// Where the table begins, and the frames should end.
    let end: UInt64

    /// - Parameters:
    ///   - size: of the file.
    ///   - read: fills its bytes from an offset of the file on; returns how many there are.
    /// - Returns: nil if the file does not end in a seek table.
    init?(
        size: UInt64, read: (inout [UInt8], UInt64) throws(IOFailure) -> Int
    ) throws(IOFailure) {
        var footer = [UInt8](repeating: 0, count: 9)
        guard size >= 17, try read(&footer, size - 9) == 9, Self.word(footer, 5) == seekableMagic else { return nil }
        let count = UInt64(Self.word(footer, 0))
        let entry: UInt64 = footer[4] & 0x80 != 0 ? 12 : 8
        let tableSize = 8 + count * entry + 9
        guard footer[4] & 0x7C == 0, tableSize <= size else { return nil }
        var table = [UInt8](repeating: 0, count: Int(tableSize))
        guard try read(&table, size - tableSize) == table.count, Self.word(table, 0) == seekTableMagic,
            UInt64(Self.word(table, 4)) == tableSize - 8
        else { return nil }
        frames = (0..<Int(count)).map {
            let place = 8 + $0 * Int(entry)
            return ZstdSeekableWriter.Sizes(
                compressed: Self.word(table, place), content: Self.word(table, place + 4))
        }
        end = size - tableSize
    }

    private static func word(_ bytes: [UInt8], _ at: Int) -> UInt32 {
        bytes.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: UInt32.self)) }
    }
}

extension OpenFile {
    /// Fills an array, starting at `offset`; returns the number of bytes read.
    func read(into bytes: inout [UInt8], at offset: UInt64) throws(IOFailure) -> Int {
        let result = bytes.withUnsafeMutableBytes { buffer -> Result<Int, IOFailure> in
            do throws(IOFailure) { return .success(try read(into: buffer, at: offset)) } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
