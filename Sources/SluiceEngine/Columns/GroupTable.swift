/// The groups of a selection: their keys, ascending, their numbers of rows and their weights.
struct GroupTable: Sendable {
    /// Empty if all records form one group.
    private(set) var keys: [Int64] = []
    private(set) var sizes: [Int] = []
    /// Empty if the selection names no weights.
    private(set) var weights: [Int] = []

    /// One group of all records; no group if there are no records.
    init(all rows: Int) { sizes = rows > 0 ? [rows] : [] }

    fileprivate init(keys: [Int64], sizes: [Int]) {
        self.keys = keys
        self.sizes = sizes
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
