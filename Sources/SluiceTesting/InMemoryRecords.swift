public import SluiceCore

/// Records in memory with their fields extracted: a source for tests.
///
/// Content hashes cover the whole line and differ from those of a run.
public struct InMemoryRecords: Sendable {
    /// A field of one record.
    struct Field: Sendable, Hashable {
        let kind: FieldKind
        let bytes: [UInt8]

        static let missing = Field(kind: .missing, bytes: [])
    }

    let lines: [[UInt8]]
    let hashes: [ContentHash]
    var ordinals: [Ordinal]
    private var fields: [[FieldPath: Field]]

    /// - Throws: `JSONError` for a line that is not a JSON object.
    public init(_ lines: [String]) throws(JSONError) {
        var fields: [[FieldPath: Field]] = []
        for line in lines { fields.append(try Self.fields(of: Array(line.utf8))) }
        self.fields = fields
        self.lines = lines.map { Array($0.utf8) }
        hashes = self.lines.map(Self.hash)
        ordinals = lines.indices.map { Ordinal(file: 0, line: $0 + 1) }
    }

    public var count: Int { lines.count }

    /// A block of all records.
    ///
    /// - Parameters:
    ///   - fields: the fields that the block has; all others are missing.
    ///   - lines: whether the block includes the lines.
    ///   - columns: columns with one row per record.
    public func block(
        fields: [FieldPath] = [], lines: Bool = false, columns: [ColumnName: Column] = [:]
    ) -> Block {
        let rows = Array(0..<count)
        var block = Block(
            ordinals: ordinals, hashes: hashes, fields: table(fields.map { ($0, false) }, rows: rows),
            records: lines ? self.lines(rows) : nil)
        for (name, column) in columns.sorted(by: { $0.key < $1.key }) { block.write(name, column) }
        return block
    }

    // MARK: For the contract kit

    /// The paths of all fields of all records.
    var paths: [FieldPath] { Set(fields.flatMap(\.keys)).union([.chat]).sorted() }

    func lines(_ rows: [Int]) -> BytesColumn {
        var column = BytesColumn()
        for row in rows { column.append(lines[row]) }
        return column
    }

    /// - Parameter paths: the fields, each with whether its values come from another record.
    func table(_ paths: [(path: FieldPath, isScrambled: Bool)], rows: [Int]) -> FieldTable {
        var table = FieldTable(paths: paths.map(\.path))
        for row in rows {
            for (path, isScrambled) in paths {
                let field = fields[isScrambled ? (row + 1) % count : row][path] ?? .missing
                table.entries.append(
                    .init(offset: UInt32(table.arena.count), length: UInt32(field.bytes.count), kind: field.kind))
                table.arena.append(contentsOf: field.bytes)
            }
        }
        return table
    }

    /// The number in a field of a record; nil if there is none.
    func number(_ path: FieldPath, of row: Int) -> Double? {
        FieldColumn(table([(path, false)], rows: [row]), index: 0)[0].number
    }

    /// Puts 0 in the place of a field of a record, or takes the field away.
    mutating func replace(_ path: FieldPath, of row: Int, byZero isZero: Bool) {
        fields[row][path] = isZero ? Field(kind: .json, bytes: Array("0".utf8)) : nil
    }

    private static func hash(_ bytes: [UInt8]) -> ContentHash {
        var hash = ContentHash(high: Seed.mix(UInt64(bytes.count)), low: 0)
        for byte in bytes {
            hash.high = Seed.mix(hash.high ^ UInt64(byte))
            hash.low = Seed.mix(hash.low &+ hash.high)
        }
        return hash
    }

    // MARK: Fields

    private static func fields(of line: [UInt8]) throws(JSONError) -> [FieldPath: Field] {
        let whole = try JSONValue(json: line)
        var found: [FieldPath: Field] = [:]
        try collect(line, prefix: "", into: &found)
        if let turns = chat(whole) { found[.chat] = Field(kind: .chat, bytes: turns) }
        return found
    }

