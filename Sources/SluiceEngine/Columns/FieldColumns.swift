import SluiceCore
import SluiceIO

/// JSON fields and whole lines that a stage reads after the first pass are kept as columns of bytes, a kind byte before
/// each field's content, so that the input need not be parsed again.
enum FieldColumns {
    private static let prefix = "_field "
    static let record: ColumnName = "_record"

    static func name(_ path: FieldPath) -> ColumnName {
        let name = escaped(path.description)
        guard name.utf8.count > longest else { return ColumnName(prefix + name) }
        let hash = Array(name.utf8).withUnsafeBytes { XXHash.hash128($0) }
        return ColumnName(prefix + name.prefix(32) + " " + hexadecimal(hash))
    }

    /// Names stand in file names, which have 255 bytes at most.
    private static let longest = 128

    /// The columns that stand for what these stages read beside columns.
    static func names(for inputs: [Input]) -> [ColumnName] {
        var names: [ColumnName] = []
        for input in inputs {
            let name: ColumnName? =
                switch input {
                case .field(let path): name(path)
                case .record: record
                case .column: nil
                }
            if let name, !names.contains(name) { names.append(name) }
        }
        return names
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            if scalar == "/" || scalar == "%" || scalar.value < 32 {
                result += "%" + String(scalar.value, radix: 16)
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// The field as a column, for the given rows of a block.
    static func column(_ path: FieldPath, of table: FieldTable, rows: [Int]) -> BytesColumn? {
        guard let field = table.paths.firstIndex(of: path) else { return nil }
        var column = BytesColumn()
        for row in rows {
            let entry = table.entries[row * table.paths.count + field]
            column.appendRow { bytes in
                bytes.append(entry.kind.rawValue)
                bytes.append(contentsOf: table.arena[Int(entry.offset)..<Int(entry.offset + entry.length)])
            }
        }
        return column
    }

    /// The table that the columns came from.
    ///
    /// - Parameter load: gives the column of a field; one after the other, so that no more than one is there beside the table.
    /// - Throws: what `load` throws, and `EngineError` where the fields of the rows have more than 4 GiB in all.
    static func table(_ paths: [FieldPath], rows: Int, load: (FieldPath) throws -> BytesColumn) throws -> FieldTable {
        var table = FieldTable(paths: paths)
        let missing = FieldTable.Entry(offset: 0, length: 0, kind: .missing)
        table.entries = Array(repeating: missing, count: rows * paths.count)
        for (field, path) in paths.enumerated() {
            let column = try load(path)
            let base = table.arena.count
            guard UInt32(exactly: base + column.bytes.count) != nil else { throw tooLong }
            for row in 0..<min(rows, column.count) {
                let start = row == 0 ? 0 : column.ends[row - 1]
                let length = column.ends[row] - start
                guard length > 0 else { continue }
                table.entries[row * paths.count + field] = FieldTable.Entry(
                    offset: UInt32(base + start + 1), length: UInt32(length - 1),
                    kind: FieldTable.Kind(rawValue: column.bytes[start]) ?? .missing)
            }
            if base == 0 { table.arena = column.bytes } else { table.arena += column.bytes }
        }
        return table
    }

    static let tooLong = EngineError(
        .data, "the fields that stages read take more than 4 GiB in one block of records; lower `max_record` under `input`")
}
