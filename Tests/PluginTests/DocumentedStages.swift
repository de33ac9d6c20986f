// The stages in docs/writing-stages.md that examples/custom-stage does not have.
import SluiceCore

/// A transform with a worker: counts the words of each text that are on a list, which each thread has as a set.
struct KnownWords: Stage, WorkerTransform {
    static let descriptor = Descriptor(
        name: "known-words", summary: "Writes how many words of each text are on a list.",
        options: [OptionSpec("list", .list(.text), isRequired: true, help: "the words", example: "[the, of]")])

    private let words: [String]

    init(options: OptionValues) throws(StageError) { words = try options.texts("list") }

    var reads: [Input] { [.column(.text, .bytes)] }
    var writes: [ColumnSpec] { [ColumnSpec("known_words", .integer)] }

    func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: 1024 + words.reduce(0) { $0 + 96 + $1.utf8.count })
    }

    func makeWorker(_ context: StageContext) -> Set<[UInt8]> { Set(words.map { Array($0.utf8) }) }

    func apply(to block: inout Block, with known: inout Set<[UInt8]>) throws(StageError) {
        let text = try block.bytes(.text)
        var counts = [Int64](repeating: 0, count: block.count)
        for record in block.live {
            counts[record] = Int64(text[record].split(separator: 0x20).count { known.contains(Array($0)) })
        }
        block.write("known_words", .integers(counts))
    }
}

/// An asking transform: a judge outside gives each text a mark.
struct Judge: Stage, AskingTransform {
    static let descriptor = Descriptor(
        name: "judge", summary: "Writes the mark that a judge gives each text.",
        options: [
            OptionSpec("prompt", .text, default: "Rate this text: ", help: "what to ask", example: "How good is ")
        ])

    private let prompt: [UInt8]

    init(options: OptionValues) throws(StageError) { prompt = Array(try options.text("prompt").utf8) }

    let width = 16
    var reads: [Input] { [.column(.text, .bytes)] }
    var writes: [ColumnSpec] { [ColumnSpec("mark", .real)] }

    func memory(_ context: StageContext) -> AskingMemory { AskingMemory(longestAnswer: 64, prompt: prompt.count) }

    func question(_ record: Int, of block: borrowing Block) throws(StageError) -> [UInt8]? {
        prompt + (try block.bytes(.text)[record])
    }

    func ask(_ question: [UInt8], _ context: StageContext) throws(StageError) -> [UInt8] {
        try JudgeClient.post(question, until: { context.isStopped })
    }

    func apply(_ answers: Answers, to block: inout Block) throws(StageError) {
        // An answer that is no number leaves the mark missing.
        let marks = (0..<block.count).map {
            answers[$0].flatMap { Double(String(decoding: $0, as: UTF8.self)) } ?? .nan
        }
        block.write("mark", .reals(marks))
    }
}

/// In the place of a client of some server.
enum JudgeClient {
    static func post(_ question: [UInt8], until isStopped: () -> Bool) throws(StageError) -> [UInt8] {
        Array(question.count % 7 == 0 ? "I can't say".utf8 : "\(question.count % 5)".utf8)
    }
}
