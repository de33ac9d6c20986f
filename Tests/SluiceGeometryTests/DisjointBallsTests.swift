import SluiceCore
import SluiceGeometry
import Testing

/// Lower bounds from rows that can't share a centre.
@Suite struct DisjointBallsTests {
    /// The least squared radius of any k rows as centres, besides earlier vectors: by trying all.
    private func optimum(_ table: [[Int]], _ k: Int, earlier: [Int] = []) -> Int {
        let n = table.count
        var best = Int.max
        func choose(_ from: Int, _ left: Int, _ nearest: [Int]) {
            guard left > 0 else { return best = min(best, nearest.max() ?? 0) }
            guard from < n else { return }
            for row in from..<n where n - row >= left {
                choose(row + 1, left - 1, (0..<n).map { min(nearest[$0], table[row][$0]) })
            }
        }
        choose(0, k, earlier.isEmpty ? [Int](repeating: .max, count: n) : earlier)
        return best
    }

    private func bound(
        _ rows: [Int8], _ d: Int, centres: Int, squaredRadius: Int, candidates: [Int], already: [Int8] = [],
        chunk: Int = 10_000, width: Int = 1
    ) -> Int? {
        rows.withVectors(dimension: d) { all in
            already.withVectors(dimension: d) { already in
                let balls = DisjointBalls(
                    rows: all.count, dimension: d, centres: centres, squaredRadius: Int32(squaredRadius),
                    candidates: candidates, already: already)
                let gather = { (some: ArraySlice<Int>) in some.flatMap { Array(rows[($0 * d)..<($0 * d + d)]) } }
                balls.order(sample: all[0..<min(all.count, DisjointBalls.sampleRows)], gather)
                while balls.needsPass {
                    gather(balls.candidates[...]).withVectors(dimension: d) { balls.begin($0) }
                    for start in stride(from: 0, to: all.count, by: chunk) {
                        let range = start..<min(all.count, start + chunk)
                        balls.update(rows: range, vectors: all[range], parallel: threads(width))
                    }
                    balls.finishPass()
                }
                return balls.squaredBound.map { Int($0) }
            }
        }
    }

    /// Over thousands of small sets: no bound lies above the best that trying all choices gives.
    @Test func noChoiceBeatsTheBound() {
        var proven = 0
        for seed in 0..<1500 as Range<UInt64> {
            var generator = SplitMix64(state: seed)
            let d = 2 + Int(generator.next(below: 6))
            let n = 4 + Int(generator.next(below: 9))
            let k = 1 + Int(generator.next(below: 3))
            let rows = clusteredRows(n, d, centres: 1 + Int(seed % 6), noise: seed % 3 == 0 ? 40 : 12, seed: seed)
            let table = distanceTable(rows, d)
            let best = optimum(table, k)
            // Any radius may be certified, not only that of a good choice.
            let radius = best + Int(generator.next(below: UInt64(1 + best)))
            guard radius > 0 else { continue }
            guard
                let found = bound(
                    rows, d, centres: k, squaredRadius: radius, candidates: Array(0..<n), chunk: 1 + n / 3)
            else { continue }
            #expect(found < best, "seed \(seed): \(found) but \(best) can be had")
            proven += 1
        }
        #expect(proven > 700)
    }

    @Test func earlierVectorsNeedNoCentre() {
        var proven = 0
        for seed in 0..<400 as Range<UInt64> {
            let d = 3
            let rows = clusteredRows(10, d, centres: 4, noise: 20, seed: seed)
            let already = clusteredRows(2, d, centres: 4, noise: 20, seed: seed)
            let all = distanceTable(rows + already, d)
            let table = all[..<10].map { Array($0[..<10]) }
            let earlier = all[..<10].map { min($0[10], $0[11]) }
            let best = optimum(table, 2, earlier: earlier)
            guard best > 0 else { continue }
            if let found = bound(
                rows, d, centres: 2, squaredRadius: best + 50, candidates: Array(0..<10), already: already)
            {
                #expect(found < best, "seed \(seed)")
                proven += 1
            }
        }
        #expect(proven > 100)
    }

    /// Better than half the distance of the next pick, which is all that farthest-first knows.
    @Test func itIsTightOnClusters() throws {
        let d = 32
        let rows = clusteredRows(3000, d, centres: 40, noise: 30, seed: 5)
        let selection = rows.withVectors(dimension: d) { FarthestFirst.select($0, count: 60, first: 0) }
        let radius = try #require(selection.squaredDistances.max())
        let far = selection.squaredDistances.indices.sorted {
            (selection.squaredDistances[$1], $0) < (selection.squaredDistances[$0], $1)
        }
        let candidates = selection.picks + far.prefix(80).filter { !selection.picks.contains($0) }
        let found = try #require(
            bound(rows, d, centres: 60, squaredRadius: Int(radius), candidates: candidates))
        #expect((Double(radius) / Double(found)).squareRoot() < 1.5)
        for (chunk, width) in [(100, 1), (777, 3)] {
            #expect(
                bound(
                    rows, d, centres: 60, squaredRadius: Int(radius), candidates: candidates, chunk: chunk, width: width
                )
                    == found)
        }
    }

    @Test func equalRowsAndTinyRadiiGiveNoBound() {
        let same = [Int8](repeating: 9, count: 40)
        #expect(bound(same, 4, centres: 2, squaredRadius: 1, candidates: Array(0..<10)) == nil)
        #expect(bound(Array(same[..<8]), 4, centres: 2, squaredRadius: 50, candidates: [0, 1]) == nil)
    }
}
