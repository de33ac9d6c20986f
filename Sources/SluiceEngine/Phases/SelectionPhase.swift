import SluiceCore
import SluiceIO

/// Runs a selection: groups the live rows, lets it select in each group, and books the dropped rows.
final class SelectionPhase: @unchecked Sendable {
    // @unchecked: `remaining`, `columns`, `failure`, `account` and `chunks` are only accessed with `monitor` locked; only
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
    private let shares: MemoryShares
    /// Memory held at the same time.
    private let beside: [MemoryShares.Part]
    /// The columns of the selection that anything reads.
    private let writes: [ColumnSpec]
    private var columns: SelectionColumns
    private var failure: (any Error)?
    private let reports: GroupReportLog
    /// Reports of sections whose turn in the log has not come yet.
    private var chunks: [Int: GroupReportChunk] = [:]
    private var part = MemoryShares.Part(name: "", bytes: 0)
    private var lease: ((MemoryShares.Part) throws(EngineError) -> Void)?
    private var account = Account()

    /// The field names of a record, for messages.
    var fieldNames: [String] = []

    struct Result {
        /// The kept rows.
        let live: LiveRows
        /// What the selection writes, in ascending order of the kept rows.
        let columns: SelectionColumns
        let report: JSONValue
        let warnings: [String]
        let account: Account
    }

    init(
        _ selection: any Selection, context: @escaping (_ memory: Int) -> StageContext, store: ColumnStore,
        live: LiveRows, ledger: LedgerRuns, encoder: LineEncoder, folder: String, writes: [ColumnSpec],
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
        self.writes = writes
        columns = SelectionColumns(writes)
        self.ledger = ledger
        self.encoder = encoder
        self.folder = folder
        self.fileSystem = fileSystem
        self.progress = progress
        reports = GroupReportLog(path: "\(folder).reports", fileSystem: fileSystem)
    }

    /// - Parameter lease: leases memory for the phase in place of its previous lease; called again as more becomes
    ///   known of the groups.
    func run(
        on pool: WorkerPool, isStopped: @escaping () -> Bool,
        lease: @escaping (MemoryShares.Part) throws(EngineError) -> Void
    ) throws -> Result {
        self.lease = lease
        defer { self.lease = nil }
        let rows = GroupCensus(
            selection: selection, store: store, live: live, fieldNames: fieldNames, isStopped: isStopped
        ) {
            try self.need($0, $1)
        }
        let census = try named { try rows.take() }
        let table = census.table
        let quotas = try quotas(for: census)
        let types = try columnTypes(isEmpty: table.count == 0)
        let most = writes.isEmpty ? 0 : zip(quotas, table.sizes).reduce(0) { $0 + min($1.0, $1.1) }
        columns.reserve(most)
        let work = try cut(census, types, threads: pool.width, kept: most)
        let groups = try gather(work, types, rows)
        defer {
            try? groups.remove()
            try? fileSystem.remove("\(folder).reports")
        }
        // A stage says nothing before it is done with a group, so with a single one there is no progress to show.
        progress.expect(records: table.count > 1 ? live.count : 0)
        for batch in work.batches {
            pool.run(batch.count) { piece in
                if isStopped() { return }
                choose(groups, census, batch.lowerBound + piece, quotas, isStopped)
            }
            if isStopped() { throw EngineError.stopped }
            if let failure { throw failure }
            for section in batch {
                if let chunk = chunks.removeValue(forKey: section) { try reports.append(chunk) }
            }
        }
        columns.sort()
        let groupReports = reports.reports(census.key)
        let report = selection.report(groupReports)
        let warnings = selection.warnings(groupReports)
        if let failure = reports.failure { throw EngineError(failure) }
        if let fault = ReportRules.fault(in: [report]) { throw self.fault(fault) }
        return Result(live: remaining, columns: columns, report: report, warnings: warnings, account: account)
    }

    // MARK: Memory

    /// Smallest buffer for reading rows in passes.
    private static let leastResident = 1 << 20
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

