import SluiceCore
import SluiceGeometry
import Synchronization

/// How a record finds its row in files of vectors: by the options `id` and `ids`, or by its line.
struct RowFinder: Sendable {
    /// The field with a record's id; nil if its line is its row.
    let id: FieldPath?
    let ids: IdFile?
    let missing: FileModel.Missing

    /// - Throws: `StageError` with the option at fault.
    init(options: OptionValues, missing: FileModel.Missing) throws(StageError) {
        guard (options["id"] == nil) == (options["ids"] == nil) else {
            throw .option(
                options["id"] == nil ? "ids" : "id",
                "`id`, the field with a record's id, and `ids`, the file with the id of each row, go together")
        }
        self.missing = missing
        id = options["id"] == nil ? nil : FieldPath(try options.text("id"))
        ids = options["ids"] == nil ? nil : try IdFile(try options.text("ids"))
    }

    var reads: [Input] { id.map { [.field($0)] } ?? [] }

    /// Bytes of the table of ids.
    func bytes(rows: Int) -> Int { ids == nil ? 0 : IdTable.bytes(rows) }

    /// - Parameter files: whose rows follow each other; without ids one for each input.
    /// - Throws: if the ids don't fit the rows.
    func open(files: [VectorFile]) throws(StageError) -> RowPlaces {
        let rows = files.reduce(0) { $0 + $1.count }
        return RowPlaces(self, files, try ids.map { (ids) throws(StageError) in try IdTable(ids, expected: rows) })
    }
}

/// The rows of records.
final class RowPlaces: Sendable {
    typealias Place = (file: Int, row: Int)

    private let finder: RowFinder
    private let files: [VectorFile]
    private let table: IdTable?
    /// The first row of each file among all.
    private let starts: [Int]

    fileprivate init(_ finder: RowFinder, _ files: [VectorFile], _ table: IdTable?) {
        (self.finder, self.files, self.table) = (finder, files, table)
        starts = files.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.count) }
    }

    /// The place of each record's row; nil for dropped records, and for those without a row, which are dealt with as
    /// `missing` says.
    func find(in block: inout Block) throws(StageError) -> [Place?] {
        var places = [Place?](repeating: nil, count: block.count)
        if let id = finder.id {
            let field = block.field(id)
            for record in 0..<block.count where block.isLive(record) {
                places[record] = place(of: field[record])
                if places[record] == nil { try block.miss(record, finder.missing, reason(field[record], id)) }
            }
        } else {
            for record in 0..<block.count where block.isLive(record) {
                let ordinal = block.ordinals[record]
                places[record] = try place(of: ordinal)
                if places[record] == nil {
                    try block.miss(
                        record, finder.missing,
                        "\(files[ordinal.file].path) has \(files[ordinal.file].count) rows")
                }
            }
        }
        return places
    }

    private func place(of id: FieldValue) -> Place? {
        switch id {
        case .string(let bytes), .json(let bytes):
            guard let row = table?.row(of: bytes), let file = starts.lastIndex(where: { $0 <= row }) else { return nil }
            return (file, row - starts[file])
        case .missing, .null, .chat: return nil
        }
    }

    /// The file of the record's input, and its line in it.
    private func place(of ordinal: Ordinal) throws(StageError) -> Place? {
        guard ordinal.file < files.count else {
            let found = files.count == 1 ? "is one file" : "are \(files.count) files"
            throw StageError(
                .invalidData,
                "there \(found) of vectors, and this is input \(ordinal.file + 1); give as many, in the order of the inputs, or use `id` and `ids`",
                ordinal: ordinal)
        }
        return ordinal.line <= files[ordinal.file].count ? (ordinal.file, ordinal.line - 1) : nil
    }

    private func reason(_ value: FieldValue, _ id: FieldPath) -> String {
        switch value {
        case .string(let bytes), .json(let bytes):
            "`ids` has no `\(Printable.message(String(decoding: bytes.prefix(60), as: UTF8.self)))`"
        case .missing, .null, .chat: "its field `\(id)` is missing"
        }
    }
}

/// What the workers of a pass share: made for the first of them, gone after the last.
final class Shared<Value: AnyObject & Sendable>: Sendable {
    private struct State {
        weak var value: Value?
    }

    private let state = Mutex(State())

    func value(_ make: () throws(StageError) -> Value) throws(StageError) -> Value {
        try state.withLock { (state) throws(StageError) in
            if let value = state.value { return value }
            let value = try make()
            state.value = value
            return value
        }
    }
}

extension OptionValues {
    /// The paths of an option that takes one or a list.
    func paths(_ name: String) throws(StageError) -> [String] {
        guard case .list(let values)? = self[name] else { return [try text(name)] }
        return values.compactMap { if case .text(let path) = $0 { path } else { nil } }
    }
}
