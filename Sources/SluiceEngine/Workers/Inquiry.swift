import SluiceCore
import SluiceIO

/// The questions about the records of one block, and what is known of their answers.
final class Inquiry: @unchecked Sendable {
    // @unchecked: until the block is handed to the light threads only one thread has it, then `open` and `answers` are
    // only accessed with the asker's monitor locked, and after the last answer only one thread has it again.

    struct Question {
        let record: Int
        let key: ContentHash
        let ordinal: Ordinal
        var bytes: [UInt8]
    }

    let stage: String
    /// The number of questions.
    var questions = 0
    var answers: [[UInt8]?]
    /// What the log has no answer to.
    var missing: [Question] = []
    /// How many of them are unanswered.
    var open = 0
    var end: (Result<Void, any Error>) -> Void = { _ in }

    init(of stage: String, records: Int) {
        self.stage = stage
        answers = Array(repeating: nil, count: records)
    }
}

/// What was asked in a pass.
struct AskingCounts: Sendable, Equatable {
    /// Records with a question.
    var questions = 0
    /// Questions that were answered from outside.
    var asked = 0
    /// How often answers came to one or several of them.
    var requests = 0

    mutating func add(_ other: AskingCounts) {
        questions += other.questions
        asked += other.asked
        requests += other.requests
    }
}

/// An asking step of a pass, for any type of transform.
protocol Asking: AnyObject, Sendable {
    var threads: LightThreads { get }
    var counts: AskingCounts { get }
    /// Makes the questions, and looks up the answers that the log has.
    func inquire(_ block: inout Block) throws(EngineError) -> Inquiry
    /// Hands the missing ones to the light threads; `end` is called once all answers are there, or with the first error.
    func ask(_ inquiry: Inquiry, end: @escaping (Result<Void, any Error>) -> Void) throws(EngineError)
    func apply(_ inquiry: Inquiry, to block: inout Block) throws(StageError)
    /// Closes the workers, once no thread asks any more.
    func close() throws(StageError)
}

/// Questions in the order in which they came, cut into batches.
struct QuestionBatches {
    typealias Place = (inquiry: Inquiry, index: Int)

    private struct Batch {
        var places: [Place] = []
        var bytes = 0
    }

    private let limit: AskingBatch
    private var batches: [Batch] = []
    /// The first entry of `batches` that has not been taken.
    private var next = 0

    init(_ limit: AskingBatch) { self.limit = limit }

    /// The number of batches, of which the last one may take more questions.
    var count: Int { batches.count - next }

    mutating func add(_ place: Place) {
        let bytes = place.inquiry.missing[place.index].bytes.count
        let last = batches.indices.last.flatMap { $0 >= next ? $0 : nil }
        if let last, limit.hasRoom(beside: batches[last].places.count, bytes: batches[last].bytes, for: bytes) {
            batches[last].places.append(place)
            batches[last].bytes += bytes
        } else {
            batches.append(Batch(places: [place], bytes: bytes))
        }
    }

    /// The oldest batch; empty if there is none.
    mutating func take() -> [Place] {
        guard next < batches.count else { return [] }
        defer {
            batches[next].places = []
            next += 1
            if next == batches.count || next >= 1024 {
                batches.removeFirst(next)
                next = 0
            }
        }
        return batches[next].places
    }
}

/// The keys of the answers of one asking step.
struct AnswerKeys: Sendable {
    private let prefix: [UInt8]

    /// - Parameters:
    ///   - stage: the stage's name in the definition.
    ///   - step: the number of the step among the asking steps of the stage, from 0.
    ///   - source: what its answers depend on beside the question.
    init(stage: String, step: Int, source: JSONValue) {
        let all = JSONValue.list([.text(stage), .integer(step), source])
        let hash = Array(all.json.utf8).withUnsafeBytes { XXHash.hash128($0) }
        prefix = [hash.high.littleEndian, hash.low.littleEndian].withUnsafeBytes { Array($0) }
    }

    func key(of question: [UInt8]) -> ContentHash {
        (prefix + question).withUnsafeBytes { XXHash.hash128($0) }
    }
}
