import SluiceCore
import SluiceIO

/// Runs a selection: groups the live rows, lets it select in each group, and books the dropped rows.
final class SelectionPhase: @unchecked Sendable {
    // @unchecked: `remaining`, `ranks`, `failure`, `account` and `chunks` are only accessed with `monitor` locked; only
    // the thread that calls `run` uses `part` and `lease`.

    private let selection: any Selection
    /// With the most memory that the phase could get; the actual amount is known once the groups are counted.
    private var context: StageContext
    private let contextOf: (_ memory: Int) -> StageContext
    private let store: ColumnStore
    private let live: LiveRows
    private let ledger: LedgerRuns
    private let encoder: LineEncoder
    private let folder: String
    private let fileSystem: FileSystem
    private let progress: ProgressMeter

    private let monitor = Monitor()
    private var remaining: LiveRows
    private let notesRanks: Bool
    private let shares: MemoryShares
    /// Memory held at the same time.
    private let beside: [MemoryShares.Part]
    private var ranks: [(row: Int, rank: Int32)] = []
    private var failure: (any Error)?
    private let reports: GroupReportLog
    /// Reports of sections whose turn in the log has not come yet.
    private var chunks: [Int: GroupReportChunk] = [:]
    private var part = MemoryShares.Part(name: "", bytes: 0)
    private var lease: ((MemoryShares.Part) throws(EngineError) -> Void)?
    private var account = Account()

    struct Result {
        /// The kept rows.
        let live: LiveRows
        /// The kept rows, ascending, with their rank among the picks; empty if nothing reads the ranks.
        let ranks: [(row: Int, rank: Int32)]
        let report: JSONValue
        let account: Account
    }

    init(
        _ selection: any Selection, context: @escaping (_ memory: Int) -> StageContext, store: ColumnStore,
        live: LiveRows, ledger: LedgerRuns, encoder: LineEncoder, folder: String, notesRanks: Bool,
        shares: MemoryShares, beside: [MemoryShares.Part] = [], fileSystem: FileSystem,
        progress: ProgressMeter
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
        self.progress = progress
        reports = GroupReportLog(path: "\(folder).reports", fileSystem: fileSystem)
    }

    /// - Parameter lease: leases memory for the phase in place of its previous lease; called again as more becomes
    ///   known of
    /// the groups.
    func run(
        on pool: WorkerPool, isStopped: @escaping () -> Bool,
        lease: @escaping (MemoryShares.Part) throws(EngineError) -> Void
    ) throws -> Result {
        self.lease = lease
        defer { self.lease = nil }
        let table = try countGroups(isStopped)
        let quotas = try quotas(for: table)
        let types = try columnTypes(isEmpty: table.count == 0)
        let most = notesRanks ? zip(quotas, table.sizes).reduce(0) { $0 + min($1.0, $1.1) } : 0
        ranks.reserveCapacity(most)
        let work = try cut(table, types, threads: pool.width, ranks: most)
        let groups = try gather(work, types, isStopped)
        defer {
            try? groups.remove()
            try? fileSystem.remove("\(folder).reports")
        }
        // A stage says nothing before it is done with a group, so with a single one there is no progress to show.
        progress.expect(records: table.count > 1 ? live.count : 0)
        for batch in work.batches {
            pool.run(batch.count) { piece in
                if isStopped() { return }
                choose(groups, batch.lowerBound + piece, quotas, isStopped)
            }
            if isStopped() { throw EngineError.stopped }
            if let failure { throw failure }
            for section in batch {
                if let chunk = chunks.removeValue(forKey: section) { try reports.append(chunk) }
            }
        }
        ranks.sort { $0.row < $1.row }
        let report = selection.report(reports.reports)
        if let failure = reports.failure { throw EngineError(failure) }
        if let fault = ReportRules.fault(in: [report]) { throw self.fault(fault) }
        return Result(live: remaining, ranks: ranks, report: report, account: account)
    }

    // MARK: Memory

    /// Smallest buffer for reading rows in passes.
    private static let leastResident = 1 << 20
    /// A row's rank, kept until the selection is written.
    private static let perRank = MemoryLayout<(row: Int, rank: Int32)>.stride
    /// Memory of a stage for each group while it divides its budget among the groups.
    private static let perQuota = 48

    /// The least memory for a group: the selection's own state, the outcome, and a chunk of its columns.
    static func bytes(of selection: any Selection, rows: Int, _ context: StageContext) -> Int {
        selection.memory(rows: rows, context) + rows * 40 + leastResident
    }

    /// Memory for a group in addition to its columns.
    private func fixedBytes(_ rows: Int) -> Int {
        Self.bytes(of: selection, rows: rows, context) - Self.leastResident
    }

