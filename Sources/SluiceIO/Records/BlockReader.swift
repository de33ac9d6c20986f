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
public final class BlockReader {
    public let limits: FramingLimits
    public let source: any ByteSource
    /// Known after the first `next`.
    public private(set) var layout = RecordLayout.lines

    /// Bytes read from the source but not returned yet: `carryStart ..< carryEnd` of the carry buffer.
    private var carry: UnsafeMutableRawBufferPointer
    private var carryStart = 0
    private var carryEnd = 0
    private var started = false
    private var sourceEnded = false
    private var line: UInt64
    private var byte: UInt64
    private var array = ArrayScanner()
    /// Thrown by the next call.
    private var pendingFailure: IOFailure?
    /// Thrown when the available bytes are used up.
    private var sourceFailure: IOFailure?
    private let chunk = 128 << 10

    /// - Parameters:
    ///   - firstLine: the number of the first line.
    ///   - firstByte: the offset of the source in the unpacked file.
    ///   - continuing: whether the source is a later part of a file: then it has no byte order mark and isn't an array.
    public init(
        _ source: any ByteSource, limits: FramingLimits = FramingLimits(), firstLine: UInt64 = 1,
        firstByte: UInt64 = 0, continuing: Bool = false
    ) {
        self.source = source
        self.limits = limits
        line = firstLine
        byte = firstByte
        started = continuing
        carry = .allocate(byteCount: chunk, alignment: 64)
    }

    deinit { carry.deallocate() }

    /// The memory of the reader, without blocks and source.
    public var capacity: Int { carry.count }

    /// The position in the unpacked file up to which blocks have been returned.
    public var nextByte: UInt64 { array.held.isEmpty ? byte : array.byte }
    /// The number of the first line or element not returned yet.
    public var nextLine: UInt64 { array.held.isEmpty ? line : array.line }

    /// The result of `next`.
    public enum Step: Sendable {
        case block
        case end
        /// Nothing is read until the caller has memory for a long record or a large zstd window.
        case waiting
    }

    /// Fills the block with the next records.
    ///
    /// - Returns: `false` at the end; the block is then empty. A block may have blank or overlong lines and no record.
    /// - Throws: the source's errors, after the complete lines before them have been returned.
    public func next(into block: RawBlock) throws(IOFailure) -> Bool {
        try next(into: block, mayReadLong: true) == .block
    }

    /// Fills the block with the next records, or with one long record if the caller has memory for it. The ends of
    /// blocks depend only on the input, not on `mayReadLong`.
    ///
    /// - Parameter mayReadLong: whether the block may take the memory of the longest record; otherwise the result is
    ///   `.waiting` instead of a long record, and the next call starts with that record.
    public func next(into block: RawBlock, mayReadLong: Bool) throws(IOFailure) -> Step {
        block.reset(firstLine: line, firstByte: byte)
        if let pendingFailure { throw pendingFailure }
        if !started {
            try start()
            if !started { return .waiting }
        }
        block.firstByte = byte
        block.firstLine = line
        switch layout {
        case .lines: return try nextLines(block, mayReadLong)
        case .array: return try nextElements(block, mayReadLong)
        }
    }

    // MARK: Start of the file

    private func start() throws(IOFailure) {
        // Enough for the first two tokens; if white space before them is longer, the file is read as lines.
        while carryEnd < 4096, !sourceEnded {
            do throws(IOFailure) { try pull() } catch {
                // The bytes before the fault are good; the fault is reported when the reader gets there.
                sourceFailure = error
                break
            }
            if source.isWaiting { return }
        }
        started = true
        var at = 0
        if carryEnd >= 3, carry[0] == 0xEF, carry[1] == 0xBB, carry[2] == 0xBF { at = 3 }
        carryStart = at
        byte += UInt64(at)
        var tokens: [UInt8] = []
        while at < carryEnd, tokens.count < 2 {
            if !isBlank(carry[at]) && carry[at] != 0x0A { tokens.append(carry[at]) }
            at += 1
        }
        guard tokens.first == UInt8(ascii: "[") else { return }
        if tokens.count > 1, tokens[1] == UInt8(ascii: "{") || tokens[1] == UInt8(ascii: "]") {
            layout = .array
        } else if [".json", ".json.zst", ".json.gz"].contains(where: {
            source.path.utf8.suffix($0.utf8.count).elementsEqual($0.utf8)
        }) {
            layout = .array
        }
    }

