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
            bytes.append(contentsOf: Array(#"{"messages":"#.utf8))
            if case .bytes(let messages) = columns.first(where: { $0.name == .messages })?.column {
                bytes.append(contentsOf: messages[row])
            } else {
                bytes.append(contentsOf: Array("null".utf8))
            }
            bytes.append(UInt8(ascii: "}"))
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
        // A template may end in another one.
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
            bytes.appendJSONString(name.name)
            bytes.append(UInt8(ascii: ":"))
            // Messages are already JSON.
            if name == .messages, case .bytes(let messages) = column {
                bytes.append(contentsOf: messages[row])
            } else {
                column.appendJSON(row, to: &bytes)
            }
        }
        bytes.append(contentsOf: Array("}}".utf8))
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
        case .integers(let values): bytes.append(contentsOf: Array(String(values[row]).utf8))
        case .reals(let values): bytes.append(contentsOf: Array(JSONValue.real(values[row]).json.utf8))
        }
    }
}
