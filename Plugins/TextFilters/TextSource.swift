import SluiceCore

/// The text of a record that a stage looks at: a column of bytes, or a field of the record.
struct TextSource: Sendable {
    private enum Place: Sendable {
        case column(ColumnName)
        case field(FieldPath)
    }

    private let place: Place

    static let columnOption = OptionSpec(
        "column", .column(.bytes), help: "the column with the text (text)", example: "text")
    static let fieldOption = OptionSpec(
        "field", .text, help: "the field with the text, instead of a column; a missing one counts as an empty text",
        example: "completion")

    init(_ options: OptionValues) throws(StageError) {
        guard options["field"] != nil else {
            place = .column(options["column"] == nil ? .text : ColumnName(try options.text("column")))
            return
        }
        guard options["column"] == nil else {
            throw .option("field", "`column` and `field` exclude each other; remove one of them")
        }
        place = .field(FieldPath(try options.text("field")))
    }

    var reads: [Input] {
        switch place {
        case .column(let name): [.column(name, .bytes)]
        case .field(let path): [.field(path)]
        }
    }

    /// Calls `body` with the text of every live record of a block.
    func forEachText(
        in block: inout Block,
        _ body: (_ block: inout Block, _ record: Int, _ text: UnsafeBufferPointer<UInt8>) throws(StageError) -> Void
    ) throws(StageError) {
        switch place {
        case .column(let name):
            let column = try block.bytes(name)
            for record in 0..<block.count where block.isLive(record) {
                try withBytes(of: column[record]) { (text) throws(StageError) in try body(&block, record, text) }
            }
        case .field(let path):
            let column = block.field(path)
            for record in 0..<block.count where block.isLive(record) {
                try withBytes(of: column[record].text) { (text) throws(StageError) in try body(&block, record, text) }
            }
        }
    }
}

/// Calls `body` with the bytes of a slice.
func withBytes<Result>(
    of slice: ArraySlice<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) throws(StageError) -> Result
) throws(StageError) -> Result {
    try slice.withUnsafeBufferPointer(body)
}

extension FieldValue {
    /// A string as it is, another value as the record spells it, the contents of a chat; empty if it is missing or null.
    var text: ArraySlice<UInt8> {
        switch self {
        case .missing, .null: []
        case .string(let bytes), .json(let bytes): bytes
        case .chat(let turns): turns.encoded
        }
    }
}