    /// Names the stage in an error about its data.
    private func named<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as EngineError where error.code == .data {
            throw EngineError(.data, "stage `\(context.name)`: \(error.message)")
        }
    }

    private func quotas(for census: GroupCensus.Result) throws -> [Int] {
        let table = census.table
        try need(
            census.size + table.count * Self.perQuota, " to divide its budget among \(table.count) groups")
        let quotas: [Int]
        do throws(StageError) {
            quotas = try selection.quotas(for: census.groups)
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

    /// Groups in sections, which are processed one after another or in parallel.
    private struct Work {
        let census: GroupCensus.Result
        let sections: [GroupStore.Section]
        /// Sections that fit into the share of memory together.
        var batches: [Range<Int>] = []
        let bufferBytes: Int
    }

    /// Small groups share a section: reading each one separately would take longer than selecting in it.
    ///
    /// - Parameter kept: the most rows for which columns are written.
    private func cut(
        _ census: GroupCensus.Result, _ types: [ColumnName: ColumnType], threads: Int, kept: Int
    ) throws -> Work {
        let table = census.table
        let rowBytes = GroupStore.rowBytes(types)
        let held = census.size + kept * SelectionColumns.perRow(writes)
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
            held + max(buffers + MemoryShares.perBlock + census.longest, widest),
            " for \(table.count) groups in \(sections.count) parts"
        )
        var work = Work(census: census, sections: sections, bufferBytes: buffers)
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
        _ work: Work, _ types: [ColumnName: ColumnType], _ source: GroupCensus
    ) throws -> GroupStore {
        let groups = try GroupStore(
            table: work.census.table, sections: work.sections, types: types, folder: folder,
            bufferBytes: work.bufferBytes,
            fileSystem: fileSystem)
        var names = [ColumnStore.ordinal, ColumnStore.hashHigh, ColumnStore.hashLow]
        names += Set(selection.columns).subtracting(names).sorted()
        let keys = work.census.keys
        // The batches are bounded by all the bytes that are read.
        try source.forEachRange(names + (keys.source.column.map { [$0] } ?? [])) { range, rows in
            var target = [Int32](repeating: -1, count: range.count)
            var columns = try store.load(names, range)
            if keys.source == .all {
                for row in rows { target[row] = 0 }
            } else {
                let numbers = try keys.keys(in: store, range, rows)
                for row in rows { target[row] = groups.section(of: numbers[row]) }
                columns.append((GroupStore.key, .integers(numbers)))
            }
            columns.append((GroupStore.rowNumber, .integers(range.map { Int64($0) })))
            try groups.append(columns, sections: target)
        }
        try groups.finish()
        return groups
    }

    // MARK: One section

    private func choose(
        _ groups: GroupStore, _ census: GroupCensus.Result, _ number: Int, _ quotas: [Int], _ isStopped: () -> Bool
    ) {
        do {
            let section = groups.sections[number]
            var books = SelectionBooks(context.name, encoder: encoder, writes: writes)
            if section.groups.count == 1 {
                let count = section.rows.count
                let data = GroupStoreData(
                    groups: groups, rows: section.rows,
                    residentBytes: max(
                        Self.leastResident, min(shares.resident, context.memory - fixedBytes(count))))
                let key = census.key(section.groups.lowerBound)
                let outcome = try choose(
                    Group(key: key, count: count, data: data), quota: quotas[section.groups.lowerBound])
                try books.add(
                    outcome, key: key, rows: try groups.integers(GroupStore.rowNumber, section.rows)[...],
                    ordinals: try groups.integers(GroupStore.ordinal, section.rows)[...], handOver: take)
                progress.read(records: count)
            } else {
                let bundle = try GroupBundle(groups, section, columns: selection.columns)
                for member in bundle.members {
                    if isStopped() { return }
                    let key = census.key(member.group)
                    let outcome = try choose(
                        Group(key: key, count: member.rows.count, data: bundle.data(member)),
                        quota: quotas[member.group])
                    try books.add(
                        outcome, key: key, rows: bundle.rowNumbers[member.rows],
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
            columns.append(books.staying)
        }
    }

    private func choose(_ group: Group, quota: Int) throws -> GroupOutcome {
        let outcome: GroupOutcome
        do throws(StageError) {
            outcome = try selection.select(group, quota: quota, context)
        } catch {
            throw EngineError(error, stage: context.name)
        }
        if let fault = outcome.fault(of: selection, rows: group.count, quota: quota, name: group.key.name) {
            throw self.fault(fault)
        }
        return outcome
    }
}
