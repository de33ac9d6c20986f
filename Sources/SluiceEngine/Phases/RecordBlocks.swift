import SluiceCore
import SluiceIO

extension Parcel {
    /// Makes the block for the stages: the good records that are still in.
    func makeBlock(readsRecord: Bool, wanted: [ColumnName]) -> Block {
        rows.removeAll(keepingCapacity: true)
        for record in fates.indices where fates[record] < 0 { rows.append(Int32(record)) }
        let all = rows.count == lines.count
        var table = fields
        if !all, !table.paths.isEmpty {
            table.entries = rows.flatMap { row in
                fields.entries[(Int(row) * table.paths.count)..<((Int(row) + 1) * table.paths.count)]
            }
        }
        var records: BytesColumn?
        if readsRecord {
            var column = BytesColumn()
            for row in rows { column.append(ArraySlice(raw.bytes(of: lines[Int(row)]))) }
            records = column
        }
        return Block(
            ordinals: all ? ordinals : rows.map { ordinals[Int($0)] },
            hashes: all ? hashes : rows.map { hashes[Int($0)] },
            fields: table.paths.isEmpty ? nil : table, records: records, wanted: wanted)
    }

    /// Books the records that the stages dropped.
    func takeDrops(of block: borrowing Block, from first: Int, stage: String) {
        for drop in block.drops[first...] {
            lose(
                Int(rows[drop.record]),
                Loss(stage: stage, reason: drop.reason, partner: nil, measures: drop.measures))
        }
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
