import SluiceCore
import SluiceIO

/// Runs a selection: cuts the live rows into groups, lets it choose in each, and books who leaves.
final class SelectionPhase: @unchecked Sendable {
    // `remaining`, `ranks`, `failure` and `reports` are touched only with `monitor` locked.

    private let selection: any Selection
    /// With the memory that the phase could get at most; what it got is known when the groups are counted.
    private var context: StageContext
    private let contextOf: (_ memory: Int) -> StageContext
    private let store: ColumnStore
    private let live: LiveRows
    private let ledger: LedgerRuns
    private let encoder: LineEncoder
    private let folder: String
    private let fileSystem: FileSystem

    private let monitor = Monitor()
    private var remaining: LiveRows
    private let notesRanks: Bool
    private let shares: MemoryShares
    /// What is held in the meantime.
    private let beside: [MemoryShares.Part]
    private var ranks: [(row: Int, rank: Int32)] = []
    private var failure: (any Error)?
    private var reports: [GroupReport] = []
    private var account = Account()

    struct Result {
        /// The rows that stay.
        let live: LiveRows
        /// The rows that stay, ascending, with their places in the order of picks; empty where nobody wants them.
        let ranks: [(row: Int, rank: Int32)]
        let report: Report
        let account: Account
    }

    init(
        _ selection: any Selection, context: @escaping (_ memory: Int) -> StageContext, store: ColumnStore,
        live: LiveRows, ledger: LedgerRuns, encoder: LineEncoder, folder: String, notesRanks: Bool,
        shares: MemoryShares, beside: [MemoryShares.Part] = [], fileSystem: FileSystem
    ) {
        self.shares = shares
        self.beside = beside
        self.selection = selection
        contextOf = context
        self.context = context(shares.most)
        self.store = store
        self.live = live
        remaining = live
        self.notesRanks = notesRanks
        self.ledger = ledger
        self.encoder = encoder
        self.folder = folder
        self.fileSystem = fileSystem
    }

    /// - Parameter lease: takes the memory of the phase, once it is known how large the groups are.
    func run(
        on pool: WorkerPool, isStopped: @escaping () -> Bool, lease: (MemoryShares.Part) throws(EngineError) -> Void
    ) throws -> Result {
        let (sizes, index) = try groupSizes(isStopped)
        let part = try share(of: sizes.map(\.rows))
        try lease(part)
        context = contextOf(part.bytes)
        let groups = try gather(sizes, index, isStopped)
        defer { try? groups.remove() }
        let quotas: [Int]
        do throws(StageError) {
            quotas = try selection.quotas(for: sizes.map(\.rows))
        } catch {
            throw EngineError(error, stage: context.name)
        }
        if let fault = SelectionRules.fault(inQuotas: quotas, for: sizes.map(\.rows)) { throw self.fault(fault) }
        for batch in batches(groups) {
            pool.run(batch.count) { piece in
                if isStopped() { return }
                choose(groups, batch[piece], quota: quotas[batch[piece]])
            }
            if isStopped() { throw EngineError.stopped }
            if let failure { throw failure }
        }
        reports.sort { ($0.key ?? 0) < ($1.key ?? 0) }
        ranks.sort { $0.row < $1.row }
        return Result(live: remaining, ranks: ranks, report: selection.report(reports), account: account)
    }

    // MARK: Cutting into groups

    private func forEachRange(
        _ isStopped: () -> Bool, _ body: (Range<Int>, [Int]) throws -> Void
    ) throws {
        let batches = RowBatches(store, reads: selection.columns.map { .column($0) })
        for shard in store.shards {
            var start = shard.rows.lowerBound
            while start < shard.rows.upperBound {
                if isStopped() { throw EngineError.stopped }
                let rows = try batches.batch(from: start, in: shard).rows
                try body(rows, live.local(rows))
                start = rows.upperBound
            }
        }
    }

