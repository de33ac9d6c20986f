import BudgetSelectors
import CoresetSelector
import Embedder
import SluiceBudgets
import SluiceCore
import SluiceTesting
import Testing

/// Writes the field `tokens` as a column.
private struct Tokens: Stage, Transform {
    static let descriptor = Descriptor(name: "tokens", summary: "Writes `tokens`.")
    init(options: OptionValues) {}
    let reads: [Input] = [.field("tokens")]
    let writes = [ColumnSpec("tokens", .integer)]
    func apply(to block: inout Block) {
        let field = block.field("tokens")
        let numbers = (0..<block.count).map { row -> Int64 in
            guard case .json(let digits) = field[row] else { return 0 }
            return digits.reduce(0) { 10 * $0 + Int64($1 - 48) }
        }
        block.write("tokens", .integers(numbers))
    }
}

/// Budgets within labels: `top` and `mixture` beside a plain choice, in records and in tokens.
@Suite struct BudgetTests {
    private struct Row {
        let label: String
        let score: Int
        let tokens: Int
        let line: Int
    }

    private static func rows(_ count: Int, seed: UInt64) -> [Row] {
        (0..<count).map { line in
            func draw(_ salt: UInt64, _ most: UInt64) -> Int {
                Int(Seed.mix(seed &* 1000 &+ UInt64(line) &* 7 &+ salt) % most)
            }
            return Row(
                label: ["a", "b", "c", "d"][min(draw(1, 9), 3)], score: draw(2, 12) - 4, tokens: draw(3, 9), line: line)
        }
    }

