/// Which entries of a stream are in a uniform sample of its distinct contents: those whose contents draw the smallest keys
/// (bottom-k; Cohen and Kaplan, «Summarizing data using bottom-k sketches», 2007).
///
/// Keys are derived from content hashes, so the sample does not depend on record order, blocks or threads, and merging two
/// samples is exact. Of equal contents the lowest ordinal counts. The caller holds what is sampled, one entry for each of
/// `keys`; the sample says which entries go. It holds some more than its capacity, so that entries go in batches.
///
/// Cost: a key takes 32 bytes; shrinking sorts `capacity + slack` keys after every `slack` of them.
public struct BottomSample: Sendable {
    public struct Key: Sendable, Comparable {
        public let draw: UInt64
        public let hash: ContentHash
        public let ordinal: UInt64

        public init(draw: UInt64, hash: ContentHash, ordinal: UInt64) {
            (self.draw, self.hash, self.ordinal) = (draw, hash, ordinal)
        }

        public static func < (a: Key, b: Key) -> Bool {
            if a.draw != b.draw { return a.draw < b.draw }
            if a.hash != b.hash { return a.hash < b.hash }
            return a.ordinal < b.ordinal
        }
    }

    public let capacity: Int
    /// The entries held beyond the capacity before the sample must shrink.
    public let slack: Int
    /// The keys of the entries, in the order in which they were added.
    public private(set) var keys: [Key] = []
    /// Keys must be below this one to enter; nil while there is room.
    private var limit: Key?
    /// Whether it had no room for some content that it was offered.
    public private(set) var isCut = false

    /// - Parameters:
    ///   - capacity: at least 1.
    ///   - slack: at least 1. The sample doesn't depend on it.
    public init(capacity: Int, slack: Int) { (self.capacity, self.slack) = (capacity, slack) }

    /// The most entries at a time.
    public var room: Int { capacity + slack }

    /// Whether an entry with this key may enter.
    public mutating func admits(_ key: Key) -> Bool {
        guard let limit, !(key < limit) else { return true }
        isCut = true
        return false
    }

    /// Adds the key of an entry that `admits` let in.
    ///
    /// - Returns: whether the sample must shrink now.
    public mutating func append(_ key: Key) -> Bool {
        if keys.isEmpty {
            // Reserved once: a growing array briefly exists twice. Pages that are never filled take no memory.
            keys.reserveCapacity(room)
        }
        keys.append(key)
        return keys.count >= room
    }

    /// Notes that another sample, whose entries are added to this one, is cut.
    public mutating func merge(isCut other: Bool) { isCut = isCut || other }

    /// The entries of the sample, in the order of their keys: the lowest, one per content.
    public mutating func lowest() -> [Int] {
        let order = keys.indices.sorted { keys[$0] < keys[$1] }
        var kept: [Int] = []
        kept.reserveCapacity(min(order.count, capacity))
        for index in order {
            if let last = kept.last, keys[last].hash == keys[index].hash { continue }
            guard kept.count < capacity else {
                isCut = true
                break
            }
            kept.append(index)
        }
        return kept
    }

    /// Drops the keys that are not in the sample, and sorts the others.
    ///
    /// - Returns: the entries that stay; entry `i` is the i-th of them from now on.
    public mutating func settle() -> [Int] {
        let lowest = lowest()
        keys = lowest.map { keys[$0] }
        return lowest
    }

    /// Drops the keys that are not in the sample, in place.
    ///
    /// - Returns: the entries that stay, in ascending order; entry `i` is the i-th of them from now on.
    public mutating func shrink() -> [Int] {
        let lowest = lowest()
        // The last key stays admissible for its own content, since an earlier record with it may still come.
        if lowest.count == capacity, let last = lowest.last {
            limit = Key(draw: keys[last].draw, hash: keys[last].hash, ordinal: .max)
        }
        let staying = lowest.sorted()
        for (to, from) in staying.enumerated() { keys[to] = keys[from] }
        keys.removeLast(keys.count - staying.count)
        return staying
    }
}

extension BottomSample.Key: ByteCodable {
    public func write(to bytes: inout ByteWriter) {
        bytes.write(draw)
        bytes.write(hash)
        bytes.write(ordinal)
    }

    public init(from bytes: inout ByteReader) throws(StageError) {
        (draw, hash, ordinal) = (try bytes.read(), try bytes.read(), try bytes.read())
    }
}

extension BottomSample: ByteCodable {
    public func write(to bytes: inout ByteWriter) {
        bytes.write([capacity, slack])
        bytes.write(isCut)
        bytes.write(limit)
        bytes.write(keys)
    }

    public init(from bytes: inout ByteReader) throws(StageError) {
        let sizes = try bytes.read([Int].self)
        guard sizes.count == 2, sizes[0] > 0, sizes[1] > 0 else { throw ByteReader.damaged("a sample has no capacity") }
        (capacity, slack) = (sizes[0], sizes[1])
        isCut = try bytes.read()
        limit = try bytes.read()
        keys = try bytes.read()
    }
}
