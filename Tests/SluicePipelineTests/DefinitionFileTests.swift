import SluiceCore
import SluicePipeline
import Testing

/// The example of the docs.
let designExample = """
    sluice: 1                      # definition version
    seed: 42
    memory: 512MiB
    input:
      files: [data/p3-*.jsonl.zst]       # globs, sorted by bytes; .jsonl .zst .gz; "-" is standard input
      dedupe: {on: [prompt, completion]} # exact, XXH3-128 of the named fields
      malformed: quarantine              # or: fail
    stages:
      - format:     {template: "{prompt}\\n\\n{completion}"}
      - embed:      {model: lexical, dimensions: 384}
      - cluster:    {clusters: 64, reservoir: 20000}
      - coreset:    {keep: 5%, per: cluster}
      - redundancy: {method: lift, keep: 20%}
    output:
      directory: out

    """

func parse(_ text: String, path: String = "p.yaml", set: [String] = []) throws -> Definition {
    try DefinitionFile.parse(text: text, path: path, registry: stages, overrides: try set.map { try Override($0) })
}

/// The problems of a definition, one per line.
func problems(_ text: String, path: String = "p.yaml", set: [String] = []) -> [String] {
    do {
        _ = try parse(text, path: path, set: set)
        return []
    } catch let errors as DefinitionErrors {
        return errors.problems.map(\.description)
    } catch {
        return ["\(error)"]
    }
}

/// A definition with `line` in place of the stages.
private func stage(_ line: String) -> String {
    "sluice: 1\ninput: {files: a}\nstages:\n  - format\n  - embed\n  - \(line)\noutput: {directory: out}\n"
}

