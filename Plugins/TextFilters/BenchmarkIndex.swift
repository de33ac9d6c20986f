import SluiceCore

/// The n-grams of benchmark files: by hash, with the first item that has each.
struct BenchmarkIndex: Sendable {
    /// A line of a file.
    struct Item: Sendable, Hashable {
        let file: Int
        /// From 1.
        let line: Int
    }

    /// Open addressing: the hash of an n-gram, and the number of the item plus 1, or 0 where the slot is empty.
    private var slots: [(hash: UInt64, item: UInt32)] = []
    private(set) var items: [Item] = []
    private(set) var grams = 0
    /// The lengths of n-grams, most often one; shorter ones stand for whole items that are short. Ascending.
    private(set) var lengths: [Int] = []
    /// Items with fewer words than the shortest n-gram.
    private(set) var tooShort = 0

    /// Bytes that an index takes: a slot for each n-gram, at least half of them empty, and the items.
    static func bytes(grams: Int, items: Int) -> Int {
        size(grams) * MemoryLayout<(hash: UInt64, item: UInt32)>.stride + 2 * items * MemoryLayout<Item>.stride
    }

    private static func size(_ grams: Int) -> Int {
        var size = 1024
        while size < 2 * grams { size *= 2 }
        return size
    }

    init(grams: Int) {
        slots = [(hash: UInt64, item: UInt32)](repeating: (0, 0), count: Self.size(grams))
    }

    /// Adds the n-grams of an item. Items come in the order of files and lines.
    mutating func add(_ item: Item, words: [UInt64], n: Int, shortest: Int) {
        guard words.count >= shortest else {
            tooShort += 1
            return
        }
        let length = min(n, words.count)
        if !lengths.contains(length) {
            lengths.append(length)
            lengths.sort()
        }
        items.append(item)
        for start in 0...(words.count - length) {
            insert(Self.hash(words[start..<(start + length)]), UInt32(truncatingIfNeeded: items.count))
        }
    }

    private mutating func insert(_ hash: UInt64, _ item: UInt32) {
        guard 2 * grams < slots.count else { return }
        let mask = slots.count - 1
        var index = Int(truncatingIfNeeded: hash) & mask
        while slots[index].item != 0 {
            if slots[index].hash == hash { return }
            index = (index + 1) & mask
        }
        slots[index] = (hash, item)
        grams += 1
    }

    /// The first item with an n-gram; nil if none has it.
    func item(_ hash: UInt64) -> Item? {
        slots.withUnsafeBufferPointer { slots in
            let mask = slots.count - 1
            var index = Int(truncatingIfNeeded: hash) & mask
            while slots[index].item != 0 {
                if slots[index].hash == hash { return items[Int(slots[index].item) - 1] }
                index = (index + 1) & mask
            }
            return nil
        }
    }

    private static let base: UInt64 = 0x9E37_79B9_7F4A_7C15

    static func hash(_ words: some Sequence<UInt64>) -> UInt64 {
        Seed.mix(words.reduce(0) { $0 &* base &+ $1 })
    }

    /// The first n-gram of a text that the index has: its item, its first word and its length.
    func find(_ words: [UInt64]) -> (item: Item, word: Int, length: Int)? {
        var best: (item: Item, word: Int, length: Int)?
        for length in lengths where words.count >= length {
            var power: UInt64 = 1
            for _ in 1..<length { power = power &* Self.base }
            var sum: UInt64 = 0
            for end in words.indices {
                if end >= length { sum = sum &- words[end - length] &* power }
                sum = sum &* Self.base &+ words[end]
                let start = end - length + 1
                guard start >= 0 else { continue }
                if let best, start >= best.word { break }
                if let item = item(Seed.mix(sum)) {
                    best = (item, start, length)
                    break
                }
            }
        }
        return best
    }
}
