import SluiceCore
import SluiceGeometry
import Testing

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct NeighbourFilterTests {
    /// The rule, in the simplest way: the partner of each dropped row among the rows that count.
    private func plain(_ table: [[Int]], limit: Int, countsDropped: Bool) -> [Int?] {
        var counting: [Int] = []
        return table.indices.map { row in
            let near = counting.map { (table[row][$0], $0) }.min { $0 < $1 }
            let partner = near.flatMap { $0.0 <= limit ? $0.1 : nil }
            if partner == nil || countsDropped { counting.append(row) }
            return partner
        }
    }

    private func run(
        _ rows: [Int8], _ d: Int, centres: [Int8], limit: Int, neighbours: Int, countsDropped: Bool,
        block: Int = 10_000, width: Int = 1
    ) -> (partners: [Int?], unsettled: Int) {
        centres.withVectors(dimension: d) { centres in
            var filter = NeighbourFilter(
                centres: centres, squaredLimit: Int32(limit), neighbours: neighbours, countsDropped: countsDropped)
            var found: [Int?] = []
            rows.withVectors(dimension: d) { all in
                for start in stride(from: 0, to: all.count, by: block) {
                    found += filter.add(all[start..<min(all.count, start + block)], parallel: threads(width)).map(
                        \.partner)
                }
            }
            return (found, filter.unsettledCount)
        }
    }

    @Test func withAllNeighboursItIsTheRuleOfAllPairs() {
        for (seed, d, n) in [(1, 5, 12), (2, 33, 12), (3, 16, 1)] as [(UInt64, Int, Int)] {
            let rows = clusteredRows(120, d, centres: 20, noise: 9, seed: seed)
            let table = distanceTable(rows, d)
            let centres = Array(rows[..<(n * d)])
            for limit in [0, 40 * d] {
                for counts in [false, true] {
                    let expected = plain(table, limit: limit, countsDropped: counts)
                    let one = run(rows, d, centres: centres, limit: limit, neighbours: 11, countsDropped: counts)
                    #expect(one.partners == expected)
                    #expect(one.unsettled == 0)
                    let other = run(
                        rows, d, centres: centres, limit: limit, neighbours: 11, countsDropped: counts, block: 97,
                        width: 3)
                    #expect(other.partners == expected)
                }
            }
        }
    }

    /// Where the report states that nothing can have been missed, nothing was.
    @Test func settledMeansTheSameAsAllPairs() {
        var settled = 0
        var generator = Seed(9).generator()
        for seed in 0..<40 as Range<UInt64> {
            let d = Int(generator.next(below: 6)) + 2
            let rows = clusteredRows(80, d, centres: 12, noise: Int(generator.next(below: 12)) + 1, seed: seed)
            let centres = Array(rows[..<(10 * d)])
            let limit = Int(generator.next(below: 60))
            let table = distanceTable(rows, d)
            for counts in [false, true] {
                let found = run(rows, d, centres: centres, limit: limit, neighbours: 3, countsDropped: counts)
                guard found.unsettled == 0 else { continue }
                settled += 1
                #expect(found.partners == plain(table, limit: limit, countsDropped: counts))
            }
        }
        #expect(settled > 20)
    }

    @Test func equalRowsAndOneCentre() {
        let same = [Int8](repeating: 7, count: 300 * 3)
        for counts in [false, true] {
            let found = run(same, 3, centres: [0, 0, 0], limit: 0, neighbours: 0, countsDropped: counts)
            #expect(found.partners == [nil] + (1..<300).map { _ in 0 })
        }
        #expect(run([], 3, centres: [0, 0, 0], limit: 0, neighbours: 5, countsDropped: false).partners.isEmpty)
    }
}

@Suite struct ComposableTests {
    /// The smallest possible radius of `count` rows in addition to the centres `already`, by trying all.
    private func optimum(_ table: [[Int]], _ count: Int, already: [Int]) -> Double {
        let n = table.count
        var best = Int.max
        func go(_ from: Int, _ left: Int, _ least: [Int]) {
            if left == 0 {
                best = min(best, least.max() ?? 0)
                return
            }
            for row in from...(n - left) { go(row + 1, left - 1, (0..<n).map { min(least[$0], table[row][$0]) }) }
        }
        go(0, count, already)
        return Double(best).squareRoot()
    }

