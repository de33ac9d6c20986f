import SluiceCore
import SluiceIO

/// Lets a selection choose in each of some groups, and books the decisions.
final class GroupSelection: @unchecked Sendable {
    // @unchecked: `decisions`, `failure`, `account` and `chunks` are only accessed with `monitor` locked.

    /// The groups, and where the lines of dropped records go.
    struct Work {
        let census: GroupCensus.Result
        /// How many records each group keeps.
        let quotas: [Int]
        /// The columns of the selection that anything reads.
        let writes: [ColumnSpec]
        let ledger: LedgerRuns
        /// A folder for the rows by group.
        let folder: String

        /// The most rows for which columns are written.
        var most: Int { writes.isEmpty ? 0 : zip(quotas, census.table.sizes).reduce(0) { $0 + min($1.0, $1.1) } }
    }

    private let memory: SelectionMemory
    private let work: Work
    private let run: RunContext
    private let monitor = Monitor()
    private(set) var decisions: Decisions
    private(set) var account = Account()
    private var failure: (any Error)?
    /// The reports of all groups, in order.
    let reports: GroupReportLog
    /// Reports of sections whose turn in the log has not come yet.
    private var chunks: [Int: GroupReportChunk] = [:]
    private var census: GroupCensus.Result { work.census }
    private var context: StageContext { memory.context }

    init(_ work: Work, _ memory: SelectionMemory, _ run: RunContext, deciding decisions: Decisions) {
        (self.work, self.memory, self.run, self.decisions) = (work, memory, run, decisions)
        reports = GroupReportLog(path: "\(work.folder).reports", fileSystem: run.fileSystem)
        self.decisions.columns.reserve(work.most)
    }

    /// Removes the files that were needed for the work.
    func removeFiles() { try? run.fileSystem.remove("\(work.folder).reports") }

    /// - Parameters:
    ///   - types: of the columns that the selection gets.
    ///   - gather: adds all rows of the groups to a store, in the order of the input.
    func choose(types: [ColumnName: ColumnType], gather: (GroupStore) throws -> Void) throws {
        let types = GroupStore.types(types)
        let cut = try cut(types, threads: run.pool.width)
        let groups = try GroupStore(
            table: census.table, sections: cut.sections, types: types, folder: work.folder,
            bufferBytes: cut.bufferBytes, fileSystem: run.fileSystem)
        defer { try? groups.remove() }
        try gather(groups)
        try groups.finish()
        // A stage says nothing before it is done with a group, so with a single one there is no progress to show.
        run.progress.expect(records: census.table.count > 1 ? census.table.sizes.reduce(0, +) : 0)
        for batch in cut.batches {
            run.pool.run(batch.count) { piece in
                if run.isStopped() { return }
                choose(groups, batch.lowerBound + piece)
            }
            if run.isStopped() { throw EngineError.stopped }
            if let failure { throw failure }
            for section in batch {
                if let chunk = chunks.removeValue(forKey: section) { try reports.append(chunk) }
            }
        }
        decisions.columns.sort()
    }

    // MARK: Cutting into sections

    /// Groups in sections, which are processed one after another or in parallel.
    private struct Cut {
        let sections: [GroupStore.Section]
        /// Sections that fit into the share of memory together.
        var batches: [Range<Int>] = []
        let bufferBytes: Int
    }

    /// Small groups share a section: reading each one separately would take longer than selecting in it.
    private func cut(_ types: [ColumnName: ColumnType], threads: Int) throws -> Cut {
        let table = census.table
        let rowBytes = GroupStore.rowBytes(types)
        let held = census.size + work.most * SelectionColumns.perRow(work.writes)
        let rows = table.sizes.max() ?? 0
        // The largest group determines the lease; so bundles never need more than that and a MiB.
        try memory.need(
            memory.least(rows) + held,
            " for a group of \(rows) records\(table.count > 1 ? " of \(table.count) groups" : "")",
            advice: table.count > 1 ? "make more clusters" : nil)
        let free = memory.bytes - held
        let bundleBytes = max(64 << 10, min(4 << 20, free / (8 * threads)))
        let sections = GroupStore.sections(of: table, rowBytes: rowBytes, bundleBytes: bundleBytes)
        let buffers = GroupStore.bufferBytes(
            max(1 << 20, min(run.shares.resident / 4, free / 4)), sections: sections.count, types)
        func need(of section: GroupStore.Section) -> Int {
            let largest = table.sizes[section.groups].max() ?? 0
            let decided = section.groups.count > 1 ? section.rows.count * (GroupBundle.perRow + 160) : 0
            return memory.fixedBytes(largest) + decided
        }
        let widest =
            sections.map {
                need(of: $0) + ($0.groups.count > 1 ? $0.rows.count * rowBytes : SelectionMemory.leastResident)
            }.max() ?? 0
        try memory.need(
            held + max(buffers + MemoryShares.perBlock + census.longest, widest),
            " for \(table.count) groups in \(sections.count) parts")
        var cut = Cut(sections: sections, bufferBytes: buffers)
        let room = memory.bytes - held
        var (start, bytes) = (0, 0)
        for (index, section) in sections.enumerated() {
            let need = need(of: section) + section.rows.count * rowBytes
            if index > start, bytes + need > room {
                cut.batches.append(start..<index)
                (start, bytes) = (index, 0)
            }
            bytes += need
        }
        if start < sections.count { cut.batches.append(start..<sections.count) }
        return cut
    }

