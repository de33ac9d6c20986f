import SluiceCore
import Testing

/// `when`: only some records go through a stage. Those that do fare as if there were no others, and the others as if there
/// were no stage.
@Suite struct WhenTests {
    /// 900 records of three kinds; fields that some lack.
    private static let lines: [String] = (0..<900).map { number in
        let kind = ["a", "b", "c"][number * 7 % 13 % 3]
        let words = (0..<(number * 11 % 17 + 1)).map { "w\((number + 3) * ($0 + 1) % 29)" }.joined(separator: " ")
        let extra = number % 4 == 0 ? "" : #","n":\#(number % 10)"#
        return #"{"id":\#(number),"kind":"\#(kind)","text":"\#(words)"\#(extra)}"#
    }

    /// Every kind of work: transforms, a survey that learns, one that clusters, selections with and without groups.
    private static func stages(when condition: String?) -> [String] {
        func stage(_ name: String, _ options: String) -> String {
            let when = condition.map { #"when: "\#($0)""# }
            return "\(name): {\([options, when].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: ", "))}"
        }
        return [
            stage("length", "min: 12"), stage("measure", "columns: [words]"),
            stage("embed", "model: lsa, dimensions: 16"), stage("redundancy", "method: pairwise, distance: 0.02"),
            stage("cluster", "clusters: 4"), stage("coreset", "keep: 40%, per: cluster"),
            stage("sample", "keep: 50%"),
        ]
    }

    private static let format = [#"format: {template: "{text}"}"#]
    private static let output = ["annotate: [text, words, cluster, rank]"]

    @Test(arguments: ["kind == a", "kind != a and n >= 5", "n exists"])
    func theyFareAsIfThereWereNoOthers(_ condition: String) throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines)
        try space.define(stages: Self.format + Self.stages(when: condition), output: Self.output)
        let run = try space.run()
        try run.expectClosedAccount()
        let test = try RecordCondition(condition)
        func passes(_ line: some Collection<UInt8>) throws -> Bool {
            let record = try JSONValue(json: Array(line))
            return test.holds { name in
                switch record[name] {
                case .integer(let value)?: .integer(Int64(value))
                case .text(let value)?: .text(Array(value.utf8))
                default: .missing
                }
            }
        }
        let (through, by) = (
            try run.keptLines.filter { try passes($0) }, try run.keptLines.filter { try !passes($0) }
        )
        // The others are all there, and have no columns but those of the stage before.
        let others = try Self.lines.map { Array($0.utf8) }.filter { try !passes($0) }
        #expect(by.count == others.count && !others.isEmpty)
        for (line, other) in zip(by, others) {
            let (record, given) = (try JSONValue(json: line), try JSONValue(json: other))
            #expect(record["id"] == given["id"])
            let columns: JSONValue = ["text": given["text"] ?? .null, "words": .null, "cluster": .null, "rank": .null]
            #expect(record["_sluice"] == columns)
        }
        // The same stages over those records alone.
        try space.write("some.jsonl", lines: try Self.lines.map { Array($0.utf8) }.filter { try passes($0) })
        try space.define(files: "some.jsonl", stages: Self.format + Self.stages(when: nil), output: Self.output)
        let alone = try space.run(into: "alone")
        #expect(alone.keptLines == through && through.count > 20)
    }

