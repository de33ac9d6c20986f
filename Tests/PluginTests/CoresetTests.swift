import Glibc
import SluiceBudgets
import SluiceCore
import SluiceGeometry
import SluiceTesting
import Testing

@testable import CoresetSelector

@Suite struct CoresetTests {
    private let dimension = 24

    private func select(
        _ options: OptionValues, _ vectors: [Int8], hashes given: [ContentHash]? = nil, isResident: Bool = true,
        seed: UInt64 = 7
    ) throws -> (outcome: GroupOutcome, report: JSONValue) {
        let stage = try CoresetStage.make(options)
        let count = vectors.count / dimension
        let data = TestGroup(
            rows: given ?? hashes(count), vectors: vectors, dimension: dimension, isResident: isResident)
        let quota = try stage.quotas(for: Groups(sizes: [count]))[0]
        let outcome = try stage.select(data.group(), quota: quota, context("coreset", seed: seed))
        #expect(outcome.ranks.count { $0 >= 0 } == quota)
        #expect(outcome.ranks.filter { $0 >= 0 }.sorted() == (0..<Int32(quota)).map { $0 })
        for row in 0..<count where !outcome.partners.isEmpty {
            #expect((outcome.partners[row] < 0) == (outcome.ranks[row] >= 0))
            if outcome.partners[row] >= 0 { #expect(outcome.ranks[Int(outcome.partners[row])] >= 0) }
        }
        let report = stage.report([GroupReport(key: .all, size: count, kept: quota, report: outcome.report)])
        return (outcome, report)
    }

    /// The selection of a stage's body, as a run would make it.
    private func selection(_ options: OptionValues, columns: [ColumnSpec] = []) throws -> any Selection {
        let context = StageContext(
            name: "coreset", seed: Seed(7).derived(for: "coreset"), memory: 1 << 30, columns: columns)
        var body = try CoresetStage.make(options).body(context)
        if case .sequence(let parts) = body { body = parts[1] }
        guard case .selection(let selection) = body else { throw StageError(.fault, "no selection") }
        return selection
    }

    private func picks(_ outcome: GroupOutcome) -> [Int] {
        outcome.ranks.indices.filter { outcome.ranks[$0] >= 0 }.sorted { outcome.ranks[$0] < outcome.ranks[$1] }
    }

    @Test func farthestFirstIsThePlainAlgorithm() throws {
        for seed in 1...5 as ClosedRange<UInt64> {
            let vectors = clustered(400, dimension: dimension, centres: 9, seed: seed)
            let stage = context("coreset")
            let start = (0..<400).min { stage.seed.draw(hash(UInt64($0))) < stage.seed.draw(hash(UInt64($1))) }!
            var expected = [start]
            var least = (0..<400).map { squaredDistance(vectors, $0, start, dimension) }
            while expected.count < 30 {
                let next = least.indices.max { least[$0] != least[$1] ? least[$0] < least[$1] : $0 > $1 }!
                expected.append(next)
                for row in least.indices {
                    least[row] = min(least[row], squaredDistance(vectors, row, next, dimension))
                }
            }
            let made = try select(["keep": .quantity(.count(30))], vectors)
            #expect(picks(made.outcome) == expected)
            let scale = Quantizer(dimension: dimension).scale
            let radius = Double(least.max()!).squareRoot() / scale
            #expect(made.report["radius"]?.realValue == radius)
            let factor = try #require(made.report["factor"]?.realValue)
            #expect(factor >= 1 && factor <= 2)
            for row in 0..<400 {
                #expect(made.outcome.measures[0].values[row] == Double(least[row]).squareRoot() / scale)
            }
        }
    }

    @Test func everyMethodGivesTheSameFromMemoryAndInChunks() throws {
        let vectors = clustered(300, dimension: dimension, centres: 6)
        for method in [
            "farthest-first", "medoids", "random", "closest", "farthest", "mixed", "facility-location", "sensitivity",
        ] {
            let options: OptionValues = ["keep": .quantity(.percent(7)), "method": .text(method)]
            let one = try select(options, vectors)
            let other = try select(options, vectors, isResident: false)
            #expect(one.outcome.ranks == other.outcome.ranks, "\(method)")
            #expect(one.outcome.partners == other.outcome.partners)
            #expect(one.report == other.report)
            #expect(one.report["kept"]?.integerValue == 21)
        }
        let trimmed: OptionValues = ["keep": 10, "trim": .quantity(.percent(2))]
        #expect(try select(trimmed, vectors).outcome.ranks == select(trimmed, vectors, isResident: false).outcome.ranks)
    }

    @Test func partnersAreTheNearestPicks() throws {
        let vectors = clustered(200, dimension: dimension, centres: 6)
        for method in ["farthest-first", "random", "medoids", "facility-location", "sensitivity"] {
            let outcome = try select(["keep": 12, "method": .text(method)], vectors).outcome
            let chosen = picks(outcome)
            for row in 0..<200 where outcome.ranks[row] < 0 {
                let nearest = chosen.map { squaredDistance(vectors, row, $0, dimension) }.min()!
                #expect(squaredDistance(vectors, row, Int(outcome.partners[row]), dimension) == nearest)
            }
        }
    }

    @Test func medoidsLieCloserOnAverageThanRandomOnes() throws {
        let vectors = clustered(1000, dimension: dimension, centres: 30)
        func mean(_ method: String) throws -> Double {
            try #require(select(["keep": 30, "method": .text(method)], vectors).report["mean_distance"]?.realValue)
        }
        #expect(try mean("medoids") < mean("random"))
        let zero = try select(["keep": 5, "method": "medoids"], [Int8](repeating: 0, count: dimension * 9))
        #expect(picks(zero.outcome).count == 5)
    }

    @Test func randomAndTheStartAreKeyedByContentAndNotByPlace() throws {
        let vectors = clustered(100, dimension: dimension, centres: 6)
        let order = (0..<100).map { ($0 * 37) % 100 }
        let moved = order.flatMap { vectors[($0 * dimension)..<(($0 + 1) * dimension)] }
        for method in ["random", "farthest-first"] {
            let options: OptionValues = ["keep": 10, "method": .text(method)]
            let one = try picks(select(options, vectors).outcome)
            let other = try picks(select(options, moved, hashes: order.map { hash(UInt64($0)) }).outcome)
            #expect(one == other.map { order[$0] })
            #expect(try one != picks(select(options, vectors, seed: 8).outcome))
        }
    }

    @Test func trimPassesOverOutliers() throws {
        // One record opposite to all others.
        let cloud = clustered(100, dimension: dimension, centres: 1, spread: 0.1)
        let vectors = cloud + cloud[..<dimension].map { -$0 }
        #expect(try picks(select(["keep": 3], vectors).outcome).contains(100))
        let trimmed = try select(["keep": 3, "trim": 1], vectors)
        #expect(!picks(trimmed.outcome).contains(100) || picks(trimmed.outcome).first == 100)
        let (radius, inner) = (trimmed.report["radius"]?.realValue, trimmed.report["trimmed_radius"]?.realValue)
        #expect(try #require(radius) > #require(inner))
    }

    @Test func budgets() throws {
        let sizes = [3, 5, 2]
        func quotas(_ keep: Quantity, strict: Bool = false) throws -> [Int] {
            try CoresetStage.make(["keep": .quantity(keep), "per": "cluster", "strict": .flag(strict)])
                .quotas(for: Groups(sizes: sizes))
        }
        #expect(try quotas(.count(10)) == sizes)
        #expect(try quotas(.percent(50)).reduce(0, +) == 5)
        #expect(try quotas(.count(11)) == sizes)
        let over = stageError { _ = try quotas(.count(11), strict: true) }
        #expect(over?.code == .invalidData)
        #expect(
            over?.message
                == "`keep` asks for 11 records but only 10 reach the stage; lower it, give a percentage, or remove `strict`"
        )
        #expect(stageError { _ = try quotas(.count(0)) }?.option == "keep")
        #expect(try CoresetStage.make(["keep": 5]).quotas(for: Groups(sizes: [])) == [])
        #expect(stageError { _ = try CoresetStage.make(["keep": 5, "shares": "equal"]) }?.option == "shares")
        #expect(stageError { _ = try CoresetStage.make(["keep": 5, "trim": 5, "method": "random"]) }?.option == "trim")
    }

