import SluiceCore

/// The columns that a selection writes: a value of each for every kept row.
struct SelectionColumns: Sendable {
    /// `rank` and the selection's own columns, as far as anything reads them; all of integers or reals.
    let specs: [ColumnSpec]
    private(set) var rows: [Int] = []
    /// For each column its values; of reals the bit patterns.
    private(set) var values: [[Int64]]

    init(_ specs: [ColumnSpec]) {
        self.specs = specs
        values = specs.map { _ in [] }
    }

    init(_ specs: [ColumnSpec], rows: [Int], values: [[Int64]]) {
        (self.specs, self.rows, self.values) = (specs, rows, values)
    }

    var count: Int { rows.count }

    /// Bytes per kept row, including its place while the rows are sorted.
    static func perRow(_ specs: [ColumnSpec]) -> Int { specs.isEmpty ? 0 : 16 + 8 * specs.count }

    mutating func reserve(_ count: Int) {
        guard !specs.isEmpty else { return }
        rows.reserveCapacity(count)
        for column in values.indices { values[column].reserveCapacity(count) }
    }

    /// Adds a kept row of a group.
    ///
    /// - Parameters:
    ///   - row: its number in the store.
    ///   - place: its number in the group.
    mutating func append(row: Int, _ outcome: GroupOutcome, place: Int) {
        guard !specs.isEmpty else { return }
        rows.append(row)
        for (column, spec) in specs.enumerated() {
            values[column].append(
                spec.name == .rank ? Int64(outcome.ranks[place]) : outcome.columns.value(of: spec.name, place))
        }
    }

    mutating func append(_ other: SelectionColumns) {
        rows += other.rows
        for column in values.indices { values[column] += other.values[column] }
    }

    /// The kept rows of a range, counted from its start. The rows must be sorted.
    func slice(_ range: Range<Int>) -> SelectionColumns {
        let start = rows.place(of: range.lowerBound)
        let end = rows.place(of: range.upperBound)
        return SelectionColumns(
            specs, rows: rows[start..<end].map { $0 - range.lowerBound }, values: values.map { Array($0[start..<end]) })
    }

    mutating func removeAll() {
        rows.removeAll(keepingCapacity: true)
        for column in values.indices { values[column].removeAll(keepingCapacity: true) }
    }

    /// Sorts the rows. Rows are moved along the cycles of the permutation, without a second copy.
    mutating func sort() {
        var order = rows.indices.sorted { rows[$0] < rows[$1] }
        for first in order.indices where order[first] != first {
            let row = rows[first]
            let kept = values.map { $0[first] }
            var place = first
            while order[place] != first {
                let next = order[place]
                rows[place] = rows[next]
                for column in values.indices { values[column][place] = values[column][next] }
                order[place] = place
                place = next
            }
            rows[place] = row
            for column in values.indices { values[column][place] = kept[column] }
            order[place] = place
        }
    }

    /// The columns for some rows of the store; -1 for rows that were dropped.
    ///
    /// - Parameter next: the first kept row that has not been written; moved past the range.
    func columns(_ range: Range<Int>, next: inout Int) -> [(ColumnName, Column)] {
        var columns = specs.map { _ in [Int64](repeating: -1, count: range.count) }
        while next < rows.count, rows[next] < range.upperBound {
            for column in specs.indices { columns[column][rows[next] - range.lowerBound] = values[column][next] }
            next += 1
        }
        return zip(specs, columns).map { spec, values in
            spec.type == .real
                ? (spec.name, .reals(values.map { Double(bitPattern: UInt64(bitPattern: $0)) }))
                : (spec.name, .integers(values))
        }
    }
}

extension Array where Element == (name: ColumnName, column: Column) {
    /// A value as an integer, or the bit pattern of a real.
    fileprivate func value(of name: ColumnName, _ row: Int) -> Int64 {
        switch first(where: { $0.name == name })?.column {
        case .integers(let values)?: values[row]
        case .reals(let values)?: Int64(bitPattern: values[row].bitPattern)
        default: -1
        }
    }
}

extension ColumnStore {
    /// Adds columns that are on disk for all shards.
    func adopt(_ columns: [ColumnSpec], round: Int) {
        let types = Dictionary(uniqueKeysWithValues: columns.map { ($0.name, $0.type) })
        for shard in shards { add(types, to: shard.number, round: round) }
    }

    /// Writes the columns of a selection.
    ///
    /// - Parameter passing: rows that passed the selection by: they keep the values that they had, or have none.
    func write(_ columns: SelectionColumns, passing: LiveRows?, round: Int) throws {
        guard !columns.specs.isEmpty else { return }
        let types = Dictionary(uniqueKeysWithValues: columns.specs.map { ($0.name, $0.type) })
        var next = 0
        for shard in shards {
            let writer = writer(shard.id, round: round)
            var start = shard.rows.lowerBound
            while start < shard.rows.upperBound {
                let end = Swift.min(start + 65_536, shard.rows.upperBound)
                var chosen = columns.columns(start..<end, next: &next)
                if let passing, passing.count > 0 { try keepValues(of: &chosen, start..<end, where: passing) }
                try writer.append(chosen)
                start = end
            }
            _ = try writer.commit()
            add(types, to: shard.number, round: round)
        }
    }
}

extension ColumnStore {
    private func keepValues(
        of columns: inout [(ColumnName, Column)], _ rows: Range<Int>, where passing: LiveRows
    ) throws {
        let isPassing = rows.map { passing[$0] }
        for index in columns.indices {
            let (name, column) = columns[index]
            columns[index].1 = column.replaced(where: isPassing, by: try load([name], rows).first?.column)
        }
    }
}

extension [Int] {
    /// The place of the first number that is not below `number`; the array must be sorted.
    fileprivate func place(of number: Int) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = low + (high - low) / 2
            if self[middle] < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The numbers of a range; the array must be sorted.
    func slice(_ range: Range<Int>) -> ArraySlice<Int> {
        self[place(of: range.lowerBound)..<place(of: range.upperBound)]
    }
}