    /// Ensures that this many bytes are leased.
    ///
    /// - Parameter purpose: the reason, starting with a space.
    private func need(_ bytes: Int, _ purpose: String, advice: String? = nil) throws {
        guard bytes > part.bytes else { return }
        let larger = try shares.selection(
            context.name, bytes, purpose: purpose, advice: advice, beside: beside)
        try lease?(larger)
        part = larger
        context = contextOf(larger.bytes)
    }

    private func fault(_ what: String) -> EngineError {
        EngineError(defect: what, stage: context.name)
    }

    private func quotas(for table: GroupTable) throws -> [Int] {
        try need(
            GroupTable.bytes(table.count) + table.count * Self.perQuota,
            " to divide its budget among \(table.count) groups")
        let quotas: [Int]
        do throws(StageError) {
            quotas = try selection.quotas(for: table.sizes)
        } catch {
            throw EngineError(error, stage: context.name)
        }
        if let fault = SelectionRules.fault(inQuotas: quotas, for: table.sizes) { throw self.fault(fault) }
        return quotas
    }

    // MARK: Cutting into groups

    private func columnTypes(isEmpty: Bool) throws(EngineError) -> [ColumnName: ColumnType] {
        var types: [ColumnName: ColumnType] = [:]
        for name in selection.columns {
            guard let type = store.types[name] else {
                // A store without rows has no columns.
                if isEmpty { continue }
                throw EngineError(
                    .fault,
                    "stage `\(context.name)` selects by the column `\(name)`, which was declared but not written")
            }
            types[name] = type
        }
        return GroupStore.types(types)
    }

    private func forEachRange(
        _ columns: [ColumnName], _ isStopped: () -> Bool, _ body: (Range<Int>, [Int]) throws -> Void
    ) throws {
        let batches = RowBatches(store, columns: columns)
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

    private func countGroups(_ isStopped: () -> Bool) throws -> GroupTable {
        guard case .by(let column) = selection.grouping else { return GroupTable(all: live.count) }
        var counter = try GroupCounter { [self] bytes, groups in
            try need(bytes + Self.leastResident, " for a table of \(groups) groups")
        }
        try forEachRange([column], isStopped) { range, rows in
            let keys = try store.integers(column, range)
            for row in rows { try counter.add(keys[row]) }
        }
        return try counter.table()
    }

    /// Groups in sections, which are processed one after another or in parallel.
    private struct Work {
        let table: GroupTable
        let sections: [GroupStore.Section]
        /// Sections that fit into the share of memory together.
        var batches: [Range<Int>] = []
        let bufferBytes: Int
    }

    /// Small groups share a section: reading each one separately would take longer than selecting in it.
    ///
    /// - Parameter ranks: the most ranks to be kept.
    private func cut(
        _ table: GroupTable, _ types: [ColumnName: ColumnType], threads: Int, ranks: Int
    ) throws -> Work {
        let rowBytes = GroupStore.rowBytes(types)
        let held = GroupTable.bytes(table.count) + ranks * Self.perRank
        let rows = table.sizes.max() ?? 0
        // The largest group determines the lease; so bundles never need more than that and a MiB.
        let least = Self.bytes(of: selection, rows: rows, context)
        try self.need(
            least + held, " for a group of \(rows) records\(table.count > 1 ? " of \(table.count) groups" : "")",
            advice: table.count > 1 ? "make more clusters" : nil)
        let free = part.bytes - held
        let bundleBytes = max(64 << 10, min(4 << 20, free / (8 * threads)))
        let sections = GroupStore.sections(of: table, rowBytes: rowBytes, bundleBytes: bundleBytes)
        let buffers = GroupStore.bufferBytes(
            max(1 << 20, min(shares.resident / 4, free / 4)), sections: sections.count, types)
        func need(of section: GroupStore.Section) -> Int {
            let largest = table.sizes[section.groups].max() ?? 0
            let decided = section.groups.count > 1 ? section.rows.count * (GroupBundle.perRow + 160) : 0
            return fixedBytes(largest) + decided
        }
        let widest =
            sections.map { need(of: $0) + ($0.groups.count > 1 ? $0.rows.count * rowBytes : Self.leastResident) }
            .max() ?? 0
        try self.need(
            held + max(buffers + MemoryShares.perBlock, widest), " for \(table.count) groups in \(sections.count) parts"
        )
        var work = Work(table: table, sections: sections, bufferBytes: buffers)
        let room = part.bytes - held
        var (start, bytes) = (0, 0)
        for (index, section) in sections.enumerated() {
            let need = need(of: section) + section.rows.count * rowBytes
            if index > start, bytes + need > room {
                work.batches.append(start..<index)
                (start, bytes) = (index, 0)
            }
            bytes += need
        }
        if start < sections.count { work.batches.append(start..<sections.count) }
        return work
    }

    private func gather(
        _ work: Work, _ types: [ColumnName: ColumnType], _ isStopped: () -> Bool
    ) throws -> GroupStore {
        let groups = try GroupStore(
            table: work.table, sections: work.sections, types: types, folder: folder, bufferBytes: work.bufferBytes,
            fileSystem: fileSystem)
        var names = [ColumnStore.ordinal, ColumnStore.hashHigh, ColumnStore.hashLow]
        names += Set(selection.columns).subtracting(names).sorted()
        try forEachRange(names, isStopped) { range, rows in
            var target = [Int32](repeating: -1, count: range.count)
            var columns = try store.load(names, range)
            if case .by(let column) = selection.grouping {
                let keys = try store.integers(column, range)
                for row in rows { target[row] = groups.section(of: keys[row]) }
                columns.append((GroupStore.key, .integers(keys)))
            } else {
                for row in rows { target[row] = 0 }
            }
            columns.append((GroupStore.rowNumber, .integers(range.map { Int64($0) })))
            try groups.append(columns, sections: target)
        }
        try groups.finish()
        return groups
    }

    // MARK: One section

    private struct Data: GroupData {
        let groups: GroupStore
        let rows: Range<Int>
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
                return try groups.vectors(name, rows, residentBytes: residentBytes)
            } catch {
                throw StageError(.io, error.description)
            }
        }

