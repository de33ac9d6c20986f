import Formatter
import RecordFilters
import SluiceCore
import SluicePipeline
import Testing
import TextFilters

/// Parameters, stages of other files, stages that are switched off or have a seed of their own.
@Suite struct CompositionTests {
    private static let registry = Registry([
        FormatStage.self, LengthStage.self, MatchStage.self, DecontaminateStage.self, SampleStage.self,
    ])
    private static let head = "sluice: 1\ninput: {files: a.jsonl}\noutput: {directory: out}\n"

    private static func parse(
        _ text: String, _ files: [String: String] = [:], set: [String] = []
    ) throws -> Definition {
        try DefinitionFile.parse(
            text: text, path: "defs/p.yaml", registry: registry,
            composition: .files { path throws(Problem) in
                guard let text = files[path] else { throw Problem("\(path): there is no such file") }
                return text
            }, overrides: try set.map { try Override($0) })
    }

    /// Paths in a resolved definition are relative to the working folder.
    private static func again(_ text: String) throws -> Definition {
        try DefinitionFile.parse(text: text, path: "p.yaml", registry: registry)
    }

    private static func mistakes(
        _ text: String, _ files: [String: String] = [:], set: [String] = []
    ) -> [String] {
        do {
            _ = try parse(text, files, set: set)
            return []
        } catch let error as DefinitionErrors { return error.problems.map(\.description) } catch { return ["\(error)"] }
    }

    @Test func parametersStandForAnyValue() throws {
        let text =
            Self.head + """
                parameters: {keep: 5%, langs: [en, de], name: x, size: 3, with-dash_1: "${"}
                stages:
                  - match: {keep: {field: lang, in: "${langs}"}}
                  - length: {unit: words, min: "${size}", max: 500, field: "a $${name} ${name}-${size} $5 ${with-dash_1}"}
                  - sample: {keep: "${keep}"}
                """
        // The value of `with-dash_1` is not looked at again.
        let definition = try Self.parse(text)
        let plain = try Self.parse(
            Self.head + """
                stages:
                  - match: {keep: {field: lang, in: [en, de]}}
                  - length: {unit: words, min: 3, max: 500, field: "a $${name} x-3 $5 $${"}
                  - sample: {keep: 5%}
                """)
        #expect(definition == plain)
        #expect(try Self.again(DefinitionText.yaml(definition)).report == definition.report)
        let other = try Self.parse(text, set: ["parameters.keep=7", "parameters.langs=[fr]", "stages.length.max=9"])
        #expect(other.stages[2].options["keep"] == .quantity(.count(7)))
        #expect(other.stages[1].options["max"] == 9)
        #expect(other.stages[0].options["keep"]?.report.json == #"{"field":"lang","in":["fr"]}"#)
    }

    @Test func stagesOfOtherFilesAreSpliced() throws {
        let files = [
            "defs/clean/all.yaml": """
            parameters: {least: 3, unit: words, against: }
            stages:
              - use: length.yaml
                with: {min: "${least}", unit: "${unit}"}
              - decontaminate: {against: ["${against}"], ngram: 8}
            """,
            "defs/clean/length.yaml":
                "sluice: 1\nparameters: {min: 1, unit: characters}\nstages:\n- length: {unit: \"${unit}\", min: \"${min}\"}\n",
        ]
        let text =
            Self.head + """
                parameters: {n: 5}
                stages:
                  - format
                  - {use: clean/all.yaml, with: {least: "${n}", against: bench.jsonl}}
                  - sample: {keep: 5%}
                """
        let definition = try Self.parse(text, files)
        #expect(definition.stages.map(\.name) == ["format", "length", "decontaminate", "sample"])
        #expect(definition.stages[1].options["min"] == 5 && definition.stages[1].options["unit"] == "words")
        // A path in another file is relative to that file; a value that comes from here was written here.
        #expect(definition.stages[2].options["against"]?.report.json == #"["defs/bench.jsonl"]"#)
        let own = try Self.parse(
            text.replacing(", against: bench.jsonl", with: ""),
            files.mapValues { $0.replacing("against: }", with: "against: own.jsonl}") })
        #expect(own.stages[2].options["against"]?.report.json == #"["defs/clean/own.jsonl"]"#)
        let set = try Self.parse(text, files, set: ["stages.length.min=8", "stages.decontaminate.enabled=false"])
        #expect(set.stages.map(\.name) == ["format", "length", "sample"] && set.stages[1].options["min"] == 8)
    }

    @Test func stagesHaveSeedsAndCanBeOff() throws {
        let definition = try Self.parse(
            Self.head
                + "stages: [{sample: {keep: 5%, seed: 18446744073709551615}}, {sample: {keep: 5%, enabled: false}}, {format: {enabled: true}}]\n"
        )
        #expect(definition.stages.map(\.name) == ["sample", "format"])
        #expect(definition.stages[0].seed == .max && definition.stages[1].seed == nil)
        let text = DefinitionText.yaml(definition)
        #expect(try Self.again(text).report == definition.report, "\(text)")
        #expect(definition.report["stages"]?.elements.first?["sample"]?["seed"] == "18446744073709551615")
    }

