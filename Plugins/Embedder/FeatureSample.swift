import SluiceCore

/// A uniform sample of the features of texts of distinct contents: see `BottomSample`.
///
/// Of each text the first `mostFeatures` different features are kept, so one long record takes no more than that.
struct FeatureSample: Sendable {
    /// Different features kept of a text.
    static let mostFeatures = 512

    private var sample: BottomSample
    /// Where the entries of text `i` end; they begin where those of the text before end.
    private var ends: [Int] = []
    /// Each a feature and the number of its occurrences: see `Entry`.
    private(set) var entries: [UInt32] = []

    /// A feature and its occurrences in 32 bits.
    enum Entry {
        static let countBits: UInt32 = 12
        static func make(_ feature: UInt32, _ count: Int) -> UInt32 { feature << countBits | UInt32(count) }
        static func feature(_ entry: UInt32) -> Int { Int(entry >> countBits) }
        static func count(_ entry: UInt32) -> Int { Int(entry & (1 << countBits - 1)) }
    }

    init(capacity: Int) { sample = BottomSample(capacity: capacity, slack: Self.slack(capacity)) }

    private static func slack(_ capacity: Int) -> Int { max(256, capacity / 4) }

    static func bytes(capacity: Int) -> Int {
        // Entries, a key, where they end, and the position in the order.
        (capacity + slack(capacity)) * (mostFeatures * 4 + MemoryLayout<BottomSample.Key>.stride + 16)
    }

    mutating func add(_ key: BottomSample.Key, _ features: borrowing WordFeatures) {
        guard sample.admits(key) else { return }
        reserve()
        for feature in features.found.prefix(Self.mostFeatures) {
            entries.append(Entry.make(feature, features.occurrences(feature)))
        }
        close(key)
    }

    mutating func merge(_ other: FeatureSample) {
        sample.merge(isCut: other.sample.isCut)
        var start = 0
        for (text, key) in other.sample.keys.enumerated() {
            defer { start = other.ends[text] }
            guard sample.admits(key) else { continue }
            reserve()
            entries += other.entries[start..<other.ends[text]]
            close(key)
        }
    }

    /// As the keys: reserved once.
    private mutating func reserve() {
        guard ends.isEmpty else { return }
        ends.reserveCapacity(sample.room)
        entries.reserveCapacity(sample.room * Self.mostFeatures)
    }

    private mutating func close(_ key: BottomSample.Key) {
        ends.append(entries.count)
        if sample.append(key) { shrink() }
    }

    /// Drops the texts over the capacity, in place.
    private mutating func shrink() {
        let staying = sample.shrink()
        var filled = 0
        for (to, from) in staying.enumerated() {
            let range = (from == 0 ? 0 : ends[from - 1])..<ends[from]
            for index in range {
                entries[filled] = entries[index]
                filled += 1
            }
            ends[to] = filled
        }
        ends.removeLast(ends.count - staying.count)
        entries.removeLast(entries.count - filled)
    }

    /// The texts in key order, one per content and none over the capacity, each as the range of its entries.
    mutating func settled() -> [Range<Int>] {
        sample.lowest().map { ($0 == 0 ? 0 : ends[$0 - 1])..<ends[$0] }
    }
}

extension FeatureSample: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(sample)
        bytes.write(ends)
        bytes.write(entries)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        (sample, ends, entries) = (try bytes.read(), try bytes.read(), try bytes.read())
        let starts = [0] + ends.dropLast()
        guard sample.keys.count == ends.count, ends.last ?? 0 == entries.count,
            zip(starts, ends).allSatisfy({ 0...Self.mostFeatures ~= $1 - $0 })
        else { throw ByteReader.damaged("a sample of \(ends.count) texts has \(entries.count) features") }
    }
}
