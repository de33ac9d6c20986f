public import SluiceCore

/// Measures of a chosen set against its pool. All are deterministic and the same for every width.
public enum SelectionMetrics {
    /// Radius, mean and quantiles of the distances from the pool's rows to the nearest chosen vector; nil if either is
    /// empty. Cost: n·k·d multiply-adds.
    public static func coverage(of pool: VectorView, by chosen: VectorView, parallel: Parallel = .serial)
        -> Certificate?
    {
        guard chosen.count > 0 else { return nil }
        let squared = Assigner(centres: chosen).assign(pool, parallel: parallel).squaredDistances
        return Certificate(
            squaredDistances: squared, separation: 0, quantizer: Quantizer(dimension: pool.dimension),
            parallel: parallel)
    }

    /// The effective rank of a set: the exponential of the entropy of the eigenvalues of X Xᵀ / n (Friedman and Dieng,
    /// «The Vendi Score», 2023), 1 to d.
    ///
    /// Computed from the d x d matrix, which has the same eigenvalues. 0 for an empty set or only zero vectors.
    public static func effectiveRank(_ moments: Moments, parallel: Parallel = .serial) -> Double {
        let eigen = SymmetricEigen(moments.gramMatrix(), dimension: moments.dimension, parallel: parallel)
        var total = 0.0
        for value in eigen.values where value > 0 { total += value }
        if total == 0 { return 0 }
        var entropy = 0.0
        for value in eigen.values where value > 0 {
            let share = value / total
            entropy -= share * Elementary.log(share)
        }
        return Elementary.exp(entropy)
    }

    /// The mean, over the rows of a chosen set, of the chord distances to its other rows weighted by 1/rank (nearest
    /// first): NovelSum (Yang et al., arXiv 2502.17184) without its density factor, which needs the pool. nil for fewer
    /// than two rows.
    ///
    /// Cost: k² · (d + log k) steps, suitable for thousands of rows.
    public static func rankedNovelty(_ chosen: VectorView, parallel: Parallel = .serial) -> Double? {
        let n = chosen.count
        if n < 2 { return nil }
        let quantizer = Quantizer(dimension: chosen.dimension)
        let norms = chosen.normBuffer(parallel)
        let packed = Packed(chosen.base, count: n, dimension: chosen.dimension, norms: nil)
        let novelty = Buffer<Double>(n)
        parallel.pieces(of: n, size: 48) { range in
            let products = Buffer<Int32>(n * range.count)
            packed.products(chosen.row(range.lowerBound), count: range.count, into: products.base, stride: n)
            for (t, row) in range.enumerated() {
                var distances: [Int32] = []
                distances.reserveCapacity(n - 1)
                for other in 0..<n where other != row {
                    distances.append(norms.base[row] + norms.base[other] - 2 * products.base[t * n + other])
                }
                distances.sort()
                var sum = 0.0
                var weights = 0.0
                for (rank, distance) in distances.enumerated() {
                    let weight = 1 / Double(rank + 1)
                    sum += weight * quantizer.chord(fromSquared: distance)
                    weights += weight
                }
                novelty.base[row] = sum / weights
            }
        }
        var total = 0.0
        for row in 0..<n { total += novelty[row] }
        return total / Double(n)
    }
}
