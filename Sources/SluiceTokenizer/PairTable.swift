/// Merges by their pair of ids: a hash table.
struct PairTable: Sendable {
    struct Merge: Sendable {
        var rank: Int32
        var id: Int32
    }

    private struct Slot {
        var key: UInt64
        var merge: Merge
    }

    private var slots: [Slot]
    private static let free = UInt64.max

    init(capacity: Int) {
        var room = 16
        while room < capacity * 2 { room *= 2 }
        slots = [Slot](repeating: Slot(key: Self.free, merge: Merge(rank: 0, id: -1)), count: room)
    }

    var bytes: Int { slots.count * MemoryLayout<Slot>.stride }

    /// - Precondition: no more pairs than `capacity` are set. The last merge of a pair counts.
    mutating func set(_ left: Int32, _ right: Int32, _ merge: Merge) {
        let (key, start) = slot(left, right)
        var place = start
        while slots[place].key != Self.free, slots[place].key != key { place = (place + 1) & (slots.count - 1) }
        slots[place] = Slot(key: key, merge: merge)
    }

    /// The merge of a pair; one with the id -1 if there is none.
    @inline(__always)
    func merge(_ left: Int32, _ right: Int32) -> Merge {
        let (key, start) = slot(left, right)
        return slots.withUnsafeBufferPointer { slots in
            var place = start
            while slots[place].key != key, slots[place].key != Self.free { place = (place + 1) & (slots.count - 1) }
            return slots[place].merge
        }
    }

    @inline(__always)
    private func slot(_ left: Int32, _ right: Int32) -> (key: UInt64, place: Int) {
        let key = UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
        var hash = key &* 0x9E37_79B9_7F4A_7C15
        hash ^= hash >> 32
        return (key, Int(truncatingIfNeeded: (hash &* 0xD6E8_FEB8_6659_FD93) >> 20) & (slots.count - 1))
    }
}