    // MARK: One section

    private func choose(_ groups: GroupStore, _ number: Int) {
        do {
            let section = groups.sections[number]
            var books = SelectionBooks(memory.name, encoder: run.encoder, writes: work.writes)
            if section.groups.count == 1 {
                try chooseInGroup(groups, section, &books)
            } else {
                try chooseInBundle(groups, section, &books)
                if run.isStopped() { return }
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

    private func chooseInGroup(
        _ groups: GroupStore, _ section: GroupStore.Section, _ books: inout SelectionBooks
    ) throws {
        let count = section.rows.count
        let data = GroupStoreData(
            groups: groups, rows: section.rows,
            residentBytes: max(
                SelectionMemory.leastResident,
                min(run.shares.resident, context.memory - memory.fixedBytes(count))))
        let key = census.key(section.groups.lowerBound)
        let outcome = try choose(
            Group(key: key, count: count, data: data), quota: work.quotas[section.groups.lowerBound])
        try books.add(
            outcome, key: key, rows: try groups.integers(GroupStore.rowNumber, section.rows)[...],
            ordinals: try groups.integers(GroupStore.ordinal, section.rows)[...], handOver: take)
        run.progress.read(records: count)
    }

    private func chooseInBundle(
        _ groups: GroupStore, _ section: GroupStore.Section, _ books: inout SelectionBooks
    ) throws {
        let bundle = try GroupBundle(groups, section, columns: memory.selection.columns)
        for member in bundle.members {
            if run.isStopped() { return }
            let key = census.key(member.group)
            let outcome = try choose(
                Group(key: key, count: member.rows.count, data: bundle.data(member)),
                quota: work.quotas[member.group])
            try books.add(
                outcome, key: key, rows: bundle.rowNumbers[member.rows], ordinals: bundle.ordinals[member.rows],
                handOver: take)
            run.progress.read(records: member.rows.count)
        }
    }

    /// Books the rows collected for a section so far.
    private func take(_ books: SelectionBooks) throws {
        try work.ledger.add(books.lines)
        monitor.locked {
            decisions.drop(books.leaving)
            decisions.columns.append(books.staying)
        }
    }

    private func choose(_ group: Group, quota: Int) throws -> GroupOutcome {
        let outcome: GroupOutcome
        var weights: [Int64]?
        do throws(StageError) {
            outcome = try memory.selection.select(group, quota: quota, context)
            if memory.selection.quotasAreWeights, let name = memory.selection.weights {
                weights = try group.integers(name)
            }
        } catch {
            throw EngineError(error, stage: memory.name)
        }
        let fault = outcome.fault(
            of: memory.selection, rows: group.count, quota: quota, name: group.key.name, weights: weights)
        if let fault {
            throw memory.fault(fault)
        }
        return outcome
    }
}

/// What a selection decided about rows.
struct Decisions {
    /// The rows of a store that are still in; nil if dropped rows are listed.
    private(set) var live: LiveRows?
    /// The rows that were dropped, in any order.
    private(set) var dropped: [Int] = []
    /// What the selection writes for the kept rows.
    var columns: SelectionColumns

    /// - Parameter live: the rows of the store that are in before the selection.
    init(among live: LiveRows, writes: [ColumnSpec]) {
        self.live = live
        columns = SelectionColumns(writes)
    }

    /// Lists dropped rows.
    init(writes: [ColumnSpec]) { columns = SelectionColumns(writes) }

    mutating func drop(_ rows: [Int]) {
        if live == nil { dropped += rows } else { for row in rows { live?.remove(row) } }
    }
}
