import SluiceCore
import SluiceTesting
import Synchronization
import Testing

/// Correct stages pass the kit, and it detects a stage that breaks one rule.
@Suite struct ContractKitTests {
    private static let records = (0..<40).map { index in
        let prompt = String(repeating: "word ", count: index * 7 % 5) + "end \(index)"
        let label = index % 3 == 0 ? #","label":"x""# : ""
        return index == 17 ? #"{"completion":"only"}"# : #"{"prompt":"\#(prompt)","meta":{"n":\#(index)}\#(label)}"#
    }

    private static let columns: [ColumnName: Column] = [
        "label": .integers(records.indices.map { Int64($0 % 3) }),
        "embedding": .vectors(
            VectorColumn(dimension: 2, values: records.indices.flatMap { [Int8($0 * 37 % 101), Int8($0 % 7)] })),
    ]

    private func check(_ stage: any Stage.Type, _ options: OptionValues = [:]) -> [Violation] {
        StageContract.check(stage, options: options, records: Self.records, columns: Self.columns)
    }

    @Test func goodStagesPass() {
        #expect(check(Lengths.self) == [])
        #expect(check(AboveMean.self) == [])
        #expect(check(Best.self) == [])
        #expect(check(Best.self, ["keep": 0]) == [])
        #expect(check(Best.self, ["keep": "100%"]) == [])
        #expect(check(Chain.self) == [])
    }

    @Test(arguments: [
        ("keeps state", Violation.Rule.repeats), ("draws at random", .repeats), ("looks at the block", .blocks),
        ("first of a block", .blocks), ("reads another field", .reads), ("reads the line", .reads),
        ("reads a column", .reads), ("needs a column", .reads), ("writes something else", .writes),
        ("changes what it reads", .writes), ("writes nothing", .writes), ("another type", .writes),
        ("another dimension", .writes), ("too few rows", .writes), ("no reason", .drops),
        ("a sentence for a reason", .drops), ("a measure that is no number", .drops),
        ("looks at the line number", .ordinals), ("fails on nothing", .empty), ("fails", .works),
        ("reads another type", .reads), ("asks for a column that is not there", .reads),
        ("asks for a field that is not there", .reads), ("a path for a name", .writes),
        ("a name of the engine", .writes), ("a key of picks", .writes), ("a column twice", .writes),
        ("another type than a column before it", .writes), ("a measure that is a key", .drops),
    ])
    func aBrokenTransformIsCaught(fault: String, rule: Violation.Rule) {
        let violations = check(Lengths.self, ["fault": .text(fault)])
        #expect(violations.contains { $0.rule == rule }, "\(violations)")
    }

    @Test(arguments: [
        ("counts the dead", Violation.Rule.reads), ("counts blocks", .blocks), ("counts merges", .merges),
        ("last one wins", .merges), ("first one wins", .merges), ("sums reals", .merges), ("counts threads", .threads),
        ("bends to memory", .memory), ("declares nothing", .memory), ("needs a record", .empty),
        ("forgets to merge", .merges),
        ("forgets to write", .bytes),
    ])
    func aBrokenSurveyIsCaught(fault: String, rule: Violation.Rule) {
        let violations = check(AboveMean.self, ["fault": .text(fault)])
        #expect(violations.contains { $0.rule == rule }, "\(violations)")
    }

    @Test(arguments: [
        ("declares too little", Violation.Rule.reads), ("quota beyond the size", .selection),
        ("one quota too few", .selection), ("ranks from one", .selection), ("two first ranks", .selection),
        ("too many", .selection), ("too few", .selection), ("too few rows", .selection),
        ("a dropped partner", .selection), ("a partner outside", .selection), ("a partner for a kept one", .selection),
        ("an infinite measure", .drops), ("a measure too few", .selection), ("no reason", .drops),
        ("needs resident vectors", .memory), ("needs less for more", .memory), ("fails on nothing", .empty),
        ("groups by any number", .reads), ("chooses by anything", .reads), ("a rank of reals", .writes),
        ("writes more than ranks", .writes), ("asks for a column that it does not name", .reads),
        ("a measure that is a key", .selection), ("a report with a key of the engine", .report),
        ("a report with a key twice", .report), ("a report that is a list", .report),
    ])
    func aBrokenSelectionIsCaught(fault: String, rule: Violation.Rule) {
        let violations = check(Best.self, ["fault": .text(fault)])
        #expect(violations.contains { $0.rule == rule }, "\(violations)")
    }

    @Test func aBadDescriptorIsCaught() {
        let violations = check(BadlyDescribed.self, ["size": 1])
        #expect(violations.filter { $0.rule == .descriptor }.count == 7, "\(violations)")
    }

