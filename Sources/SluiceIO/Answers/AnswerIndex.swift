import SluiceCore

/// Where the answers of a log are, by key: a hash table of fixed size, eight bytes a slot.
///
/// A slot holds 24 bits of the key and the place in the file, in units of eight bytes. The whole key is in the file, so a
/// place found here is a candidate: one in sixteen million is of another key.
struct AnswerIndex {
    private static let placeBits: UInt64 = 40
    private static let placeMask: UInt64 = 1 << placeBits - 1
    /// Files up to this size have a place for each answer: 8 TiB.
    static let mostBytes: UInt64 = 8 << placeBits

    private var slots: [UInt64]
    private(set) var count = 0
    let capacity: Int

    /// - Parameter capacity: the most answers.
    init(capacity: Int) {
        self.capacity = max(0, capacity)
        slots = [UInt64](repeating: 0, count: Self.slots(for: capacity))
    }

    /// At most three of four slots are taken, so that a search ends soon.
    private static func slots(for capacity: Int) -> Int { max(0, capacity) / 3 * 4 + 8 }

    static func bytes(for capacity: Int) -> Int { 8 * slots(for: capacity) }

    private func start(_ key: ContentHash) -> Int { Int(key.high.multipliedFullWidth(by: UInt64(slots.count)).high) }

    /// Notes a place; false if the index is full.
    mutating func insert(_ key: ContentHash, at place: UInt64) -> Bool {
        guard count < capacity else { return false }
        var slot = start(key)
        while slots[slot] != 0 { slot = slot + 1 == slots.count ? 0 : slot + 1 }
        slots[slot] = key.low & ~Self.placeMask | place / 8
        count += 1
        return true
    }

    /// The places where the answer may be, the oldest first; mostly one or none.
    func places(of key: ContentHash) -> [UInt64] {
        var slot = start(key)
        var found: [UInt64] = []
        while slots[slot] != 0 {
            if slots[slot] & ~Self.placeMask == key.low & ~Self.placeMask {
                found.append(8 * (slots[slot] & Self.placeMask))
            }
            slot = slot + 1 == slots.count ? 0 : slot + 1
        }
        return found
    }
}
