import SluiceCore

/// A uniform sample of bounded size of the distinct contents of a stream: the features of the texts whose contents draw
/// the smallest keys (bottom-k).
///
/// The key is derived from the content hash, so the sample does not depend on record order, blocks or threads, and merging
/// is exact. Of equal contents the lowest ordinal counts. Of each text the first `mostFeatures` different features are
/// kept, so one long record takes no more than that.
struct FeatureSample: Sendable {
    struct Key: Sendable, Comparable, ByteCodable {
        let draw: UInt64
        let hash: ContentHash
        let ordinal: UInt64

        static func < (a: Key, b: Key) -> Bool {
            if a.draw != b.draw { return a.draw < b.draw }
            if a.hash != b.hash { return a.hash < b.hash }
            return a.ordinal < b.ordinal
        }
    }

    /// Different features kept of a text.
    static let mostFeatures = 512

    let capacity: Int
    private(set) var keys: [Key] = []
    /// Where the entries of text `i` end; they begin where those of the text before end.
    private(set) var ends: [Int] = []
    /// Each a feature and the number of its occurrences: see `Entry`.
    private(set) var entries: [UInt32] = []
    /// Keys must be below this one to enter; nil while there is room.
    private var limit: Key?

    /// A feature and its occurrences in 32 bits.
    enum Entry {
        static let countBits: UInt32 = 12
        static func make(_ feature: UInt32, _ count: Int) -> UInt32 { feature << countBits | UInt32(count) }
        static func feature(_ entry: UInt32) -> Int { Int(entry >> countBits) }
        static func count(_ entry: UInt32) -> Int { Int(entry & (1 << countBits - 1)) }
    }

    init(capacity: Int) { self.capacity = capacity }

    private static func slack(_ capacity: Int) -> Int { max(256, capacity / 4) }

    static func bytes(capacity: Int) -> Int {
        // Entries, a key, where they end, and the position in the order.
        (capacity + slack(capacity)) * (mostFeatures * 4 + MemoryLayout<Key>.stride + 16)
    }

    /// Whether a text with this key may enter.
    func admits(_ key: Key) -> Bool { limit.map { key < $0 } ?? true }

    mutating func add(_ key: Key, _ features: borrowing WordFeatures) {
        guard admits(key) else { return }
        reserve()
        for feature in features.found.prefix(Self.mostFeatures) {
            entries.append(Entry.make(feature, features.occurrences(feature)))
        }
        close(key)
    }

    mutating func merge(_ other: FeatureSample) {
        var start = 0
        for (text, key) in other.keys.enumerated() {
            defer { start = other.ends[text] }
            guard admits(key) else { continue }
            reserve()
            entries += other.entries[start..<other.ends[text]]
            close(key)
        }
    }

    /// Reserved once: a growing array briefly exists twice. Pages that are never filled take no memory.
    private mutating func reserve() {
        guard keys.isEmpty else { return }
        let texts = capacity + Self.slack(capacity)
        keys.reserveCapacity(texts)
        ends.reserveCapacity(texts)
        entries.reserveCapacity(texts * Self.mostFeatures)
    }

    private mutating func close(_ key: Key) {
        keys.append(key)
        ends.append(entries.count)
        if keys.count >= capacity + Self.slack(capacity) { shrink() }
    }

    /// The texts to keep, in key order: the lowest, one per content.
    private func lowest() -> [Int] {
        let order = keys.indices.sorted { keys[$0] < keys[$1] }
        var kept: [Int] = []
        kept.reserveCapacity(min(order.count, capacity))
        for index in order {
            if let last = kept.last, keys[last].hash == keys[index].hash { continue }
            guard kept.count < capacity else { break }
            kept.append(index)
        }
        return kept
    }

    /// Drops the texts over the capacity, in place.
    private mutating func shrink() {
        let lowest = lowest()
        // The last key stays admissible for its own content, since an earlier record with it may still come.
        if lowest.count == capacity, let last = lowest.last {
            limit = Key(draw: keys[last].draw, hash: keys[last].hash, ordinal: .max)
        }
        var filled = 0
        for (to, from) in lowest.sorted().enumerated() {
            let range = (from == 0 ? 0 : ends[from - 1])..<ends[from]
            for index in range {
                entries[filled] = entries[index]
                filled += 1
            }
            keys[to] = keys[from]
            ends[to] = filled
        }
        keys.removeLast(keys.count - lowest.count)
        ends.removeLast(ends.count - lowest.count)
        entries.removeLast(entries.count - filled)
    }

    /// The texts in key order, one per content and none over the capacity, each as the range of its entries.
    func settled() -> [Range<Int>] {
        lowest().map { ($0 == 0 ? 0 : ends[$0 - 1])..<ends[$0] }
    }
}

extension FeatureSample.Key {
    func write(to bytes: inout ByteWriter) {
        bytes.write(draw)
        bytes.write(hash)
        bytes.write(ordinal)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        (draw, hash, ordinal) = (try bytes.read(), try bytes.read(), try bytes.read())
    }
}

extension FeatureSample: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(capacity)
        bytes.write(limit)
        bytes.write(keys)
        bytes.write(ends)
        bytes.write(entries)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        capacity = try bytes.read()
        limit = try bytes.read()
        keys = try bytes.read()
        ends = try bytes.read()
        entries = try bytes.read()
        let starts = [0] + ends.dropLast()
        guard capacity > 0, keys.count == ends.count, ends.last ?? 0 == entries.count,
            zip(starts, ends).allSatisfy({ 0...Self.mostFeatures ~= $1 - $0 })
        else { throw ByteReader.damaged("a sample of \(keys.count) texts has \(entries.count) features") }
    }
}
