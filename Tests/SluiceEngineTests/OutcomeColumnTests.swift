import SluiceCore
import SluiceIO
import SluiceTesting
import Synchronization
import Testing

@testable import SluiceEngine

/// A selection by label with columns of its own and weights: later stages, `annotate` and `picks` read what it wrote,
/// also after a stop.
@Suite struct OutcomeColumnTests {
    private static let lines = (1...90).map { number in
        let label = number % 9 == 0 ? "" : #","l":"\#(["b", "a", "ü"][number % 3])""#
        return #"{"n":\#(number)\#(label)}"#
    }

    @Test(arguments: [20, 100, 100_000]) func laterWorkReadsThem(segmentBytes: Int) throws {
        let folder = try TemporaryFolder()
        let input = try FileSystem.local.create("\(folder.path)/in.jsonl")
        try Array(Self.lines.map { $0 + "\n" }.joined().utf8).withUnsafeBytes { try input.write($0) }
        func run(
            _ output: String, threads: Int, isStopped: @escaping @Sendable () -> Bool = { false }, resume: Bool = false
        )
            throws -> RunResult
        {
            let definition = Definition(
                input: InputSpec(files: ["\(folder.path)/in.jsonl"]),
                stages: ["heaviest", "check-gains"].map { StageSpec($0) },
                output: OutputSpec(directory: "\(folder.path)/\(output)", annotate: ["gain", "place", "rank"]))
            var options = RunOptions(threads: threads)
            (options.resume, options.isStopped) = (resume, isStopped)
            (options.segmentBytes, options.blockBytes) = (segmentBytes, 10)
            return try Run(definition, registry: Registry([Heaviest.self, Checker.self]), options: options).run()
        }
        let whole = try run("whole", threads: 1)
        // Half the records of each label, those with the highest numbers: their gain is n + 1/2.
        let kept = try ComparedContentsTests.text("\(folder.path)/whole/kept.jsonl.zst").map {
            try JSONValue(json: Array($0.utf8))
        }
        #expect(kept.count == whole.kept && whole.kept == 45)
        for label in [nil, "a", "b", "ü"] {
            let all = try Self.lines.map { try JSONValue(json: Array($0.utf8)) }
                .filter { $0["l"]?.textValue == label }.compactMap { $0["n"]?.integerValue }
            let chosen = kept.filter { $0["l"]?.textValue == label }
            #expect(chosen.compactMap { $0["n"]?.integerValue } == all.sorted().suffix(all.count / 2).sorted())
            for record in chosen {
                let number = try #require(record["n"]?.integerValue)
                #expect(record["_sluice"]?["gain"]?.realValue == Double(number) + 0.5)
                #expect(record["_sluice"]?["place"]?.integerValue == all.firstIndex(of: number))
                #expect(record["_sluice"]?["rank"]?.integerValue == all.sorted(by: >).firstIndex(of: number))
            }
        }
        let weights = (whole.manifest["stages"]?.elements.first?["weights"]?.elements ?? []).compactMap(\.integerValue)
        #expect(weights.reduce(0, +) == 90 * 91 / 2 && weights.count == 4)

        Checker.wasReached.store(false, ordering: .relaxed)
        let stop = #expect(throws: EngineError.self) {
            _ = try run("out", threads: 2) { Checker.wasReached.load(ordering: .relaxed) }
        }
        #expect(stop?.code == .stopped)
        #expect(try run("out", threads: 2, resume: true).kept == whole.kept)
        for name in ["kept", "ledger", "picks"] {
            let files = try ["whole", "out"].map {
                try FileSystem.local.contents(of: "\(folder.path)/\($0)/\(name).jsonl.zst")
            }
            #expect(files[0] == files[1], "\(name)")
        }
    }

    /// The contract kit forms the same groups, weighs them, and gives later stages the columns.
    @Test func theKitRunsIt() {
        let violations = StageContract.check(Heaviest.self, records: Self.lines)
        #expect(violations.isEmpty, "\(violations)")
    }
}

/// Keeps the half of each label with the highest numbers.
private struct Heaviest: Stage {
    static let descriptor = Descriptor(name: "heaviest", summary: "Keeps the highest numbers of each label.")
    init(options: OptionValues) {}
    let reads: [Input] = [.field("n"), .label("l")]
    let writes = [
        ColumnSpec("number", .integer), ColumnSpec(.rank, .integer), ColumnSpec("gain", .real),
        ColumnSpec("place", .integer),
    ]
    func body(_ context: StageContext) -> StageBody { .sequence([.transform(Numbers()), .selection(Choice())]) }

    struct Numbers: Transform {
        func apply(to block: inout Block) {
            let field = block.field("n")
            let numbers = (0..<block.count).map { row -> Int64 in
                guard case .json(let digits) = field[row] else { return 0 }
                return digits.reduce(0) { 10 * $0 + Int64($1 - 48) }
            }
            block.write("number", .integers(numbers))
        }
    }

    struct Choice: Selection {
        let grouping = Grouping.label("l")
        let columns: [ColumnName] = ["number"]
        var weights: ColumnName? { "number" }
        let outcomeColumns = [ColumnSpec("gain", .real), ColumnSpec("place", .integer)]

        func quotas(for groups: Groups) throws(StageError) -> [Int] {
            guard groups.allSatisfy({ ($0.weight ?? -1) >= $0.size || $0.size == 0 }) else {
                throw StageError(.invalidData, "a group weighs less than its records")
            }
            return groups.map { $0.size / 2 }
        }
        func memory(rows: Int, _ context: StageContext) -> Int { 64 * rows }
        func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
            let numbers = try group.integers("number")
            var outcome = GroupOutcome(ranks: [Int32](repeating: -1, count: group.count), reason: "too-light")
            let order = numbers.indices.sorted { numbers[$0] > numbers[$1] }
            for (rank, row) in order.prefix(quota).enumerated() { outcome.ranks[row] = Int32(rank) }
            outcome.columns = [
                ("gain", .reals(numbers.map { Double($0) + 0.5 })),
                ("place", .integers(numbers.indices.map { Int64($0) })),
            ]
            outcome.report = ["weight": .integer(numbers.reduce(0) { $0 + Int($1) })]
            return outcome
        }
        func report(_ groups: GroupReports) -> JSONValue {
            ["weights": .list(groups.map { $0.report["weight"] ?? .null })]
        }
    }
}

/// Fails for a gain that is not the record's.
private struct Checker: Stage, Transform {
    static let descriptor = Descriptor(name: "check-gains", summary: "Checks the gains.")
    static let wasReached = Atomic<Bool>(false)
    init(options: OptionValues) {}
    let reads: [Input] = [.column("number", .integer), .column("gain", .real)]
    let writes: [ColumnSpec] = []
    func apply(to block: inout Block) throws(StageError) {
        let (numbers, gains) = (try block.integers("number"), try block.reals("gain"))
        for record in block.live where gains[record] != Double(numbers[record]) + 0.5 {
            throw StageError(.invalidData, "a gain of another record", ordinal: block.ordinals[record])
        }
        Self.wasReached.store(true, ordering: .relaxed)
    }
}