    /// The entries of an object and its nested objects; of duplicate names the first.
    private static func collect(
        _ bytes: [UInt8], prefix: String, into found: inout [FieldPath: Field]
    ) throws(JSONError) {
        var entries: [(path: FieldPath, bytes: [UInt8])] = []
        var scanner = JSONScanner(bytes)
        try scanner.forEachEntry { key, range in
            let name = key.split(separator: ".", omittingEmptySubsequences: false).joined(separator: "\\.")
            let path = FieldPath(prefix + name)
            if !entries.contains(where: { $0.path == path }) { entries.append((path, Array(bytes[range]))) }
        }
        for (path, bytes) in entries {
            switch try JSONValue(json: bytes) {
            case .null: found[path] = Field(kind: .null, bytes: [])
            case .text(let text): found[path] = Field(kind: .string, bytes: Array(text.utf8))
            case .object:
                found[path] = Field(kind: .json, bytes: bytes)
                try collect(bytes, prefix: "\(path).", into: &found)
            default: found[path] = Field(kind: .json, bytes: bytes)
            }
        }
    }

    /// The encoded turns of a chat record; nil if it is not one.
    private static func chat(_ record: JSONValue) -> [UInt8]? {
        turns(record["messages"], "role", "content", speakers: [:])
            ?? turns(record["conversations"], "from", "value", speakers: ["human": "user", "gpt": "assistant"])
    }

    private static func turns(
        _ list: JSONValue?, _ role: String, _ content: String, speakers: [String: String]
    ) -> [UInt8]? {
        guard case .list(let turns)? = list else { return nil }
        var encoded: [UInt8] = []
        for turn in turns {
            guard let who = turn[role]?.textValue, let what = turn[content]?.textValue else { return nil }
            for text in [speakers[who] ?? who, what] {
                let length = UInt32(text.utf8.count)
                encoded.append(contentsOf: (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) })
                encoded.append(contentsOf: text.utf8)
            }
        }
        return encoded
    }
}

/// The columns of a group in memory. If `chunkRows` is set, vectors come in small chunks, as if read from a file.
struct GroupColumns: GroupData {
    let group: InMemoryGroup
    let chunkRows: Int?
    /// The columns that the selection declares; any other that it asks for is noted.
    let declared: Set<ColumnName>
    let askedOfGroups: AskedInputs

    func hashes() throws(StageError) -> [ContentHash] { group.hashes() }

    func values(_ name: ColumnName) throws(StageError) -> Column {
        note(name, .number)
        return try group.values(name)
    }

    private func note(_ name: ColumnName, _ kind: ColumnKind) {
        if !declared.contains(name) { askedOfGroups.note(.column(name, kind)) }
    }

    func vectors(_ name: ColumnName) throws(StageError) -> any VectorSource {
        note(name, .vector)
        let all = try group.vectors(name)
        guard let chunkRows else { return all }
        return ChunkedVectors(all: all, chunkRows: chunkRows)
    }
}

/// Vectors that are not resident.
private struct ChunkedVectors: VectorSource {
    let all: any VectorSource
    let chunkRows: Int

    var count: Int { all.count }
    var dimension: Int { all.dimension }
    var resident: UnsafeBufferPointer<Int8>? { nil }

    func forEachChunk(
        _ body: (Range<Int>, UnsafeBufferPointer<Int8>) throws(StageError) -> Void
    ) throws(StageError) {
        try all.forEachChunk { (rows, values) throws(StageError) in
            for start in stride(from: rows.lowerBound, to: rows.upperBound, by: chunkRows) {
                let end = min(rows.upperBound, start + chunkRows)
                let first = (start - rows.lowerBound) * dimension
                try body(
                    start..<end, UnsafeBufferPointer(rebasing: values[first..<(first + (end - start) * dimension)]))
            }
        }
    }

    func row(_ index: Int) throws(StageError) -> [Int8] { try all.row(index) }
}
