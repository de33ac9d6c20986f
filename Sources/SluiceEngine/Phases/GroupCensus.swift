import SluiceCore
import SluiceIO

/// Finds the groups of a selection: one pass over the column that groups, one more before it to find the labels if it
/// holds labels, and one after it to weigh the groups if the selection names weights.
struct GroupCensus {
    let selection: any Selection
    let store: ColumnStore
    let live: LiveRows
    /// The field names of a record, for messages.
    let fieldNames: [String]
    let isStopped: () -> Bool
    /// Ensures that this many bytes are leased, for a purpose that starts with a space.
    let need: (_ bytes: Int, _ purpose: String) throws -> Void

    struct Result: Sendable {
        let keys: GroupKeys
        let table: GroupTable
        /// Bytes for reading the longest label.
        let longest: Int
        /// Bytes of keys and table.
        var size: Int { GroupTable.bytes(table.count) + table.weights.count * 8 + keys.labels.size }

        func key(_ group: Int) -> GroupKey { table.keys.isEmpty ? .all : keys.key(table.keys[group]) }

        var groups: Groups { Groups(sizes: table.sizes, weights: table.weights, key: key) }
    }

    /// - Parameter isPart: whether the rows are those of a part of the input, so that other parts may have labels.
    func take(isPart: Bool = false) throws -> Result {
        var keys = GroupKeys(selection.grouping, in: store)
        let longest = try keys.source.column.map { try RowBatches(store, columns: [$0]).longest() } ?? 0
        if keys.hasLabels {
            keys.adopt(try labels(keys, longest))
            if !isPart { try refuseUnknownField(keys, records: live.count) }
        }
        var table = try count(keys, beside: keys.labels.size + longest)
        try weigh(&table, keys, longest)
        return Result(keys: keys, table: table, longest: longest)
    }

    /// Batches of rows, each with its live rows, counted from the start of the batch.
    func forEachRange(_ columns: [ColumnName], _ body: (Range<Int>, [Int]) throws -> Void) throws {
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

    private func labels(_ keys: GroupKeys, _ longest: Int) throws -> GroupLabels {
        var collector = try LabelCollector { bytes, labels in
            try need(bytes + longest + Self.buffers, " for \(labels) labels by which it groups")
        }
        try forEachRange(keys.source.column.map { [$0] } ?? []) { range, rows in
            try keys.forEachLabel(in: store, range, rows) { _, label in
                if let label { try collector.add(label) }
            }
        }
        return try collector.labels()
    }

    /// A field that no record has is a mistyped one: all records would be one group.
    func refuseUnknownField(_ keys: GroupKeys, records: Int) throws(EngineError) {
        guard keys.labels.count == 0, records > 0, case .field(let path) = keys.source else { return }
        let columns = store.types.keys.filter { !$0.isReserved }.map(\.name)
        let hint =
            if let near = Registry.nearest(to: path.description, in: fieldNames) {
                "; did you mean `\(Printable.name(near))`?"
            } else if let near = Registry.nearest(to: path.description, in: columns.sorted()) {
                "; did you mean the column `\(near)`?"
            } else {
                fieldNames.listed
            }
        throw EngineError(
            .data,
            "it groups by the field `\(Printable.name(path.description))`, which none of the \(records) records that reach it has\(hint)"
        )
    }

    private func count(_ keys: GroupKeys, beside held: Int) throws -> GroupTable {
        guard let column = keys.source.column else { return GroupTable(all: live.count) }
        var counter = try GroupCounter { bytes, groups in
            try need(bytes + held + Self.buffers, " for a table of \(groups) groups")
        }
        try forEachRange([column]) { range, rows in
            let numbers = try keys.keys(in: store, range, rows)
            for row in rows { try counter.add(numbers[row]) }
        }
        return try counter.table()
    }

    /// For reading rows.
    private static let buffers = 1 << 20

    private func weigh(_ table: inout GroupTable, _ keys: GroupKeys, _ longest: Int) throws {
        guard let column = selection.weights, table.count > 0 else { return }
        try need(
            GroupTable.bytes(table.count) + table.count * 8 + keys.labels.size + longest + Self.buffers,
            " to weigh \(table.count) groups")
        table.weigh()
        try forEachRange([column] + (keys.source.column.map { [$0] } ?? [])) { range, rows in
            let numbers = try keys.keys(in: store, range, rows)
            let weights = try store.integers(column, range)
            for row in rows {
                guard weights[row] != Column.missingInteger else {
                    throw EngineError(
                        .data,
                        "it weighs groups by the column `\(column)`, which is missing for records that passed its stage by (`when`)"
                    )
                }
                guard weights[row] >= 0 else {
                    throw EngineError(
                        .data,
                        "it weighs groups by the column `\(column)`, which holds \(weights[row]); weights start at 0")
                }
                guard let group = table.index(of: numbers[row]), table.add(weights[row], to: group) else {
                    throw EngineError(.data, "the sum of the column `\(column)` over a group exceeds 2^63")
                }
            }
        }
    }
}
