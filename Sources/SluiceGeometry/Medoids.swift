public import SluiceCore

/// Medoids: k-means with one cluster per wanted row, then the row of each cluster nearest to its centroid.
///
/// It covers a pool with the least mean distance of all selectors here. Budgets above `flatLimit` take two levels, so
/// that tens of thousands of picks stay cheap: first about √budget clusters, each with a share of the budget by its
/// size (largest remainder), then medoids within each. The result is exact and the same for every width. If rows
/// coincide and clusters stay empty, the rows farthest from their centroids fill the budget (ties to the lowest row).
public struct Medoids: Sendable {
    public var seed: Seed
    public var maximumIterations: Int
    /// The largest budget for which k-means runs with one cluster per pick over all rows. Affects the result.
    public var flatLimit: Int

    public init(seed: Seed, maximumIterations: Int = 20, flatLimit: Int = 1024) {
        self.seed = seed
        self.maximumIterations = maximumIterations
        self.flatLimit = flatLimit
    }

    /// `count` rows, or all if there are fewer, in row order.
    public func select(_ vectors: VectorView, count: Int, parallel: Parallel = .serial) -> [Int] {
        if count <= 0 { return [] }
        if count >= vectors.count { return Array(0..<vectors.count) }
        if count <= flatLimit { return flat(vectors, count: count, seed: seed, parallel) }
        var groups = 1
        while groups * groups < count { groups += 1 }
        let first = KMeans(
            clusters: groups, maximumIterations: maximumIterations, seed: seed.derived(for: "medoid groups")
        )
        .run(vectors, parallel: parallel)
        let shares = Shares.proportional(sizes: first.sizes, total: count)
        var members = [[Int]](repeating: [], count: first.count)
        for (row, label) in first.labels.enumerated() { members[Int(label)].append(row) }
        let chosen = Slots<[Int]>(first.count, [])
        let (groupsOfRows, dimension) = (members, vectors.dimension)
        parallel(first.count) { group in
            let rows = groupsOfRows[group]
            guard shares[group] > 0 else { return }
            let gathered = Buffer<Int8>(rows.count * dimension)
            for (t, row) in rows.enumerated() {
                (gathered.base + t * dimension).update(from: vectors.row(row), count: dimension)
            }
            let view = VectorView(gathered.base, count: rows.count, dimension: dimension)
            let inside =
                shares[group] >= rows.count
                ? Array(rows.indices)
                : flat(view, count: shares[group], seed: seed.derived(for: "medoids", index: group), parallel)
            chosen.base[group] = inside.map { rows[$0] }
        }
        return (0..<first.count).flatMap { chosen.base[$0] }.sorted()
    }

    private func flat(_ vectors: VectorView, count: Int, seed: Seed, _ parallel: Parallel) -> [Int] {
        let clusters = KMeans(clusters: count, maximumIterations: maximumIterations, seed: seed).run(
            vectors, parallel: parallel)
        return Self.nearestMembers(clusters)
    }

    /// The row of each cluster nearest to its centroid, ties to the lowest, in row order; for an empty cluster, the row
    /// farthest from its own centroid.
    public static func nearestMembers(_ clustering: Clustering) -> [Int] {
        var best = [Int](repeating: -1, count: clustering.count)
        for (row, label) in clustering.labels.enumerated() {
            let current = best[Int(label)]
            if current < 0 || clustering.squaredDistances[row] < clustering.squaredDistances[current] {
                best[Int(label)] = row
            }
        }
        var rows = best.filter { $0 >= 0 }
        if rows.count < clustering.count {
            var taken = [Bool](repeating: false, count: clustering.labels.count)
            for row in rows { taken[row] = true }
            let keys = taken.indices.filter { !taken[$0] }.map { farKey(clustering.squaredDistances[$0], $0) }.sorted(
                by: >)
            rows += keys.prefix(clustering.count - rows.count).map(keyRow)
        }
        return rows.sorted()
    }
}

/// Shares of a budget.
public enum Shares {
    /// `total` split in proportion to `sizes` by largest remainder (ties to the lowest index), in exact integers. No
    /// share exceeds its size as long as `total` does not exceed their sum.
    public static func proportional(sizes: [Int], total: Int) -> [Int] {
        let sum = sizes.reduce(0, +)
        if sum == 0 { return sizes.map { _ in 0 } }
        var shares: [Int] = []
        var rests: [(rest: Int, index: Int)] = []
        for (index, size) in sizes.enumerated() {
            let (quotient, rest) = sum.dividingFullWidth(size.multipliedFullWidth(by: total))
            shares.append(quotient)
            rests.append((rest, index))
        }
        rests.sort { $0.rest != $1.rest ? $0.rest > $1.rest : $0.index < $1.index }
        for place in 0..<total - shares.reduce(0, +) { shares[rests[place].index] += 1 }
        return shares
    }
}

/// One slot per piece of parallel work for its result. @unchecked: each piece writes only to its own.
final class Slots<Element>: @unchecked Sendable {
    let base: UnsafeMutablePointer<Element>
    private let count: Int
    init(_ count: Int, _ value: Element) {
        self.count = count
        base = .allocate(capacity: max(1, count))
        base.initialize(repeating: value, count: count)
    }
    deinit {
        base.deinitialize(count: count)
        base.deallocate()
    }
}