    private static func records(_ rows: [Row]) -> [String] {
        rows.map { #"{"label":"\#($0.label)","score":\#($0.score),"tokens":\#($0.tokens),"line":\#($0.line)}"# }
    }

    private func run(_ rows: [Row], _ stage: StageSpec) throws -> InMemoryRun {
        try InMemoryRun(
            [StageSpec("tokens"), stage], registry: Registry([Tokens.self, TopStage.self, MixtureStage.self]),
            records: Self.records(rows))
    }

    private static func groups(_ rows: [Row]) -> [(label: String, rows: [Row])] {
        Dictionary(grouping: rows, by: \.label).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    @Test func topIsTheBeginningOfTheSortedGroup() throws {
        for seed in 0..<30 as Range<UInt64> {
            let rows = Self.rows(60, seed: seed)
            let isLowest = seed % 2 == 0
            let keep = 10 + Int(seed)
            let stage = Top(
                keep: .count(keep), field: "score", per: "label", order: isLowest ? "lowest" : "highest",
                budget: ["shares": "square-root"])
            let kept = try run(rows, stage.stageSpec).kept
            let groups = Self.groups(rows)
            let quotas = Shares.squareRoot.part(keep, among: groups.map(\.rows.count))
            let expected = zip(groups, quotas).flatMap { group, quota in
                group.rows.sorted {
                    $0.score != $1.score ? ($0.score < $1.score) == isLowest : $0.line < $1.line
                }.prefix(quota).map(\.line)
            }
            #expect(kept == expected.sorted() && kept.count == keep, "seed \(seed)")
        }
    }

    @Test func tokensAreExactToTheRecord() throws {
        for seed in 0..<30 as Range<UInt64> {
            let rows = Self.rows(80, seed: seed)
            let total = rows.reduce(0) { $0 + $1.tokens }
            let budget = total / 3
            let stage = Top(
                keep: .count(budget), field: "score", per: "label", budget: ["unit": "tokens", "shares": "equal"])
            let kept = Set(try run(rows, stage.stageSpec).kept)
            let groups = Self.groups(rows)
            let quotas = Shares.equal.part(budget, among: groups.map { $0.rows.reduce(0) { $0 + $1.tokens } })
            #expect(quotas.reduce(0, +) == budget)
            for (group, quota) in zip(groups, quotas) {
                let sorted = group.rows.sorted { $0.score != $1.score ? $0.score > $1.score : $0.line < $1.line }
                let taken = sorted.prefix { kept.contains($0.line) }
                #expect(taken.count == group.rows.count { kept.contains($0.line) }, "no record is left out in between")
                let sum = taken.reduce(0) { $0 + $1.tokens }
                #expect(sum <= quota)
                if taken.count < sorted.count { #expect(sum + sorted[taken.count].tokens > quota) }
            }
        }
    }

    @Test func capsAndTheirRestAreShared() {
        for seed in 0..<200 as Range<UInt64> {
            let sizes = (0..<7).map { Int(Seed.mix(seed &* 31 &+ UInt64($0)) % 50) }
            let cap = 1 + Int(Seed.mix(seed) % 20)
            let open = sizes.map { min($0, cap) }
            let total = Int(Seed.mix(seed &+ 9) % UInt64(open.reduce(0, +) + 1))
            for shares in Shares.allCases {
                let quotas = shares.part(total, among: open, of: sizes)
                #expect(quotas.reduce(0, +) == total && zip(quotas, open).allSatisfy { $0 <= $1 })
                // A larger group never gets less than a smaller one.
                for (a, one) in sizes.enumerated() {
                    for (b, other) in sizes.enumerated() where one > other { #expect(quotas[a] >= quotas[b] - 1) }
                }
            }
        }
        // 1 and 3 of 4 by size; the second is cut to 2, and the first gets the rest.
        #expect(Shares.proportional.part(4, among: [3, 2], of: [3, 9]) == [2, 2])
        #expect(Shares.squareRoot.part(10, among: [1 << 40, 1 << 42]) == [3, 7])
    }

    @Test func mixturesNest() throws {
        let rows = Self.rows(300, seed: 3)
        func kept(_ keep: Int, _ budget: OptionValues = [:]) throws -> Set<Int> {
            Set(try run(rows, Mixture(keep: .count(keep), per: "label", budget: budget).stageSpec).kept)
        }
        var before: Set<Int> = []
        for keep in [4, 16, 64, 256] {
            let now = try kept(keep)
            #expect(now.count == keep && before.isSubset(of: now))
            before = now
        }
        let capped = try kept(100, ["cap": 20, "shares": "equal"])
        for group in Self.groups(rows) { #expect(group.rows.count { capped.contains($0.line) } <= 20) }
    }

    @Test func shortfallsAreReported() throws {
        let rows = Self.rows(50, seed: 8)
        let sizes = Dictionary(grouping: rows, by: \.label).mapValues(\.count)
        let more: OptionValue = .quantity(.count(100))
        let stage = Mixture(keep: .count(2000), per: "label", quota: ["a": more, "zz": more, "rest": "equal"]).stageSpec
        let result = try run(rows, stage)
        #expect(result.kept.count == 50)
        let report = try #require(result.reports.joined().first { $0["short_of_keep"] != nil })
        #expect(report["short_of_keep"]?.integerValue == 1950)
        #expect(
            report["quota_not_met"]?.elements.map { $0["kept"]?.integerValue } == [sizes["a"], 0])
        var strict = stage
        strict.options["strict"] = true
        let error = #expect(throws: (any Error).self) { _ = try run(rows, strict) }
        #expect("\(error.map { "\($0)" } ?? "")".contains("`keep` asks for 2000 records but only 50"))
        for (quota, words) in [
            (["a": more, "rest": "equal"], "`quota` asks for 100 records of `a`"),
            (["zz": .quantity(.count(1)), "rest": "equal"], "`quota` names `zz`, which no record has"),
        ] as [([String: OptionValue], String)] {
            let spec = Mixture(keep: .count(40), per: "label", quota: quota, budget: ["strict": true]).stageSpec
            let error = #expect(throws: (any Error).self) { _ = try run(rows, spec) }
            #expect("\(error.map { "\($0)" } ?? "")".contains(words), "\(error.map { "\($0)" } ?? "")")
        }
    }

    /// In each group the picks of a coreset in tokens are the first ones of a coreset in records.
    @Test(arguments: ["farthest-first", "random"]) func coresetsInTokensAreExact(method: String) throws {
        let rows = Self.rows(120, seed: 4)
        let stages: [StageSpec] = [
            StageSpec("tokens"), StageSpec("embed", ["model": "file", "field": "v", "dimensions": 16]),
        ]
        let lines = rows.map { row in
            let numbers = (0..<16).map { "\(Int(Seed.mix(UInt64(row.line * 16 + $0)) % 19) - 9)" }
            return
                #"{"label":"\#(row.label)","tokens":\#(row.tokens),"v":[\#(numbers.joined(separator: ","))]}"#
        }
        let registry = Registry([Tokens.self, EmbedStage.self, CoresetStage.self])
        func picks(_ options: OptionValues) throws -> (ranks: [Int: Int], kept: [Int]) {
            var options = options
            (options["method"], options["per"]) = (.text(method), "label")
            let run = try InMemoryRun(
                stages + [StageSpec("coreset", options)], registry: registry, records: lines)
            guard case .integers(let ranks)? = run.column(.rank) else { return ([:], run.kept) }
            return (Dictionary(uniqueKeysWithValues: zip(run.kept, ranks.map { Int($0) })), run.kept)
        }
        let all = try picks(["keep": "100%"])
        #expect(all.kept.count == 120)
        let budget = rows.reduce(0) { $0 + $1.tokens } / 4
        let some = try picks(["keep": .quantity(.count(budget)), "unit": "tokens", "shares": "square-root"])
        let groups = Self.groups(rows)
        let quotas = Shares.squareRoot.part(budget, among: groups.map { $0.rows.reduce(0) { $0 + $1.tokens } })
        for (group, quota) in zip(groups, quotas) {
            let order = group.rows.sorted { all.ranks[$0.line] ?? 0 < all.ranks[$1.line] ?? 0 }
            var (sum, count) = (0, 0)
            while count < order.count, sum + order[count].tokens <= quota {
                sum += order[count].tokens
                count += 1
            }
            let kept = some.kept.filter { line in group.rows.contains { $0.line == line } }
            #expect(kept == order.prefix(count).map(\.line).sorted(), "\(group.label)")
        }
    }

    @Test func missingNumbersAreNeverZero() throws {
        let lines = [
            #"{"s":-1}"#, #"{"s":-2}"#, #"{}"#, #"{"s":null}"#, #"{"s":"-1.5"}"#, #"{"s":"high"}"#, #"{"s":true}"#,
        ]
        func kept(_ missing: String, _ order: String, _ keep: Int) throws -> [Int] {
            try InMemoryRun(
                [Top(keep: .count(keep), field: "s", order: order, missing: missing)],
                registry: Registry([TopStage.self]), records: lines
            ).kept
        }
        #expect(try kept("drop", "highest", 7) == [0, 1, 4])
        #expect(try kept("keep-last", "highest", 4) == [0, 1, 2, 4])
        #expect(try kept("keep-last", "lowest", 2) == [1, 4])
        let error = #expect(throws: (any Error).self) { _ = try kept("fail", "highest", 2) }
        #expect("\(error.map { "\($0)" } ?? "")".contains("the field `s` has no number"))
    }

    @Test(
        arguments: [
            ["keep": "50%", "field": "score", "per": "label", "cap": 9, "missing": "keep-last"],
            ["keep": 40, "by": "tokens", "per": "label", "unit": "tokens", "order": "lowest"],
            ["keep": "30%", "by": "tokens"],
        ] as [OptionValues]) func topKeepsTheContract(options: OptionValues)
    {
        check(TopStage.self, options)
    }

    @Test(
        arguments: [
            ["keep": "50%", "per": "label", "shares": "equal"],
            ["keep": 60, "per": "label", "unit": "tokens", "floor": 5],
            ["keep": 30, "unit": "tokens"], ["keep": 20, "per": "label", "quota": ["a": 3, "rest": "proportional"]],
        ] as [OptionValues]) func mixtureKeepsTheContract(options: OptionValues)
    {
        check(MixtureStage.self, options)
    }

    @Test(arguments: ["farthest-first", "random"]) func coresetsInTokensKeepTheContract(method: String) {
        let rows = Self.rows(60, seed: 1)
        let vectors = VectorColumn(
            dimension: 16, values: (0..<960).map { Int8(truncatingIfNeeded: Int(Seed.mix($0) % 120) - 60) })
        for per in ["label", "all"] as [OptionValue] {
            #expect(
                StageContract.check(
                    CoresetStage.self, options: ["keep": 90, "per": per, "unit": "tokens", "method": .text(method)],
                    records: Self.records(rows),
                    columns: ["tokens": .integers(rows.map { Int64($0.tokens) }), .embedding: .vectors(vectors)]) == [])
        }
    }

    private func check<S: Stage>(_ stage: S.Type, _ options: OptionValues) {
        let rows = Self.rows(60, seed: 1)
        #expect(
            StageContract.check(
                stage, options: options, records: Self.records(rows),
                columns: ["tokens": .integers(rows.map { Int64($0.tokens) })]) == [])
    }
}
