public import SluiceCore

/// Sensitivity sampling (Axiotis et al., «Data-Efficient Learning via Clustering-Based Sensitivity Sampling», ICML
/// 2024): rows are drawn without replacement with weights `d² / Σ d² + 1/n`, d the distance to the k-means centroid, so
/// that the average loss over the sample estimates that over all rows.
///
/// The draw is an exponential race: a row's key is `-ln(u) / weight` with u from its content hash and the seed, and the
/// smallest keys win. So it depends on contents, never on positions, and a larger budget's choice contains a smaller
/// one's. `Elementary.log` makes the keys the same everywhere.
public enum Sensitivity {
    /// `count` rows (all, if there are fewer), in row order.
    /// - Parameters:
    ///   - squaredDistances: of each row to its centroid.
    ///   - hashes: of each row's content; equal contents draw equal numbers, and ties go to the lowest row.
    public static func select(squaredDistances: [Int32], hashes: [ContentHash], count: Int, seed: Seed) -> [Int] {
        precondition(
            squaredDistances.count == hashes.count, "\(hashes.count) hashes for \(squaredDistances.count) rows")
        let n = squaredDistances.count
        let count = min(max(0, count), n)
        if count == 0 { return [] }
        var total: Int64 = 0
        for distance in squaredDistances { total += Int64(distance) }
        let keys = (0..<n).map { row -> Double in
            let weight = (total == 0 ? 0 : Double(squaredDistances[row]) / Double(total)) + 1 / Double(n)
            return -Elementary.log(uniform(seed.draw(hashes[row]))) / weight
        }
        return TopShare.rows(scores: keys.map { -$0 }, count: count).rows
    }

    /// A Double in (0, 1), the middle of one of 2^52 equal parts.
    private static func uniform(_ draw: UInt64) -> Double { (Double(draw >> 12) + 0.5) / 4_503_599_627_370_496 }
}
