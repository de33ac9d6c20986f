import SluiceCore
import SluiceIO
import Testing

@testable import SluiceEngine

/// Stages of others whose work is not what they declare: the run ends with an error that names the stage, and reads and
/// writes no memory that is not its own.
@Suite struct LyingStageTests {
    /// Runs `stages` over six records, one in a block.
    private func run(_ stages: [StageSpec]) throws -> RunResult {
        let folder = try TemporaryFolder()
        let input = try FileSystem.local.create("\(folder.path)/in.jsonl")
        let lines = (1...6).map { "{\"n\":\($0)}\n" }.joined()
        try Array(lines.utf8).withUnsafeBytes { try input.write($0) }
        let definition = Definition(
            input: InputSpec(files: ["\(folder.path)/in.jsonl"]), stages: stages,
            output: OutputSpec(directory: "\(folder.path)/out"))
        var options = RunOptions(threads: 2)
        options.blockBytes = 8
        let registry = Registry([Maker.self, Chooser.self, Taker.self])
        return try Run(definition, registry: registry, options: options).run()
    }

    private func fault(_ stages: [StageSpec]) throws -> String {
        let error = try #require(throws: EngineError.self) { _ = try run(stages) }
        #expect(error.code == .fault, "\(error)")
        return error.message
    }

    @Test func honestStagesRun() throws {
        #expect(try run([StageSpec("maker", ["lie": ""]), StageSpec("chooser", ["lie": ""])]).kept == 2)
        // Asked for twice, a column is gathered once.
        #expect(try run([StageSpec("maker", ["lie": ""]), StageSpec("chooser", ["lie": "a column twice"])]).kept == 2)
    }

    @Test(arguments: [
        ("too few rows", "writes `number` with 0 rows in a block of 1 records"),
        ("another type", "declares `number` as integers and writes reals"),
        ("another dimension", "declares `vector` as vectors of 16 components and writes vectors of 8 components"),
        ("odd components", "writes `vector` with 17 components for 1 vectors of 16"),
        ("another column", "writes `other` and does not declare it in `writes`"),
        ("nothing", "declares that it writes `number` but does not write it"),
        ("nothing in one block", "declares that it writes `number` but does not write it"),
    ])
    func aTransformWritesWhatItDeclares(lie: String, message: String) throws {
        for follower in ["chooser", "taker"] {
            let found = try fault([StageSpec("maker", ["lie": .text(lie)]), StageSpec(follower, ["lie": ""])])
            #expect(found == "stage `maker` \(message); this is a defect of the stage")
        }
    }

    @Test(arguments: [
        ("reads vectors as integers", "the column `vector` holds vectors of 16 components, not integers"),
        ("reads vectors as reals", "the column `vector` holds vectors of 16 components, not integers or reals"),
        ("reads vectors as numbers", "the column `vector` holds vectors of 16 components, not integers or reals"),
        ("reads integers as reals", "the column `number` holds integers, not reals"),
        ("reads integers as vectors", "the column `number` holds integers, not vectors"),
        ("reads what it did not ask for", "there is no column `real`"),
        ("reads a row past the end", "row 6 is out of range; the group has 6 rows, from 0"),
        ("reads a row before the first", "row -1 is out of range"),
        ("too few ranks", "`ranks` has 5 rows for the group of 6 records"),
        ("too many ranks", "`ranks` has 7 rows for the group of 6 records"),
        ("equal ranks", "the ranks of the kept records of the group are not 0 to 1, each once, with -1 for the others"),
        ("ranks from one", "the ranks of the kept records of the group are not 0 to 1, each once"),
        ("a rank below -1", "the ranks of the kept records of the group are not 0 to 1, each once"),
        ("more than the quota", "the group keeps 3 records where its quota is 2 of 6"),
        ("fewer than the quota", "the group keeps 1 records where its quota is 2 of 6"),
        ("a quota beyond the size", "`quotas` gives 7 for a group of 6 records; it must be from 0 to 6"),
        ("two quotas", "`quotas` gives 2 numbers for 1 groups"),
        ("a partner outside", "a record of the group has the partner 99, which is not a row of it"),
        ("a partner that left", "a record of the group lost to one that was not kept"),
        ("too few measures", "the measure `score` has 1 values for 6 records"),
        (
            "a measure that is a key",
            "a measure is named `line`, which is reserved: every line of the ledger has that key"
        ),
        (
            "a report with a key of the engine",
            "its report has the key `out`, which is reserved: every stage in `run.json` has that key"
        ),
        ("a report with a key twice", "its report has the key `chosen` twice"),
        ("a report with a key twice inside", "its report has the key `a` twice"),
        ("a report that is a number", "its report is not an object"),
        ("groups by what it does not declare", "groups by the column `hidden`, which the stage does not declare"),
        (
            "groups by reals",
            "groups by the column `real`, which may hold reals by its `reads`; it must hold bytes or integers"
        ),
        ("asks for what it does not declare", "asks for the column `hidden`, which the stage does not declare"),
        ("groups by a label that it does not declare", "groups by the label `n`, which the stage does not declare"),
        ("weighs by reals", "weighs groups by the column `real`, which may hold reals by its `reads`; it must hold"),
        ("declares a column too many", "declares that it writes `gain`, and its selection writes only `rank` and its"),
        ("writes an undeclared column", "writes `loss` as reals, which the stage does not declare in `writes`"),
        ("leaves a column out", "the outcome of the group must have the column `gain` once"),
        ("writes a column twice", "the outcome of the group must have the column `gain` once"),
        ("writes another type", "the column `gain` of the group holds integers, not reals"),
        ("writes too few rows", "the column `gain` has 5 rows for the group of 6 records"),
        ("writes another column", "the outcome of the group has the column `loss`, which `outcomeColumns` does not"),
        ("asks for bytes", "asks for the column `bytes`, which may hold bytes by its `reads`"),
    ])
    func aSelectionDoesWhatItDeclares(lie: String, message: String) throws {
        let found = try fault([StageSpec("maker", ["lie": ""]), StageSpec("chooser", ["lie": .text(lie)])])
        #expect(found.contains("stage `chooser`") && found.contains(message), "\(found)")
    }

