import Glibc

/// Bytes that are appended at the end and taken from the front, in memory that is used again.
final class ByteBuffer {
    private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var start = 0
    private var end = 0

    deinit { memory.deallocate() }

    var count: Int { end - start }
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[start..<end])
    }

    /// Memory after the end, at least `least` bytes of it; `filled` then says how many were written.
    func room(_ least: Int) -> UnsafeMutableRawBufferPointer {
        if start == end { (start, end) = (0, 0) }
        if memory.count - end < least {
            if memory.count - count >= least, start >= memory.count / 2 {
                if let base = memory.baseAddress { base.copyMemory(from: base + start, byteCount: count) }
            } else {
                let larger = UnsafeMutableRawBufferPointer.allocate(
                    byteCount: max(2 * memory.count, count + least, 64 << 10), alignment: 16)
                larger.copyMemory(from: bytes)
                memory.deallocate()
                memory = larger
            }
            (start, end) = (0, end - start)
        }
        return UnsafeMutableRawBufferPointer(rebasing: memory[end...])
    }

    func filled(_ count: Int) { end += count }

    func take(_ count: Int) { start += count }

    func removeAll() { (start, end) = (0, 0) }

    /// Gives back what a long line took.
    func shrink(to most: Int) {
        guard count == 0, memory.count > most else { return }
        memory.deallocate()
        memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        (start, end) = (0, 0)
    }

    func append(_ byte: UInt8) {
        room(1)[0] = byte
        end += 1
    }

    func append(_ new: UnsafeRawBufferPointer) {
        guard !new.isEmpty else { return }
        room(new.count).copyMemory(from: new)
        end += new.count
    }

    func append(_ new: [UInt8]) { new.withUnsafeBytes { append($0) } }

    /// Appends a number in decimal digits.
    func append(decimal value: Int64) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var place = 20
            var rest = value.magnitude
            repeat {
                place -= 1
                digits[place] = UInt8(48 + rest % 10)
                rest /= 10
            } while rest > 0
            if value < 0 { append(UInt8(ascii: "-")) }
            append(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(digits)[place..<20]))
        }
    }
}