    @Test func factorsAndBoundsHoldAgainstTheOptimum() throws {
        var generator = Seed(4).generator()
        for seed in 0..<1500 as Range<UInt64> {
            let n = Int(generator.next(below: 8)) + 4
            let d = Int(generator.next(below: 3)) + 1
            let k = Int(generator.next(below: 3)) + 1
            let part = k + 1 + Int(generator.next(below: 4))
            // Few values: many ties and equal rows; some on a line, at distances that are powers.
            let rows =
                seed % 3 == 0
                ? (0..<n * d).map { Int8(truncatingIfNeeded: 1 << ($0 % 7)) }
                : randomRows(n, d, limit: seed % 2 == 0 ? 2 : 100, seed: seed)
            let beside: [Int8] = seed % 4 == 0 ? randomRows(2, d, limit: 50, seed: seed + 7) : []
            try rows.withVectors(dimension: d) { view in
                var coreset = ComposableCoreset(dimension: d, budget: k)
                func build(_ already: VectorView?) -> (picks: [Int], vectors: [Int8], separation: Int32) {
                    for start in stride(from: 0, to: n, by: part) {
                        coreset.add(coreset.part(view[start..<min(n, start + part)], firstRow: start, already: already))
                    }
                    return coreset.finish(first: 0, already: already)
                }
                let found = beside.isEmpty ? build(nil) : beside.withVectors(dimension: d) { build($0) }
                #expect(found.picks.count == k && Set(found.picks).count == k)
                let squared = (beside + found.vectors).withVectors(dimension: d) {
                    Assigner(centres: $0).assign(view).squaredDistances
                }
                let certificate = try #require(
                    Certificate(
                        squaredDistances: squared, separation: found.separation, quantizer: Quantizer(dimension: d)))
                let scale = Quantizer(dimension: d).scale
                let earlier = (0..<n).map { row in
                    stride(from: 0, to: beside.count, by: d).map {
                        squaredDistance(rows.row(row, d), beside[$0..<($0 + d)])
                    }.min() ?? .max
                }
                let best = optimum(distanceTable(rows, d), k, already: earlier) / scale
                #expect(certificate.lowerBound <= best * (1 + 1e-12))
                #expect(certificate.radius <= 4 * certificate.lowerBound * (1 + 1e-12))
                #expect(certificate.radius >= best * (1 - 1e-12))
            }
        }
    }

    @Test func theFactorStaysUnderFourOnLargerSets() throws {
        for seed in 0..<60 as Range<UInt64> {
            let d = [3, 17, 40][Int(seed % 3)]
            var rows = clusteredRows(600, d, centres: 5 + Int(seed % 20), seed: seed)
            // Outliers, each alone in its partition.
            for row in stride(from: 10, to: 600, by: 130) {
                for j in 0..<d { rows[row * d + j] = Int8(truncatingIfNeeded: 3 * row + j) }
            }
            try rows.withVectors(dimension: d) { view in
                let found = ComposableCoreset.select(view, count: 8, partSize: 100, first: 5)
                let factor = try #require(found.certificate?.factor)
                #expect(factor >= 1 && factor <= 4)
            }
        }
    }
}

@Suite struct NoveltyTests {
    @Test func novelSumIsTheFormula() throws {
        let d = 7
        let pool = clusteredRows(60, d, centres: 6, seed: 1)
        let chosen = Array(pool[..<(9 * d)]) + randomRows(3, d, limit: 40, seed: 2)
        let scale = Quantizer(dimension: d).scale
        func chord(_ a: ArraySlice<Int8>, _ b: ArraySlice<Int8>) -> Double {
            Double(squaredDistance(a, b)) / (scale * scale)
        }
        var total = 0.0
        for i in 0..<12 {
            var near = (0..<60).map { chord(chosen.row(i, d), pool.row($0, d)) }.sorted()
            if near[0] == 0 { near.removeFirst() }
            let density = 1 / (near[..<10].reduce(0, +) / 10 + 1e-9).squareRoot()
            let distances = (0..<12).map { chord(chosen.row(i, d), chosen.row($0, d)) / 2 }.sorted()
            let weights = (1...12).map { 1 / Double($0) }
            total += density * zip(distances, weights).reduce(0) { $0 + $1.0 * $1.1 } / weights.reduce(0, +)
        }
        try pool.withVectors(dimension: d) { pool in
            try chosen.withVectors(dimension: d) { chosen in
                let one = try #require(SelectionMetrics.novelSum(of: chosen, in: pool))
                #expect(abs(one - total / 12) < 1e-12)
                #expect(SelectionMetrics.novelSum(of: chosen, in: pool, parallel: threads(3)) == one)
                let inPieces = SelectionMetrics.novelSum(of: chosen) { add in
                    for start in stride(from: 0, to: pool.count, by: 7) {
                        add(pool[start..<min(pool.count, start + 7)])
                    }
                }
                #expect(inPieces == one)
                #expect(SelectionMetrics.novelSum(of: chosen[0..<1], in: pool) == nil)
            }
        }
    }
}