    /// Reads more bytes into the carry buffer.
    private func pull() throws(IOFailure) {
        carryEnd += try read(into: UnsafeMutableRawBufferPointer(rebasing: carry[carryEnd...]))
    }

    private func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        if let sourceFailure { throw sourceFailure }
        let got = try source.read(into: buffer)
        if got == 0, !source.isWaiting { sourceEnded = true }
        return got
    }

    // MARK: Lines

    private func nextLines(_ block: RawBlock, _ mayReadLong: Bool) throws(IOFailure) -> Step {
        block.reserve(max(limits.blockBytes, carryEnd - carryStart) + 2 * chunk, shrinking: true)
        if carryEnd > carryStart {
            block.room.baseAddress!.copyMemory(from: carry.baseAddress! + carryStart, byteCount: carryEnd - carryStart)
            block.count = carryEnd - carryStart
        }
        carryStart = 0
        carryEnd = 0
        var lineStart = 0
        var scanned = 0
        while true {
            if let end = scan(block, &lineStart, &scanned, mayReadLong) {
                keepRest(of: block, from: end)
                if end == 0 { return .waiting }
                break
            }
            // All available bytes have been scanned; the rest is the start of a line.
            if block.count - lineStart > limits.longRecord {
                guard lineStart == 0, mayReadLong else {
                    keepRest(of: block, from: lineStart)
                    if lineStart == 0 { return .waiting }
                    break
                }
                // Reserve the longest record at once: unused room takes no memory from the system, and nothing is
                // copied.
                block.isLong = true
                block.reserve(limits.maxRecord + 2 * chunk)
            }
            if block.count - lineStart > limits.maxRecord + 1 {
                try passOver(block, from: lineStart)
                break
            }
            if sourceEnded {
                finishLastLine(block, from: lineStart)
                break
            }
            // Doubles the memory each time, so that a huge line isn't copied again and again.
            if block.room.count < chunk {
                block.reserve(max(block.count + chunk, min(block.count * 2, lineStart + limits.maxRecord + 2 * chunk)))
            }
            do throws(IOFailure) {
                block.count += try read(
                    into: UnsafeMutableRawBufferPointer(rebasing: block.room[..<step(block, lineStart)]))
            } catch {
                // The complete lines before the fault are good.
                pendingFailure = error
                block.count = lineStart
                if lineStart == 0 { throw error }
                break
            }
            if source.isWaiting {
                // The ends of blocks must not depend on waiting, so the whole block is put back.
                keepRest(of: block, from: 0)
                block.reset(firstLine: line, firstByte: byte)
                return .waiting
            }
        }
        block.seal()
        line += lineCount(block)
        byte += UInt64(block.count)
        if let long = block.overlong.last { byte = long.byte + long.length + overlongEnd }
        // Only the head of an overlong line is left.
        if block.isLong, block.lines.isEmpty { block.release() }
        return block.count > 0 || !block.overlong.isEmpty ? .block : .end
    }

    /// The number of bytes to read next: up to the size of a block, then small amounts to the end of the current line,
    /// so that little remains to be copied to the next block.
    private func step(_ block: RawBlock, _ lineStart: Int) -> Int {
        let missing = limits.blockBytes - block.count
        return min(chunk, missing > 0 ? missing : max(8 << 10, block.count - lineStart))
    }

    /// All lines in the block, of any kind.
    private func lineCount(_ block: RawBlock) -> UInt64 {
        UInt64(block.lines.count) + block.blankLines + UInt64(block.overlong.count)
    }

    /// Adds complete lines; returns the end of the block when it is reached: 0 if the block would start with a long
    /// line that must not be read yet.
    private func scan(
        _ block: RawBlock, _ lineStart: inout Int, _ scanned: inout Int, _ mayReadLong: Bool
    ) -> Int? {
        let base = UnsafeRawPointer(block.memory.baseAddress!)
        let count = block.count
        var number = UInt32(truncatingIfNeeded: lineCount(block))
        var records = block.lines.count
        while let found = memchr(base + scanned, 0x0A, count - scanned) {
            let end = UnsafeRawPointer(found) - base
            var stop = end
            let isLong = end - lineStart > limits.longRecord
            if isLong, lineStart > 0 || !mayReadLong { return lineStart }
            if stop > lineStart, base.load(fromByteOffset: stop - 1, as: UInt8.self) == 0x0D { stop -= 1 }
            if stop - lineStart > limits.maxRecord {
                report(block, from: lineStart, length: stop - lineStart, end: UInt64(end + 1 - stop))
                return end + 1
            }
            if isBlank(base, lineStart, stop) {
                block.blankLines += 1
            } else {
                block.lines.append(
                    RawLine(
                        start: UInt32(lineStart), end: UInt32(stop), lineDelta: number, byteDelta: UInt32(lineStart)))
                records += 1
            }
            number += 1
            lineStart = end + 1
            scanned = lineStart
            if isLong { block.isLong = true }
            if lineStart >= limits.blockBytes || records >= limits.blockRecords || isLong { return lineStart }
        }
        scanned = count
        return nil
    }

    private func finishLastLine(_ block: RawBlock, from lineStart: Int) {
        guard block.count > lineStart else { return }
        let base = UnsafeRawPointer(block.memory.baseAddress!)
        var stop = block.count
        if base.load(fromByteOffset: stop - 1, as: UInt8.self) == 0x0D { stop -= 1 }
        if stop - lineStart > limits.maxRecord {
            report(block, from: lineStart, length: stop - lineStart, end: UInt64(block.count - stop))
            block.count = lineStart
        } else if isBlank(base, lineStart, stop) {
            block.blankLines += 1
        } else {
            block.lines.append(
                RawLine(
                    start: UInt32(lineStart), end: UInt32(stop), lineDelta: UInt32(lineCount(block)),
                    byteDelta: UInt32(lineStart)))
        }
    }

    /// The length of the line end after the last overlong line.
    private var overlongEnd: UInt64 = 0

    private func report(_ block: RawBlock, from lineStart: Int, length: Int, end: UInt64) {
        let head = UnsafeRawBufferPointer(
            rebasing: block.memory[lineStart..<(lineStart + min(length, limits.overlongHead))])
        block.overlong.append(
            OverlongLine(
                line: line + lineCount(block), byte: block.firstByte + UInt64(lineStart), length: UInt64(length),
                head: Array(head)))
        overlongEnd = end
    }

    /// Moves the bytes after the block's end to the carry buffer, and removes an overlong line from the block.
    private func keepRest(of block: RawBlock, from end: Int) {
        let rest = block.count - end
        if rest > carry.count {
            carry.deallocate()
            carry = .allocate(byteCount: rest, alignment: 64)
        }
        if rest > 0 { carry.baseAddress!.copyMemory(from: block.memory.baseAddress! + end, byteCount: rest) }
        carryStart = 0
        carryEnd = rest
        block.count = block.overlong.isEmpty ? end : Int(block.overlong[0].byte - block.firstByte)
    }

    /// Reads to the end of an overlong line, keeping only its head.
    private func passOver(_ block: RawBlock, from lineStart: Int) throws(IOFailure) {
        report(block, from: lineStart, length: 0, end: 0)
        var long = block.overlong.removeLast()
        var length = UInt64(block.count - lineStart)
        var lastByte = block.memory[block.count - 1]
        long.head = Array(
            UnsafeRawBufferPointer(
                rebasing: block.memory[lineStart..<(lineStart + min(Int(length), limits.overlongHead))]))
        block.count = lineStart
        var ended = false
        while !ended {
            do throws(IOFailure) {
                carryEnd = 0
                try pull()
            } catch {
                pendingFailure = error
                carryEnd = 0
                break
            }
            if sourceEnded { break }
            let found = memchr(carry.baseAddress!, 0x0A, carryEnd)
            let stop = found.map { UnsafeRawPointer($0) - UnsafeRawPointer(carry.baseAddress!) } ?? carryEnd
            if stop > 0 { lastByte = carry[stop - 1] }
            length += UInt64(stop)
            let wanted = min(stop, limits.overlongHead - long.head.count)
            if wanted > 0 { long.head.append(contentsOf: carry[..<wanted]) }
            if found != nil {
                ended = true
                carryStart = stop + 1
            }
        }
        if !ended {
            carryStart = 0
            carryEnd = 0
        }
        let returned = lastByte == 0x0D ? 1 : 0
        long.length = length - UInt64(returned)
        if UInt64(long.head.count) > long.length { long.head.removeLast() }
        overlongEnd = UInt64(returned) + (ended ? 1 : 0)
        block.overlong.append(long)
    }

    @inline(__always)
    private func isBlank(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Bool {
        var at = start
        while at < end {
            if !isBlank(base.load(fromByteOffset: at, as: UInt8.self)) { return false }
            at += 1
        }
        return true
    }

    @inline(__always)
    private func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }

    // MARK: Elements of an array

    private func nextElements(_ block: RawBlock, _ mayReadLong: Bool) throws(IOFailure) -> Step {
        if array.state == .finished { return .end }
        var done = false
        if array.held.isEmpty {
            block.reserve(limits.blockBytes + 2 * chunk, shrinking: true)
            if let begun = array.begun.take() { begun.restore(block) }
        } else {
            guard mayReadLong else { return .waiting }
            done = takeHeldElement(block)
        }
        while !done {
            if carryStart == carryEnd {
                carryStart = 0
                carryEnd = 0
                do throws(IOFailure) { try pull() } catch {
                    pendingFailure = error
                    block.count = array.elementStart(in: block)
                    break
                }
                if carryEnd == 0 {
                    if source.isWaiting {
                        array.begun = BegunBlock(block)
                        return .waiting
                    }
                    if array.state != .closed {
                        pendingFailure = malformed("the file ends inside the array")
                        block.count = array.elementStart(in: block)
                    } else {
                        array.state = .finished
                    }
                    break
                }
            }
            done = scanElements(block)
        }
        block.seal()
        if block.isLong, block.lines.isEmpty { block.release() }
        if block.lines.isEmpty, block.overlong.isEmpty {
            if let pendingFailure { throw pendingFailure }
            if !array.held.isEmpty { return try nextElements(block, mayReadLong) }
            return .end
        }
        return .block
    }

    /// Starts a block with the long element whose first bytes were put aside.
    ///
    /// - Returns: whether it is complete.
    private func takeHeldElement(_ block: RawBlock) -> Bool {
        block.isLong = true
        block.reserve(limits.maxRecord + 2 * chunk)
        array.held.withUnsafeBytes { block.room.copyMemory(from: $0) }
        block.count = array.held.count
        block.firstLine = array.line
        block.firstByte = array.byte
        array.elementOffset = 0
        guard array.takeHeld() else { return false }
        var count = block.count
        endElement(block, &count)
        block.count = count
        return true
    }

    private func malformed(_ what: String) -> IOFailure {
        // An incomplete element doesn't count as returned.
        if array.inElement { line = array.line }
        return IOFailure(
            .malformedArray, path: source.path, found: "element \(line), unpacked byte \(byte): \(what)",
            advice: "Fix the array, or write one element per line.")
    }

    /// Takes bytes from the carry buffer; true if the block is full or the array is faulty.
    private func scanElements(_ block: RawBlock) -> Bool {
        let bytes = carry
        var at = carryStart
        // Room for everything that this call can append: every byte, and one more line end than there are separators.
        let most = carryEnd - carryStart + 2
        if block.room.count < most { block.reserve(block.count + max(min(block.count, limits.maxRecord), most)) }
        let out = block.memory.baseAddress!.assumingMemoryBound(to: UInt8.self)
        var count = block.count
        let longest = block.isLong ? limits.maxRecord : min(limits.longRecord, limits.maxRecord)
        defer {
            block.count = count
            byte += UInt64(at - carryStart)
            carryStart = at
        }
        func fault(_ what: String) -> Bool {
            byte += UInt64(at - carryStart)
            carryStart = at
            count = array.inElement && !array.skipping ? array.elementOffset : count
            pendingFailure = malformed(what)
            return true
        }
        while at < carryEnd {
            let c = bytes[at]
            if array.inElement {
                var stored = c
                var finished = false
                if array.inString {
                    if array.escaped {
                        array.escaped = false
                    } else if c == UInt8(ascii: "\\") {
                        array.escaped = true
                    } else if c == UInt8(ascii: "\"") {
                        array.inString = false
                        finished = array.depth == 0
                    }
                } else {
                    switch c {
                    case UInt8(ascii: "\""): array.inString = true
                    case UInt8(ascii: "{"), UInt8(ascii: "["):
                        if !array.push(c == UInt8(ascii: "{")) { return fault("nested deeper than 1024 levels") }
                    case UInt8(ascii: "}"), UInt8(ascii: "]"):
                        if array.depth == 0 {
                            // A bare number or word ends here; the bracket is read again as that of the array.
                            endElement(block, &count)
                            if full(block, count) { return true }
                            continue
                        }
                        if !array.pop(c == UInt8(ascii: "}")) {
                            return fault("found «\(Character(UnicodeScalar(c)))» where another bracket is open")
                        }
                        finished = array.depth == 0
                    case UInt8(ascii: ","):
                        if array.depth == 0 {
                            endElement(block, &count)
                            if full(block, count) { return true }
                            continue
                        }
                    case 0x0A, 0x0D, 0x20, 0x09:
                        if array.depth == 0 {
                            endElement(block, &count)
                            if full(block, count) { return true }
                            continue
                        }
                        if c == 0x0A || c == 0x0D { stored = 0x20 }
                    default: break
                    }
                }
                if array.skipping {
                    array.length += 1
                } else {
                    out[count] = stored
                    count += 1
                    if count - array.elementOffset > longest {
                        if longest < limits.maxRecord {
                            // A long element has its own block.
                            array.hold(block.memory[array.elementOffset..<count], isWhole: finished)
                            count = array.elementOffset
                            at += 1
                            return true
                        }
                        array.beginSkipping(
                            Array(
                                UnsafeRawBufferPointer(
                                    rebasing: block.memory[
                                        array.elementOffset..<min(count, array.elementOffset + limits.overlongHead)])),
                            length: UInt64(count - array.elementOffset))
                        count = array.elementOffset
                    }
                }
                at += 1
                if finished {
                    endElement(block, &count)
                    if full(block, count) { return true }
                }
                continue
            }
            if c == 0x0A || c == 0x20 || c == 0x09 || c == 0x0D {
                at += 1
                continue
            }
            switch array.state {
            case .beforeArray:
                // The bracket was found at the start of the file.
                array.state = .firstElement
                at += 1
            case .firstElement, .element:
                if c == UInt8(ascii: "]") {
                    if array.state == .element { return fault("found «]» after a comma") }
                    array.state = .closed
                    at += 1
                } else if c == UInt8(ascii: ",") || c == UInt8(ascii: "}") || c == UInt8(ascii: ":") {
                    return fault("found «\(Character(UnicodeScalar(c)))» where an element is expected")
                } else {
                    let place = byte + UInt64(at - carryStart)
                    if block.lines.isEmpty && block.overlong.isEmpty {
                        block.firstLine = line
                        block.firstByte = place
                    } else if place - block.firstByte > 1 << 31 || line - block.firstLine > 1 << 31 {
                        return true
                    }
                    array.begin(offset: count, line: line, byte: place)
                    line += 1
                }
            case .afterElement:
                if c == UInt8(ascii: ",") {
                    array.state = .element
                } else if c == UInt8(ascii: "]") {
                    array.state = .closed
                } else {
                    return fault("found \(shown([c])) where a comma or the end of the array is expected")
                }
                at += 1
            case .closed, .finished:
                return fault("found \(shown([c])) after the end of the array")
            }
        }
        return false
    }

    private func endElement(_ block: RawBlock, _ count: inout Int) {
        if array.skipping {
            block.overlong.append(
                OverlongLine(line: array.line, byte: array.byte, length: array.length, head: array.head))
        } else {
            block.lines.append(
                RawLine(
                    start: UInt32(array.elementOffset), end: UInt32(count),
                    lineDelta: UInt32(array.line - block.firstLine), byteDelta: UInt32(array.byte - block.firstByte)))
            block.memory[count] = 0x0A
            count += 1
        }
        array.end()
    }

    private func full(_ block: RawBlock, _ count: Int) -> Bool {
        count >= limits.blockBytes || block.lines.count >= limits.blockRecords || !block.overlong.isEmpty
            || block.isLong
    }
}

