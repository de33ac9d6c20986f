import SluiceCore
import SluiceIO

/// What every task of a run uses.
final class TaskSite {
    let run: RunContext
    let list: TaskList
    let files: TaskFiles

    init(_ run: RunContext) {
        self.run = run
        list = TaskList(run)
        files = TaskFiles(run)
    }

    var parts: InputParts { list.parts }
    var fileSystem: FileSystem { run.fileSystem }

    /// The lines of a part's file before it, if it is a range of a file.
    func linesBefore(_ part: Int) throws -> Int {
        guard parts.all[part].isCut else { return 0 }
        return try borders()[part] ?? 0
    }

    private func borders() throws -> [Int: Int] {
        parts.cutFiles.isEmpty ? [:] : try files.result(of: .borders, as: [Int: Int].self)
    }

    /// Where the records of each part are in the input, for the dedupe.
    func ordinals() throws -> [PartOrdinals] {
        let borders = try borders()
        return parts.all.indices.map { part in
            let before = borders[part] ?? 0
            let first = Ordinal(file: parts.all[part].files.lowerBound, line: before == 0 ? 0 : before + 1)
            return PartOrdinals(first: first.rawValue, added: list.countsLines ? 0 : UInt64(before))
        }
    }

    /// The pass that reads a part.
    ///
    /// - Parameter isCounted: whether lines are counted from the beginning of the part's file.
    func inputPass(
        _ part: Int, _ stageFields: [FieldPath] = [], expected: [Int: FileFacts] = [:], isCounted: Bool = true
    ) throws -> InputPass {
        run.inputPass(
            InputPass.Request(
                stageFields: stageFields, watched: stageFields.isEmpty ? [] : run.chain.named.map(\.field),
                expected: expected, part: part,
                linesBefore: isCounted ? try linesBefore(part) : 0))
    }

    /// The stored bytes of a part.
    func bytes(of part: Int) -> Int { parts.bytes(of: part, run.catalog) }

    var shuffle: DedupeShuffle {
        DedupeShuffle(
            plan: run.plan, parts: parts.count, buckets: max(1, list.buckets),
            memory: run.options.dedupeBytes ?? run.shares.dedupe, scratch: files.scratch("dedupe"),
            fileSystem: fileSystem)
    }

    // MARK: Rounds

    /// All rounds up to one, whose earlier surveys must have learned.
    ///
    /// - Returns: nil if the round has no work: a survey may leave none.
    func round(_ number: Int) throws -> Rounds.Round? {
        var rounds = Rounds(run, run.outline.later)
        while let round = try rounds.next() {
            if round.number == number { return round }
            guard let last = round.last, case .survey(let survey) = last.body else { continue }
            let files = RoundFiles(round.number, in: run)
            guard let learned = try files.outcome() else { throw TaskFiles.notDone(.learn(round: round.number)) }
            try rounds.add(learned, of: survey, last.link)
        }
        return nil
    }

    /// The rows of some parts before a round, with their columns on disk.
    ///
    /// - Parameter isTransformed: whether the round's transforms have been done.
    func rows(of range: Range<Int>, before round: Int, transformed isTransformed: Bool = false) throws -> RowRound.Rows
    {
        let store = try ColumnStore(folder: "\(run.work)/columns", fileSystem: fileSystem, isShared: true)
        let ledger = LedgerRuns(folder: run.work, shareBytes: run.shares.ledger, fileSystem: fileSystem)
        for part in range {
            let reading: PartReading = try files.result(of: .read(part: part))
            for shard in reading.shards { store.add(store.next(of: part), rows: shard.rows, types: shard.types) }
            ledger.adopt(reading.runs)
        }
        var live = LiveRows(rows: store.rows)
        for outline in run.outline.rounds where outline.number < round || isTransformed && outline.number == round {
            if outline.hasTransforms { try adopt(outline.number, .transforms, store, &live, ledger) }
            if outline.last == .selection, outline.number < round {
                try adopt(outline.number, .selection, store, &live, ledger)
            }
        }
        return RowRound.Rows(store: store, live: live, ledger: ledger)
    }

    /// Adopts what the transforms of a round did, or its selection.
    private func adopt(
        _ round: Int, _ work: RoundFiles.Work, _ store: ColumnStore, _ live: inout LiveRows, _ ledger: LedgerRuns
    ) throws {
        let states = RoundFiles(round, of: work, in: run)
        for shard in store.shards {
            guard let state = try states.state(of: shard.id) else {
                if try leavesStates(round, work) { throw states.missing(shard.id) }
                return
            }
            guard state.live.rows == shard.rows.count else { throw states.damaged(shard.id) }
            live.keep(state.live, from: shard.rows.lowerBound)
            store.add(state.types, to: shard.number, round: round)
            ledger.adopt(state.runs)
        }
    }

    /// A survey may leave a later round without work.
    private func leavesStates(_ number: Int, _ work: RoundFiles.Work) throws -> Bool {
        guard let round = try round(number) else { return false }
        return work == .selection || !round.transforms.links.isEmpty
    }
}
