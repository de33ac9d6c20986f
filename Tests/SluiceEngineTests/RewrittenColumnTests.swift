import SluiceCore
import SluiceEngine
import SluiceIO
import Synchronization
import Testing

/// A later stage rewrites a column of the first pass, and the run stops after that: the stages before see the old
/// values.
@Suite struct RewrittenColumnTests {
    @Test func aRunGoesOnWithTheColumnsOfItsFirstPass() throws {
        let folder = try TemporaryFolder()
        let input = try FileSystem.local.create("\(folder.path)/in.jsonl")
        try Array((1...6).map { "{\"n\":\($0)}\n" }.joined().utf8).withUnsafeBytes { try input.write($0) }
        func run(_ output: String, isStopped: @escaping @Sendable () -> Bool, resume: Bool = false) throws -> RunResult
        {
            let definition = Definition(
                input: InputSpec(files: ["\(folder.path)/in.jsonl"]),
                stages: ["lines", "sum", "tenfold", "sum", "halt", "sum"].map { StageSpec($0) },
                output: OutputSpec(directory: "\(folder.path)/\(output)", annotate: ["value"]))
            var options = RunOptions(threads: 1)
            options.resume = resume
            options.isStopped = isStopped
            options.segmentBytes = 20
            options.blockBytes = 10
            let registry = Registry([Lines.self, Sum.self, Tenfold.self, Halt.self])
            return try Run(definition, registry: registry, options: options).run()
        }

        let whole = try run("whole", isStopped: { false })
        #expect(sums(whole) == [21, 210, 210])
        Halt.wasReached.store(false, ordering: .relaxed)
        let stop = #expect(throws: EngineError.self) {
            try run("out", isStopped: { Halt.wasReached.load(ordering: .relaxed) })
        }
        #expect(stop?.code == .stopped)
        let resumed = try run("out", isStopped: { false }, resume: true)
        #expect(sums(resumed) == sums(whole))
        #expect(try kept("out", folder) == kept("whole", folder))
    }

    private func sums(_ result: RunResult) -> [Int] {
        (result.manifest["stages"]?.elements ?? []).compactMap { $0["sum"]?.integerValue }
    }

    private func kept(_ name: String, _ folder: TemporaryFolder) throws -> [UInt8] {
        try FileSystem.local.contents(of: "\(folder.path)/\(name)/kept.jsonl.zst")
    }
}

/// Writes the line number.
private struct Lines: Stage, Transform {
    static let descriptor = Descriptor(name: "lines", summary: "Writes `value`.")
    init(options: OptionValues) {}
    let reads: [Input] = []
    let writes = [ColumnSpec("value", .integer)]
    func apply(to block: inout Block) { block.write("value", .integers(block.ordinals.map { Int64($0.line) })) }
}

/// Writes ten times the old value.
private struct Tenfold: Stage, Transform {
    static let descriptor = Descriptor(name: "tenfold", summary: "Reads and writes `value`.")
    init(options: OptionValues) {}
    let reads: [Input] = [.column("value", .integer)]
    let writes = [ColumnSpec("value", .integer)]
    func apply(to block: inout Block) throws(StageError) {
        block.write("value", .integers(try block.integers("value").map { 10 * $0 }))
    }
}

/// Records that it was called.
private struct Halt: Stage, Transform {
    static let descriptor = Descriptor(name: "halt", summary: "Is where the run stops.")
    static let wasReached = Atomic<Bool>(false)
    init(options: OptionValues) {}
    let reads: [Input] = []
    let writes: [ColumnSpec] = []
    func apply(to block: inout Block) { Self.wasReached.store(true, ordering: .relaxed) }
}

/// Reports the sum of `value`.
private struct Sum: Stage, Survey {
    static let descriptor = Descriptor(name: "sum", summary: "Sums `value`.")
    init(options: OptionValues) {}
    let reads: [Input] = [.column("value", .integer)]
    let writes: [ColumnSpec] = []
    func memory(_ context: StageContext) -> SurveyMemory { SurveyMemory(summary: 8, finish: 0) }
    func makeSummary() -> Int64 { 0 }
    func observe(_ block: borrowing Block, into summary: inout Int64) throws(StageError) {
        let values = try block.integers("value")
        for record in block.live { summary += values[record] }
    }
    func merge(_ other: Int64, into summary: inout Int64) { summary += other }
    func finish(_ summary: consuming Int64, _ context: StageContext) -> SurveyResult<Bool> {
        SurveyResult(true, report: ["sum": .integer(Int(summary))])
    }
    func makeBody(_ outcome: Bool, _ context: StageContext) -> StageBody { .sequence([]) }
}
