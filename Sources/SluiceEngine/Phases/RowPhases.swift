import SluiceCore
import SluiceIO

/// The phases over the kept columns: transforms, surveys and selections, one after another.
final class RowPhases {
    private let run: RunContext
    private let keeping: ReadPass.Keeping
    /// Scalar columns that the output lists for each kept record.
    private let picks: [ColumnName]
    private var selections = 0
    private var store: ColumnStore { keeping.store }

    init(_ run: RunContext, _ keeping: ReadPass.Keeping, picks: [ColumnName]) {
        self.run = run
        self.keeping = keeping
        self.picks = picks
    }

    /// Does all of the work, and returns the rows that are still in.
    func process(_ work: [StageWork], _ findings: inout RunFindings) throws -> LiveRows {
        var pending = work
        var live = LiveRows(rows: store.rows)
        var round = 0
        while let first = pending.first {
            try keeping.ledger.begin("rows-\(round)")
            round += 1
            let beside = beside(pending)
            let reached = live.count
            let transforms = run.takeTransforms(&pending)
            let leftToChoose = left(pending)
            let next = pending.isEmpty ? nil : pending.removeFirst()
            let pass = rowPass(transforms, next?.link, first.link, live)
            switch next?.body {
            case .survey(let survey)?:
                let link = next?.link ?? first.link
                let share = try run.shares.survey(
                    link.label, survey.memory(run.stage(link, memory: run.shares.most)),
                    beside: beside + pass.longest())
                let leases = try run.begin(link.label, rows: store.rows, share.parts)
                defer { leases.giveBack() }
                let context = run.stage(link, memory: share.bytes)
                let (remaining, learned) = try pass.run(
                    survey: survey, summaries: share.summaries, context: context, on: run.pool,
                    limit: share.blocks, isStopped: run.isStopped)
                live = remaining
                findings.add(learned.report, of: link.label)
                findings.warn(stage: link.label, learned.warnings)
                pending = try StageWork.left(learned.body(survey, context), by: link) + pending
            case .selection(let selection)?:
                try runTransforms(pass, transforms, first.link, beside, &live)
                try keeping.ledger.begin("choice-\(selections)")
                try select(selection, next?.link ?? first.link, leftToChoose, &live, &findings)
            default:
                try runTransforms(pass, transforms, first.link, beside, &live)
            }
            findings.account.add(pass.account)
            _ = try keeping.ledger.flush()
            findings.warn(of: transforms, reached: reached, in: pass.account)
        }
        return live
    }

    private func rowPass(
        _ transforms: TransformChain, _ next: StageChain.Link?, _ first: StageChain.Link,
        _ live: LiveRows
    ) -> RowPass {
        let labels = transforms.links.map(\.label)
        let reads =
            run.chain.links.filter { labels.contains($0.label) }.flatMap(\.reads) + (next?.reads ?? [])
        let written = store.types
        return RowPass(
            store: store, live: live, transforms: transforms,
            // Columns written in this pass don't exist yet.
            reads: reads.filter { if case .column(let name, _) = $0 { written[name] != nil } else { true } },
            keep: run.chain.retention(from: first.index, output: run.definition.output, picks: picks).columns,
            ledger: keeping.ledger, encoder: run.encoder, progress: run.progress,
            observer: next.map { StageDeclaration($0.stage) })
    }

    private func runTransforms(
        _ pass: RowPass, _ transforms: TransformChain, _ link: StageChain.Link, _ beside: [MemoryShares.Part],
        _ live: inout LiveRows
    ) throws {
        guard !transforms.links.isEmpty else { return }
        let share = try run.shares.rows(link.label, beside: beside + pass.longest())
        let leases = try run.begin(link.label, rows: store.rows, share.parts)
        defer { leases.giveBack() }
        live = try pass.run(on: run.pool, limit: share.blocks, isStopped: run.isStopped)
    }

    private func select(
        _ selection: any Selection, _ link: StageChain.Link, _ left: [MemoryShares.Part], _ live: inout LiveRows,
        _ findings: inout RunFindings
    ) throws {
        let leases = try run.begin(link.label, left + run.shares.choosing)
        defer { leases.giveBack() }
        let before = live.count
        let retention = run.chain.retention(from: link.index, output: run.definition.output, picks: picks)
        let own = [.rank] + selection.outcomeColumns.map(\.name)
        let writes = link.stage.writes.filter { own.contains($0.name) && retention.columns.contains($0.name) }
        let done = SelectionFile(path: "\(run.work)/selection-\(selections)", fileSystem: run.fileSystem)
        selections += 1
        let result: SelectionPhase.Result
        if let known = try done.read(rows: store.rows, writes: writes) {
            result = known.result
            keeping.ledger.adopt(known.runs)
        } else {
            let runsBefore = try keeping.ledger.flush()
            let phase = SelectionPhase(
                selection, context: { [run] in run.stage(link, memory: $0) }, store: store, live: live,
                ledger: keeping.ledger, encoder: run.encoder, folder: "\(run.work)/groups", writes: writes,
                shares: run.shares, beside: left, fileSystem: run.fileSystem, progress: run.progress)
            phase.fieldNames = findings.fieldNames
            var held: PhaseLeases?
            defer { held?.giveBack() }
            result = try phase.run(on: run.pool, isStopped: run.isStopped) { [run] part throws(EngineError) in
                held?.giveBack()
                held = try PhaseLeases([part], of: run.budget, for: link.label)
            }
            let runs = try keeping.ledger.flush().filter { !runsBefore.contains($0) }
            try done.write(result, runs: runs)
        }
        live = result.live
        findings.account.add(result.account)
        findings.add(result.report, of: link.label)
        findings.warn(stage: link.label, result.warnings)
        findings.warn(stage: link.label, before: before, after: live.count)
        try store.write(result.columns)
    }

    // MARK: Memory

    /// Memory of the next pass in addition to its blocks: workers of its transforms, and results of surveys.
    private func beside(_ work: [StageWork]) -> [MemoryShares.Part] {
        var memory: [TransformMemory] = []
        for piece in work {
            guard case .transform(let transform) = piece.body else { break }
            memory.append(transform.memory(run.stage(piece.link, memory: run.shares.most)))
        }
        return run.shares.workers(memory) + left(work)
    }

    /// Results of surveys for work not done yet.
    private func left(_ work: [StageWork]) -> [MemoryShares.Part] {
        MemoryShares.left(work.reduce(0) { $0 + ($1.isLeft ? $1.body.residentBytes : 0) })
    }
}
