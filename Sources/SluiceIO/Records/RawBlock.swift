import Glibc

/// The position of a record in a block: its bytes without the line end, its line, its place in the file.
public struct RawLine: Sendable, Equatable {
    /// The record's bytes are `start ..< end` of the block's bytes.
    public var start: UInt32
    public var end: UInt32
    /// Counted from the block's `firstLine`.
    public var lineDelta: UInt32
    /// Counted from the block's `firstByte`.
    public var byteDelta: UInt32
}

/// A line that exceeded the limit and was skipped.
public struct OverlongLine: Sendable, Equatable {
    /// The line's number in the file, from 1.
    public var line: UInt64
    /// The start of the line in the unpacked file.
    public var byte: UInt64
    /// The line's length in bytes, without its line end.
    public var length: UInt64
    /// The first bytes of the line, at most `FramingLimits.overlongHead`.
    public var head: [UInt8]
}

/// Consecutive records in their original form: one buffer, and the positions of the records.
///
/// A `BlockReader` fills and reuses the block: a further `next(into:)` frees nothing and grows the buffer only for a
/// longer line. At least `padding` readable zero bytes follow the content.
///
/// Threads may pass a block on, but only one may use it at a time.
public final class RawBlock: @unchecked Sendable {
    // @unchecked: nothing is synchronised; only its current owner may use the block, as with any buffer.

    /// Readable bytes after the content.
    public static let padding = 64

    private(set) var memory: UnsafeMutableRawBufferPointer
    /// The content is the first `count` bytes of the buffer.
    public internal(set) var count = 0
    public internal(set) var lines: [RawLine] = []
    /// The number of the first line in the block, from 1, including blank lines.
    public internal(set) var firstLine: UInt64 = 1
    /// The start of the block in the unpacked file.
    public internal(set) var firstByte: UInt64 = 0
    /// Lines of the block with only white space; they have line numbers but aren't records.
    public internal(set) var blankLines: UInt64 = 0
    /// Lines skipped because of their length. A block ends after such a line, so there is at most one, the last.
    public internal(set) var overlong: [OverlongLine] = []
    /// Whether it has a single record, which is longer than `FramingLimits.longRecord`.
    public internal(set) var isLong = false

    public init() { memory = .allocate(byteCount: Self.padding, alignment: 64) }

    deinit { memory.deallocate() }

    /// The bytes of all lines, line ends included.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }

    /// The bytes of a record, valid until the block is filled again.
    @inline(__always)
    public func bytes(of line: RawLine) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: memory.baseAddress! + Int(line.start), count: Int(line.end - line.start))
    }

    /// Puts a line end right after a record. One is there already, except after `\r` and at the end of the file, and no
    /// other record's bytes are there. So adjacent records can be written as one piece; see `bytes(from:to:)`.
    @inline(__always)
    public func endLine(of line: RawLine) { memory[Int(line.end)] = 0x0A }

    /// A piece of the block, valid until it is filled again; `end` is at most one byte past the last record.
    @inline(__always)
    public func bytes(from start: UInt32, to end: UInt32) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: memory[Int(start)..<Int(end)])
    }

    /// The number of a record's line in the file, from 1.
    public func lineNumber(of line: RawLine) -> UInt64 { firstLine + UInt64(line.lineDelta) }

    /// The start of a record in the unpacked file.
    public func byteOffset(of line: RawLine) -> UInt64 { firstByte + UInt64(line.byteDelta) }

    /// The memory of the block, used or not.
    public var capacity: Int { memory.count + lines.capacity * MemoryLayout<RawLine>.stride }

    /// Empties the block, which then begins at this place of the input.
    public func reset(firstLine: UInt64, firstByte: UInt64) {
        count = 0
        lines.removeAll(keepingCapacity: true)
        blankLines = 0
        overlong.removeAll()
        isLong = false
        self.firstLine = firstLine
        self.firstByte = firstByte
    }

    /// Adds a record, for a reader whose records aren't the lines of its source.
    ///
    /// - Parameters:
    ///   - record: a line of JSON, without its line end.
    ///   - line: its number in the input; at least that of the record before.
    ///   - byte: where it starts in the unpacked input.
    public func append(_ record: UnsafeRawBufferPointer, line: UInt64, byte: UInt64) {
        if count + record.count + 1 > memory.count - Self.padding { reserve(2 * (count + record.count + 1)) }
        let start = count
        if let base = record.baseAddress { room.baseAddress?.copyMemory(from: base, byteCount: record.count) }
        count += record.count
        memory[count] = 0x0A
        count += 1
        seal()
        lines.append(
            RawLine(
                start: UInt32(start), end: UInt32(count - 1), lineDelta: UInt32(line - firstLine),
                byteDelta: UInt32(byte - firstByte)))
    }

    /// Makes room for `capacity` bytes and keeps the content. With `shrinking`, a block that held a huge line frees
    /// memory.
    func reserve(_ capacity: Int, shrinking: Bool = false) {
        let wanted = capacity + Self.padding
        if wanted <= memory.count && !(shrinking && memory.count > 2 * wanted) { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: wanted, alignment: 64)
        if count > 0 { larger.baseAddress!.copyMemory(from: memory.baseAddress!, byteCount: count) }
        memory.deallocate()
        memory = larger
    }

    /// Frees the memory of the content; lines and positions stay, but their bytes can't be read any more.
    public func release() {
        memory.deallocate()
        memory = .allocate(byteCount: Self.padding, alignment: 64)
        count = 0
    }

    /// The room after the content.
    var room: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: memory[count..<(memory.count - Self.padding)])
    }

    func seal() { memset(memory.baseAddress! + count, 0, Self.padding) }
}

/// The limits of blocks and lines, which depend on the input and these numbers alone.
public struct FramingLimits: Sendable, Equatable {
    /// A block ends at the first line end at or past this many bytes.
    public var blockBytes: Int
    /// A block ends after this many records.
    public var blockRecords: Int
    /// A line with more bytes than this, without its line end, is skipped and reported.
    public var maxRecord: Int
    /// The number of bytes of such a line that are kept for the report.
    public var overlongHead: Int
    /// A record with more bytes than this, including its line end, has its own block, and is read only if the caller
    /// has memory for a record of `maxRecord`.
    public var longRecord: Int

    public init(
        blockBytes: Int = 512 << 10, blockRecords: Int = 8192, maxRecord: Int = 64 << 20, overlongHead: Int = 64 << 10,
        longRecord: Int = .max
    ) {
        self.longRecord = max(1, longRecord)
        self.blockBytes = min(max(1, blockBytes), 1 << 30)
        self.blockRecords = max(1, blockRecords)
        self.maxRecord = min(max(1, maxRecord), 1 << 30)
        self.overlongHead = max(0, overlongHead)
    }
}
