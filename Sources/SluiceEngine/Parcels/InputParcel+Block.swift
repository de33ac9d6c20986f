import SluiceCore
import SluiceIO

extension InputParcel {
    /// Notes the records that are in, as the rows that the stages get.
    func takeRows() {
        rows.removeAll(keepingCapacity: true)
        losses.forEachKept { rows.append(Int32($0)) }
    }

    /// Makes the block for the stages: the good records that are still in.
    func makeBlock(readsRecord: Bool, wanted: [ColumnName]) -> Block {
        takeRows()
        let (lines, ordinals, hashes) = (records.lines, records.ordinals, records.hashes)
        let all = rows.count == lines.count
        var table = records.fields
        if !all, !table.paths.isEmpty {
            table.entries = rows.flatMap { row in
                records.fields.entries[(Int(row) * table.paths.count)..<((Int(row) + 1) * table.paths.count)]
            }
        }
        var originals: BytesColumn?
        if readsRecord {
            var column = BytesColumn()
            for row in rows { column.append(ArraySlice(raw.bytes(of: lines[Int(row)]))) }
            originals = column
        }
        return Block(
            ordinals: all ? ordinals : rows.map { ordinals[Int($0)] },
            hashes: all ? hashes : rows.map { hashes[Int($0)] },
            fields: table.paths.isEmpty ? nil : table, records: originals, wanted: wanted)
    }
}

extension Column {
    /// The rows with these numbers, in that order.
    func gathered(_ rows: [Int]) -> Column {
        if rows.count == count { return self }
        switch self {
        case .bytes(let column):
            var result = BytesColumn()
            for row in rows { result.append(column[row]) }
            return .bytes(result)
        case .vectors(let column):
            var result = VectorColumn(dimension: column.dimension)
            result.values.reserveCapacity(rows.count * column.dimension)
            for row in rows { result.values.append(contentsOf: column[row]) }
            return .vectors(result)
        case .integers(let values): return .integers(rows.map { values[$0] })
        case .reals(let values): return .reals(rows.map { values[$0] })
        }
    }
}
