import SluiceCore
import SluiceGeometry
import Testing

/// The plain algorithm, row by row.
struct PlainFarthestFirst {
    var picks: [Int] = []
    var distances: [Int] = []
    var nearest: [Int]
    var least: [Int]
    var next: Int?

    init(_ rows: [Int8], _ d: Int, count: Int, first: Int?, already: [Int8] = [], trim: Int = 0) {
        let n = rows.count / d
        nearest = Array(repeating: 0, count: n)
        least = Array(repeating: Int(Int32.max), count: n)
        let earlier = already.count / d
        for j in 0..<earlier {
            for i in 0..<n {
                let distance = squaredDistance(rows.row(i, d), already.row(j, d))
                if distance < least[i] { (least[i], nearest[i]) = (distance, -1 - j) }
            }
        }
        func farthest() -> Int? {
            let open = (0..<n).filter { !picks.contains($0) }.sorted { (-least[$0], $0) < (-least[$1], $1) }
            return open.isEmpty ? nil : open[min(trim, open.count - 1)]
        }
        while picks.count < min(count, n) {
            let pick = picks.isEmpty && first != nil ? first! : farthest()!
            distances.append(least[pick])
            picks.append(pick)
            for i in 0..<n {
                let distance = squaredDistance(rows.row(i, d), rows.row(pick, d))
                if distance < least[i] { (least[i], nearest[i]) = (distance, picks.count - 1) }
            }
        }
        next = farthest().map { least[$0] }
    }
}

@Suite struct FarthestFirstTests {
    private func check(
        _ rows: [Int8], _ d: Int, count: Int, first: Int?, already: [Int8] = [], trim: Int = 0, candidates: Int? = nil,
        parallel: Parallel = .serial
    ) {
        let plain = PlainFarthestFirst(rows, d, count: count, first: first, already: already, trim: trim)
        let ours = rows.withVectors(dimension: d) { view in
            already.withVectors(dimension: d) {
                FarthestFirst.select(
                    view, count: count, first: first, already: already.isEmpty ? nil : $0, trim: trim,
                    candidates: candidates,
                    parallel: parallel)
            }
        }
        #expect(ours.picks == plain.picks)
        #expect(ours.distances.map { Int($0) } == plain.distances)
        #expect(ours.nearest.map { Int($0) } == plain.nearest)
        #expect(ours.squaredDistances.map { Int($0) } == plain.least)
        #expect(ours.nextDistance.map { Int($0) } == plain.next)
        #expect(Set(ours.picks).count == min(count, rows.count / d))
    }

    @Test func equalsThePlainAlgorithm() {
        for (trial, candidates) in [nil, 1, 2, 3, 7, 20].enumerated() {
            let seed = UInt64(trial)
            check(
                randomRows(150, 9, limit: 20, seed: seed), 9, count: 30, first: 5, candidates: candidates,
                parallel: threads(3))
            check(clusteredRows(200, 17, centres: 6, seed: seed), 17, count: 60, first: 0, candidates: candidates)
            // Few distinct values: many ties, many equal rows.
            check(
                randomRows(120, 2, limit: 2, seed: seed), 2, count: 60, first: 119, candidates: candidates,
                parallel: threads(2))
            check(randomRows(80, 3, limit: 1, seed: seed), 3, count: 80, first: 7, trim: 4, candidates: candidates)
            check(
                clusteredRows(150, 5, centres: 4, seed: seed), 5, count: 25, first: 3, trim: 11, candidates: candidates)
        }
    }

    @Test func warmStartMeasuresFromEarlierVectors() {
        for seed in 0..<4 as Range<UInt64> {
            let rows = clusteredRows(120, 8, centres: 9, seed: seed)
            let already = randomRows(5, 8, limit: 60, seed: seed + 50)
            check(rows, 8, count: 20, first: nil, already: already, candidates: 10)
            check(rows, 8, count: 20, first: 17, already: already, trim: 3)
            check(rows, 8, count: 0, first: nil, already: already)
        }
        // Earlier vectors that equal rows: these rows are picked last.
        let rows = randomRows(20, 6, seed: 3)
        check(rows, 6, count: 20, first: nil, already: Array(rows[0..<60]))
    }

