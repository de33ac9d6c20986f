import CMalloc
import SluiceCore
import SluiceIO

/// The phases of a run, one after another: the first pass, surveys and selections over the kept columns, the last pass.
/// Resumes from a checkpoint if there is one.
final class Execution {
    private let definition: Definition
    private let chain: StageChain
    private let catalog: InputCatalog
    private let options: RunOptions
    private let progress: ProgressMeter
    private let shares: MemoryShares
    private let budget: MemoryBudget
    private let pool: WorkerPool
    private let pieces: [StageWork]
    private let encoder: LineEncoder
    private let keptEncoder: KeptEncoder
    private let output: String
    private let work: String
    private let checkpointFile: CheckpointFile
    private let checkpoints: Checkpoints

    private(set) var account = Account()
    private(set) var warnings: [String] = []
    /// Reports of surveys and selections, in order.
    private(set) var reports: [(label: String, report: Report)] = []
    private(set) var dedupeReport: Report?
    /// Digest and number of lines of each input file.
    private(set) var files: [Int: Checkpoint.FileFacts] = [:]
    /// The facts about the files when the dedupe read them in a separate pass.
    private var dedupedFiles: [Int: Checkpoint.FileFacts] = [:]
    /// The field names of a record, for messages.
    private var fieldNames: [String] = []
    private let numbers: PhaseNumbers
    private var selections = 0

    init(
        _ definition: Definition, chain: StageChain, pieces: [StageWork], catalog: InputCatalog, options: RunOptions,
        progress: ProgressMeter, shares: MemoryShares, budget: MemoryBudget, pool: WorkerPool, work: String,
        output: String
    ) {
        self.definition = definition
        self.chain = chain
        self.catalog = catalog
        self.options = options
        self.progress = progress
        self.shares = shares
        self.budget = budget
        self.pool = pool
        self.pieces = pieces
        numbers = PhaseNumbers(pieces)
        self.output = output
        self.work = work
        encoder = LineEncoder(fileNames: catalog.files.map(\.name))
        keptEncoder = KeptEncoder(form: definition.output.record, annotate: definition.output.annotate)
        checkpointFile = CheckpointFile(path: "\(work)/\(RunDirectory.checkpointName)", fileSystem: options.fileSystem)
        checkpoints = Checkpoints(
            file: checkpointFile, segmentBytes: options.segmentBytes, interval: options.checkpointSeconds)
    }

    /// Runs all phases; then the outputs are complete and on disk, and the counts add up.
    func process() throws -> Outputs {
        do {
            return try process(duplicates: try knownDuplicates())
        } catch let overflow as Deduper.Overflow {
            // The table does not fit: get the same answer from partitions on disk, with one more pass over the input.
            account = Account()
            warnings = []
            reports = []
            try options.fileSystem.remove(checkpointFile.path)
            return try process(duplicates: try findDuplicates(after: overflow))
        }
    }

    private func process(duplicates: DuplicateStream?) throws -> Outputs {
        let checkpoint = try checkpointFile.read()
        var pending = pieces
        // Stages of several steps: a step may read the columns that an earlier one writes.
        let severalPieces = Set(
            zip(pending, pending.dropFirst()).filter { $0.link.index == $1.link.index }.map(\.0.link.index))
        let transforms = takeTransforms(&pending)
        let picks = pending.isEmpty ? [] : chain.written.filter { $0.type.isScalar }.map(\.name)
        let outputs = try Outputs(
            folder: output, spec: definition.output, compressors: shares.compressors, writesPicks: !picks.isEmpty,
            from: checkpoint?.streams,
            fileSystem: options.fileSystem)
        let keeping = try pending.first.map { try self.keeping($0.link, pending, picks, checkpoint) }
        let wanted = chain.wanted(from: 0, output: definition.output, unfinished: severalPieces)
        var base = try firstPass(transforms, wanted, keeping, outputs, duplicates, checkpoint)
        if let keeping {
            let live = try rowPhases(&pending, keeping, picks: picks)
            try emit(keeping, live, outputs, picks, base: base, checkpoint)
        }
        account.kept = outputs.kept.lines
        try judgeResult(kept: account.kept)
        try account.close()
        guard outputs.ledger.lines == account.dropped, outputs.quarantine.lines == account.quarantined else {
            throw EngineError(
                .fault,
                "the ledger has \(outputs.ledger.lines) lines for \(account.dropped) dropped records, the quarantine \(outputs.quarantine.lines) for \(account.quarantined) malformed ones; please report this with the definition"
            )
        }
        // A checkpoint has the counts of the first pass: those of later phases are read again from their own files.
        base.phase = .finishing
        base.streams = outputs.assembled
        try checkpoints.write(base, outputs)
        try outputs.finish()
        return outputs
    }

