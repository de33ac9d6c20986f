import SluiceCore
import SluiceIO

/// Does the tasks of a run.
struct TaskRunner {
    let site: TaskSite

    private var run: RunContext { site.run }
    private var files: TaskFiles { site.files }

    /// Does a task whose inputs exist. A task that is done already is left as it is.
    func perform(_ kind: RunTask.Kind) throws {
        guard try !files.isDone(kind) else { return }
        try files.makeFolders()
        switch kind {
        case .lines(let part): try countLines(part)
        case .borders: try borders()
        case .digest(let file): try digest(file)
        case .hash(let part): try hash(part)
        case .candidates(let bucket): try candidates(bucket)
        case .contents(let part): try contents(part)
        case .duplicates(let bucket): try duplicates(bucket)
        case .read(let part): try PartReader(site: site, part: part).read()
        case .tally: try tally()
        case .transform(let round, let part): try transform(round, part)
        case .observe(let round, let part): try observe(round, part)
        case .merge(let round, _, _): try merge(kind, round)
        case .learn(let round): try learn(round)
        case .count(let round, let part): try SelectionTasks(site, round).count(part)
        case .divide(let round): try SelectionTasks(site, round).divide()
        case .gather(let round, let part): try SelectionTasks(site, round).gather(part)
        case .select(let round, let bundle): try SelectionTasks(site, round).select(bundle)
        case .settle(let round, let part): try SelectionTasks(site, round).settle(part)
        case .write(let part): try PartWriter(site: site, part: part).write()
        case .finish: throw EngineError(.fault, "`finish` is done by the run")
        }
    }

    // MARK: Ranges of files

    private func countLines(_ part: Int) throws {
        let leases = try run.begin(
            RunOutline.reading, bytes: site.bytes(of: part), run.shares.reading(hasTable: false))
        defer { leases.giveBack() }
        let input = try site.inputPass(part, isCounted: false)
        let conveyor = input.conveyor(
            [.ordered { input.giveBack($0) }], limit: run.shares.blocks, lanes: run.shares.streams,
            isStopped: run.isStopped)
        try conveyor.run(on: run.pool)
        try files.finish(.lines(part: part), input.readFiles)
    }

    private func borders() throws {
        var before: [Int: Int] = [:]
        var (file, lines) = (-1, 0)
        for part in site.list.cutParts {
            let own = site.parts.all[part].files.lowerBound
            if own != file { (file, lines) = (own, 0) }
            before[part] = lines
            let counted: [Int: FileFacts] = try files.result(of: site.list.counting(part))
            lines += counted[own]?.lines ?? 0
        }
        try files.finish(.borders, before)
    }

    private func digest(_ file: Int) throws {
        run.progress.begin("digest", step: 1, totalBytes: Int(run.catalog.files[file].size), totalRecords: 0)
        let found = try run.catalog.store.digest(of: run.catalog.files[file].path) { count in
            run.progress.read(bytes: count)
            return run.isStopped()
        }
        guard let found else { throw EngineError.stopped }
        try files.finish(.digest(file: file), found.hash)
    }

    // MARK: Dedupe

    private func hash(_ part: Int) throws {
        let leases = try run.begin(RunOutline.reading, bytes: site.bytes(of: part), run.shares.spilling)
        defer { leases.giveBack() }
        let kind = RunTask.Kind.hash(part: part)
        let input = try site.inputPass(part, isCounted: site.list.countsLines)
        let writer = try site.shuffle.hashWriter(part: part, path: files.data(kind))
        try HashPass(run: run, input: input).process { try writer.append($0, $1) }
        try writer.finish(isStopped: run.isStopped)
        try files.finish(kind, input.readFiles)
    }

    private func paths(_ kind: (Int) -> RunTask.Kind, _ count: Int) -> [String] {
        (0..<count).map { files.data(kind($0)) }
    }

    /// Leases the memory for sorting.
    private func sorting<Result>(_ body: () throws -> Result) throws -> Result {
        let leases = try run.begin(RunOutline.reading, run.shares.spilling)
        defer { leases.giveBack() }
        return try body()
    }

    private func candidates(_ bucket: Int) throws {
        let kind = RunTask.Kind.candidates(bucket: bucket)
        _ = try sorting {
            try site.shuffle.findCandidates(
                bucket: bucket, hashes: paths({ .hash(part: $0) }, site.parts.count), ordinals: site.ordinals(),
                to: files.data(kind), isStopped: run.isStopped)
        }
        try files.finish(kind, Done())
    }

    private func contents(_ part: Int) throws {
        let leases = try run.begin(RunOutline.reading, bytes: site.bytes(of: part), run.shares.comparing)
        defer { leases.giveBack() }
        let kind = RunTask.Kind.contents(part: part)
        let input = try site.inputPass(part, expected: try files.result(of: .hash(part: part)))
        let candidates = try site.shuffle.candidates(
            of: part, in: paths({ .candidates(bucket: $0) }, site.list.buckets))
        let writer = try site.shuffle.contentWriter(part: part, path: files.data(kind))
        let pass = try ContentPass(input, candidates, run.truncatedHash) { group, mark, ordinal, content in
            try writer.append(group: group, mark: mark, ordinal, content)
        }
        try pass.run(on: run.pool, limit: run.shares.blocks, lanes: run.shares.streams, isStopped: run.isStopped)
        try writer.finish(isStopped: run.isStopped)
        try files.finish(kind, Done())
    }

