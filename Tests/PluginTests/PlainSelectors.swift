import Glibc
import SluiceCore
import SluiceGeometry

/// The selectors of `coreset` as their papers and docs describe them, row by row in plain arithmetic: n is small; there
/// is no pruning, no streaming and no kernel.
struct PlainSelectors {
    let vectors: [Int8]
    let dimension: Int
    let hashes: [ContentHash]
    let seed: Seed

    var count: Int { hashes.count }

    func row(_ row: Int) -> [Int] {
        vectors[(row * dimension)..<((row + 1) * dimension)].map { Int($0) }
    }

    static func squared(_ a: [Int], _ b: [Int]) -> Int {
        zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    }

    // MARK: By content and by the centre

    func random(_ keep: Int) -> [Int] {
        let order = (0..<count).sorted {
            (seed.draw(hashes[$0]), hashes[$0], $0) < (seed.draw(hashes[$1]), hashes[$1], $1)
        }
        return Array(order.prefix(keep))
    }

    private var cosines: [Double] {
        let rows = (0..<count).map(row)
        let centre = (0..<dimension).map { j in rows.reduce(0) { $0 + $1[j] } }
        return rows.map { row in
            let norm = row.reduce(0) { $0 + $1 * $1 }
            return norm == 0 ? 0 : Double(zip(row, centre).reduce(0) { $0 + $1.0 * $1.1 }) / Double(norm).squareRoot()
        }
    }

    func closest(_ keep: Int) -> [Int] {
        let cosines = cosines
        return Array((0..<count).sorted { (-cosines[$0], $0) < (-cosines[$1], $1) }.prefix(keep))
    }

    func farthest(_ keep: Int) -> [Int] {
        let cosines = cosines
        return Array((0..<count).sorted { (cosines[$0], $0) < (cosines[$1], $1) }.prefix(keep))
    }

    /// Alternates: the closest remaining rows for the first half of the budget, the farthest of the rest for the
    /// second.
    func mixed(_ keep: Int) -> [Int] {
        let near = closest((keep + 1) / 2)
        let far = farthest(count).filter { !near.contains($0) }
        return (0..<keep).map { $0 % 2 == 0 ? near[$0 / 2] : far[$0 / 2] }
    }

    // MARK: Facility location

    func facilityLocation(_ keep: Int) -> [Int] {
        let rows = (0..<count).map(row)
        let longest = rows.map { $0.reduce(0) { $0 + $1 * $1 } }.max() ?? 0
        var least = [Int](repeating: 4 * longest, count: count)
        var picks: [Int] = []
        while picks.count < keep {
            var best: (gain: Int, row: Int)?
            for candidate in 0..<count where !picks.contains(candidate) {
                let gain = (0..<count).reduce(0) { $0 + max(0, least[$1] - Self.squared(rows[$1], rows[candidate])) }
                if best == nil || gain > best!.gain { best = (gain, candidate) }
            }
            guard let pick = best?.row else { break }
            picks.append(pick)
            for i in 0..<count { least[i] = min(least[i], Self.squared(rows[i], rows[pick])) }
        }
        return picks
    }

    // MARK: k-means, and what stands on it

    struct Clusters {
        var centroids: [[Int]]
        var labels: [Int]
        var distances: [Int]
    }

    /// Lloyd's iterations from the rows that `KMeans.seeds` draws.
    func clusters(_ wanted: Int, among rows: [Int], seed: Seed, iterations: Int = 20) -> Clusters {
        let points = rows.map(row)
        let starts = points.flatMap { $0.map { Int8($0) } }.withVectors(dimension: dimension) {
            KMeans(clusters: wanted, seed: seed).seeds($0)
        }
        var found = Clusters(centroids: starts.map { points[$0] }, labels: [], distances: [])
        func assign() {
            let nearest = points.map { point in
                found.centroids.indices.map { (Self.squared(point, found.centroids[$0]), $0) }.min { $0 < $1 }!
            }
            (found.labels, found.distances) = (nearest.map(\.1), nearest.map(\.0))
        }
        assign()
        for _ in 0..<iterations {
            let before = found.labels
            var empty: [Int] = []
            for cluster in found.centroids.indices {
                let members = points.indices.filter { found.labels[$0] == cluster }
                if members.isEmpty {
                    empty.append(cluster)
                } else {
                    found.centroids[cluster] = (0..<dimension).map { j in
                        let mean = Double(members.reduce(0) { $0 + points[$1][j] }) / Double(members.count)
                        return Int(mean.rounded(.toNearestOrEven))
                    }
                }
            }
            let far = points.indices.sorted { (-found.distances[$0], $0) < (-found.distances[$1], $1) }
            for (cluster, row) in zip(empty, far) where found.distances[row] > 0 {
                found.centroids[cluster] = points[row]
            }
            assign()
            if found.labels == before { break }
        }
        return found
    }

