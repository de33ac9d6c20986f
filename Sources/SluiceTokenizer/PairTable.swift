/// Merges by their pair of ids: a hash table.
struct PairTable: Sendable {
    struct Merge: Sendable {
        var rank: Int32
        var id: Int32
    }

    private var keys: [UInt64]
    private var merges: [Merge]
    private static let free = UInt64.max

    init(capacity: Int) {
        var room = 16
        while room < capacity * 2 { room *= 2 }
        keys = [UInt64](repeating: Self.free, count: room)
        merges = [Merge](repeating: Merge(rank: 0, id: 0), count: room)
    }

    var bytes: Int { keys.count * 16 }

    /// - Precondition: no more pairs than `capacity` are set. The last merge of a pair counts.
    mutating func set(_ left: Int32, _ right: Int32, _ merge: Merge) {
        let (key, start) = slot(left, right)
        var place = start
        while keys[place] != Self.free, keys[place] != key { place = (place + 1) & (keys.count - 1) }
        keys[place] = key
        merges[place] = merge
    }

    @inline(__always)
    func merge(_ left: Int32, _ right: Int32) -> Merge? {
        let (key, start) = slot(left, right)
        return keys.withUnsafeBufferPointer { keys in
            var place = start
            while keys[place] != key {
                if keys[place] == Self.free { return nil }
                place = (place + 1) & (keys.count - 1)
            }
            return merges.withUnsafeBufferPointer { $0[place] }
        }
    }

    @inline(__always)
    private func slot(_ left: Int32, _ right: Int32) -> (key: UInt64, place: Int) {
        let key = UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
        var hash = key &* 0x9E37_79B9_7F4A_7C15
        hash ^= hash >> 32
        return (key, Int(truncatingIfNeeded: (hash &* 0xD6E8_FEB8_6659_FD93) >> 20) & (keys.count - 1))
    }
}
