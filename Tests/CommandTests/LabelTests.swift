import Foundation
import SluiceCore
import Testing

/// Groups by a label: a field of the record or a column, with budgets by name.
@Suite struct LabelTests {
    /// Records with labels of every kind: a string, a number and the string of the same digits, a list, null, none.
    private static let records: [[UInt8]] = (0..<600).map { number in
        let label =
            switch number % 12 {
            case 0, 1, 2, 3: #","ability":"writing""#
            case 4, 5: #","ability":"ethics""#
            case 6: #","ability":3"#
            case 7: #","ability":"3""#
            case 8: #","ability":["a","b"]"#
            case 9: #","ability":null"#
            case 10: #","ability":"\u00e9thique \"x\"""#
            default: ""
            }
        let words = (0..<(number % 5 + 2)).map { "w\(($0 * number + number / 60) % 17)" }.joined(separator: " ")
        return Array(#"{"id":\#(number),"text":"\#(words)"\#(label)}"#.utf8)
    }

    /// The label of a record as the documentation defines it, found by a parser that isn't ours.
    private static func label(_ line: [UInt8]) throws -> String? {
        let object = try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
        switch object?["ability"] {
        case let text as String: return text
        case let number as NSNumber: return number.stringValue
        case is [Any]: return #"["a","b"]"#
        default: return nil
        }
    }

    private static let embedded = ["format: {template: \"{text}\"}", "embed: {model: lexical, dimensions: 32}"]

    private func space(_ stages: [String], lines: [[UInt8]] = records, output: [String] = []) throws -> Workspace {
        let space = try Workspace()
        try space.write("in.jsonl", lines: lines)
        try space.define(stages: Self.embedded + stages, output: output)
        return space
    }

    private func counts(_ lines: [[UInt8]]) throws -> [String?: Int] {
        try lines.reduce(into: [:]) { $0[try Self.label($1), default: 0] += 1 }
    }

    /// Gives one record at a time to each group in turn, in byte order of the labels, the group without one first.
    private func shared(_ total: Int, among sizes: [String?: Int]) -> [String?: Int] {
        let labels = sizes.keys.sorted { a, b in
            guard let a, let b else { return a == nil && b != nil }
            return a.utf8.lexicographicallyPrecedes(b.utf8)
        }
        var (quotas, rest) = (sizes.mapValues { _ in 0 }, total)
        while rest > 0, quotas != sizes {
            for label in labels where rest > 0 && quotas[label] != sizes[label] {
                quotas[label, default: 0] += 1
                rest -= 1
            }
        }
        return quotas
    }

    // MARK: Budgets by name

    @Test(arguments: ["coreset", "coreset: {method: random"])
    func equalSharesGoRound(_ stage: String) throws {
        let sizes = try counts(Self.records)
        for keep in [1, 9, 100, 333, 600] {
            let start = stage.contains("{") ? "\(stage), " : "\(stage): {"
            let files = try space(["\(start)keep: \(keep), per: ability, shares: equal}"]).run()
            try files.expectClosedAccount()
            #expect(try counts(files.keptLines) == shared(keep, among: sizes).filter { $0.value > 0 })
        }
    }

    @Test func aNamedLabelGetsItsQuota() throws {
        let sizes = try counts(Self.records)
        let files = try space([
            "coreset: {keep: 200, per: ability, quota: {ethics: 7, writing: 10%, 'nobody': 5, '3': 500, rest: equal}}"
        ]).run()
        try files.expectClosedAccount()
        let kept = try counts(files.keptLines)
        #expect(kept["ethics"] == 7 && kept["writing"] == 20)
        // The number 3 and the string "3" are one label, of 100 records.
        #expect(kept["3"] == 100)
        let others = sizes.filter { !["ethics", "writing", "3"].contains($0.key) }
        #expect(kept.filter { others.keys.contains($0.key) } == shared(200 - 127, among: others))
        let report = try #require(files.manifest["stages"]?.elements.last)
        let short = (report["quota_not_met"]?.elements ?? []).map(\.json)
        #expect(
            short == [#"{"label":"3","quota":"500","kept":100}"#, #"{"label":"nobody","quota":"5","kept":0}"#],
            "\(short)")
        #expect(
            files.manifest["warnings"]?.elements.compactMap(\.textValue) == [
                "stage `coreset`: `quota` names `nobody`, which no record has",
                "stage `coreset`: `quota` was not met: `3` 100 of 500",
            ])
        let keys = (report["per_group"]?.elements ?? []).compactMap { $0["key"] }
        #expect(keys.first == .null && keys.dropFirst().map(\.textValue).contains("éthique \"x\""), "\(keys)")
    }

