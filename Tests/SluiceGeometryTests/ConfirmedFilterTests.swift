import SluiceCore
import SluiceGeometry
import Testing

/// Near-duplicate filters that ask, before a row is dropped, whether it may be.
@Suite struct ConfirmedFilterTests {
    /// The rule, in the simplest way: each row's nearest earlier row that counts, is within the limit and is confirmed.
    private func plain(
        _ table: [[Int]], limit: Int, countsDropped: Bool, _ confirm: (Int, Int) -> Bool
    ) -> [(partner: Int?, refused: Int)] {
        var counting: [Int] = []
        return table.indices.map { row in
            let near = counting.filter { table[row][$0] <= limit }.sorted {
                (table[row][$0], $0) < (table[row][$1], $1)
            }
            let refused = near.prefix { !confirm(row, $0) }.count
            let partner = refused < near.count ? near[refused] : nil
            if partner == nil || countsDropped { counting.append(row) }
            return (partner, refused)
        }
    }

    /// Answers at random, but always the same for a pair.
    private func confirms(_ a: Int, _ b: Int, oneIn: Int) -> Bool {
        var generator = SplitMix64(state: UInt64(a * 1000 + b))
        return generator.next(below: UInt64(oneIn)) == 0
    }

    @Test func itIsTheRuleOfAllPairs() {
        // More rows than a block and a panel have: 1,024 and 2,048.
        for (seed, d, n, centres) in [(1, 5, 150, 20), (2, 33, 300, 9), (3, 3, 2200, 2200)] as [(UInt64, Int, Int, Int)]
        {
            let rows = clusteredRows(n, d, centres: centres, noise: 9, seed: seed)
            let table = distanceTable(rows, d)
            for (limit, oneIn) in [0, 40 * d].flatMap({ limit in [1, 2, 5, 1000].map { (limit, $0) } }) {
                // Of equal rows alone, one number of refusals is enough.
                if limit == 0, oneIn > 2 { continue }
                let expected = plain(table, limit: limit, countsDropped: false) { confirms($0, $1, oneIn: oneIn) }
                for (block, width) in [(10_000, 1), (97, 3)] {
                    let found = rows.withVectors(dimension: d) { all in
                        var filter = PairwiseFilter(dimension: d, squaredLimit: Int32(limit))
                        return stride(from: 0, to: all.count, by: block).flatMap { start in
                            filter.add(all[start..<min(all.count, start + block)], parallel: threads(width)) {
                                confirms($0, $1, oneIn: oneIn)
                            }
                        }
                    }
                    #expect(found.map(\.partner) == expected.map(\.partner))
                    #expect(found.map(\.refused) == expected.map(\.refused))
                }
            }
        }
    }

    @Test(arguments: [(1, 5, 12), (2, 16, 1)] as [(UInt64, Int, Int)])
    func inNeighbourhoodsToo(seed: UInt64, dimension d: Int, neighbours n: Int) {
        let rows = clusteredRows(700, d, centres: 160, noise: 9, seed: seed)
        let (limit, table) = (40 * d, distanceTable(rows, d))
        for (oneIn, countsDropped) in [1, 3, 1000].flatMap({ oneIn in [(oneIn, false), (oneIn, true)] }) {
            let expected = plain(table, limit: limit, countsDropped: countsDropped) {
                confirms($0, $1, oneIn: oneIn)
            }
            let found = Array(rows[..<(n * d)]).withVectors(dimension: d) { centres in
                var filter = NeighbourFilter(
                    centres: centres, squaredLimit: Int32(limit), neighbours: n - 1, countsDropped: countsDropped)
                return rows.withVectors(dimension: d) { all in
                    stride(from: 0, to: all.count, by: 211).flatMap { start in
                        filter.add(all[start..<min(all.count, start + 211)], parallel: threads(3)) {
                            confirms($0, $1, oneIn: oneIn)
                        }
                    }
                }
            }
            #expect(found.map(\.partner) == expected.map(\.partner))
            #expect(found.map(\.refused) == expected.map(\.refused))
        }
    }

    @Test func whatConfirmThrowsEndsTheWork() {
        struct Stop: Error {}
        let rows = [Int8](repeating: 3, count: 20)
        #expect(throws: Stop.self) {
            try rows.withVectors(dimension: 4) { (all) throws(Stop) in
                var filter = PairwiseFilter(dimension: 4, squaredLimit: 0)
                _ = try filter.add(all) { (_, _) throws(Stop) in throw Stop() }
            }
        }
    }
}