    @Test func sentencesSayWhatHappened() {
        #expect(
            check(Lengths.self, ["fault": "another type"]).first?.description
                == "writes: the stage declares `length` as reals and writes integers")
        #expect(
            check(Lengths.self, ["fault": "asks for a field that is not there"]).map(\.message) == [
                "the stage asks for the field `nowhere`, which it does not declare. Add `.field(\"nowhere\")` to `reads`"
            ])
        #expect(
            check(AboveMean.self, ["fault": "forgets to merge"]).first { $0.rule == .merges }?.message.hasPrefix(
                "merging into an empty summary lost something") == true)
        #expect(
            check(Best.self, ["fault": "writes more than ranks"]).first?.message
                == "the stage declares that it writes `top_rank`, and its selection writes only `rank` and its `outcomeColumns`"
        )
        #expect(
            check(AboveMean.self, ["fault": "counts threads"]).map(\.description) == [
                "threads: with 2 threads and blocks of 7 in another order the report differs: [1].threads: 1 → 2. The result must not depend on how many threads there are and which of them comes first"
            ])
        #expect(
            check(Lengths.self, ["fault": "needs a column"]).map(\.message).first
                == "the stage asks for the column `label`, which it does not declare. Add `.column(\"label\", .integer)` to `reads`"
        )
    }

    @Test func wrongOptionsAndRecordsAreNamed() {
        #expect(
            check(Best.self, ["kep": 1]).map(\.message) == [
                "unknown option `kep` of stage `best`; did you mean `keep`?"
            ])
        #expect(StageContract.check(Lengths.self, records: ["[1]"]).first?.rule == .works)
    }

    @Test func upstreamStagesGiveTheirColumns() {
        let registry = Registry([Lengths.self, Chain.self])
        let violations = StageContract.check(
            Best.self, records: Self.records, columns: ["embedding": Self.columns["embedding"]!],
            after: [StageSpec("lengths"), StageSpec("chain")], registry: registry)
        #expect(violations == [])
    }
}

@Suite struct InMemoryTests {
    @Test func runsStages() throws {
        let registry = Registry([Lengths.self, AboveMean.self])
        let run = try InMemoryRun(
            [StageSpec("lengths"), StageSpec("above-mean")], registry: registry,
            records: [#"{"prompt":"abcdef"}"#, #"{"prompt":"abc"}"#, "{}", #"{"prompt":"abcdefghijkl"}"#])
        #expect(run.kept == [0])
        #expect(run.lines == [#"{"prompt":"abcdef"}"#])
        #expect(run.losses.map(\.record) == [1, 2, 3])
        #expect(run.losses.map(\.reason) == ["too-short", "missing-prompt", "above-mean"])
        #expect(run.losses.map(\.stage) == [0, 0, 1])
        #expect(run.column("length") == .integers([6]))
        #expect(run.reports == [[], [["mean": 9]]])
        #expect(throws: Problem.self) { try InMemoryRun([StageSpec("x")], registry: registry, records: []) }
        let short: [ColumnName: Column] = ["label": .integers([1])]
        #expect(throws: Problem("the column `label` has 1 rows for 2 records")) {
            try InMemoryRun(Lengths.self, records: ["{}", "{}"], columns: short)
        }
    }

    @Test func fieldsAreTakenApartAsAReaderDoes() throws {
        let records = try InMemoryRecords([
            #"{"a":{"b":"x\n","c":[1, 2]},"a":{"b":"second"},"n":null,"d.e":1.50}"#,
            #"{"messages":[{"role":"user","content":"hi"}]}"#,
            #"{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"r"}]}"#,
        ])
        let block = records.block(fields: ["a.b", "a.c", "n", "d\\.e", "missing", .chat], lines: true)
        func text(_ path: FieldPath) -> String? {
            block.field(path)[0].string.map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(text("a.b") == "x\n")
        #expect(block.field("a.c")[0] == .json(Array("[1, 2]".utf8)[...]))
        #expect(block.field("n")[0] == .null)
        #expect(block.field("d\\.e")[0] == .json(Array("1.50".utf8)[...]))
        #expect(block.field("missing")[0] == .missing && block.field("undeclared")[0] == .missing)
        #expect(block.field(.chat)[0] == .missing)
        let speakers = [1, 2].map { row -> [String] in
            guard case .chat(let turns) = block.field(.chat)[row] else { return [] }
            return turns.map { String(decoding: $0.role, as: UTF8.self) }
        }
        #expect(speakers == [["user"], ["user", "assistant"]])
        #expect(block.lines?.count == 3)
    }

    @Test(arguments: [1, 2, 8]) func threadsDoEveryPieceOnce(width: Int) {
        let done = Mutex<[Int]>(Array(repeating: 0, count: 100))
        let parallel = Parallel.threads(width)
        parallel(10) { piece in
            parallel(10) { inner in done.withLock { $0[10 * piece + inner] += 1 } }
        }
        #expect(done.withLock { $0 } == Array(repeating: 1, count: 100))
    }
}