    /// In the first pass and after it a stage is given what it declares.
    @Test(arguments: [false, true]) func aStageIsGivenNothingElse(isLater: Bool) throws {
        let chooser = isLater ? [StageSpec("chooser", ["lie": ""])] : []
        let found = try fault(
            [StageSpec("maker", ["lie": ""])] + chooser + [StageSpec("taker", ["lie": "undeclared column"])])
        #expect(found.contains("stage `taker`: there is no column `real` of reals; does the stage declare"), "\(found)")
        #expect(
            try run([StageSpec("maker", ["lie": ""])] + chooser + [StageSpec("taker", ["lie": "undeclared field"])])
                .kept == (isLater ? 2 : 6))
    }

    @Test func anErrorOverARecordNamesItsLine() throws {
        let error = try #require(throws: EngineError.self) {
            _ = try run([StageSpec("maker", ["lie": ""]), StageSpec("taker", ["lie": "fails at a record"])])
        }
        #expect(error.code == .data && error.culprit?.stage == "taker" && error.culprit?.ordinal?.line == 4)
        #expect(error.message.hasSuffix("in.jsonl:4: stage `taker`: no good"), "\(error)")
    }

    @Test func linesBeyondWhatAnOrdinalHoldsAreRefused() throws {
        try InputLane.checkLine(UInt64(Ordinal.maximumLine), of: "a")
        #expect(throws: EngineError.self) { try InputLane.checkLine(UInt64(Ordinal.maximumLine) + 1, of: "a") }
    }
}

private let lieOption = OptionSpec("lie", .text, isRequired: true, help: "What to do wrong.", example: "none")

/// Writes a column of each type.
private struct Maker: Stage, Transform {
    static let descriptor = Descriptor(name: "maker", summary: "Makes columns.", options: [lieOption])
    let lie: String
    init(options: OptionValues) throws(StageError) { lie = try options.text("lie") }
    let reads: [Input] = [.field("n")]
    let writes = [
        ColumnSpec("number", .integer), ColumnSpec("real", .real), ColumnSpec("vector", .vector(dimension: 16)),
        ColumnSpec("bytes", .bytes), ColumnSpec("hidden", .integer),
    ]

    func apply(to block: inout Block) throws(StageError) {
        let (count, numbers) = (block.count, block.ordinals.map { Int64($0.line) })
        let dimension = lie == "another dimension" ? 8 : 16
        let odd = lie == "odd components" ? 1 : 0
        var bytes = BytesColumn()
        for _ in 0..<count { bytes.append([1]) }
        block.write("real", .reals(numbers.map { Double($0) }))
        block.write("bytes", .bytes(bytes))
        block.write("hidden", .integers(numbers))
        block.write(
            "vector",
            .vectors(VectorColumn(dimension: dimension, values: Array(repeating: 1, count: count * dimension + odd))))
        switch lie {
        case "too few rows": block.write("number", .integers(Array(numbers.dropLast())))
        case "another type": block.write("number", .reals(numbers.map { Double($0) }))
        case "nothing": break
        case "nothing in one block": if numbers.first != 3 { block.write("number", .integers(numbers)) }
        default: block.write("number", .integers(numbers))
        }
        if lie == "another column" { block.write("other", .integers(numbers)) }
    }
}

/// Keeps two records.
private struct Chooser: Stage, Selection {
    static let descriptor = Descriptor(name: "chooser", summary: "Keeps two.", options: [lieOption])
    let lie: String
    init(options: OptionValues) throws(StageError) { lie = try options.text("lie") }

