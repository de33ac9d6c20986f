import SluiceCore
import Synchronization

/// The answers that a stage got in the first run of the kit: the other runs take them from here, as a run takes them from
/// its answer log.
final class KitAnswers: Sendable {
    struct Key: Hashable {
        /// The asking step of the stage, from 0.
        let step: Int
        let question: [UInt8]
    }

    private let all = Mutex<[Key: [UInt8]]>([:])

    subscript(key: Key) -> [UInt8]? { all.withLock { $0[key] } }

    var isEmpty: Bool { all.withLock { $0.isEmpty } }

    /// Notes an answer; the first one to a question counts.
    func add(_ answer: [UInt8], to key: Key) { all.withLock { all in if all[key] == nil { all[key] = answer } } }
}

/// Asks as a run does: on several threads, with at most one worker each, all closed at the end.
private final class KitAskers<T: AskingBatchTransform>: Sendable {
    /// A boxed worker.
    private final class Held: @unchecked Sendable {
        // @unchecked: only the thread that took it from `idle` uses it.
        var worker: T.Worker
        init(_ worker: T.Worker) { self.worker = worker }
    }

    private let asking: T
    private let context: StageContext
    private let idle = Mutex<[Held]>([])

    init(_ asking: T, _ context: StageContext) {
        self.asking = asking
        self.context = context
    }

    /// - Returns: one answer to each question.
    func ask(_ questions: [[UInt8]]) throws(StageError) -> [[UInt8]] {
        let spare = idle.withLock { $0.popLast() }
        let held: Held
        if let spare { held = spare } else { held = Held(try asking.makeWorker(context)) }
        defer { idle.withLock { $0.append(held) } }
        var answers: [[UInt8]] = []
        while answers.count < questions.count {
            let rest = Array(questions.dropFirst(answers.count))
            let next = try asking.ask(rest, with: &held.worker, context)
            guard 1...rest.count ~= next.count else {
                throw StageError(.fault, "`ask` returned \(next.count) answers to \(rest.count) questions")
            }
            answers += next
        }
        return answers
    }

