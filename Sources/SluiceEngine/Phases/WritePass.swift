import SluiceCore
import SluiceIO

/// The last pass of a run with surveys or selections: reads the input again without parsing it, and writes the kept
/// records and the ledger of all others, in input order.
final class WritePass: @unchecked Sendable {
    // @unchecked: only ordered steps use the cursors of rows and ledger; the rest is constant or thread-safe.

    private let run: RunContext
    private let input: InputPass
    private let store: ColumnStore
    private let outputs: Outputs
    private let ledger: LedgerMerge
    private let pickColumns: [ColumnName]
    private let progress: Progress
    private var cursor: RowCursor
    private var parts: PartBorders
    private var isAligned = false

    /// The checkpoints of the pass.
    struct Progress {
        let checkpoints: Checkpoints
        /// What they have in common.
        let base: Checkpoint
        /// Whether the pass starts somewhere in the middle.
        var resumes = false
    }

    /// - Parameters:
    ///   - rows: of all records that are kept or in the ledger.
    ///   - ledger: the lines of the others.
    init(
        _ run: RunContext, _ input: InputPass, _ rows: RowRound.Rows, ledger: LedgerMerge, to outputs: Outputs,
        _ progress: Progress
    ) {
        (self.run, self.input, self.ledger, self.outputs, self.progress) = (run, input, ledger, outputs, progress)
        store = rows.store
        pickColumns = run.picks.filter { rows.store.types[$0] != nil }
        cursor = RowCursor(store: rows.store, live: rows.live)
        parts = input.partBorders
    }

    private var encoder: LineEncoder { run.encoder }
    private var keptEncoder: KeptEncoder { run.keptEncoder }
    private var checkpoints: Checkpoints { progress.checkpoints }
    private var resumes: Bool { progress.resumes }

    func process() throws {
        let conveyor = input.conveyor(
            [
                .ordered { [self] in try assign($0) },
                .parallel { [self] in try encode($0) },
                .ordered { [self] parcel in
                    if parts.isCrossed(by: parcel.place.part) {
                        outputs.endFrames(before: parcel)
                        parts.cross(to: parcel.place.part)
                    }
                    outputs.assemble(parcel)
                    guard checkpoints.isDue else { return }
                    var checkpoint = progress.base
                    checkpoint.position = Checkpoint.Position(parcel)
                    checkpoint.streams = outputs.assembled
                    parcel.checkpoint = checkpoint
                },
            ] + outputs.steps(of: input, checkpoints), limit: run.shares.blocks, lanes: run.shares.streams,
            isStopped: run.isStopped)
        try conveyor.run(on: run.pool)
        try close()
    }

    /// Finds for each line whether it is kept or in the ledger; otherwise it was quarantined before.
    private func assign(_ parcel: InputParcel) throws {
        if !isAligned, let first = parcel.raw.lines.first {
            // A resumed run starts somewhere in the middle.
            isAligned = true
            let begin = Ordinal(file: parcel.place.file, line: Int(parcel.raw.lineNumber(of: first)))
            while let next = try cursor.next(), next.ordinal < begin { cursor.advance() }
            while let next = ledger.nextOrdinal, next < begin { try ledger.advance() }
        }
        for line in parcel.raw.lines {
            let ordinal = Ordinal(file: parcel.place.file, line: Int(parcel.raw.lineNumber(of: line)))
            if let next = try cursor.next(), next.ordinal == ordinal {
                parcel.records.lines.append(line)
                parcel.records.ordinals.append(ordinal)
                parcel.storeRows.append(next.row)
                parcel.account.kept += 1
                cursor.advance()
            } else if ledger.nextOrdinal == ordinal {
                try ledger.takeLine(into: &parcel.ledger.bytes)
                parcel.ledger.endLine(ordinal)
            }
        }
        input.progressed(records: parcel.raw.lines.count)
    }

