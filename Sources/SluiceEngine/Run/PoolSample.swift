import SluiceCore

/// The vectors of the contents with the smallest draws.
struct PoolSample {
    private struct Key: Comparable {
        let draw: UInt64
        let hash: ContentHash
        /// Of equal contents, the first one seen counts.
        let row: Int

        static func < (a: Key, b: Key) -> Bool { (a.draw, a.hash, a.row) < (b.draw, b.hash, b.row) }
    }

    let capacity: Int
    private var keys: [Key] = []
    private(set) var vectors: [Int8] = []
    private var limit = UInt64.max

    init(capacity: Int) { self.capacity = capacity }

    var count: Int { keys.count }

    mutating func offer(_ draw: UInt64, _ hash: ContentHash, _ vector: ArraySlice<Int8>) {
        guard capacity > 0, draw <= limit else { return }
        keys.append(Key(draw: draw, hash: hash, row: keys.count))
        vectors += vector
        if keys.count >= capacity + max(1024, capacity / 4) { settle() }
    }

    /// Sorts the rows by draw, keeps one per content, and drops those beyond the capacity.
    mutating func settle() {
        guard !keys.isEmpty else { return }
        let dimension = vectors.count / keys.count
        var order: [Key] = []
        for key in keys.sorted() where order.last?.hash != key.hash {
            guard order.count < capacity else { break }
            order.append(key)
        }
        vectors = order.flatMap { vectors[($0.row * dimension)..<(($0.row + 1) * dimension)] }
        keys = order.enumerated().map { Key(draw: $1.draw, hash: $1.hash, row: $0) }
        if keys.count == capacity, let last = keys.last { limit = last.draw }
    }
}