    @Test func budgetsAtTheEdges() {
        let rows = randomRows(12, 4, seed: 8)
        check(rows, 4, count: 12, first: 2)
        check(rows, 4, count: 50, first: 2)
        check(rows, 4, count: 1, first: 11)
        check(rows, 4, count: 5, first: 0, trim: 100)
        let none = rows.withVectors(dimension: 4) { FarthestFirst.select($0, count: 0, first: nil) }
        #expect(none.picks.isEmpty && none.certificate == nil)
        let empty = [Int8]().withVectors(dimension: 4) { FarthestFirst.select($0, count: 0, first: nil) }
        #expect(empty.picks.isEmpty)
    }

    @Test func equalPointsAndZeroVectorsGiveTheExactBudget() {
        let same = [Int8](repeating: 7, count: 30 * 5)
        let ours = same.withVectors(dimension: 5) { FarthestFirst.select($0, count: 10, first: 4) }
        #expect(ours.picks == [4, 0, 1, 2, 3, 5, 6, 7, 8, 9])
        #expect(ours.certificate?.radius == 0 && ours.certificate?.lowerBound == 0 && ours.certificate?.factor == 1)
        check([Int8](repeating: 0, count: 40), 2, count: 13, first: 19, candidates: 2)
        // Three distinct points, a budget of eight.
        let three = (0..<30).flatMap { [Int8($0 % 3 * 20), 1] as [Int8] }
        check(three, 2, count: 8, first: 0, candidates: 3)
    }

    @Test func streamedChunksGiveTheSameResult() {
        let (n, d) = (5000, 12)
        let rows = clusteredRows(n, d, centres: 40, noise: 25, seed: 4)
        let whole = rows.withVectors(dimension: d) {
            FarthestFirst.select($0, count: 120, first: 77, parallel: threads(2))
        }
        for chunk in [701, 2048, 4999] {
            rows.withVectors(dimension: d) { view in
                let run = FarthestFirst(
                    rows: n, dimension: d, budget: 120, first: (77, view.row(77)), candidates: chunk / 20)
                while run.needsPass {
                    // From the back, to show that the order of chunks doesn't matter.
                    for start in stride(from: 0, to: n, by: chunk).reversed() {
                        run.update(
                            rows: start..<min(n, start + chunk), vectors: view.row(start),
                            parallel: threads(chunk % 3 + 1))
                    }
                    run.finishPass()
                }
                let streamed = run.selection()
                #expect(streamed.picks == whole.picks)
                #expect(streamed.squaredDistances == whole.squaredDistances)
                #expect(streamed.nearest == whole.nearest)
                #expect(streamed.certificate == whole.certificate)
                #expect(run.passes < 120, "picks share passes")
            }
        }
    }

    /// The smallest possible radius (squared) with k centres among the rows, by trying all choices.
    private func optimum(_ table: [[Int]], _ k: Int) -> Int {
        let n = table.count
        var best = Int.max
        func extend(_ from: Int, _ left: Int, _ least: [Int]) {
            if left == 0 {
                best = min(best, least.max()!)
                return
            }
            if from + left > n { return }
            for centre in from...(n - left) {
                extend(centre + 1, left - 1, zip(least, table[centre]).map { min($0, $1) })
            }
        }
        extend(0, k, Array(repeating: .max, count: n))
        return best
    }

    /// Points on a line, a grid, far outliers, duplicates: the hardest cases for greedy choices.
    private func adversarial(_ trial: Int, _ generator: inout SplitMix64) -> [Int8] {
        (0..<9).flatMap { i -> [Int8] in
            switch trial % 4 {
            case 0: [Int8(i * 10), 0]
            case 1: [Int8(i % 3 * 30), Int8(i / 3 * 30)]
            case 2: i == 8 ? [120, 120] : [Int8(generator.next(below: 5)), Int8(generator.next(below: 5))]
            default: [Int8(generator.next(below: 3)) * 40, Int8(generator.next(below: 3)) * 40]
            }
        }
    }

