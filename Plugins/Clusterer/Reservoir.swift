import SluiceCore

/// A uniform sample of the vectors of distinct contents: see `BottomSample`.
///
/// Memory: at most `capacity · 5/4 + 1024` entries of `dimension + 40` bytes.
struct Reservoir: Sendable {
    private var sample: BottomSample
    private(set) var dimension = 0
    /// The number of records seen.
    private(set) var seen = 0
    /// The vector of `keys[i]` is row `i`.
    private(set) var vectors: [Int8] = []

    /// Whether it has no room for some content that it was offered.
    var isCut: Bool { sample.isCut }
    var capacity: Int { sample.capacity }
    var keys: [BottomSample.Key] { sample.keys }

    init(capacity: Int) { sample = BottomSample(capacity: capacity, slack: Self.slack(capacity)) }

    static func bytes(capacity: Int, dimension: Int) -> Int {
        // A key and its position in the order.
        (capacity + slack(capacity)) * (dimension + MemoryLayout<BottomSample.Key>.stride + 8)
    }

    private static func slack(_ capacity: Int) -> Int { max(1024, capacity / 4) }

    mutating func offer(_ key: BottomSample.Key, _ vector: ArraySlice<Int8>) {
        seen += 1
        add(key, vector)
    }

    mutating func merge(_ other: Reservoir) {
        seen += other.seen
        sample.merge(isCut: other.isCut)
        for (row, key) in other.keys.enumerated() {
            add(key, other.vectors[(row * other.dimension)..<((row + 1) * other.dimension)])
        }
    }

    private mutating func add(_ key: BottomSample.Key, _ vector: ArraySlice<Int8>) {
        guard sample.admits(key) else { return }
        if vectors.isEmpty {
            // As the keys: reserved once.
            dimension = vector.count
            vectors.reserveCapacity(sample.room * dimension)
        }
        vectors += vector
        if sample.append(key) { shrink() }
    }

    /// Drops the entries over the capacity, in place.
    private mutating func shrink() {
        let dimension = dimension
        let staying = sample.shrink()
        vectors.withUnsafeMutableBufferPointer { vectors in
            for (to, from) in staying.enumerated() where to != from {
                for index in 0..<dimension { vectors[to * dimension + index] = vectors[from * dimension + index] }
            }
        }
        vectors.removeLast(vectors.count - staying.count * dimension)
    }

    /// Sorts the entries by key, one per content, and drops those over the capacity.
    mutating func settle() {
        let staying = sample.settle()
        var settled: [Int8] = []
        settled.reserveCapacity(staying.count * dimension)
        for index in staying { settled += vectors[(index * dimension)..<((index + 1) * dimension)] }
        vectors = settled
    }
}

extension Reservoir: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(sample)
        bytes.write(dimension)
        bytes.write(seen)
        bytes.write(vectors)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        sample = try bytes.read()
        dimension = try bytes.read()
        seen = try bytes.read()
        vectors = try bytes.read()
        guard dimension >= 0, seen >= keys.count,
            keys.count.multipliedReportingOverflow(by: dimension) == (vectors.count, false)
        else { throw ByteReader.damaged("a reservoir of \(keys.count) records has \(vectors.count) numbers") }
    }
}
