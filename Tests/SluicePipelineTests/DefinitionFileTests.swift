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
}
