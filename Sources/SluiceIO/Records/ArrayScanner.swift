/// The content of a block of array elements that waits for bytes of the source, or for memory.
struct BegunBlock {
    let bytes: [UInt8]
    let lines: [RawLine]
    let overlong: [OverlongLine]
    let firstLine: UInt64
    let firstByte: UInt64
    let isLong: Bool

    init(_ block: RawBlock) {
        bytes = Array(block.bytes)
        (lines, overlong) = (block.lines, block.overlong)
        (firstLine, firstByte, isLong) = (block.firstLine, block.firstByte, block.isLong)
    }

    /// - Parameter longest: the room for a long element.
    func restore(_ block: RawBlock, longest: Int) {
        block.reserve(isLong ? longest : max(block.memory.count, bytes.count))
        block.isLong = isLong
        bytes.withUnsafeBytes { block.memory.copyMemory(from: $0) }
        block.count = bytes.count
        (block.lines, block.overlong) = (lines, overlong)
        (block.firstLine, block.firstByte) = (firstLine, firstByte)
    }
}

/// The state of scanning a top-level array.
struct ArrayScanner {
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