@Suite struct DefinitionFileTests {
    @Test func readsTheExampleOfTheDesign() throws {
        let definition = try parse(designExample)
        #expect(definition.seed == 42 && definition.memory == 512 << 20)
        #expect(
            definition.input
                == InputSpec(files: ["data/p3-*.jsonl.zst"], dedupe: .fields(["prompt", "completion"])))
        #expect(definition.stages.map(\.name) == ["format", "embed", "cluster", "coreset", "redundancy"])
        #expect(definition.stages[0].options == ["template": "{prompt}\n\n{completion}"])
        #expect(definition.stages[1].options == ["model": "lexical", "dimensions": 384])
        #expect(definition.stages[3].options == ["keep": .quantity(Quantity("5%")!), "per": "cluster"])
        #expect(definition.stages[4].options["cache"] == .integer(64 << 20))
        #expect(definition.output == OutputSpec(directory: "out"))
    }

    @Test func verifyIsHashOrBytes() throws {
        func dedupe(_ text: String) throws -> DedupeSpec? {
            try parse("sluice: 1\ninput: {files: a, dedupe: \(text)}\noutput: {directory: o}").input.dedupe
        }
        #expect(try dedupe("{on: line}") == DedupeSpec(on: .line, verify: .hash))
        #expect(try dedupe("{on: line, verify: bytes}") == DedupeSpec(on: .line, verify: .bytes))
        #expect(try dedupe("{verify: bytes, on: [a, b]}") == .fields(["a", "b"], verify: .bytes))
        #expect(try dedupe("{on: [a], verify: null}") == .fields(["a"]))
        // It decides which of two records with the same hash is kept, so it is part of the digest.
        let (hash, bytes) = (try parse(designExample), try parse(designExample, set: ["input.dedupe.verify=bytes"]))
        #expect(bytes.input.dedupe == .fields(["prompt", "completion"], verify: .bytes))
        #expect(bytes.decidingReport != hash.decidingReport)
        #expect(
            Definition.differences(from: hash.report, to: bytes.report) == ["input.dedupe.verify: hash → bytes"])
    }

    @Test func swiftGivesTheSameDefinition() throws {
        let pipeline = Pipeline(
            seed: 42,
            input: InputSpec(files: ["data/p3-*.jsonl.zst"], dedupe: .fields(["prompt", "completion"])),
            output: OutputSpec(directory: "out")
        ) {
            Format(template: "{prompt}\n\n{completion}")
            Embed(dimensions: 384)
            StageSpec("cluster", ["clusters": 64])
            StageSpec("coreset", ["keep": "5%", "per": "cluster"])
            StageSpec("redundancy", ["threshold": 0.1, "keep": .quantity(.percent(20))])
        }
        let fromSwift = try pipeline.definition(stages)
        let fromFile = try parse(designExample)
        #expect(fromSwift == fromFile)
        #expect(fromSwift.report.json == fromFile.report.json)
    }

    @Test func shortFormsMeanTheSame() throws {
        let short = try parse(
            "sluice: 1\ninput: {files: a}\nstages: [format, embed: , {cluster: {}}]\noutput: {directory: o}")
        let long = try parse(
            "sluice: 1\nmemory: null\ninput: {files: [a], dedupe: ~}\nstages:\n- format:\n- embed: null\n- cluster:\n    clusters: \"auto\"\noutput:\n  directory: o\n"
        )
        #expect(short == long)
        #expect(try parse("sluice: 1\ninput: {files: a}\noutput: {directory: o}").stages.isEmpty)
        #expect(
            try parse("sluice: 1\ninput: {files: a, dedupe: {on: line}}\noutput: {directory: o}").input.dedupe == .line)
    }

    @Test func relativePathsAreRelativeToTheFile() throws {
        let text = """
            sluice: 1
            input: {files: [a.zst, ../b.zst, /c.zst, "-"]}
            stages: [format, embed, redundancy: {stopwords: words.txt}]
            output: {directory: out}
            """
        let definition = try parse(text, path: "pipelines/x/p.yaml", set: [])
        #expect(definition.input.files == ["pipelines/x/a.zst", "pipelines/x/../b.zst", "/c.zst", "-"])
        #expect(definition.output.directory == "pipelines/x/out")
        #expect(definition.stages[2].options["stopwords"] == "pipelines/x/words.txt")
        #expect(try parse(text, path: "/p.yaml").output.directory == "/out")
        #expect(try parse(text, path: "pipelines/p.yaml", set: ["output.directory=here"]).output.directory == "here")
    }

    @Test func valuesAreReadAsSpelled() throws {
        let definition = try parse(
            "sluice: 1\nseed: 18446744073709551615\ninput: {files: [1, yes], max_record: 1MiB, malformed: fail}\n"
                + "stages:\n- format: {template: 5}\n- embed\n- redundancy: {keep: \"0.5%\", threshold: 1, exact: true, cache: 100, fields: [a, 7]}\n"
                + "output: {directory: o, record: formatted, annotate: text, level: 19}\n")
        #expect(definition.seed == .max)
        #expect(definition.input.files == ["1", "yes"])
        #expect(definition.input.maxRecord == 1 << 20 && definition.input.malformed == .fail)
        #expect(definition.stages[0].options["template"] == "5")
        let options = definition.stages[2].options
        #expect(options["keep"] == .quantity(Quantity("0.5%")!))
        #expect(options["threshold"] == 1.0 && options["exact"] == true && options["cache"] == 100)
        #expect(options["fields"] == ["a", "7"])
        #expect(definition.output == OutputSpec(directory: "o", record: .formatted, annotate: [.text], level: 19))
    }

    // MARK: Mistakes

    @Test func everyMistakeIsFoundAtOnce() {
        let text = """
            sluice: 2
            sede: 42
            memory: 512M
            input:
              fils: [a]
              dedupe: {on: []}
              malformed: quarantin
            stages:
              - fromat: {template: x}
              - embed: {dimension: 384, model: lexicl}
              - cluster: {clusters: 0}
              - coreset: {keep: 0.05}
              - redundancy: {exact: yes}
            output:
              record: formated
              level: 20
            """
        #expect(
            problems(text, path: "pipeline.yaml") == [
                "pipeline.yaml:1:9: version `2` is not supported; this program reads `sluice: 1`",
                "pipeline.yaml:2:1: unknown key `sede`; did you mean `seed`?",
                "pipeline.yaml:3:9: `memory` must be a size such as 512MiB, not `512M`; write 512MiB",
                "pipeline.yaml:4:1: `input.files` is empty; write paths or globs, such as [data/*.jsonl.zst]",
                "pipeline.yaml:5:3: unknown key `fils` of `input`; did you mean `files`?",
                "pipeline.yaml:6:16: `input.dedupe.on` is empty; write field names or `on: line`",
                "pipeline.yaml:7:14: `input.malformed` must be one of quarantine, fail, not `quarantin`; did you mean `quarantine`?",
                "pipeline.yaml:9:5: unknown stage `fromat`; did you mean `format`? (known stages are `cluster`, `coreset`, `embed`, `format`, `redundancy`)",
                "pipeline.yaml:10:13: unknown option `dimension` of stage `embed`; did you mean `dimensions`?",
                "pipeline.yaml:10:36: option `model` of stage `embed` must be lexical, not `lexicl`; did you mean `lexical`?",
                "pipeline.yaml:11:25: option `clusters` of stage `cluster` must be auto, or a whole number from 1 to 65536, not `0`",
                "pipeline.yaml:12:21: option `keep` of stage `coreset` must be a count or percentage, not `0.05`; write 5% for that share",
                "pipeline.yaml:13:25: option `exact` of stage `redundancy` must be true or false, not `yes`; write true",
                "pipeline.yaml:14:1: `output` needs `directory`: say where the results go, such as `directory: out`",
                "pipeline.yaml:15:11: `output.record` must be one of original, formatted, messages, not `formated`; did you mean `formatted`?",
                "pipeline.yaml:16:10: `output.level` is 20 and must be from 1 to 19",
            ])
    }

    @Test(arguments: [
        ("", "1:1: the definition is empty; start it with `sluice: 1`"),
        ("# nothing\n", "1:1: the definition is empty; start it with `sluice: 1`"),
        (
            "- a\n",
            "1:1: a definition must be a map with the keys sluice, seed, memory, input, stages, output, answers, not a list"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: o}\nfiles: b\n",
            "4:1: unknown key `files`; it belongs under `input`"
        ),
        (
            "sluice: 1\ninput: {files: a, seed: 1}\noutput: {directory: o}\n",
            "2:19: unknown key `seed` of `input`; it belongs at the top"
        ),
        (
            "input: {files: a}\noutput: {directory: o}\n",
            "1:1: `sluice: 1` is missing; it is the version of the definition"
        ),
        (
            "sluice: 1\noutput: {directory: o}\n",
            "1:1: `input` is missing; say what to read, such as `input: {files: [data/*.jsonl.zst]}`"
        ),
        (
            "sluice: 1\ninput: {files: a}\n",
            "1:1: `output` is missing; say where the results go, such as `output: {directory: out}`"
        ),
        (
            "sluice: 1\ninput: a\noutput: {directory: o}\n",
            "2:8: `input` must be a map with the keys files, dedupe, malformed, max_malformed, max_record, not `a`"
        ),
        (
            "sluice: 1\ninput: {files: []}\noutput: {directory: o}\n",
            "2:16: `input.files` is empty; write paths or globs, such as [data/*.jsonl.zst]"
        ),
        (
            "sluice: 1\ninput:\n  files:\noutput: {directory: o}\n",
            "3:3: `files` has no value; give it one or delete it"
        ),
        (
            "sluice: 1\ninput: {files: [a, [b]]}\noutput: {directory: o}\n",
            "2:20: each entry of `input.files` must be text, not a list"
        ),
        (
            "sluice: 1\ninput: {files: [a, \"\"]}\noutput: {directory: o}\n",
            "2:20: `input.files` contains an empty name"
        ),
        (
            "sluice: 1\ninput: {files: [\"-\", \"-\"]}\noutput: {directory: o}\n",
            "2:22: standard input `-` can be read only once"
        ),
        (
            "sluice: 1\ninput: {files: a, dedupe: line}\noutput: {directory: o}\n",
            "2:27: `input.dedupe` must be a map, not `line`; write `dedupe: {on: line}`"
        ),
        (
            "sluice: 1\ninput: {files: a, dedupe: {}}\noutput: {directory: o}\n",
            "2:19: `input.dedupe` needs `on`: field names, or `line`"
        ),
        (
            "sluice: 1\ninput: {files: a, dedupe: {on: [x, y, x]}}\noutput: {directory: o}\n",
            "2:39: `input.dedupe.on` names `x` twice"
        ),
        (
            "sluice: 1\ninput: {files: a, dedupe: {on: line, verify: byte}}\noutput: {directory: o}\n",
            "2:46: `input.dedupe.verify` must be one of hash, bytes, not `byte`; did you mean `bytes`?"
        ),
        (
            "sluice: 1\ninput: {files: a, dedupe: {on: line, verfy: bytes}}\noutput: {directory: o}\n",
            "2:38: unknown key `verfy` of `input.dedupe`; did you mean `verify`?"
        ),
        (
            "sluice: 1\ninput: {files: a, verify: bytes}\noutput: {directory: o}\n",
            "2:19: unknown key `verify` of `input`; it belongs under `input.dedupe`"
        ),
        (
            "sluice: 1\ninput: {files: a, max_record: 2GiB}\noutput: {directory: o}\n",
            "2:31: `input.max_record` is 2147483648 bytes and must be from 1 byte to 1GiB"
        ),
        (
            "sluice: 1\nmemory: 512\ninput: {files: a}\noutput: {directory: o}\n",
            "2:9: `memory` is 512 bytes, far less than any run takes; did you mean `512MiB`?"
        ),
        (
            "sluice: 1\nmemory: 512KiB\ninput: {files: a}\noutput: {directory: o}\n",
            "2:9: `memory` is 524288 bytes, far less than any run takes"
        ),
        (
            "sluice: 1\nseed: -1\ninput: {files: a}\noutput: {directory: o}\n",
            "2:7: `seed` must be a whole number from 0 to 18446744073709551615, not `-1`"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: \"\"}\n",
            "3:21: `output.directory` is empty; say where the results go"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: [o]}\n",
            "3:21: `output.directory` must be text, not a list"
        ),
        (
            "sluice: 1\ninput: {files: a}\nstages: embed\noutput: {directory: o}\n",
            "3:9: `stages` must be a list, not `embed`; begin each stage with `- ` and its name"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: o}\nseed: 1\nseed: 2\n",
            "5:1: duplicate key `seed`; remove one"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: o, compression: non}\n",
            "3:37: `output.compression` must be one of zstd, none, not `non`; did you mean `none`?"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: o, compression: none, level: 3}\n",
            "3:50: `output.level` is a zstd level, which `compression: none` does not use; remove one of them"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: o, level: x}\n",
            "3:31: `output.level` must be a whole number from 1 to 19, not `x`"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: o, annotate: [clutser]}\n",
            "3:35: `output.annotate` names `clutser`, which no stage writes"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: o, record: formatted}\n",
            "3:32: `record: formatted` writes the column `text`, which no stage makes; add a `format` stage"
        ),
        (
            "sluice: 1\ninput: {files: a}\nstages: [embed]\noutput: {directory: o}\n",
            "3:10: stage 1 `embed` reads `text`, which no earlier stage writes; put a `format` stage before it"
        ),
        (
            "sluice: 1\ninput: {files: a}\nstages: [embed, format]\noutput: {directory: o}\n",
            "3:10: stage 1 `embed` reads `text`, which no earlier stage writes; move stage 2 `format`, which writes it, before it"
        ),
        // YAML itself.
        (
            "sluice: 1\ninput: {files: [a}\n",
            "2:18: this is not YAML: did not find expected ',' or ']', while parsing a flow sequence from line 2, column 16; close the bracket, or put a comma between the entries"
        ),
        (
            "sluice: 1\n\tseed: 2\n",
            "2:1: this is not YAML: found a tab character that violates indentation, while scanning a plain scalar from line 1, column 9; indent with spaces, not tabs"
        ),
        (
            "sluice: 1\ninput: {files: a}\nx: y: z\n",
            "3:5: this is not YAML: mapping values are not allowed in this context; check the indentation, or put a text with a colon in quotes"
        ),
        (
            "sluice: 1\n--- \nsluice: 1\n",
            "2:1: this is not YAML: but found another document, expected a single document in the stream from line 1, column 1; one file holds one definition"
        ),
        ("sluice: 1\ninput: *nothing\n", "2:8: this is not YAML: found undefined alias"),
        ("sluice: 1\nseed: \u{7}\n", "2:7: this is not YAML: control characters are not allowed"),
    ])
    func aMistakeIsNamedWithItsPlace(text: String, problem: String) {
        #expect(problems(text) == ["p.yaml:\(problem)"])
    }

    @Test(arguments: [
        (
            "tokenize",
            "6:5: unknown stage `tokenize`; known stages are `cluster`, `coreset`, `embed`, `format`, `redundancy`"
        ),
        ("[cluster]", "6:5: stage 3 must be a name with its options, such as `- embed: {}`, not a list"),
        ("{}", "6:5: stage 3 must be a name with its options, such as `- embed: {}`, not a map"),
        ("", "6:4: stage 3 must be a name with its options, such as `- embed: {}`, not nothing"),
        (
            "coreset: {keep: 1}\n    cluster: {}",
            "7:5: `coreset` and `cluster` are in one map; begin each stage with its own `- `"
        ),
        (
            "coreset:\n    keep: 5%",
            "7:5: `keep` is at the level of the stage `coreset`; indent its options further than its name"
        ),
        ("coreset", "6:5: stage `coreset` needs the option `keep`: a count or percentage, such as `keep: 5%`"),
        ("coreset: 5%", "6:14: the options of stage `coreset` must be a map, not `5%`; it takes keep, per"),
        (
            "coreset: {keep: }",
            "6:15: option `keep` of stage `coreset` must be a count or percentage, not nothing; leave the option out, or give it a value"
        ),
        (
            "coreset: {keep: 0.05}",
            "6:21: option `keep` of stage `coreset` must be a count or percentage, not `0.05`; write 5% for that share"
        ),
        ("coreset: {keep: [5%]}", "6:21: option `keep` of stage `coreset` must be a count or percentage, not a list"),
        ("coreset: {keep: 5%, keep: 6%}", "6:25: duplicate key `keep`; remove one"),
        ("coreset: {keep: 5%, per: clutser}", "6:5: stage 3 `coreset` reads `clutser`, which no earlier stage writes"),
        (
            "coreset: {keep: 5%, per: cluster}",
            "6:5: stage 3 `coreset` reads `cluster`, which no earlier stage writes; put a `cluster` stage before it"
        ),
        (
            "cluster: {clusters: 300, reservoir: 200}",
            "6:25: stage 3 `cluster`: 300 clusters can't be learnt from fewer records; raise `reservoir`"
        ),
        (
            "cluster: {clusters: 20001}",
            "6:25: stage 3 `cluster`: 20001 clusters can't be learnt from fewer records; raise `reservoir`"
        ),
        (
            "format: {template: {prompt}}",
            "6:24: option `template` of stage `format` must be text, not a map; put a text with braces in quotes"
        ),
        (
            "embed: {dimensions: \"384\"}",
            "6:25: option `dimensions` of stage `embed` must be a whole number from 8 to 4096, not `384`; write it without quotes"
        ),
        (
            "embed: {dimensions: 1_024}",
            "6:25: option `dimensions` of stage `embed` must be a whole number from 8 to 4096, not `1_024`; write 1024"
        ),
        (
            "redundancy: {threshold: x}",
            "6:29: option `threshold` of stage `redundancy` must be a number from 0.0 to 2.0, not `x`"
        ),
        (
            "redundancy: {cache: 5M}",
            "6:25: option `cache` of stage `redundancy` must be a size such as 64MiB, not `5M`; write 5MiB"
        ),
        (
            "redundancy: {fields: a}",
            "6:26: option `fields` of stage `redundancy` must be a list of text, not `a`; write [a]"
        ),
        (
            "redundancy: {fields: [a, [b]]}",
            "6:30: option `fields` of stage `redundancy` must be a list of text, not a list"
        ),
        (
            "redundancy: {weights: {a: 1, b: x}}",
            "6:37: option `weights` of stage `redundancy` must be a map from names to count or percentage, not `x`"
        ),
        (
            "redundancy: {weights: {a: 1, b: 0.5}}",
            "6:37: option `weights` of stage `redundancy` must be a map from names to count or percentage, not `0.5`; write 50% for that share"
        ),
        (
            "redundancy: {weights: [1]}",
            "6:27: option `weights` of stage `redundancy` must be a map from names to count or percentage, not a list"
        ),
        ("redundancy: {weights: {a: 1, a: 2}}", "6:34: duplicate key `a`; remove one"),
        ("redundancy: {[a]: 1}", "6:18: a key must be a word; put a text with braces in quotes"),
    ])
    func aMistakeInAStageIsNamedWithItsPlace(line: String, problem: String) {
        #expect(problems(stage(line)) == ["p.yaml:\(problem)"])
    }

    @Test func severalDuplicateKeysAndOtherMistakesAreFoundTogether() {
        let text =
            "sluice: 1\nseed: 1\ninput:\n  files: a\n  files: b\n  'files': c\nseed: 2\noutput: {directory: o, levl: 3}\n"
        #expect(
            problems(text) == [
                "p.yaml:5:3: duplicate key `files`; remove one",
                "p.yaml:6:3: duplicate key `files`; remove one",
                "p.yaml:7:1: duplicate key `seed`; remove one",
                "p.yaml:8:24: unknown key `levl` of `output`; did you mean `level`?",
            ])
    }

    @Test func aWrongStageHidesNoLaterOneAndInventsNone() {
        let text = stage("clustr: {}\n  - coreset: {kep: 5%, per: cluster}\n  - redundancy: {keep: x}")
        #expect(
            problems(text).map { $0.split(separator: ":").prefix(3).joined(separator: ":") } == [
                "p.yaml:6:5", "p.yaml:7:5", "p.yaml:7:15", "p.yaml:8:24",
            ])
    }
}

