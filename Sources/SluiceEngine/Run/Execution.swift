import SluiceCore
import SluiceIO

/// The phases of a run, one after another: the first pass, surveys and selections over the kept columns, the last pass.
/// Resumes from a checkpoint if there is one.
final class Execution {
    private let run: RunContext
    private let pieces: [StageWork]
    private let output: String
    private let checkpointPath: String
    private let checkpoints: Checkpoints
    private let diskDedupe: DiskDedupe
    private(set) var findings: RunFindings

    /// - Parameter output: the folder of the result.
    init(_ run: RunContext, _ pieces: [StageWork], output: String) {
        self.run = run
        self.pieces = pieces
        self.output = output
        checkpointPath = "\(run.work)/\(RunDirectory.checkpointName)"
        checkpoints = Checkpoints(
            // What a pipe has given is gone.
            path: run.catalog.stream == nil ? checkpointPath : nil, files: run.sealed, run.options)
        diskDedupe = DiskDedupe(run)
        findings = RunFindings(run)
    }

    /// Runs all phases; then the outputs are complete and on disk, and the counts add up.
    func process() throws -> Outputs {
        do {
            return try process(duplicates: try diskDedupe.known())
        } catch let overflow as Deduper.Overflow {
            // The table does not fit: get the same answer from partitions on disk, with one more pass over the input.
            findings = RunFindings(run)
            try run.fileSystem.remove(checkpointPath)
            return try process(duplicates: try diskDedupe.find(after: overflow))
        }
    }

    private func process(duplicates: DuplicateStream?) throws -> Outputs {
        let checkpoint = try run.sealed.read(Checkpoint.self, from: checkpointPath)
        var pending = pieces
        let transforms = run.takeTransforms(&pending)
        let outputs = try Outputs(
            folder: output, spec: run.definition.output, compressors: run.shares.compressors,
            writesPicks: !run.picks.isEmpty, from: checkpoint?.streams, fileSystem: run.fileSystem)
        let keeping = try pending.first.map { try self.keeping($0.link, pending, checkpoint) }
        let wanted = run.wantedInReading(pieces)
        var base = try read(transforms, wanted, keeping, outputs, duplicates, checkpoint)
        if let keeping {
            let live = try RowPhases(run, keeping).process(pending, &findings)
            try write(keeping, live, outputs, base: base, checkpoint)
        }
        try findings.close(outputs)
        // A checkpoint has the counts of the first pass: those of later phases are read again from their own files.
        base.phase = .finishing
        base.streams = outputs.assembled
        try checkpoints.write(base, outputs)
        try outputs.finish()
        return outputs
    }

    private func keeping(
        _ link: StageChain.Link, _ pending: [StageWork], _ checkpoint: Checkpoint?
    ) throws -> ReadPass.Keeping {
        let later = pending.map(\.link.index).min() ?? link.index
        let store = try ColumnStore(folder: "\(run.work)/columns", fileSystem: run.fileSystem)
        for shard in checkpoint?.shards ?? [] {
            store.add(store.next(of: shard.part), rows: shard.rows, types: shard.types)
        }
        return ReadPass.Keeping(
            store: store,
            ledger: LedgerRuns(
                folder: run.work, shareBytes: run.shares.ledger, adopting: checkpoint?.runs ?? [],
                fileSystem: run.fileSystem),
            retention: run.retention(from: later))
    }

    // MARK: Reading

    private func read(
        _ transforms: TransformChain, _ wanted: [ColumnName], _ keeping: ReadPass.Keeping?, _ outputs: Outputs,
        _ duplicates: DuplicateStream?, _ checkpoint: Checkpoint?
    ) throws -> Checkpoint {
        if let checkpoint, checkpoint.phase != .reading {
            findings.account = checkpoint.account
            findings.files = checkpoint.files
            findings.fieldNames = checkpoint.fieldNames
            findings.noteDedupe(distinct: checkpoint.distinct)
            try findings.judgeInput()
            findings.warn(of: transforms)
            return checkpoint
        }
        let leases = try run.begin(
            PhaseNumbers.reading, bytes: Int(run.catalog.totalSize), run.shares.reading(hasTable: duplicates == nil))
        defer { leases.giveBack() }
        let hasTable = run.definition.input.dedupe != nil && duplicates == nil
        let input = run.inputPass(
            InputPass.Request(
                stageFields: run.chain.fields, checkpoint: checkpoint, expected: diskDedupe.files,
                table: hasTable ? run.options.dedupeBytes ?? run.shares.largestTable : 0))
        let deduper = try run.definition.input.dedupe.map { _ in
            let inMemory: Deduper.Means = run.comparesContents ? .contents : .table
            return try Deduper(duplicates.map { .duplicates($0) } ?? inMemory, run.truncatedHash, room: input.long) {
                [progress = run.progress] in
                let state = progress.state
                return state.totalBytes > 0 ? Double(state.bytes) / Double(state.totalBytes) : 0
            }
        }
        deduper?.distinct = checkpoint?.distinct ?? 0
        let pass = ReadPass(
            run, input, ReadPass.Work(deduper: deduper, transforms: transforms, wanted: wanted),
            to: ReadPass.Destination(outputs: outputs, keeping: keeping, checkpoints: checkpoints),
            account: checkpoint?.account ?? Account())
        try input.checkSkippedFiles(isStopped: run.isStopped)
        try pass.process()
        findings.account = pass.account
        findings.files = input.readFiles
        findings.fieldNames = input.fieldNames
        findings.noteDedupe(distinct: deduper?.distinct ?? 0)
        try findings.judgeInput()
        findings.warn(of: transforms)
        let done = try pass.checkpoint(.choosing)
        if keeping != nil { try checkpoints.write(done, outputs) }
        return done
    }

    // MARK: Writing

    private func write(
        _ keeping: ReadPass.Keeping, _ live: LiveRows, _ outputs: Outputs,
        base: Checkpoint, _ checkpoint: Checkpoint?
    ) throws {
        if checkpoint?.phase == .finishing { return }
        let leases = try run.begin(PhaseNumbers.writing, bytes: Int(run.catalog.totalSize), run.shares.writing)
        defer { leases.giveBack() }
        var base = base
        base.phase = .writing
        // Only a checkpoint of this pass states where to resume in it.
        var start = base
        start.position = checkpoint?.phase == .writing ? base.position : Checkpoint.Position()
        let input = run.inputPass(InputPass.Request(checkpoint: start))
        let pass = WritePass(
            run, input, RowRound.Rows(store: keeping.store, live: live, ledger: keeping.ledger),
            ledger: try keeping.ledger.merged(isStopped: run.isStopped), to: outputs,
            WritePass.Progress(
                checkpoints: checkpoints, base: base, resumes: start.position != Checkpoint.Position()))
        try input.checkSkippedFiles(isStopped: run.isStopped)
        try pass.process()
    }
}

extension ColumnType {
    var isScalar: Bool { self == .integer || self == .real }
}
