import SluiceCore
import SluiceIO

/// A pass over the rows of a column store that are still in: transforms write new columns and drop rows, a survey
/// observes.
final class RowPass: @unchecked Sendable {
    // @unchecked: only the ordered step uses `remaining`, `account` and the writer; the rest is constant or
    // thread-safe.

    /// A batch of rows.
    private final class Batch {
        let rows: Range<Int>
        let shard: Int
        let endsShard: Bool
        /// Whether it is a single record larger than a batch may be.
        let isLong: Bool
        /// Live rows, counted from the start of `rows`.
        var live: [Int] = []
        var written: [(name: ColumnName, column: Column)] = []
        var gone: [Int] = []
        var account = Account()
        var lines: [UInt8] = []
        var ends: [Int] = []
        var ordinals: [UInt64] = []

        init(rows: Range<Int>, shard: Int, endsShard: Bool, isLong: Bool) {
            self.rows = rows
            self.isLong = isLong
            self.shard = shard
            self.endsShard = endsShard
        }
    }

    private let store: ColumnStore
    private let live: LiveRows
    private let transforms: TransformChain
    private let reads: [Input]
    private let batches: RowBatches
    private let keep: [ColumnName]
    private let ledger: LedgerRuns
    private let encoder: LineEncoder
    private let progress: ProgressMeter
    /// The declaration of the stage that observes every block after the transforms.
    private let observer: StageDeclaration?
    private(set) var account = Account()
    private var remaining: LiveRows
    private var writer: ShardWriter?
    /// The shards whose new columns are on disk, and their numbers of rows.
    private var written: [(shard: Int, rows: Int)] = []
    private var types: [ColumnName: ColumnType] = [:]

    /// - Parameters:
    ///   - reads: the inputs of the transforms and the survey.
    ///   - keep: the columns that later work reads.
    init(
        store: ColumnStore, live: LiveRows, transforms: TransformChain, reads: [Input], keep: [ColumnName],
        ledger: LedgerRuns, encoder: LineEncoder, progress: ProgressMeter, observer: StageDeclaration? = nil
    ) {
        self.store = store
        self.live = live
        remaining = live
        self.transforms = transforms
        self.reads = reads
        batches = RowBatches(
            store, reads: reads, writes: transforms.links.flatMap(\.writes), growth: transforms.growth)
        self.keep = keep
        self.ledger = ledger
        self.encoder = encoder
        self.progress = progress
        self.observer = observer
    }

    /// - Parameter observe: called with every block after the transforms, by several threads at a time.
    /// - Returns: the rows still in afterwards.
    func run(
        on pool: WorkerPool, limit: Int, isStopped: @escaping () -> Bool,
        observe: @escaping (borrowing Block) throws -> Void = { _ in }
    ) throws -> LiveRows {
        let conveyor = Conveyor<Batch>(
            steps: [
                .parallel { [self] in if !$0.isLong { try work($0, observe) } },
                .ordered { [self] batch in
                    // In the ordered step: only one long record at a time, so none waits for another one's memory.
                    if batch.isLong { try work(batch, observe) }
                    try collect(batch)
                },
            ], limit: limit, isStopped: isStopped, openLane: { [self] in lane($0) })
        try transforms.closing { try conveyor.run(on: pool) }
        // Not earlier: other threads read the store during the pass.
        for (shard, rows) in written { store.add(shard: shard, rows: rows, types: types) }
        return remaining
    }

    private func lane(_ number: Int) -> (() throws -> Batch?)? {
        guard number < store.shards.count else { return nil }
        let shard = store.shards[number]
        var start = shard.rows.lowerBound
        return { [batches] in
            guard start < shard.rows.upperBound else { return nil }
            let batch = try batches.batch(from: start, in: shard)
            start = batch.rows.upperBound
            return Batch(
                rows: batch.rows, shard: number, endsShard: start == shard.rows.upperBound, isLong: batch.isLong)
        }
    }

    /// The memory for the largest record that is processed alone; to be leased before the pass runs.
    func longest() throws -> [MemoryShares.Part] {
        MemoryShares.longestRow(try batches.longest())
    }

    private func work(_ batch: Batch, _ observe: (borrowing Block) throws -> Void) throws {
        batch.live = live.local(batch.rows)
        var block = try store.block(rows: batch.rows, live: batch.live, reads: reads)
        try transforms.apply(to: &block) { block, first, stage in
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
        if let observer { block.begin(observer) }
        try observe(block)
        block.end()
        let writes = Set(transforms.links.flatMap(\.writes).map(\.name))
        for name in keep where writes.contains(name) {
            guard let column = block[name] else { continue }
            batch.written.append((name, column.scattered(to: batch.live, of: batch.rows.count)))
        }
        progress.read(records: batch.rows.count)
    }

    private func collect(_ batch: Batch) throws {
        account.add(batch.account)
        for row in batch.gone { remaining.remove(row) }
        try ledger.add(batch.lines, ends: batch.ends, ordinals: batch.ordinals)
        guard !batch.written.isEmpty else { return }
        let writer = writer ?? store.writer(shard: batch.shard)
        self.writer = writer
        for (name, column) in batch.written { types[name] = column.type }
        try writer.append(batch.written)
        if batch.endsShard {
            written.append((batch.shard, try writer.commit()))
            self.writer = nil
        }
    }
}

extension ColumnStore {
    /// The block of some live rows, with their inputs.
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
