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
    static func table(_ paths: [FieldPath], columns: [BytesColumn]) -> FieldTable {
        var table = FieldTable(paths: paths)
        guard let rows = columns.first?.count else { return table }
        var base: [Int] = []
        for column in columns {
            base.append(table.arena.count)
            table.arena.append(contentsOf: column.bytes)
        }
        for row in 0..<rows {
            for (index, column) in columns.enumerated() {
                let start = row == 0 ? 0 : column.ends[row - 1]
                let length = column.ends[row] - start
                table.entries.append(
                    FieldTable.Entry(
                        offset: UInt32(base[index] + start + 1), length: UInt32(max(0, length - 1)),
                        kind: length > 0 ? FieldTable.Kind(rawValue: column.bytes[start]) ?? .missing : .missing))
            }
        }
        return table
    }
}
