import SluiceCore
import SluiceIO
import Synchronization

/// A pass over the rows of a column store that are still in: transforms write new columns and drop rows, a survey
/// observes.
///
/// A shard is done when its new columns, its ledger lines and then its state are on disk. A pass that was stopped goes on
/// with the others, and a survey observes the shards that are done without their transforms running again.
final class RowPass: @unchecked Sendable {
    // @unchecked: only the ordered step uses `remaining`, `account` and the writer; the rest is constant or
    // thread-safe.

    private let store: ColumnStore
    /// The rows that were in when the pass began, and in shards that are done those that still are.
    private let live: LiveRows
    private let work: Work
    private let files: RoundFiles
    private let batches: RowBatches
    private let ledger: LedgerRuns
    private let encoder: LineEncoder
    private let progress: ProgressMeter
    /// The shards whose transforms are done.
    private let done: Set<Int>
    /// The counts of all shards.
    private(set) var account = Account()
    private(set) var remaining: LiveRows
    private var writer: ShardWriter?
    /// The counts and the columns of the shard under way.
    private var shardAccount = Account()
    private var types: [ColumnName: ColumnType] = [:]
    /// The columns of the shards done by this pass.
    private var written: [(shard: Int, types: [ColumnName: ColumnType])] = []
    /// Whether a long record is under way: one at a time, so that none waits for another one's memory.
    private let hasLong = Atomic<Bool>(false)

    /// What is done with the rows.
    struct Work {
        let transforms: TransformChain
        /// The inputs of the transforms.
        let reads: [Input]
        /// The columns that later work reads.
        let keep: [ColumnName]
        /// The stage that observes every block after the transforms, and its inputs.
        var observer: (declaration: StageDeclaration, reads: [Input])?
    }

    /// Adopts the shards that a stopped pass has done.
    init(
        _ work: Work, store: ColumnStore, live: LiveRows, ledger: LedgerRuns, files: RoundFiles, _ run: RunContext
    ) throws {
        self.store = store
        self.work = work
        self.files = files
        self.ledger = ledger
        encoder = run.encoder
        progress = run.progress
        var live = live
        var done: Set<Int> = []
        for shard in store.shards where !work.transforms.links.isEmpty {
            guard let state = try files.state(of: shard.id) else { continue }
            guard state.live.rows == shard.rows.count else { throw files.damaged(shard.id) }
            live.keep(state.live, from: shard.rows.lowerBound)
            account.add(state.account)
            ledger.adopt(state.runs)
            store.add(state.types, to: shard.number, round: files.number)
            done.insert(shard.number)
        }
        self.done = done
        self.live = live
        remaining = live
        batches = RowBatches(
            store, reads: work.reads + (work.observer?.reads ?? []), writes: work.transforms.links.flatMap(\.writes),
            growth: work.transforms.growth, most: work.transforms.requests.rows)
    }

    /// Whether the transforms of all shards are done.
    var isTransformed: Bool { work.transforms.links.isEmpty || done.count == store.shards.count }

    /// - Parameter observe: called with every block after the transforms, by several threads at a time.
    /// - Returns: the rows still in afterwards.
    func run(
        on pool: WorkerPool, _ share: MemoryShares.RowShare, isStopped: @escaping () -> Bool,
        observe: @escaping (borrowing Block) throws -> Void = { _ in }
    ) throws -> LiveRows {
        let advance: (RowParcel) throws -> Void = { [self] in try work($0, observe) }
        var steps: [Conveyor<RowParcel>.Step] = [.parallel(advance)]
        for asking in work.transforms.askings {
            let ask: (RowParcel, Conveyor<RowParcel>.Visit) throws -> Void = { parcel, visit in
                guard let inquiry = parcel.progress.inquiry else { return visit.end() }
                try asking.ask(inquiry) { visit.end($0) }
            }
            steps += [.waiting(asking.threads, ask), .parallel(advance)]
        }
        steps.append(.ordered { [self] in try collect($0) })
        let conveyor = Conveyor<RowParcel>(
            steps: steps, limit: share.blocks, extra: share.extra, isStopped: isStopped,
            source: Conveyor.Source(open: { [self] in lane($0) }))
        try work.transforms.closing { try conveyor.run(on: pool) }
        // Not earlier: other threads read the store during the pass.
        for (shard, types) in written { store.add(types, to: shard, round: files.number) }
        try store.removeReplaced()
        return remaining
    }

    private func lane(_ number: Int) -> Conveyor<RowParcel>.Lane? {
        guard number < store.shards.count else { return nil }
        let shard = store.shards[number]
        let isDone = done.contains(number)
        var start = shard.rows.lowerBound
        if isDone, work.observer == nil {
            progress.read(records: shard.rows.count)
            return { _ in .end }
        }
        return { [self] isFirst in
            guard start < shard.rows.upperBound else { return .end }
            let batch = try batches.batch(from: start, in: shard)
            if batch.isLong {
                guard isFirst, !hasLong.exchange(true, ordering: .acquiringAndReleasing) else { return .waiting }
            }
            start = batch.rows.upperBound
            return .item(RowParcel(batch, of: shard, isDone: isDone))
        }
    }

    /// The memory for the largest record that is processed alone; to be leased before the pass runs.
    func longest() throws -> [MemoryShares.Part] {
        MemoryShares.longestRow(try batches.longest())
    }

