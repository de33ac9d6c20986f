import Formatter
import RecordFilters
import SluiceCore
import SluicePipeline
import Testing
import TextFilters

/// The stages for everyday curation: a file and Swift give the same definition.
@Suite struct EverydayDefinitionTests {
    private static let registry = Registry([
        FormatStage.self, LengthStage.self, MatchStage.self, QualityStage.self, MeasureStage.self,
        LanguageStage.self, DecontaminateStage.self, DistinctStage.self, SampleStage.self, SplitStage.self,
    ])

    @Test func swiftGivesTheSameDefinition() throws {
        let text = """
            sluice: 1
            input: {files: [a.jsonl]}
            stages:
              - format
              - length: {unit: words, min: 3, max: 500}
              - match: {keep: [{field: lang, in: [en, 3]}, {not: {column: text, matches: "^a"}}], drop: {field: score, below: 0.5}}
              - quality: {rules: [gopher, c4-lorem-ipsum], without: [gopher-hashes], limits: {gopher-min-words: 20, gopher-ellipses: 50%}}
              - measure: {columns: [words, letters], prefix: p_, field: prompt}
              - language: {keep: [no, en], min_score: 0.8, among: [no, en, de], as: tongue, field: prompt}
              - decontaminate: {against: [b.jsonl], fields: [question], ngram: 8, shortest: 5}
              - distinct: {on: [text, lang], normalize: [case, space]}
              - sample: {keep: 5%, per: lang}
              - split: {parts: {train: 90%, test: 10%}, on: [prompt], as: part}
            output: {directory: out}

            """
        let fromFile = try DefinitionFile.parse(text: text, path: "p.yaml", registry: Self.registry)
        let fromSwift = try Pipeline(input: InputSpec(files: ["a.jsonl"]), output: OutputSpec(directory: "out")) {
            StageSpec("format")
            Length(min: 3, max: 500, unit: "words")
            Match(
                keep: [["field": "lang", "in": ["en", 3]], ["not": ["column": "text", "matches": "^a"]]],
                drop: ["field": "score", "below": 0.5])
            Quality(
                ["gopher", "c4-lorem-ipsum"], without: ["gopher-hashes"],
                limits: ["gopher-min-words": .count(20), "gopher-ellipses": .percent(50)])
            MeasureText(["words", "letters"], prefix: "p_", field: "prompt")
            Language(keep: ["no", "en"], minScore: 0.8, among: ["no", "en", "de"], as: "tongue", field: "prompt")
            Decontaminate(against: ["b.jsonl"], fields: ["question"], ngram: 8, shortest: 5)
            Distinct(on: ["text", "lang"], normalize: ["case", "space"])
            Sample(keep: .percent(5), per: "lang")
            Split(["train": 90, "test": 10], on: ["prompt"], as: "part")
        }.definition(Self.registry)
        #expect(fromFile.stages == fromSwift.stages)
        #expect(fromSwift.stages.count == 10)
    }
}
