import SluiceKit
import Testing

/// The Swift code of docs/definition.md, line by line. `scripts/documents.py` compares the lines.
@Suite struct LibraryTests {
    @Test func theDocumentedPipelineIsTheSameDefinition() throws {
        let pipeline = Pipeline(
            seed: 42, input: InputSpec(files: ["data/p3-*.jsonl.zst"], dedupe: .fields(["prompt", "completion"])),
            output: OutputSpec(directory: "out"), outputs: [SinkSpec("sizes", ladder: .steps(from: 10, times: 4))]
        ) {
            Format(template: "prompt-completion")
            Embed(dimensions: 384)
            Coreset(keep: .percent(5))
        }
        let text = """
            sluice: 1
            seed: 42
            input: {files: [data/p3-*.jsonl.zst], dedupe: {on: [prompt, completion]}}
            stages: [format: {template: prompt-completion}, embed: {dimensions: 384}, coreset: {keep: 5%}]
            output: {directory: out}
            outputs: {sizes: {ladder: x4}}
            """
        let written = try DefinitionFile.parse(text: text, path: "p.yaml", registry: .builtIn)
        #expect(try pipeline.definition(.builtIn) == written)
    }

    @Test func theDocumentedPipelineRuns() throws {
        let space = try Workspace()
        let pipeline = Pipeline(
            input: InputSpec(files: ["\(projectFolder)/examples/data/demo-0.jsonl.zst"]),
            output: OutputSpec(directory: space("out"))
        ) { StageSpec("sample", ["keep": 10]) }
        let result = try pipeline.run()
        print("kept \(result.kept) of \(result.read) records")
        #expect(result.kept == 10)
        #expect(try RunFiles(space("out")).count("read") == result.read)
    }
}
