import Glibc
import SluiceCore
import SluiceGeometry

/// A column that a program writes.
struct ExternalColumn: Sendable {
    let name: ColumnName
    let type: ColumnType
    let key: [UInt8]

    init(_ name: ColumnName, _ type: ColumnType) {
        (self.name, self.type) = (name, type)
        key = Array(name.name.utf8)
    }
}

/// Reads the answers to a batch of records, one a record and in their order.
final class AnswerReader {
    /// Of a text, beside `growth` times its record.
    static let textSlack = 64 << 10

    /// What an answer gives one column.
    private enum Value {
        case none
        case integer(Int64)
        case real(Double)
        /// In `texts`.
        case text
        /// In `vectors`.
        case vector
    }

    private let columns: [ExternalColumn]
    private let records: [Int]
    private let rows: Int
    private let reasons: KnownReasons
    // For each column the array of its type; the others are empty.
    private var integers: [[Int64]]
    private var reals: [[Double]]
    private var texts: [BytesColumn]
    private var vectors: [[Int8]]
    private var given: [Value]
    /// The text and the vector of the answer that is read.
    private var text: [[UInt8]]
    private var vector: [[Int8]]
    private var drops: [(record: Int, reason: Reason, measures: [Measure])] = []
    /// The number of the first record.
    private let first: Int
    /// How long the texts of the next record may be.
    private let growth: Int
    private(set) var sizes: [Int] = []
    private(set) var answered = 0

    /// - Parameters:
    ///   - records: the rows of the records that are asked about.
    ///   - rows: all rows of the block.
    ///   - first: the number of the first of the records.
    init(
        _ columns: [ExternalColumn], records: [Int], rows: Int, first: Int, growth: Int, reasons: KnownReasons
    ) {
        (self.columns, self.records, self.rows, self.first) = (columns, records, rows, first)
        (self.growth, self.reasons) = (growth, reasons)
        // Rows without an answer are zero, or empty.
        func zeros<T>(_ zero: T, _ count: (ColumnType) -> Int) -> [[T]] {
            columns.map { [T](repeating: zero, count: count($0.type)) }
        }
        integers = zeros(0) { $0 == .integer ? rows : 0 }
        reals = zeros(0) { $0 == .real ? rows : 0 }
        vectors = zeros(0) { if case .vector(let dimension) = $0 { rows * dimension } else { 0 } }
        texts = columns.map { _ in BytesColumn() }
        given = columns.map { _ in .none }
        text = columns.map { _ in [] }
        vector = columns.map { _ in [] }
        sizes.reserveCapacity(records.count)
    }

    var count: Int { records.count }
    var isComplete: Bool { answered == records.count }
    /// The record that is due; nil if none is.
    var due: Int? { isComplete ? nil : records[answered] }

    /// Notes how many bytes of the next record have been sent.
    func sent(bytes: Int) { sizes.append(bytes) }

    /// Takes the next line.
    func take(_ line: UnsafeRawBufferPointer) throws(AnswerFault) {
        guard Self.isUTF8(line) else {
            throw AnswerFault("answered \(ProgramWords.quoted(line)), which is not UTF-8")
        }
        do throws(AnswerFault) { try read(line) } catch {
            throw AnswerFault("answered \(ProgramWords.quoted(line)), which \(error.message)")
        }
        answered += 1
    }

    private static func isUTF8(_ line: UnsafeRawBufferPointer) -> Bool {
        var all: UInt8 = 0
        for byte in line { all |= byte }
        return all < 0x80 || String(validating: line, as: UTF8.self) != nil
    }

    // MARK: One answer

