import RedundancyFilter
import SluiceCore
import SluiceGeometry
import SluiceTesting
import Testing

/// LIFT's variety in plain Double arithmetic, following the paper's steps: standardise, covariance, eigenvectors
/// (Jacobi), keep components, variance of a row's coordinates.
private struct PlainLift {
    var figures: [Double] = []
    var components = 0

    init(_ vectors: [Int8], dimension d: Int, explained: Double, isPaper: Bool = false, whitens: Bool = false) {
        let n = vectors.count / d
        let mean = (0..<d).map { j in (0..<n).reduce(0.0) { $0 + Double(vectors[$1 * d + j]) } / Double(n) }
        let deviation = (0..<d).map { j -> Double in
            let sum = (0..<n).reduce(0.0) { sum, i in
                let difference = Double(vectors[i * d + j]) - mean[j]
                return sum + difference * difference
            }
            return sum == 0 ? 1 : (sum / Double(n)).squareRoot()
        }
        let rows = (0..<n).map { i in (0..<d).map { (Double(vectors[i * d + $0]) - mean[$0]) / deviation[$0] } }
        var a = [[Double]](repeating: [Double](repeating: 0, count: d), count: d)
        for row in rows { for i in 0..<d { for j in 0..<d { a[i][j] += row[i] * row[j] / Double(n) } } }
        var v = (0..<d).map { i in (0..<d).map { $0 == i ? 1.0 : 0 } }
        for _ in 0..<60 {
            for p in 0..<d {
                for q in (p + 1)..<max(d, p + 1) where abs(a[p][q]) > 1e-14 {
                    let theta = (a[q][q] - a[p][p]) / (2 * a[p][q])
                    let t = (theta < 0 ? -1 : 1) / (abs(theta) + (theta * theta + 1).squareRoot())
                    let c = 1 / (t * t + 1).squareRoot(), s = t * c
                    for k in 0..<d { (a[k][p], a[k][q]) = (c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]) }
                    for k in 0..<d { (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]) }
                    for k in 0..<d { (v[k][p], v[k][q]) = (c * v[k][p] - s * v[k][q], s * v[k][p] + c * v[k][q]) }
                }
            }
        }
        let order = (0..<d).sorted { a[$0][$0] > a[$1][$1] }
        let total = order.reduce(0.0) { $0 + max(0, a[$1][$1]) }
        var sum = 0.0
        var index = 0
        for (place, k) in order.enumerated() {
            sum += max(0, a[k][k])
            index = place
            if sum / total >= explained { break }
        }
        components = isPaper ? max(1, index) : index + 1
        let kept = order.prefix(components).map { k -> [Double] in
            var vector = (0..<d).map { v[$0][k] }
            if vector.max(by: { abs($0) < abs($1) })! < 0 { vector = vector.map { -$0 } }
            return whitens ? vector.map { $0 / a[k][k].squareRoot() } : vector
        }
        figures = rows.map { row in
            let z = kept.map { zip($0, row).reduce(0.0) { $0 + $1.0 * $1.1 } }
            if whitens { return z.reduce(0) { $0 + $1 * $1 } / Double(z.count) }
            let mean = z.reduce(0, +) / Double(z.count)
            return z.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(z.count)
        }
    }
}

