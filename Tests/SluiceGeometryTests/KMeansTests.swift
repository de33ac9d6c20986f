import SluiceCore
import SluiceGeometry
import Testing

@Suite struct KMeansTests {
    @Test func theObjectiveNeverRisesAndLabelsAreNearest() {
        for seed in 0..<6 as Range<UInt64> {
            let d = 6
            let rows = seed % 2 == 0 ? randomRows(400, d, seed: seed) : clusteredRows(400, d, centres: 9, seed: seed)
            var inertias: [UInt64] = []
            let result = rows.withVectors(dimension: d) {
                KMeans(clusters: 12, maximumIterations: 15, seed: Seed(seed)).run($0, starting: nil) {
                    inertias.append($0)
                }
            }
            #expect(zip(inertias, inertias.dropFirst()).allSatisfy { $0 >= $1 })
            #expect(inertias.count == result.iterations + 1 && inertias.last == result.squaredInertia)
            var sum = 0
            for i in 0..<400 {
                let distances = (0..<12).map { squaredDistance(rows.row(i, d), result.centroids.row($0, d)) }
                #expect(Int(result.labels[i]) == distances.firstIndex(of: distances.min()!)!)
                #expect(Int(result.squaredDistances[i]) == distances.min()!)
                sum += distances.min()!
            }
            #expect(UInt64(sum) == result.squaredInertia)
            #expect(result.sizes == (0..<12).map { c in result.labels.count { $0 == c } })
        }
    }