    private func read(_ line: UnsafeRawBufferPointer) throws(AnswerFault) {
        var scanner = AnswerScanner(line)
        guard scanner.kind() == .object else {
            throw AnswerFault("is no JSON object; other text belongs on standard error")
        }
        for index in given.indices { given[index] = .none }
        var id: SpelledNumber?
        var dropped: Reason?
        var measures: [Measure]?
        var complaint: String?
        try scanner.object { (key, scanner) throws(AnswerFault) in
            if key.equals(Key.id) {
                guard scanner.kind() == .number else { throw AnswerFault("has an `id` that is no number") }
                id = SpelledNumber(try scanner.word())
            } else if key.equals(Key.columns) {
                guard scanner.kind() == .object else { throw AnswerFault("has `columns` that are no object") }
                try scanner.object { (name, scanner) throws(AnswerFault) in try self.readColumn(name, &scanner) }
            } else if key.equals(Key.drop) {
                guard scanner.kind() == .string else {
                    throw AnswerFault("has a `drop` that is no text; it is the reason, such as \"too-short\"")
                }
                dropped = try self.reasons.reason(try Self.characters(try scanner.string()))
            } else if key.equals(Key.note) {
                measures = try DropNote.measures(Array(try scanner.value()))
            } else if key.equals(Key.error) {
                guard scanner.kind() == .string else { throw AnswerFault("has an `error` that is no text") }
                complaint = String(decoding: try Self.characters(try scanner.string()), as: UTF8.self)
            } else {
                throw Self.unknown(key, among: Key.all, "has the unknown key")
            }
        }
        try scanner.end()
        if let complaint { throw AnswerFault("says of this record: \(Printable.name(complaint, most: 400))") }
        try check(id)
        guard measures == nil || dropped != nil else {
            throw AnswerFault("has a `note` and no `drop`: a note is for the ledger, which has the dropped records")
        }
        try accept(dropped, measures ?? [])
    }

    private enum Key {
        static let id = Array("id".utf8)
        static let columns = Array("columns".utf8)
        static let drop = Array("drop".utf8)
        static let note = Array("note".utf8)
        static let error = Array("error".utf8)
        static let all = ["id", "columns", "drop", "note", "error"]
    }

    static func characters(_ text: AnswerScanner.Text) throws(AnswerFault) -> [UInt8] {
        var bytes: [UInt8] = []
        try text.append(to: &bytes)
        return bytes
    }

    private static func unknown(_ key: AnswerScanner.Text, among known: [String], _ what: String) -> AnswerFault {
        let name = String(decoding: (try? characters(key)) ?? Array(key.bytes), as: UTF8.self)
        let near = Registry.nearest(to: name, in: known).map { "did you mean `\($0)`?" }
        let rest = near ?? (known.isEmpty ? "it writes none" : "known are \(known.joined(separator: ", "))")
        return AnswerFault("\(what) `\(Printable.name(name, most: 80))`; \(rest)")
    }

    private func check(_ id: SpelledNumber?) throws(AnswerFault) {
        let due = first + answered
        guard let id else { throw AnswerFault("has no `id`; it is that of the record, here \(due)") }
        guard case .integer(let number) = id else {
            throw AnswerFault("has an `id` that is no record's; \(due) is due")
        }
        guard number != due || answered == sizes.count else { return }
        if number < due {
            throw AnswerFault("answers record \(number) once more; \(due) is due. Each record has one answer")
        }
        guard number < first + sizes.count else {
            throw AnswerFault("answers a record that it was not asked about; \(due) is due")
        }
        throw AnswerFault(
            "comes where the answer to record \(due) is due: answers come in the order of the records, one for each, also for those that are dropped"
        )
    }

    // MARK: Columns

    private func readColumn(_ name: AnswerScanner.Text, _ scanner: inout AnswerScanner) throws(AnswerFault) {
        guard let index = columns.firstIndex(where: { name.equals($0.key) }) else {
            throw Self.unknown(name, among: columns.map(\.name.name), "gives the column")
        }
        let column = columns[index]
        if case .none = given[index] {} else { throw AnswerFault("gives `\(column.name)` twice") }
        func wrong(_ found: String) -> AnswerFault {
            AnswerFault("gives `\(column.name)` \(found), and not \(Self.words(column.type))")
        }
        switch (column.type, scanner.kind()) {
        case (.integer, .number), (.real, .number):
            given[index] = try number(try scanner.word(), column.type, wrong)
        case (.bytes, .string):
            text[index].removeAll(keepingCapacity: true)
            try scanner.string().append(to: &text[index])
            let most = growth * (answered < sizes.count ? sizes[answered] : 0) + Self.textSlack
            guard text[index].count <= most else {
                throw AnswerFault(
                    "gives `\(column.name)` a text of \(text[index].count) bytes; with `growth: \(growth)`, it may have \(most) for this record"
                )
            }
            given[index] = .text
        case (.vector(let dimension), .list):
            vector[index] = try readVector(&scanner, dimension, wrong)
            given[index] = .vector
        case (_, .null): throw wrong("null")
        case (_, .none): throw scanner.fault
        case (_, let kind):
            let words: [AnswerScanner.Kind: String] = [
                .object: "an object", .list: "a list", .string: "a text", .number: "a number", .flag: "true or false",
            ]
            throw wrong(words[kind] ?? "another value")
        }
    }

