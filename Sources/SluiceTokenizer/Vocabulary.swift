/// Ids by the bytes of tokens: a hash table over one array of bytes.
struct Vocabulary: Sendable {
    private struct Slot {
        var start: Int32
        var count: Int32
        var id: Int32
        var hash: UInt32
    }

    private var text: [UInt8] = []
    private var slots: [Slot]
    /// Distinct tokens.
    private(set) var count = 0
    /// One more than the largest id.
    private(set) var size = 0
    /// The bytes of the longest token.
    private(set) var longest = 0

    init(capacity: Int) {
        var room = 16
        while room < capacity * 2 { room *= 2 }
        slots = [Slot](repeating: Slot(start: 0, count: -1, id: 0, hash: 0), count: room)
    }

    /// Bytes of memory.
    var bytes: Int { slots.count * MemoryLayout<Slot>.stride + text.capacity }

    /// Gives a token an id. The last id counts, as in the library that writes these files.
    mutating func add(_ token: some Collection<UInt8>, _ id: Int32) {
        let start = text.count
        text.append(contentsOf: token)
        let length = text.count - start
        let (place, hash) = text.withUnsafeBufferPointer { find($0.baseAddress.map { $0 + start }, length) }
        size = max(size, Int(id) + 1)
        guard slots[place].count < 0 else {
            slots[place].id = id
            text.removeLast(length)
            return
        }
        slots[place] = Slot(start: Int32(start), count: Int32(length), id: id, hash: hash)
        count += 1
        longest = max(longest, length)
        if count * 2 > slots.count { enlarge() }
    }

    private mutating func enlarge() {
        let old = slots
        slots = [Slot](repeating: Slot(start: 0, count: -1, id: 0, hash: 0), count: old.count * 2)
        let mask = slots.count - 1
        for slot in old where slot.count >= 0 {
            var place = Int(slot.hash) & mask
            while slots[place].count >= 0 { place = (place + 1) & mask }
            slots[place] = slot
        }
    }

    /// The slot of a token, or the free one where it would go.
    @inline(__always)
    private func find(_ token: UnsafePointer<UInt8>?, _ length: Int) -> (place: Int, hash: UInt32) {
        let hash = Self.hash(token, length)
        let mask = slots.count - 1
        var place = Int(hash) & mask
        return slots.withUnsafeBufferPointer { slots in
            text.withUnsafeBufferPointer { text in
                while slots[place].count >= 0 {
                    let slot = slots[place]
                    if slot.hash == hash, Int(slot.count) == length,
                        Self.isEqual(text.baseAddress.map { $0 + Int(slot.start) }, token, length)
                    {
                        break
                    }
                    place = (place + 1) & mask
                }
                return (place, hash)
            }
        }
    }

    /// The id of a token; nil if there is none.
    @inline(__always)
    func id(_ token: UnsafePointer<UInt8>, _ length: Int) -> Int32? {
        if length > longest { return nil }
        let slot = slots[find(token, length).place]
        return slot.count >= 0 ? slot.id : nil
    }

    func id(_ token: some Collection<UInt8>) -> Int32? {
        let found = token.withContiguousStorageIfAvailable { buffer in
            buffer.baseAddress.map { id($0, buffer.count) } ?? nil
        }
        return found ?? nil
    }

    /// A token's bytes in `withTokens`, and its id.
    struct Token {
        let start: Int32
        let count: Int32
        let id: Int32
    }

    /// Calls `body` with the tokens, in no order that means anything, and the text that their places refer to.
    func withTokens<Result>(_ body: (UnsafeBufferPointer<UInt8>, [Token]) -> Result) -> Result {
        let tokens = slots.lazy.filter { $0.count >= 0 }.map { Token(start: $0.start, count: $0.count, id: $0.id) }
        return text.withUnsafeBufferPointer { body($0, Array(tokens)) }
    }

    /// Calls `body` with each token.
    func forEach(_ body: (UnsafeBufferPointer<UInt8>) -> Void) {
        text.withUnsafeBufferPointer { text in
            for slot in slots where slot.count >= 0 {
                body(UnsafeBufferPointer(rebasing: text[Int(slot.start)..<Int(slot.start + slot.count)]))
            }
        }
    }

    @inline(__always)
    private static func hash(_ token: UnsafePointer<UInt8>?, _ length: Int) -> UInt32 {
        guard let token else { return 1 }
        var state = 0x9E37_79B9_7F4A_7C15 ^ UInt64(truncatingIfNeeded: length)
        for index in 0..<length { state = (state ^ UInt64(token[index])) &* 0x0000_0100_0000_01B3 }
        state ^= state >> 32
        return UInt32(truncatingIfNeeded: (state &* 0xD6E8_FEB8_6659_FD93) >> 32)
    }

    @inline(__always)
    private static func isEqual(_ a: UnsafePointer<UInt8>?, _ b: UnsafePointer<UInt8>?, _ length: Int) -> Bool {
        guard let a, let b else { return length == 0 }
        for index in 0..<length where a[index] != b[index] { return false }
        return true
    }
}