    private func groupSizes(
        _ isStopped: () -> Bool
    ) throws -> (sizes: [(key: Int?, rows: Int)], index: [Int: Int]) {
        guard case .by(let column) = selection.grouping else {
            return (live.count == 0 ? [] : [(nil, live.count)], [:])
        }
        var counts: [Int: Int] = [:]
        try forEachRange(isStopped) { range, rows in
            let keys = try store.integers(column, range)
            for row in rows { counts[Int(keys[row]), default: 0] += 1 }
        }
        let keys = counts.keys.sorted()
        let index = Dictionary(uniqueKeysWithValues: keys.enumerated().map { ($1, $0) })
        return (keys.map { ($0, counts[$0] ?? 0) }, index)
    }

    private func gather(
        _ sizes: [(key: Int?, rows: Int)], _ index: [Int: Int], _ isStopped: () -> Bool
    ) throws -> GroupStore {
        var types: [ColumnName: ColumnType] = [
            GroupStore.rowNumber: .integer, GroupStore.ordinal: .integer, GroupStore.hashHigh: .integer,
            GroupStore.hashLow: .integer,
        ]
        let columns = Set(selection.columns).sorted()
        for name in columns {
            guard let type = store.types[name] else {
                // A store without rows has no columns.
                if sizes.isEmpty { continue }
                throw EngineError(
                    .fault,
                    "stage `\(context.name)` chooses by the column `\(name)`, which was declared and not written")
            }
            types[name] = type
        }
        let groups = try GroupStore(
            sizes: sizes, types: types, folder: folder, bufferBytes: max(1 << 20, shares.resident / 4),
            fileSystem: fileSystem)
        var names = [ColumnStore.ordinal, ColumnStore.hashHigh, ColumnStore.hashLow]
        names += columns
        try forEachRange(isStopped) { range, rows in
            var target = [Int](repeating: -1, count: range.count)
            if case .by(let column) = selection.grouping {
                let keys = try store.integers(column, range)
                for row in rows { target[row] = index[Int(keys[row])] ?? -1 }
            } else {
                for row in rows { target[row] = 0 }
            }
            var columns = try store.load(names, range)
            columns.append((GroupStore.rowNumber, .integers(range.map { Int64($0) })))
            try groups.append(columns, groups: target)
        }
        try groups.finish()
        return groups
    }

    /// Runs of groups that fit in the share of memory together; a group that alone does not is read in passes.
    private func batches(_ groups: GroupStore) -> [[Int]] {
        var batches: [[Int]] = []
        var batch: [Int] = []
        var bytes = 0
        for (index, extent) in groups.extents.enumerated() {
            let need = fixedBytes(extent.rows.count) + groups.bytes(of: extent, columns: selection.columns)
            if !batch.isEmpty, bytes + need > context.memory {
                batches.append(batch)
                batch = []
                bytes = 0
            }
            batch.append(index)
            bytes += need
        }
        return batch.isEmpty ? batches : batches + [batch]
    }

    // MARK: Memory

    /// Rows are read through no less than this.
    private static let leastResident = 1 << 20

    /// What a group can't do without: the selection's own state, the outcome, and a chunk of its columns.
    static func bytes(of selection: any Selection, rows: Int, _ context: StageContext) -> Int {
        selection.memory(rows: rows, context) + rows * 40 + leastResident
    }

    /// What a group takes beside its columns.
    private func fixedBytes(_ rows: Int) -> Int {
        Self.bytes(of: selection, rows: rows, context) - Self.leastResident
    }

    private func share(of sizes: [Int]) throws(EngineError) -> MemoryShares.Part {
        let rows = sizes.max() ?? 0
        return try shares.selection(
            context.name, Self.bytes(of: selection, rows: rows, context), purpose: " for a group of \(rows) records",
            advice: sizes.count > 1 ? "make more clusters" : nil, beside: beside)
    }

    // MARK: One group

    private struct Data: GroupData {
        let groups: GroupStore
        let extent: GroupStore.Extent
        let residentBytes: Int

        func hashes() throws(StageError) -> [ContentHash] {
            let (high, low) = (try numbers(GroupStore.hashHigh), try numbers(GroupStore.hashLow))
            return zip(high, low).map {
                ContentHash(high: UInt64(bitPattern: $0), low: UInt64(bitPattern: $1))
            }
        }

