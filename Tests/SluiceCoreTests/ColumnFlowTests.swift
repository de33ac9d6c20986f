import SluiceCore
import Testing

private struct Writer: Stage, Transform {
    static let descriptor = Descriptor(
        name: "writer", summary: "Writes what it is told.",
        options: [OptionSpec("column", .text, isRequired: true, help: "Name.", example: "score")])
    let column: ColumnName
    let reads: [Input] = []
    var writes: [ColumnSpec] { [ColumnSpec(column, .bytes)] }
    init(options: OptionValues) throws(StageError) { column = ColumnName(try options.text("column")) }
    func apply(to block: inout Block) throws(StageError) {}
}

private struct Chooser: Stage, Selection {
    static let descriptor = Descriptor(name: "chooser", summary: "Chooses.")
    let reads: [Input] = [.column("score"), .column("score"), .field("x")]
    let writes: [ColumnSpec] = []
    let grouping = Grouping.by("score")
    let columns: [ColumnName] = ["score", "secret"]
    init(options: OptionValues) throws(StageError) {}
    func quotas(for sizes: [Int]) -> [Int] { sizes }
    func memory(rows: Int, _ context: StageContext) -> Int { 0 }
    func select(_ group: Group, quota: Int, _ context: StageContext) -> GroupOutcome {
        GroupOutcome(ranks: [], reason: "x")
    }
    func report(_ groups: [GroupReport]) -> Report { [:] }
}

@Suite struct ColumnFlowTests {
    private let registry = Registry([Writer.self, Chooser.self])

    private func problems(_ specs: [StageSpec], _ output: OutputSpec = OutputSpec(directory: "o")) throws -> [String] {
        let stages = try specs.map { spec in try #require(registry[spec.name]).init(options: spec.options) as any Stage
        }
        let definition = Definition(input: InputSpec(files: ["a"]), stages: specs, output: output)
        return ColumnFlow.check(stages, definition, registry: registry).map(\.message)
    }

    @Test func aWrittenColumnIsFound() throws {
        #expect(try problems([StageSpec("writer", ["column": "score"]), StageSpec("chooser")]).isEmpty)
    }

    @Test func aWriterIsNamedByItsExample() throws {
        #expect(
            try problems([StageSpec("chooser")]) == [
                "stage 1 `chooser` reads `score`, which no earlier stage writes; put a `writer` stage before it"
            ])
    }

    @Test func theOutputReadsColumnsToo() throws {
        let output = OutputSpec(directory: "o", record: .messages, annotate: ["scroe"])
        #expect(
            try problems([StageSpec("writer", ["column": "scores"])], output) == [
                "`record: messages` writes the column `messages`, which no stage makes",
                "`annotate` names `scroe`, which no stage writes; did you mean `scores`?",
            ])
    }

    @Test func aSelectionMayAskOnlyForWhatItsStageDeclares() throws {
        let stage = try Chooser(options: [:])
        #expect(
            ColumnFlow.check(stage, of: stage, named: "chooser", written: [ColumnSpec("score", .bytes)]).map(\.message)
                == [
                    "the selection of stage `chooser` asks for the column `secret`, which the stage does not declare in `reads`",
                    "stage `chooser` groups by `score`, which holds no integers",
                    "the selection of stage `chooser` asks for `score`; a selection can't be given bytes",
                ])
    }
}