    @Test func emptyGroupsQuotasOfNoneAndEqualPoints() throws {
        let stage = try CoresetStage.make(["keep": 1, "per": "cluster"])
        let data = TestGroup(rows: hashes(4), vectors: [Int8](repeating: 3, count: 4 * dimension), dimension: dimension)
        let none = try stage.select(data.group(key: .number(3)), quota: 0, context("coreset"))
        #expect(none.ranks == [-1, -1, -1, -1])
        #expect(none.partners.isEmpty)
        let all = try select(["keep": 4], data.vectors)
        #expect(all.report["radius"]?.realValue == 0)
        #expect(all.report["factor"]?.realValue == 1)
        let groups = [
            GroupReport(
                key: .number(0), size: 4, kept: 2, report: try select(["keep": 2], data.vectors).outcome.report),
            GroupReport(key: .number(3), size: 4, kept: 0, report: none.report),
        ]
        let report = stage.report(GroupReports(groups))
        #expect(report["kept"]?.integerValue == 2)
        #expect(report["groups_without_a_pick"]?.integerValue == 1)
        #expect(report["largest_factor_of_a_group"]?.realValue == 1)
        #expect(report["per_group"]?.elements.count == 2)
    }

    // MARK: Two rounds and earlier records

    @Test func composableIsTheGeometryAndTheSameInChunks() throws {
        for (seed, part) in [(1, 60), (2, 41), (3, 250)] as [(UInt64, Int)] {
            let vectors = clustered(250, dimension: dimension, centres: 12, seed: seed)
            let options: OptionValues = ["keep": 9, "rounds": "composable", "part": .integer(part)]
            let one = try select(options, vectors)
            let other = try select(options, vectors, isResident: false)
            #expect(one.outcome.ranks == other.outcome.ranks)
            #expect(one.outcome.partners == other.outcome.partners)
            #expect(one.report == other.report)
            let factor = try #require(one.report["factor"]?.realValue)
            #expect(factor >= 1 && factor <= (part < 250 ? 4 : 2))
            #expect(one.report["parts"]?.integerValue == (part < 250 ? (250 + part - 1) / part : nil))
            // Verified: the radius matches the picks.
            let chosen = picks(one.outcome)
            let worst = (0..<250).map { row in chosen.map { squaredDistance(vectors, row, $0, dimension) }.min()! }
                .max()!
            #expect(
                one.report["radius"]?.realValue == Double(worst).squareRoot() / Quantizer(dimension: dimension).scale)
            #expect(
                one.report["factor"]?.realValue == (one.report["radius"]?.realValue)!
                    / (one.report["lower_bound"]?.realValue)!)
        }
        // A budget that is at least the part's size needs one round.
        let vectors = clustered(90, dimension: dimension, centres: 6)
        let one = try select(["keep": 20, "rounds": "composable", "part": 20], vectors)
        #expect(one.outcome.ranks == (try select(["keep": 20], vectors)).outcome.ranks)
    }

    @Test func earlierRecordsCountAsPicks() throws {
        let vectors = clustered(200, dimension: dimension, centres: 10)
        let first = try picks(select(["keep": 8], vectors).outcome)
        let path = try writeVectors(
            first.flatMap { Array(vectors[($0 * dimension)..<(($0 + 1) * dimension)]) }, dimension)
        defer { remove(path) }
        let data = TestGroup(rows: hashes(200), vectors: vectors, dimension: dimension)
        let streamed = TestGroup(rows: hashes(200), vectors: vectors, dimension: dimension, isResident: false)
        for rounds in ["one", "composable"] {
            var options: OptionValues = ["keep": 5, "already": .text(path), "rounds": .text(rounds)]
            if rounds == "composable" { options["part"] = 70 }
            let warm = try selection(options, columns: [ColumnSpec(.embedding, .vector(dimension: dimension))])
            let outcome = try warm.select(data.group(), quota: 5, context("coreset"))
            #expect(outcome.ranks == (try warm.select(streamed.group(), quota: 5, context("coreset"))).ranks)
            let added = picks(outcome)
            #expect(added.count == 5 && Set(added).isDisjoint(with: first))
            if rounds == "one" {
                // The picks continue where the earlier ones stopped: greedy's order is nested.
                #expect(added == Array(try picks(select(["keep": 13], vectors).outcome)[8...]))
            }
            for row in 0..<200 where outcome.ranks[row] < 0 {
                let own = added.map { squaredDistance(vectors, row, $0, dimension) }.min()!
                let earlier = first.map { squaredDistance(vectors, row, $0, dimension) }.min()!
                #expect((outcome.partners[row] < 0) == (earlier <= own))
                let chord = outcome.measures[0].values[row]
                #expect(chord == Double(min(own, earlier)).squareRoot() / Quantizer(dimension: dimension).scale)
            }
            #expect(warm.report([])["already"]?["vectors"]?.integerValue == 8)
        }
    }

    @Test func aWrongFileIsRefusedBeforeAnythingIsRead() throws {
        let path = try writeVectors([1, 2, 3, 4, 5, 6], 3)
        defer { remove(path) }
        let other = stageError {
            _ = try selection(
                ["keep": 5, "already": .text(path)], columns: [ColumnSpec(.embedding, .vector(dimension: 24))])
        }
        #expect(other?.option == "already")
        #expect(other?.message.contains("have 3 components; `embedding` has 24") == true)
        let none = stageError { _ = try selection(["keep": 5, "already": "/nonexistent.npy"]) }
        #expect(none?.option == "already")
    }

    // MARK: By score

    @Test func scoreFirstIsThePlainRule() throws {
        let vectors = clustered(300, dimension: dimension, centres: 25, spread: 0.3)
        let scores = (0..<300).map { $0 % 7 == 3 ? Double.nan : Double(($0 * 31) % 40) }
        let limit = Int(Quantizer(dimension: dimension).squaredLimit(cosine: 0.8))
        for keep in [12, 200] {
            let selection = try selection([
                "keep": .quantity(.count(keep)), "method": "score-first", "score": "quality", "distance": 0.2,
            ])
            #expect(selection.mayKeepFewerThanQuota)
            let data = TestGroup(
                rows: hashes(300), vectors: vectors, dimension: dimension, columns: ["quality": .reals(scores)],
                isResident: keep == 12)
            let outcome = try selection.select(data.group(), quota: keep, context("coreset"))
            func value(_ row: Int) -> Double { scores[row].isNaN ? -1 : scores[row] }
            var expected: [Int] = []
            for row in (0..<300).sorted(by: { value($0) != value($1) ? value($0) > value($1) : $0 < $1 })
            where expected.count < keep {
                if !expected.contains(where: { squaredDistance(vectors, $0, row, dimension) <= limit }) {
                    expected.append(row)
                }
            }
            #expect(picks(outcome) == expected)
            #expect(outcome.report["short_of_the_budget"]?.integerValue == keep - expected.count)
            #expect(outcome.report["without_a_score"]?.integerValue == scores.count { $0.isNaN })
            if keep == 200 { #expect(expected.count < 200) }
        }
    }

    @Test func scoresAreReadFromFields() throws {
        let stage = try CoresetStage.make(["keep": 1, "method": "score-first", "score_field": "q"])
        #expect(stage.reads == [.column(.embedding, .vector), .field("q")])
        guard case .sequence(let parts) = try stage.body(context("coreset")), case .transform(let transform) = parts[0]
        else {
            Issue.record("no transform")
            return
        }
        let fields: [TestField?] = [
            .json("3.5"), .string("-2e1"), .json("true"), .null, nil, .string("nan"), .json("[1]"),
        ]
        var block = makeBlock(fields.map { $0.map { ["q": $0] } ?? [:] }, paths: ["q"])
        try transform.apply(once: &block, context("coreset"))
        #expect(try block.reals("score") == [3.5, -20] + [Double](repeating: -.infinity, count: 5))
    }

    // MARK: Samples

    @Test func aReservoirMakesLargeGroupsCheapAndStreamed() throws {
        let vectors = clustered(900, dimension: dimension, centres: 30)
        for method in ["medoids", "sensitivity", "facility-location"] {
            for keep in [20, 90] {
                let options: OptionValues = [
                    "keep": .quantity(.count(keep)), "method": .text(method), "reservoir": 200,
                ]
                let one = try select(options, vectors)
                let other = try select(options, vectors, isResident: false)
                #expect(one.outcome.ranks == other.outcome.ranks, "\(method)")
                #expect(one.report == other.report)
                if method != "sensitivity", keep == 20 {
                    let random = try #require(
                        select(["keep": 20, "method": "random"], vectors).report["mean_distance"]?.realValue)
                    #expect(try #require(one.report["mean_distance"]?.realValue) < random)
                }
            }
        }
        // More medoids than the sample has rows: two levels.
        let many = try select(["keep": 300, "method": "medoids", "reservoir": 150], vectors)
        #expect(picks(many.outcome).count == 300)
        let over = stageError {
            _ = try select(["keep": 300, "method": "facility-location", "reservoir": 150], vectors)
        }
        #expect(over?.code == .invalidData)
    }

    @Test func zeroVectorsEqualOnesAndOddDimensions() throws {
        for method in Method.allCases where method != .scoreFirst {
            for values in [[Int8](repeating: 0, count: 40 * dimension), [Int8](repeating: -5, count: 40 * dimension)] {
                for options in [[:], ["reservoir": 10], ["rounds": "composable", "part": 9]] as [OptionValues] {
                    var options = options
                    if options["reservoir"] != nil, ![.medoids, .sensitivity, .facilityLocation].contains(method) {
                        continue
                    }
                    if options["rounds"] != nil, method != .farthestFirst { continue }
                    options["keep"] = 6
                    options["method"] = .text(method.rawValue)
                    let made = try select(options, values)
                    #expect(made.report["radius"]?.realValue == 0, "\(method)")
                }
            }
        }
    }

    // MARK: Floors

    @Test func floorsHoldAndSumUp() throws {
        var generator = Seed(5).generator()
        for _ in 0..<1000 {
            let sizes = (0..<Int(generator.next(below: 12) + 1)).map { _ in Int(generator.next(below: 60)) }
            let total = sizes.reduce(0, +)
            let budget = Int(generator.next(below: UInt64(total + 1)))
            let floor = Int(generator.next(below: 6))
            let least = sizes.map { min($0, floor) }
            for shares in Shares.allCases {
                guard let quotas = shares.part(budget, among: sizes, floor: floor) else {
                    #expect(least.reduce(0, +) > budget)
                    continue
                }
                #expect(quotas.reduce(0, +) == budget)
                for index in sizes.indices { #expect(quotas[index] >= least[index] && quotas[index] <= sizes[index]) }
                if floor == 0 { #expect(quotas == shares.part(budget, among: sizes)) }
            }
        }
        let stage = try CoresetStage.make(["keep": 5, "per": "cluster", "floor": 3])
        let error = stageError { _ = try stage.quotas(for: Groups(sizes: [10, 2, 10])) }
        #expect(error?.message.contains("`floor: 3` needs 8 records of 3 groups but `keep` allows 5") == true)
    }

    @Test func optionsOfAnotherMethodAreErrors() {
        for (options, option) in [
            (["keep": 5, "method": "random", "rounds": "composable"], "rounds"), (["keep": 5, "part": 10], "part"),
            (["keep": 5, "rounds": "composable", "trim": 3], "trim"), (["keep": 5, "reservoir": 10], "reservoir"),
            (["keep": 5, "method": "medoids", "already": "x.npy"], "already"), (["keep": 5, "score": "x"], "score"),
            (["keep": 5, "method": "score-first"], "method"), (["keep": 5, "floor": 2], "floor"),
            (["keep": 5, "method": "score-first", "score": "a", "score_field": "b"], "score_field"),
        ] as [(OptionValues, String)] {
            #expect(stageError { _ = try CoresetStage.make(options) }?.option == option)
        }
    }

    @Test func costsAreEstimated() throws {
        let columns = [ColumnSpec(.embedding, .vector(dimension: 256))]
        func lines(_ options: OptionValues, memory: Int) throws -> [String] {
            let context = StageContext(name: "coreset", seed: Seed(7), memory: 1 << 30, columns: columns)
            return try selection(options, columns: columns)
                .notes(PlanEstimate(records: 1_000_000, resident: memory), context)
        }
        let small = try lines(["keep": 1000], memory: 64 << 20)
        #expect(small[0].contains("up to 2.6e11 multiply-adds") && small[0].contains("on disk"))
        #expect(
            small[1].contains("up to 5.2e11 multiply-adds")
                && small[1].contains("worth it where one reading takes longer than 3.3e10 multiply-adds"))
        #expect(try lines(["keep": 1000], memory: 1 << 30)[1].contains("not worth it"))
        #expect(try lines(["keep": .quantity(.percent(10))], memory: 64 << 20)[1].contains("no gain"))
        #expect(try lines(["keep": 10, "method": "random"], memory: 1).isEmpty)
    }
}