    // MARK: The work to do

    private func context(_ link: StageChain.Link, memory: Int) -> StageContext {
        chain.context(link, memory: memory, parallel: pool.parallel, isStopped: options.isStopped)
    }

    private func takeTransforms(_ work: inout [StageWork]) -> TransformRun {
        var run = TransformRun()
        while let first = work.first, case .transform(let transform) = first.body {
            run.links.append(
                TransformRun.Link(
                    transform, StageDeclaration(first.link.stage), writesAll: first.isWhole,
                    context(first.link, memory: shares.most)))
            work.removeFirst()
        }
        return run
    }

    /// Memory of the next pass in addition to its blocks: workers of its transforms, and results of surveys.
    private func beside(_ work: [StageWork]) -> [MemoryShares.Part] {
        var memory: [TransformMemory] = []
        for piece in work {
            guard case .transform(let transform) = piece.body else { break }
            memory.append(transform.memory(context(piece.link, memory: shares.most)))
        }
        return shares.workers(memory) + left(work)
    }

    /// Results of surveys for work not done yet.
    private func left(_ work: [StageWork]) -> [MemoryShares.Part] {
        MemoryShares.left(work.reduce(0) { $0 + ($1.isLeft ? $1.body.residentBytes : 0) })
    }

    private func keeping(
        _ link: StageChain.Link, _ pending: [StageWork], _ picks: [ColumnName], _ checkpoint: Checkpoint?
    ) throws -> FirstPass.Keeping {
        let later = pending.map(\.link.index).min() ?? link.index
        let store = try ColumnStore(folder: "\(work)/columns", fileSystem: options.fileSystem)
        for (number, shard) in (checkpoint?.shards ?? []).enumerated() {
            store.add(shard: number, rows: shard.rows, types: shard.types)
        }
        return FirstPass.Keeping(
            store: store,
            ledger: LedgerRuns(
                folder: work, shareBytes: shares.ledger, adopting: checkpoint?.runs ?? [],
                fileSystem: options.fileSystem),
            retention: chain.retention(from: later, output: definition.output, picks: picks))
    }

    /// - Parameter parts: the parts of the budget that the phase holds until its leases are returned.
    private func begin(
        _ name: String, bytes: Int = 0, rows: Int = 0, _ parts: [MemoryShares.Part]
    ) throws(EngineError) -> PhaseLeases {
        // The memory of the previous phase must return to the system before the next one takes its share.
        malloc_trim(0)
        progress.begin(name, step: numbers.number(of: name), totalBytes: bytes, totalRecords: rows)
        return try PhaseLeases(parts, of: budget, for: name)
    }

    private func inputPass(
        stageFields: [FieldPath], from checkpoint: Checkpoint? = nil,
        expecting expected: [Int: Checkpoint.FileFacts] = [:], replays: Bool = false, table: Int = 0
    ) -> InputPass {
        InputPass(
            catalog: catalog, spec: definition.input, stageFields: stageFields,
            limits: FramingLimits(blockBytes: options.blockBytes, maxRecord: definition.input.maxRecord),
            fileSystem: options.fileSystem, progress: progress, shares: shares, from: checkpoint, expecting: expected,
            replays: replays, table: table, keepsKeys: table > 0 && comparesContents)
    }

    // MARK: Dedupe beyond memory

    private var dedupeShare: Int { options.dedupeBytes ?? shares.dedupe }
    private var dedupeFolder: String { "\(work)/dedupe" }
    private var dedupeHash: DedupeHash { DedupeHash(bits: options.dedupeHashBits) }
    private var comparesContents: Bool { definition.input.dedupe?.verify == .bytes }

