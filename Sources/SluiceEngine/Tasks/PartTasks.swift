import SluiceCore
import SluiceIO

/// Reads one part of the input: checks it, drops duplicates, and runs the transforms before the first survey or
/// selection. Without later work, it writes the outputs of the part.
struct PartReader {
    let site: TaskSite
    let part: Int

    private var run: RunContext { site.run }
    private var kind: RunTask.Kind { .read(part: part) }

    func read() throws {
        let hasDedupe = site.list.buckets > 0
        let leases = try run.begin(
            RunOutline.reading, bytes: site.bytes(of: part), run.shares.reading(hasTable: false))
        defer { leases.giveBack() }
        let input = try site.inputPass(part, run.chain.fields, expected: try expected(hasDedupe))
        let scratch = site.files.scratch(kind.id)
        try site.fileSystem.makeFolder(scratch)
        let outputs = try Outputs(
            folder: scratch, spec: run.definition.output, compressors: run.shares.compressors,
            Outputs.Extras(run), fileSystem: site.fileSystem)
        let work = ReadPass.Work(
            deduper: hasDedupe ? try deduper(input) : nil, transforms: run.readingTransforms(),
            wanted: run.wantedInReading)
        let pass = ReadPass(
            run, input, work,
            to: ReadPass.Destination(outputs: outputs, keeping: try keeping(), checkpoints: .none(run)),
            account: Account())
        try pass.process()
        let done = try pass.checkpoint(.rounds)
        try outputs.finish()
        try site.files.publish(scratch, as: site.files.outputs(kind))
        try site.files.finish(kind, PartReading(done, PartOutputs(outputs)))
    }

    /// The content of the files when they were hashed.
    private func expected(_ hasDedupe: Bool) throws -> [Int: FileFacts] {
        guard hasDedupe else { return [:] }
        return try site.files.result(of: .hash(part: part))
    }

    private func deduper(_ input: InputPass) throws -> Deduper {
        let files = (0..<site.list.buckets).map { site.files.data(.duplicates(bucket: $0)) }
        let duplicates = try site.shuffle.duplicates(of: part, in: files)
        return try Deduper(.duplicates(duplicates), run.truncatedHash, room: input.long) { 0 }
    }

    private func keeping() throws -> ReadPass.Keeping? {
        guard let first = run.outline.firstKeeping else { return nil }
        let ledger = LedgerRuns(folder: run.work, shareBytes: run.shares.ledger, fileSystem: site.fileSystem)
        try ledger.begin("\(kind.id).\(site.files.attempt)")
        return ReadPass.Keeping(
            store: try ColumnStore(folder: "\(run.work)/columns", fileSystem: site.fileSystem), ledger: ledger,
            retention: run.retention(from: first))
    }
}

/// Reads a part of the input again, and writes its kept records and the ledger of all others.
struct PartWriter {
    let site: TaskSite
    let part: Int

    private var run: RunContext { site.run }
    private var kind: RunTask.Kind { .write(part: part) }

    func write() throws {
        let leases = try run.begin(RunOutline.writing, bytes: site.bytes(of: part), run.shares.writing)
        defer { leases.giveBack() }
        let reading: PartReading = try site.files.result(of: .read(part: part))
        let rows = try site.rows(of: part..<(part + 1), before: run.outline.rounds.count + 1)
        try rows.ledger.begin("\(kind.id).\(site.files.attempt)")
        let input = try site.inputPass(part, expected: reading.files)
        let scratch = site.files.scratch(kind.id)
        try site.fileSystem.makeFolder(scratch)
        let outputs = try Outputs(
            folder: scratch, spec: run.definition.output, compressors: run.shares.compressors,
            Outputs.Extras(run), fileSystem: site.fileSystem)
        let pass = WritePass(
            run, input, rows, ledger: try ledger(rows), to: outputs,
            WritePass.Progress(checkpoints: .none(run), base: Checkpoint(step: .write)))
        try pass.process()
        try outputs.finish()
        try VectorExport(run)?.write(rows, to: scratch)
        try site.files.publish(scratch, as: site.files.outputs(kind))
        try site.files.finish(kind, PartOutputs(outputs))
    }

    /// The lines of all records of the part that stages dropped.
    private func ledger(_ rows: RowRound.Rows) throws -> LedgerMerge {
        var lost: [any LedgerSource] = []
        for outline in run.outline.rounds where outline.last == .selection {
            lost += try SelectionTasks(site, outline.number).lost(part)
        }
        return try rows.ledger.merged(with: lost, isStopped: run.isStopped)
    }
}