@Suite struct DamagedDefinitionTests {
    @Test func aliasesThatMultiplyAreRefused() {
        let laughs = (1...9).map {
            "a\($0): &a\($0) [\(Array(repeating: $0 == 1 ? "x" : "*a\($0 - 1)", count: 10).joined(separator: ", "))]"
        }
        let found = problems("sluice: 1\n" + laughs.joined(separator: "\n"))
        #expect(
            found.count == 1 && found[0].hasSuffix("the definition has more than 100000 values"), "\(found.prefix(3))")
    }

    @Test func anchorsAreRead() throws {
        let text =
            "sluice: 1\ninput: {files: &f [a, b]}\nstages: [format, embed, redundancy: {fields: *f}]\noutput: {directory: o}"
        #expect(try parse(text).stages[2].options["fields"] == ["a", "b"])
    }

    /// With any part of a definition removed, repeated or inserted, the answer is a definition, or mistakes with
    /// places.
    @Test func damageGivesMistakesWithPlaces() {
        let scalars = Array(designExample.unicodeScalars)
        let extras: [[Unicode.Scalar]] = [
            "{", "}", "[", "]", ":", "- ", "\n", "\t", "\"", "'", "#", "&a ", "*a", "!!", "? ", "|", "%", "é",
        ]
        .map { Array(($0 as String).unicodeScalars) }
        var generator = SplitMix64(state: 5)
        for _ in 0..<3_000 {
            var text = scalars
            for _ in 0...generator.next(below: 3) {
                let place = Int(generator.next(below: UInt64(text.count)))
                let length = min(text.count - place, Int(generator.next(below: 12)))
                switch generator.next(below: 3) {
                case 0: text.removeSubrange(place..<(place + length))
                case 1: text.insert(contentsOf: extras[Int(generator.next(below: UInt64(extras.count)))], at: place)
                default:
                    text.insert(
                        contentsOf: text[place..<(place + length)], at: Int(generator.next(below: UInt64(text.count))))
                }
                if text.isEmpty { text = ["a"] }
            }
            var damaged = String.UnicodeScalarView()
            damaged.append(contentsOf: text)
            let lines = text.count { $0 == "\n" } + 1
            do throws(DefinitionErrors) {
                _ = try DefinitionFile.parse(text: String(damaged), path: "p.yaml", registry: stages)
            } catch {
                #expect(!error.problems.isEmpty)
                for problem in error.problems {
                    #expect((1...(lines + 1)).contains(problem.place?.line ?? 0), "\(problem)\n\(String(damaged))")
                }
            }
        }
    }
}

