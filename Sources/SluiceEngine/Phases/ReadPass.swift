import SluiceCore
import SluiceIO

/// The first pass of every run: read, check, dedupe, and the transforms before the first survey or selection.
///
/// If no survey or selection follows, it writes the outputs itself and is the only pass. Otherwise it writes the
/// columns read by later work, and the ledger lines of its drops, to work files.
final class ReadPass: @unchecked Sendable {
    // @unchecked: only ordered steps use mutable state; the rest is constant or thread-safe.

    private let run: RunContext
    private let input: InputPass
    private let work: Work
    private let deduper: Deduper?
    private let outputs: Outputs
    private let keeping: Keeping?
    private let checkpoints: Checkpoints
    private(set) var account: Account
    private var parts: PartBorders
    private var shard: ShardWriter?
    private var shardBytes = 0
    private var types: [ColumnName: ColumnType] = [:]

    /// What is done with the records.
    struct Work {
        let deduper: Deduper?
        let transforms: TransformChain
        /// The columns that anything reads.
        let wanted: [ColumnName]
    }

    /// Where the records go.
    struct Destination {
        let outputs: Outputs
        /// If more work follows.
        let keeping: Keeping?
        let checkpoints: Checkpoints
    }

    /// The destinations of columns and ledger lines if more work follows.
    struct Keeping {
        let store: ColumnStore
        let ledger: LedgerRuns
        /// The columns and fields that later work reads.
        let retention: ColumnRetention
    }

    /// - Parameter account: the counts of the blocks before those that are read.
    init(_ run: RunContext, _ input: InputPass, _ work: Work, to destination: Destination, account: Account) {
        (self.run, self.input, self.work, self.account) = (run, input, work, account)
        deduper = work.deduper
        (outputs, keeping, checkpoints) = (destination.outputs, destination.keeping, destination.checkpoints)
        parts = input.partBorders
    }

    private var transforms: TransformChain { work.transforms }
    private var readsRecord: Bool { run.chain.readsRecord }
    private var encoder: LineEncoder { run.encoder }
    private var keptEncoder: KeptEncoder { run.keptEncoder }

    func process() throws {
        let conveyor = input.conveyor(
            [
                .parallel { [input] in try input.parse($0) },
                .ordered { [self] parcel in
                    try input.refuseFaults(parcel)
                    try deduper?.mark(parcel)
                    parcel.releaseKeys()
                },
                .parallel { [self] in try work($0) },
                .ordered { [self] in try collect($0) },
            ] + outputs.steps(of: input, checkpoints), limit: run.shares.blocks, lanes: run.shares.streams,
            isStopped: run.isStopped)
        try transforms.closing { try conveyor.run(on: run.pool) }
        try deduper?.close()
        try endShard()
    }

    private func work(_ parcel: InputParcel) throws {
        defer {
            if parcel.output.keptRuns.isEmpty { parcel.releaseLine() }
            parcel.releaseFields()
        }
        if parcel.place.isReplay { return }
        // A long line is freed once it is no longer needed, to make room for the data derived from it.
        if parcel.records.faults.isEmpty, !readsRecord, !writesLines { parcel.releaseLine() }
        if transforms.links.isEmpty, !needsColumns {
            parcel.takeRows()
        } else {
            var block = parcel.makeBlock(readsRecord: readsRecord, wanted: work.wanted)
            try transforms.apply(to: &block) { block, first, stage in
                parcel.book(block, from: first, stage) { Int(parcel.rows[$0]) }
            }
            takeColumns(of: block, into: parcel)
        }
        input.encodeFaults(parcel, encoder)
        parcel.encodeLosses(parcel.records.ordinals, encoder)
        if keeping == nil { encodeKept(parcel) }
    }

    /// Whether kept records are written exactly as they are in the input.
    private var writesLines: Bool { keeping == nil && keptEncoder.keepsBytes }
    private var needsColumns: Bool { keeping != nil || !run.outputColumns.isEmpty || !keptEncoder.isPlain }

