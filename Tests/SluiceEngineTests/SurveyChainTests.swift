import SluiceCore
import SluiceIO
import SluiceTesting
import Synchronization
import Testing

@testable import SluiceEngine

/// A survey that leads to another survey, and that to a selection: the same bytes from one process, from tasks, and after
/// a stop.
@Suite struct SurveyChainTests {
    private static let lines = (0..<300).map { #"{"n":\#($0 * 7919 % 1009)}"# }

    private func definition(_ folder: TemporaryFolder, _ output: String, _ stages: [String]) -> Definition {
        Definition(
            memory: 256 << 20, input: InputSpec(files: ["\(folder.path)/in-*.jsonl"]),
            stages: stages.map { StageSpec($0) },
            output: OutputSpec(directory: "\(folder.path)/\(output)", annotate: ["value", "above"]))
    }

    private func folder() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        for file in 0..<3 {
            let lines = Self.lines[(100 * file)..<(100 * file + 100)].joined(separator: "\n") + "\n"
            try FileSystem.local.write(Array(lines.utf8), to: "\(folder.path)/in-\(file).jsonl")
        }
        return folder
    }

    private static func options(_ isStopped: @escaping @Sendable () -> Bool = { false }) -> RunOptions {
        var options = RunOptions(threads: 2)
        (options.blockBytes, options.partBytes, options.isStopped) = (200, 600, isStopped)
        return options
    }

    private let registry = Registry([Numbers.self, Narrowing.self, Wrong.self])

    @Test(arguments: [["numbers", "narrowing"], ["numbers", "narrowing", "numbers", "narrowing", "numbers"]])
    func tasksGoThroughAllRounds(stages: [String]) throws {
        let folder = try folder()
        let whole = try Run(definition(folder, "whole", stages), registry: registry, options: Self.options()).run()
        let tasks = try TaskRun.prepare(
            definition(folder, "tasks", stages), registry: registry, options: Self.options())
        #expect(tasks.tasks.count { $0.phase.hasPrefix("learn") } == 2 * stages.count { $0 == "narrowing" })
        for task in tasks.tasks { try tasks.perform(task) }
        for name in ["kept", "ledger", "quarantine"] {
            let files = try ["whole", "tasks"].map {
                try FileSystem.local.contents(of: "\(folder.path)/\($0)/\(name).jsonl.zst")
            }
            #expect(files[0] == files[1], "\(name)")
        }

        // Known answer: the numbers above the mean of those above the mean, and of these the ten largest.
        guard stages.count == 2 else { return }
        let numbers = Self.lines.indices.map { $0 * 7919 % 1009 }
        let above = numbers.filter { $0 * numbers.count > numbers.reduce(0, +) }
        let twice = above.filter { $0 * above.count > above.reduce(0, +) }
        let kept = try ComparedContentsTests.text("\(folder.path)/whole/kept.jsonl.zst")
            .compactMap { try JSONValue(json: Array($0.utf8))["n"]?.integerValue }
        #expect(kept.sorted() == Array(twice.sorted().suffix(10)) && whole.kept == 10)
    }

    /// Stopped again and again, each time a little later, and continued.
    @Test func stoppedRunsGoOn() throws {
        let folder = try folder()
        let stages = ["numbers", "narrowing"]
        _ = try Run(definition(folder, "whole", stages), registry: registry, options: Self.options()).run()
        var stops = 0
        var isComplete = false
        while !isComplete {
            let asked = Atomic(0)
            let most = 10 + 15 * stops
            var options = Self.options { asked.add(1, ordering: .relaxed).newValue > most }
            (options.resume, options.checkpointSeconds) = (stops > 0, 0)
            do {
                _ = try Run(definition(folder, "stopped", stages), registry: registry, options: options).run()
                isComplete = true
            } catch let error as EngineError {
                try #require(error.code == .stopped, "\(error)")
                stops += 1
            }
        }
        #expect(stops > 3)
        for name in ["kept", "ledger", "quarantine"] {
            let files = try ["whole", "stopped"].map {
                try FileSystem.local.contents(of: "\(folder.path)/\($0)/\(name).jsonl.zst")
            }
            #expect(files[0] == files[1], "\(name)")
        }
    }

    @Test func thePlanKnowsItsRounds() throws {
        let folder = try folder()
        let plan = try TaskRun.prepare(
            definition(folder, "out", ["numbers", "narrowing"]), registry: registry, options: Self.options())
        var phases: [String] = []
        for task in plan.tasks where phases.last != task.phase { phases.append(task.phase) }
        #expect(phases.count { $0.hasPrefix("observe") } == 2 && phases.count { $0.hasPrefix("select") } == 1)
    }

