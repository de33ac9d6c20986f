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

    /// A batch of rows.
    private final class Batch {
        let rows: Range<Int>
        let shard: ColumnStore.Shard
        /// Whether a stopped pass has done the transforms.
        let isDone: Bool
        /// Whether it is a single record larger than a batch may be.
        let isLong: Bool
        /// Live rows, counted from the start of `rows`.
        var live: [Int] = []
        /// The records, while they are in the transforms.
        var block: Block?
        var progress = TransformChain.Progress()
        /// Whether it has passed the transforms and the survey.
        var isFinished = false
        var written: [(name: ColumnName, column: Column)] = []
        var gone: [Int] = []
        var account = Account()
        var lines: [UInt8] = []
        var ends: [Int] = []
        var ordinals: [UInt64] = []

        init(_ batch: RowBatches.Batch, of shard: ColumnStore.Shard, isDone: Bool) {
            rows = batch.rows
            isLong = batch.isLong
            self.shard = shard
            self.isDone = isDone
        }

        var endsShard: Bool { rows.upperBound == shard.rows.upperBound }
    }

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
        let advance: (Batch) throws -> Void = { [self] in try work($0, observe) }
        var steps: [Conveyor<Batch>.Step] = [.parallel(advance)]
        for asking in work.transforms.askings {
            let ask: (Batch, Conveyor<Batch>.Visit) throws -> Void = { batch, visit in
                guard let inquiry = batch.progress.inquiry else { return visit.end() }
                try asking.ask(inquiry) { visit.end($0) }
            }
            steps += [.waiting(asking.threads, ask), .parallel(advance)]
        }
        steps.append(.ordered { [self] in try collect($0) })
        let conveyor = Conveyor<Batch>(
            steps: steps, limit: share.blocks, extra: share.extra, isStopped: isStopped,
            source: Conveyor.Source(open: { [self] in lane($0) }))
        try work.transforms.closing { try conveyor.run(on: pool) }
        // Not earlier: other threads read the store during the pass.
        for (shard, types) in written { store.add(types, to: shard, round: files.number) }
        try store.removeReplaced()
        return remaining
    }

    private func lane(_ number: Int) -> Conveyor<Batch>.Lane? {
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
            return .item(Batch(batch, of: shard, isDone: isDone))
        }
    }

    /// The memory for the largest record that is processed alone; to be leased before the pass runs.
    func longest() throws -> [MemoryShares.Part] {
        MemoryShares.longestRow(try batches.longest())
    }

    /// Takes a batch up to the next asking transform, or to the end.
    private func work(_ batch: Batch, _ observe: (borrowing Block) throws -> Void) throws {
        if batch.isFinished { return }
        var block = try takeBlock(of: batch)
        if !batch.isDone { try transform(&block, batch) }
        guard batch.progress.inquiry == nil else {
            batch.block = consume block
            return
        }
        if let observer = work.observer { block.begin(observer.declaration) }
        try observe(block)
        block.end()
        batch.isFinished = true
        progress.read(records: batch.rows.count)
    }

    private func takeBlock(of batch: Batch) throws -> Block {
        if let block = batch.block.take() { return block }
        batch.live = live.local(batch.rows)
        let reads = (batch.isDone ? [] : work.reads) + (work.observer?.reads ?? [])
        return try store.block(rows: batch.rows, live: batch.live, reads: reads)
    }

    private func transform(_ block: inout Block, _ batch: Batch) throws {
        try work.transforms.advance(&block, &batch.progress) { block, first, stage in
            for drop in block.drops[first...] {
                batch.account.countDrop(stage: stage, reason: drop.reason)
                encoder.appendDrop(
                    block.ordinals[drop.record], stage: stage, reason: drop.reason, partner: nil,
                    measures: drop.measures, to: &batch.lines)
                batch.ends.append(batch.lines.count)
                batch.ordinals.append(block.ordinals[drop.record].rawValue)
                batch.gone.append(batch.rows.lowerBound + batch.live[drop.record])
            }
        }
        if let inquiry = batch.progress.inquiry {
            batch.account.countQuestions(inquiry.questions, of: inquiry.stage)
            return
        }
        let writes = Set(work.transforms.links.flatMap(\.writes).map(\.name))
        for name in work.keep where writes.contains(name) {
            guard let column = block[name] else { continue }
            batch.written.append((name, column.scattered(to: batch.live, of: batch.rows.count)))
        }
    }

    private func collect(_ batch: Batch) throws {
        defer {
            if batch.isLong {
                // The next one takes its memory.
                (batch.written, batch.lines) = ([], [])
                hasLong.store(false, ordering: .releasing)
            }
        }
        guard !batch.isDone, !work.transforms.links.isEmpty else { return }
        shardAccount.add(batch.account)
        for row in batch.gone { remaining.remove(row) }
        try ledger.add(batch.lines, ends: batch.ends, ordinals: batch.ordinals)
        if !batch.written.isEmpty {
            let writer = writer ?? store.writer(batch.shard.id, round: files.number)
            self.writer = writer
            for (name, column) in batch.written { types[name] = column.type }
            try writer.append(batch.written)
        }
        if batch.endsShard { try end(batch.shard) }
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
