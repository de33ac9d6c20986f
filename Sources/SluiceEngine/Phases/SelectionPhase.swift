import SluiceCore
import SluiceIO

/// Runs a selection over the rows of a store: groups the live ones, lets it choose in each group, and books the
/// dropped ones.
struct SelectionPhase {
    let memory: SelectionMemory
    let run: RunContext
    let rows: RowRound.Rows
    /// The field names of a record, for messages.
    let fieldNames: [String]
    /// The columns of the selection that anything reads.
    let writes: [ColumnSpec]
    /// A folder for the rows by group.
    let folder: String

    private var selection: any Selection { memory.selection }
    private var store: ColumnStore { rows.store }

    struct Result {
        /// The kept rows, and those that passed by.
        var live: LiveRows
        /// What the selection writes, in ascending order of the kept rows.
        let columns: SelectionColumns
        let report: JSONValue
        let warnings: [String]
        let account: Account
    }

    /// Counts the groups of the rows.
    func census() -> GroupCensus {
        GroupCensus(
            selection: selection, store: store, live: rows.live, fieldNames: fieldNames, isStopped: run.isStopped
        ) { [memory] in try memory.need($0, $1) }
    }

    func select() throws -> Result {
        let source = census()
        let found = try memory.named { try source.take() }
        let work = GroupSelection.Work(
            census: found, quotas: try memory.quotas(for: found), writes: writes, ledger: rows.ledger, folder: folder)
        let groups = GroupSelection(work, memory, run, deciding: Decisions(among: rows.live, writes: writes))
        defer { groups.removeFiles() }
        try groups.choose(types: try types(isEmpty: found.table.count == 0)) { store in
            try gather(found.keys, source) { key in
                key.map { store.section(of: $0) } ?? 0
            } add: { columns, sections in
                try store.append(columns, sections: sections)
            }
        }
        let (report, warnings) = try Self.report(
            selection, groups.reports.reports(found.key), memory
        ) { groups.reports.failure }
        return Result(
            live: groups.decisions.live ?? rows.live, columns: groups.decisions.columns, report: report,
            warnings: warnings, account: groups.account)
    }

    /// The report and the warnings of a selection.
    ///
    /// - Parameter failure: the error of reading the reports, if there was one: an iterator can't throw.
    static func report(
        _ selection: any Selection, _ groups: GroupReports, _ memory: SelectionMemory, failure: () -> IOFailure?
    ) throws -> (report: JSONValue, warnings: [String]) {
        let report = selection.report(groups)
        let warnings = selection.warnings(groups)
        if let failure = failure() { throw EngineError(failure) }
        if let fault = ReportRules.fault(in: [report]) { throw memory.fault(fault) }
        return (report, warnings)
    }

    /// The types of the columns that the selection gets.
    func types(isEmpty: Bool) throws(EngineError) -> [ColumnName: ColumnType] {
        var types: [ColumnName: ColumnType] = [:]
        for name in selection.columns {
            guard let type = store.types[name] else {
                // A store without rows has no columns.
                if isEmpty { continue }
                throw EngineError(
                    .fault,
                    "stage `\(memory.name)` selects by the column `\(name)`, which was declared but not written")
            }
            types[name] = type
        }
        return types
    }

    /// Visits all live rows in batches, with the columns by which groups are chosen in.
    ///
    /// - Parameters:
    ///   - section: where the rows of a key go; of no key if all records are one group.
    ///   - first: added to the numbers of the rows.
    func gather(
        _ keys: GroupKeys, _ source: GroupCensus, first: Int = 0, section: (Int64?) -> Int32,
        add: ([(name: ColumnName, column: Column)], [Int32]) throws -> Void
    ) throws {
        var names = [ColumnStore.ordinal, ColumnStore.hashHigh, ColumnStore.hashLow]
        names += Set(selection.columns).subtracting(names).sorted()
        // The batches are bounded by all the bytes that are read.
        try source.forEachRange(names + (keys.source.column.map { [$0] } ?? [])) { range, rows in
            var target = [Int32](repeating: -1, count: range.count)
            var columns = try store.load(names, range)
            if keys.source == .all {
                for row in rows { target[row] = section(nil) }
            } else {
                let numbers = try keys.keys(in: store, range, rows)
                for row in rows { target[row] = section(numbers[row]) }
                columns.append((GroupStore.key, .integers(numbers)))
            }
            columns.append((GroupStore.rowNumber, .integers(range.map { Int64(first + $0) })))
            try add(columns, target)
        }
    }
}
