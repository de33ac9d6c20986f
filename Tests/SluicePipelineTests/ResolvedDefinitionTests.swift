import Formatter
import RecordFilters
import SluiceCore
import SluicePipeline
import Testing
import TextFilters

/// Definitions written with everything resolved, outputs in YAML and in Swift, and the schema of definitions.
@Suite struct ResolvedDefinitionTests {
    private static let registry = Registry([
        FormatStage.self, LengthStage.self, MatchStage.self, QualityStage.self, SampleStage.self, SplitStage.self,
    ])

    private static let text = """
        sluice: 1
        seed: 18446744073709551615
        memory: 1.5GiB
        input:
          files: ["a b.jsonl", "x[0-9].jsonl.zst"]
          dedupe: {on: ["a\\\\.b", "true"], verify: bytes}
          max_malformed: 0.5%
          limit: 1000
        stages:
          - format: {template: "# {prompt}: \\"{completion}\\"\\n"}
          - length: {unit: words, min: 3}
          - match: {keep: [{field: lang, in: [en, "3", 3, "yes"]}, {field: x, equals: true}], drop: {field: s, below: 0.5}}
          - quality: {rules: [gopher], limits: {gopher-min-words: 20, gopher-ellipses: 50%}}
          - split: {parts: {train: 98.5%, "null": 1.5%}}
          - sample: {keep: 5%, seed: 3, when: "not (score > 0.5 or `a b` exists)"}
        output:
          directory: out
          record: {a: "{prompt}", "b c": ["{{x}}", "{lang}/{score}", 1, -2.5, true, null, "7"]}
          annotate: [split]
          level: 5
          fail_if_empty: true
        outputs:
          train: {where: "split == train and (`a b` > 3 or lang in [en, '3'])", order: shuffled, shard_size: 1MiB}
          best: {order: {by: score, descending: true}, compression: none}
          ladder: {ladder: x3}
          sizes: {ladder: [10, 5%], order: input}
          by: {per: lang, shard_records: 10}
          all:
        answers: kept
        tests:
          - name: a "name"
            after: split
            records:
              - {given: {prompt: "$${x}", n: 1, r: 2.50, s: "3", t: [true, null]}, columns: {split: train}}
              - {given: "no record", expect: malformed}
              - {given: {}, expect: dropped, by: length, reason: too-short}
        """

    private static func parse(_ text: String) throws -> Definition {
        try DefinitionFile.parse(text: text, path: "p.yaml", registry: registry)
    }

    @Test func resolvedDefinitionsReadBack() throws {
        let definition = try Self.parse(Self.text)
        #expect(definition.sinks.map(\.name) == ["train", "best", "ladder", "sizes", "by", "all"])
        let resolved = DefinitionText.yaml(definition)
        let again = try Self.parse(resolved)
        #expect(again == definition, "\(resolved)")
        #expect(again.report == definition.report)
        #expect(DefinitionText.yaml(again) == resolved)
        // A manifest has the report as JSON, from which commands read it again.
        var tested = definition
        tested.tests = []
        #expect(try Self.parse(definition.report.json) == tested)
    }

    @Test func outputsInSwiftAreThoseOfAFile() throws {
        let fromFile = try Self.parse(Self.text)
        var output = OutputSpec(directory: "out", annotate: ["split"], level: 5)
        output.failIfEmpty = true
        output.template = try .object([
            .init("a", .value("prompt")),
            .init(
                "b c",
                .list([
                    .text([.literal("{x}")]), RecordTemplate(text: "{lang}/{score}"), .constant(.integer(1)),
                    .constant(.real(-2.5)), .constant(.flag(true)), .constant(.null), .text([.literal("7")]),
                ])),
        ])
        let fromSwift = try Pipeline(
            seed: .max, memory: 1536 << 20,
            input: InputSpec(
                files: ["a b.jsonl", "x[0-9].jsonl.zst"], dedupe: .fields(["a\\.b", "true"], verify: .bytes),
                maxMalformed: .percent(0.5), limit: 1000),
            output: output,
            outputs: [
                SinkSpec(
                    "train", where: try RecordCondition("split == train and (`a b` > 3 or lang in [en, '3'])"),
                    order: .shuffled, shard: .bytes(1 << 20)),
                SinkSpec("best", order: .by("score", descending: true), compression: .uncompressed),
                SinkSpec("ladder", ladder: .steps(from: 10, times: 3)),
                SinkSpec("sizes", order: .input, ladder: .sizes([.count(10), .percent(5)])),
                SinkSpec("by", per: "lang", shard: .records(10)), SinkSpec("all"),
            ], answers: "kept",
            tests: [
                DefinitionTest(
                    "a \"name\"", after: "split",
                    cases: [
                        .init(
                            given: [
                                "prompt": "${x}", "n": 1, "r": 2.5, "s": "3", "t": [.flag(true), .null],
                            ], columns: ["split": "train"]),
                        .init(given: "no record", .malformed),
                        .init(given: [:], .dropped, by: "length", reason: "too-short"),
                    ])
            ]
        ) {
            StageSpec("format", ["template": "# {prompt}: \"{completion}\"\n"])
            Length(min: 3, unit: "words")
            Match(
                keep: [["field": "lang", "in": ["en", "3", 3, "yes"]], ["field": "x", "equals": true]],
                drop: ["field": "s", "below": 0.5])
            Quality(["gopher"], limits: ["gopher-min-words": .count(20), "gopher-ellipses": .percent(50)])
            Split(["train": 98.5, "null": 1.5])
            StageSpec(
                "sample", ["keep": "5%"], seed: 3, when: try? RecordCondition("not (score > 0.5 or `a b` exists)"))
        }.definition(Self.registry)
        #expect(fromSwift == fromFile)
        #expect(fromSwift.report == fromFile.report)
        #expect(try Self.parse(DefinitionText.yaml(fromSwift)) == fromSwift)
    }

    /// Every key that the reader knows is in the schema, and every stage with its options.
    @Test func theSchemaHasAllKeys() throws {
        let schema = DefinitionSchema.json(Self.registry)
        func keys(_ schema: JSONValue?) -> [String] { schema?["properties"]?.entries.map(\.key) ?? [] }
        #expect(keys(schema) == DefinitionGuide.definition.options.map(\.name))
        #expect(keys(schema["properties"]?["input"]) == DefinitionGuide.input.options.map(\.name))
        #expect(keys(schema["properties"]?["input"]?["properties"]?["dedupe"]) == ["on", "verify"])
        #expect(keys(schema["properties"]?["output"]) == DefinitionGuide.output.options.map(\.name))
        let stages = schema["properties"]?["stages"]?["items"]?["anyOf"]?.elements.first
        #expect(keys(stages) == Self.registry.names)
        for name in Self.registry.names {
            let own = stages?["properties"]?[name]
            let options = own?["anyOf"]?.elements.first ?? own
            let known = Self.registry[name]?.descriptor.options.map(\.name) ?? []
            #expect(keys(options) == known + ["enabled", "seed", "when"])
        }
        #expect(schema["required"]?.elements == ["sluice", "input", "output"])
    }
}