    /// Takes a parcel up to the next asking transform, or to the end.
    private func work(_ parcel: RowParcel, _ observe: (borrowing Block) throws -> Void) throws {
        if parcel.isFinished { return }
        var block = try takeBlock(of: parcel)
        if !parcel.isDone { try transform(&block, parcel) }
        guard parcel.progress.inquiry == nil else {
            parcel.block = consume block
            return
        }
        if let observer = work.observer { block.begin(observer.declaration) }
        try observe(block)
        block.end()
        parcel.isFinished = true
        progress.read(records: parcel.rows.count)
    }

    private func takeBlock(of parcel: RowParcel) throws -> Block {
        if let block = parcel.block.take() { return block }
        parcel.live = live.local(parcel.rows)
        parcel.losses.begin(parcel.live.count)
        let reads = (parcel.isDone ? [] : work.reads) + (work.observer?.reads ?? [])
        return try store.block(rows: parcel.rows, live: parcel.live, reads: reads)
    }

    private func transform(_ block: inout Block, _ parcel: RowParcel) throws {
        try work.transforms.advance(&block, &parcel.progress) { block, first, stage in
            parcel.book(block, from: first, stage)
        }
        if let inquiry = parcel.progress.inquiry {
            parcel.account.countQuestions(inquiry.questions, of: inquiry.stage)
            return
        }
        parcel.encodeLosses(block.ordinals, encoder)
        // Not what was only read: a selection at the end of the round may write a column of that name, too.
        for name in work.keep where block.fresh.contains(name) {
            guard let column = block[name] else { continue }
            parcel.columns.append((name, column.scattered(to: parcel.live, of: parcel.rows.count)))
        }
    }

    private func collect(_ parcel: RowParcel) throws {
        defer {
            if parcel.isLong {
                // The next one takes its memory.
                (parcel.columns, parcel.ledger) = ([], LedgerLines())
                hasLong.store(false, ordering: .releasing)
            }
        }
        guard !parcel.isDone, !work.transforms.links.isEmpty else { return }
        shardAccount.add(parcel.account)
        for row in parcel.gone { remaining.remove(row) }
        try ledger.add(parcel.ledger)
        if !parcel.columns.isEmpty {
            let writer = writer ?? store.writer(parcel.shard.id, round: files.number)
            self.writer = writer
            for (name, column) in parcel.columns { types[name] = column.type }
            try writer.append(parcel.columns)
        }
        if parcel.endsShard { try end(parcel.shard) }
    }

    /// Everything of a shard goes to disk, and then its state, which says so.
    private func end(_ shard: ColumnStore.Shard) throws {
        _ = try writer?.commit()
        let state = ShardState(
            live: remaining.slice(shard.rows), account: shardAccount, runs: try ledger.cut(), types: types)
        try files.write(state, of: shard.id)
        account.add(shardAccount)
        written.append((shard.number, types))
        writer = nil
        (shardAccount, types) = (Account(), [:])
    }
}

extension ColumnStore {
    /// The block of some live rows of one shard, with those of the input columns that exist.
    func block(rows: Range<Int>, live: [Int], reads: [Input]) throws -> Block {
        var columns: [ColumnName] = []
        var paths: [FieldPath] = []
        for input in reads {
            switch input {
            case .column(let name, _): if !columns.contains(name) { columns.append(name) }
            case .field(let path): if !paths.contains(path) { paths.append(path) }
            case .record, .label: break
            }
        }
        func bytes(_ name: ColumnName) throws -> BytesColumn {
            guard case .bytes(let column) = try load([name], rows, live).first?.column else {
                throw EngineError(.fault, "column `\(name)` was not kept for the stage that reads it")
            }
            return column
        }
        let ordinals = try integers(Self.ordinal, rows)
        let high = try integers(Self.hashHigh, rows)
        let low = try integers(Self.hashLow, rows)
        let fields = try FieldColumns.table(paths, rows: live.count) { try bytes(FieldColumns.name($0)) }
        var block = Block(
            ordinals: live.map { Ordinal(rawValue: UInt64(bitPattern: ordinals[$0])) },
            hashes: live.map {
                ContentHash(high: UInt64(bitPattern: high[$0]), low: UInt64(bitPattern: low[$0]))
            },
            fields: paths.isEmpty ? nil : fields,
            records: reads.contains(.record) ? try bytes(FieldColumns.record) : nil)
        for (name, column) in try load(columns, rows, live) { block.write(name, column) }
        return block
    }
}

extension Column {
    /// The rows at these places among `count`; other rows are empty or zero.
    func scattered(to places: [Int], of count: Int) -> Column {
        if places.count == count { return self }
        switch self {
        case .bytes(let column):
            var result = BytesColumn()
            var next = 0
            for row in 0..<count {
                if next < places.count, places[next] == row {
                    result.append(column[next])
                    next += 1
                } else {
                    result.append(EmptyCollection<UInt8>())
                }
            }
            return .bytes(result)
        case .vectors(let column):
            var result = VectorColumn(
                dimension: column.dimension, values: [Int8](repeating: 0, count: count * column.dimension))
            for (row, place) in places.enumerated() {
                let start = place * column.dimension
                result.values.replaceSubrange(start..<(start + column.dimension), with: column[row])
            }
            return .vectors(result)
        case .integers(let values):
            var result = [Int64](repeating: 0, count: count)
            for (row, place) in places.enumerated() { result[place] = values[row] }
            return .integers(result)
        case .reals(let values):
            var result = [Double](repeating: 0, count: count)
            for (row, place) in places.enumerated() { result[place] = values[row] }
            return .reals(result)
        }
    }
}
