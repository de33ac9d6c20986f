import SluiceCore
import SluicePipeline
import Testing

/// Options of any shape: the same from a file, from the command line and from Swift.
@Suite struct TreeOptionTests {
    struct InertMatch: InertStage {
        static let descriptor = Descriptor(
            name: "match", summary: "Keeps.",
            options: [OptionSpec("keep", .tree, help: "Condition.", example: "{a: 1}")])
        let options: OptionValues
        let reads: [Input] = [.field("a")]
        let writes: [ColumnSpec] = []
    }

    private func keep(_ text: String, set: [String] = []) throws -> OptionValue? {
        let definition = try DefinitionFile.parse(
            text: "sluice: 1\ninput: {files: a}\nstages:\n  - match: {keep: \(text)}\noutput: {directory: out}\n",
            path: "p.yaml", registry: Registry([InertMatch.self]), overrides: try set.map { try Override($0) })
        return definition.stages[0].options["keep"]
    }

    private static let trees: [(String, OptionValue)] = [
        ("text", "text"), ("5", 5), ("-2.5", -2.5), ("true", true), (#""5""#, "5"), (#""true""#, "true"),
        ("[1, [a, false], {b: 2}]", [1, ["a", false], ["b": 2]]), ("{a: {b: [{c: d}]}}", ["a": ["b": [["c": "d"]]]]),
        ("[]", []), ("{}", [:]),
    ]

    @Test(arguments: trees) func aFileGivesWhatSwiftGives(text: String, value: OptionValue) throws {
        #expect(try keep(text) == value)
    }

    /// On the command line quotes are those of the shell, so a quoted number is one.
    @Test(arguments: trees.filter { !$0.0.contains("\"") })
    func theCommandLineGivesTheSame(text: String, value: OptionValue) throws {
        #expect(try keep("old", set: ["stages.match.keep=\(text)"]) == value)
    }

    @Test func aValueThatIsMissingIsRefused() {
        for (text, column) in [("[a, null]", 23), ("{a: ~}", 23), ("{a: {b: [c, null]}}", 31)] {
            do {
                _ = try keep(text)
                Issue.record("\(text) is accepted")
            } catch let errors as DefinitionErrors {
                #expect(
                    errors.problems.first?.description.hasPrefix("p.yaml:4:\(column): ") == true, "\(errors.problems)")
            } catch {
                Issue.record(error)
            }
        }
    }
}
