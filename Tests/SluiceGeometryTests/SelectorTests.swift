import SluiceCore
import SluiceGeometry
import Testing

@Suite struct SelectorTests {
    @Test func productsWithWideVectorsAreExact() {
        let (n, d) = (300, 9)
        let rows = randomRows(n, d, seed: 3)
        var generator = SplitMix64(state: 4)
        for bits in [1, 8, 9, 16, 31, 40] as [UInt64] {
            let vector = (0..<d).map { _ in Int64(generator.next(below: 2 << bits)) - 1 << bits }
            let expected = (0..<n).map { i in (0..<d).reduce(0) { $0 + vector[$1] * Int64(rows[i * d + $1]) } }
            rows.withVectors(dimension: d) { view in
                #expect(view.products(with: vector, threads(2)) == expected)
            }
        }
        rows.withVectors(dimension: d) { view in
            #expect(view.products(with: [Int64](repeating: 0, count: d)) == [Int64](repeating: 0, count: n))
        }
    }

    @Test func facilityLocationEqualsPlainGreedy() {
        for seed in 0..<4 as Range<UInt64> {
            let (n, d) = (90, 6)
            let rows = seed == 3 ? randomRows(n, d, limit: 1, seed: seed) : clusteredRows(n, d, centres: 8, seed: seed)
            let table = distanceTable(rows, d)
            let start = 4 * (0..<n).map { dot(rows.row($0, d), rows.row($0, d)) }.max()!
            var least = [Int](repeating: start, count: n)
            var picks: [Int] = []
            for _ in 0..<30 {
                let gains = (0..<n).map { c in
                    picks.contains(c) ? -1 : (0..<n).reduce(0) { $0 + max(0, least[$1] - table[$1][c]) }
                }
                picks.append(gains.firstIndex(of: gains.max()!)!)
                for i in 0..<n { least[i] = min(least[i], table[i][picks.last!]) }
            }
            rows.withVectors(dimension: d) { view in
                #expect(FacilityLocation.select(view, count: 30).picks == picks)
                #expect(FacilityLocation.select(view, count: 30, parallel: threads(3)).picks == picks)
                #expect(Set(FacilityLocation.select(view, count: 200).picks).count == n)
            }
        }
    }

    /// Over many small sets: no choice is worth more than the bound, and the value is that of its picks.
    @Test func noChoiceIsWorthMoreThanTheBound() {
        var share = 0.0
        for seed in 0..<300 as Range<UInt64> {
            let (d, n) = (3 + Int(seed % 4), 5 + Int(seed % 6))
            let k = 1 + Int(seed % 3)
            let rows = clusteredRows(n, d, centres: 3, noise: 20, seed: seed)
            let table = distanceTable(rows, d)
            let longest = (0..<n).map { row in rows.row(row, d).reduce(0) { $0 + Int($1) * Int($1) } }.max() ?? 0
            func worth(_ picks: [Int]) -> Int {
                (0..<n).reduce(0) { sum, row in sum + 4 * longest - (picks.map { table[row][$0] }.min() ?? 4 * longest)
                }
            }
            var best = 0
            func choose(_ from: Int, _ picks: [Int]) {
                if picks.count == k { return best = max(best, worth(picks)) }
                for row in from..<n where from < n { choose(row + 1, picks + [row]) }
            }
            choose(0, [])
            let found = rows.withVectors(dimension: d) { FacilityLocation.select($0, count: k) }
            #expect(Int(found.value) == worth(found.picks))
            let bound = Int(found.bound ?? -1)
            #expect(best <= bound && Int(found.value) <= best, "seed \(seed)")
            share += Double(found.value) / Double(bound)
        }
        #expect(share / 300 > 0.8)
    }

