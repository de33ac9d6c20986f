import Glibc
public import SluiceCore

/// Finds the first record with each content: 16 bytes of hash and 8 of ordinal per distinct record.
///
/// Open addressing in 256 segments, chosen by the top bits of the hash. A segment's entries are sorted by hash, each at
/// or after its home slot (sorted linear probing), so a look-up ends at the first larger hash. A full segment is moved
/// to one a fifth larger, one segment at a time: growth needs at most a 256th of the table on top. Memory per record:
/// at most 24 bytes / 0.68 = 36 just after growth, at least 24 / 0.81 = 30.
///
/// The answers depend on the calls alone. With uniform hashes `insertOrFind` costs one or two cache misses.
///
/// Two different contents with the same hash count as equal. For n distinct records the odds are n² / 2^129: for ten
/// billion records 1.5e-19.
public struct DedupeTable: ~Copyable {
    struct Entry {
        var low: UInt64
        var high: UInt64
        var ordinal: UInt64
    }

    /// The ordinal that marks free slots; no record has it.
    static let free = UInt64.max

    /// One of the 256 tables.
    struct Segment {
        var entries: UnsafeMutablePointer<Entry>
        /// Slots that can be the home of a hash.
        var places: Int
        /// All slots: `places` and some at the end for runs that overflow.
        var slots: Int
        var count = 0
        var bytes: Int { slots * MemoryLayout<Entry>.stride }

        /// - Parameter spare: an outgrown segment whose memory may be reused: the system needn't clear its pages again,
        ///   and glibc extends a large allocation without copying it.
        init(places: Int, reusing spare: Segment? = nil) {
            self.places = places
            slots = places + 8 + places / 64
            guard let memory = realloc(spare?.entries, slots * MemoryLayout<Entry>.stride) else {
                fatalError("out of memory for the deduplication table")  // lint:allow: malloc failed
            }
            entries = memory.bindMemory(to: Entry.self, capacity: slots)
            for i in 0..<slots { entries[i] = Entry(low: 0, high: 0, ordinal: DedupeTable.free) }
        }

        func release() { Glibc.free(entries) }

        /// The home slot of a hash: monotone in the hash, so that sorted entries stay sorted as segments grow.
        @inline(__always)
        func place(_ low: UInt64) -> Int { Int(truncatingIfNeeded: low.multipliedFullWidth(by: UInt64(places)).high) }
    }

    private let segments: UnsafeMutablePointer<Segment>
    /// The memory of the last outgrown segment, for reuse by the next one.
    private var spare: Segment?
    /// Distinct records so far.
    public private(set) var count = 0
    /// Bytes that the table uses now.
    public private(set) var memory = 0

    /// - Parameter expected: the number of distinct records that fit without growth.
    public init(expected: Int = 0) {
        segments = .allocate(capacity: 256)
        // An eighth more, for segments that get more than their share.
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

    /// The most bytes that the next record may need: a segment and its successor exist together during growth.
    public var transientMemory: Int {
        var largest = 0
        for i in 0..<256 { largest = max(largest, segments[i].bytes) }
        return largest + largest / 5 + 1024
    }

    /// Returns the ordinal stored for this hash. If there is none, stores `ordinal` and returns `nil`.
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

    /// Prefetches the slots of a block's hashes, so that the look-ups that follow don't wait for memory one by one.
    ///
    /// Affects only the speed: by a quarter for tables far larger than the cache. Call it for a few hundred hashes at a
    /// time. The result has no meaning.
    @inline(never) @discardableResult
    public func warm(_ hashes: [ContentHash]) -> UInt64 {
        var seen: UInt64 = 0
        for hash in hashes {
            let segment = segments[Int(truncatingIfNeeded: hash.high >> 56)]
            seen ^= segment.entries[segment.place(hash.low)].low
        }
        return seen
    }

    /// Like `insertOrFind`, for records in any order: keeps the lowest ordinal of each hash.
    ///
    /// - Returns: `nil` if the hash is new, otherwise the ordinal stored before the call.
    public mutating func insertLowest(_ hash: ContentHash, _ ordinal: UInt64) -> UInt64? {
        guard let before = insertOrFind(hash, ordinal) else { return nil }
        if ordinal < before { replace(hash, by: ordinal) }
        return before
    }

    /// The ordinal stored for a hash.
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
        // The last slot stays free, so that every search ends.
        if end + 1 < segments[number].slots && segments[number].count < segments[number].places * 52 / 64 {
            memmove(entries + found + 1, entries + found, (end - found) * MemoryLayout<Entry>.stride)
            entries[found] = entry
            segments[number].count += 1
            return
        }
        grow(number, with: entry)
    }

    /// Moves a segment and one new entry to a larger segment.
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

    /// Copies the entries in sorted order; `false` if the end overflows.
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