    var reads: [Input] {
        [.column("number", .integer), .column("vector", .vector)]
            + (["groups by reals", "weighs by reals"].contains(lie) ? [.column("real", .real)] : [])
            + (lie == "asks for bytes" ? [.column("bytes", .bytes)] : [])
    }
    let writes = [ColumnSpec(.rank, .integer), ColumnSpec("gain", .real)]
    var outcomeColumns: [ColumnSpec] {
        switch lie {
        case "declares a column too many": []
        case "writes an undeclared column": [ColumnSpec("gain", .real), ColumnSpec("loss", .real)]
        default: [ColumnSpec("gain", .real)]
        }
    }
    var weights: ColumnName? { lie == "weighs by reals" ? "real" : "number" }
    var grouping: Grouping {
        switch lie {
        case "groups by a label that it does not declare": .label("n")
        case "groups by what it does not declare": .by("hidden")
        case "groups by reals": .by("real")
        default: .all
        }
    }
    var columns: [ColumnName] {
        switch lie {
        case "a column twice": ["number", "vector", "vector", "number"]
        case "asks for what it does not declare": ["number", "hidden"]
        case "asks for bytes": ["bytes"]
        default: ["number", "vector"]
        }
    }

    func quotas(for groups: Groups) -> [Int] {
        let sizes = groups.sizes
        // The numbers of all lines, in every honest run.
        guard groups.map(\.weight) == [21] else { return [] }
        return switch lie {
        case "a quota beyond the size": sizes.map { $0 + 1 }
        case "two quotas": [1, 1]
        default: sizes.map { min($0, 2) }
        }
    }

    func memory(rows: Int, _ context: StageContext) -> Int { 64 * rows }

    func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
        switch lie {
        case "reads vectors as integers": _ = try group.integers("vector")
        case "reads vectors as reals": _ = try group.reals("vector")
        case "reads vectors as numbers": _ = try group.numbers("vector")
        case "reads integers as reals": _ = try group.reals("number")
        case "reads integers as vectors": _ = try group.vectors("number")
        case "reads what it did not ask for": _ = try group.reals("real")
        case "reads a row past the end": _ = try group.vectors("vector").row(6)
        case "reads a row before the first": _ = try group.vectors("vector").row(-1)
        default: break
        }
        guard try group.integers("number") == Array(1...6), try group.vectors("vector").row(5).count == 16 else {
            throw StageError(.invalidData, "the columns are not what was written")
        }
        var outcome = GroupOutcome(ranks: [0, 1, -1, -1, -1, -1], reason: "not-chosen")
        outcome.columns = [("gain", .reals([6, 5, 4, 3, 2, 1]))]
        switch lie {
        case "leaves a column out": outcome.columns = []
        case "writes a column twice": outcome.columns += outcome.columns
        case "writes another type": outcome.columns = [("gain", .integers([6, 5, 4, 3, 2, 1]))]
        case "writes too few rows": outcome.columns = [("gain", .reals([6, 5, 4, 3, 2]))]
        case "writes another column": outcome.columns.append(("loss", .reals([6, 5, 4, 3, 2, 1])))
        case "too few ranks": outcome.ranks.removeLast()
        case "too many ranks": outcome.ranks.append(-1)
        case "equal ranks": outcome.ranks[1] = 0
        case "ranks from one": outcome.ranks[0] = 2
        case "a rank below -1": outcome.ranks[5] = -2
        case "more than the quota": outcome.ranks[5] = 2
        case "fewer than the quota": outcome.ranks[1] = -1
        case "a partner outside": outcome.partners = [-1, -1, 99, 0, 0, 0]
        case "a partner that left": outcome.partners = [-1, -1, 3, 0, 0, 0]
        case "too few measures": outcome.measures = [("score", [1])]
        case "a measure that is a key": outcome.measures = [("line", [1, 2, 3, 4, 5, 6])]
        default: break
        }
        return outcome
    }

    func report(_ groups: GroupReports) -> JSONValue {
        switch lie {
        case "a report with a key of the engine": ["chosen": 2, "out": 9]
        case "a report with a key twice": ["chosen": 2, "chosen": 3]
        case "a report with a key twice inside": ["chosen": [["a": 1, "a": 2]]]
        case "a report that is a number": 2
        default: [:]
        }
    }
}

/// Reads `number`.
private struct Taker: Stage, Transform {
    static let descriptor = Descriptor(name: "taker", summary: "Reads a column.", options: [lieOption])
    let lie: String
    init(options: OptionValues) throws(StageError) { lie = try options.text("lie") }
    let reads: [Input] = [.column("number", .integer), .column("vector", .vector)]
    let writes: [ColumnSpec] = []

    func apply(to block: inout Block) throws(StageError) {
        _ = try block.integers("number")
        switch lie {
        case "undeclared column": _ = try block.reals("real")
        case "undeclared field":
            let field = block.field("n")
            for record in block.live where field[record] != .missing { block.drop(record, reason: "seen") }
        case "fails at a record":
            if let ordinal = block.ordinals.first(where: { $0.line == 4 }) {
                throw StageError(.invalidData, "no good", ordinal: ordinal)
            }
        default: break
        }
    }
}
