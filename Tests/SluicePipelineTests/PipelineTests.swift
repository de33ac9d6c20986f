import SluiceCore
import SluicePipeline
import Testing

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
