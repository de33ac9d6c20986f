import SluiceCore
import SluiceEngine
import SluiceIO
import Synchronization
import Testing

/// A run that is stopped in the work over the kept columns goes on with the shards that are missing, and what a survey
/// learned is not learned again.
@Suite(.serialized) struct RoundResumeTests {
    /// Six lines in six shards: every stage sees each line once however often the run is stopped, but for the shard that
    /// was under way.
    @Test(arguments: [1, 3]) func aStoppedRunGoesOnByTheShard(threads: Int) throws {
        let bench = try Bench(threads: threads)
        let whole = try bench.run("whole")
        #expect(bench.sums(whole) == [21, 210, 2100])
        let seen = Counts.take()
        #expect(seen.transformed == 12 && seen.observed == 18)

        var stops = 0
        var total = Counts()
        for _ in 0..<100 {
            // Enough for one survey and a shard: a survey that is stopped observes all records again.
            Counts.allow(9)
            let result: RunResult?
            do { result = try bench.run("out", resume: stops > 0, isStopped: { Counts.isUsedUp }) } catch {
                #expect((error as? EngineError)?.code == .stopped)
                result = nil
            }
            let seen = Counts.take()
            (total.transformed, total.observed) = (
                total.transformed + seen.transformed, total.observed + seen.observed
            )
            guard let result else {
                stops += 1
                continue
            }
            #expect(bench.sums(result) == bench.sums(whole))
            #expect(try bench.kept("out") == bench.kept("whole"))
            #expect(stops >= 2)
            // A stop loses what was under way: with several threads that is a block of each.
            #expect(total.transformed <= 12 + stops * threads * 2)
            return
        }
        Issue.record("the run made no progress")
    }

    /// After the last survey, a resumed run surveys nothing again.
    @Test func whatASurveyLearnedIsKept() throws {
        let bench = try Bench(threads: 1)
        Counts.allow(18 + 12 + 1)
        #expect(throws: EngineError.self) {
            try bench.run("out", stages: Bench.stages + ["tenfold"], isStopped: { Counts.isUsedUp })
        }
        _ = Counts.take()
        let result = try bench.run("out", stages: Bench.stages + ["tenfold"], resume: true)
        #expect(bench.sums(result) == [21, 210, 2100])
        #expect(Counts.take().observed == 0)
    }

    /// A damaged state is refused by name, not used.
    @Test func aDamagedStateIsRefused() throws {
        let bench = try Bench(threads: 1)
        Counts.allow(18 + 12 + 1)
        #expect(throws: EngineError.self) {
            try bench.run("out", stages: Bench.stages + ["tenfold"], isStopped: { Counts.isUsedUp })
        }
        for name in ["round-2.0-0", "outcome-1"] {
            let path = "\(bench.folder.path)/out/work/\(name)"
            let good = try FileSystem.local.contents(of: path)
            for place in stride(from: 0, to: good.count, by: 7) {
                var bad = good
                bad[place] ^= 4
                try FileSystem.local.write(bad, to: path)
                let error = #expect(throws: EngineError.self) {
                    try bench.run("out", stages: Bench.stages + ["tenfold"], resume: true)
                }
                #expect(error?.message.contains(name) ?? false, "\(error?.message ?? "")")
            }
            try FileSystem.local.write(good, to: path)
        }
        #expect(bench.sums(try bench.run("out", stages: Bench.stages + ["tenfold"], resume: true)) == [21, 210, 2100])
    }
}

/// Runs a definition whose stages count what they see.
private struct Bench {
    let folder: TemporaryFolder
    let threads: Int
    static let stages = ["number", "sum", "tenfold", "sum", "tenfold", "sum"]

    init(threads: Int) throws {
        self.threads = threads
        folder = try TemporaryFolder()
        let input = try FileSystem.local.create("\(folder.path)/in.jsonl")
        try Array((1...6).map { "{\"n\":\($0)}\n" }.joined().utf8).withUnsafeBytes { try input.write($0) }
        _ = Counts.take()
        Counts.allow(.max)
    }

    func run(
        _ output: String, stages: [String] = Bench.stages, resume: Bool = false,
        isStopped: @escaping @Sendable () -> Bool = { false }
    ) throws -> RunResult {
        let definition = Definition(
            input: InputSpec(files: ["\(folder.path)/in.jsonl"]), stages: stages.map { StageSpec($0) },
            output: OutputSpec(directory: "\(folder.path)/\(output)", annotate: ["value"]))
        var options = RunOptions(threads: threads)
        options.resume = resume
        options.isStopped = isStopped
        options.segmentBytes = 5
        options.blockBytes = 5
        let registry = Registry([Number.self, CountingSum.self, CountingTenfold.self])
        return try Run(definition, registry: registry, options: options).run()
    }

    func sums(_ result: RunResult) -> [Int] {
        (result.manifest["stages"]?.elements ?? []).compactMap { $0["sum"]?.integerValue }
    }

    func kept(_ name: String) throws -> [UInt8] {
        try FileSystem.local.contents(of: "\(folder.path)/\(name)/kept.jsonl.zst")
    }
}

/// How many records the stages saw, and how many more they may see until the run is stopped.
private struct Counts {
    var transformed = 0
    var observed = 0

    private static let counts = Mutex((seen: Counts(), left: Int.max))

    static func count(transformed: Int = 0, observed: Int = 0) {
        counts.withLock {
            $0.seen.transformed += transformed
            $0.seen.observed += observed
            $0.left -= transformed + observed
        }
    }

    static func allow(_ count: Int) { counts.withLock { $0.left = count } }
    static var isUsedUp: Bool { counts.withLock { $0.left <= 0 } }

    static func take() -> Counts {
        counts.withLock { counts in
            defer { counts = (Counts(), .max) }
            return counts.seen
        }
    }
}

private struct Number: Stage, Transform {
    static let descriptor = Descriptor(name: "number", summary: "Writes `value`.")
    init(options: OptionValues) {}
    let reads: [Input] = []
    let writes = [ColumnSpec("value", .integer)]
    func apply(to block: inout Block) { block.write("value", .integers(block.ordinals.map { Int64($0.line) })) }
}

private struct CountingTenfold: Stage, Transform {
    static let descriptor = Descriptor(name: "tenfold", summary: "Reads and writes `value`.")
    init(options: OptionValues) {}
    let reads: [Input] = [.column("value", .integer)]
    let writes = [ColumnSpec("value", .integer)]
    func apply(to block: inout Block) throws(StageError) {
        Counts.count(transformed: block.live.count)
        block.write("value", .integers(try block.integers("value").map { 10 * $0 }))
    }
}

private struct CountingSum: Stage, Survey {
    static let descriptor = Descriptor(name: "sum", summary: "Sums `value`.")
    init(options: OptionValues) {}
    let reads: [Input] = [.column("value", .integer)]
    let writes: [ColumnSpec] = []
    func memory(_ context: StageContext) -> SurveyMemory { SurveyMemory(summary: 8, finish: 0) }
    func makeSummary() -> Int64 { 0 }
    func observe(_ block: borrowing Block, into summary: inout Int64) throws(StageError) {
        let values = try block.integers("value")
        Counts.count(observed: block.live.count)
        for record in block.live { summary += values[record] }
    }
    func merge(_ other: Int64, into summary: inout Int64) { summary += other }
    func finish(_ summary: consuming Int64, _ context: StageContext) -> SurveyResult<Bool> {
        SurveyResult(true, report: ["sum": .integer(Int(summary))])
    }
    func makeBody(_ outcome: Bool, _ context: StageContext) -> StageBody { .sequence([]) }
}