@Suite struct RedundancyTests {
    /// Runs a complete stage: the survey, its transform, and the selection.
    private func filter(
        _ options: OptionValues, _ vectors: [Int8], dimension: Int, size: Int = 64, isReversed: Bool = false,
        columns: [ColumnName: Column] = [:], isResident: Bool = true
    ) throws -> (outcome: GroupOutcome, figures: [Double], reports: [JSONValue]) {
        let stage = try RedundancyStage.make(options)
        let count = vectors.count / dimension
        let context = context("redundancy")
        var data = TestGroup(
            rows: hashes(count), vectors: vectors, dimension: dimension, columns: columns, isResident: isResident)
        var reports: [JSONValue] = []
        var figures: [Double] = []
        var body = try stage.body(context)
        if case .sequence(let parts) = body {
            guard parts.count == 2, case .survey(let moments) = parts[0] else { throw StageError(.fault, "no survey") }
            let result = try survey(moments, vectors, dimension: dimension, size: size, isReversed: isReversed, context)
            reports.append(result.report)
            guard case .transform(let transform) = result.body, let column = stage.writes.first else {
                throw StageError(.fault, "no transform")
            }
            try forEachBlock(vectors, dimension: dimension, size: size) { block in
                try transform.apply(once: &block, context)
                figures += try block.reals(column.name)
            }
            data.columns[column.name] = .reals(figures)
            body = parts[1]
        }
        guard case .selection(let selection) = body else { throw StageError(.fault, "no selection") }
        let quota = try selection.quotas(for: Groups(sizes: [count]))[0]
        let outcome = try selection.select(data.group(), quota: quota, context)
        let kept = outcome.ranks.count { $0 >= 0 }
        reports.append(selection.report([GroupReport(key: .all, size: count, kept: kept, report: outcome.report)]))
        return (outcome, figures, reports)
    }

    private func kept(_ outcome: GroupOutcome) -> [Int] { outcome.ranks.indices.filter { outcome.ranks[$0] >= 0 } }

    // MARK: LIFT

    @Test func liftIsThePaperInPlainArithmetic() throws {
        for (seed, options, isPaper, whitens) in [
            (1, ["method": "lift"], false, false), (2, ["method": "lift", "components": "paper"], true, false),
            (3, ["method": "lift", "variance": .quantity(.percent(80))], false, false),
            (4, ["method": "leverage"], false, true),
        ] as [(UInt64, OptionValues, Bool, Bool)] {
            let vectors = clustered(500, dimension: 20, centres: 4, spread: 1, seed: seed)
            let plain = PlainLift(
                vectors, dimension: 20, explained: seed == 3 ? 0.8 : 0.95, isPaper: isPaper, whitens: whitens)
            let made = try filter(options, vectors, dimension: 20)
            #expect(made.reports[0]["components"]?.integerValue == plain.components)
            for row in 0..<500 {
                #expect(abs(made.figures[row] - plain.figures[row]) < 1e-9 * (1 + plain.figures[row]))
            }
            let best = (0..<500).sorted { plain.figures[$0] > plain.figures[$1] }.prefix(100)
            #expect(kept(made.outcome) == best.sorted())
            // numpy.percentile(figures, 80) and «strictly greater»: the same rows here.
            let sorted = plain.figures.sorted()
            let place = 0.8 * 499
            let limit =
                sorted[Int(place)] + (sorted[Int(place) + 1] - sorted[Int(place)]) * (place - place.rounded(.down))
            #expect(plain.figures.indices.filter { plain.figures[$0] > limit } == kept(made.outcome))
            #expect(made.outcome.measures.map(\.name) == [whitens ? "leverage" : "row_variance", "threshold"])
        }
    }