    private func duplicates(_ bucket: Int) throws {
        let kind = RunTask.Kind.duplicates(bucket: bucket)
        _ = try sorting {
            if run.comparesContents {
                try site.shuffle.compareContents(
                    bucket: bucket, contents: paths({ .contents(part: $0) }, site.parts.count),
                    ordinals: site.ordinals(), to: files.data(kind), isStopped: run.isStopped)
            } else {
                try site.shuffle.findDuplicates(
                    bucket: bucket, hashes: paths({ .hash(part: $0) }, site.parts.count), ordinals: site.ordinals(),
                    to: files.data(kind), isStopped: run.isStopped)
            }
        }
        try files.finish(kind, Done())
    }

    // MARK: Rounds

    private func tally() throws {
        var findings = RunFindings(run)
        let readings = try findings.addReadings(site)
        try findings.judgeInput()
        try files.finish(.tally, Tally(rows: readings.map(\.rows), fieldNames: findings.fieldNames))
    }

    /// The round's work over the rows of some parts; nil if the round has none.
    private func work(_ number: Int, _ range: Range<Int>, name: String, observes: Bool) throws -> RowRound? {
        guard let round = try site.round(number) else { return nil }
        let rows = try site.rows(of: range, before: number)
        try rows.ledger.begin("\(name).\(files.attempt)")
        return try RowRound(round, of: run, rows, observes: observes)
    }

    private func transform(_ number: Int, _ part: Int) throws {
        let kind = RunTask.Kind.transform(round: number, part: part)
        guard let work = try work(number, part..<(part + 1), name: kind.id, observes: false) else {
            return try files.finish(kind, PartRound(reached: 0, account: Account()))
        }
        try work.transform()
        try files.finish(kind, PartRound(reached: work.reached, account: work.pass.account))
    }

    private func observe(_ number: Int, _ part: Int) throws {
        let kind = RunTask.Kind.observe(round: number, part: part)
        guard let work = try work(number, part..<(part + 1), name: kind.id, observes: true),
            let last = work.round.last, case .survey(let survey) = last.body
        else { throw Self.otherWork(number) }
        try observe(survey, last.link, work, kind)
    }

    private func observe(
        _ survey: some Survey, _ link: StageChain.Link, _ work: RowRound, _ kind: RunTask.Kind
    ) throws {
        try work.observing(survey, link) { share in
            try files.finish(kind, try work.observe(survey, share, link))
        }
    }

    private func merge(_ kind: RunTask.Kind, _ number: Int) throws {
        try withSummary(of: kind, number, Merging(files: files, kind: kind))
    }

    private func learn(_ number: Int) throws {
        let kind = RunTask.Kind.learn(round: number)
        try withSummary(of: kind, number, Learning(site: site, round: number))
        try files.finish(kind, Done())
    }

    /// Merges the summaries that a task reads, one at a time.
    private func withSummary(of kind: RunTask.Kind, _ number: Int, _ use: some SummaryUse) throws {
        guard let round = try site.round(number), let last = round.last, case .survey(let survey) = last.body else {
            throw Self.otherWork(number)
        }
        try withSummary(of: kind, survey, round, last.link, use)
    }

    private func withSummary<S: Survey>(
        of kind: RunTask.Kind, _ survey: S, _ round: Rounds.Round, _ link: StageChain.Link, _ use: some SummaryUse
    ) throws {
        var need = survey.memory(run.stage(link, memory: run.shares.most))
        // The merged summary, and the one that is read.
        need.finish = max(need.finish, need.summary)
        let share = try run.shares.survey(link.label, need, beside: round.left)
        let leases = try run.begin(link.label, share.parts)
        defer { leases.giveBack() }
        var total: S.Summary?
        for task in site.list.summaries(of: kind) {
            let part: S.Summary = try files.result(of: task)
            if var sum = total.take() {
                survey.merge(part, into: &sum)
                total = sum
            } else {
                total = part
            }
        }
        try use.use(total ?? survey.makeSummary(), survey, run.stage(link, memory: share.bytes))
    }

    static func otherWork(_ round: Int) -> EngineError {
        EngineError(.fault, "round \(round) has other work than the plan says")
    }
}

/// What is done with a merged summary, of any survey.
private protocol SummaryUse {
    func use<S: Survey>(_ summary: consuming S.Summary, _ survey: S, _ context: StageContext) throws
}

private struct Merging: SummaryUse {
    let files: TaskFiles
    let kind: RunTask.Kind

    func use<S: Survey>(_ summary: consuming S.Summary, _ survey: S, _ context: StageContext) throws {
        try files.finish(kind, summary)
    }
}

private struct Learning: SummaryUse {
    let site: TaskSite
    let round: Int

    func use<S: Survey>(_ summary: consuming S.Summary, _ survey: S, _ context: StageContext) throws {
        let learned = try Learned(survey, summary, context)
        // What cannot be used by later tasks is not kept.
        _ = try learned.body(survey, context)
        try RoundFiles(round, in: site.run).write(learned)
    }
}
