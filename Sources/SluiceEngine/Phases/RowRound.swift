import SluiceCore
import SluiceIO

/// One round of work over the rows of a store: those of the whole run, or of one part of the input.
struct RowRound {
    let round: Rounds.Round
    let pass: RowPass
    private let run: RunContext
    private let files: RoundFiles
    private let rows: Rows

    /// The rows, and where the lines of dropped ones go.
    struct Rows {
        let store: ColumnStore
        /// The rows that are in when the round begins.
        let live: LiveRows
        let ledger: LedgerRuns
    }

    /// Adopts what a stopped run has done of the round.
    ///
    /// - Parameter observes: whether its survey, if it has one, sees the rows in the same pass.
    init(_ round: Rounds.Round, of run: RunContext, _ rows: Rows, observes: Bool = true) throws {
        self.round = round
        self.run = run
        self.rows = rows
        files = RoundFiles(round.number, in: run)
        pass = try RowPass(
            Self.work(round, run, observes: observes), store: rows.store, live: rows.live, ledger: rows.ledger,
            files: files, run)
    }

    private static func work(_ round: Rounds.Round, _ run: RunContext, observes: Bool) -> RowPass.Work {
        let labels = round.labels
        var work = RowPass.Work(
            transforms: round.transforms,
            reads: run.chain.links.filter { labels.contains($0.label) }.flatMap(\.reads),
            // A transform of the round may write what a later step of its stage reads.
            keep: run.retention(
                from: round.first.index,
                unfinished: Set([round.first.index] + [round.last?.link.index].compactMap { $0 })
            ).columns)
        if observes, let last = round.last, case .survey = last.body {
            work.observer = (last.link.declaration, last.link.reads)
        }
        return work
    }

    /// The records that reach the round.
    var reached: Int { rows.live.count }

    /// Runs the transforms, if they are not done.
    func transform() throws {
        guard !pass.isTransformed else { return }
        let requests = try requests()
        let share = try run.shares.rows(round.first.label, beside: round.beside + pass.longest(), requests)
        let leases = try run.begin(round.first.label, rows: rows.store.rows, share.parts)
        defer { leases.giveBack() }
        try run.answers.open(for: requests)
        defer { run.answers.close() }
        _ = try pass.run(on: run.pool, share, isStopped: run.isStopped)
    }

    /// The requests of the transforms that are not done, with room for the answers in the log and one for each record.
    private func requests() throws(EngineError) -> Requests {
        var requests = round.transforms.requests
        guard requests.width > 0, !pass.isTransformed else { return Requests() }
        let own = round.transforms.askings.count * reached
        // Other processes that share the log add answers meanwhile.
        requests.answers = try run.answers.count() + own + (run.answers.isShared ? 15 * own + 10_000 : 0)
        return requests
    }

    // MARK: Surveys

    /// What the survey learned; nil if it has not.
    func known() throws(IOFailure) -> Learned? { try files.outcome() }

    /// Lets the survey see all rows, runs the transforms that are not done, and learns.
    func learn(_ survey: some Survey, _ link: StageChain.Link) throws -> Learned {
        if let known = try known() { return known }
        return try observing(survey, link) { share in
            let context = run.stage(link, memory: share.bytes)
            return try keep(Learned(survey, try observe(survey, share, link), context))
        }
    }

    func keep(_ learned: Learned) throws(IOFailure) -> Learned {
        try files.write(learned)
        return learned
    }

    /// Leases the memory of a pass with a survey.
    func observing<Result>(
        _ survey: some Survey, _ link: StageChain.Link, _ body: (MemoryShares.SurveyShare) throws -> Result
    ) throws -> Result {
        let requests = try requests()
        let share = try run.shares.survey(
            link.label, survey.memory(run.stage(link, memory: run.shares.most)),
            beside: round.beside + pass.longest(), requests)
        let leases = try run.begin(link.label, rows: rows.store.rows, share.parts)
        defer { leases.giveBack() }
        try run.answers.open(for: requests)
        defer { run.answers.close() }
        return try body(share)
    }

    /// The summary of all rows.
    func observe<S: Survey>(
        _ survey: S, _ share: MemoryShares.SurveyShare, _ link: StageChain.Link
    ) throws -> S.Summary {
        try pass.run(
            survey: survey, share, label: link.label, on: run.pool, isStopped: run.isStopped)
    }

    // MARK: Selections

    /// The columns of a selection that anything reads.
    static func writes(_ selection: any Selection, _ link: StageChain.Link, _ run: RunContext) -> [ColumnSpec] {
        let own = [.rank] + selection.outcomeColumns.map(\.name)
        let kept = run.retention(from: link.index).columns
        return link.stage.writes.filter { own.contains($0.name) && kept.contains($0.name) }
    }

    static func selectionFile(_ round: Int, _ run: RunContext) -> SelectionFile {
        SelectionFile(path: "\(run.work)/selection-\(round)", files: run.sealed)
    }

    /// Selects among the rows that the transforms left, if that is not done, and writes the columns.
    ///
    /// - Parameters:
    ///   - fieldNames: of a record, for messages.
    ///   - scratch: a folder for files of this work alone.
    func select(
        _ selection: any Selection, _ link: StageChain.Link, fieldNames: [String], scratch: String
    ) throws -> SelectionPhase.Result {
        let leases = try run.begin(link.label, round.left + run.shares.choosing)
        defer { leases.giveBack() }
        let writes = Self.writes(selection, link, run)
        let done = Self.selectionFile(round.number, run)
        if let known = try done.read(rows: rows.store.rows, writes: writes) {
            rows.ledger.adopt(known.runs)
            rows.store.adopt(writes, round: round.number)
            return known.result
        }
        let memory = SelectionMemory(selection, link, run, beside: round.left)
        defer { memory.giveBack() }
        let all = pass.remaining
        let reached = try link.gate?.rows(of: all, in: rows.store) ?? all
        var result = try SelectionPhase(
            memory: memory, run: run, rows: Rows(store: rows.store, live: reached, ledger: rows.ledger),
            fieldNames: fieldNames, writes: writes, folder: scratch
        ).select()
        result.live.formUnion(all.subtracting(reached))
        try rows.store.write(result.columns, passing: all.subtracting(reached), round: round.number)
        try done.write(result, runs: rows.ledger.cut())
        return result
    }
}
