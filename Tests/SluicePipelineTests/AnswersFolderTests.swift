import SluiceCore
import SluicePipeline
import Testing

/// The folder of the answer log in a definition.
@Suite struct AnswersFolderTests {
    private let text = "sluice: 1\ninput: {files: a}\noutput: {directory: out}\n"

    private func read(_ text: String, _ overrides: [Override] = []) throws(DefinitionErrors) -> Definition {
        try DefinitionFile.parse(text: text, path: "there/p.yaml", registry: Registry(), overrides: overrides)
    }

    @Test func itIsRelativeToTheDefinition() throws {
        #expect(try read(text).answers == nil)
        let definition = try read(text + "answers: judged\n")
        #expect(definition.answers == "there/judged")
        #expect(try read(text + "answers: /judged\n").answers == "/judged")
        #expect(try read(text + "answers: null\n").answers == nil)
        #expect(try read(text, [Override("answers=here")]).answers == "here")
        // Where the answers are does not decide the result.
        #expect(definition.decidingReport == (try read(text)).decidingReport)
        #expect(definition.report["answers"]?.textValue == "there/judged")
    }

    @Test func mistakesAreReported() throws {
        for (value, message) in [
            (
                "''",
                "there/p.yaml:4:10: `answers` must be the name of a folder; leave it out for one in the output directory"
            ),
            ("[a]", "there/p.yaml:4:10: `answers` must be text, not a list"),
        ] {
            let errors = try #require(throws: DefinitionErrors.self) { _ = try read(text + "answers: \(value)\n") }
            #expect(errors.description == message)
        }
    }

    @Test func swiftGivesTheSame() throws {
        let pipeline = Pipeline(
            input: InputSpec(files: ["there/a"]), output: OutputSpec(directory: "there/out"), answers: "there/judged")
        #expect(try pipeline.definition(Registry()).answers == (try read(text + "answers: judged\n")).answers)
    }
}
