import SluiceCore
import SluiceGeometry
import Testing

@Suite struct KMeansCandidatesTests {
    private func candidates(
        _ rows: [Int8], _ d: Int, factor: Int, rounds: Int = 5, distinct: Int = 1, seed: UInt64, width: Int = 1
    ) -> KMeansCandidates {
        rows.withVectors(dimension: d) {
            KMeansCandidates(
                $0, factor: factor, rounds: rounds, distinct: distinct, seed: Seed(seed), parallel: threads(width))
        }
    }

    /// Each row's squared distance to the nearest candidate, and that candidate.
    private func nearest(_ rows: [Int8], _ d: Int, _ chosen: ArraySlice<Int>) -> [(distance: Int, owner: Int)] {
        (0..<rows.count / d).map { row in
            chosen.indices.map { (squaredDistance(rows.row(row, d), rows.row(chosen[$0], d)), $0) }.min { $0 < $1 }!
        }
    }

    @Test func weightsCountTheRowsNearestToEach() {
        for seed in 0..<20 as Range<UInt64> {
            let d = Int(seed % 9) + 1
            // Few values: many ties and equal rows.
            let rows = randomRows(400, d, limit: seed % 2 == 0 ? 1 : 90, seed: seed)
            let found = candidates(rows, d, factor: 8, seed: seed)
            var weights = [Int](repeating: 0, count: found.rows.count)
            for (_, owner) in nearest(rows, d, found.rows[...]) { weights[owner] += 1 }
            #expect(found.weights == weights)
            #expect(Set(found.rows).count == found.rows.count)
        }
    }

    /// Each round by itself, from brute-force distances: the candidates follow from φ, and their number is near the
    /// expected one.
    @Test func everyRoundAddsTheExpectedNumber() {
        let d = 5
        let rows = clusteredRows(500, d, centres: 11, noise: 15, seed: 3)
        var (expected, variance, got) = (0.0, 0.0, 0.0)
        for seed in 0..<30 as Range<UInt64> {
            let found = candidates(rows, d, factor: 12, rounds: 4, seed: seed)
            #expect(found.rounds.count == 4)
            var count = 1
            for round in found.rounds {
                let least = nearest(rows, d, found.rows[..<count]).map(\.distance)
                let potential = least.reduce(0, +)
                #expect(round.potential == UInt64(potential))
                let added = found.rows[count..<(count + round.count)]
                #expect(added.elementsEqual(added.sorted()) && added.allSatisfy { least[$0] > 0 })
                for distance in least {
                    let share = min(1, 12 * Double(distance) / Double(potential))
                    expected += share
                    variance += share * (1 - share)
                }
                got += Double(round.count)
                count += round.count
            }
            #expect(count == found.rows.count)
        }
        #expect(abs(got - expected) < 3 * variance.squareRoot(), "\(got) where \(expected) are expected")
    }

    /// From a row at 0, three rows at squared distances 1 : 4 : 9 are taken in that proportion, independently.
    @Test func drawsAreInExactProportionAndIndependent() {
        let rows: [Int8] = [0, 10, 20, 30]
        var starts = 0.0
        var taken = [0.0, 0, 0, 0]
        var both = 0.0
        for seed in 0..<40_000 as Range<UInt64> {
            let found = candidates(rows, 1, factor: 1, rounds: 1, seed: seed)
            guard found.rows[0] == 0 else { continue }
            starts += 1
            for row in found.rows[1...] { taken[row] += 1 }
            if found.rows[1...].contains(2), found.rows[1...].contains(3) { both += 1 }
        }
        #expect(abs(starts / 40_000 - 0.25) < 0.01)
        for (count, share) in [(taken[1], 1 / 14.0), (taken[2], 4 / 14.0), (taken[3], 9 / 14.0), (both, 36 / 196.0)] {
            #expect(abs(count / starts - share) < 3 * (share * (1 - share) / starts).squareRoot())
        }
        // Twice as many per round: twice the shares, the last one capped at 1.
        let found = (0..<200 as Range<UInt64>).map { candidates(rows, 1, factor: 2, rounds: 1, seed: $0) }
        #expect(found.allSatisfy { $0.rows[0] != 0 || $0.rows.contains(3) })
    }

