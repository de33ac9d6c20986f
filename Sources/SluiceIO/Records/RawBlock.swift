import Glibc

/// Where one record lies in a block: its bytes without the line end, its line, its place in the file.
public struct RawLine: Sendable, Equatable {
    /// The record's bytes are `start ..< end` of the block's bytes.
    public var start: UInt32
    public var end: UInt32
    /// Counted from the block's `firstLine`.
    public var lineDelta: UInt32
    /// Counted from the block's `firstByte`.
    public var byteDelta: UInt32
}

/// A line that was longer than allowed and has been passed over.
public struct OverlongLine: Sendable, Equatable {
    /// The line's number in the file, from 1.
    public var line: UInt64
    /// Where the line begins in the unpacked file.
    public var byte: UInt64
    /// The line's bytes without its line end.
    public var length: UInt64
    /// The first bytes of the line, at most `FramingLimits.overlongHead`.
    public var head: [UInt8]
}

/// A run of records as they came: one buffer, and where the records lie in it.
///
/// A block is filled by a `BlockReader` and reused: `next(into:)` on it again frees nothing and grows only for a
/// longer line. After its last byte come at least `padding` more that may be read (they are zero).
///
/// A block may be handed from thread to thread, one at a time.
public final class RawBlock: @unchecked Sendable {
    // @unchecked: nothing here is guarded; whoever holds the block alone may use it, as with a buffer of memory.

    /// Bytes after the content that may be read.
    public static let padding = 64

    private(set) var memory: UnsafeMutableRawBufferPointer
    /// The content is the first `count` bytes of the buffer.
    public internal(set) var count = 0
    public internal(set) var lines: [RawLine] = []
    /// The number of the first line in the block, from 1, blank ones counted.
    public internal(set) var firstLine: UInt64 = 1
    /// Where the block begins in the unpacked file.
    public internal(set) var firstByte: UInt64 = 0
    /// Lines of the block with nothing but white space; they have numbers and are no records.
    public internal(set) var blankLines: UInt64 = 0
    /// Lines passed over for their length. A block ends after such a line, so there is one at most, its last.
    public internal(set) var overlong: [OverlongLine] = []
    /// Whether it holds one record longer than `FramingLimits.longRecord` and nothing else.
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

    /// Puts a line end right after a record. One is there already but for a `\r` before it and the end of the file, and
    /// no other record's bytes are. So neighbouring records can be written in one piece; see `bytes(from:to:)`.
    @inline(__always)
    public func endLine(of line: RawLine) { memory[Int(line.end)] = 0x0A }

    /// A piece of the block, valid until it is filled again; `end` is at most one byte past the last record.
    @inline(__always)
    public func bytes(from start: UInt32, to end: UInt32) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: memory[Int(start)..<Int(end)])
    }

    /// The number of a record's line in the file, from 1.
    public func lineNumber(of line: RawLine) -> UInt64 { firstLine + UInt64(line.lineDelta) }

    /// Where a record begins in the unpacked file.
    public func byteOffset(of line: RawLine) -> UInt64 { firstByte + UInt64(line.byteDelta) }

    /// The memory that the block holds, used or not.
    public var capacity: Int { memory.count + lines.capacity * MemoryLayout<RawLine>.stride }

    func reset(firstLine: UInt64, firstByte: UInt64) {
        count = 0
        lines.removeAll(keepingCapacity: true)
        blankLines = 0
        overlong.removeAll()
        isLong = false
        self.firstLine = firstLine
        self.firstByte = firstByte
    }

    /// Room for `capacity` bytes, the content kept. A block that once held a giant gives the memory back when
    /// `shrinking`.
    func reserve(_ capacity: Int, shrinking: Bool = false) {
        let wanted = capacity + Self.padding
        if wanted <= memory.count && !(shrinking && memory.count > 2 * wanted) { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: wanted, alignment: 64)
        if count > 0 { larger.baseAddress!.copyMemory(from: memory.baseAddress!, byteCount: count) }
        memory.deallocate()
        memory = larger
    }

    /// Gives the memory of the content back; lines and places stay, and their bytes can't be read any more.
    public func release() {
        memory.deallocate()
        memory = .allocate(byteCount: Self.padding, alignment: 64)
        count = 0
    }

    /// Room for content after what is there.
    var room: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: memory[count..<(memory.count - Self.padding)])
    }

    func seal() { memset(memory.baseAddress! + count, 0, Self.padding) }
}

/// Where blocks and lines end. Follows from the input and these numbers alone.
public struct FramingLimits: Sendable, Equatable {
    /// A block ends at the first line end at or past so many bytes.
    public var blockBytes: Int
    /// A block ends after so many records.
    public var blockRecords: Int
    /// A line with more bytes than this, its line end not counted, is passed over and reported.
    public var maxRecord: Int
    /// How many bytes of such a line are kept for the report.
    public var overlongHead: Int
    /// A record with more bytes than this, its line end counted in, has a block of its own, and is read only where the
    /// caller has room for a record of `maxRecord`.
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
