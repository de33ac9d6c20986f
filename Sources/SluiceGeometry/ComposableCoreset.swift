public import SluiceCore

/// Farthest-first in two rounds, for pools where rows times picks is too much: k picks in each part of fixed size, then
/// k picks among those (Malkomes et al., «Fast distributed k-center clustering with outliers», NeurIPS 2015).
///
/// Let δ be the distance of the next pick, in each part and in the union. The radius is at most δ(union) + max δ(part),
/// and no k centres have a radius below max(δ(union), δ(part)...)/2, so the certified factor is at most 4 by
/// construction. The result depends on the parts, that is on the definition, never on memory or threads.
///
/// Cost: n·k·d multiply-adds for the parts in passes that fit the cache, (n/size)·k²·d for the union, n·k·d to verify
/// the radius.
public struct ComposableCoreset: Sendable {
    public let dimension: Int
    public let budget: Int
    private var rows: [Int] = []
    private var vectors: [Int8] = []
    private var partSeparation: Int32 = 0

    public init(dimension: Int, budget: Int) {
        self.dimension = dimension
        self.budget = budget
    }

    /// The picks of one part; independent of all other parts.
    public struct Part: Sendable {
        var rows: [Int]
        var vectors: [Int8]
        var separation: Int32
    }

    /// The first round for one part.
    /// - Parameters:
    ///   - firstRow: the number of the part's first row in the pool.
    ///   - first: the first pick, as a number inside the part.
    ///   - already: vectors that are centres from the start, the same for all parts and the union. The bound then holds
    ///     for `budget` rows in addition to these, and `first` is ignored.
    public func part(
        _ part: VectorView, firstRow: Int, first: Int = 0, already: VectorView? = nil, parallel: Parallel = .serial
    ) -> Part {
        guard part.count > 0, budget > 0 else { return Part(rows: [], vectors: [], separation: 0) }
        let selection = FarthestFirst.select(
            part, count: budget, first: already == nil ? first : nil, already: already, parallel: parallel)
        var vectors: [Int8] = []
        vectors.reserveCapacity(selection.picks.count * dimension)
        for row in selection.picks {
            vectors.append(contentsOf: UnsafeBufferPointer(start: part.row(row), count: dimension))
        }
        return Part(
            rows: selection.picks.map { $0 + firstRow }, vectors: vectors, separation: selection.nextDistance ?? 0)
    }

    /// Adds a part. Parts must come in order, since the order affects the result.
    public mutating func add(_ part: Part) {
        rows += part.rows
        vectors += part.vectors
        partSeparation = max(partSeparation, part.separation)
    }

    /// Runs the second round.
    /// - Parameter first: the pool row to start with; one of the parts' picks.
    /// - Returns: the chosen rows of the pool in order, their vectors, and the squared separation that certifies the
    ///   lower bound.
    public func finish(
        first: Int, already: VectorView? = nil, parallel: Parallel = .serial
    ) -> (picks: [Int], vectors: [Int8], separation: Int32) {
        let start = already == nil ? rows.firstIndex(of: first) : nil
        guard start != nil || already != nil else { return ([], [], 0) }
        return vectors.withVectors(dimension: dimension) { view in
            let selection = FarthestFirst.select(
                view, count: budget, first: start, already: already, parallel: parallel)
            var chosen: [Int8] = []
            for pick in selection.picks {
                chosen.append(contentsOf: UnsafeBufferPointer(start: view.row(pick), count: dimension))
            }
            return (selection.picks.map { rows[$0] }, chosen, max(partSeparation, selection.nextDistance ?? 0))
        }
    }

    /// Runs both rounds and the verification over vectors in memory.
    /// - Parameter first: the first pick of its part and of the union; other parts start at their first row.
    public static func select(
        _ pool: VectorView, count: Int, partSize: Int, first: Int = 0, parallel: Parallel = .serial
    ) -> (picks: [Int], nearest: [UInt32], squaredDistances: [Int32], certificate: Certificate?) {
        precondition(partSize > 0, "a part needs rows")
        guard pool.count > 0, count > 0 else { return ([], [], [], nil) }
        var coreset = ComposableCoreset(dimension: pool.dimension, budget: count)
        for start in stride(from: 0, to: pool.count, by: partSize) {
            let range = start..<min(pool.count, start + partSize)
            coreset.add(
                coreset.part(
                    pool[range], firstRow: start, first: range.contains(first) ? first - start : 0, parallel: parallel))
        }
        let (picks, vectors, separation) = coreset.finish(first: first, parallel: parallel)
        let (nearest, squared) = vectors.withVectors(dimension: pool.dimension) {
            Assigner(centres: $0).assign(pool, parallel: parallel)
        }
        return (
            picks, nearest, squared,
            Certificate(
                squaredDistances: squared, separation: picks.count == pool.count ? 0 : separation,
                quantizer: Quantizer(dimension: pool.dimension), parallel: parallel)
        )
    }
}