    @Test(arguments: [
        (
            "stages: [{sample: {keep: \"${kep}\"}}]\nparameters: {keep: 5%}\n",
            [
                "defs/p.yaml:4:26: unknown parameter `kep`; did you mean `keep`?",
                "defs/p.yaml:5:14: nothing uses the parameter `keep`; write `${keep}` where it belongs, or remove it",
            ]
        ),
        (
            "stages: [{format: {template: \"${HOME}\"}}]\n",
            [
                "defs/p.yaml:4:30: unknown parameter `HOME`; there are none; write `$${HOME}` for the characters themselves"
            ]
        ),
        (
            "stages: [{sample: {keep: \"${keep\"}}]\n",
            ["defs/p.yaml:4:26: a `${` has no `}`; write `$${` for the characters themselves"]
        ),
        (
            "parameters: {k: [1]}\nstages: [{format: {template: \"a ${k}\"}}]\n",
            ["defs/p.yaml:5:30: `${k}` is a list and stands within a text"]
        ),
        (
            "parameters: {\"a b\": 1}\n",
            ["defs/p.yaml:4:14: the name of a parameter has letters, digits, `-` and `_`, not `a b`"]
        ),
        ("stages: [{use: none.yaml}]\n", ["defs/p.yaml:4:16: defs/none.yaml: there is no such file"]),
        (
            "stages: [{use: a.yaml}]\n",
            ["defs/b.yaml:2:8: files use each other in a circle: defs/a.yaml uses defs/b.yaml uses defs/a.yaml"]
        ),
        (
            "stages: [{use: self.yaml}]\n",
            ["defs/self.yaml:1:17: files use each other in a circle: defs/self.yaml uses defs/self.yaml"]
        ),
        (
            "stages: [{use: p.yaml}]\n",
            ["defs/p.yaml:4:16: files use each other in a circle: defs/p.yaml uses defs/p.yaml"]
        ),
        (
            "stages: [{use: need.yaml}]\n",
            ["defs/need.yaml:1:1: defs/need.yaml needs the parameter `n`; write `with: {n: …}` beside `use`"]
        ),
        (
            "stages: [{use: need.yaml, with: {n: 3, m: 2}}]\n",
            ["defs/p.yaml:4:40: unknown parameter `m` of defs/need.yaml; did you mean `n`?"]
        ),
        (
            "stages: [{use: need.yaml, with: {n: many}}]\n",
            ["defs/p.yaml:4:37: option `min` of stage `length` must be a whole number from 0, not `many`"]
        ),
        (
            "stages: [{use: whole.yaml}]\n",
            [
                "defs/whole.yaml:1:1: a file that is used has `stages` and `parameters`, not `input`",
                "defs/whole.yaml:1:1: defs/whole.yaml has no `stages`",
            ]
        ),
        (
            "stages: [{use: need.yaml, keep: 3}]\n",
            ["defs/p.yaml:4:27: `keep` is beside `use`; beside it may be `with`, the parameters"]
        ),
        (
            "stages: [{sample: {keep: 5%, enabled: maybe}}]\n",
            ["defs/p.yaml:4:39: `enabled` must be true or false, not `maybe`"]
        ),
    ])
    func mistakesHaveTheirPlace(text: String, messages: [String]) {
        let files = [
            "defs/a.yaml": "stages:\n- use: b.yaml\n", "defs/b.yaml": "stages:\n- use: a.yaml\n",
            "defs/self.yaml": "stages: [ {use: self.yaml}]",
            "defs/need.yaml": "parameters: {n: }\nstages: [format, {length: {unit: words, min: \"${n}\"}}]\n",
            "defs/whole.yaml": "input: {files: a}\n",
        ]
        #expect(Self.mistakes(Self.head + text, files) == messages)
    }

    @Test func unknownParametersOfTheCommandLine() {
        let text = Self.head + "parameters: {keep: 5%}\nstages: [{sample: {keep: \"${keep}\"}}]\n"
        #expect(
            Self.mistakes(text, set: ["parameters.kep=1%"])
                == ["--set parameters.kep=1%: unknown parameter `kep`; did you mean `keep`?"])
        #expect(
            Self.mistakes(Self.head, set: ["parameters.kep=1%"])
                == ["--set parameters.kep=1%: unknown parameter `kep`; there are none"])
        #expect(
            Self.mistakes(text, set: ["parameters.keep=lots"]).first?.hasPrefix("--set parameters.keep=lots: ") == true)
    }

    /// What a program has resolved is not composed again.
    @Test func resolvedTextsAreTakenAsTheyAre() throws {
        let definition = try Self.parse(Self.head + "stages: [{length: {min: 1, field: \"a $${x}\"}}]\n")
        let again = try DefinitionFile.parse(
            text: definition.report.json, path: "defs/run.json", registry: Self.registry, composition: .none)
        #expect(again.stages == definition.stages)
        #expect(again.stages[0].options["field"] == "a ${x}")
    }
}