    /// Closes all workers and throws the first error.
    func close() throws(StageError) {
        var failure: StageError?
        let all = idle.withLock { idle in
            defer { idle = [] }
            return idle
        }
        for held in all {
            do throws(StageError) { try asking.close(&held.worker) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }
}

/// How an asking transform is run.
extension StageDriver {
    /// The questions of a block, one for each of its records.
    private struct Questions: Sendable {
        var all: [[UInt8]?] = []
        var differs = false
        var error: StageError?
    }

    mutating func run<T: AskingBatchTransform>(asking: T) throws(StageError) {
        if let fault = Self.fault(of: asking, context) { breach(.memory, fault) }
        let blocks = blockRows
        let questions = pieces(blocks.count) { [self] piece in self.questions(asking, blocks[piece]) }
        for asked in questions {
            if let error = asked.error { throw error }
            if asked.differs {
                breach(.repeats, "`question` gives a different question about an equal record on a second call")
            }
        }
        for (rows, asked) in zip(blocks, questions) {
            for (row, question) in zip(rows, asked.all) { if let question { checkLength(question, asking, row) } }
        }
        try ask(questions.flatMap(\.all).compactMap { $0 }, asking)
        let (step, log) = (askingStep, answers)
        func effect(_ piece: Int) -> Effect {
            let found = Answers(
                questions[piece].all.map { $0.flatMap { log[KitAnswers.Key(step: step, question: $0)] } })
            return self.effect(on: blocks[piece]) { (block) throws(StageError) in try asking.apply(found, to: &block) }
        }
        let effects = blocks.indices.map(effect)
        if variation.runsTwice, blocks.indices.contains(where: { effects[$0] != effect($0) }) {
            breach(.repeats, "`apply` gives a different result for an equal block and equal answers on a second call")
        }
        askingStep += 1
        try settle(effects, blocks)
    }

    private static func fault<T: AskingBatchTransform>(of asking: T, _ context: StageContext) -> String? {
        guard (1...4096).contains(asking.width) else {
            return "`width` is \(asking.width); it must be from 1 to 4096"
        }
        guard asking.memory(context) == asking.memory(context), asking.width == asking.width,
            asking.batch == asking.batch
        else { return "`memory`, `width` or `batch` has a different value on a second call" }
        guard asking.source == asking.source else { return "`source` has a different value on a second call" }
        return nil
    }

    private func questions<T: AskingBatchTransform>(_ asking: T, _ rows: [Int]) -> Questions {
        let block = makeBlock(rows)
        var questions = Questions()
        do throws(StageError) {
            for record in 0..<block.count {
                guard block.isLive(record) else {
                    questions.all.append(nil)
                    continue
                }
                let question = try asking.question(record, of: block)
                if variation.runsTwice, try asking.question(record, of: block) != question { questions.differs = true }
                questions.all.append(question)
            }
        } catch {
            questions.error = error
        }
        return questions
    }

    /// The declaration of memory is an upper bound of what the records take.
    private mutating func checkLength<T: AskingBatchTransform>(_ question: [UInt8], _ asking: T, _ row: Int) {
        guard variation.presence == .declared else { return }
        let block = makeBlock([row])
        var read = 0
        for input in stage.reads {
            switch input {
            case .column(let name, _):
                if case .bytes(let column)? = block[name] { read += column[0].count } else { read += 8 }
            case .field(let path):
                switch block.field(path)[0] {
                case .missing, .null: break
                case .string(let bytes), .json(let bytes): read += bytes.count
                case .chat(let turns): read += turns.encoded.count
                }
            case .record: read += block.lines?[0].count ?? 0
            case .label: break
            }
        }
        let memory = asking.memory(context)
        let most = memory.prompt + memory.growth * read
        guard question.count > most else { return }
        breach(
            .memory,
            "the question about record \(row + 1) has \(question.count) bytes; `memory` declares \(most): a prompt of \(memory.prompt), and \(memory.growth) for each of the \(read) bytes read"
        )
    }

    /// Asks what the log does not have, on several threads in another order.
    private mutating func ask<T: AskingBatchTransform>(_ questions: [[UInt8]], _ asking: T) throws(StageError) {
        let (step, log) = (askingStep, answers)
        let missing = Set(questions.filter { log[KitAnswers.Key(step: step, question: $0)] == nil })
            .sorted { $0.lexicographicallyPrecedes($1) }
        guard !missing.isEmpty else { return }
        if asksOnce {
            breach(
                variation.presence == .declared ? .answers : .reads,
                "a question about a record is not the one of the first run, so it would be asked again; it must follow from the record alone"
            )
        }
        let batches = batches(of: missing, asking.batch)
        let askers = KitAskers(asking, context)
        let failure = Mutex<StageError?>(nil)
        Parallel.threads(min(8, asking.requests))(batches.count) { piece in
            do throws(StageError) {
                for (question, answer) in zip(batches[piece], try askers.ask(batches[piece])) {
                    log.add(answer, to: KitAnswers.Key(step: step, question: question))
                }
            } catch {
                failure.withLock { $0 = $0 ?? error }
            }
        }
        do throws(StageError) {
            if failure.withLock({ $0 == nil }), let first = batches.first(where: { $0.count > 1 }),
                try askers.ask(Array(first.dropFirst()))
                    != first.dropFirst().map({ log[KitAnswers.Key(step: step, question: $0)] })
            {
                breach(
                    .answers,
                    "equal questions without their first have other answers; an answer must not depend on the questions beside it"
                )
            }
        } catch {
            failure.withLock { $0 = $0 ?? error }
        }
        try askers.close()
        if let failure = failure.withLock({ $0 }) { throw failure }
        let longest = missing.map { log[KitAnswers.Key(step: step, question: $0)]?.count ?? 0 }.max() ?? 0
        let declared = asking.memory(context).longestAnswer
        if longest > declared {
            breach(.memory, "an answer has \(longest) bytes; `memory` declares at most \(declared) (`longestAnswer`)")
        }
    }
    /// The questions in another order, in batches as a run makes them.
    private func batches(of questions: [[UInt8]], _ limit: AskingBatch) -> [[[UInt8]]] {
        var batches: [[[UInt8]]] = []
        var bytes = 0
        for index in Variation(order: .shuffled(5)).order(questions.count) {
            let question = questions[index]
            if let last = batches.last, limit.hasRoom(beside: last.count, bytes: bytes, for: question.count) {
                batches[batches.count - 1].append(question)
            } else {
                batches.append([question])
                bytes = 0
            }
            bytes += question.count
        }
        return batches
    }
}