/// The content of a block of array elements while its source waits.
private struct BegunBlock {
    let bytes: [UInt8]
    let lines: [RawLine]
    let overlong: [OverlongLine]
    let firstLine: UInt64
    let firstByte: UInt64

    init(_ block: RawBlock) {
        bytes = Array(block.bytes)
        (lines, overlong) = (block.lines, block.overlong)
        (firstLine, firstByte) = (block.firstLine, block.firstByte)
    }

    func restore(_ block: RawBlock) {
        block.reserve(max(block.memory.count, bytes.count))
        bytes.withUnsafeBytes { block.memory.copyMemory(from: $0) }
        block.count = bytes.count
        (block.lines, block.overlong) = (lines, overlong)
        (block.firstLine, block.firstByte) = (firstLine, firstByte)
    }
}

/// The state of scanning a top-level array.
private struct ArrayScanner {
    enum State { case beforeArray, firstElement, element, afterElement, closed, finished }

    var state = State.beforeArray
    var inElement = false
    var inString = false
    var escaped = false
    /// Open brackets inside the element, `true` for braces.
    private var open: [Bool] = []
    var depth: Int { open.count }
    /// The offset of the element's bytes in the block, and its position in the file.
    var elementOffset = 0
    var line: UInt64 = 0
    var byte: UInt64 = 0
    /// Whether the element is too long, so that its bytes aren't kept.
    var skipping = false
    var length: UInt64 = 0
    var head: [UInt8] = []
    /// The first bytes of a long element that waits for its own block, and whether they are complete.
    private(set) var held: [UInt8] = []
    private var isHeldWhole = false
    /// A block that was started when the source had to wait.
    var begun: BegunBlock?

    func elementStart(in block: RawBlock) -> Int { inElement && !skipping ? elementOffset : block.count }

    mutating func begin(offset: Int, line: UInt64, byte: UInt64) {
        inElement = true
        inString = false
        escaped = false
        skipping = false
        open.removeAll(keepingCapacity: true)
        elementOffset = offset
        self.line = line
        self.byte = byte
    }

    mutating func beginSkipping(_ head: [UInt8], length: UInt64) {
        skipping = true
        self.head = head
        self.length = length
    }

    mutating func hold(_ bytes: UnsafeMutableRawBufferPointer.SubSequence, isWhole: Bool) {
        held = Array(bytes)
        isHeldWhole = isWhole
    }

    /// - Returns: whether the element is complete.
    mutating func takeHeld() -> Bool {
        held = []
        return isHeldWhole
    }

    mutating func end() {
        inElement = false
        skipping = false
        state = .afterElement
    }

    mutating func push(_ brace: Bool) -> Bool {
        if open.count >= 1024 { return false }
        open.append(brace)
        return true
    }

    mutating func pop(_ brace: Bool) -> Bool { open.popLast() == brace }
}
