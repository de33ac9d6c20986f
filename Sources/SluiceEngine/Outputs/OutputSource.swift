import SluiceCore
import SluiceIO

/// Where a name in the definition's outputs finds its value: a column if a stage writes one of that name, otherwise a field
/// of the record.
struct OutputSource: Sendable, Hashable {
    let field: FieldPath?
    /// The column that holds the value while a run works.
    let stored: ColumnName

    /// The column of a stage; nil for a field.
    var column: ColumnName? { field == nil ? stored : nil }

    init(column: ColumnName) { (field, stored) = (nil, column) }
    init(field: FieldPath) { (self.field, stored) = (field, FieldColumns.name(field)) }

    static func sources(of names: [String], among written: [ColumnSpec]) -> [String: OutputSource] {
        let columns = Set(written.map(\.name.name))
        return Dictionary(
            names.map { name in
                let isColumn = columns.contains(name)
                return (name, isColumn ? OutputSource(column: ColumnName(name)) : OutputSource(field: FieldPath(name)))
            },
            uniquingKeysWith: { first, _ in first })
    }

    /// The value of a row; missing if the column is not there, or its number is NaN.
    func value(_ row: Int, _ columns: [(name: ColumnName, column: Column)]) -> RecordValue {
        guard let column = columns.first(where: { $0.name == stored })?.column else { return .missing }
        guard field != nil, case .bytes(let values) = column else { return RecordValue(row, of: stored, column) }
        let bytes = values[row]
        switch bytes.first.flatMap(FieldKind.init(rawValue:)) {
        case .string: return .text(Array(bytes.dropFirst()))
        case .json: return .json(Array(bytes.dropFirst()))
        case .missing, .null, .chat, nil: return .missing
        }
    }
}

extension OutputSource {
    /// Whether it is a column of texts, which are written as such even if they are empty.
    fileprivate func isText(in columns: [(name: ColumnName, column: Column)]) -> Bool {
        guard field == nil, stored != .messages, let column = columns.first(where: { $0.name == stored })?.column else {
            return false
        }
        return if case .bytes = column { true } else { false }
    }
}

/// Writes records by a template.
struct TemplateEncoder: Sendable {
    private let template: RecordTemplate
    private let named: [String: OutputSource]

    init(_ template: RecordTemplate, _ sources: [String: OutputSource]) {
        self.template = template
        named = sources.filter { template.names.contains($0.key) }
    }

    /// In the order of the template.
    var sources: [OutputSource] { template.names.compactMap { named[$0] } }

    func append(_ row: Int, _ columns: [(name: ColumnName, column: Column)], to bytes: inout [UInt8]) {
        append(template, row, columns, to: &bytes)
    }

    private func append(
        _ part: RecordTemplate, _ row: Int, _ columns: [(name: ColumnName, column: Column)], to bytes: inout [UInt8]
    ) {
        switch part {
        case .object(let entries):
            bytes.append(UInt8(ascii: "{"))
            for (index, entry) in entries.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                bytes.appendJSONString(entry.key)
                bytes.append(UInt8(ascii: ":"))
                append(entry.value, row, columns, to: &bytes)
            }
            bytes.append(UInt8(ascii: "}"))
        case .list(let values):
            bytes.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                append(value, row, columns, to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .value(let name):
            switch named[name]?.value(row, columns) ?? .missing {
            case .text(let text): text.withUnsafeBytes { bytes.appendJSONString($0) }
            case .json(let json): bytes.append(contentsOf: json)
            case .integer(let value): bytes.append(contentsOf: String(value).utf8)
            case .real(let value): bytes.append(contentsOf: JSONValue.real(value).json.utf8)
            case .missing:
                let isText = named[name].map { $0.isText(in: columns) } ?? false
                bytes.append(contentsOf: (isText ? "\"\"" : "null").utf8)
            }
        case .text(let pieces):
            var text: [UInt8] = []
            for piece in pieces {
                switch piece {
                case .literal(let literal): text.append(contentsOf: literal.utf8)
                case .name(let name): text.append(contentsOf: named[name]?.value(row, columns).spelling ?? [])
                }
            }
            text.withUnsafeBytes { bytes.appendJSONString($0) }
        case .constant(let value): value.write(to: &bytes)
        }
    }
}
