import Glibc
public import SluiceCore

/// Which record was the first with a content: 16 bytes of hash and 8 of ordinal for every distinct record.
///
/// Open addressing in 256 segments, told apart by the top bits of the hash. Inside a segment entries stand sorted by
/// hash, each at or after the place its hash names (linear probing, kept sorted), so a look-up ends as soon as it meets
/// a larger hash. A full segment moves to one a fifth larger, one segment at a time: growth never needs more than a
/// 256th of the table on top. Worst case 24 bytes / 0.68 = 36 a record just after growth, best 24 / 0.81 = 30.
///
/// The answer depends on the calls alone. With hashes uniform, `insertOrFind` costs a cache miss or two.
///
/// Two different contents with one hash would be taken for equal: for n distinct records the odds are n² / 2^129, for
/// ten thousand million 1.5e-19.
public struct DedupeTable: ~Copyable {
    struct Entry {
        var low: UInt64
        var high: UInt64
        var ordinal: UInt64
    }

    /// An ordinal that no record has; it marks free places.
    static let free = UInt64.max

    /// One of the 256 tables.
    struct Segment {
        var entries: UnsafeMutablePointer<Entry>
        /// Places that a hash can name.
        var places: Int
        /// Those, and some more at the end for runs that overhang.
        var slots: Int
        var count = 0
        var bytes: Int { slots * MemoryLayout<Entry>.stride }

        /// - Parameter spare: an outgrown segment whose memory may be used: pages already there need no clearing by
        ///   the system, and glibc lengthens a large piece of memory without copying it.
        init(places: Int, reusing spare: Segment? = nil) {
            self.places = places
            slots = places + 8 + places / 64
            guard let memory = realloc(spare?.entries, slots * MemoryLayout<Entry>.stride) else {
                fatalError("no memory for the deduplication table")  // lint:allow: malloc failed
            }
            entries = memory.bindMemory(to: Entry.self, capacity: slots)
            for i in 0..<slots { entries[i] = Entry(low: 0, high: 0, ordinal: DedupeTable.free) }
        }

        func release() { Glibc.free(entries) }

        /// The place that a hash names: monotone in the hash, so that sorted entries stay sorted as segments grow.
        @inline(__always)
        func place(_ low: UInt64) -> Int { Int(truncatingIfNeeded: low.multipliedFullWidth(by: UInt64(places)).high) }
    }

    private let segments: UnsafeMutablePointer<Segment>
    /// The memory of the segment last outgrown, for the next one.
    private var spare: Segment?
    /// Distinct records so far.
    public private(set) var count = 0
    /// The bytes that the table holds now.
    public private(set) var memory = 0

    /// - Parameter expected: so many distinct records fit without growing.
    public init(expected: Int = 0) {
        segments = .allocate(capacity: 256)
        // An eighth more for segments that get more than their share.
        let places = max(16, expected / 256 * 5 / 4 + expected / 2048 + 8)
        for i in 0..<256 {
            segments.advanced(by: i).initialize(to: Segment(places: places))
            memory += segments[i].bytes
        }
    }

    deinit {
        for i in 0..<256 { segments[i].release() }
        spare?.release()
        segments.deallocate()
    }

    /// The memory that one more record may ask for at this moment: a segment next to its successor.
    public var transientMemory: Int {
        var largest = 0
        for i in 0..<256 { largest = max(largest, segments[i].bytes) }
        return largest + largest / 5 + 1024
    }

    /// The ordinal that came first with this hash, or `nil` when this is the first; then `ordinal` is kept for it.
    ///
    /// - Parameter ordinal: below `UInt64.max`.
    public mutating func insertOrFind(_ hash: ContentHash, _ ordinal: UInt64) -> UInt64? {
        let number = Int(truncatingIfNeeded: hash.high >> 56)
        let entries = segments[number].entries
        var at = segments[number].place(hash.low)
        while entries[at].ordinal != Self.free {
            let entry = entries[at]
            if entry.low >= hash.low {
                if entry.low == hash.low && entry.high == hash.high { return entry.ordinal }
                if entry.low > hash.low || entry.high > hash.high { break }
            }
            at &+= 1
        }
        insert(Entry(low: hash.low, high: hash.high, ordinal: ordinal), at: at, in: number)
        return nil
    }

