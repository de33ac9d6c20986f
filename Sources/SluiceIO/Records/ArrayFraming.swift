import Glibc

/// How the elements of a JSON array are put into blocks.
extension BlockReader {
    func nextElements(_ block: RawBlock, _ mayHold: Allowance) throws(IOFailure) -> ReadStep {
        if array.state == .finished { return .end }
        var done = false
        if array.held.isEmpty {
            block.reserve(limits.blockBytes + 2 * chunk, shrinking: true)
            if let begun = array.begun.take() { begun.restore(block, longest: limits.maxRecord + 2 * chunk) }
        } else {
            guard mayHold(array.held.count) else { return .waiting }
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
                    if source.isWaiting { return putAside(block) }
                    if array.state != .closed {
                        pendingFailure = malformed("the file ends inside the array")
                        block.count = array.elementStart(in: block)
                    } else {
                        array.state = .finished
                    }
                    break
                }
            }
            if block.isLong, !mayHold(min(block.count + carryEnd - carryStart, limits.maxRecord)) {
                return putAside(block)
            }
            done = scanElements(block)
        }
        block.seal()
        if block.isLong, block.lines.isEmpty { block.release() }
        if block.lines.isEmpty, block.overlong.isEmpty {
            if let pendingFailure { throw pendingFailure }
            if !array.held.isEmpty { return try nextElements(block, mayHold) }
            return .end
        }
        return .block
    }

    /// Keeps a block that can't be completed yet.
    private func putAside(_ block: RawBlock) -> ReadStep {
        array.begun = BegunBlock(block)
        // The reader has the part that was read; a spare block must not keep the memory of a long record, too.
        if block.isLong { block.release() }
        return .waiting
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