    @Test func certifiedFactorsHoldAgainstTheOptimum() throws {
        var generator = SplitMix64(state: 11)
        for trial in 0..<3000 {
            let d = trial % 2 == 0 ? 2 : 1 + trial / 2 % 5
            let rows =
                trial % 2 == 0
                ? adversarial(trial / 2, &generator)
                : randomRows(9, d, limit: trial % 3 == 0 ? 2 : 127, seed: UInt64(trial))
            let k = 1 + Int(generator.next(below: 4))
            let best = Double(optimum(distanceTable(rows, d), k)).squareRoot() / Quantizer(dimension: d).scale
            try rows.withVectors(dimension: d) { view in
                let one = try #require(
                    FarthestFirst.select(view, count: k, first: Int(generator.next(below: 9))).certificate)
                #expect(one.lowerBound <= best && best <= one.radius)
                #expect(one.radius <= 2 * best)
                #expect(try #require(one.factor) <= 2)
                let two = try #require(
                    ComposableCoreset.select(view, count: k, partSize: 3 + trial % 3, first: trial % 9).certificate)
                #expect(two.lowerBound <= best && best <= two.radius)
                #expect(two.radius <= 4 * best)
                #expect(try #require(two.factor) <= 4)
                let trimmed = try #require(FarthestFirst.select(view, count: k, first: 0, trim: 1).certificate)
                #expect(trimmed.lowerBound <= best && trimmed.trimmedRadius <= trimmed.radius)
            }
        }
    }

    /// Sets too large to compute the optimum: the factor is still at most 2, and with trim the bound still holds.
    @Test func theFactorStaysAtTwoOnLargerSets() throws {
        var generator = SplitMix64(state: 12)
        for trial in 0..<1500 {
            let (n, d) = (20 + Int(generator.next(below: 120)), 1 + Int(generator.next(below: 40)))
            let rows =
                trial % 3 == 0
                ? randomRows(n, d, limit: [1, 5, 127][trial / 3 % 3], seed: UInt64(trial))
                : clusteredRows(n, d, centres: 1 + trial % 9, noise: 1 + trial % 25, seed: UInt64(trial))
            let k = 1 + Int(generator.next(below: 19))
            try rows.withVectors(dimension: d) { view in
                let certificate = try #require(
                    FarthestFirst.select(view, count: k, first: trial % n, candidates: 1 + trial % 6).certificate)
                let factor = try #require(certificate.factor)
                #expect(factor >= 1 && factor <= 2)
            }
        }
    }

    @Test func composableDependsOnPartsAlone() {
        let rows = clusteredRows(900, 8, centres: 12, seed: 2)
        rows.withVectors(dimension: 8) { view in
            let a = ComposableCoreset.select(view, count: 25, partSize: 200, first: 450)
            let b = ComposableCoreset.select(view, count: 25, partSize: 200, first: 450, parallel: threads(4))
            #expect(
                a.picks == b.picks && a.certificate == b.certificate && a.picks[0] == 450 && Set(a.picks).count == 25)
            let one = ComposableCoreset.select(view, count: 25, partSize: 900, first: 450)
            #expect(one.picks == FarthestFirst.select(view, count: 25, first: 450).picks)
        }
    }

    @Test func quantilesAreNearestRanks() {
        let quantizer = Quantizer(dimension: 64)
        let certificate = Certificate(
            squaredDistances: (1...200).map { $0 * $0 }.shuffled(), separation: 100, trim: 2, quantizer: quantizer)!
        #expect(certificate.radius == 200 / quantizer.scale)
        #expect(certificate.trimmedRadius == 198 / quantizer.scale)
        #expect(certificate.median == 100 / quantizer.scale)
        #expect(certificate.quantile90 == 180 / quantizer.scale)
        #expect(certificate.quantile99 == 198 / quantizer.scale)
        #expect(abs(certificate.meanDistance - 100.5 / quantizer.scale) < 1e-12)
        #expect(certificate.factor == 40)
        #expect(Certificate(squaredDistances: [], separation: 0, quantizer: quantizer) == nil)
    }
}