    /// Keeps the columns that later work reads, for live records.
    private func takeColumns(of block: borrowing Block, into parcel: InputParcel) {
        let live = block.live
        let sources = run.outputSources
        for name in keeping?.retention.columns ?? sources.compactMap(\.column) {
            if let column = block[name] { parcel.columns.append((name, column.gathered(live))) }
        }
        for path in keeping?.retention.fields ?? sources.compactMap(\.field) {
            if let table = block.fieldTable, let column = FieldColumns.column(path, of: table, rows: live) {
                parcel.columns.append((FieldColumns.name(path), .bytes(column)))
            }
        }
        if let retention = keeping?.retention {
            if retention.keepsRecord, let lines = block.lines {
                parcel.columns.append((FieldColumns.record, Column.bytes(lines).gathered(live)))
            }

            parcel.columns.append(
                (ColumnStore.ordinal, .integers(live.map { Int64(bitPattern: block.ordinals[$0].rawValue) })))
            parcel.columns.append(
                (ColumnStore.hashHigh, .integers(live.map { Int64(bitPattern: block.hashes[$0].high) })))
            parcel.columns.append(
                (ColumnStore.hashLow, .integers(live.map { Int64(bitPattern: block.hashes[$0].low) })))
        }
        parcel.rows = live.map { parcel.rows[$0] }
    }

    private func encodeKept(_ parcel: InputParcel) {
        parcel.account.kept = parcel.rows.count
        if let rows = run.sinkRows {
            for row in parcel.rows.indices { rows.append(row, parcel.columns, to: &parcel.output.sinkRows) }
        }
        if keptEncoder.isPlain {
            for record in parcel.rows { parcel.keep(parcel.records.lines[Int(record)]) }
            return
        }
        parcel.reserveKept(input.shares.copies)
        for (row, record) in parcel.rows.enumerated() {
            // Only records in their original form are needed again.
            let line =
                writesLines ? parcel.raw.bytes(of: parcel.records.lines[Int(record)]) : .init(start: nil, count: 0)
            keptEncoder.append(line, row: row, columns: parcel.columns, to: &parcel.output.kept)
        }
    }

    private func collect(_ parcel: InputParcel) throws {
        if parcel.place.isReplay { return }
        if parts.isCrossed(by: parcel.place.part) {
            try endShard()
            outputs.endFrames(before: parcel)
            parts.cross(to: parcel.place.part)
        }
        if let keeping {
            try keeping.ledger.add(parcel.ledger)
            parcel.ledger.removeAll()
            try keep(parcel, in: keeping.store)
        }
        try input.refuseTooManyFaults(parcel, before: account.quarantined)
        outputs.assemble(parcel)
        account.add(parcel.account)
        shardBytes += parcel.place.bytes
        if keeping == nil ? checkpoints.isDue : shardBytes >= checkpoints.segmentBytes {
            try endShard()
            var checkpoint = try self.checkpoint(.read)
            checkpoint.position = Checkpoint.Position(parcel, read: parcel.place.read)
            checkpoint.distinct = parcel.distinct
            parcel.checkpoint = checkpoint
        }
    }

    /// Where the run is after what has been collected.
    func checkpoint(_ step: RunOutline.Step) throws -> Checkpoint {
        Checkpoint(
            step: step, account: account, streams: outputs.assembled, shards: keeping?.store.checkpoint ?? [],
            runs: try keeping?.ledger.flush() ?? [], files: input.readFiles, distinct: deduper?.distinct ?? 0,
            fieldNames: input.fieldNames)
    }

    private func keep(_ parcel: InputParcel, in store: ColumnStore) throws {
        // Of a block with no live record a stage may have written nothing.
        guard !parcel.rows.isEmpty else { return }
        let writer = shard ?? store.writer(store.next(of: parts.current))
        shard = writer
        for (name, column) in parcel.columns { types[name] = column.type }
        try writer.append(parcel.columns)
    }

    private func endShard() throws {
        shardBytes = 0
        guard let keeping, let writer = shard else { return }
        let rows = try writer.commit()
        keeping.store.add(keeping.store.next(of: parts.current), rows: rows, types: types)
        shard = nil
    }
}
