import SluiceCore
import Testing

private struct Writer: Stage, Transform {
    static let descriptor = Descriptor(
        name: "writer", summary: "Writes what it is told.",
        options: [
            OptionSpec("column", .text, isRequired: true, help: "Name.", example: "score"),
            OptionSpec("type", .choice(["bytes", "vector", "integer", "real"]), default: "bytes", help: "Type."),
        ])
    let spec: ColumnSpec
    let reads: [Input] = []
    var writes: [ColumnSpec] { [spec] }

    init(options: OptionValues) throws(StageError) {
        let type: ColumnType =
            switch options["type"] {
            case "vector": .vector(dimension: 8)
            case "integer": .integer
            case "real": .real
            default: .bytes
            }
        spec = ColumnSpec(ColumnName(try options.text("column")), type)
    }

    func apply(to block: inout Block) throws(StageError) {}
}

private struct Chooser: Stage, Selection {
    static let descriptor = Descriptor(
        name: "chooser", summary: "Chooses.",
        options: [
            OptionSpec("by", .either([.choice(["size"]), .column(.number)]), default: "score", help: "A score."),
            OptionSpec("asks", .list(.text), default: [], help: "Columns that the selection asks for."),
            OptionSpec("groups", .text, help: "The column that it groups by."),
            OptionSpec("writes", .list(.text), default: [], help: "Columns of integers."),
        ])
    let options: OptionValues
    init(options: OptionValues) throws(StageError) { self.options = options }

    private func names(_ option: String) -> [ColumnName] {
        guard case .list(let values)? = options[option] else { return [] }
        return values.compactMap { if case .text(let name) = $0 { ColumnName(name) } else { nil } }
    }

    var reads: [Input] {
        let by = (try? options.text("by")) ?? "score"
        return [.column(ColumnName(by), .number), .column(ColumnName(by), .number), .field("x")]
    }
    var writes: [ColumnSpec] { names("writes").map { ColumnSpec($0, .integer) } }
    var grouping: Grouping { (try? options.text("groups")).map { .by(ColumnName($0)) } ?? .all }
    var columns: [ColumnName] { names("asks") }
    func quotas(for groups: Groups) -> [Int] { groups.sizes }
    func memory(rows: Int, _ context: StageContext) -> Int { 0 }
    func select(_ group: Group, quota: Int, _ context: StageContext) -> GroupOutcome {
        GroupOutcome(ranks: [], reason: "x")
    }
    func report(_ groups: GroupReports) -> JSONValue { [:] }
}

@Suite struct ColumnContractTests {
    private let registry = Registry([Writer.self, Chooser.self])

    private func writer(_ name: String, _ type: String = "bytes") -> StageSpec {
        StageSpec("writer", ["column": .text(name), "type": .text(type)])
    }

    private func problems(_ specs: [StageSpec], _ output: OutputSpec = OutputSpec(directory: "o")) throws -> [String] {
        let stages = try specs.map { spec in try #require(registry[spec.name]).init(options: spec.options) as any Stage
        }
        let definition = Definition(input: InputSpec(files: ["a"]), stages: specs, output: output)
        return ColumnContract.check(stages, definition, registry: registry).map(\.message)
    }

    @Test func aWrittenColumnIsFound() throws {
        #expect(try problems([writer("score", "real"), StageSpec("chooser")]).isEmpty)
    }

