import CVectorKernels

/// The rows with the largest keys («farthest first, ties to the lowest row») seen so far, with their vectors.
///
/// The result does not depend on the order in which rows are offered. After a pass over all rows, either fewer than
/// `capacity` rows were eligible and all are here, or every other row has a smaller key than the smallest one here.
/// Since distances only shrink, that stays true.
final class Candidates {
    let capacity: Int
    let dimension: Int
    private(set) var keys: [UInt64] = []
    private var vectors: Buffer<Int8>
    private var spare: Buffer<Int8>
    /// The smallest key when full; only larger keys are accepted.
    private(set) var floor: UInt64 = 0

    init(capacity: Int, dimension: Int) {
        self.capacity = capacity
        self.dimension = dimension
        vectors = Buffer(capacity * dimension)
        spare = Buffer(capacity * dimension)
    }

    var count: Int { keys.count }
    var base: UnsafePointer<Int8> { UnsafePointer(vectors.base) }
    func vector(_ slot: Int) -> UnsafePointer<Int8> { UnsafePointer(vectors.base + slot * dimension) }

    /// The least value that can still be accepted.
    var threshold: Int32 { keys.count == capacity ? keyValue(floor) : Int32.min }

    func removeAll() {
        keys.removeAll(keepingCapacity: true)
        floor = 0
    }

    /// Offers rows of a chunk whose first row is `start` and whose vectors begin at `from`.
    func offer(_ offered: inout [UInt64], start: Int, from: UnsafePointer<Int8>) {
        if keys.count == capacity { offered.removeAll { $0 < floor } }
        guard !offered.isEmpty else { return }
        if offered.count > capacity {
            Self.keepLargest(capacity, &offered)
        }
        var all = [Entry]()
        all.reserveCapacity(keys.count + offered.count)
        for (slot, key) in keys.enumerated() { all.append(Entry(key: key, slot: slot)) }
        for key in offered { all.append(Entry(key: key, slot: -1)) }
        if all.count > capacity {
            all.withUnsafeMutableBufferPointer { partition($0.baseAddress!, count: $0.count, smallest: capacity) }
            all.removeSubrange(capacity...)
        }
        for (slot, entry) in all.enumerated() {
            let source =
                entry.slot >= 0
                ? UnsafePointer(vectors.base) + entry.slot * dimension : from + (keyRow(entry.key) - start) * dimension
            (spare.base + slot * dimension).update(from: source, count: dimension)
        }
        swap(&vectors, &spare)
        keys = all.map(\.key)
        if keys.count == capacity { floor = keys.min()! }
    }

    private static func keepLargest(_ count: Int, _ keys: inout [UInt64]) {
        for i in keys.indices { keys[i] = ~keys[i] }
        keys.withUnsafeMutableBufferPointer { partition($0.baseAddress!, count: $0.count, smallest: count) }
        keys.removeSubrange(count...)
        for i in keys.indices { keys[i] = ~keys[i] }
    }

    /// Larger keys come first.
    private struct Entry: Comparable, BitwiseCopyable {
        var key: UInt64
        var slot: Int
        @inline(__always) static func < (a: Entry, b: Entry) -> Bool { a.key > b.key }
        @inline(__always) static func == (a: Entry, b: Entry) -> Bool { a.key == b.key }
    }

    /// Removes a slot; the last one takes its place.
    func remove(_ slot: Int) {
        let last = keys.count - 1
        if slot != last {
            keys[slot] = keys[last]
            (vectors.base + slot * dimension).update(from: vectors.base + last * dimension, count: dimension)
        }
        keys.removeLast()
    }

    func shrink(_ slot: Int, to value: Int32) {
        if value < keyValue(keys[slot]) { keys[slot] = farKey(value, keyRow(keys[slot])) }
    }

    /// The slot of the key at `rank` (0 is the largest).
    func slot(rank: Int) -> Int {
        if rank == 0 {
            var best = 0
            for slot in keys.indices where keys[slot] > keys[best] { best = slot }
            return best
        }
        var copy = keys.enumerated().map { Entry(key: $0.element, slot: $0.offset) }
        copy.withUnsafeMutableBufferPointer { partition($0.baseAddress!, count: $0.count, smallest: rank + 1) }
        return copy[...rank].max()!.slot
    }
}
