import SluiceCore
import SluiceIO

/// The run in one process: the steps of the outline, one after another. A step that a stopped run has done is not done
/// again, and the step that it was in goes on where the checkpoint says.
///
/// Each step does the tasks of several phases at once, which then need no files between them: reading, for instance, hashes,
/// finds duplicates and runs transforms over each block while it is in memory.
final class Execution {
    private let run: RunContext
    private let output: String
    private let checkpointPath: String
    private let checkpoints: Checkpoints
    private let diskDedupe: DiskDedupe
    private(set) var findings: RunFindings

    /// - Parameter output: the folder of the result.
    init(_ run: RunContext, output: String) {
        self.run = run
        self.output = output
        checkpointPath = "\(run.work)/\(RunDirectory.checkpointName)"
        checkpoints = Checkpoints(
            // What a pipe has given is gone.
            path: run.catalog.stream == nil ? checkpointPath : nil, files: run.sealed, run.options)
        diskDedupe = DiskDedupe(run)
        findings = RunFindings(run)
    }

    /// Does all steps; then the outputs are complete and on disk, and the counts add up.
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
        let found = try run.sealed.read(Checkpoint.self, from: checkpointPath)
        let outputs = try Outputs(
            folder: output, spec: run.definition.output, compressors: run.shares.compressors,
            Outputs.Extras(run), from: found?.streams, fileSystem: run.fileSystem)
        let keeping = try keeping(found)
        // What the checkpoints of later steps have in common with that of the reading.
        var base = found ?? Checkpoint(step: .read)
        var live = LiveRows(rows: 0)
        for step in run.outline.steps {
            switch step {
            case .read:
                if let found, found.step > step {
                    try adopt(found)
                } else {
                    base = try read(keeping, outputs, duplicates, found)
                }
            case .rounds: if let keeping { live = try RowPhases(run, keeping).process(&findings) }
            case .write:
                if let keeping, base.step <= step { try write(keeping, live, outputs, base) }
            case .finish: try finish(outputs, base)
            }
        }
        return outputs
    }

    private func keeping(_ found: Checkpoint?) throws -> ReadPass.Keeping? {
        guard let first = run.outline.firstKeeping else { return nil }
        let store = try ColumnStore(folder: "\(run.work)/columns", fileSystem: run.fileSystem)
        for shard in found?.shards ?? [] {
            store.add(store.next(of: shard.part), rows: shard.rows, types: shard.types)
        }
        return ReadPass.Keeping(
            store: store,
            ledger: LedgerRuns(
                folder: run.work, shareBytes: run.shares.ledger, adopting: found?.runs ?? [],
                fileSystem: run.fileSystem),
            retention: run.retention(from: first))
    }

    // MARK: Reading

    /// Takes over what the reading found out before the run stopped.
    private func adopt(_ found: Checkpoint) throws {
        findings.account = found.account
        findings.files = found.files
        findings.fieldNames = found.fieldNames
        findings.noteDedupe(distinct: found.distinct)
        try findings.judgeInput()
        findings.warn(of: run.readingTransforms())
    }

    private func read(
        _ keeping: ReadPass.Keeping?, _ outputs: Outputs, _ duplicates: DuplicateStream?, _ found: Checkpoint?
    ) throws -> Checkpoint {
        let leases = try run.begin(
            RunOutline.reading, bytes: Int(run.catalog.totalSize), run.shares.reading(hasTable: duplicates == nil))
        defer { leases.giveBack() }
        let hasTable = run.definition.input.dedupe != nil && duplicates == nil
        let input = run.inputPass(
            InputPass.Request(
                stageFields: run.chain.fields, watched: run.chain.named.map(\.field), checkpoint: found,
                expected: diskDedupe.files,
                table: hasTable ? run.options.dedupeBytes ?? run.shares.largestTable : 0))
        let deduper = try deduper(duplicates, input)
        deduper?.distinct = found?.distinct ?? 0
        let transforms = run.readingTransforms()
        let pass = ReadPass(
            run, input, ReadPass.Work(deduper: deduper, transforms: transforms, wanted: run.wantedInReading),
            to: ReadPass.Destination(outputs: outputs, keeping: keeping, checkpoints: checkpoints),
            account: found?.account ?? Account())
        try input.checkSkippedFiles(isStopped: run.isStopped)
        try pass.process()
        findings.account = pass.account
        findings.files = input.readFiles
        findings.fieldNames = input.fieldNames
        findings.noteDedupe(distinct: deduper?.distinct ?? 0)
        try findings.judgeInput()
        findings.warn(of: transforms)
        let done = try pass.checkpoint(.rounds)
        if keeping != nil { try checkpoints.write(done, outputs) }
        return done
    }

    private func deduper(_ duplicates: DuplicateStream?, _ input: InputPass) throws -> Deduper? {
        guard run.definition.input.dedupe != nil else { return nil }
        let inMemory: Deduper.Means = run.comparesContents ? .contents : .table
        return try Deduper(duplicates.map { .duplicates($0) } ?? inMemory, run.truncatedHash, room: input.long) {
            [progress = run.progress] in
            let state = progress.state
            return state.totalBytes > 0 ? Double(state.bytes) / Double(state.totalBytes) : 0
        }
    }

    // MARK: Writing

    private func write(
        _ keeping: ReadPass.Keeping, _ live: LiveRows, _ outputs: Outputs, _ found: Checkpoint
    ) throws {
        let leases = try run.begin(RunOutline.writing, bytes: Int(run.catalog.totalSize), run.shares.writing)
        defer { leases.giveBack() }
        // Only a checkpoint of this step says where to resume in it.
        var start = found
        start.position = found.step == .write ? found.position : Checkpoint.Position()
        var base = found
        base.step = .write
        let input = run.inputPass(InputPass.Request(checkpoint: start))
        try VectorExport(run)?.write(
            RowRound.Rows(store: keeping.store, live: live, ledger: keeping.ledger),
            to: "\(run.work)/\(RunDirectory.resultName)")
        let pass = WritePass(
            run, input, RowRound.Rows(store: keeping.store, live: live, ledger: keeping.ledger),
            ledger: try keeping.ledger.merged(isStopped: run.isStopped), to: outputs,
            WritePass.Progress(
                checkpoints: checkpoints, base: base, resumes: start.position != Checkpoint.Position()))
        try input.checkSkippedFiles(isStopped: run.isStopped)
        try pass.process()
    }

    private func finish(_ outputs: Outputs, _ base: Checkpoint) throws {
        try findings.close(outputs)
        // A checkpoint has the counts of the reading: those of later steps are read again from their own files.
        var checkpoint = base
        checkpoint.step = .finish
        checkpoint.streams = outputs.assembled
        try checkpoints.write(checkpoint, outputs)
        try outputs.finish()
        try findings.makeSinks(in: output)
    }
}

extension ColumnType {
    var isScalar: Bool { self == .integer || self == .real }
}