    /// A later stage writes only for its own records, so two stages may share a column.
    @Test func columnsOfSeveralStages() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines)
        try space.define(
            stages: [
                #"format: {template: "A {text}", when: kind == a}"#,
                #"format: {template: "B {text}", when: kind == b}"#,
                "top: {keep: 10, field: n, missing: keep-last, when: kind == b}",
                "embed: {model: lexical, dimensions: 16, when: text exists}",
                "coreset: {keep: 20, method: random, when: kind == a}",
                "top: {keep: 50%, by: rank, when: kind == c, missing: drop}",
            ],
            output: ["annotate: [text, rank]"])
        let run = try space.run()
        let kept = try run.keptLines.map { try JSONValue(json: $0) }
        func of(_ kind: String) -> [JSONValue] { kept.filter { $0["kind"]?.textValue == kind } }
        #expect(of("a").count == 20 && of("b").count == 10 && of("c").isEmpty)
        for record in of("a") + of("b") {
            let kind = record["kind"]?.textValue?.uppercased() ?? ""
            #expect(record["_sluice"]?["text"]?.textValue == "\(kind) \(record["text"]?.textValue ?? "")")
        }
        for kind in ["a", "b"] {
            let ranks = of(kind).compactMap { $0["_sluice"]?["rank"]?.integerValue }.sorted()
            #expect(ranks == Array(0..<of(kind).count))
        }
        // Neither rank nor text: no number to go by.
        let lost = try run.drops.filter { $0.stage == "top#2" }
        #expect(!lost.isEmpty && lost.allSatisfy { $0.reason == "no-number" })
    }

    /// Two stages of a kind, each for its own records: each record fares as if the other stage were not there.
    @Test(arguments: [
        "cluster: {clusters: 3, when: W}", "redundancy: {method: lift, keep: 100%, when: W}",
        "embed: {model: lsa, dimensions: 16, when: W}", "top: {field: n, keep: 100%, missing: keep-last, when: W}",
        "coreset: {keep: 70%, when: W}", "measure: {columns: [words, lines], when: W}",
    ])
    func twoStagesOfAKind(_ stage: String) throws {
        let before =
            stage.hasPrefix("embed") ? Self.format : Self.format + ["embed: {model: lexical, dimensions: 16}"]
        let column = ["cluster": "cluster", "redundancy": "row_variance", "embed": "embedding", "measure": "words"][
            String(stage.prefix { $0 != ":" })]
        let output = [#"record: {kind: "{kind}", id: "{id}", v: "{\#(column ?? "rank")}"}"#]
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines)
        func run(_ conditions: [String], _ folder: String) throws -> RunFiles {
            let stages = conditions.map { stage.replacing("W", with: $0) }
            try space.define(stages: before + stages, output: output)
            return try space.run(["--segment-bytes", "9000", "--block-bytes", "3000"], into: folder)
        }
        func lines(_ run: RunFiles, _ kind: String) throws -> [[UInt8]] {
            try run.keptLines.filter { try JSONValue(json: $0)["kind"]?.textValue == kind }
        }
        let both = try run(["kind == a", "kind == b"], "both")
        for kind in ["a", "b"] {
            // Two stages in each, since the second one of a kind draws other numbers.
            let alone = try run(kind == "a" ? ["kind == a", "kind == z"] : ["kind == z", "kind == b"], kind)
            #expect(try lines(alone, kind) == lines(both, kind), "\(kind)")
        }
        #expect(try !lines(both, "a").isEmpty && !lines(both, "b").isEmpty)
    }

    /// A condition on a column that the stage itself writes is about the values before it.
    @Test func conditionsOnTheStagesOwnColumn() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines)
        try space.define(
            stages: [
                "top: {field: id, keep: 100%, when: kind == a}", "top: {field: id, keep: 100%, when: not rank exists}",
                "top: {field: id, order: lowest, keep: 100%, when: rank >= 20}",
            ], output: ["annotate: [rank]"])
        let options = ["--segment-bytes", "9000", "--block-bytes", "3000", "--part-bytes", "5000"]
        let run = try space.run(options)
        let records = try run.keptLines.map { try JSONValue(json: $0) }
        var expected: [Int: Int] = [:]
        for isA in [true, false] {
            let own = records.filter { ($0["kind"] == "a") == isA }.compactMap { $0["id"]?.integerValue }
            for (rank, id) in own.sorted(by: >).enumerated() { expected[id] = rank }
        }
        for (rank, id) in expected.filter({ $0.value >= 20 }).keys.sorted().enumerated() { expected[id] = rank }
        for record in records {
            #expect(record["_sluice"]?["rank"]?.integerValue == expected[record["id"]?.integerValue ?? -1])
        }
        #expect(try space.run(["--threads", "1"], into: "plain").kept == run.kept)
        #expect(try tasks(space, options).digests == run.digests)
    }

    /// The same by tasks.
    private func tasks(_ space: Workspace, _ options: [String]) throws -> RunFiles {
        let prepared = try space.sluice(
            ["run", "run.yaml", "--output", "tasks", "--prepare", "--progress", "none"] + options)
        for task in try JSONValue(json: prepared.output).elements.compactMap({ $0["task"]?.textValue }) {
            let done = try space.sluice("task", "tasks", task)
            #expect(done.status == 0, "\(task): \(done.errorText)")
        }
        return try RunFiles(space("tasks"))
    }

    /// What a `when` left without a value is missing everywhere, and a condition that nothing passes is told.
    @Test func missingTextsAndConditionsThatNothingPasses() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines)
        try space.define(
            stages: [
                "split: {parts: {x: 50%, y: 50%}, when: kind == a}",
                "length: {field: text, min: 1000, when: kind == z}",
                "sample: {keep: 100%, per: split}",
            ])
        let yaml = text(try readFile(space("run.yaml")))
        try space.write(
            "run.yaml", yaml + "outputs:\n  by: {per: split}\n  none: {where: not split exists}\n")
        let run = try space.run()
        #expect(space.names(in: "out/outputs/by") == ["_missing.jsonl.zst", "x.jsonl.zst", "y.jsonl.zst"])
        #expect(
            try unpacked(space("out/outputs/none.jsonl.zst")) == unpacked(space("out/outputs/by/_missing.jsonl.zst")))
        let warnings = run.manifest["warnings"]?.elements.compactMap(\.textValue) ?? []
        #expect(
            warnings.contains("stage `length` did nothing: none of the 900 records that reached it passes its `when`"),
            "\(warnings)")
        let stage = run.manifest["stages"]?.elements.first { $0["stage"] == "split" }
        #expect(stage?["through"]?.integerValue == run.keptLines.count { text($0).contains(#""kind":"a""#) })
    }

    @Test func sameBytesFromThreadsMemoryTasksAndStops() throws {
        let space = try Workspace()
        try space.write("in-0.jsonl.zst", lines: Array(Self.lines[..<400]))
        try space.write("in-1.jsonl", lines: Array(Self.lines[400...]))
        try space.define(
            files: "in-*",
            stages: Self.format + Self.stages(when: "kind in [a, b]") + [
                "coreset: {keep: 30, method: medoids, when: kind == a}",
                "embed: {model: lexical, dimensions: 16, as: other}",
                "coreset: {keep: 60%, per: kind, vectors: other, when: not kind == a}",
            ], output: Self.output)
        let options = ["--block-bytes", "3000", "--part-bytes", "4000", "--segment-bytes", "6000"]
        let run = try space.run(options)
        let other = try space.run(["--threads", "1", "--part-bytes", "4000", "--memory", "220MiB"], into: "other")
        #expect(other.digests == run.digests)
        #expect(try tasks(space, options).digests == run.digests)
        let verified = try space.sluice("verify", "out", "--rerun")
        #expect(verified.status == 0, "\(verified.errorText)")
        let vectors = try space.sluice("vectors", "out", "--output", "v.npy")
        #expect(vectors.status == 0, "\(vectors.errorText)")
    }

    @Test(arguments: [
        (
            "length: {min: 3, when: kind =}",
            "run.yaml:8:28: `when`: `kind =` is no condition: `=` is written `==`"
        ),
        ("length: {min: 3, when: [a]}", "run.yaml:8:28: `when` must be text, not a list"),
        (
            "length: {min: 3, when: embedding exists}",
            "run.yaml:8:28: stage 3 `length`: `when` reads `embedding`, which holds vectors; it can read numbers and texts"
        ),
    ])
    func mistakesHaveTheirPlace(_ stage: String, _ message: String) throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: ["{}"])
        try space.define(stages: Self.format + ["embed: {model: lexical, dimensions: 16}", stage])
        let checked = try space.sluice("check", "run.yaml")
        #expect(checked.status == 2 && checked.errorText.contains(message), "\(checked.errorText)")
    }
}