    @Test func aWriterIsNamedByItsExample() throws {
        #expect(
            try problems([StageSpec("chooser", ["by": "score"])]) == [
                "stage 1 `chooser` reads `score`, which no earlier stage writes; put a `writer` stage before it"
            ])
        // An option is named where it is not the default.
        #expect(
            try problems([StageSpec("chooser", ["by": "grade"])]).first?.hasPrefix(
                "stage 1 `chooser`: `by` reads `grade`, which no earlier stage writes") == true)
    }

    @Test func theOutputReadsColumnsToo() throws {
        let output = OutputSpec(directory: "o", record: .messages, annotate: ["scroe"])
        #expect(
            try problems([StageSpec("writer", ["column": "scores"])], output) == [
                "`record: messages` writes the column `messages`, which no stage makes",
                "`output.annotate` names `scroe`, which no stage writes; did you mean `scores`?",
            ])
    }

    @Test(
        arguments: [
            ("bytes", "bytes"), ("vector", "vectors of 8 components"), ("integer", nil), ("real", nil),
        ] as [(String, String?)])
    func aColumnMustHaveATypeThatItsReaderTakes(type: String, words: String?) throws {
        let found = try problems([
            writer("good", "integer"), writer("grade", type), StageSpec("chooser", ["by": "grade"]),
        ])
        #expect(
            found
                == (words.map {
                    [
                        "stage 3 `chooser`: `by` reads `grade`, which holds \($0); it takes integers or reals, such as `good`"
                    ]
                } ?? []))
    }

    @Test func theTypeIsThatOfTheOutputToo() throws {
        #expect(
            try problems([writer("text", "real")], OutputSpec(directory: "o", record: .formatted)) == [
                "`record: formatted` writes the column `text`, which holds reals; it must hold bytes"
            ])
        #expect(
            try problems([writer("text")], OutputSpec(directory: "o", annotate: ["text", "text"])) == [
                "`output.annotate` names `text` twice"
            ])
    }

    @Test func aColumnHasOneType() throws {
        #expect(try problems([writer("a", "real"), writer("a", "real")]).isEmpty)
        #expect(
            try problems([writer("a", "real"), writer("a", "vector")]) == [
                "stage 2 `writer` writes `a` as vectors of 8 components, and stage 1 `writer` writes it as reals; a column has one type in a definition"
            ])
    }

    @Test(arguments: [
        "a", "top_rank", "Score-2", String(repeating: "n", count: 64), "ordinal", "row", "record",
    ])
    func goodNamesPass(name: String) throws { #expect(try problems([writer(name)]).isEmpty) }

    @Test(arguments: [
        "", "../x", "a/b", "hash.high", "_row", "_ordinal", "_field prompt", "9lives", "-a", "a b", "ä", "a\0", "a\n",
        "file", "line", String(repeating: "n", count: 65),
    ])
    func badNamesAreRefused(name: String) throws {
        let found = try problems([writer(name)])
        #expect(
            found.count == 1 && found[0].hasPrefix("stage 1 `writer` writes a column with the invalid name `\(name)`"),
            "\(found)")
    }

    @Test func anOptionThatNamesAColumnTakesNames() {
        let kind = OptionKind.either([.choice(["size"]), .column(.number)])
        #expect(kind.normalized("size") == "size" && kind.normalized("score") == "score")
        #expect(kind.normalized("../x") == nil && kind.value(spelled: "_row") == nil && kind.normalized(3) == nil)
        #expect(kind.description == "size, or name of a column of integers or reals")
    }

    private func breaches(_ options: OptionValues) throws -> [String] {
        let stage = try Chooser(options: options)
        return ColumnContract.breaches(of: .selection(stage), by: stage, called: "stage `chooser`").map(\.message)
    }

    @Test func aSelectionMayAskOnlyForWhatItsStageDeclares() throws {
        #expect(try breaches(["by": "score", "asks": ["score", "score"]]).isEmpty)
        #expect(
            try breaches(["by": "score", "asks": ["score", "secret"], "groups": "score"]) == [
                "the selection of stage `chooser` asks for the column `secret`, which the stage does not declare in `reads`",
                "the selection of stage `chooser` groups by the column `score`, which may hold reals by its `reads`; it must hold bytes or integers",
            ])
        let stage = try Chooser(options: ["by": "score", "writes": ["rank", "top_rank"]])
        func writes(_ body: StageBody, isWhole: Bool = true) -> [String] {
            ColumnContract.breaches(of: body, by: stage, called: "stage `chooser`", isWhole: isWhole).map(\.message)
        }
        #expect(
            writes(.sequence([.selection(stage)])) == [
                "stage `chooser` declares that it writes `top_rank`, and its selection writes only `rank` and its `outcomeColumns`"
            ])
        // Another step of the stage may write it.
        #expect(writes(.selection(stage), isWhole: false).isEmpty)
    }
}
