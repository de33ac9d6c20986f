import Glibc
import SluiceCore
import SluiceEngine
import SluiceIO
import SluiceTesting
import Synchronization
import Testing

/// Stages that ask a server on this machine, through the whole engine.
@Suite(.serialized) struct AskingTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func write(_ lines: [String]) throws {
        let input = try FileSystem.local.create("\(folder.path)/in.jsonl")
        try Array(lines.map { $0 + "\n" }.joined().utf8).withUnsafeBytes { try input.write($0) }
    }

    private func numbers(_ range: Range<Int>) -> [String] { range.map { #"{"q":"number \#($0)"}"# } }

    private func definition(
        _ output: String = "out", stages: [StageSpec], answers: String? = nil
    ) -> Definition {
        Definition(
            input: InputSpec(files: ["\(folder.path)/in.jsonl"]), stages: stages,
            output: OutputSpec(
                directory: "\(folder.path)/\(output)", annotate: ["verdict"], compression: .uncompressed),
            answers: answers.map { "\(folder.path)/\($0)" })
    }

    private func judge(_ server: AnswerServer, width: Int = 256, finishes: Bool = false) -> StageSpec {
        StageSpec(
            "judge",
            ["port": .integer(Int(server.port)), "width": .integer(width), "finishes": .flag(finishes)])
    }

    @discardableResult
    private func run(_ definition: Definition, _ change: (inout RunOptions) -> Void = { _ in }) throws -> RunResult {
        var options = RunOptions(threads: 2)
        options.blockBytes = 16 << 10
        change(&options)
        let registry = Registry([Judge.self, Tally.self, Even.self])
        return try Run(definition, registry: registry, options: options).run()
    }

    private func kept(_ output: String = "out") throws -> [String] {
        let bytes = try FileSystem.local.contents(of: "\(folder.path)/\(output)/kept.jsonl")
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    private func line(_ number: Int) -> String {
        let question = "number \(number)"
        return #"{"q":"\#(question)","_sluice":{"verdict":"\#(String(question.reversed()))"}}"#
    }

    private func asked(_ result: RunResult) -> Int? {
        result.manifest["timing"]?["answers"]?.elements.first?["asked"]?.integerValue
    }

    /// 256 requests of 200 ms in flight, two threads: all answers, in order, each question asked once. The rate is only
    /// printed, since other programs may be running; `SLUICE_QUESTIONS=12800` and a release build measure it.
    @Test func hundredsWaitAndTwoThreadsDoTheRest() throws {
        let server = try AnswerServer { _ in 200 }
        defer { server.close() }
        let most = getenv("SLUICE_QUESTIONS").flatMap { Int(String(cString: $0)) } ?? 2000
        try write(numbers(0..<most))
        let result = try run(definition(stages: [judge(server)]))
        #expect(result.kept == most / 10 * 9)
        #expect(try kept() == (0..<most).filter { $0 % 10 != 3 }.map(line))
        let counts = server.counts
        #expect(counts.asked.count == most && counts.asked.values.allSatisfy { $0 == 1 })
        #expect(counts.mostInFlight <= 256)
        #expect(counts.mostInFlight > 128)
        #expect(asked(result) == most)
        let stage = result.manifest["stages"]?.elements.last
        #expect(stage?["questions"]?.integerValue == most)
        #expect(stage?["dropped"]?["wrong"]?.integerValue == most / 10)
        let seconds = counts.lastAt - counts.firstAt
        print(
            "asking: \(Int(Double(most) / seconds)) answers/s, ideally 1280/s; at most \(counts.mostInFlight) in flight"
        )
        #expect(try RunReader("\(folder.path)/out").verify().faults.isEmpty)
    }

    @Test func equalQuestionsAreAskedOnce() throws {
        let server = try AnswerServer { _ in 30 }
        defer { server.close() }
        try write((0..<600).map { #"{"q":"number \#($0 % 20 + 4)","n":\#($0)}"# })
        let result = try run(definition(stages: [judge(server, width: 16)]))
        #expect(server.counts.asked.values.allSatisfy { $0 == 1 } && server.counts.asked.count == 20)
        #expect(result.kept == 540)
        #expect(asked(result) == 20)
    }

    /// A stop in the middle, and the run goes on: nothing that was answered is asked again, and the result is the same.
    @Test(arguments: [true, false]) func aStopNeverAsksTwice(finishes: Bool) throws {
        let server = try AnswerServer { question in 20 + question.utf8.count % 7 * 20 }
        defer { server.close() }
        try write(numbers(0..<1500))
        let whole = try run(definition("whole", stages: [judge(server, finishes: finishes)]))
        let second = try AnswerServer { question in 20 + question.utf8.count % 7 * 20 }
        defer { second.close() }
        var halt = 300
        for _ in 0..<3 {
            let most = halt
            let stop = try #require(throws: EngineError.self) {
                try run(definition(stages: [judge(second, finishes: finishes)])) {
                    $0.isStopped = { second.counts.answered.count > most }
                    $0.resume = true
                }
            }
            #expect(stop.code == .stopped, "\(stop)")
            halt += 300
        }
        let result = try run(definition(stages: [judge(second, finishes: finishes)])) { $0.resume = true }
        let counts = second.counts
        #expect(counts.asked.count == 1500)
        // An answer may be lost on its way to a client that gives up; one that waits for its answer gets it.
        if finishes {
            #expect(counts.asked.values.allSatisfy { $0 == 1 })
        } else {
            #expect(counts.asked.values.reduce(0, +) <= 1500 + 3 * 256)
        }
        let (questions, earlier) = (1500, try #require(asked(result)))
        #expect(earlier < questions - 500)
        #expect(try kept() == kept("whole"))
        // The port of the server is part of the definition; everything else is equal.
        for key in ["counts", "stages", "outputs"] { #expect(result.manifest[key] == whole.manifest[key]) }
    }

    /// The log stays with the result: the run again, or another one of the same folder of answers, asks nothing.
    @Test func aRepeatedRunAsksNothing() throws {
        let server = try AnswerServer { _ in 5 }
        defer { server.close() }
        try write(numbers(0..<300))
        let first = try run(definition(stages: [judge(server)]))
        let again = try run(definition(stages: [judge(server, width: 3)])) { $0.force = true }
        #expect(asked(again) == 0)
        #expect(again.manifest["timing"]?["answers"]?.elements.first?["from_log"]?.integerValue == 300)
        #expect(again.manifest["outputs"] == first.manifest["outputs"])
        #expect(again.manifest["timing"]?["answer_log"]?.textValue?.hasSuffix("/out/answers") ?? false)
        #expect(try run(definition("shared-1", stages: [judge(server)], answers: "out/answers")).kept == 270)
        #expect(server.counts.asked.values.allSatisfy { $0 == 1 })
        // A question of another model is another question.
        let other = try run(
            definition(stages: [StageSpec("judge", ["port": .integer(Int(server.port)), "model": "b"])])
        ) {
            $0.force = true
        }
        #expect(asked(other) == 300)
    }

    /// Two runs at the same time share a log: whoever asked, both use the same answers, and a third run asks nothing.
    @Test func twoRunsShareALog() throws {
        let number = Atomic<Int>(0)
        let server = try AnswerServer { _ in number.add(1, ordering: .relaxed).newValue % 40 }
        defer { server.close() }
        try write(numbers(0..<800))
        let failures = Atomic<Int>(0)
        let one = definition("one", stages: [judge(server, width: 64)], answers: "answers")
        let two = definition("two", stages: [judge(server, width: 64)], answers: "answers")
        let go: @Sendable (Definition) -> Void = { definition in
            do {
                let registry = Registry([Judge.self])
                _ = try Run(definition, registry: registry, options: RunOptions(threads: 2)).run()
            } catch {
                failures.add(1, ordering: .relaxed)
            }
        }
        let thread = try #require(NativeThread(stackBytes: 8 << 20) { go(one) })
        go(two)
        thread.join()
        let failed = failures.load(ordering: .relaxed)
        #expect(failed == 0)
        #expect(try kept("one") == kept("two"))
        #expect(asked(try run(definition("three", stages: [judge(server)], answers: "answers"))) == 0)
    }

    /// A server that fails ends the run with the place of the record. What it answered before is not asked again.
    @Test func anErrorNamesTheRecordAndKeepsTheAnswers() throws {
        let server = try AnswerServer { _ in 5 }
        defer { server.close() }
        var lines = numbers(0..<300)
        lines[200] = #"{"q":"fail"}"#
        try write(lines)
        let error = try #require(throws: EngineError.self) { try run(definition(stages: [judge(server, width: 8)])) }
        #expect(error.message.contains("in.jsonl:201: stage `judge`: no answer"), "\(error)")
        #expect(error.kept != nil)
        lines[200] = #"{"q":"number 4"}"#
        try write(lines)
        let result = try run(definition(stages: [judge(server)])) { $0.force = true }
        #expect(result.kept == 270 + 0)
        #expect(server.counts.answered.values.allSatisfy { $0 == 1 })
        let damage = try FileSystem.local.openForUpdating("\(folder.path)/out/answers/answers.log")
        try [UInt8](repeating: 7, count: 50).withUnsafeBytes { try damage.write($0, at: 300) }
        let damaged = try #require(throws: EngineError.self) {
            try run(definition(stages: [judge(server)])) { $0.force = true }
        }
        #expect(damaged.code == .data)
        #expect(damaged.message.contains("answers.log"), "\(damaged)")
        // It is left for its owner to restore, and so is the result.
        #expect(try kept().count == 270)
    }

    /// Before, between and after other kinds of work, and twice in one pass.
    @Test func amongOtherStages() throws {
        let server = try AnswerServer { _ in 5 }
        defer { server.close() }
        try write(numbers(0..<500))
        let stages = [
            StageSpec("tally"), judge(server), StageSpec("even"),
            StageSpec("judge", ["port": .integer(Int(server.port)), "model": "b"]), StageSpec("tally"),
        ]
        let result = try run(definition(stages: stages)) { $0.segmentBytes = 3000 }
        let kept = (0..<500).filter { $0 % 10 != 3 && $0 % 2 == 0 }
        #expect(try self.kept() == kept.map(line))
        let counts = (result.manifest["stages"]?.elements ?? []).map { $0["seen"]?.integerValue }
        #expect(counts == [500, nil, nil, nil, kept.count])
        let asked = (result.manifest["stages"]?.elements ?? []).map { $0["questions"]?.integerValue }
        #expect(asked == [nil, 500, nil, 250, nil])
        // The second one asks the same of another model.
        #expect(server.counts.asked.values.reduce(0, +) == 750)
    }

    /// Long records are worked on one at a time, among short ones.
    @Test func longRecords() throws {
        let server = try AnswerServer { _ in 5 }
        defer { server.close() }
        var lines = numbers(0..<200)
        for place in [0, 7, 8, 9, 150, 199] {
            lines[place] = #"{"q":"number \#(place)","long":"\#(String(repeating: "x", count: 2 << 20))"}"#
        }
        try write(lines)
        let result = try run(
            definition(stages: [StageSpec("judge", ["port": .integer(Int(server.port)), "long": true])]))
        #expect(result.kept == 180)
        #expect(
            try kept().map { $0.count }
                == (0..<200).filter { $0 % 10 != 3 }.map {
                    line($0).count + (lines[$0].count > 100 ? (2 << 20) + 10 : 0)
                })
    }

    /// The requests are part of the budget: the smallest one that is named is enough, and 1 MiB less is refused.
    @Test func theSmallestBudgetIsEnough() throws {
        let server = try AnswerServer { _ in 5 }
        defer { server.close() }
        try write(numbers(0..<200))
        var small = definition(stages: [judge(server)])
        small.memory = 60 << 20
        let refused = try #require(throws: EngineError.self) { try run(small) }
        #expect(refused.code == .resources)
        #expect(refused.message.contains("stage `judge` needs"), "\(refused)")
        let word = refused.message.split(separator: "at least ").last?.prefix { $0 != "," } ?? ""
        small.memory = try #require(MemorySize.parse(String(word)))
        #expect(small.memory > 256 * 300 << 10)
        #expect(try run(small).kept == 180)
        small.memory -= 1 << 20
        #expect(throws: EngineError.self) { try run(small) { $0.force = true } }
    }

    /// Task by task, each by another process, and some by two: the same result, and nothing is asked twice.
    @Test(arguments: [nil, "answers"]) func inTasks(answers: String?) throws {
        let server = try AnswerServer { _ in 2 }
        defer { server.close() }
        try write(numbers(0..<400))
        let stages = [judge(server, width: 32), StageSpec("tally")]
        let whole = try run(definition("whole", stages: stages, answers: answers.map { $0 + "-whole" }))
        let registry = Registry([Judge.self, Tally.self])
        var options = RunOptions(threads: 2)
        (options.blockBytes, options.partBytes) = (2 << 10, 3 << 10)
        let definition = definition(stages: stages, answers: answers)
        let tasks = try TaskRun.prepare(definition, registry: registry, options: options).tasks
        #expect(try TaskRun.plan(in: "\(folder.path)/out").answers == definition.answers)
        var result: RunResult?
        for task in tasks {
            result = try TaskRun(definition, registry: registry, options: options).perform(task)
        }
        let manifest = try #require(result).manifest
        for key in ["counts", "stages", "outputs"] { #expect(manifest[key] == whole.manifest[key]) }
        #expect(manifest["timing"]?["answer_log"] != nil)
        #expect(try kept() == kept("whole"))
        // Once for each of the two results.
        #expect(server.counts.asked.values.allSatisfy { $0 == 2 })
    }

    /// Every call to the file system fails in turn, then the run goes on: it ends with the same bytes.
    @Test func everyCallFails() throws {
        let server = try AnswerServer { _ in 0 }
        defer { server.close() }
        try write(numbers(0..<40))
        let stages = [judge(server, width: 8)]
        try run(definition("whole", stages: stages))
        let expected = try kept("whole")
        var number = 1
        while true {
            try FileSystem.local.removeTree("\(folder.path)/whole/answers")
            let faulty = FaultyFileSystem(
                failing: number, with: number % 2 == 0 ? .error(EIO) : .torn(after: 9, ENOSPC))
            do {
                try run(definition(stages: stages, answers: "whole/answers")) {
                    $0.fileSystem = faulty.fileSystem
                    $0.force = true
                }
            } catch let error as EngineError {
                #expect(error.code != .fault, "\(error)")
                try run(definition(stages: stages, answers: "whole/answers")) { $0.resume = error.kept != nil }
            }
            #expect(try kept() == expected)
            guard faulty.hasFailed else { break }
            try FileSystem.local.removeTree("\(folder.path)/out")
            number += 5
        }
        #expect(number > 60)
    }

    @Test func keepsTheContract() throws {
        let server = try AnswerServer { _ in 1 }
        defer { server.close() }
        let found = StageContract.check(
            Judge.self, options: ["port": .integer(Int(server.port)), "width": 8], records: numbers(0..<40))
        #expect(found.isEmpty, "\(found)")
    }
}

/// Counts the records that reach it.
private struct Tally: Stage, Survey {
    static let descriptor = Descriptor(name: "tally", summary: "Counts.")
    init(options: OptionValues) {}
    let reads: [Input] = []
    let writes: [ColumnSpec] = []
    func memory(_ context: StageContext) -> SurveyMemory { SurveyMemory(summary: 8, finish: 0) }
    func makeSummary() -> Int { 0 }
    func observe(_ block: borrowing Block, into summary: inout Int) { summary += block.live.count }
    func merge(_ other: Int, into summary: inout Int) { summary += other }
    func finish(_ summary: consuming Int, _ context: StageContext) -> SurveyResult<Bool> {
        SurveyResult(true, report: ["seen": .integer(summary)])
    }
    func makeBody(_ outcome: Bool, _ context: StageContext) -> StageBody { .sequence([]) }
}

/// Keeps even numbers.
private struct Even: Stage, Transform {
    static let descriptor = Descriptor(name: "even", summary: "Drops odd numbers.")
    init(options: OptionValues) {}
    let reads: [Input] = [.field("q")]
    let writes: [ColumnSpec] = []
    func apply(to block: inout Block) {
        let field = block.field("q")
        for record in 0..<block.count where block.isLive(record) {
            if (field[record].string?.last ?? 0) % 2 == 1 { block.drop(record, reason: "odd") }
        }
    }
}
