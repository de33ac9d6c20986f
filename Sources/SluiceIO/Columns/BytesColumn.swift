import CZstd

let bytesHeader = Array("SLUICEb1".utf8)

/// Writes a column of byte strings, such as texts: compressed blocks of (4-byte length, bytes), a footer, a checksum.
///
/// `finish()` gives the file its name.
public final class BytesColumnWriter {
    private var writer: WorkFileWriter?
    private let compressor: FrameCompressor
    private let blockBytes: Int
    private var block: [UInt8] = []
    private var blockRows: UInt32 = 0
    private var frame: [UInt8] = []
    public private(set) var rows: UInt64 = 0
    public let path: String

    /// - Parameter blockBytes: a block ends at the first row end at or past this size; a longer row has its own block,
    ///   so that no other row is unpacked with it.
    public init(
        _ path: String, level: Int = 1, blockBytes: Int = 256 << 10, fileSystem: FileSystem = .local
    ) throws(IOFailure) {
        self.path = path
        self.blockBytes = max(1, blockBytes)
        compressor = FrameCompressor(level: level)
        writer = try WorkFileWriter(path, header: bytesHeader, fileSystem: fileSystem)
    }

    /// Adds a row (below 4 GiB).
    public func append(_ value: UnsafeRawBufferPointer) throws(IOFailure) {
        guard let size = UInt32(exactly: value.count) else {
            throw IOFailure(.wrongColumn, path: path, found: "a row of \(value.count) bytes was to be written")
        }
        var length = size.littleEndian
        rows += 1
        if value.count >= blockBytes {
            try endBlock()
            try withUnsafeBytes(of: &length) { bytes throws(IOFailure) in
                try compressor.compress(pieces: [bytes, value], into: &frame)
            }
            try writeBlock(rows: 1, content: 4 + value.count)
            // The memory of a long row must not be held until the column ends.
            frame = []
            return
        }
        withUnsafeBytes(of: &length) { block.append(contentsOf: $0) }
        block.append(contentsOf: value)
        blockRows += 1
        if block.count >= blockBytes { try endBlock() }
    }

    private func endBlock() throws(IOFailure) {
        guard blockRows > 0 else { return }
        try compressor.compress(block, into: &frame)
        try writeBlock(rows: blockRows, content: block.count)
        // Frees the memory that a huge row needed.
        let isLarge = block.count > 4 * blockBytes
        block.removeAll(keepingCapacity: !isLarge)
        if isLarge { frame = [] }
        blockRows = 0
    }

    /// Writes the frame and its header.
    private func writeBlock(rows: UInt32, content: Int) throws(IOFailure) {
        guard let size = UInt32(exactly: frame.count) else {
            throw IOFailure(.wrongColumn, path: path, found: "a block of \(frame.count) packed bytes was to be written")
        }
        var head = (size.littleEndian, rows.littleEndian, UInt64(content).littleEndian)
        try withUnsafeBytes(of: &head) { bytes throws(IOFailure) in try writer!.append(bytes) }
        let result = frame.withUnsafeBytes { bytes -> Result<Void, IOFailure> in
            do throws(IOFailure) { return .success(try writer!.append(bytes)) } catch { return .failure(error) }
        }
        try result.get()
        writer!.add(items: Int(rows))
    }

    /// Completes the file and renames it to its final name.
    public func finish() throws(IOFailure) {
        try endBlock()
        guard let whole = writer.take() else { return }
        try whole.finish()
    }
}

/// Reads a column of byte strings sequentially. One thread at a time.
public final class BytesColumnReader {
    private let reader: WorkFileReader
    private let decompressor: FrameDecompressor
    private var block: [UInt8] = []
    private var at = 0
    private var rowsLeft: UInt32 = 0
    private var rowsRead: UInt64 = 0
    /// The number of rows in the column.
    public var rows: UInt64 { reader.count }

    /// - Parameter decompressor: can be shared by readers of one thread. Further memory: 64 KiB and one block.
    public init(
        _ path: String, decompressor: FrameDecompressor = FrameDecompressor(), fileSystem: FileSystem = .local
    ) throws(IOFailure) {
        self.decompressor = decompressor
        reader = try WorkFileReader(path, header: bytesHeader, fileSystem: fileSystem)
    }

    /// Passes the next row to `body`, valid until it returns.
    ///
    /// - Returns: `false` at the end, once the checksum has been verified.
    public func next(_ body: (UnsafeRawBufferPointer) -> Void) throws(IOFailure) -> Bool {
        if rowsLeft == 0 {
            guard try readBlock() else { return false }
        }
        guard at + 4 <= block.count else { throw broken("a row ends past its block") }
        let length = Int(
            block.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: UInt32.self)) })
        guard at + 4 + length <= block.count else { throw broken("a row ends past its block") }
        block.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[(at + 4)..<(at + 4 + length)])) }
        at += 4 + length
        rowsLeft -= 1
        rowsRead += 1
        return true
    }

    private func broken(_ what: String) -> IOFailure { WorkFooter.broken(reader.path, 0, what) }

    private func readBlock() throws(IOFailure) -> Bool {
        if try reader.isAtEnd() {
            guard rowsRead == rows else { throw broken("it has \(rowsRead) rows, its footer states \(rows)") }
            return false
        }
        let head = try reader.next(16)
        let size = Int(UInt32(littleEndian: head.loadUnaligned(as: UInt32.self)))
        rowsLeft = UInt32(littleEndian: head.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        let content = UInt64(littleEndian: head.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        let frame = try reader.next(size)
        // Ask the frame itself before trusting a size that may be damaged.
        guard rowsLeft > 0, ZSTD_getFrameContentSize(frame.baseAddress, frame.count) == content, content < 1 << 33
        else {
            throw broken("a block's header is damaged")
        }
        let wanted = Int(content)
        if block.count > wanted {
            block.removeSubrange(wanted...)
        } else {
            block.append(contentsOf: repeatElement(0, count: wanted - block.count))
        }
        guard try decompressor.unpack(frame, of: reader.path, to: &block) else {
            throw broken("a block can't be unpacked")
        }
        at = 0
        return true
    }
}
