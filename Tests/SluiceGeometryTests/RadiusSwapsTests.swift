import SluiceCore
import SluiceGeometry
import Testing

/// Swaps that lower the radius of farthest-first.
@Suite struct RadiusSwapsTests {
    private struct Case {
        let d: Int
        let rows: [Int8]
        let table: [[Int]]
        let picks: [Int]

        init(seed: UInt64, most n: UInt64) {
            var generator = SplitMix64(state: seed)
            d = 2 + Int(generator.next(below: 6))
            let count = 5 + Int(generator.next(below: n))
            rows = clusteredRows(count, d, centres: 1 + Int(seed % 6), noise: seed % 3 == 0 ? 40 : 12, seed: seed)
            table = distanceTable(rows, d)
            // Any start will do.
            var left = Array(0..<count)
            picks = (0..<min(count - 1, 1 + Int(generator.next(below: 4)))).map { _ in
                left.remove(at: Int(generator.next(below: UInt64(left.count))))
            }
        }

        /// The squared radius of centres, besides earlier distances.
        func radius(_ picks: [Int], _ earlier: [Int]) -> Int {
            table.indices.map { row in min(earlier[row], picks.map { table[row][$0] }.min() ?? .max) }.max() ?? 0
        }
    }

    private func search(_ one: Case, already: [Int8] = [], most: Int = 1000, width: Int = 1) -> RadiusSwaps {
        one.rows.withVectors(dimension: one.d) { view in
            already.withVectors(dimension: one.d) { earlier in
                var search = RadiusSwaps(
                    view, picks: one.picks, already: already.isEmpty ? nil : earlier, parallel: threads(width))
                search.search(most: most, parallel: threads(width))
                return search
            }
        }
    }

    /// With few rows all are tried: at the end no swap of any pick for any row lowers the radius. On the way the distances
    /// stay those of a plain computation.
    @Test func endsWhereNoSwapHelps() {
        var swapped = 0
        for seed in 0..<600 as Range<UInt64> {
            let one = Case(seed: seed, most: 18)
            let already = seed % 4 == 0 ? Array(one.rows.prefix(one.d)).map { $0 / 2 } : []
            let earlier = one.table.indices.map { row -> Int in
                guard !already.isEmpty else { return .max }
                return (0..<one.d).reduce(0) { sum, j in
                    let difference = Int(already[j]) - Int(one.rows[row * one.d + j])
                    return sum + difference * difference
                }
            }
            for most in [1, 1000] {
                let found = search(one, already: already, most: most)
                let before = one.radius(one.picks, earlier)
                let after = one.radius(found.picks, earlier)
                #expect(found.swaps == 0 ? after == before : after < before)
                #expect(Set(found.picks).count == one.picks.count && found.swaps <= most)
                for row in one.table.indices {
                    let distances = found.picks.map { one.table[row][$0] }
                    let least = min(distances.min() ?? .max, earlier[row])
                    #expect(Int(found.squaredDistances[row]) == least)
                    #expect(
                        Int(found.nearest[row]) == (distances.firstIndex(of: least) ?? -1), "seed \(seed), row \(row)")
                }
                guard most > 1 else { continue }
                swapped += found.swaps
                for place in found.picks.indices {
                    for row in one.table.indices where !found.picks.contains(row) {
                        var other = found.picks
                        other[place] = row
                        #expect(one.radius(other, earlier) >= after, "seed \(seed): \(row) for pick \(place)")
                    }
                }
            }
        }
        #expect(swapped > 300)
    }

    @Test func threadsDoNotMatter() {
        let d = 24
        let rows = clusteredRows(30_000, d, centres: 40, noise: 30, seed: 5)
        let results = [1, 3].map { width in
            rows.withVectors(dimension: d) { view in
                let start = (0..<60).map { $0 * 500 }
                var search = RadiusSwaps(view, picks: start, parallel: threads(width))
                let before = search.squaredDistances.max() ?? 0
                search.search(most: 12, parallel: threads(width))
                #expect((search.squaredDistances.max() ?? 0) < before && search.swaps > 0)
                return search
            }
        }
        #expect(results[0].picks == results[1].picks && results[0].nearest == results[1].nearest)
    }
}
