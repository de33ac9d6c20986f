import SluiceCore
import SluiceEngine
import SluiceIO
import SluiceTesting
import Synchronization
import Testing

/// Asks the server about the field `q`, several questions in a line, and keeps the answers as `verdict`.
private struct Panel: Stage, AskingBatchTransform {
    static let descriptor = Descriptor(
        name: "panel", summary: "Asks a server several questions at a time.",
        options: [
            OptionSpec("port", .integer(1...65535), isRequired: true, help: "where it listens", example: "80"),
            OptionSpec("width", .integer(1...4096), default: 4, help: "requests in flight", example: "8"),
            OptionSpec("batch", .integer(1...4096), default: 16, help: "questions in a request", example: "8"),
            OptionSpec("bytes", .integer(1...1_000_000), default: 1_000_000, help: "of a request", example: "80"),
            OptionSpec("most", .integer(1...4096), default: 4096, help: "answers at a time", example: "2"),
            OptionSpec("fault", .text, default: "", help: "what to do wrong", example: "none"),
        ])

    let width: Int
    let batch: AskingBatch
    private let port: UInt16
    private let most: Int
    private let fault: String

    init(options: OptionValues) throws(StageError) {
        width = try options.integer("width")
        batch = AskingBatch(questions: try options.integer("batch"), bytes: try options.integer("bytes"))
        port = UInt16(clamping: try options.integer("port"))
        most = try options.integer("most")
        fault = try options.text("fault")
    }

    let reads: [Input] = [.field("q")]
    let writes = [ColumnSpec("verdict", .bytes)]
    var source: [String: String]? { [:] }

    func memory(_ context: StageContext) -> AskingMemory { AskingMemory(longestAnswer: 1 << 10) }

    func question(_ record: Int, of block: borrowing Block) -> [UInt8]? {
        block.field("q")[record].string.map { Array($0) }
    }

    func makeWorker(_ context: StageContext) throws(StageError) -> AnswerClient {
        guard let client = AnswerClient(port: port) else { throw StageError(.io, "no connection") }
        return client
    }

    /// The server reverses the whole line: the last answer comes first.
    func ask(
        _ questions: [[UInt8]], with worker: inout AnswerClient, _ context: StageContext
    ) throws(StageError) -> [[UInt8]] {
        switch fault {
        case "none": return []
        case "many": return questions + questions
        case "refuses a text" where questions[0] == Array("fail".utf8): throw StageError(.invalidData, "a bad text")
        case "refuses": throw StageError(.io, "no answer")
        default: break
        }
        let fail = questions.firstIndex(of: Array("fail".utf8)) ?? questions.count
        let some = questions.prefix(min(most, max(1, fail)))
        guard let answer = worker.ask(Array(some.joined(separator: [1])), isStopped: { context.isStopped }) else {
            throw StageError(.io, "no answer")
        }
        return answer.split(separator: 1).reversed().map { Array($0) }
    }

    func apply(_ answers: Answers, to block: inout Block) {
        var verdicts = BytesColumn()
        for record in 0..<block.count { verdicts.append(answers[record] ?? []) }
        block.write("verdict", .bytes(verdicts))
    }

    func close(_ worker: inout AnswerClient) { worker.close() }
}

