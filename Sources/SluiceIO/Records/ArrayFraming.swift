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
                    if error.mayPass { throw error }
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

    /// Where a scan of the carry buffer is. Local to it: a property of the reader would cost checks for each byte.
    private struct Scan {
        /// The next byte of the carry buffer.
        var at: Int
        /// The bytes of the block so far.
        var count: Int
        let out: UnsafeMutablePointer<UInt8>
        /// A longer element gets a block of its own, or is passed over.
        let longest: Int
    }

    /// What follows a byte.
    private enum Advance {
        case next
        /// The block is full, or the array is faulty.
        case stop
        case fault(String)
    }

    /// Takes bytes from the carry buffer; true if the block is full or the array is faulty.
    private func scanElements(_ block: RawBlock) -> Bool {
        let bytes = carry
        // Room for everything that this call can append: every byte, and one more line end than there are separators.
        let most = carryEnd - carryStart + 2
        if block.room.count < most { block.reserve(block.count + max(min(block.count, limits.maxRecord), most)) }
        var scan = Scan(
            at: carryStart, count: block.count, out: block.memory.baseAddress!.assumingMemoryBound(to: UInt8.self),
            longest: block.isLong ? limits.maxRecord : min(limits.longRecord, limits.maxRecord))
        defer {
            block.count = scan.count
            byte += UInt64(scan.at - carryStart)
            carryStart = scan.at
        }
        while scan.at < carryEnd {
            let c = bytes[scan.at]
            let advance = array.inElement ? scanInside(c, &scan, block) : scanBetween(c, &scan, block)
            switch advance {
            case .next: continue
            case .stop: return true
            case .fault(let what):
                byte += UInt64(scan.at - carryStart)
                carryStart = scan.at
                scan.count = array.inElement && !array.skipping ? array.elementOffset : scan.count
                pendingFailure = malformed(what)
                return true
            }
        }
        return false
    }

    /// A byte of an element, or the one that ends it.
    @inline(__always)
    private func scanInside(_ c: UInt8, _ scan: inout Scan, _ block: RawBlock) -> Advance {
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
                if !array.push(c == UInt8(ascii: "{")) { return .fault("nested deeper than 1024 levels") }
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                // A bare number or word ends here; the bracket is read again as that of the array.
                if array.depth == 0 { return end(&scan, block) }
                if !array.pop(c == UInt8(ascii: "}")) {
                    return .fault("found «\(Character(UnicodeScalar(c)))» where another bracket is open")
                }
                finished = array.depth == 0
            case UInt8(ascii: ","): if array.depth == 0 { return end(&scan, block) }
            case 0x0A, 0x0D, 0x20, 0x09:
                if array.depth == 0 { return end(&scan, block) }
                if c == 0x0A || c == 0x0D { stored = 0x20 }
            default: break
            }
        }
        scan.at += 1
        if keep(stored, &scan, block, isLast: finished) { return .stop }
        return finished ? end(&scan, block) : .next
    }

    @inline(__always)
    private func end(_ scan: inout Scan, _ block: RawBlock) -> Advance {
        endElement(block, &scan.count)
        return full(block, scan.count) ? .stop : .next
    }

    /// Appends a byte of an element, unless it is passed over; true if the element becomes too long for this block.
    @inline(__always)
    private func keep(_ stored: UInt8, _ scan: inout Scan, _ block: RawBlock, isLast: Bool) -> Bool {
        guard !array.skipping else {
            array.length += 1
            return false
        }
        scan.out[scan.count] = stored
        scan.count += 1
        guard scan.count - array.elementOffset > scan.longest else { return false }
        defer { scan.count = array.elementOffset }
        if scan.longest < limits.maxRecord {
            // A long element has its own block.
            array.hold(block.memory[array.elementOffset..<scan.count], isWhole: isLast)
            return true
        }
        let head = min(scan.count, array.elementOffset + limits.overlongHead)
        array.beginSkipping(
            Array(UnsafeRawBufferPointer(rebasing: block.memory[array.elementOffset..<head])),
            length: UInt64(scan.count - array.elementOffset))
        return false
    }

    /// A byte between elements.
    private func scanBetween(_ c: UInt8, _ scan: inout Scan, _ block: RawBlock) -> Advance {
        if c == 0x0A || c == 0x20 || c == 0x09 || c == 0x0D {
            scan.at += 1
            return .next
        }
        switch array.state {
        case .beforeArray:
            // The bracket was found at the start of the file.
            array.state = .firstElement
        case .firstElement, .element:
            if c == UInt8(ascii: "]") {
                if array.state == .element { return .fault("found «]» after a comma") }
                array.state = .closed
            } else if c == UInt8(ascii: ",") || c == UInt8(ascii: "}") || c == UInt8(ascii: ":") {
                return .fault("found «\(Character(UnicodeScalar(c)))» where an element is expected")
            } else {
                // The byte is read again as the first one of the element.
                return begin(at: byte + UInt64(scan.at - carryStart), scan, block)
            }
        case .afterElement:
            if c == UInt8(ascii: ",") {
                array.state = .element
            } else if c == UInt8(ascii: "]") {
                array.state = .closed
            } else {
                return .fault("found \(shown([c])) where a comma or the end of the array is expected")
            }
        case .closed, .finished:
            return .fault("found \(shown([c])) after the end of the array")
        }
        scan.at += 1
        return .next
    }

    private func begin(at place: UInt64, _ scan: Scan, _ block: RawBlock) -> Advance {
        if block.lines.isEmpty && block.overlong.isEmpty {
            block.firstLine = line
            block.firstByte = place
        } else if place - block.firstByte > 1 << 31 || line - block.firstLine > 1 << 31 {
            return .stop
        }
        array.begin(offset: scan.count, line: line, byte: place)
        line += 1
        return .next
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