    @Test func liftOnRealVectorsIsThePaperToo() throws {
        guard let bytes = sharedBytes("golden/embeddings/wordllama256.npy") else {
            print("skipped: ../shared/golden is not here")
            return
        }
        let header = 10 + Int(bytes[8]) + Int(bytes[9]) << 8
        let floats = stride(from: header, to: bytes.count, by: 4).map { place in
            Float(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[place + $1]) << (8 * UInt32($1)) })
        }
        #expect(floats.count == 50 * 256)
        // The first 24 components: Jacobi on 256 with 50 rows would be slow and have a null space.
        let part = (0..<50).flatMap { Array(floats[($0 * 256)..<($0 * 256 + 24)]) }
        let vectors = try Quantizer(dimension: 24).quantize(part)
        let plain = PlainLift(vectors, dimension: 24, explained: 0.95)
        let made = try filter(["method": "lift"], vectors, dimension: 24)
        for row in 0..<50 { #expect(abs(made.figures[row] - plain.figures[row]) < 1e-9 * (1 + plain.figures[row])) }
        #expect(kept(made.outcome).count == 10)
    }

    @Test func liftDoesNotDependOnBlocksOrMerges() throws {
        let vectors = clustered(700, dimension: 33, centres: 5)
        let one = try filter(["method": "lift"], vectors, dimension: 33, size: 700)
        for size in [1, 97] {
            let other = try filter(["method": "lift"], vectors, dimension: 33, size: size, isReversed: size == 97)
            #expect(other.figures == one.figures)
            #expect(other.outcome.ranks == one.outcome.ranks)
            #expect(other.reports == one.reports)
        }
    }

    @Test func droppedRecordsDoNotCount() throws {
        let vectors = clustered(100, dimension: 16, centres: 3)
        let stage = try RedundancyStage.make(["method": "lift"])
        let context = context("redundancy")
        guard case .sequence(let parts) = try stage.body(context), case .survey(let moments) = parts[0] else {
            Issue.record("no survey")
            return
        }
        func report<S: Survey>(_ survey: S) throws -> JSONValue {
            var summary = survey.makeSummary()
            try forEachBlock(vectors + vectors.prefix(160).map { $0 / 2 }, dimension: 16, size: 110) { block in
                for record in 100..<110 { block.drop(record, reason: "test") }
                try survey.observe(block, into: &summary)
            }
            return try survey.finish(summary, context).report
        }
        let alone = try survey(moments, vectors, dimension: 16, size: 100, context).report
        #expect(try report(moments) == alone)
    }

    /// LIFT keeps duplicates of the rows it keeps; the pairwise rule finds all of them.
    @Test func liftKeepsPlantedPairsAndPairwiseCatchesThemAll() throws {
        let originals = clustered(400, dimension: 48, centres: 400, spread: 0.5)
        let vectors = originals + originals[..<(48 * 100)]
        let lift = Set(try kept(filter(["method": "lift"], vectors, dimension: 48).outcome))
        for row in 0..<100 { #expect(lift.contains(row) == lift.contains(400 + row) || lift.count == 100) }
        #expect((0..<100).count { lift.contains($0) && lift.contains(400 + $0) } > 5)
        let pairwise = try filter([:], vectors, dimension: 48).outcome
        for row in 0..<100 {
            #expect(pairwise.ranks[400 + row] < 0)
            #expect(pairwise.partners[400 + row] >= 0)
        }
    }

    // MARK: Pairwise

    /// The rule, in the simplest way.
    private func plainPairwise(_ vectors: [Int8], dimension: Int, order: [Int], distance: Double) -> [Int: Int] {
        let limit = Int(Quantizer(dimension: dimension).squaredLimit(cosine: 1 - distance))
        var kept: [Int] = []
        var partner: [Int: Int] = [:]
        for row in order {
            let near = kept.enumerated().map { (squaredDistance(vectors, row, $1, dimension), $0, $1) }.min {
                ($0.0, $0.1) < ($1.0, $1.1)
            }
            if let near, near.0 <= limit { partner[row] = near.2 } else { kept.append(row) }
        }
        return partner
    }

    @Test func pairwiseIsThePlainRuleInEveryOrder() throws {
        let count = 300
        let vectors = clustered(count, dimension: 24, centres: 20, spread: 0.4)
        let ranks = (0..<count).map { Int64(($0 * 91) % count) }
        let scores = (0..<count).map { Double(($0 * 17) % 50) }
        let orders: [(String, [Int])] = [
            ("ordinal", Array(0..<count)), ("rank", (0..<count).sorted { ranks[$0] < ranks[$1] }),
            ("score", (0..<count).sorted { scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1 }),
        ]
        for (name, order) in orders {
            for isResident in [true, false] {
                let outcome = try filter(
                    ["order": .text(name), "distance": 0.1], vectors, dimension: 24,
                    columns: ["rank": .integers(ranks), "score": .reals(scores)], isResident: isResident
                ).outcome
                let plain = plainPairwise(vectors, dimension: 24, order: order, distance: 0.1)
                #expect(plain.count > 20)
                for row in 0..<count {
                    #expect((outcome.ranks[row] < 0) == (plain[row] != nil))
                    #expect(Int(outcome.partners[row]) == plain[row] ?? -1)
                }
                #expect(
                    order.filter { outcome.ranks[$0] >= 0 }.map { outcome.ranks[$0] }
                        == (0..<Int32(count - plain.count)).map { $0 })
                for row in plain.keys { #expect(outcome.measures[0].values[row] <= 0.1) }
            }
        }
    }

    @Test func scoresMayBeIntegersAndNoNumberComesLast() throws {
        let vectors = [Int8](repeating: 9, count: 3 * 16)
        let integers = try filter(
            ["order": "votes"], vectors, dimension: 16, columns: ["votes": .integers([1, 5, 5])]
        ).outcome
        #expect(kept(integers) == [1])
        let reals = try filter(
            ["order": "score"], vectors, dimension: 16, columns: ["score": .reals([.nan, -3, -4])]
        ).outcome
        #expect(kept(reals) == [1])
        #expect(reals.reason == "near-duplicate")
    }

    // MARK: SemDeDup and borders

    /// Vectors with planted near-duplicates, and their k-means clusters, so that borders separate some of the pairs.
    private func planted(_ count: Int, dimension: Int, clusters: Int, seed: UInt64) -> (
        vectors: [Int8], columns: [ColumnName: Column]
    ) {
        let originals = clustered(count, dimension: dimension, centres: count, spread: 1, seed: seed)
        var generator = Seed(seed).generator(9)
        let copies = originals.map { value -> Int8 in
            let step = Int8(Int(generator.next(below: 11)) - 5)
            return max(-127, min(127, value.addingReportingOverflow(step).partialValue))
        }
        let vectors = originals + copies
        return vectors.withVectors(dimension: dimension) { view in
            let found = KMeans(clusters: clusters, seed: Seed(seed)).run(view)
            let quantizer = Quantizer(dimension: dimension)
            return (
                vectors,
                [
                    .cluster: .integers(found.labels.map { Int64($0) }),
                    "cluster_distance": .reals(found.squaredDistances.map { quantizer.chord(fromSquared: $0) }),
                ]
            )
        }
    }

    /// SemDeDup's rule within a group, in the simplest way: the dropped rows and the first row of each chain.
    private func plainSemDeDup(_ vectors: [Int8], _ d: Int, order: [Int], distance: Double) -> [Int: Int] {
        let limit = Int(Quantizer(dimension: d).squaredLimit(cosine: 1 - distance))
        var first: [Int: Int] = [:]
        for (place, row) in order.enumerated() {
            let near = order[..<place].enumerated().map { (squaredDistance(vectors, row, $1, d), $0, $1) }.min {
                ($0.0, $0.1) < ($1.0, $1.1)
            }
            if let near, near.0 <= limit { first[row] = first[near.2] ?? near.2 }
        }
        return first
    }

    @Test func semdedupIsThePlainRuleInBothOrders() throws {
        let d = 20
        let (vectors, columns) = planted(90, dimension: d, clusters: 1, seed: 3)
        guard case .reals(let distances)? = columns["cluster_distance"] else { return }
        for (name, sign) in [("hard", -1.0), ("easy", 1.0)] {
            let order = (0..<180).sorted {
                distances[$0] != distances[$1] ? sign * distances[$0] < sign * distances[$1] : $0 < $1
            }
            for distance in [0.05, 0.3] {
                let expected = plainSemDeDup(vectors, d, order: order, distance: distance)
                #expect(expected.count > 50)
                for isResident in [true, false] {
                    let outcome = try filter(
                        ["method": "semdedup", "order": .text(name), "distance": .real(distance)], vectors,
                        dimension: d,
                        columns: columns, isResident: isResident
                    ).outcome
                    for row in 0..<180 {
                        #expect((outcome.ranks[row] < 0) == (expected[row] != nil))
                        #expect(Int(outcome.partners[row]) == expected[row] ?? -1)
                    }
                }
            }
        }
    }

    @Test func aSecondLookFindsThePairsThatABorderParts() throws {
        let d = 8
        let (vectors, columns) = planted(200, dimension: d, clusters: 12, seed: 5)
        guard case .integers(let labels)? = columns[.cluster] else { return }
        let parted = (0..<200).count { labels[$0] != labels[200 + $0] }
        #expect(parted > 3)
        let all = try filter(["distance": 0.1], vectors, dimension: d).outcome
        #expect((0..<200).allSatisfy { all.ranks[$0] < 0 || all.ranks[200 + $0] < 0 })
        for isResident in [true, false] {
            let looked = try filter(
                ["per": "cluster", "neighbours": 11, "distance": 0.1], vectors, dimension: d, columns: columns,
                isResident: isResident)
            #expect(looked.outcome.ranks == all.ranks)
            #expect(looked.outcome.partners == all.partners)
            #expect(looked.reports.last?["every_pair_considered"] == .flag(true))
        }
        // A few neighbours find all of them here, too; the report states whether that is certain.
        let few = try filter(
            ["per": "cluster", "neighbours": 3, "distance": 0.1], vectors, dimension: d, columns: columns)
        let open = try #require(few.reports.last?["records_with_more_near_clusters"]?.integerValue)
        #expect((open == 0) == (few.reports.last?["every_pair_considered"] == .flag(true)))
        #expect((0..<200).allSatisfy { few.outcome.ranks[$0] < 0 || few.outcome.ranks[200 + $0] < 0 })
        let chains = try filter(
            ["method": "semdedup", "neighbours": 11, "distance": 0.1], vectors, dimension: d, columns: columns
        ).outcome
        #expect((0..<200).allSatisfy { chains.ranks[$0] < 0 || chains.ranks[200 + $0] < 0 })
        for row in 0..<400 where chains.ranks[row] < 0 { #expect(chains.ranks[Int(chains.partners[row])] >= 0) }
    }

    @Test func nothingToChooseFromIsNoError() throws {
        for options in [["method": "lift", "keep": 5], ["method": "semdedup"], ["per": "cluster", "neighbours": 2]]
            as [OptionValues]
        {
            let stage = try RedundancyStage.make(options)
            var body = try stage.body(context("redundancy"))
            if case .sequence(let parts) = body { body = parts[1] }
            guard case .selection(let selection) = body else { continue }
            #expect(try selection.quotas(for: Groups(sizes: [0])) == [0])
            #expect(try selection.quotas(for: Groups(sizes: [])) == [])
        }
    }

    // MARK: Options

    @Test func readsAndWritesFollowTheMethod() throws {
        let lift = try RedundancyStage.make(["method": "lift"])
        #expect(lift.reads == [.column(.embedding, .vector)])
        #expect(lift.writes == [ColumnSpec("row_variance", .real)])
        let pairwise = try RedundancyStage.make(["order": "rank", "per": "cluster"])
        #expect(
            pairwise.reads == [
                .column(.embedding, .vector), .column(.rank, .integer), .column(.cluster, [.integer, .bytes]),
            ])
        #expect(pairwise.writes.isEmpty)
        #expect(try RedundancyStage.make().reads == [.column(.embedding, .vector)])
    }

    @Test func optionsOfAnotherMethodAreErrors() throws {
        for (options, option) in [
            (["keep": .quantity(.percent(10))], "keep"), (["method": "lift", "distance": 0.1], "distance"),
            (["method": "lift", "keep": 0], "keep"), (["neighbours": 2], "neighbours"),
            (["method": "semdedup", "per": "all"], "per"), (["method": "lift", "neighbours": 1], "neighbours"),
            (["method": "lift", "variance": .quantity(.count(3))], "variance"),
        ] as [(OptionValues, String)] {
            #expect(stageError { _ = try RedundancyStage.make(options) }?.option == option)
        }
        let error = stageError {
            _ = try filter(["method": "lift", "keep": 12], clustered(10, dimension: 16, centres: 2), dimension: 16)
        }
        #expect(
            error?.message == "`keep` asks for 12 records but only 10 reach the stage; lower it, or give a percentage")
    }

    @Test func swiftSpellingGivesOnlyWhatWasSet() {
        #expect(Redundancy().stageSpec == StageSpec("redundancy"))
        #expect(
            Redundancy(method: "lift", keep: .percent(20)).stageSpec
                == StageSpec("redundancy", ["method": "lift", "keep": .quantity(.percent(20))]))
    }
}