@Suite struct OverrideTests {
    @Test func replacesAndAdds() throws {
        let definition = try parse(
            designExample,
            set: [
                "input.files=a.zst,b.zst", "stages.coreset.keep=1%", "seed=7", "output.directory=x", "output.level=9",
                "stages.3.clusters=auto", "input.dedupe={on: [a, b]}", "stages.redundancy.fields=[p, \"q,r\"]",
                "stages.redundancy.weights={a: 1, b: 5%}", "stages.redundancy.weights.c=2",
                "stages.format.template={prompt}",
                "output.annotate=cluster,rank", "memory=1GiB",
            ])
        #expect(definition.input.files == ["a.zst", "b.zst"])
        #expect(definition.input.dedupe == .fields(["a", "b"]))
        #expect(definition.stages[0].options["template"] == "{prompt}")
        #expect(definition.stages[2].options["clusters"] == "auto")
        #expect(definition.stages[3].options["keep"] == .quantity(Quantity("1%")!))
        #expect(definition.stages[4].options["fields"] == ["p", "q,r"])
        let weights = OptionValue.map([
            "a": .quantity(.count(1)), "b": .quantity(.percent(5)), "c": .quantity(.count(2)),
        ])
        #expect(definition.stages[4].options["weights"] == weights)
        #expect(definition.seed == 7 && definition.memory == 1 << 30)
        #expect(definition.output == OutputSpec(directory: "x", annotate: [.cluster, .rank], level: 9))
    }