        func values(_ name: ColumnName) throws(StageError) -> Column {
            switch groups.type(of: name) {
            case .integer: return .integers(try numbers(name))
            case .real:
                do throws(IOFailure) { return .reals(try groups.reals(name, rows)) } catch {
                    throw StageError(.io, error.description)
                }
            case let other: throw .missingColumn(name, "integers or reals", found: other)
            }
        }

        private func numbers(_ name: ColumnName) throws(StageError) -> [Int64] {
            do throws(IOFailure) { return try groups.integers(name, rows) } catch {
                throw StageError(.io, error.description)
            }
        }
    }

    private func choose(_ groups: GroupStore, _ number: Int, _ quotas: [Int], _ isStopped: () -> Bool) {
        do {
            let section = groups.sections[number]
            var books = SelectionBooks(context.name, encoder: encoder, notesRanks: notesRanks)
            if section.groups.count == 1 {
                let count = section.rows.count
                let data = Data(
                    groups: groups, rows: section.rows,
                    residentBytes: max(
                        Self.leastResident, min(shares.resident, context.memory - fixedBytes(count))))
                let key = groups.table.key(section.groups.lowerBound)
                let outcome = try choose(
                    Group(key: key, count: count, data: data), quota: quotas[section.groups.lowerBound])
                try books.add(
                    outcome, key: key, rows: try groups.integers(GroupStore.rowNumber, section.rows)[...],
                    ordinals: try groups.integers(GroupStore.ordinal, section.rows)[...], handOver: take)
                progress.read(records: count)
            } else {
                let bundle = try GroupBundle(groups, section, columns: selection.columns)
                for (group, member) in zip(section.groups, bundle.members) {
                    if isStopped() { return }
                    let outcome = try choose(
                        Group(key: member.key, count: member.rows.count, data: bundle.data(member)),
                        quota: quotas[group])
                    try books.add(
                        outcome, key: member.key, rows: bundle.rowNumbers[member.rows],
                        ordinals: bundle.ordinals[member.rows], handOver: take)
                    progress.read(records: member.rows.count)
                }
            }
            try books.empty(take)
            monitor.locked {
                account.add(books.account)
                chunks[number] = books.reports
            }
        } catch {
            monitor.locked { if failure == nil { failure = error } }
        }
    }

    /// Books the rows collected for a section so far.
    private func take(_ books: SelectionBooks) throws {
        try ledger.add(books.lines, ends: books.ends, ordinals: books.dropped)
        monitor.locked {
            for row in books.leaving { remaining.remove(row) }
            ranks += books.staying
        }
    }

    private func choose(_ group: Group, quota: Int) throws -> GroupOutcome {
        let outcome: GroupOutcome
        do throws(StageError) {
            outcome = try selection.select(group, quota: quota, context)
        } catch {
            throw EngineError(error, stage: context.name)
        }
        let name = group.key.map { "group \($0)" } ?? "the group"
        if let fault = outcome.fault(
            rows: group.count, quota: quota, mayKeepFewer: selection.mayKeepFewerThanQuota, name: name)
        {
            throw self.fault(fault)
        }
        return outcome
    }
}