    /// The facts about the files when the dedupe read them: its result is about that content, not about the current
    /// one.
    private var dedupedFilesFile: CheckpointFile {
        CheckpointFile(path: "\(work)/deduped-files", fileSystem: options.fileSystem)
    }

    /// The duplicates that a stopped run had already found, or had found in part.
    private func knownDuplicates() throws -> DuplicateStream? {
        guard let read = try dedupedFilesFile.read() else { return nil }
        if let duplicates = try known("duplicates") {
            dedupedFiles = read.files
            return duplicates
        }
        guard let candidates = try known("candidates") else { return nil }
        dedupedFiles = read.files
        return try compareContents(candidates)
    }

    /// A complete intermediate result of the dedupe of a stopped run.
    private func known(_ name: String) throws -> DuplicateStream? {
        let path = "\(dedupeFolder)/\(name)"
        guard definition.input.dedupe != nil, try options.fileSystem.status(of: path) != nil else { return nil }
        let file = try DuplicateStream(path, fileSystem: options.fileSystem)
        // Read completely, to verify the checksum before any of it is used.
        while try file.next() != nil {}
        return try DuplicateStream(path, fileSystem: options.fileSystem)
    }

    private func findDuplicates(after overflow: Deduper.Overflow) throws -> DuplicateStream {
        if let stream = catalog.stream {
            let held = comparesContents ? ", whose contents it holds because of `verify: bytes`" : ""
            throw EngineError(
                .resources,
                "the dedupe of \(stream.described) outgrew its \(MemorySize.describe(overflow.share)) after \(overflow.records) distinct records\(held); raise `memory`, or give a file, which can be read twice"
            )
        }
        let leases = try begin("dedupe", bytes: Int(catalog.totalSize), shares.spilling)
        defer { leases.giveBack() }
        if try options.fileSystem.status(of: dedupeFolder) != nil { try options.fileSystem.removeTree(dedupeFolder) }
        let spill = try DedupeSpill(
            folder: dedupeFolder, memory: dedupeShare,
            // Once the input has been read, no long record needs its memory.
            sortMemory: options.dedupeBytes ?? shares.dedupe + shares.long, fileSystem: options.fileSystem)
        let input = inputPass(stageFields: [])
        let hash = dedupeHash
        let conveyor = input.conveyor(
            [
                .parallel { parcel in
                    try input.parse(parcel)
                    parcel.releaseLine()
                },
                .ordered { parcel in
                    try input.refuseFaults(parcel)
                    for record in parcel.hashes.indices {
                        try spill.append(hash(parcel.hashes[record]), parcel.ordinals[record].rawValue)
                    }
                    input.giveBack(parcel)
                },
            ], limit: shares.blocks, lanes: shares.streams, isStopped: options.isStopped)
        try conveyor.run(on: pool)
        dedupedFiles = input.readFiles
        var read = Checkpoint(phase: .reading)
        read.files = dedupedFiles
        try dedupedFilesFile.write(read)
        try spill.finish()
        guard comparesContents else { return try spill.resolve() }
        let candidates = try spill.candidates()
        // The next pass takes its own leases.
        leases.giveBack()
        return try compareContents(candidates)
    }

    /// One more pass, for records that share only a hash.
    private func compareContents(_ candidates: DuplicateStream) throws -> DuplicateStream {
        let leases = try begin("comparing", bytes: Int(catalog.totalSize), shares.comparing)
        defer { leases.giveBack() }
        let input = inputPass(stageFields: [], expecting: dedupedFiles)
        let comparison = try ContentComparison(
            folder: dedupeFolder, memory: dedupeShare, fileSystem: options.fileSystem)
        let pass = try ContentPass(input, candidates, comparison, dedupeHash)
        let duplicates = try pass.run(
            on: pool, limit: shares.blocks, lanes: shares.streams, isStopped: options.isStopped)
        return duplicates
    }

    // MARK: The first pass

