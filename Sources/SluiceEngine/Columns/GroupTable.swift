import SluiceCore

/// The groups of a selection: their keys, ascending, their numbers of rows and their weights.
struct GroupTable: Sendable {
    /// Empty if all records form one group.
    private(set) var keys: [Int64] = []
    private(set) var sizes: [Int] = []
    /// Empty if the selection names no weights.
    private(set) var weights: [Int] = []

    /// One group of all records; no group if there are no records.
    init(all rows: Int) { sizes = rows > 0 ? [rows] : [] }

    init(keys: [Int64], sizes: [Int], weights: [Int] = []) {
        (self.keys, self.sizes, self.weights) = (keys, sizes, weights)
    }

    /// Some of the groups.
    func slice(_ groups: Range<Int>) -> GroupTable {
        GroupTable(
            keys: keys.isEmpty ? [] : Array(keys[groups]), sizes: Array(sizes[groups]),
            weights: weights.isEmpty ? [] : Array(weights[groups]))
    }

    /// The groups of both tables.
    ///
    /// - Returns: nil if the sum of weights of a group exceeds an `Int`.
    func merged(with other: GroupTable) -> GroupTable? {
        if keys.isEmpty, other.keys.isEmpty {
            guard count > 0, other.count > 0 else { return count > 0 ? self : other }
            guard let weights = Self.sum(weights, other.weights) else { return nil }
            return GroupTable(keys: [], sizes: [sizes[0] + other.sizes[0]], weights: weights)
        }
        var result = GroupTable(keys: [], sizes: [])
        result.keys.reserveCapacity(count + other.count)
        result.sizes.reserveCapacity(count + other.count)
        var (a, b) = (0, 0)
        while a < count || b < other.count {
            let first = a < count && (b == other.count || keys[a] <= other.keys[b])
            let second = b < other.count && (a == count || other.keys[b] <= keys[a])
            result.keys.append(first ? keys[a] : other.keys[b])
            result.sizes.append((first ? sizes[a] : 0) + (second ? other.sizes[b] : 0))
            if !(weights.isEmpty && other.weights.isEmpty) {
                let (sum, overflows) = (first ? weights[a] : 0).addingReportingOverflow(second ? other.weights[b] : 0)
                if overflows { return nil }
                result.weights.append(sum)
            }
            a += first ? 1 : 0
            b += second ? 1 : 0
        }
        return result
    }

    private static func sum(_ a: [Int], _ b: [Int]) -> [Int]? {
        var result: [Int] = []
        for (a, b) in zip(a, b) {
            let (sum, overflows) = a.addingReportingOverflow(b)
            if overflows { return nil }
            result.append(sum)
        }
        return result
    }

    var count: Int { sizes.count }

    /// The group of a key.
    func index(of key: Int64) -> Int? {
        if keys.isEmpty { return sizes.isEmpty ? nil : 0 }
        var (low, high) = (0, keys.count)
        while low < high {
            let middle = low + (high - low) / 2
            if keys[middle] < key { low = middle + 1 } else { high = middle }
        }
        return low < keys.count && keys[low] == key ? low : nil
    }

    mutating func weigh() { weights = [Int](repeating: 0, count: count) }

    /// - Returns: whether the sum stays within an `Int`.
    mutating func add(_ weight: Int64, to group: Int) -> Bool {
        let (sum, overflows) = weights[group].addingReportingOverflow(Int(weight))
        weights[group] = sum
        return !overflows
    }

    /// Bytes of a table of this many groups, including the quotas.
    static func bytes(_ groups: Int) -> Int { groups * 24 }
}

/// Counts the rows of each key in flat arrays: keys are collected, sorted, and merged into the counts so far.
struct GroupCounter {
    private var keys: [Int64] = []
    private var sizes: [Int] = []
    private var pending: [Int64] = []
    /// Ensures that this many bytes are leased.
    private let lease: (_ bytes: Int, _ groups: Int) throws -> Void

    private static let leastPending = 1 << 16

    init(lease: @escaping (_ bytes: Int, _ groups: Int) throws -> Void) throws {
        self.lease = lease
        try lease(8 * Self.leastPending, 1)
        pending.reserveCapacity(Self.leastPending)
    }

    mutating func add(_ key: Int64) throws {
        pending.append(key)
        // As many keys as groups, so that merging costs no more than sorting.
        if pending.count >= max(Self.leastPending, keys.count / 2) { try settle() }
    }

    consuming func table() throws -> GroupTable {
        try settle()
        return GroupTable(keys: keys, sizes: sizes)
    }

    private mutating func settle() throws {
        guard !pending.isEmpty else { return }
        pending.sort()
        let total = merge { _, _ in }
        // The old and the new table at the same time, and the collected keys: half as many as there will be groups.
        try lease(16 * (keys.count + total) + 8 * max(Self.leastPending, total / 2) + 8 * pending.count, total)
        var (mergedKeys, mergedSizes): ([Int64], [Int]) = ([], [])
        mergedKeys.reserveCapacity(total)
        mergedSizes.reserveCapacity(total)
        _ = merge { key, size in
            mergedKeys.append(key)
            mergedSizes.append(size)
        }
        (keys, sizes) = (mergedKeys, mergedSizes)
        pending = []
        pending.reserveCapacity(max(Self.leastPending, keys.count / 2))
    }

    /// Visits all keys in order; returns their number.
    private func merge(_ body: (_ key: Int64, _ size: Int) -> Void) -> Int {
        var (old, new, total) = (0, 0, 0)
        while old < keys.count || new < pending.count {
            let key = new == pending.count || (old < keys.count && keys[old] < pending[new]) ? keys[old] : pending[new]
            var size = 0
            if old < keys.count, keys[old] == key {
                size = sizes[old]
                old += 1
            }
            while new < pending.count, pending[new] == key {
                size += 1
                new += 1
            }
            body(key, size)
            total += 1
        }
        return total
    }
}

extension GroupTable: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(keys)
        bytes.write(sizes)
        bytes.write(weights)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        self.init(keys: try bytes.read(), sizes: try bytes.read(), weights: try bytes.read())
        guard keys.isEmpty ? count <= 1 : keys.count == count, weights.isEmpty || weights.count == count else {
            throw ByteReader.damaged("a table of groups has \(keys.count) keys and \(count) sizes")
        }
    }
}