    @Test func canTurnOffWhatTheFileSays() throws {
        #expect(try parse(designExample, set: ["input.dedupe=null"]).input.dedupe == nil)
        #expect(try parse(designExample, set: ["input.dedupe.on=line"]).input.dedupe == .line)
    }

    @Test func laterOverridesWin() throws {
        #expect(try parse(designExample, set: ["seed=1", "seed=2"]).seed == 2)
    }

    @Test func stagesOfOneNameAreToldApart() throws {
        let text =
            "sluice: 1\ninput: {files: a}\nstages: [format, embed, redundancy, redundancy: {keep: 1}]\noutput: {directory: o}"
        let definition = try parse(text, set: ["stages.redundancy#1.threshold=0.5", "stages.redundancy#2.threshold=1"])
        #expect(definition.stages[2].options["threshold"] == 0.5 && definition.stages[3].options["threshold"] == 1.0)
        #expect(
            problems(text, set: ["stages.redundancy.keep=8"]) == [
                "--set stages.redundancy.keep=8: 2 stages are called `redundancy`; name one as `redundancy#1`"
            ])
    }

    @Test(arguments: [
        (
            "stages.corset.keep=1%",
            "the definition has no stage `corset`; did you mean `coreset`? (it has `format`, `embed`, `cluster`, `coreset`, `redundancy`)"
        ),
        ("stages.coreset.kep=1%", "unknown option `kep` of stage `coreset`; did you mean `keep`?"),
        (
            "stages.coreset.keep=0.01",
            "option `keep` of stage `coreset` must be a count or percentage, not `0.01`; write 1% for that share"
        ),
        (
            "stages.9.keep=1%",
            "the definition has no stage 9 (it has `format`, `embed`, `cluster`, `coreset`, `redundancy`)"
        ),
        ("stages.coreset#2.keep=1%", "`#2` must be from 1 to 1, the number of stages called `coreset`"),
        ("stages.coreset=1%", "name an option of the stage, as in `stages.coreset.OPTION=…`"),
        ("inptu.files=a", "unknown key `inptu`; did you mean `input`?"),
        ("seed.x=1", "`seed` is `42` and has no keys"),
        ("seed=x", "`seed` must be a whole number from 0 to 18446744073709551615, not `x`"),
        ("output.level=40", "`output.level` is 40 and must be from 1 to 19"),
        ("input.files=", "`files` has no value; give it one or delete it"),
        ("seed", "write it as key=value, such as `--set stages.coreset.keep=1%`"),
        ("a..b=1", "a part of the key is empty"),
    ])
    func mistakesNameTheOverride(text: String, problem: String) {
        #expect(problems(designExample, set: [text]) == ["--set \(text): \(problem)"])
    }

    @Test func otherOptionsOfTheCommandNameThemselves() {
        #expect(
            throws: DefinitionErrors([
                Problem("--seed x: `seed` must be a whole number from 0 to 18446744073709551615, not `x`")
            ])
        ) {
            try DefinitionFile.parse(
                text: designExample, path: "p.yaml", registry: stages,
                overrides: [Override(["seed"], "x", spelling: "--seed x")])
        }
    }
}

