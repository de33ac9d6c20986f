/// A value of a record as conditions and outputs see it: of a column, or of a field.
public enum RecordValue: Sendable, Hashable {
    /// No such field, or null.
    case missing
    case integer(Int64)
    case real(Double)
    /// The characters of a text, UTF-8.
    case text([UInt8])
    /// A field that is no string, as spelled in the record: a number, a flag, a list or an object.
    case json([UInt8])

    /// The value of a field.
    package init(_ value: FieldValue) {
        switch value {
        case .missing, .null, .chat: self = .missing
        case .string(let bytes): self = .text(Array(bytes))
        case .json(let bytes): self = .json(Array(bytes))
        }
    }

    /// A row of a column. An empty text is missing: there is no other way for a text to be.
    package init(_ row: Int, of name: ColumnName, _ column: Column) {
        switch column {
        case .integers(let values): self = values[row] == Column.missingInteger ? .missing : .integer(values[row])
        case .reals(let values): self = values[row].isNaN ? .missing : .real(values[row])
        case .bytes(let values) where values[row].isEmpty: self = .missing
        case .bytes(let values): self = name == .messages ? .json(Array(values[row])) : .text(Array(values[row]))
        case .vectors(let vectors):
            self = .json(Array("[\(vectors[row].map(String.init).joined(separator: ","))]".utf8))
        }
    }

    /// The number that it is or spells; nil for anything else and for numbers that are not finite.
    public var number: Double? {
        switch self {
        case .missing: nil
        case .integer(let value): Double(value)
        case .real(let value): value.isFinite ? value : nil
        case .text(let bytes), .json(let bytes): Self.number(bytes)
        }
    }

    /// The whole number that it is or spells; nil for anything else and beyond 64 bits.
    public var wholeNumber: Int64? {
        switch self {
        case .integer(let value): value
        case .text(let bytes), .json(let bytes): Int64(String(decoding: bytes, as: UTF8.self))
        case .real, .missing: nil
        }
    }

    /// The value as text: a text's own characters, otherwise its JSON; nil if it is missing.
    public var spelling: [UInt8]? {
        switch self {
        case .missing: nil
        case .integer(let value): Array(String(value).utf8)
        case .real(let value): Array(JSONValue.real(value).json.utf8)
        case .text(let bytes), .json(let bytes): bytes
        }
    }

    static func number(_ bytes: [UInt8]) -> Double? {
        guard let first = bytes.first, first == UInt8(ascii: "-") || 48...57 ~= first, bytes.count <= 64,
            bytes.allSatisfy({ 48...57 ~= $0 || "+-.eE".utf8.contains($0) }),
            let value = Double(String(decoding: bytes, as: UTF8.self)), value.isFinite
        else { return nil }
        return value
    }
}
