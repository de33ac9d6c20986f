import SluiceCore
import SluiceIO

/// Asks the questions of one asking transform.
///
/// Questions wait in batches, which those of later blocks fill up; each batch is a call of a light thread. Answers are
/// appended to the log in groups: the first thread with answers writes them, and those that come meanwhile leave theirs
/// to it and ask on. A question that waits or is being asked is not asked a second time.
final class Asker<T: AskingBatchTransform>: Asking, @unchecked Sendable {
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
    /// The questions that no thread has taken.
    private var waiting: QuestionBatches
    /// The places that wait for an answer, by question.
    private var inFlight: [ContentHash: [QuestionBatches.Place]] = [:]
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
        waiting = QuestionBatches(asking.batch)
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
        var new: [(index: Int, key: ContentHash)] = []
        monitor.locked {
            for index in inquiry.missing.indices {
                let key = inquiry.missing[index].key
                if inFlight[key] == nil { new.append((index, key)) }
                inFlight[key, default: []].append((inquiry, index))
            }
        }
        // Since the block was looked up, another one may have got answers. From now on, it would bring them here.
        var unknown: [Int] = []
        for (index, key) in new {
            if let answer = try log.find(key) { settle([(key, answer)]) } else { unknown.append(index) }
        }
        let begun = monitor.locked {
            let before = waiting.count
            for index in unknown { waiting.add((inquiry, index)) }
            return waiting.count - before
        }
        try threads.add((0..<begun).map { _ in { [self] in askNext() } })
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

    /// Gets the answers to the next batch.
    private func askNext() {
        let batch = monitor.locked { waiting.take() }
        guard let first = batch.first, !threads.isAbandoned else { return }
        do {
            var rest = monitor.locked { batch.map { $0.inquiry.missing[$0.index] } }[...]
            while !rest.isEmpty {
                let answers = try ask(rest)
                try append(zip(rest, answers).map { ($0.key, $1) })
                rest = rest.dropFirst(answers.count)
                if !rest.isEmpty, context.isStopped { throw EngineError.stopped }
            }
        } catch {
            first.inquiry.end(.failure(error))
        }
    }

    /// Asks once: returns the answers to the first questions.
    private func ask(_ questions: ArraySlice<Inquiry.Question>) throws -> [[UInt8]] {
        do throws(StageError) {
            let spare = spares.take()
            let held = try spare.get()
            defer { spares.giveBack(spare) }
            let answers = try asking.ask(questions.map(\.bytes), with: &held.worker, context)
            guard 1...questions.count ~= answers.count else {
                throw StageError(
                    .fault, "`ask` returned \(answers.count) answers to \(questions.count) questions")
            }
            if let long = answers.first(where: { $0.count > longest }) {
                throw StageError(
                    .invalidData,
                    "an answer has \(long.count) bytes, and the stage declares at most \(longest) (`longestAnswer`)")
            }
            return answers
        } catch {
            if context.isStopped { throw EngineError.stopped }
            // What is wrong with a server is no matter of one of many records.
            let isOfFirst = asking.batch.questions == 1 || error.code == .invalidData
            let found = StageError(
                error.code, error.message, option: error.option,
                ordinal: error.ordinal ?? (isOfFirst ? questions.first?.ordinal : nil))
            throw EngineError(found, stage: context.name)
        }
    }

    /// Makes answers durable, with all that come meanwhile; after a stop, too, since they have been paid for.
    private func append(_ answers: [(key: ContentHash, answer: [UInt8])]) throws {
        let isAppended = monitor.locked {
            counted.asked += answers.count
            counted.requests += 1
            fresh += answers
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