    /// A factor above the number of rows makes every distinct vector a candidate, which isolates the draws among them.
    @Test func candidatesAreDrawnByWeightTimesSquaredDistance() {
        // 0 once, 10 three times, 30 once.
        let rows: [Int8] = [10, 0, 10, 30, 10]
        var first = 0.0
        var (starts, near) = (0.0, 0.0)
        let seeds = 20_000 as UInt64
        rows.withVectors(dimension: 1) { view in
            for seed in 0..<seeds {
                let centroids = KMeans(
                    clusters: 2, maximumIterations: 0, seed: Seed(seed), trials: 1,
                    start: .parallel(factor: 1000, rounds: 1)
                ).run(view).centroids
                if centroids[0] == 10 { first += 1 }
                guard centroids[0] == 0 else { continue }
                starts += 1
                if centroids[1] == 10 { near += 1 }
            }
        }
        #expect(abs(first / Double(seeds) - 0.6) < 3 * (0.24 / Double(seeds)).squareRoot())
        // 3 · 100 against 1 · 900.
        #expect(starts > 1000 && abs(near / starts - 0.25) < 3 * (0.1875 / starts).squareRoot())
    }

    @Test(arguments: [2, 5]) func widthsGiveTheSameBits(width: Int) {
        let d = 7
        let rows = clusteredRows(9000, d, centres: 20, noise: 30, seed: 1)
        let (one, other) = (
            candidates(rows, d, factor: 70, seed: 3), candidates(rows, d, factor: 70, seed: 3, width: width)
        )
        #expect(one.rows == other.rows && one.weights == other.weights && one.rounds == other.rounds)
        rows.withVectors(dimension: d) { view in
            let kmeans = KMeans(clusters: 70, maximumIterations: 6, seed: Seed(3), start: .parallel())
            let (one, other) = (kmeans.run(view), kmeans.run(view, parallel: threads(width)))
            #expect(one.centroids == other.centroids && one.labels == other.labels)
            #expect(one.squaredInertia == other.squaredInertia && one.iterations == other.iterations)
        }
    }

    @Test func duplicatesAndFewDistinctPoints() {
        let same = [Int8](repeating: 9, count: 20 * 3)
        let found = candidates(same, 3, factor: 4, distinct: 4, seed: 1)
        #expect(found.rows.count == 1 && found.weights == [20] && found.rounds.isEmpty)
        let none = candidates([], 3, factor: 4, seed: 1)
        #expect(none.rows.isEmpty && none.weights.isEmpty)
        for seed in 0..<30 as Range<UInt64> {
            let three = (0..<60).flatMap { [Int8($0 % 3 * 40), 1] as [Int8] }
            // Rounds continue until all distinct rows are candidates.
            let all = candidates(three, 2, factor: 1, rounds: 1, distinct: 5, seed: seed)
            #expect(all.weights.count { $0 > 0 } == 3 && all.weights.reduce(0, +) == 60)
            let result = three.withVectors(dimension: 2) {
                KMeans(clusters: 7, seed: Seed(seed), start: .parallel()).run($0)
            }
            #expect(result.count == 7 && result.squaredInertia == 0 && result.sizes.count { $0 > 0 } == 3)
            let few = three.withVectors(dimension: 2) {
                KMeans(clusters: 90, seed: Seed(seed), start: .parallel()).run($0)
            }
            #expect(few.count == 60 && few.squaredInertia == 0)
        }
        let zero = [Int8](repeating: 0, count: 12).withVectors(dimension: 3) {
            KMeans(clusters: 2, seed: Seed(1), start: .parallel()).run($0)
        }
        #expect(zero.sizes == [4, 0])
    }

    /// A spread-out start finds the planted clusters; random rows hit some twice and miss others.
    @Test func startsLowerThanRandomRows() {
        let d = 8
        let rows = clusteredRows(3000, d, centres: 60, seed: 4)
        rows.withVectors(dimension: d) { view in
            for iterations in [0, 10] {
                for seed in 0..<6 as Range<UInt64> {
                    var generator = SplitMix64(state: seed)
                    let start = (0..<60).flatMap { _ in rows.row(Int(generator.next(below: 3000)), d) }
                    let kmeans = KMeans(
                        clusters: 60, maximumIterations: iterations, seed: Seed(seed), start: .parallel())
                    let random = kmeans.run(view, starting: start) { _ in }
                    #expect(kmeans.run(view).squaredInertia < random.squaredInertia)
                }
            }
        }
    }
}
