import SluiceCore
import SluiceKit
import Testing

/// Columns from the stage that writes them to whatever names them: later stages, `annotate`, `picks`.
@Suite struct ColumnTests {
    /// Texts of different lengths; every fifth has no word, so that its `empty_text` is 1.
    private static let records = (1...60).map { number in
        let words = (0..<(number % 7 + 1)).map { "w\(($0 * number) % 11)" }.joined(separator: " ")
        return #"{"text":"\#(number % 5 == 0 ? "?" : words)","q":\#(number * 37 % 61),"topic":"t\#(number % 3)"}"#
    }

    private func space(stages: [String], output: [String] = []) throws -> Workspace {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.records)
        try space.define(stages: stages, output: output)
        return space
    }

    private static let embedded = ["format: {template: \"{text}\"}", "embed: {model: lexical, dimensions: 32}"]

    // MARK: Columns of the first pass that something later names

    @Test func annotateMayNameAColumnOfTheFirstPass() throws {
        let files = try space(
            stages: Self.embedded + ["coreset: {keep: 20}"], output: ["annotate: [empty_text, rank]"]
        ).run()
        try files.expectClosedAccount()
        #expect(files.keptLines.count == 20)
        for line in files.keptLines {
            let record = try JSONValue(json: line)
            #expect(record["_sluice"]?["empty_text"]?.integerValue == (record["text"]?.textValue == "?" ? 1 : 0))
            #expect(record["_sluice"]?["rank"]?.integerValue != nil)
        }
    }

    @Test func anOrderMayNameAColumnOfTheFirstPass() throws {
        let files = try space(
            stages: Self.embedded + ["coreset: {keep: 50}", "redundancy: {order: empty_text, distance: 0.01}"]
        ).run()
        try files.expectClosedAccount()
        // The score is highest for texts without words, so one of these comes first and is kept.
        #expect(try files.keptLines.contains { try JSONValue(json: $0)["text"]?.textValue == "?" })
    }

    @Test(arguments: ["all", "cluster"]) func aFieldMayBeTheScore(per: String) throws {
        let cluster = per == "cluster" ? ["cluster: {clusters: 3}"] : []
        let files = try space(
            stages: Self.embedded + cluster + [
                "coreset: {keep: 9, method: score-first, score_field: q, distance: 0, per: \(per)}"
            ]
        ).run()
        try files.expectClosedAccount()
        let picks = try split(files.picks ?? []).map { try JSONValue(json: $0) }
        let kept = try files.keptLines.map { try JSONValue(json: $0) }
        #expect(picks.count == 9 && kept.count == 9)
        // `picks` lists the record's own number as its score; within a group, ranks follow falling scores.
        for (pick, record) in zip(picks, kept) {
            #expect(pick["score"]?.realValue == record["q"]?.realValue)
        }
        for group in Set(picks.map { $0["cluster"]?.integerValue ?? 0 }) {
            let members = picks.filter { ($0["cluster"]?.integerValue ?? 0) == group }
            let byRank = members.sorted { ($0["rank"]?.integerValue ?? 0) < ($1["rank"]?.integerValue ?? 0) }
            let scores = byRank.compactMap { $0["score"]?.realValue }
            #expect(scores.count == members.count && scores == scores.sorted(by: >), "\(scores)")
        }
    }

    /// Two stages, `annotate` and `picks` ask for the column; it is kept once.
    @Test func aColumnThatManyNameIsKeptOnce() throws {
        let files = try space(
            stages: Self.embedded + [
                "coreset: {keep: 40, method: score-first, score: empty_text, distance: 0}",
                "redundancy: {order: empty_text, distance: 0.01}", "redundancy: {order: rank, distance: 0.02}",
            ], output: ["annotate: [empty_text]"]
        ).run(["--segment-bytes", "500", "--block-bytes", "200"])
        try files.expectClosedAccount()
        #expect(files.keptLines.count > 3)
    }

    /// Two later stages that read the same field.
    @Test func aFieldThatTwoStagesReadIsKeptOnce() throws {
        let files = try space(
            stages: Self.embedded + [
                "cluster: {clusters: 3}", "coreset: {keep: 40, method: score-first, score_field: q, per: cluster}",
                "coreset: {keep: 10, method: score-first, score_field: q, per: cluster}",
                "format: {template: \"{text} {q}\"}",
            ], output: ["record: formatted"]
        ).run()
        try files.expectClosedAccount()
        #expect(files.keptLines.count == 10)
    }

    /// Names of fields become part of file names.
    @Test func aFieldMayHaveAnyName() throws {
        let names = ["../q", "a/b", String(repeating: "long", count: 100), "_row", "ordinal", "ä%2f", "<chat>"]
        let space = try space(stages: [])
        try space.write(
            "in.jsonl",
            lines: (0..<20).map { row in
                "{" + (["text"] + names).map { #""\#($0)":"\#($0) \#(row)""# }.joined(separator: ",") + "}"
            })
        let template = names.map { "{\($0.replacing(".", with: "\\."))}" }.joined(separator: " ")
        try space.define(
            stages: Self.embedded + ["cluster: {clusters: 2}", "format: {template: '\(template)'}"],
            output: ["record: formatted"])
        let files = try space.run()
        try files.expectClosedAccount()
        let text = try JSONValue(json: try #require(files.keptLines.last))["text"]?.textValue
        #expect(text == names.map { "\($0) 19" }.joined(separator: " "))
    }

    // MARK: Every option that names a column, against every type of column

    /// Columns of each type that the built-in stages write.
    private static let columns = [
        ("text", "bytes"), ("messages", "bytes"), ("embedding", "vectors of 32 components"), ("cluster", "integers"),
        ("empty_text", "integers"), ("cluster_distance", "reals"),
    ]

    /// The built-in options that name a column: stage, option, and the stage's line in a definition.
    private static let options = [
        ("redundancy", "order", "redundancy: {order: COLUMN}"),
        ("redundancy", "order", "redundancy: {method: semdedup, order: COLUMN, neighbours: 2}"),
        ("redundancy", "order", "redundancy: {per: cluster, order: COLUMN}"),
        ("coreset", "score", "coreset: {keep: 5, method: score-first, score: COLUMN}"),
        ("coreset", "score", "coreset: {keep: 5, method: score-first, score: COLUMN, per: cluster}"),
        ("coreset", "per", "coreset: {keep: 5, per: COLUMN}"),
        ("redundancy", "per", "redundancy: {per: COLUMN}"),
        ("coreset", "vectors", "coreset: {keep: 5, vectors: COLUMN}"),
        ("coreset", "unit", "coreset: {keep: 5, unit: COLUMN}"),
        ("cluster", "vectors", "cluster: {clusters: 2, vectors: COLUMN}"),
        ("redundancy", "vectors", "redundancy: {vectors: COLUMN}"),
        ("mixture", "per", "mixture: {keep: 5, per: COLUMN}"),
        ("mixture", "unit", "mixture: {keep: 5, per: topic, unit: COLUMN}"),
        ("top", "by", "top: {keep: 5, by: COLUMN}"),
        ("top", "per", "top: {keep: 5, by: cluster, per: COLUMN}"),
        ("top", "unit", "top: {keep: 5, by: cluster, unit: COLUMN}"),
        ("sample", "per", "sample: {keep: 5, per: COLUMN}"),
        ("distinct", "on", "distinct: {on: [COLUMN]}"),
        ("split", "on", "split: {on: [COLUMN]}"),
        ("length", "column", "length: {min: 1, column: COLUMN}"),
        ("quality", "column", "quality: {rules: [gopher-hashes], column: COLUMN}"),
        ("measure", "column", "measure: {column: COLUMN}"),
        ("language", "column", "language: {column: COLUMN}"),
        ("decontaminate", "column", "decontaminate: {against: [run.yaml], shortest: 1, ngram: 4, column: COLUMN}"),
    ]

    @Test func theListOfOptionsIsWhole() {
        let named = Registry.builtIn.names.flatMap { stage in
            (Registry.builtIn[stage]?.descriptor.options ?? []).filter {
                $0.kind.description.contains("name of a column")
            }
            .map { "\(stage).\($0.name)" }
        }
        #expect(Set(named) == Set(Self.options.map { "\($0.0).\($0.1)" }))
    }

    @Test(arguments: options, columns)
    func aColumnOfTheRightTypeWorksAndAnotherIsRefused(
        _ option: (stage: String, name: String, text: String), _ column: (name: String, holds: String)
    ) throws {
        let line = option.text.replacing("COLUMN", with: column.name)
        let space = try space(
            stages: [
                #"format: {template: "{text}", user: "{topic}", assistant: "{text}"}"#,
                "embed: {model: lexical, dimensions: 32}",
                "cluster: {clusters: 3}", line,
            ])
        let check = try space.sluice("check", "run.yaml")
        let plan = try space.sluice("plan", "run.yaml")
        let (taken, words) =
            switch option.name {
            case "per", "on": (["integers", "bytes"], "bytes or integers, such as `text`")
            case "column": (["bytes"], "bytes, such as `text`")
            case "vectors": (["vectors of 32 components"], "vectors, such as `embedding`")
            case "unit": (["integers"], "integers, such as `empty_text`, `cluster`")
            default: (["integers", "reals"], "integers or reals, such as `empty_text`, `cluster`, `cluster_distance`")
            }
        if taken.contains(column.holds) {
            #expect(check.status == 0 && plan.status == 0, "\(check.errorText)")
            try space.run().expectClosedAccount()
            return
        }
        for outcome in [check, plan, try space.sluice("run", "run.yaml")] {
            #expect(outcome.status == 2)
            #expect(outcome.errorText.contains("run.yaml:9:"), "the option's place: \(outcome.errorText)")
            #expect(
                outcome.errorText.contains(
                    "stage 4 `\(option.stage)`: `\(option.name)` reads `\(column.name)`, which holds \(column.holds); it takes \(words)"
                ), "\(outcome.errorText)")
        }
        #expect(!space.names().contains("out"))
    }

    @Test(arguments: columns) func everyColumnMayBeAnnotated(_ column: (name: String, holds: String)) throws {
        let files = try space(
            stages: [
                #"format: {template: "{text}", user: "{topic}", assistant: "{text}"}"#,
                "embed: {model: lexical, dimensions: 32}",
                "cluster: {clusters: 3}", "redundancy",
            ], output: ["annotate: [\(column.name)]"]
        ).run()
        try files.expectClosedAccount()
        for line in files.keptLines {
            let value = try JSONValue(json: line)["_sluice"]?[column.name]
            switch column.holds {
            case "bytes" where column.name == "messages": #expect(value?.elements.count == 2)
            case "bytes": #expect(value?.textValue != nil)
            case "integers": #expect(value?.integerValue != nil)
            case "reals": #expect(value?.realValue != nil)
            default: #expect(value?.elements.count == 32)
            }
        }
    }

    @Test func aNameThatIsNoneIsRefused() throws {
        for name in ["../x", "_row", "''"] {
            let outcome = try space(stages: Self.embedded + ["redundancy: {order: \(name)}"]).sluice(
                "check", "run.yaml")
            #expect(outcome.status == 2)
            #expect(outcome.errorText.contains("option `order` of stage `redundancy` must be"), "\(outcome.errorText)")
        }
    }

    @Test func aColumnHasOneType() throws {
        let outcome = try space(stages: Self.embedded + ["embed: {model: lexical, dimensions: 64}"]).sluice(
            "check", "run.yaml")
        #expect(outcome.status == 2)
        #expect(
            outcome.errorText.contains(
                "stage 3 `embed` writes `embedding` as vectors of 64 components, and stage 2 `embed` writes it as vectors of 32 components"
            ), "\(outcome.errorText)")
    }

    // MARK: Warnings

    /// Warnings about a stage count the records that reached it, wherever it is in the list.
    @Test(arguments: [
        [], ["cluster: {clusters: 3}"], ["coreset: {keep: 20}"], ["cluster: {clusters: 3}", "redundancy"],
    ])
    func aStageThatDropsEverythingEarnsAWarning(_ before: [String]) throws {
        let files = try space(
            stages: Self.embedded + before + [#"format: {template: "{nope}"}"#]
        ).run()
        try files.expectClosedAccount()
        let reached = try #require(files.manifest["stages"]?.elements.last?["in"]?.integerValue)
        let warnings = (files.manifest["warnings"]?.elements ?? []).compactMap(\.textValue)
        #expect(
            warnings.contains {
                $0.hasPrefix(
                    "stage `format#2` dropped all \(reached) records that reached it (missing-field \(reached))")
            }, "\(warnings)")
    }
}
