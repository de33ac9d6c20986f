import SluiceCore
import SluiceIO

/// JSON fields and complete lines that stages read after the first pass, kept as bytes columns with a kind byte before
/// each content, so that the input needn't be parsed again.
enum FieldColumns {
    private static let prefix = "_field "
    static let record: ColumnName = "_record"

    private static let chat: ColumnName = "_chat"

    static func name(_ path: FieldPath) -> ColumnName {
        if path == .chat { return chat }
        let name = escaped(path.description)
        guard name.utf8.count > longest else { return ColumnName(prefix + name) }
        let hash = Array(name.utf8).withUnsafeBytes { XXHash.hash128($0) }
        return ColumnName(prefix + name.prefix(32) + " " + hexadecimal(hash))
    }

    /// Names become parts of file names, which have at most 255 bytes.
    private static let longest = 128

    /// The columns for those inputs of stages that aren't columns themselves.
    static func names(for inputs: [Input]) -> [ColumnName] {
        var names: [ColumnName] = []
        for input in inputs {
            let name: ColumnName? =
                switch input {
                case .field(let path): name(path)
                case .record: record
                // Labels have been resolved.
                case .column, .label: nil
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

    /// The field as a column, for these rows of a block.
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

    /// The table from which the columns were made.
    ///
    /// - Parameter load: returns the column of a field; called for one field at a time, so that only one column exists
    /// next to the table.
    /// - Throws: the errors of `load`, and `EngineError` if the fields of the rows have more than 4 GiB in total.
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
                    kind: FieldKind(rawValue: column.bytes[start]) ?? .missing)
            }
            if base == 0 { table.arena = column.bytes } else { table.arena += column.bytes }
        }
        return table
    }

    static let tooLong = EngineError(
        .data, "the fields read by stages exceed 4 GiB in one block of records; lower `max_record` under `input`")
}