    /// The nearest row of each cluster; for an empty cluster the row farthest from its centroid.
    private func nearestMembers(_ clusters: Clusters, of rows: [Int]) -> [Int] {
        var chosen = clusters.centroids.indices.compactMap { cluster in
            rows.indices.filter { clusters.labels[$0] == cluster }
                .min { (clusters.distances[$0], $0) < (clusters.distances[$1], $1) }
        }
        let rest = rows.indices.filter { !chosen.contains($0) }
            .sorted { (-clusters.distances[$0], $0) < (-clusters.distances[$1], $1) }
        chosen += rest.prefix(clusters.centroids.count - chosen.count)
        return chosen.map { rows[$0] }.sorted()
    }

    /// The medoids, ascending: one level up to `flatLimit`, else √keep clusters, with shares by size and medoids in
    /// each.
    func medoids(_ keep: Int, flatLimit: Int) -> [Int] {
        let all = Array(0..<count)
        if keep >= count { return all }
        if keep <= flatLimit { return nearestMembers(clusters(keep, among: all, seed: seed), of: all) }
        return twoLevels(keep, from: clusters(groups(keep), among: all, seed: seed.derived(for: "medoid groups")))
    }

    private func groups(_ keep: Int) -> Int { Int(Double(keep).squareRoot().rounded(.up)) }

    /// Shares of the clusters by size (largest remainders), and medoids in each.
    private func twoLevels(_ keep: Int, from first: Clusters) -> [Int] {
        let all = Array(0..<count)
        let members = first.centroids.indices.map { group in all.filter { first.labels[$0] == group } }
        var shares = members.map { $0.count * keep / count }
        let byRest = members.indices.sorted {
            let (a, b) = (members[$0].count * keep % count, members[$1].count * keep % count)
            return a != b ? a > b : $0 < $1
        }
        for group in byRest.prefix(keep - shares.reduce(0, +)) { shares[group] += 1 }
        return members.indices.flatMap { group -> [Int] in
            if shares[group] == 0 { return [] }
            if shares[group] == members[group].count { return members[group] }
            let inside = clusters(
                shares[group], among: members[group], seed: seed.derived(for: "medoids", index: group))
            return nearestMembers(inside, of: members[group])
        }.sorted()
    }

    // MARK: Centres from a sample

    private func sample(_ reservoir: Int) -> [Int] { random(reservoir).sorted() }

    /// Every row with the nearest of the centroids computed from a sample.
    private func assigned(_ clusters: Clusters) -> Clusters {
        let nearest = (0..<count).map(row).map { row in
            clusters.centroids.indices.map { (Self.squared(row, clusters.centroids[$0]), $0) }.min { $0 < $1 }!
        }
        return Clusters(
            centroids: clusters.centroids, labels: nearest.map(\.1), distances: nearest.map(\.0))
    }

    func medoids(_ keep: Int, reservoir: Int) -> [Int] {
        let sample = sample(reservoir)
        if keep <= min(1024, sample.count) {
            return nearestMembers(
                assigned(clusters(keep, among: sample, seed: seed)), of: Array(0..<count))
        }
        let wanted = min(groups(keep), sample.count)
        return twoLevels(
            keep, from: assigned(clusters(wanted, among: sample, seed: seed.derived(for: "medoid groups"))))
    }

    func sensitivity(_ keep: Int, reservoir: Int) -> [Int] {
        sensitivity(
            keep, assigned(clusters(max(1, min(keep / 2, 1024)), among: sample(reservoir), seed: seed)))
    }

    /// Plain greedy on the sample.
    func facilityLocation(_ keep: Int, reservoir: Int) -> [Int] {
        let sample = sample(reservoir)
        let part = PlainSelectors(
            vectors: sample.flatMap { row($0).map { Int8($0) } }, dimension: dimension,
            hashes: sample.map { hashes[$0] },
            seed: seed)
        return part.facilityLocation(keep).map { sample[$0] }
    }

    // MARK: Order

    /// In the order of `coreset`: first those that are nearest to the most rows.
    func bySize(_ picks: [Int]) -> [Int] {
        var sizes = [Int](repeating: 0, count: picks.count)
        for row in (0..<count).map(row) {
            sizes[
                picks.indices.min {
                    (Self.squared(row, self.row(picks[$0])), $0) < (Self.squared(row, self.row(picks[$1])), $1)
                }!] += 1
        }
        return picks.indices.sorted { (-sizes[$0], $0) < (-sizes[$1], $1) }.map { picks[$0] }
    }

    /// Axiotis et al.: without replacement, weights d²/Σd² + 1/n, as an exponential race; ascending.
    func sensitivity(_ keep: Int) -> [Int] {
        sensitivity(keep, clusters(max(1, min(keep / 2, 1024)), among: Array(0..<count), seed: seed))
    }

    private func sensitivity(_ keep: Int, _ found: Clusters) -> [Int] {
        let total = found.distances.reduce(0, +)
        let keys = (0..<count).map { row -> Double in
            let share = total == 0 ? 0 : Double(found.distances[row]) / Double(total)
            let draw = (Double(seed.draw(hashes[row]) >> 12) + 0.5) / 4_503_599_627_370_496
            return -log(draw) / (share + 1 / Double(count))
        }
        return (0..<count).sorted { (keys[$0], $0) < (keys[$1], $1) }.prefix(keep).sorted()
    }
}