@Suite struct PipelineTests {
    @Test func checksTheSameRulesWithoutPlaces() {
        let pipeline = Pipeline(memory: 7, input: InputSpec(files: []), output: OutputSpec(directory: "", level: 0)) {
            Embed(dimensions: 1)
            StageSpec("corset")
        }
        #expect(
            throws: DefinitionErrors([
                Problem("`memory` is 7 bytes, far less than any run takes; did you mean `7MiB`?"),
                Problem("`input.files` is empty; write paths or globs, such as [data/*.jsonl.zst]"),
                Problem("`output.directory` is empty; say where the results go"),
                Problem("`output.level` is 0 and must be from 1 to 19"),
                Problem("option `dimensions` of stage `embed` must be a whole number from 8 to 4096, not `1`"),
                Problem(
                    "unknown stage `corset`; did you mean `coreset`? (known stages are `cluster`, `coreset`, `embed`, `format`, `redundancy`)"
                ),
            ])
        ) { try pipeline.definition(stages) }
    }

    @Test func columnsAreCheckedToo() {
        let pipeline = Pipeline(input: InputSpec(files: ["a"]), output: OutputSpec(directory: "o")) {
            Embed(dimensions: 8)
        }
        #expect(
            throws: DefinitionErrors([
                Problem("stage 1 `embed` reads `text`, which no earlier stage writes; put a `format` stage before it")
            ])
        ) { try pipeline.definition(stages) }
    }

    @Test(arguments: [true, false])
    func conditionsAndLoopsBuildStages(withCoreset: Bool) throws {
        let pipeline = Pipeline(input: InputSpec(files: ["a"]), output: OutputSpec(directory: "o")) {
            Format(template: "auto")
            for _ in 1...2 { Embed(dimensions: 8) }
            if withCoreset {
                StageSpec("coreset", ["keep": 10])
            } else {
                StageSpec("redundancy")
            }
            if withCoreset { StageSpec("redundancy") }
        }
        let names = try pipeline.definition(stages).stages.map(\.name)
        #expect(names == ["format", "embed", "embed"] + (withCoreset ? ["coreset", "redundancy"] : ["redundancy"]))
    }
}