    @Test func widthsGiveTheSameBits() {
        let rows = clusteredRows(9000, 7, centres: 20, noise: 30, seed: 1)
        rows.withVectors(dimension: 7) { view in
            let kmeans = KMeans(clusters: 70, maximumIterations: 6, seed: Seed(3))
            let one = kmeans.run(view)
            for width in [2, 8] {
                let other = kmeans.run(view, parallel: threads(width))
                #expect(other.centroids == one.centroids && other.labels == one.labels)
                #expect(other.squaredInertia == one.squaredInertia && other.iterations == one.iterations)
            }
            #expect(
                kmeans.run(view).labels != KMeans(clusters: 70, maximumIterations: 6, seed: Seed(4)).run(view).labels)
        }
    }

    @Test func findsPlantedClusters() {
        let d = 16
        let rows = clusteredRows(600, d, centres: 5, noise: 4, seed: 6)
        let result = rows.withVectors(dimension: d) { KMeans(clusters: 5, seed: Seed(1)).run($0) }
        #expect(result.converged)
        // Noise of ±4 has a variance of 60/9 per component; merged clusters would cost hundreds of times that.
        #expect(Double(result.squaredInertia) < 600 * 16 * 60 / 9 * 1.2)
    }

    @Test func duplicatesAndTooManyClustersAreDefined() {
        let same = [Int8](repeating: 9, count: 20 * 3)
        same.withVectors(dimension: 3) { view in
            let result = KMeans(clusters: 4, seed: Seed(1)).run(view)
            #expect(
                result.count == 4 && result.sizes.reduce(0, +) == 20 && result.squaredInertia == 0 && result.converged)
            #expect(result.sizes[0] == 20, "ties go to the lowest centroid")
            #expect(KMeans(clusters: 50, seed: Seed(1)).run(view).count == 20)
            let seeds = KMeans(clusters: 6, seed: Seed(1)).seeds(view)
            #expect(Set(seeds).count == 6)
        }
        let two = (0..<40).flatMap { [Int8($0 % 2 * 50), 3] as [Int8] }
        let result = two.withVectors(dimension: 2) { KMeans(clusters: 5, seed: Seed(2)).run($0) }
        #expect(result.squaredInertia == 0 && result.sizes.filter { $0 > 0 }.count == 2)
        let none = [Int8]().withVectors(dimension: 3) { KMeans(clusters: 5, seed: Seed(2)).run($0) }
        #expect(none.count == 0 && none.labels.isEmpty)
    }

    @Test func anEmptyClusterMovesToTheFarthestRow() {
        // Both centroids start left of all rows; the second one loses all ties and gets no rows.
        let rows: [Int8] = [0, 0, 10, 0, 100, 0, 90, 0]
        let result = rows.withVectors(dimension: 2) {
            KMeans(clusters: 2, seed: Seed(1)).run($0, starting: [-5, 0, -5, 0]) { _ in }
        }
        #expect(result.labels == [0, 0, 1, 1] && result.centroids == [5, 0, 95, 0])
    }

    @Test func meansRoundHalfToEven() {
        // Means 0.5, 1.5, -0.5, -1.5 become 0, 2, 0, -2.
        let rows: [Int8] = [0, 1, 0, -1, 1, 2, -1, -2]
        let result = rows.withVectors(dimension: 4) { KMeans(clusters: 1, seed: Seed(1)).run($0) }
        #expect(result.centroids == [0, 2, 0, -2])
    }

    /// The draw is exactly D²: with three points at squared distances 1 : 9 from the first, the second pick takes them
    /// 1 : 9.
    @Test func seedsAreDrawnInProportionToSquaredDistance() {
        let rows: [Int8] = [0, 0, 0, 10, 30, 0]
        var near = 0
        var starts = 0
        rows.withVectors(dimension: 2) { view in
            for seed in 0..<6000 as Range<UInt64> {
                let seeds = KMeans(clusters: 2, seed: Seed(seed), trials: 1).seeds(view)
                if seeds[0] == 0 {
                    starts += 1
                    if seeds[1] == 1 { near += 1 }
                }
            }
        }
        #expect(abs(Double(starts) / 6000 - 1.0 / 3) < 0.03)
        #expect(abs(Double(near) / Double(starts) - 0.1) < 0.03)
    }

    /// Later draws within one pass use rejection; the joint distribution must be that of plain k-means++.
    @Test func refusalsKeepTheDistribution() {
        let rows: [Int8] = [0, 4, 10, 11]
        // P(third | first 0, second 10): squared distances to the nearest are 16 and 1.
        var counts = [0, 0]
        rows.withVectors(dimension: 1) { view in
            for seed in 0..<20_000 as Range<UInt64> {
                let seeds = KMeans(clusters: 3, seed: Seed(seed), trials: 1).seeds(view)
                if seeds[0] == 0 && seeds[1] == 2 { counts[seeds[2] == 1 ? 0 : 1] += 1 }
            }
        }
        let share = Double(counts[0]) / Double(counts[0] + counts[1])
        #expect(counts[0] + counts[1] > 500 && abs(share - 16.0 / 17) < 0.03)
    }

    @Test func bestOfSeveralDrawsStartsLower() {
        let rows = clusteredRows(3000, 8, centres: 60, seed: 4)
        rows.withVectors(dimension: 8) { view in
            func start(_ trials: Int?, _ seed: UInt64) -> UInt64 {
                KMeans(clusters: 60, maximumIterations: 0, seed: Seed(seed), trials: trials).run(view).squaredInertia
            }
            let plain = (0..<6 as Range<UInt64>).reduce(0) { $0 + start(1, $1) }
            let greedy = (0..<6 as Range<UInt64>).reduce(0) { $0 + start(nil, $1) }
            #expect(Double(greedy) < 0.9 * Double(plain))
        }
    }

    @Test func sizingFollowsTheFormula() {
        #expect(KMeans.sampleSize(clusters: 1000, minimumShare: 1e-4, missProbability: 0.01) == 115_130)
        #expect(KMeans.sampleSize(clusters: 1000, minimumShare: 1e-3, missProbability: 0.01) == 11_513)
        #expect(KMeans.automaticClusters(5).clusters == 1)
        #expect(KMeans.automaticClusters(100_000).clusters == 256)
        #expect(KMeans.automaticClusters(1 << 40).clusters == 4096)
    }

    @Test func assignerEqualsThePlainSearch() {
        let d = 10
        let rows = randomRows(333, d, seed: 1)
        let centres = randomRows(70, d, seed: 2)
        let (labels, distances) = centres.withVectors(dimension: d) { centres in
            rows.withVectors(dimension: d) { Assigner(centres: centres).assign($0, parallel: threads(2)) }
        }
        for i in 0..<333 {
            let all = (0..<70).map { squaredDistance(rows.row(i, d), centres.row($0, d)) }
            #expect(Int(distances[i]) == all.min()! && Int(labels[i]) == all.firstIndex(of: all.min()!)!)
        }
    }
}