    private func encode(_ parcel: InputParcel) throws {
        defer { if parcel.output.keptRuns.isEmpty { parcel.releaseLine() } }
        if !keptEncoder.keepsBytes { parcel.releaseLine() }
        if !keptEncoder.isPlain { parcel.reserveKept(input.shares.copies) }
        guard let first = parcel.storeRows.first, let last = parcel.storeRows.last else { return }
        var columns: [(name: ColumnName, column: Column)] = []
        var names = run.outputColumns
        names += pickColumns.filter { !names.contains($0) }
        for (range, rows) in store.runs(of: parcel.storeRows, first...last) where !names.isEmpty {
            for (name, part) in try store.load(names, range, rows) {
                if let index = columns.firstIndex(where: { $0.name == name }) {
                    columns[index].column = columns[index].column.appending(part)
                } else {
                    columns.append((name, part))
                }
            }
        }
        for (row, line) in parcel.records.lines.enumerated() {
            if keptEncoder.isPlain {
                parcel.keep(line)
            } else {
                // Only records in their original form are needed again.
                let bytes = keptEncoder.keepsBytes ? parcel.raw.bytes(of: line) : .init(start: nil, count: 0)
                keptEncoder.append(bytes, row: row, columns: columns, to: &parcel.output.kept)
            }
            encoder.appendPick(
                parcel.records.ordinals[row], row: row, columns: columns.filter { pickColumns.contains($0.name) },
                to: &parcel.output.picks)
            run.sinkRows?.append(row, columns, to: &parcel.output.sinkRows)
        }
    }

    /// Fails if a row or ledger line remains that matches no line of the input.
    private func close() throws {
        // A run resumed after the last record has seen no lines; all were matched before the stop.
        if !isAligned, resumes { return }
        if let next = try cursor.next() {
            throw EngineError(
                .data,
                "\(input.catalog.files[next.ordinal.file].shown):\(next.ordinal.line): the line has disappeared since the first reading; the input changed while it was read"
            )
        }
        if let next = ledger.nextOrdinal {
            throw EngineError(
                .data,
                "\(input.catalog.files[next.file].shown):\(next.line): the line has disappeared since the first reading; the input changed while it was read"
            )
        }
    }
}

/// Walks the live rows of a store in order, with their ordinals.
private struct RowCursor {
    let store: ColumnStore
    let live: LiveRows
    private var start = 0
    private var rows: [(row: Int, ordinal: Ordinal)] = []
    private var index = 0

    init(store: ColumnStore, live: LiveRows) {
        self.store = store
        self.live = live
    }

    mutating func next() throws -> (row: Int, ordinal: Ordinal)? {
        while index == rows.count {
            guard start < store.rows, let shard = store.shards.first(where: { $0.rows.contains(start) }) else {
                return nil
            }
            let range = start..<min(start + 65_536, shard.rows.upperBound)
            let ordinals = try store.integers(ColumnStore.ordinal, range)
            rows = live.local(range).map {
                (start + $0, Ordinal(rawValue: UInt64(bitPattern: ordinals[$0])))
            }
            start = range.upperBound
            index = 0
        }
        return rows[index]
    }

    mutating func advance() { index += 1 }
}

extension ColumnStore {
    /// Splits ascending rows into ranges within one shard each, with the rows counted from the start of the range.
    func runs(of rows: [Int], _ span: ClosedRange<Int>) -> [(range: Range<Int>, rows: [Int])] {
        shards.compactMap { shard in
            let low = max(shard.rows.lowerBound, span.lowerBound),
                high = min(shard.rows.upperBound, span.upperBound + 1)
            guard low < high else { return nil }
            let inside = rows.filter { $0 >= low && $0 < high }.map { $0 - low }
            return inside.isEmpty ? nil : (low..<high, inside)
        }
    }
}

extension Column {
    /// These rows followed by those of `other`, which has the same type.
    func appending(_ other: Column) -> Column {
        switch (self, other) {
        case (.bytes(var column), .bytes(let more)):
            for row in 0..<more.count { column.append(more[row]) }
            return .bytes(column)
        case (.vectors(var column), .vectors(let more)):
            column.values += more.values
            return .vectors(column)
        case (.integers(let values), .integers(let more)): return .integers(values + more)
        case (.reals(let values), .reals(let more)): return .reals(values + more)
        default: return self
        }
    }
}
