import Glibc
import SluiceCore
import SluiceEngine
import SluiceIO
import SluiceTesting
import Synchronization
import Testing

/// Asks the server about the field `q`, keeps the answer as `verdict`, and drops numbers that end with 3.
struct Judge: Stage, AskingWorkerTransform {
    static let descriptor = Descriptor(
        name: "judge", summary: "Asks a server.",
        options: [
            OptionSpec("port", .integer(1...65535), isRequired: true, help: "where it listens", example: "80"),
            OptionSpec("width", .integer(1...4096), default: 256, help: "requests in flight", example: "8"),
            OptionSpec("model", .text, default: "a", help: "whom to ask", example: "b"),
            OptionSpec("finishes", .flag, default: false, help: "waits for an answer after a stop", example: "true"),
            OptionSpec("long", .flag, default: false, help: "reads a long field", example: "true"),
        ])

    let width: Int
    private let port: UInt16
    private let model: String
    private let finishes: Bool
    private let readsLong: Bool

    init(options: OptionValues) throws(StageError) {
        width = try options.integer("width")
        port = UInt16(clamping: try options.integer("port"))
        model = try options.text("model")
        finishes = try options.flag("finishes")
        readsLong = try options.flag("long")
    }

    var reads: [Input] { [.field("q")] + (readsLong ? [.field("long")] : []) }
    let writes = [ColumnSpec("verdict", .bytes)]
    var source: [String: String]? { ["model": model] }

    func memory(_ context: StageContext) -> AskingMemory { AskingMemory(longestAnswer: 1 << 10) }

    func question(_ record: Int, of block: borrowing Block) -> [UInt8]? {
        block.field("q")[record].string.map { Array($0) }
    }

    func makeWorker(_ context: StageContext) throws(StageError) -> AnswerClient {
        guard let client = AnswerClient(port: port) else { throw StageError(.io, "no connection") }
        return client
    }

    func ask(
        _ question: [UInt8], with worker: inout AnswerClient, _ context: StageContext
    ) throws(StageError) -> [UInt8] {
        guard question != Array("fail".utf8),
            let answer = worker.ask(question, isStopped: { !finishes && context.isStopped })
        else { throw StageError(.io, "no answer") }
        return answer
    }

    func apply(_ answers: Answers, to block: inout Block) {
        var verdicts = BytesColumn()
        for record in 0..<block.count {
            let answer = answers[record] ?? []
            verdicts.append(answer)
            if answer.first == UInt8(ascii: "3"), block.isLive(record) { block.drop(record, reason: "wrong") }
        }
        block.write("verdict", .bytes(verdicts))
    }

    func close(_ worker: inout AnswerClient) { worker.close() }
}
