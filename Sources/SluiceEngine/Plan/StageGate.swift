import SluiceCore

/// The `when` of a stage: which of the records that reach it go through.
///
/// The condition is tested once, before the first step of the stage, and its result kept in a column of the engine's own. So
/// all steps of a stage see the same records, whatever the stage writes and whichever pass a step runs in.
struct StageGate: Sendable {
    /// 1 for a record that goes through, else 0.
    let column: ColumnName
    /// What the condition names.
    let reads: [Input]
    private let condition: RecordCondition
    private let sources: [String: OutputSource]

    /// - Parameters:
    ///   - index: of the stage, from 0.
    ///   - written: the columns of the stages before it.
    init(_ condition: RecordCondition, stage index: Int, after written: [ColumnSpec]) {
        column = ColumnName("_when \(index + 1)")
        self.condition = condition
        sources = OutputSource.sources(of: condition.names, among: written)
        reads = condition.names.compactMap { [sources] in
            switch sources[$0] {
            case let source? where source.column != nil: .column(source.stored, .any)
            case let source?: source.field.map { .field($0) }
            case nil: nil
            }
        }
    }

    /// What the gate itself reads and writes.
    var declaration: StageDeclaration {
        StageDeclaration(reads: reads, writes: [ColumnSpec(column, .integer)])
    }

    /// The rows of a store that go through, of those that are in.
    func rows(of live: LiveRows, in store: ColumnStore) throws -> LiveRows {
        var result = live
        for shard in store.shards {
            var start = shard.rows.lowerBound
            while start < shard.rows.upperBound {
                let range = start..<min(start + 65_536, shard.rows.upperBound)
                let marks = try store.integers(column, range)
                for (row, mark) in zip(range, marks) where mark == 0 { result.remove(row) }
                start = range.upperBound
            }
        }
        return result
    }
}

extension StageGate: Transform {
    func apply(to block: inout Block) throws(StageError) {
        var columns: [String: (name: ColumnName, column: Column)] = [:]
        var fields: [String: FieldColumn] = [:]
        for (name, source) in sources {
            if let path = source.field {
                fields[name] = block.field(path)
            } else if let column = block[source.stored] {
                columns[name] = (source.stored, column)
            }
        }
        var marks = [Int64](repeating: 0, count: block.count)
        for record in block.live {
            let holds = condition.holds { name in
                if let found = columns[name] { return RecordValue(record, of: found.name, found.column) }
                return fields[name].map { RecordValue($0[record]) } ?? .missing
            }
            marks[record] = holds ? 1 : 0
        }
        block.write(column, .integers(marks))
        block.through = marks.count { $0 == 1 }
    }
}