    private func firstPass(
        _ transforms: TransformRun, _ wanted: [ColumnName], _ keeping: FirstPass.Keeping?, _ outputs: Outputs,
        _ duplicates: DuplicateStream?, _ checkpoint: Checkpoint?
    ) throws -> Checkpoint {
        if let checkpoint, checkpoint.phase != .reading {
            account = checkpoint.account
            files = checkpoint.files
            fieldNames = checkpoint.fieldNames
            noteDedupe(distinct: checkpoint.distinct)
            try judgeInput()
            warn(of: transforms)
            return checkpoint
        }
        let leases = try begin(
            PhaseNumbers.reading, bytes: Int(catalog.totalSize), shares.reading(hasTable: duplicates == nil))
        defer { leases.giveBack() }
        let hasTable = definition.input.dedupe != nil && duplicates == nil
        let input = inputPass(
            stageFields: chain.fields, from: checkpoint, expecting: dedupedFiles,
            // The dedupe's table is not kept on disk: the input before the stop is read and hashed again.
            replays: hasTable, table: hasTable ? options.dedupeBytes ?? shares.largestTable : 0)
        let deduper = try definition.input.dedupe.map { _ in
            let inMemory: Deduper.Means = comparesContents ? .contents : .table
            return try Deduper(duplicates.map { .duplicates($0) } ?? inMemory, dedupeHash, room: input.long) {
                [progress] in
                let state = progress.state
                return state.totalBytes > 0 ? Double(state.bytes) / Double(state.totalBytes) : 0
            }
        }
        deduper?.distinct = checkpoint?.distinct ?? 0
        let pass = FirstPass(
            input: input, deduper: deduper, transforms: transforms, readsRecord: chain.readsRecord,
            wanted: wanted, encoder: encoder, keptEncoder: keptEncoder, outputs: outputs, keeping: keeping,
            checkpoints: checkpoints, account: checkpoint?.account ?? Account())
        try input.checkSkippedFiles(isStopped: options.isStopped)
        try pass.run(on: pool, limit: shares.blocks, lanes: shares.streams, isStopped: options.isStopped)
        account = pass.account
        files = input.readFiles
        fieldNames = input.fieldNames
        noteDedupe(distinct: deduper?.distinct ?? 0)
        try judgeInput()
        warn(of: transforms)
        let done = try pass.checkpoint(.choosing)
        if keeping != nil { try checkpoints.write(done, outputs) }
        return done
    }

    private func judgeInput() throws(EngineError) {
        let verdict = InputVerdict(
            spec: definition.input, catalog: catalog, account: account, files: files, fieldNames: fieldNames)
        warnings += try verdict.warnings().map(Printable.message)
    }

    /// A result without records is rarely intended.
    private func judgeResult(kept: Int) throws(EngineError) {
        guard kept == 0 else { return }
        let reasons = account.allDrops.map { "\($0.stage): \($0.reason) \($0.count)" }
        let why = reasons.isEmpty ? "" : " (\(reasons.joined(separator: ", ")))"
        let what = "nothing was kept of \(account.read) lines\(why)"
        guard !definition.output.failIfEmpty else {
            throw EngineError(
                .data, "\(what), and `output.fail_if_empty` is set; nothing was written\(fieldsThere)")
        }
        // A warning that names the stage that dropped everything already says so.
        if warnings.isEmpty { warnings.append(Printable.message(what + fieldsThere)) }
    }

    /// An upper bound on the probability that two different records share a hash: n²/2 pairs over 2¹²⁸.
    private func noteDedupe(distinct: Int) {
        guard let dedupe = definition.input.dedupe else { return }
        let n = Double(account.read - account.quarantined)
        dedupeReport = .object(
            [
                .init("method", "XXH3-128"), .init("verify", .text(dedupe.verify.rawValue)),
                .init("distinct", .integer(distinct)),
                .init("collision_probability_at_most", .real(n * n / 2 / 0x1p128)),
            ] + (comparesContents ? [.init("collisions", .integer(account.collisions))] : []))
    }

    // MARK: Surveys and selections

