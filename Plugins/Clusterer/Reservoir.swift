import SluiceCore

/// A uniform sample of bounded size of the distinct contents of a stream: the vectors whose contents draw the smallest
/// keys (bottom-k).
///
/// The key is derived from the content hash and the seed, so the sample does not depend on record order, blocks or
/// threads, and merging is exact. Of equal contents the lowest ordinal counts. Memory: at most `capacity · 5/4 + 1024`
/// entries of `dimension + 40` bytes.
struct Reservoir: Sendable {
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

    let capacity: Int
    private(set) var dimension = 0
    /// The number of records seen.
    private(set) var seen = 0
    private(set) var keys: [Key] = []
    /// The vector of `keys[i]` is row `i`.
    private(set) var vectors: [Int8] = []
    /// Keys must be below this one to enter; nil while there is room.
    private var limit: Key?
    /// Whether it has no room for some content that it was offered.
    private(set) var isCut = false

    init(capacity: Int) { self.capacity = capacity }

    static func bytes(capacity: Int, dimension: Int) -> Int {
        // A key and its position in the order.
        (capacity + slack(capacity)) * (dimension + MemoryLayout<Key>.stride + 8)
    }

    private static func slack(_ capacity: Int) -> Int { max(1024, capacity / 4) }

    mutating func offer(_ key: Key, _ vector: ArraySlice<Int8>) {
        seen += 1
        add(key, vector)
    }

    mutating func merge(_ other: Reservoir) {
        seen += other.seen
        isCut = isCut || other.isCut
        for (row, key) in other.keys.enumerated() {
            add(key, other.vectors[(row * other.dimension)..<((row + 1) * other.dimension)])
        }
    }

    private mutating func add(_ key: Key, _ vector: ArraySlice<Int8>) {
        if let limit, !(key < limit) {
            isCut = true
            return
        }
        if keys.isEmpty {
            // Reserved once: a growing array briefly exists twice. Pages that are never filled take no memory.
            dimension = vector.count
            keys.reserveCapacity(capacity + Self.slack(capacity))
            vectors.reserveCapacity((capacity + Self.slack(capacity)) * dimension)
        }
        keys.append(key)
        vectors += vector
        if keys.count >= capacity + Self.slack(capacity) { shrink() }
    }

    /// The entries to keep, in key order: the lowest, one per content.
    private mutating func lowest() -> [Int] {
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

    /// Drops the entries over the capacity, in place.
    private mutating func shrink() {
        let lowest = lowest()
        // The last key stays admissible for its own content, since an earlier record with it may still come.
        if lowest.count == capacity, let last = lowest.last {
            limit = Key(draw: keys[last].draw, hash: keys[last].hash, ordinal: .max)
        }
        let dimension = dimension
        for (to, from) in lowest.sorted().enumerated() where to != from {
            keys[to] = keys[from]
            vectors.withUnsafeMutableBufferPointer { vectors in
                for index in 0..<dimension { vectors[to * dimension + index] = vectors[from * dimension + index] }
            }
        }
        keys.removeLast(keys.count - lowest.count)
        vectors.removeLast(vectors.count - lowest.count * dimension)
    }

    /// Sorts the entries by key, one per content, and drops those over the capacity.
    mutating func settle() {
        let lowest = lowest()
        var settled: [Int8] = []
        settled.reserveCapacity(lowest.count * dimension)
        for index in lowest { settled += vectors[(index * dimension)..<((index + 1) * dimension)] }
        keys = lowest.map { keys[$0] }
        vectors = settled
    }
}

extension Reservoir.Key {
    func write(to bytes: inout ByteWriter) {
        bytes.write(draw)
        bytes.write(hash)
        bytes.write(ordinal)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        (draw, hash, ordinal) = (try bytes.read(), try bytes.read(), try bytes.read())
    }
}

extension Reservoir: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(capacity)
        bytes.write(dimension)
        bytes.write(seen)
        bytes.write(isCut)
        bytes.write(limit)
        bytes.write(keys)
        bytes.write(vectors)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        capacity = try bytes.read()
        dimension = try bytes.read()
        seen = try bytes.read()
        isCut = try bytes.read()
        limit = try bytes.read()
        keys = try bytes.read()
        vectors = try bytes.read()
        guard capacity > 0, dimension >= 0, seen >= keys.count,
            keys.count.multipliedReportingOverflow(by: dimension) == (vectors.count, false)
        else { throw ByteReader.damaged("a reservoir of \(keys.count) records has \(vectors.count) numbers") }
    }
}
