import Glibc

/// How the lines of an input are put into blocks.
extension BlockReader {
    func nextLines(_ block: RawBlock, _ mayHold: Allowance) throws(IOFailure) -> ReadStep {
        takeCarry(into: block)
        var lineStart = 0
        var scanned = 0
        while true {
            if let end = scan(block, &lineStart, &scanned, mayHold) {
                if end == 0 { return wait(block) }
                keepRest(of: block, from: end)
                break
            }
            // All available bytes have been scanned; the rest is the start of a line.
            if block.count - lineStart > limits.longRecord {
                guard lineStart == 0 else {
                    keepRest(of: block, from: lineStart)
                    break
                }
                guard mayHold(min(block.count + chunk, limits.maxRecord)) else { return wait(block) }
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
            guard try readMore(block, lineStart) else { break }
            // The ends of blocks must not depend on waiting, so the whole block is put back.
            if source.isWaiting { return wait(block) }
        }
        return seal(block)
    }

    /// Starts a block with the bytes that were read before.
    private func takeCarry(into block: RawBlock) {
        let count = carryEnd - carryStart
        // Reserved at once, as above: growing the block would need room for two copies.
        let least = isLineBegun ? limits.maxRecord : max(limits.blockBytes, count)
        block.reserve(least + 2 * chunk, shrinking: !isLineBegun)
        if count > 0 {
            block.room.baseAddress!.copyMemory(from: carry.baseAddress! + carryStart, byteCount: count)
            block.count = count
        }
        (carryStart, carryEnd, isLineBegun) = (0, 0, false)
        if carry.count > 8 * chunk {
            carry.deallocate()
            carry = .allocate(byteCount: chunk, alignment: 64)
        }
    }

    /// Puts back a block that can't be completed yet.
    private func wait(_ block: RawBlock) -> ReadStep {
        isLineBegun = block.isLong
        keepRest(of: block, from: 0)
        // The reader has the part that was read; a spare block must not keep the memory of a long record, too.
        if isLineBegun { block.release() }
        block.reset(firstLine: line, firstByte: byte)
        return .waiting
    }

    /// Reads more bytes into the block.
    ///
    /// - Returns: false if the source failed after complete lines: they end the block, and the next one fails.
    private func readMore(_ block: RawBlock, _ lineStart: Int) throws(IOFailure) -> Bool {
        // Doubles the memory each time, so that a huge line isn't copied again and again.
        if block.room.count < chunk {
            block.reserve(max(block.count + chunk, min(block.count * 2, lineStart + limits.maxRecord + 2 * chunk)))
        }
        do throws(IOFailure) {
            block.count += try read(
                into: UnsafeMutableRawBufferPointer(rebasing: block.room[..<step(block, lineStart)]))
            return true
        } catch {
            pendingFailure = error
            // The complete lines before the fault are good, but where a block ends must not depend on luck.
            if lineStart == 0 || error.mayPass { throw error }
            block.count = lineStart
            return false
        }
    }

    private func seal(_ block: RawBlock) -> ReadStep {
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
        _ block: RawBlock, _ lineStart: inout Int, _ scanned: inout Int, _ mayHold: Allowance
    ) -> Int? {
        let base = UnsafeRawPointer(block.memory.baseAddress!)
        let count = block.count
        var number = UInt32(truncatingIfNeeded: lineCount(block))
        var records = block.lines.count
        while let found = memchr(base + scanned, 0x0A, count - scanned) {
            let end = UnsafeRawPointer(found) - base
            var stop = end
            let isLong = end - lineStart > limits.longRecord
            if isLong, lineStart > 0 || !mayHold(min(end - lineStart + 1, limits.maxRecord)) { return lineStart }
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
                if error.mayPass { throw error }
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
}