    /// Brings the places of a block's hashes near, so that the look-ups that follow don't wait for memory one by one.
    ///
    /// Changes nothing but the speed, by a quarter for tables far larger than the cache. Call it for some hundred
    /// hashes at a time. The result has no meaning.
    @inline(never) @discardableResult
    public func warm(_ hashes: [ContentHash]) -> UInt64 {
        var seen: UInt64 = 0
        for hash in hashes {
            let segment = segments[Int(truncatingIfNeeded: hash.high >> 56)]
            seen ^= segment.entries[segment.place(hash.low)].low
        }
        return seen
    }

    /// The same, for records that come in any order: the lowest ordinal is kept, and the larger one is given back.
    ///
    /// - Returns: `nil` when the hash is new, else the ordinal kept until now.
    public mutating func insertLowest(_ hash: ContentHash, _ ordinal: UInt64) -> UInt64? {
        guard let before = insertOrFind(hash, ordinal) else { return nil }
        if ordinal < before { replace(hash, by: ordinal) }
        return before
    }

    /// The ordinal kept for a hash.
    public func find(_ hash: ContentHash) -> UInt64? {
        let at = index(hash)
        return at.map { segments[Int(truncatingIfNeeded: hash.high >> 56)].entries[$0].ordinal }
    }

    private func index(_ hash: ContentHash) -> Int? {
        let segment = segments[Int(truncatingIfNeeded: hash.high >> 56)]
        var at = segment.place(hash.low)
        while segment.entries[at].ordinal != Self.free {
            let entry = segment.entries[at]
            if entry.low == hash.low && entry.high == hash.high { return at }
            if entry.low > hash.low { return nil }
            at &+= 1
        }
        return nil
    }

    private mutating func replace(_ hash: ContentHash, by ordinal: UInt64) {
        if let at = index(hash) { segments[Int(truncatingIfNeeded: hash.high >> 56)].entries[at].ordinal = ordinal }
    }

    private mutating func insert(_ entry: Entry, at found: Int, in number: Int) {
        precondition(entry.ordinal != Self.free, "an ordinal must be below UInt64.max")
        var end = found
        let entries = segments[number].entries
        while entries[end].ordinal != Self.free { end &+= 1 }
        count += 1
        // One place at the very end stays free, so that every search ends.
        if end + 1 < segments[number].slots && segments[number].count < segments[number].places * 52 / 64 {
            memmove(entries + found + 1, entries + found, (end - found) * MemoryLayout<Entry>.stride)
            entries[found] = entry
            segments[number].count += 1
            return
        }
        grow(number, with: entry)
    }

    /// Moves a segment, and one entry more, to a larger one.
    private mutating func grow(_ number: Int, with added: Entry) {
        let old = segments[number]
        var places = old.places + max(16, old.places / 5)
        while true {
            var larger = Segment(places: places, reusing: spare)
            if let used = spare { memory -= used.bytes }
            spare = nil
            if Self.move(old, added, into: &larger) {
                memory += larger.bytes
                spare = old
                segments[number] = larger
                return
            }
            larger.release()
            places += places / 4
        }
    }

    /// Copies in sorted order; `false` when the end overflows.
    private static func move(_ old: Segment, _ added: Entry, into larger: inout Segment) -> Bool {
        var next = 0
        var pending = true
        func put(_ entry: Entry) -> Bool {
            let at = max(next, larger.place(entry.low))
            if at + 1 >= larger.slots { return false }
            larger.entries[at] = entry
            next = at + 1
            larger.count += 1
            return true
        }
        for i in 0..<old.slots where old.entries[i].ordinal != free {
            let entry = old.entries[i]
            if pending, (added.low, added.high) < (entry.low, entry.high) {
                if !put(added) { return false }
                pending = false
            }
            if !put(entry) { return false }
        }
        return pending ? put(added) : true
    }
}
