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
        let (n, m) = (chosen.count, pool.count)
        if n < 2 || m < 2 { return nil }
        precondition(
            chosen.dimension == pool.dimension, "vectors of dimension \(chosen.dimension), a pool of \(pool.dimension)")
        let scale = Quantizer(dimension: chosen.dimension).scale
        let unit = 1 / (scale * scale)
        let norms = chosen.normBuffer(parallel)
        let poolNorms = pool.normBuffer(parallel)
        let packed = Packed(chosen.base, count: n, dimension: chosen.dimension, norms: nil)
        let packedPool = Packed(pool.base, count: m, dimension: pool.dimension, norms: nil)
        let novelty = Buffer<Double>(n)
        parallel.pieces(of: n, size: 24) { range in
            let products = Buffer<Int32>(max(n, m) * range.count)
            packedPool.products(chosen.row(range.lowerBound), count: range.count, into: products.base, stride: m)
            for (t, row) in range.enumerated() {
                var distances = (0..<m).map { norms.base[row] + poolNorms.base[$0] - 2 * products.base[t * m + $0] }
                let near = min(11, m)
                distances.withUnsafeMutableBufferPointer { partition($0.baseAddress!, count: $0.count, smallest: near) }
                var nearest = distances[..<near].sorted()
                if nearest[0] == 0 { nearest.removeFirst() } else if nearest.count > 10 { nearest.removeLast() }
                let mean = nearest.reduce(0.0) { $0 + Double($1) * unit } / Double(nearest.count)
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