    private static func words(_ type: ColumnType) -> String {
        switch type {
        case .integer: "a whole number of 64 bits"
        case .real: "a number"
        case .bytes: "a text"
        case .vector(let dimension): "a list of \(dimension) numbers"
        }
    }

    private func number(
        _ word: UnsafeRawBufferPointer, _ type: ColumnType, _ wrong: (String) -> AnswerFault
    ) throws(AnswerFault) -> Value {
        guard let number = SpelledNumber(word) else {
            throw wrong("the value \(ProgramWords.quoted(word)), which is no JSON")
        }
        switch (number, type) {
        case (.integer(let value), .integer): return .integer(value)
        case (.integer(let value), _): return .real(Double(value))
        case (.real(let value), .real): return .real(value)
        case (.notFinite, _):
            throw wrong(
                "\(String(decoding: word, as: UTF8.self)), which JSON does not have (give another or drop the record)")
        case (.real, _), (.outOfRange, _): throw wrong(String(decoding: word.prefix(60), as: UTF8.self))
        }
    }

    private func readVector(
        _ scanner: inout AnswerScanner, _ dimension: Int, _ wrong: (String) -> AnswerFault
    ) throws(AnswerFault) -> [Int8] {
        var components: [Float] = []
        components.reserveCapacity(dimension)
        try scanner.list { (scanner) throws(AnswerFault) in
            guard scanner.kind() == .number else { throw wrong("a list with something else than numbers") }
            switch try self.number(try scanner.word(), .real, wrong) {
            case .real(let value): components.append(Float(value))
            default: throw wrong("a list with something else than numbers")
            }
            guard components.count <= dimension else { throw wrong("a longer list") }
        }
        guard components.count == dimension else { throw wrong("a list of \(components.count)") }
        do throws(GeometryError) { return try Quantizer(dimension: dimension).quantize(components) } catch {
            throw wrong("numbers beyond those of 32 bits")
        }
    }

    // MARK: Rows

    private func accept(_ dropped: Reason?, _ measures: [Measure]) throws(AnswerFault) {
        let record = records[answered]
        if let dropped {
            drops.append((record, dropped, measures))
            return
        }
        for index in columns.indices {
            switch given[index] {
            case .none:
                throw AnswerFault(
                    "gives no `\(columns[index].name)`; a record that is not dropped has every column of `writes`")
            case .integer(let value): integers[index][record] = value
            case .real(let value): reals[index][record] = value
            case .text:
                fill(index, to: record)
                texts[index].append(text[index][...])
            case .vector:
                let dimension = vector[index].count
                vectors[index].replaceSubrange(record * dimension..<(record + 1) * dimension, with: vector[index])
            }
        }
    }

    /// Empty rows of a column of text, for records without an answer.
    private func fill(_ index: Int, to end: Int) { while texts[index].count < end { texts[index].append([][...]) } }

    /// Writes columns and drops into the block.
    func finish(_ block: inout Block) {
        for drop in drops { block.drop(drop.record, reason: drop.reason, measures: drop.measures) }
        for (index, column) in columns.enumerated() where block.isWanted(column.name) {
            switch column.type {
            case .integer: block.write(column.name, .integers(integers[index]))
            case .real: block.write(column.name, .reals(reals[index]))
            case .bytes:
                fill(index, to: rows)
                block.write(column.name, .bytes(texts[index]))
            case .vector(let dimension):
                block.write(column.name, .vectors(VectorColumn(dimension: dimension, values: vectors[index])))
            }
        }
    }
}