    private func rowPhases(
        _ pending: inout [StageWork], _ keeping: FirstPass.Keeping, picks: [ColumnName]
    ) throws -> LiveRows {
        let store = keeping.store
        var live = LiveRows(rows: store.rows)
        var round = 0
        while let first = pending.first {
            try keeping.ledger.begin("rows-\(round)")
            round += 1
            let beside = beside(pending)
            let reached = live.count
            let transforms = takeTransforms(&pending)
            let leftToChoose = left(pending)
            let next = pending.isEmpty ? nil : pending.removeFirst()
            let pass = rowPass(transforms, next?.link, first.link, keeping, live, picks)
            switch next?.body {
            case .survey(let survey)?:
                let link = next?.link ?? first.link
                let share = try shares.survey(
                    link.label, survey.memory(context(link, memory: shares.most)),
                    beside: beside + pass.longest())
                let leases = try begin(link.label, rows: store.rows, share.parts)
                defer { leases.giveBack() }
                let (remaining, result) = try pass.run(
                    survey: survey, summaries: share.summaries, context: context(link, memory: share.bytes), on: pool,
                    limit: share.blocks, isStopped: options.isStopped)
                live = remaining
                if result.report != [:] { reports.append((link.label, result.report)) }
                pending = try StageWork.left(result.body, by: link) + pending
            case .selection(let selection)?:
                try runTransforms(pass, transforms, first.link, beside, &live, store)
                try keeping.ledger.begin("choice-\(selections)")
                try select(selection, next?.link ?? first.link, leftToChoose, keeping, &live, picks: picks)
            default:
                try runTransforms(pass, transforms, first.link, beside, &live, store)
            }
            account.add(pass.account)
            _ = try keeping.ledger.flush()
            warn(of: transforms, reached: reached, in: pass.account)
        }
        return live
    }

    private func rowPass(
        _ transforms: TransformRun, _ next: StageChain.Link?, _ first: StageChain.Link,
        _ keeping: FirstPass.Keeping, _ live: LiveRows, _ picks: [ColumnName]
    ) -> RowPass {
        let labels = transforms.links.map(\.label)
        let reads = chain.links.filter { labels.contains($0.label) }.flatMap(\.stage.reads) + (next?.stage.reads ?? [])
        let written = keeping.store.types
        return RowPass(
            store: keeping.store, live: live, transforms: transforms,
            // Columns written in this pass don't exist yet.
            reads: reads.filter { if case .column(let name, _) = $0 { written[name] != nil } else { true } },
            keep: chain.retention(from: first.index, output: definition.output, picks: picks).columns,
            ledger: keeping.ledger, encoder: encoder, progress: progress,
            observer: next.map { StageDeclaration($0.stage) })
    }

    private func runTransforms(
        _ pass: RowPass, _ transforms: TransformRun, _ link: StageChain.Link, _ beside: [MemoryShares.Part],
        _ live: inout LiveRows, _ store: ColumnStore
    ) throws {
        guard !transforms.links.isEmpty else { return }
        let share = try shares.rows(link.label, beside: beside + pass.longest())
        let leases = try begin(link.label, rows: store.rows, share.parts)
        defer { leases.giveBack() }
        live = try pass.run(on: pool, limit: share.blocks, isStopped: options.isStopped)
    }

    private func select(
        _ selection: any Selection, _ link: StageChain.Link, _ left: [MemoryShares.Part], _ keeping: FirstPass.Keeping,
        _ live: inout LiveRows, picks: [ColumnName]
    ) throws {
        let leases = try begin(link.label, rows: live.count, left + shares.choosing)
        defer { leases.giveBack() }
        let before = live.count
        let retention = chain.retention(from: link.index, output: definition.output, picks: picks)
        let writesRanks = link.stage.writes.contains { $0.name == .rank } && retention.columns.contains(.rank)
        let done = SelectionFile(path: "\(work)/selection-\(selections)", fileSystem: options.fileSystem)
        selections += 1
        let result: SelectionPhase.Result
        if let known = try done.read(rows: keeping.store.rows) {
            result = known.result
            keeping.ledger.adopt(known.runs)
        } else {
            let runsBefore = try keeping.ledger.flush()
            let phase = SelectionPhase(
                selection, context: { [self] in context(link, memory: $0) }, store: keeping.store, live: live,
                ledger: keeping.ledger, encoder: encoder, folder: "\(work)/groups", notesRanks: writesRanks,
                shares: shares, beside: left, fileSystem: options.fileSystem)
            var held: PhaseLeases?
            defer { held?.giveBack() }
            result = try phase.run(on: pool, isStopped: options.isStopped) { [budget] part throws(EngineError) in
                held?.giveBack()
                held = try PhaseLeases([part], of: budget, for: link.label)
            }
            let runs = try keeping.ledger.flush().filter { !runsBefore.contains($0) }
            try done.write(result, runs: runs)
        }
        live = result.live
        account.add(result.account)
        if result.report != [:] { reports.append((link.label, result.report)) }
        warn(stage: link.label, before: before, after: live.count)
        if writesRanks {
            try keeping.store.writeRanks(result.ranks)
        }
    }

