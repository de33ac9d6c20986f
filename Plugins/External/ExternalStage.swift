import Glibc
public import SluiceCore

/// Gives each record to a program, which writes columns or drops it: a stage in any language.
///
/// The program reads a line of JSON for each record and writes one, see docs/external.md. It has to be a function of the
/// record; then results depend on neither threads nor blocks nor restarts.
///
/// Cost: that of the program, and about a microsecond a record here.
public struct ExternalStage: Stage, WorkerTransform {
    private let options: ExternalOptions
    private let questions: Questions
    private let programs: Programs

    public init(options: OptionValues) throws(StageError) {
        self.init(try ExternalOptions(options), after: [])
    }

    private init(_ options: ExternalOptions, after columns: [ColumnSpec]) {
        self.options = options
        questions = options.questions(after: columns)
        programs = Programs(
            Handshake(command: options.command, terms: options.terms(questions)),
            ExchangeLimits(
                start: Double(options.startTimeout), answer: Double(options.timeout), line: options.longestLine,
                lineGrowth: options.lineGrowth),
            memory: options.memory, most: options.workers)
    }

    public func adapted(to columns: [ColumnSpec]) throws(StageError) -> ExternalStage {
        ExternalStage(options, after: columns)
    }

    public var reads: [Input] { questions.inputs }
    public var writes: [ColumnSpec] { options.columns.map { ColumnSpec($0.name, $0.type) } }

    public func identity() throws(StageError) -> [String: String] {
        let words = try programs.identify().words
        return words.isEmpty ? [:] : ["program": words]
    }

    var planNotes: [String] {
        let most = options.workers.map { "at most \($0)" } ?? "one for each thread"
        let memory =
            options.memory > 0
            ? "each may have \(MemorySize.describe(options.memory)) of address space"
            : "`memory: 2GiB` would limit each"
        return [
            "starts `\(options.command.shown)`, \(most); these are processes of their own, whose memory is not in the budget: \(memory)"
        ]
    }

    // MARK: Work

    public func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: options.memoryPerThread, growth: options.declaredGrowth)
    }

    /// What a thread keeps from block to block.
    public struct Worker {
        let context: StageContext
        let buffer = ByteBuffer()
        let reasons = KnownReasons()
    }

    public func makeWorker(_ context: StageContext) -> Worker {
        programs.enter()
        return Worker(context: context)
    }

    public func close(_ worker: inout Worker) throws(StageError) { try programs.leave(worker.context) }

    public func apply(to block: inout Block, with worker: inout Worker) throws(StageError) {
        let records = block.live
        guard !records.isEmpty else { return }
        for attempt in 1...(options.restarts + 1) {
            let trial = try ask(records, of: block, worker, attempt: attempt)
            if let answers = trial { return answers.finish(&block) }
        }
    }

    /// Asks a program about the records of a block.
    ///
    /// - Returns: the answers; nil if the program has ended and the records should go to another.
    private func ask(
        _ records: [Int], of block: borrowing Block, _ worker: Worker, attempt: Int
    ) throws(StageError) -> AnswerReader? {
        let context = worker.context
        let program: RunningProgram
        do throws(ProgramFailure) { program = try programs.take(context) } catch {
            if case .refused(let error) = error { throw error }
            throw StageError(.io, "the run stops")
        }
        let answers = AnswerReader(
            options.columns, records: records, rows: block.count, first: program.next, growth: options.growth,
            reasons: worker.reasons)
        do throws(ProgramFailure) {
            var exchange = Exchange(program, worker.buffer, programs.limits, context)
            exchange.answers = answers
            let writer = try QuestionWriter(questions, block)
            for (place, record) in records.enumerated() {
                exchange.begin()
                try writer.write(record, id: program.next + place, more: records.count - 1 - place, to: &exchange)
                exchange.end()
                try exchange.move()
            }
            try exchange.finish()
        } catch {
            program.readErrors()
            RunningProgram.end([program], .none)
            programs.lost()
            return try explain(error, program, due: answers.due.map { block.ordinals[$0] }, context, attempt: attempt)
        }
        program.next += records.count
        // What long records took.
        program.unread.shrink(to: options.memoryPerThread / 4)
        worker.buffer.shrink(to: options.memoryPerThread / 4)
        programs.giveBack(program)
        return answers
    }

    /// - Returns: nil if the same records should go to another program.
    private func explain(
        _ failure: ProgramFailure, _ program: RunningProgram, due: Ordinal?, _ context: StageContext, attempt: Int
    ) throws(StageError) -> AnswerReader? {
        let name = "the program `\(options.command.shown)`"
        switch failure {
        case .stopped: throw StageError(.io, "the run stops")
        case .refused(let error): throw error
        case .broken(let what):
            throw StageError(.invalidData, "\(name) \(what)\(program.log.words())", ordinal: due)
        case .ended(let what):
            let left = options.restarts + 1 - attempt
            guard left > 0 else {
                let times = attempt == 1 ? "" : ", \(attempt) times in a row with these records (`restarts`)"
                throw StageError(
                    .io,
                    "\(name) \(what) before it answered this record\(times)\(program.log.words(ifEmpty: Programs.nothingSaid))",
                    ordinal: due)
            }
            context.journal?.add(to: "programs_restarted")
            context.journal?.notice("\(name) \(what); another one gets the same records")
            return nil
        }
    }
}