    @Test(arguments: [false, true]) func aSurveyThatLeadsElsewhereIsADefect(asTasks: Bool) throws {
        let folder = try folder()
        let definition = definition(folder, "out", ["numbers", "wrong"])
        let error = #expect(throws: EngineError.self) {
            guard asTasks else { return _ = try Run(definition, registry: registry, options: Self.options()).run() }
            let tasks = try TaskRun.prepare(definition, registry: registry, options: Self.options())
            for task in tasks.tasks { try tasks.perform(task) }
        }
        #expect(error?.code == .fault)
        #expect(error?.description.contains("leads to [] but led to [survey, selection]") == true, "\(error)")
    }

    @Test func theKitChecksIt() {
        let values: [ColumnName: Column] = ["value": .integers((0..<300).map { $0 * 7919 % 1009 })]
        #expect(StageContract.check(Narrowing.self, records: Self.lines, columns: values).isEmpty)
        let violations = StageContract.check(Wrong.self, records: Self.lines, columns: values)
        #expect(violations.contains { $0.rule == .leadsTo }, "\(violations)")
    }
}

/// Writes the field `n` as `value`.
private struct Numbers: Stage, Transform {
    static let descriptor = Descriptor(name: "numbers", summary: "Writes `value`.")
    init(options: OptionValues) {}
    let reads: [Input] = [.field("n")]
    let writes = [ColumnSpec("value", .integer)]
    func apply(to block: inout Block) {
        let field = block.field("n")
        let numbers = (0..<block.count).map { row -> Int64 in
            guard case .json(let digits) = field[row] else { return 0 }
            return digits.reduce(0) { 10 * $0 + Int64($1 - 48) }
        }
        block.write("value", .integers(numbers))
    }
}

/// The mean of a column; then drops what is not above it.
private struct Mean: Survey {
    /// How often the mean is taken, each time of what is left.
    let times: Int
    var leadsTo: [FurtherWork] { times > 1 ? [.survey] + Mean(times: times - 1).leadsTo : [.selection] }

    func memory(_ context: StageContext) -> SurveyMemory { SurveyMemory(summary: 24, finish: 0) }
    func makeSummary() -> [Int64] { [0, 0] }
    func observe(_ block: borrowing Block, into summary: inout [Int64]) throws(StageError) {
        let values = try block.integers("value")
        for record in block.live {
            summary[0] += values[record]
            summary[1] += 1
        }
    }
    func merge(_ other: [Int64], into summary: inout [Int64]) {
        for index in 0..<2 { summary[index] += other[index] }
    }
    func finish(_ summary: consuming [Int64], _ context: StageContext) -> SurveyResult<[Int64]> {
        SurveyResult(summary, report: ["sum\(times)": .integer(Int(summary[0]))])
    }
    func makeBody(_ outcome: [Int64], _ context: StageContext) -> StageBody {
        let above = StageBody.transform(Above(sum: outcome[0], count: outcome[1]))
        return .sequence([above, times > 1 ? .survey(Mean(times: times - 1)) : .selection(Largest())])
    }

    struct Above: Transform {
        let sum: Int64
        let count: Int64
        func apply(to block: inout Block) throws(StageError) {
            let values = try block.integers("value")
            block.write("above", .integers(values.map { $0 * count > sum ? 1 : 0 }))
            for record in block.live where values[record] * count <= sum {
                block.drop(record, reason: "not-above-the-mean")
            }
        }
    }

    struct Largest: Selection {
        let grouping = Grouping.all
        let columns: [ColumnName] = ["value"]
        func quotas(for groups: Groups) -> [Int] { groups.map { min(10, $0.size) } }
        func memory(rows: Int, _ context: StageContext) -> Int { 64 * rows }
        func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
            let values = try group.integers("value")
            var outcome = GroupOutcome(
                ranks: [Int32](repeating: -1, count: group.count), reason: "not-among-the-largest")
            let order = values.indices.sorted { (values[$0], $1) > (values[$1], $0) }
            for (rank, row) in order.prefix(quota).enumerated() { outcome.ranks[row] = Int32(rank) }
            return outcome
        }
        func report(_ groups: GroupReports) -> JSONValue { ["groups": .integer(groups.count)] }
    }
}

/// Keeps what is above the mean, twice, and of that the largest.
private struct Narrowing: Stage {
    static let descriptor = Descriptor(name: "narrowing", summary: "Two surveys and a selection.")
    init(options: OptionValues) {}
    let reads: [Input] = [.column("value", .integer)]
    let writes = [ColumnSpec("above", .integer)]
    func body(_ context: StageContext) -> StageBody { .survey(Mean(times: 2)) }
}

/// Leads to a survey, and doesn't say so.
private struct Wrong: Stage, Survey {
    static let descriptor = Descriptor(name: "wrong", summary: "A survey that leads to another one.")
    init(options: OptionValues) {}
    let reads: [Input] = [.column("value", .integer)]
    let writes = [ColumnSpec("above", .integer)]
    func memory(_ context: StageContext) -> SurveyMemory { SurveyMemory(summary: 24, finish: 0) }
    func makeSummary() -> [Int64] { [] }
    func observe(_ block: borrowing Block, into summary: inout [Int64]) {}
    func merge(_ other: [Int64], into summary: inout [Int64]) {}
    func finish(_ summary: consuming [Int64], _ context: StageContext) -> SurveyResult<[Int64]> { SurveyResult([]) }
    func makeBody(_ outcome: [Int64], _ context: StageContext) -> StageBody { .survey(Mean(times: 1)) }
}