    // MARK: The last pass

    private func emit(
        _ keeping: FirstPass.Keeping, _ live: LiveRows, _ outputs: Outputs, _ picks: [ColumnName],
        base: Checkpoint, _ checkpoint: Checkpoint?
    ) throws {
        if checkpoint?.phase == .finishing { return }
        let leases = try begin(PhaseNumbers.writing, bytes: Int(catalog.totalSize), shares.writing)
        defer { leases.giveBack() }
        var base = base
        base.phase = .writing
        // Only a checkpoint of this pass states where to resume in it.
        var start = base
        start.position = checkpoint?.phase == .writing ? base.position : Checkpoint.Position()
        let input = inputPass(stageFields: [], from: start)
        let pass = EmitPass(
            input: input, store: keeping.store, live: live, keptEncoder: keptEncoder, encoder: encoder,
            outputs: outputs, ledger: try keeping.ledger.merged(isStopped: options.isStopped),
            pickColumns: picks.filter { keeping.store.types[$0] != nil }, checkpoints: checkpoints, base: base,
            resumes: start.position != Checkpoint.Position())
        try input.checkSkippedFiles(isStopped: options.isStopped)
        try pass.run(on: pool, limit: shares.blocks, lanes: shares.streams, isStopped: options.isStopped)
        try pass.close()
    }

    // MARK: Warnings

    /// Warns about the transforms of the first pass: all distinct good records reached them.
    private func warn(of transforms: TransformRun) {
        let reached = account.read - account.quarantined - account.dropped(by: Deduper.stage)
        warn(of: transforms, reached: reached, in: account)
    }

    /// - Parameters:
    ///   - reached: the number of records that reached the pass.
    ///   - account: the counts of the pass.
    private func warn(of transforms: TransformRun, reached: Int, in account: Account) {
        var remaining = reached
        for link in transforms.links {
            let dropped = account.dropped(by: link.label)
            warn(stage: link.label, before: remaining, after: remaining - dropped)
            remaining -= dropped
        }
    }

    /// A stage that drops everything, or only drops records but dropped none, is rarely configured as intended.
    private func warn(stage: String, before: Int, after: Int) {
        guard before > 0 else { return }
        if after == 0 {
            let reasons = account.drops(of: stage).map { "\($0.reason) \($0.count)" }.joined(separator: ", ")
            warnings.append("stage `\(stage)` dropped all \(before) records that reached it (\(reasons))\(fieldsThere)")
        } else if after == before, chain.links.first(where: { $0.label == stage })?.stage.writes.isEmpty ?? false {
            warnings.append(
                "stage `\(stage)` changed nothing: it dropped none of the \(before) records that reached it\(fieldsThere)"
            )
        }
    }

    private var fieldsThere: String { fieldNames.listed }
}

extension ColumnType {
    fileprivate var isScalar: Bool { self == .integer || self == .real }
}

extension ColumnStore {
    /// Writes the ranks of the picks as a column, -1 for dropped rows.
    ///
    /// - Parameter ranks: ascending by row.
    fileprivate func writeRanks(_ ranks: [(row: Int, rank: Int32)]) throws {
        var next = 0
        for shard in shards {
            let writer = writer(shard: shard.number)
            var start = shard.rows.lowerBound
            while start < shard.rows.upperBound {
                let end = min(start + 65_536, shard.rows.upperBound)
                var values = [Int64](repeating: -1, count: end - start)
                while next < ranks.count, ranks[next].row < end {
                    values[ranks[next].row - start] = Int64(ranks[next].rank)
                    next += 1
                }
                try writer.append([(.rank, .integers(values))])
                start = end
            }
            add(shard: shard.number, rows: try writer.commit(), types: [.rank: .integer])
        }
    }
}
