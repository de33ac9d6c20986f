import SluiceCore
import SluiceGeometry
import Testing

/// Lloyd's iterations with bounds against a plain implementation that computes every distance in each iteration.
@Suite struct LloydTests {
    /// Follows the documentation of `KMeans`, without bounds.
    struct PlainLloyd {
        let rows: [Int8]
        let dimension: Int
        var centroids: [Int8]
        var labels: [Int] = []
        var distances: [Int] = []

        init(_ rows: [Int8], _ dimension: Int, starting: [Int8]) {
            self.rows = rows
            self.dimension = dimension
            centroids = starting
            _ = assign()
        }

        /// Whether a label moved.
        mutating func assign() -> Bool {
            let before = labels
            let (d, k, n) = (dimension, centroids.count / dimension, rows.count / dimension)
            labels = []
            distances = []
            rows.withUnsafeBufferPointer { rows in
                centroids.withUnsafeBufferPointer { centroids in
                    for row in 0..<n {
                        var (label, least) = (0, Int.max)
                        for centroid in 0..<k {
                            var sum = 0
                            for j in 0..<d {
                                let step = Int(rows[row &* d &+ j]) &- Int(centroids[centroid &* d &+ j])
                                sum = sum &+ step &* step
                            }
                            if sum < least { (label, least) = (centroid, sum) }
                        }
                        labels.append(label)
                        distances.append(least)
                    }
                }
            }
            return labels != before
        }

        mutating func move() {
            var farthest = labels.indices.filter { distances[$0] > 0 }
                .sorted { (distances[$1], $0) < (distances[$0], $1) }[...]
            for centroid in 0..<centroids.count / dimension {
                let own = labels.indices.filter { labels[$0] == centroid }
                let from = own.isEmpty ? farthest.popFirst() : nil
                if own.isEmpty && from == nil { continue }
                for j in 0..<dimension {
                    let mean =
                        from.map { Double(rows[$0 * dimension + j]) }
                        ?? Double(own.reduce(0) { $0 + Int(rows[$1 * dimension + j]) }) / Double(own.count)
                    centroids[centroid * dimension + j] = Int8(mean.rounded(.toNearestOrEven))
                }
            }
        }
    }

    /// - Returns: the number of distances computed, and the number without bounds.
    @discardableResult
    private func compare(_ rows: [Int8], _ d: Int, starting: [Int8], iterations: Int, _ name: Comment) -> (Int, Int) {
        var plain = PlainLloyd(rows, d, starting: starting)
        var inertias = [plain.distances.reduce(0, +)]
        var moved = true
        while moved, inertias.count <= iterations {
            plain.move()
            moved = plain.assign()
            inertias.append(plain.distances.reduce(0, +))
        }
        var seen: [Int] = []
        let found = rows.withVectors(dimension: d) {
            KMeans(clusters: starting.count / d, maximumIterations: iterations, seed: Seed(1)).run(
                $0, starting: starting, parallel: threads(2)
            ) { seen.append(Int($0)) }
        }
        #expect(seen == inertias, name)
        // Compared as one value: a difference would print thousands of numbers.
        let same = (
            centroids: found.centroids == plain.centroids, labels: found.labels.map { Int($0) } == plain.labels,
            distances: found.squaredDistances.map { Int($0) } == plain.distances
        )
        #expect(same == (true, true, true), name)
        #expect(found.converged == !moved, name)
        return (found.distancesComputed, seen.count * rows.count / d * (starting.count / d))
    }

    /// Few distinct values give ties in most rows; starts drawn twice give empty clusters, which move far.
    @Test func boundsNeverChangeAResult() {
        var (computed, all) = (0, 0)
        for seed in 0..<120 as Range<UInt64> {
            var generator = SplitMix64(state: seed)
            let d = [1, 2, 3, 8][Int(seed % 4)]
            let n = 150 + Int(generator.next(below: 250))
            let limit = [1, 3, 20, 127][Int(generator.next(below: 4))]
            let k = [1, 2, 31, 33, 64, 65, 100, 140][Int(generator.next(below: 8))]
            let rows =
                seed % 3 == 0
                ? clusteredRows(n, d, centres: 30, seed: seed) : randomRows(n, d, limit: limit, seed: seed)
            let start = (0..<k).flatMap { _ in rows.row(Int(generator.next(below: UInt64(n))), d) }
            let counts = compare(
                rows, d, starting: start, iterations: 15, "seed \(seed): \(n) rows of \(d), ±\(limit), \(k) clusters")
            computed += counts.0
            all += counts.1
        }
        #expect(computed < all * 7 / 10, "bounds spared little: \(computed) of \(all)")
    }

    /// A centroid comes nearer to a row than the row's own one and moves away again, while the own one never moves: the
    /// bound must account for the centroid that the row left.
    @Test func aRowThatLeavesAndComesBack() {
        // 42 centroids that stay, so close together that their rows are skipped only if the two moving ones are
        // compared separately.
        let still = (0..<42 as Range<Int8>).map { [2 * ($0 % 6), 2 * ($0 / 6)] as [Int8] }
        func at(_ place: Int) -> [Int8] { [Int8(place - 100), -120] }
        var rows: [Int8] = []
        for row in still { for _ in 0..<30 { rows += row } }
        for (place, times) in [(0, 20), (10, 1), (19, 10), (35, 3), (65, 15)] {
            for _ in 0..<times { rows += at(place) }
        }
        let start: [Int8] = still.flatMap { $0 } + at(0) + at(25) + at(40)
        let (computed, all) = compare(rows, 2, starting: start, iterations: 5, "a row between two")
        #expect(computed < all)
    }

    /// More rows than in a piece and in the sample that chooses the fast centroids.
    @Test func manyRowsToo() {
        let rows = clusteredRows(9000, 4, centres: 50, noise: 25, seed: 9)
        let counts = compare(rows, 4, starting: Array(rows[..<(4 * 72)]), iterations: 8, "9,000 rows")
        #expect(counts.0 < counts.1)
    }

    /// The largest possible distances.
    @Test func extremeVectors() {
        let d = 8192
        let rows = [-128, 127, -128, 127, 0, 1].flatMap { [Int8](repeating: $0, count: d) }
        compare(rows, d, starting: Array(rows[..<(2 * d)]), iterations: 5, "opposite corners")
        compare(
            rows, d, starting: Array(rows[..<d]) + Array(rows[..<d]) + Array(rows[(4 * d)...]), iterations: 5, "twice")
    }
}