        func vectors(_ name: ColumnName) throws(StageError) -> any VectorSource {
            guard case .vector? = groups.type(of: name) else {
                throw .missingColumn(name, "vectors", found: groups.type(of: name))
            }
            do throws(IOFailure) {
                return try groups.vectors(name, extent, residentBytes: residentBytes)
            } catch {
                throw StageError(.io, error.description)
            }
        }

        func values(_ name: ColumnName) throws(StageError) -> Column {
            switch groups.type(of: name) {
            case .integer: return .integers(try numbers(name))
            case .real:
                do throws(IOFailure) { return .reals(try groups.reals(name, extent.rows)) } catch {
                    throw StageError(.io, error.description)
                }
            case let other: throw .missingColumn(name, "integers or reals", found: other)
            }
        }

        private func numbers(_ name: ColumnName) throws(StageError) -> [Int64] {
            do throws(IOFailure) { return try groups.integers(name, extent.rows) } catch {
                throw StageError(.io, error.description)
            }
        }
    }

    private func choose(_ groups: GroupStore, _ number: Int, quota: Int) {
        do {
            let extent = groups.extents[number]
            let data = Data(
                groups: groups, extent: extent,
                residentBytes: max(
                    Self.leastResident, min(shares.resident, context.memory - fixedBytes(extent.rows.count))))
            let group = Group(key: extent.key, count: extent.rows.count, data: data)
            let outcome: GroupOutcome
            do throws(StageError) {
                outcome = try selection.select(group, quota: quota, context)
            } catch {
                throw EngineError(error, stage: context.name)
            }
            let name = extent.key.map { "group \($0)" } ?? "the group"
            if let fault = outcome.fault(
                rows: extent.rows.count, quota: quota, mayKeepFewer: selection.mayKeepFewerThanQuota, name: name)
            {
                throw self.fault(fault)
            }
            try book(outcome, groups, extent)
        } catch {
            monitor.locked { if failure == nil { failure = error } }
        }
    }

    private func fault(_ what: String) -> EngineError {
        EngineError(.fault, "stage `\(context.name)`: \(what); this is a defect of the stage")
    }

    private func book(_ outcome: GroupOutcome, _ groups: GroupStore, _ extent: GroupStore.Extent) throws {
        let count = extent.rows.count
        let rows = try groups.integers(GroupStore.rowNumber, extent.rows)
        let ordinals = try groups.integers(GroupStore.ordinal, extent.rows)
        for start in stride(from: 0, to: count, by: Self.bookedRows) {
            try book(outcome, rows, ordinals, start..<min(count, start + Self.bookedRows))
        }
        let kept = outcome.ranks.reduce(0) { $0 + ($1 >= 0 ? 1 : 0) }
        monitor.locked {
            account.countDrop(stage: context.name, reason: outcome.reason, count - kept)
            reports.append(GroupReport(key: extent.key, size: count, kept: kept, report: outcome.report))
        }
    }

    /// Rows whose ledger lines are made at a time.
    private static let bookedRows = 8192

    private func book(_ outcome: GroupOutcome, _ rows: [Int64], _ ordinals: [Int64], _ range: Range<Int>) throws {
        var lines: [UInt8] = []
        var ends: [Int] = []
        var dropped: [UInt64] = []
        var leaving: [Int] = []
        var staying: [(row: Int, rank: Int32)] = []
        for row in range {
            guard outcome.ranks[row] < 0 else {
                if notesRanks { staying.append((Int(rows[row]), outcome.ranks[row])) }
                continue
            }
            let ordinal = UInt64(bitPattern: ordinals[row])
            let partner = outcome.partners.isEmpty ? -1 : Int(outcome.partners[row])
            encoder.appendDrop(
                Ordinal(rawValue: ordinal), stage: context.name, reason: outcome.reason,
                partner: partner < 0 ? nil : Ordinal(rawValue: UInt64(bitPattern: ordinals[partner])),
                measures: outcome.measures.map { Measure($0.name, .real($0.values[row])) }, to: &lines)
            ends.append(lines.count)
            dropped.append(ordinal)
            leaving.append(Int(rows[row]))
        }
        try ledger.add(lines, ends: ends, ordinals: dropped)
        monitor.locked {
            for row in leaving { remaining.remove(row) }
            ranks += staying
        }
    }
}