@Suite struct VectorFileTests {
    private func file(_ header: String, _ bytes: [UInt8]) throws -> String {
        var path = Array("/tmp/sluice-vectors-XXXXXX".utf8CString)
        let number = mkstemp(&path)
        defer { close(number) }
        let text = Array((header + "\n").utf8)
        let all = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(text.count), 0] + text + bytes
        #expect(write(number, all, all.count) == all.count)
        return String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private func shape(_ type: String, _ shape: String, order: String = "False") -> String {
        "{'descr': '\(type)', 'fortran_order': \(order), 'shape': \(shape), }"
    }

    private func bytes<T>(_ values: [T]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }

    @Test func readsWhatNumPyWrites() throws {
        // The length of a quantised vector of three components is 27.5.
        let int8 = try file(shape("|i1", "(2, 3)"), [12, 20, 15, 229, 0, 3])
        defer { unlink(int8) }
        #expect(try VectorFile(int8).read() == [12, 20, 15, -27, 0, 3])
        let floats: [Float] = [3, 4, 0, -1, 0, 0]
        let expected = try Quantizer(dimension: 3).quantize(floats)
        let single = try file(shape("<f4", "(2, 3)"), bytes(floats))
        let double = try file(shape("<f8", "(2, 3)"), bytes([3e200, 4e200, 0, -1e-200, 0, 0]))
        defer {
            unlink(single)
            unlink(double)
        }
        #expect(try VectorFile(single).read() == expected)
        #expect(try VectorFile(double).read() == expected)
        let footed = try file(shape("|i1", "(1, 2)"), [13, 18] + [UInt8](repeating: 9, count: 32))
        defer { unlink(footed) }
        #expect(try VectorFile(footed).read() == [13, 18])
    }

    @Test func saysWhatIsWrong() throws {
        for (header, data, words) in [
            (shape("|i1", "(6,)"), bytes([Int8](repeating: 0, count: 6)), "it has 1 dimensions"),
            (shape("|i1", "(2, 3)"), [1, 2, 3], "needs 6 bytes of numbers, but it has 3"),
            (shape("<i4", "(1, 1)"), [1, 2, 3, 4], "numbers of type <i4"),
            (shape("<f4", "(1, 2)", order: "True"), bytes([1, 2] as [Float]), "Fortran"),
            (
                shape("<f4", "(2, 2)"), bytes([1, 2, .nan, 1] as [Float]),
                "row 1 has a component that is NaN or infinite"
            ),
            (shape("<f8", "(1, 2)"), bytes([1, .infinity]), "row 0 has a component that is NaN or infinite"),
            (shape("|i1", "(1, 9000)"), bytes([Int8](repeating: 0, count: 9000)), "vectors have 1 to 8192 components"),
            ("{}", [], "header can't be parsed"),
        ] as [(String, [UInt8], String)] {
            let path = try file(header, data)
            defer { unlink(path) }
            do {
                _ = try VectorFile(path).read()
                Issue.record("\(header) was read")
            } catch {
                #expect(error.description.contains(words) && error.description.hasPrefix(path), "\(error)")
            }
        }
        #expect(throws: VectorFileError.self) { try VectorFile("/nonexistent.npy") }
    }

    /// The header is read as in all other columns: keys in any order, either kind of quotes.
    @Test func readsAnyDictionary() throws {
        let path = try file(#"{"shape": (1,2), "descr": "|i1", "fortran_order": False}"#, [13, 18])
        defer { unlink(path) }
        #expect(try VectorFile(path).read() == [13, 18])
    }
}
