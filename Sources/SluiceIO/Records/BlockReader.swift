import Glibc

/// The layout of the records in an input.
public enum RecordLayout: String, Sendable {
    /// One record per line.
    case lines
    /// The elements of one JSON array, which is the whole file.
    case array
}

/// Splits a stream of bytes into blocks of records.
///
/// Lines end only at `\n`; a `\r` directly before it, or at the end of the file, is not content, and the last line may
/// lack its `\n`. A UTF-8 byte order mark at the start of the file is skipped. A line of only white space (space, tab,
/// `\r`) is blank and not a record. The lines of a block depend on the input and the limits, never on how the bytes
/// arrive.
///
/// **JSON arrays.** A file is read as one array of records if its first byte that isn't white space is `[`, and either
/// the next one is `{` or `]`, or the name ends in `.json`, `.json.zst` or `.json.gz`. Anything else is JSON Lines, so
/// that a line `[1,2,3]` in a `.jsonl` file is one malformed line, not the end of the file. The bytes of an element are
/// unchanged, except that spaces replace line ends between tokens. Its line number is its position in the array, from
/// 1: a number must identify one record, and a line of the file may have several. If elements can't be separated (a
/// missing comma, a wrong bracket, a truncated file), the records before are returned, then `next` throws
/// `.malformedArray`: unlike with lines, there is no line end from which to continue.
public final class BlockReader: RecordReader {
    public let limits: FramingLimits
    public let source: any ByteSource
    /// Known after the first `next`.
    public private(set) var layout = RecordLayout.lines

    /// Bytes read from the source but not returned yet: `carryStart ..< carryEnd` of the carry buffer.
    var carry: UnsafeMutableRawBufferPointer
    var carryStart = 0
    var carryEnd = 0
    private var started = false
    private(set) var sourceEnded = false
    var line: UInt64
    var byte: UInt64 = 0
    /// Whether the carry buffer starts with a part of a long line, which had to wait.
    var isLineBegun = false
    /// The length of the line end after the last overlong line.
    var overlongEnd: UInt64 = 0
    var array = ArrayScanner()
    /// Thrown by the next call.
    var pendingFailure: IOFailure?
    /// Thrown when the available bytes are used up.
    private var sourceFailure: IOFailure?
    /// Bytes read at a time, at most.
    let chunk = 128 << 10

    /// - Parameters:
    ///   - source: a file, or a range of one; see `InputStore.openRange`.
    ///   - firstLine: the number of the first line.
    public init(_ source: any ByteSource, limits: FramingLimits = FramingLimits(), firstLine: UInt64 = 1) {
        self.source = source
        line = firstLine
        self.limits = limits
        carry = .allocate(byteCount: chunk, alignment: 64)
    }

    deinit { carry.deallocate() }

    /// The memory of the reader, without blocks and source.
    public var capacity: Int { carry.count }

    /// The position in the unpacked file up to which blocks have been returned.
    public var nextByte: UInt64 { array.held.isEmpty ? byte : array.byte }
    /// The number of the first line or element not returned yet.
    public var nextLine: UInt64 { array.held.isEmpty ? line : array.line }

    public var unit: String { layout == .array ? "elements" : "lines" }

    /// Asked before more of a long record is read: whether the caller has memory for a record of `length` bytes.
    public typealias Allowance = (_ length: Int) -> Bool

    /// Fills the block with the next records.
    ///
    /// - Returns: `false` at the end; the block is then empty. A block may have blank or overlong lines and no record.
    /// - Throws: the source's errors, after the complete lines before them have been returned.
    public func next(into block: RawBlock) throws(IOFailure) -> Bool {
        try next(into: block) { _ in true } == .block
    }

    /// Fills the block with the next records, or with one long record while the caller has memory for it. The ends of
    /// blocks depend only on the input, not on `mayHold`.
    ///
    /// - Parameter mayHold: asked several times while a long record is read, with growing lengths up to
    ///   `FramingLimits.maxRecord`. If it denies one, the result is `.waiting`: the reader keeps the part read so far, at
    ///   most the length allowed before, and the next call goes on with it.
    public func next(into block: RawBlock, mayHold: Allowance) throws(IOFailure) -> ReadStep {
        block.reset(firstLine: line, firstByte: byte)
        if let pendingFailure { throw pendingFailure }
        if !started {
            try start()
            if !started { return .waiting }
        }
        block.firstByte = byte
        block.firstLine = line
        switch layout {
        case .lines: return try nextLines(block, mayHold)
        case .array: return try nextElements(block, mayHold)
        }
    }

    // MARK: Start of the file

    private func start() throws(IOFailure) {
        while carryEnd < Self.layoutBytes, !sourceEnded {
            do throws(IOFailure) { try pull() } catch {
                // The bytes before the fault are good; the fault is reported when the reader gets there.
                sourceFailure = error
                break
            }
            if source.isWaiting { return }
        }
        started = true
        byte = source.firstByte
        // A later part of a file has no byte order mark, and an array isn't cut into parts.
        guard byte == 0 else { return }
        let beginning = UnsafeRawBufferPointer(rebasing: carry[..<carryEnd])
        carryStart = Self.markBytes(beginning)
        byte = UInt64(carryStart)
        layout = Self.layout(of: beginning, path: source.path)
    }

    /// The bytes at the beginning of a file that decide its layout: enough for the first two tokens. If white space
    /// before them is longer, the file is read as lines.
    static let layoutBytes = 4096

    /// The layout of a file that begins with these bytes.
    static func layout(of beginning: UnsafeRawBufferPointer, path: String) -> RecordLayout {
        let tokens = beginning.prefix(layoutBytes).dropFirst(markBytes(beginning)).lazy.filter {
            !isBlank($0) && $0 != 0x0A
        }.prefix(2)
        guard tokens.first == UInt8(ascii: "[") else { return .lines }
        if let second = tokens.dropFirst().first, second == UInt8(ascii: "{") || second == UInt8(ascii: "]") {
            return .array
        }
        let isDocument = [".json", ".json.zst", ".json.gz"].contains {
            path.utf8.suffix($0.utf8.count).elementsEqual($0.utf8)
        }
        return isDocument ? .array : .lines
    }

    /// The size of the byte order mark, if there is one.
    private static func markBytes(_ beginning: UnsafeRawBufferPointer) -> Int {
        beginning.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    }

    /// Reads more bytes into the carry buffer.
    func pull() throws(IOFailure) {
        carryEnd += try read(into: UnsafeMutableRawBufferPointer(rebasing: carry[carryEnd...]))
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        if let sourceFailure { throw sourceFailure }
        let got = try source.read(into: buffer)
        if got == 0, !source.isWaiting { sourceEnded = true }
        return got
    }

    @inline(__always)
    func isBlank(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Bool {
        var at = start
        while at < end {
            if !Self.isBlank(base.load(fromByteOffset: at, as: UInt8.self)) { return false }
            at += 1
        }
        return true
    }

    @inline(__always)
    static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }
}