    @Test func medoidsAreExactInCountAndTheSameForEveryWidth() {
        let (n, d) = (700, 6)
        let rows = clusteredRows(n, d, centres: 25, seed: 1)
        rows.withVectors(dimension: d) { view in
            for (count, limit) in [(25, 1024), (25, 8), (150, 20), (699, 10), (0, 5), (900, 5)] {
                var medoids = Medoids(seed: Seed(2), maximumIterations: 5)
                medoids.flatLimit = limit
                let rows = medoids.select(view, count: count)
                #expect(rows.count == min(count, n) && Set(rows).count == rows.count)
                #expect(medoids.select(view, count: count, parallel: threads(4)) == rows)
            }
            // Every planted cluster is hit, and covered better than by as many random rows.
            let chosen = Medoids(seed: Seed(2)).select(view, count: 25).flatMap { Array(rows.row($0, d)) }
            let random = (0..<25).flatMap { Array(rows.row($0, d)) }
            chosen.withVectors(dimension: d) { a in
                random.withVectors(dimension: d) { b in
                    #expect(
                        SelectionMetrics.coverage(of: view, by: a)!.meanDistance < 0.8
                            * SelectionMetrics.coverage(of: view, by: b)!.meanDistance)
                }
            }
        }
        // More medoids than distinct rows.
        let few = (0..<40).flatMap { [Int8($0 % 3), 1] as [Int8] }
        few.withVectors(dimension: 2) { #expect(Set(Medoids(seed: Seed(1)).select($0, count: 10)).count == 10) }
    }

    @Test func sharesAreExact() {
        #expect(Shares.proportional(sizes: [1, 1, 1], total: 2) == [1, 1, 0])
        #expect(Shares.proportional(sizes: [10, 0, 5], total: 3) == [2, 0, 1])
        #expect(Shares.proportional(sizes: [0, 0], total: 0) == [0, 0])
        #expect(Shares.proportional(sizes: [7, 3, 9, 1], total: 20) == [7, 3, 9, 1])
    }

    @Test func sensitivityFollowsItsWeightsAndContents() {
        let n = 4000
        let hashes = (0..<n).map { ContentHash(high: Seed.mix(UInt64($0)), low: UInt64($0)) }
        // Half the rows carry 9 times the squared distance of the others: weights 1.8/n + 1/n against 0.2/n + 1/n.
        let distances = (0..<n).map { Int32($0 % 2 == 0 ? 900 : 100) }
        let rows = Sensitivity.select(squaredDistances: distances, hashes: hashes, count: 400, seed: Seed(1))
        let far = rows.count { $0 % 2 == 0 }
        #expect(rows.count == 400 && abs(Double(far) / 400 - 2.8 / 4) < 0.07)
        let more = Sensitivity.select(squaredDistances: distances, hashes: hashes, count: 800, seed: Seed(1))
        #expect(Set(rows).isSubset(of: Set(more)))
        // Another order of the same records selects the same records.
        let reversed = Sensitivity.select(
            squaredDistances: distances.reversed(), hashes: hashes.reversed(), count: 400, seed: Seed(1))
        #expect(Set(reversed.map { n - 1 - $0 }) == Set(rows))
        #expect(
            Sensitivity.select(squaredDistances: [0, 0], hashes: Array(hashes[..<2]), count: 5, seed: Seed(1)) == [
                0, 1,
            ])
    }

    @Test func effectiveRankOfKnownSets() throws {
        let d = 6
        let quantizer = Quantizer(dimension: d)
        var axes = [Float](repeating: 0, count: d * d)
        for i in 0..<d { axes[i * d + i] = 1 }
        for (rows, rank) in [(try quantizer.quantize(axes), 6.0), (try quantizer.quantize(Array(axes[..<d])), 1.0)] {
            var moments = Moments(dimension: d)
            rows.withVectors(dimension: d) { moments.add($0) }
            #expect(abs(SelectionMetrics.effectiveRank(moments) - rank) < 1e-9)
        }
        #expect(SelectionMetrics.effectiveRank(Moments(dimension: d)) == 0)
    }

    @Test func rankedNoveltyWeighsTheNearest() {
        // Distances from each row: {1, 3}, {1, 2}, {2, 3} in units of 10 components.
        let rows: [Int8] = [0, 10, 30]
        let scale = Quantizer(dimension: 1).scale
        let expected = ((10 + 30 / 2.0) + (10 + 20 / 2.0) + (20 + 30 / 2.0)) / 1.5 / 3 / scale
        rows.withVectors(dimension: 1) {
            #expect(abs(SelectionMetrics.rankedNovelty($0, parallel: threads(2))! - expected) < 1e-12)
            #expect(SelectionMetrics.rankedNovelty($0[0..<1]) == nil)
        }
    }
}
