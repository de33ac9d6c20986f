@testable import CoresetSelector
import SluiceCore
import SluiceGeometry
import Testing

@Suite struct SharesTests {
    @Test func everyBudgetIsPartedExactly() {
        var generator = Seed(3).generator()
        for _ in 0..<2000 {
            let sizes = (0..<Int(generator.next(below: 20) + 1)).map { _ in Int(generator.next(below: 1 << generator.next(below: 12))) }
            let total = sizes.reduce(0, +)
            let budget = Int(generator.next(below: UInt64(total + 1)))
            for shares in Shares.allCases {
                let quotas = shares.part(budget, among: sizes)
                #expect(quotas.reduce(0, +) == budget)
                #expect(zip(quotas, sizes).allSatisfy { $0 >= 0 && $0 <= $1 })
            }
        }
    }

    @Test func knownParts() {
        #expect(Shares.proportional.part(10, among: [50, 30, 20]) == [5, 3, 2])
        #expect(Shares.proportional.part(4, among: [10, 10, 10]) == [2, 1, 1])
        #expect(Shares.equal.part(10, among: [100, 1, 100]) == [5, 1, 4])
        #expect(Shares.equal.part(9, among: [2, 100, 1]) == [2, 6, 1])
        #expect(Shares.squareRoot.part(30, among: [100, 400]) == [10, 20])
        #expect(Shares.proportional.part(7, among: [0, 7, 0]) == [0, 7, 0])
        #expect(Shares.proportional.part(3_000_000_000, among: [2_000_000_000, 2_000_000_000]) == [1_500_000_000, 1_500_000_000])
    }
}

@Suite struct CoresetTests {
    private let dimension = 24

    private func select(
        _ options: OptionValues, _ vectors: [Int8], hashes given: [ContentHash]? = nil, isResident: Bool = true, seed: UInt64 = 7
    ) throws -> (outcome: GroupOutcome, report: Report) {
        let stage = try CoresetStage.make(options)
        let count = vectors.count / dimension
        let data = TestGroup(rows: given ?? hashes(count), vectors: vectors, dimension: dimension, isResident: isResident)
        let quota = try stage.quotas(for: [count])[0]
        let outcome = try stage.select(data.group(), quota: quota, context("coreset", seed: seed))
        #expect(outcome.ranks.count { $0 >= 0 } == quota)
        #expect(outcome.ranks.filter { $0 >= 0 }.sorted() == (0..<Int32(quota)).map { $0 })
        for row in 0..<count where !outcome.partners.isEmpty {
            #expect((outcome.partners[row] < 0) == (outcome.ranks[row] >= 0))
            if outcome.partners[row] >= 0 { #expect(outcome.ranks[Int(outcome.partners[row])] >= 0) }
        }
        let report = stage.report([GroupReport(key: nil, size: count, kept: quota, report: outcome.report)])
        return (outcome, report)
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
                for row in least.indices { least[row] = min(least[row], squaredDistance(vectors, row, next, dimension)) }
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
        for method in ["farthest-first", "medoids", "random", "closest", "farthest", "mixed", "facility-location", "sensitivity"] {
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

    @Test func cosineMethodsFollowTheCentre() throws {
        let vectors = clustered(200, dimension: dimension, centres: 1, spread: 0.8)
        var centre = [Int](repeating: 0, count: dimension)
        for row in 0..<200 { for index in 0..<dimension { centre[index] += Int(vectors[row * dimension + index]) } }
        func cosine(_ row: Int) -> Double {
            let part = vectors[(row * dimension)..<((row + 1) * dimension)].map { Int($0) }
            let dot = zip(part, centre).reduce(0) { $0 + $1.0 * $1.1 }, norm = part.reduce(0) { $0 + $1 * $1 }
            return Double(dot) / Double(norm).squareRoot()
        }
        let order = (0..<200).sorted { cosine($0) > cosine($1) }
        // The centre is rounded, so neighbours in the order may swap: compare sets with slack.
        let closest = try picks(select(["keep": 20, "method": "closest"], vectors).outcome)
        #expect(Set(closest).isSubset(of: order.prefix(26)))
        let farthest = try picks(select(["keep": 20, "method": "farthest"], vectors).outcome)
        #expect(Set(farthest).isSubset(of: order.suffix(26)))
        let mixed = try picks(select(["keep": 21, "method": "mixed"], vectors).outcome)
        #expect(mixed.count { order.prefix(100).contains($0) } == 11)
        #expect(mixed[0] == closest[0] && mixed[1] == farthest[0])
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
        func quotas(_ keep: Quantity) throws -> [Int] {
            try CoresetStage.make(["keep": .quantity(keep), "per": "cluster"]).quotas(for: sizes)
        }
        #expect(try quotas(.count(10)) == sizes)
        #expect(try quotas(.percent(50)).reduce(0, +) == 5)
        let over = stageError { _ = try quotas(.count(11)) }
        #expect(over?.code == .invalidData)
        #expect(over?.message == "`keep` asks for 11 records and only 10 reach the stage; lower it, or give a percentage")
        #expect(stageError { _ = try quotas(.count(0)) }?.option == "keep")
        #expect(try CoresetStage.make(["keep": 5]).quotas(for: []) == [])
        #expect(stageError { _ = try CoresetStage.make(["keep": 5, "shares": "equal"]) }?.option == "shares")
        #expect(stageError { _ = try CoresetStage.make(["keep": 5, "trim": 5, "method": "random"]) }?.option == "trim")
    }

    @Test func emptyGroupsQuotasOfNoneAndEqualPoints() throws {
        let stage = try CoresetStage.make(["keep": 1, "per": "cluster"])
        let data = TestGroup(rows: hashes(4), vectors: [Int8](repeating: 3, count: 4 * dimension), dimension: dimension)
        let none = try stage.select(data.group(key: 3), quota: 0, context("coreset"))
        #expect(none.ranks == [-1, -1, -1, -1])
        #expect(none.partners.isEmpty)
        let all = try select(["keep": 4], data.vectors)
        #expect(all.report["radius"]?.realValue == 0)
        #expect(all.report["factor"]?.realValue == 1)
        let groups = [
            GroupReport(key: 0, size: 4, kept: 2, report: try select(["keep": 2], data.vectors).outcome.report),
            GroupReport(key: 3, size: 4, kept: 0, report: none.report),
        ]
        let report = stage.report(groups)
        #expect(report["kept"]?.integerValue == 2)
        #expect(report["groups_without_a_pick"]?.integerValue == 1)
        #expect(report["largest_factor_of_a_group"]?.realValue == 1)
        #expect(report["per_group"]?.elements.count == 2)
    }
}
