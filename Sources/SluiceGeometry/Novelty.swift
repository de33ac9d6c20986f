public import SluiceCore

extension SelectionMetrics {
    /// NovelSum of a chosen set (Yang et al., «Measuring Data Diversity for Instruction Tuning», arXiv 2502.17184), the
    /// diversity measure that correlated best with the quality of tuned models there: the mean, over the chosen rows,
    /// of the cosine distances to all chosen rows weighted by 1/rank (nearest first, the row itself with its 0 at rank
    /// 1), times the root of the row's sparseness in the pool, 1 / (mean squared chord to its 10 nearest rows of the
    /// pool).
    ///
    /// Computed as in the authors' program, with powers 1 and 0.5 and 10 neighbours. One pool row equal to the chosen
    /// row is taken for that row and left out. Cost: chosen · (chosen + pool) · d multiply-adds, suitable for thousands
    /// of chosen rows. Returns nil for fewer than two chosen rows or pool rows.
    public static func novelSum(of chosen: VectorView, in pool: VectorView, parallel: Parallel = .serial) -> Double? {
        novelSum(of: chosen, parallel: parallel) { $0(pool) }
    }

    /// The same for a pool that comes in pieces, in any order. The result doesn't depend on the pieces.
    ///
    /// - Parameter forEachPiece: calls its argument with each piece of the pool.
    public static func novelSum<Failure: Error>(
        of chosen: VectorView, parallel: Parallel = .serial,
        forEachPiece: ((VectorView) -> Void) throws(Failure) -> Void
    ) throws(Failure) -> Double? {
        let n = chosen.count
        if n < 2 { return nil }
        let scale = Quantizer(dimension: chosen.dimension).scale
        let unit = 1 / (scale * scale)
        let norms = chosen.normBuffer(parallel)
        let packed = Packed(chosen.base, count: n, dimension: chosen.dimension, norms: nil)
        let nearest = NearestOfPool(rows: n)
        try forEachPiece { nearest.add($0, to: chosen, norms, parallel) }
        if nearest.seen < 2 { return nil }
        let novelty = Buffer<Double>(n)
        parallel.pieces(of: n, size: 24) { range in
            let products = Buffer<Int32>(n * range.count)
            for row in range {
                let near = nearest.distances(of: row)
                let mean = near.reduce(0.0) { $0 + Double($1) * unit } / Double(near.count)
                novelty.base[row] = 1 / (mean + 1e-9).squareRoot()
            }
            packed.products(chosen.row(range.lowerBound), count: range.count, into: products.base, stride: n)
            for (t, row) in range.enumerated() {
                let distances = (0..<n).map { norms.base[row] + norms.base[$0] - 2 * products.base[t * n + $0] }
                    .sorted()
                var (sum, weights) = (0.0, 0.0)
                for (rank, distance) in distances.enumerated() {
                    sum += Double(distance) * unit / 2 / Double(rank + 1)
                    weights += 1 / Double(rank + 1)
                }
                novelty.base[row] *= sum / weights
            }
        }
        var total = 0.0
        for row in 0..<n { total += novelty[row] }
        return total / Double(n)
    }
}

/// For each chosen row the squared distances to its nearest rows of a pool that comes in pieces.
private final class NearestOfPool: @unchecked Sendable {
    // @unchecked: pieces of parallel work write to different rows.

    /// One more than are used, since the row itself may be among them.
    private static let most = 11

    private(set) var seen = 0
    private let held: Buffer<Int32>
    private let rows: Int

    init(rows: Int) {
        self.rows = rows
        held = Buffer<Int32>(rows * Self.most)
        for i in 0..<(rows * Self.most) { held.base[i] = .max }
    }

    func add(_ pool: VectorView, to chosen: VectorView, _ norms: Buffer<Int32>, _ parallel: Parallel) {
        let m = pool.count
        if m == 0 { return }
        precondition(
            chosen.dimension == pool.dimension, "vectors of dimension \(chosen.dimension), a pool of \(pool.dimension)")
        seen += m
        let poolNorms = pool.normBuffer(parallel)
        let packed = Packed(pool.base, count: m, dimension: pool.dimension, norms: nil)
        parallel.pieces(of: rows, size: 24) { range in
            let products = Buffer<Int32>(m * range.count)
            packed.products(chosen.row(range.lowerBound), count: range.count, into: products.base, stride: m)
            for (t, row) in range.enumerated() {
                var distances = (0..<m).map { norms.base[row] + poolNorms.base[$0] - 2 * products.base[t * m + $0] }
                let near = min(Self.most, m)
                distances.withUnsafeMutableBufferPointer { partition($0.baseAddress!, count: $0.count, smallest: near) }
                let own = held.base + row * Self.most
                let merged = (Array(distances[..<near]) + (0..<Self.most).map { own[$0] }).sorted()
                for i in 0..<Self.most { own[i] = merged[i] }
            }
        }
    }

    /// Without one row of the pool that equals the chosen one, or without the farthest.
    func distances(of row: Int) -> [Int32] {
        var nearest = (0..<min(Self.most, seen)).map { held.base[row * Self.most + $0] }
        if nearest[0] == 0 { nearest.removeFirst() } else if nearest.count > Self.most - 1 { nearest.removeLast() }
        return nearest
    }
}
