import SluiceCore
import SluiceIO
import Synchronization

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
    fileprivate(set) var questions = 0
    fileprivate(set) var answers: [[UInt8]?]
    /// What the log has no answer to.
    fileprivate(set) var missing: [Question] = []
    /// How many of them are unanswered.
    fileprivate var open = 0
    fileprivate var end: (Result<Void, any Error>) -> Void = { _ in }

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

    mutating func add(_ other: AskingCounts) {
        questions += other.questions
        asked += other.asked
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

/// Asks the questions of one asking transform.
///
/// Answers are appended to the log in groups: the first thread with an answer writes it, and those that come meanwhile
/// leave theirs to it and ask the next question. A question that is being asked is not asked a second time.
final class Asker<T: AskingWorkerTransform>: Asking, @unchecked Sendable {
    // @unchecked: all `var`s are only accessed with `monitor` locked.

    /// A box for a worker, which is used by one thread at a time.
    private final class Held {
        var worker: T.Worker
        init(_ worker: T.Worker) { self.worker = worker }
    }

    let threads: LightThreads
    private let asking: T
    private let context: StageContext
    private let log: AnswerBook
    private let keys: AnswerKeys
    private let longest: Int
    private let declaration: StageDeclaration
    private let spares: ObjectPool<Result<Held, StageError>>

    private let monitor = Monitor()
    /// The places that wait for an answer, by question.
    private var inFlight: [ContentHash: [(inquiry: Inquiry, index: Int)]] = [:]
    /// Answers that are not in the log yet.
    private var fresh: [(key: ContentHash, answer: [UInt8])] = []
    private var isAppending = false
    private var counted = AskingCounts()

    init(_ asking: T, _ declaration: StageDeclaration, _ keys: AnswerKeys, _ log: AnswerBook, _ context: StageContext) {
        let memory = asking.memory(context)
        let threads = LightThreads(width: asking.requests, stackBytes: memory.stack)
        let context = context.stopping { threads.isAbandoned }
        self.threads = threads
        self.asking = asking
        self.declaration = declaration
        self.keys = keys
        self.log = log
        self.context = context
        longest = memory.longestAnswer
        spares = ObjectPool {
            do throws(StageError) {
                return .success(Held(try asking.makeWorker(context)))
            } catch {
                return .failure(error)
            }
        }
    }

    var counts: AskingCounts { monitor.locked { counted } }

    // MARK: Workers of the pool

    func inquire(_ block: inout Block) throws(EngineError) -> Inquiry {
        let inquiry = Inquiry(of: context.name, records: block.count)
        block.begin(declaration)
        defer { block.end() }
        for record in 0..<block.count where block.isLive(record) {
            let question: [UInt8]?
            do throws(StageError) { question = try asking.question(record, of: block) } catch {
                throw EngineError(error, stage: context.name)
            }
            guard let question else { continue }
            inquiry.questions += 1
            let key = keys.key(of: question)
            if let answer = try log.find(key) {
                inquiry.answers[record] = answer
            } else {
                inquiry.missing.append(
                    Inquiry.Question(record: record, key: key, ordinal: block.ordinals[record], bytes: question))
            }
        }
        monitor.locked { counted.questions += inquiry.questions }
        return inquiry
    }

    func ask(_ inquiry: Inquiry, end: @escaping (Result<Void, any Error>) -> Void) throws(EngineError) {
        guard !inquiry.missing.isEmpty else { return end(.success(())) }
        inquiry.open = inquiry.missing.count
        inquiry.end = end
        try threads.add(inquiry.missing.indices.map { index in { [self] in answer(inquiry, index) } })
    }

    func apply(_ inquiry: Inquiry, to block: inout Block) throws(StageError) {
        try asking.apply(Answers(inquiry.answers), to: &block)
    }

    func close() throws(StageError) {
        var failure: StageError?
        for spare in spares.takeAll() {
            guard case .success(let held) = spare else { continue }
            do throws(StageError) { try asking.close(&held.worker) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    // MARK: Light threads

    /// Gets the answer to one question, unless another thread is asking it.
    private func answer(_ inquiry: Inquiry, _ index: Int) {
        let (question, isAsked) = monitor.locked {
            let question = inquiry.missing[index]
            let others = inFlight[question.key]
            inFlight[question.key, default: []].append((inquiry, index))
            return (question, others != nil)
        }
        if isAsked || threads.isAbandoned { return }
        do {
            // Since the block was looked up, another one may have asked the same.
            if let answer = try log.find(question.key) {
                settle([(question.key, answer)])
            } else {
                try append(question.key, try ask(question))
            }
        } catch {
            inquiry.end(.failure(error))
        }
    }

    private func ask(_ question: Inquiry.Question) throws -> [UInt8] {
        do throws(StageError) {
            let spare = spares.take()
            let held = try spare.get()
            defer { spares.giveBack(spare) }
            let answer = try asking.ask(question.bytes, with: &held.worker, context)
            guard answer.count <= longest else {
                throw StageError(
                    .invalidData,
                    "an answer has \(answer.count) bytes, and the stage declares at most \(longest) (`longestAnswer`)")
            }
            return answer
        } catch {
            if context.isStopped { throw EngineError.stopped }
            let found = StageError(
                error.code, error.message, option: error.option, ordinal: error.ordinal ?? question.ordinal)
            throw EngineError(found, stage: context.name)
        }
    }

    /// Makes an answer durable, with all that come meanwhile; after a stop, too, since it has been paid for.
    private func append(_ key: ContentHash, _ answer: [UInt8]) throws {
        let isAppended = monitor.locked {
            counted.asked += 1
            fresh.append((key, answer))
            defer { isAppending = true }
            return isAppending
        }
        if isAppended { return }
        while let group = nextGroup() {
            do {
                let used = try log.append(group)
                settle(zip(group, used).map { ($0.key, $1) })
            } catch {
                monitor.locked { isAppending = false }
                throw error
            }
        }
    }

    /// The answers that wait for the log; nil if there are none, and then nobody appends.
    private func nextGroup() -> [(key: ContentHash, answer: [UInt8])]? {
        monitor.locked {
            guard !fresh.isEmpty else {
                isAppending = false
                return nil
            }
            defer { fresh = [] }
            return fresh
        }
    }

    /// Gives answers to all who wait for them.
    private func settle(_ answers: [(key: ContentHash, answer: [UInt8])]) {
        var complete: [Inquiry] = []
        monitor.locked {
            for (key, answer) in answers {
                for (inquiry, index) in inFlight.removeValue(forKey: key) ?? [] {
                    inquiry.answers[inquiry.missing[index].record] = answer
                    inquiry.missing[index].bytes = []
                    inquiry.open -= 1
                    if inquiry.open == 0 { complete.append(inquiry) }
                }
            }
        }
        for inquiry in complete { inquiry.end(.success(())) }
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
