import SluiceCore
import SluiceTesting
import Synchronization
import Testing

/// Breaks the promise named by the option `fault`. Without the option it is a correct asking transform: it asks for the
/// length of a prompt, and drops the short ones.
private struct Measuring: Stage, AskingTransform {
    static let descriptor = Descriptor(
        name: "measuring", summary: "Asks how long the prompt is.",
        options: [OptionSpec("fault", .text, default: "", help: "What to do wrong.")])

    /// State that outlives a call, which a correct stage doesn't have.
    final class Memory: Sendable {
        let calls = Atomic<Int>(0)
        let answers = Mutex<[[UInt8]: [UInt8]]>([:])
    }

    let fault: String
    let memory = Memory()

    init(options: OptionValues) throws(StageError) { fault = try options.text("fault") }

    let reads: [Input] = [.field("prompt")]
    let writes = [ColumnSpec("length", .integer)]
    var width: Int { fault == "no width" ? 0 : 4 }
    var source: [String: String]? { fault == "another source" ? ["call": "\(call())"] : ["unit": "bytes"] }

    func memory(_ context: StageContext) -> AskingMemory {
        switch fault {
        case "long answers": AskingMemory(longestAnswer: 1)
        case "long questions": AskingMemory(prompt: 0, growth: 0)
        case "another memory": AskingMemory(perRequest: call())
        default: AskingMemory(longestAnswer: 16, prompt: 16)
        }
    }

    private func call() -> Int { memory.calls.add(1, ordering: .relaxed).newValue }

    func question(_ record: Int, of block: borrowing Block) throws(StageError) -> [UInt8]? {
        let other = fault == "asks about another field" ? block.field("label")[record].string : nil
        guard let prompt = block.field("prompt")[record].string else { return nil }
        var question = Array("how long: ".utf8.prefix(6)) + prompt + (other ?? [])
        switch fault {
        case "counts its questions": question += Array("\(call())".utf8)
        case "asks by place": question += Array("\(block.ordinals[record].line)".utf8)
        case "asks by block": question += Array("\(block.count)".utf8)
        default: break
        }
        return question
    }

    func ask(_ question: [UInt8], _ context: StageContext) throws(StageError) -> [UInt8] {
        if fault == "fails" { throw StageError(.io, "no answer") }
        let answer = Array("\(question.count - 6)".utf8)
        memory.answers.withLock { $0[question] = answer }
        return fault == "keeps its answers" ? [] : answer
    }

    func apply(_ answers: Answers, to block: inout Block) throws(StageError) {
        let prompts = block.field("prompt")
        var lengths = [Int64](repeating: 0, count: block.count)
        for record in block.live {
            var answer = answers[record] ?? []
            if fault == "keeps its answers", let prompt = prompts[record].string {
                answer = memory.answers.withLock { $0[Array("how lo".utf8) + prompt] } ?? []
            }
            lengths[record] = Int64(String(decoding: answer, as: UTF8.self)) ?? -1
            if fault == "counts its blocks" { lengths[record] += Int64(call()) }
            if lengths[record] < 6 { block.drop(record, reason: "too-short") }
        }
        block.write("length", .integers(lengths))
    }
}

/// The same with several questions at a time.
private struct MeasuringBatches: Stage, AskingBatchTransform {
    static let descriptor = Descriptor(
        name: "measuring-batches", summary: "Asks how long several prompts are.",
        options: [OptionSpec("fault", .text, default: "", help: "What to do wrong.")])

    let fault: String
    init(options: OptionValues) throws(StageError) { fault = try options.text("fault") }

    let reads: [Input] = [.field("prompt"), .field("label")]
    let writes = [ColumnSpec("length", .integer)]
    let width = 3
    let batch = AskingBatch(questions: 5, bytes: 60)

    func memory(_ context: StageContext) -> AskingMemory { AskingMemory(longestAnswer: 16, prompt: 0) }
    func makeWorker(_ context: StageContext) {}

    func question(_ record: Int, of block: borrowing Block) -> [UInt8]? {
        guard let prompt = block.field("prompt")[record].string else { return nil }
        return Array(prompt) + (block.field("label")[record].string.map { Array($0) } ?? [])
    }

    func ask(
        _ questions: [[UInt8]], with worker: inout Void, _ context: StageContext
    ) throws(StageError) -> [[UInt8]] {
        let answers = questions.map { Array("\($0.count)".utf8) }
        switch fault {
        case "none": return []
        case "too many": return answers + answers
        case "some": return Array(answers.prefix(2))
        case "mixes them up": return answers.reversed()
        case "numbers them": return answers.indices.map { Array("\($0)".utf8) }
        default: return answers
        }
    }

    func apply(_ answers: Answers, to block: inout Block) {
        let lengths = (0..<block.count).map { Int64(String(decoding: answers[$0] ?? [], as: UTF8.self)) ?? 0 }
        block.write("length", .integers(lengths))
    }
}

@Suite struct AskingContractTests {
    private let records = (0..<24).map { number in
        number % 9 == 8
            ? #"{"n":\#(number)}"#
            : #"{"prompt":"\#(String(repeating: "p", count: number % 11))","label":"l\#(number % 5)"}"#
    }

    private func violations(_ fault: String) -> [Violation] {
        StageContract.check(Measuring.self, options: ["fault": .text(fault)], records: records)
    }

    @Test func aCorrectOneKeepsTheContract() {
        let found = violations("")
        #expect(found.isEmpty, "\(found)")
    }

    @Test(arguments: [
        ("no width", Violation.Rule.memory), ("long answers", .memory), ("long questions", .memory),
        ("another memory", .memory), ("another source", .memory), ("counts its questions", .repeats),
        ("asks by place", .answers), ("asks by block", .answers), ("keeps its answers", .answers),
        ("counts its blocks", .repeats), ("asks about another field", .reads), ("fails", .works),
    ])
    func everyBreachIsFound(fault: String, rule: Violation.Rule) {
        let found = violations(fault)
        #expect(found.contains { $0.rule == rule }, "\(fault): \(found)")
    }

    @Test(arguments: ["", "some"]) func aCorrectOneWithBatchesKeepsTheContract(fault: String) {
        let found = StageContract.check(MeasuringBatches.self, options: ["fault": .text(fault)], records: records)
        #expect(found.isEmpty, "\(found)")
    }

    @Test(arguments: [
        ("none", Violation.Rule.works), ("too many", .works), ("mixes them up", .answers), ("numbers them", .answers),
    ])
    func everyBreachWithBatchesIsFound(fault: String, rule: Violation.Rule) {
        let found = StageContract.check(MeasuringBatches.self, options: ["fault": .text(fault)], records: records)
        #expect(found.contains { $0.rule == rule }, "\(fault): \(found)")
    }

    @Test func inMemoryRunsAskToo() throws {
        let run = try InMemoryRun([StageSpec("measuring")], registry: Registry([Measuring.self]), records: records)
        #expect(run.kept == records.indices.filter { $0 % 9 != 8 && $0 % 11 >= 6 })
    }
}