/// Requests with several questions, through the whole engine.
@Suite(.serialized) struct BatchAskingTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func write(_ lines: [String]) throws {
        let input = try FileSystem.local.create("\(folder.path)/in.jsonl")
        try Array(lines.map { $0 + "\n" }.joined().utf8).withUnsafeBytes { try input.write($0) }
    }

    private func numbers(_ range: Range<Int>) -> [String] { range.map { #"{"q":"number \#($0)"}"# } }

    private func line(_ number: Int) -> String {
        #"{"q":"number \#(number)","_sluice":{"verdict":"\#(String("number \(number)".reversed()))"}}"#
    }

    private func definition(
        _ server: AnswerServer, _ options: [String: OptionValue] = [:], output: String = "out"
    ) -> Definition {
        var values = OptionValues(["port": .integer(Int(server.port))])
        for (name, value) in options { values[name] = value }
        return Definition(
            input: InputSpec(files: ["\(folder.path)/in.jsonl"]), stages: [StageSpec("panel", values)],
            output: OutputSpec(directory: "\(folder.path)/\(output)", annotate: ["verdict"], compression: .uncompressed)
        )
    }

    @discardableResult
    private func run(_ definition: Definition, _ change: (inout RunOptions) -> Void = { _ in }) throws -> RunResult {
        var options = RunOptions(threads: 2)
        options.blockBytes = 2 << 10
        change(&options)
        return try Run(definition, registry: Registry([Panel.self]), options: options).run()
    }

    private func kept() throws -> [String] {
        let bytes = try FileSystem.local.contents(of: "\(folder.path)/out/kept.jsonl")
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// The questions of each request that the server got.
    private func requests(_ server: AnswerServer) -> [[String]] {
        server.counts.asked.keys.map { $0.split(separator: "\u{1}").map(String.init) }
    }

    /// Blocks are smaller than a batch, and batches are full all the same, since they wait for a thread.
    @Test func batchesSpanBlocks() throws {
        let server = try AnswerServer { _ in 30 }
        defer { server.close() }
        try write(numbers(0..<2000))
        let result = try run(definition(server, ["width": 4, "batch": 200]))
        #expect(try kept() == (0..<2000).map(line))
        let requests = requests(server)
        #expect(requests.joined().count == 2000 && Set(requests.joined()).count == 2000)
        #expect(requests.allSatisfy { $0.count <= 200 })
        #expect(requests.count < 40, "\(requests.map(\.count))")
        let answers = result.manifest["timing"]?["answers"]?.elements.first
        #expect(answers?["asked"]?.integerValue == 2000)
        #expect(answers?["requests"]?.integerValue == requests.count)
        #expect(server.counts.mostInFlight <= 4)
    }

    @Test func equalQuestionsAreAskedOnce() throws {
        let server = try AnswerServer { _ in 10 }
        defer { server.close() }
        try write((0..<900).map { #"{"q":"number \#($0 % 30)","n":\#($0)}"# })
        #expect(try run(definition(server)).kept == 900)
        let all = requests(server).joined()
        #expect(all.count == 30 && Set(all).count == 30)
    }

    @Test func bytesLimitABatch() throws {
        let server = try AnswerServer { _ in 2 }
        defer { server.close() }
        var lines = numbers(0..<300)
        let long = String(repeating: "x", count: 100)
        lines[7] = #"{"q":"\#(long)"}"#
        try write(lines)
        #expect(try run(definition(server, ["bytes": 50])).kept == 300)
        let requests = requests(server)
        #expect(requests.allSatisfy { $0 == [long] || $0.reduce(0) { $0 + $1.utf8.count } <= 50 })
        #expect(requests.joined().count == 300)
    }

    /// A stage may answer the first questions only; the others are asked again, in the log or not.
    @Test(arguments: [1, 3, 15]) func someAnswersAtATime(most: Int) throws {
        let server = try AnswerServer { _ in 1 }
        defer { server.close() }
        try write(numbers(0..<400))
        try run(definition(server, ["most": .integer(most)]))
        #expect(try kept() == (0..<400).map(line))
        #expect(requests(server).allSatisfy { $0.count <= most })
        #expect(requests(server).joined().count == 400)
    }

    @Test func errorsOfTextsNameThem() throws {
        let server = try AnswerServer { _ in 1 }
        defer { server.close() }
        var lines = numbers(0..<300)
        lines[200] = #"{"q":"fail"}"#
        try write(lines)
        let bad = try #require(throws: EngineError.self) { try run(definition(server, ["fault": "refuses a text"])) }
        #expect(bad.code == .data)
        #expect(bad.message.contains("in.jsonl:201: stage `panel`: a bad text"), "\(bad)")
        let other = try #require(throws: EngineError.self) {
            try run(definition(server, ["fault": "refuses"], output: "other"))
        }
        #expect(!other.message.contains("in.jsonl"), "\(other)")
        lines[200] = #"{"q":"number 200"}"#
        try write(lines)
        #expect(try run(definition(server)) { $0.force = true }.kept == 300)
        // The answers before the bad text were in the log.
        #expect(requests(server).joined().count == 300)
    }

    @Test(arguments: ["none", "many"]) func aWrongNumberOfAnswersIsADefect(fault: String) throws {
        let server = try AnswerServer { _ in 1 }
        defer { server.close() }
        try write(numbers(0..<20))
        let error = try #require(throws: EngineError.self) {
            try run(definition(server, ["fault": .text(fault)]))
        }
        #expect(error.code == .fault)
        #expect(error.message.contains("answers to"), "\(error)")
    }

    @Test func aStopNeverPaysTwice() throws {
        let server = try AnswerServer { _ in 20 }
        defer { server.close() }
        try write(numbers(0..<1500))
        let stop = try #require(throws: EngineError.self) {
            try run(definition(server)) { $0.isStopped = { server.counts.answered.count > 30 } }
        }
        #expect(stop.code == .stopped)
        let before = requests(server).joined().count
        #expect(before < 1400)
        try run(definition(server)) { $0.resume = true }
        #expect(try kept() == (0..<1500).map(line))
        // Only requests that were given up are repeated.
        #expect(requests(server).joined().count <= 1500 + 4 * 16)
    }

    /// All answers of all batches are part of the budget.
    @Test func theSmallestBudgetIsEnough() throws {
        let server = try AnswerServer { _ in 1 }
        defer { server.close() }
        try write(numbers(0..<200))
        var small = definition(server, ["width": 64, "batch": 256])
        small.memory = 60 << 20
        let refused = try #require(throws: EngineError.self) { try run(small) }
        let word = refused.message.split(separator: "at least ").last?.prefix { $0 != "," } ?? ""
        small.memory = try #require(MemorySize.parse(String(word)))
        #expect(small.memory > 64 * 256 * 5 << 10)
        #expect(try run(small).kept == 200)
        small.memory -= 1 << 20
        #expect(throws: EngineError.self) { try run(small) { $0.force = true } }
    }

    @Test func keepsTheContract() throws {
        let server = try AnswerServer { _ in 1 }
        defer { server.close() }
        let found = StageContract.check(
            Panel.self, options: ["port": .integer(Int(server.port)), "batch": 8], records: numbers(0..<40))
        #expect(found.isEmpty, "\(found)")
    }
}
