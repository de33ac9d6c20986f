import SluiceCore
import SluiceIO

/// Writes kept records in the form that the definition states.
struct KeptEncoder: Sendable {
    private let form: RecordForm
    private let template: TemplateEncoder?
    private let annotate: [ColumnName]
    /// What it reads of a record, beside its bytes.
    let sources: [OutputSource]

    /// - Parameter sources: where the names of the template find their values.
    init(_ output: OutputSpec, _ sources: [String: OutputSource]) {
        (form, annotate) = (output.record, output.annotate)
        template = output.template.map { TemplateEncoder($0, sources) }
        var columns = output
        // Written in a file of their own.
        columns.vectors = nil
        self.sources = columns.columns.map { OutputSource(column: $0) } + (template?.sources ?? [])
    }

    /// Whether a record is written with its own bytes, perhaps with annotations.
    var keepsBytes: Bool { form == .original && template == nil }

    /// Whether a record is written as its own bytes.
    var isPlain: Bool { keepsBytes && annotate.isEmpty }

    /// Appends one record and a line end.
    ///
    /// - Parameter columns: returns the row's columns.
    func append(
        _ line: UnsafeRawBufferPointer, row: Int, columns: [(name: ColumnName, column: Column)],
        to bytes: inout [UInt8]
    ) {
        switch form {
        case _ where template != nil: template?.append(row, columns, to: &bytes)
        case .original:
            if annotate.isEmpty {
                bytes.append(contentsOf: line)
            } else {
                line.appendWithout(Self.annotationKey, to: &bytes)
            }
        case .formatted:
            bytes.append(contentsOf: Array(#"{"text":"#.utf8))
            if case .bytes(let text) = columns.first(where: { $0.name == .text })?.column {
                text[row].withUnsafeBytes { bytes.appendJSONString($0) }
            } else {
                bytes.append(contentsOf: Array("null".utf8))
            }
            bytes.append(UInt8(ascii: "}"))
        case .messages:
            if case .bytes(let messages) = columns.first(where: { $0.name == .messages })?.column {
                append(messages[row], to: &bytes)
            } else {
                bytes.append(contentsOf: Array(#"{"messages":null}"#.utf8))
            }
        }
        if !annotate.isEmpty { appendAnnotations(row: row, columns: columns, to: &bytes) }
        bytes.append(0x0A)
    }

    /// The key of the annotations. A record that has it was annotated by an earlier run; those annotations are removed.
    static let annotationKey = "_sluice"

    /// Adds `"_sluice": {…}` before the object's closing brace.
    private func appendAnnotations(
        row: Int, columns: [(name: ColumnName, column: Column)], to bytes: inout [UInt8]
    ) {
        guard let brace = bytes.lastIndex(of: UInt8(ascii: "}")) else { return }
        bytes.removeSubrange(brace...)
        while let last = bytes.last, last == 0x20 || last == 0x09 { bytes.removeLast() }
        if bytes.last != UInt8(ascii: "{") { bytes.append(UInt8(ascii: ",")) }
        bytes.appendJSONString(Self.annotationKey)
        bytes.append(contentsOf: Array(":{".utf8))
        var isFirst = true
        for name in annotate {
            guard let column = columns.first(where: { $0.name == name })?.column else { continue }
            if !isFirst { bytes.append(UInt8(ascii: ",")) }
            isFirst = false
            // Messages are already JSON.
            if name == .messages, case .bytes(let messages) = column {
                appendEntries(messages[row], to: &bytes)
            } else {
                bytes.appendJSONString(name.name)
                bytes.append(UInt8(ascii: ":"))
                column.appendJSON(row, to: &bytes)
            }
        }
        bytes.append(contentsOf: Array("}}".utf8))
    }

    /// A list of messages; a record that passed by the stage that makes them has none.
    private static func messages(_ row: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        row.isEmpty ? Array("null".utf8)[...] : row
    }

    /// A row of the column `messages` as entries of the annotations: `messages` is a list in every record.
    private func appendEntries(_ row: ArraySlice<UInt8>, to bytes: inout [UInt8]) {
        guard row.first == UInt8(ascii: "{") else {
            bytes.append(contentsOf: Array(#""messages":"#.utf8))
            bytes.append(contentsOf: Self.messages(row))
            return
        }
        var object = Array(row)
        // A carried field makes way for the column of its name.
        for name in annotate.map(\.name) + [Self.annotationKey] where name != ColumnName.messages.name {
            var rest: [UInt8] = []
            object.withUnsafeBytes { $0.appendWithout(name, to: &rest) }
            object = rest
        }
        bytes.append(contentsOf: object.dropFirst().dropLast())
    }

    /// A row of the column `messages` as a record: an array is the value of `messages`, an object is the record.
    private func append(_ row: ArraySlice<UInt8>, to bytes: inout [UInt8]) {
        guard row.first == UInt8(ascii: "{") else {
            bytes.append(contentsOf: Array(#"{"messages":"#.utf8))
            bytes.append(contentsOf: Self.messages(row))
            bytes.append(UInt8(ascii: "}"))
            return
        }
        guard !annotate.isEmpty else { return bytes.append(contentsOf: row) }
        // A carried `_sluice` of an earlier run makes way for the new one.
        row.withUnsafeBytes { $0.appendWithout(Self.annotationKey, to: &bytes) }
    }
}

extension Column {
    /// The value of a row as JSON.
    func appendJSON(_ row: Int, to bytes: inout [UInt8]) {
        switch self {
        case .bytes(let column): column[row].withUnsafeBytes { bytes.appendJSONString($0) }
        case .vectors(let column):
            bytes.append(UInt8(ascii: "["))
            for (index, value) in column[row].enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                bytes.append(contentsOf: Array(String(value).utf8))
            }
            bytes.append(UInt8(ascii: "]"))
        case .integers(let values):
            let isMissing = values[row] == Self.missingInteger
            bytes.append(contentsOf: Array((isMissing ? "null" : String(values[row])).utf8))
        case .reals(let values): bytes.append(contentsOf: Array(JSONValue.real(values[row]).json.utf8))
        }
    }
}