    /// Ten abilities of real data by quota, three of them larger than what is there: exact, with what fell short.
    @Test func quotasOfTenAbilities() throws {
        guard let sharedData else { return skip("../shared/data is not there") }
        let quotas = [
            "tool-use": 1000, "math": 1000, "code": 1000, "role-play": 500, "exam-math": 300, "exam-jec-qa-kd": 300,
            "exam-logiqa-en": 300, "exam-lsat-rc": 300, "exam-gaokao-chinese": 300, "exam-sat-en": 300,
        ]
        let space = try Workspace()
        let list = quotas.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ")
        try space.define(
            files: "\(sharedData)/abilities.jsonl.zst",
            stages: ["mixture: {keep: 5300, per: ability, quota: {\(list), rest: 0}}"])
        let files = try space.run()
        try files.expectClosedAccount()
        let sizes = try counts(split(unpacked("\(sharedData)/abilities.jsonl.zst")))
        let expected = quotas.map { ($0.key as String?, min($0.value, sizes[$0.key] ?? 0)) }
        #expect(try counts(files.keptLines) == Dictionary(uniqueKeysWithValues: expected))
        let report = try #require(files.manifest["stages"]?.elements.last)
        let short = quotas.filter { $0.value > sizes[$0.key] ?? 0 }.sorted { $0.key < $1.key }
        #expect(short.count == 3)
        #expect(
            (report["quota_not_met"]?.elements ?? []).map(\.json)
                == short.map { #"{"label":"\#($0.key)","quota":"\#($0.value)","kept":\#(sizes[$0.key] ?? 0)}"# })
        #expect(report["short_of_keep"]?.integerValue == 5300 - files.keptLines.count)
    }

    @Test func theRestMayGetANumberEach() throws {
        let files = try space(["coreset: {keep: 300, per: ability, quota: {writing: 3, rest: 2}}"]).run()
        let expected = try counts(Self.records).map { ($0.key, $0.key == "writing" ? 3 : 2) }
        #expect(try counts(files.keptLines) == Dictionary(uniqueKeysWithValues: expected))
    }

    @Test func quotasBeyondTheBudgetAreRefused() throws {
        let space = try space(["coreset: {keep: 20, per: ability, quota: {writing: 15, ethics: 6}}"])
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 3)
        #expect(
            outcome.errorText.contains("`quota` gives 21 records to the groups but `keep` allows 20 in all"),
            "\(outcome.errorText)")
    }

    // MARK: Groups

    /// Groups don't affect each other: the result is that of a run for each label, with its records alone.
    @Test(arguments: [
        "redundancy: {confirm: none, distance: 0.1", "redundancy: {confirm: {numbers: any}, distance: 0.02",
        "coreset: {keep: 6",
    ])
    func aGroupIsChosenFromAlone(_ stage: String) throws {
        let isCoreset = stage.hasPrefix("coreset")
        let together = try space([
            isCoreset ? "coreset: {keep: 400, per: ability, quota: {rest: 6}}" : "\(stage), per: ability}"
        ]).run()
        try together.expectClosedAccount()
        var apart: Set<[UInt8]> = []
        for label in Set(try Self.records.map(Self.label)) {
            let lines = try Self.records.filter { try Self.label($0) == label }
            let files = try space([isCoreset ? "coreset: {keep: 6}" : "\(stage)}"], lines: lines).run()
            apart.formUnion(files.keptLines)
        }
        #expect(Set(together.keptLines) == apart)
        #expect(apart.count < Self.records.count)
    }

    /// A column of bytes groups, too: one record of each text stays.
    @Test func aColumnOfBytesGroups() throws {
        let files = try space(["coreset: {keep: 600, per: text, quota: {rest: 1}}"]).run()
        try files.expectClosedAccount()
        let texts = try files.keptLines.map { try JSONValue(json: $0)["text"]?.textValue }
        let all = Set(try Self.records.map { try JSONValue(json: $0)["text"]?.textValue })
        #expect(texts.count == all.count && Set(texts) == all)
    }

    /// A column hides a field of the same name.
    @Test func aColumnComesBeforeAField() throws {
        let lines = Self.records.map { Array(#"{"cluster":"x","empty_text":"y","#.utf8) + $0.dropFirst() }
        let stages = ["cluster: {clusters: 3}", "coreset: {keep: 30, per: empty_text, shares: equal}"]
        let report = try space(stages, lines: lines).run().manifest["stages"]?.elements.last
        #expect(report?["per_group"]?.elements.map { $0["key"] } == [.integer(0)])
    }

    // MARK: The same bytes

    @Test func nothingElseChangesTheResult() throws {
        let stages = [
            "cluster: {clusters: 4}", "coreset: {keep: 300, per: ability, shares: square-root}",
            "redundancy: {per: ability, distance: 0.05, order: rank}",
            "coreset: {keep: 90, per: ability, quota: {writing: 40%, rest: equal}}",
        ]
        let space = try space(stages, output: ["annotate: [cluster, rank]"])
        let whole = try space.run()
        try whole.expectClosedAccount()
        for arguments in [
            ["--threads", "1"], ["--threads", "3", "--block-bytes", "300", "--segment-bytes", "2000"],
            ["--threads", "2", "--memory", "160MiB"], ["--block-bytes", "90", "--segment-bytes", "100"],
        ] {
            #expect(try space.run(arguments + ["--force"]).digests == whole.digests, "\(arguments)")
        }
    }

    // MARK: Mistakes

    @Test(arguments: [
        ("abilty", "; did you mean `ability`?"), ("clusters", "; did you mean the column `cluster`?"),
        ("topic", "; a record has the fields id, text"),
    ])
    func aFieldThatNoRecordHasIsRefused(field: String, advice: String) throws {
        for stage in ["coreset: {keep: 5, per: \(field)}", "redundancy: {per: \(field)}"] {
            let space = try space(["cluster: {clusters: 3}", stage])
            let outcome = try space.sluice("run", "run.yaml")
            #expect(outcome.status == 3)
            #expect(
                outcome.errorText.contains(
                    "it groups by the field `\(field)`, which none of the 600 records that reach it has\(advice)"),
                "\(outcome.errorText)")
        }
    }

    @Test(arguments: [
        (
            "coreset: {keep: 5, per: ability, quota: {ethics: equal}}",
            "`quota`: `ethics` must be a count or a percentage; only `rest` may name a rule"
        ),
        ("coreset: {keep: 5, quota: {ethics: 5}}", "`quota` names groups; add `per`"),
        ("coreset: {keep: 5, per: ability, floor: 1, quota: {ethics: 5}}", "`floor` and `quota` exclude each other"),
        (
            "coreset: {keep: 5, per: ability, quota: {ethics: many}}",
            "option `quota` of stage `coreset` must be a map from names to count or percentage, or one of proportional, square-root, equal, not `many`"
        ),
        (
            "coreset: {keep: 5, per: ability, quota: 5}",
            "option `quota` of stage `coreset` must be a map from names to"
        ),
        ("redundancy: {per: embedding}", "`per` reads `embedding`, which holds vectors of 32 components; it takes"),
    ])
    func aMistakeIsNamed(stage: String, message: String) throws {
        let space = try space([stage])
        for command in ["check", "plan", "run"] {
            let outcome = try space.sluice(command, "run.yaml")
            #expect(outcome.status == 2)
            #expect(outcome.errorText.replacing("\n", with: " ").contains(message), "\(outcome.errorText)")
        }
    }

    @Test func quotasCanBeGivenOnTheCommandLine() throws {
        let space = try space(["coreset: {keep: 50, per: ability, quota: {writing: 1}}"])
        for setting in ["quota.writing=9", "quota={writing: 9}"] {
            let files = try space.run(["--set", "stages.coreset.\(setting)", "--force"])
            #expect(try counts(files.keptLines)["writing"] == 9)
        }
    }
}
