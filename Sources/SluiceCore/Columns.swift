/// The name of a column: one value per record, kept alongside the record's bytes.
///
/// The names that a stage may write are a letter followed by letters, digits, `_` or `-`, at most 64 characters; `file`
/// and `line` are reserved.
public struct ColumnName: Sendable, Hashable, Comparable, ExpressibleByStringLiteral, CustomStringConvertible {
    public let name: String

    public init(_ name: String) { self.name = name }
    public init(stringLiteral value: String) { name = value }
    public var description: String { name }
    public static func < (a: ColumnName, b: ColumnName) -> Bool { a.name < b.name }

    /// The text of a record, written by `format` and read by `embed`. Bytes, UTF-8.
    public static let text: ColumnName = "text"
    /// The record as chat messages: a JSON array of objects with `role` and `content`; or, where the record has more than
    /// them, an object with all of it: `messages`, or a pair's `chosen` and `rejected`, and other entries. Bytes, UTF-8.
    public static let messages: ColumnName = "messages"
    /// The Int8 vector of a record. See `VectorColumn`.
    public static let embedding: ColumnName = "embedding"
    /// The number of the record's cluster, from 0.
    public static let cluster: ColumnName = "cluster"
    /// The position of a record in the pick order of its group, from 0. The engine writes it from `GroupOutcome.ranks`
    /// for a selection whose stage declares it in `writes`.
    public static let rank: ColumnName = "rank"
}

/// The type of a column's values.
public enum ColumnType: Sendable, Hashable {
    /// Bytes of any length, UTF-8 unless the stage says otherwise.
    case bytes
    /// `dimension` Int8 components.
    case vector(dimension: Int)
    case integer
    case real

    var isVector: Bool { if case .vector = self { true } else { false } }

    /// What a column of this type holds, for messages.
    package var words: String {
        switch self {
        case .bytes: "bytes"
        case .vector(let dimension): "vectors of \(dimension) components"
        case .integer: "integers"
        case .real: "reals"
        }
    }
}

/// A column that a stage writes.
public struct ColumnSpec: Sendable, Hashable {
    public let name: ColumnName
    public let type: ColumnType
    /// For vectors of texts, the cosine distance (1 - cosine) within which two records are usually near duplicates: it
    /// depends on what the vectors are made of. A stage that looks for near duplicates takes it where the definition
    /// gives no distance. nil if the stage that writes the column knows none.
    public let nearDuplicateDistance: Double?
    /// For vectors of texts, whether near ones may belong to texts that differ in what counts, such as symbols, numbers or
    /// the order of words: then a stage that looks for near duplicates compares the texts, too, before it drops one.
    public let needsConfirmation: Bool
    /// For vectors of texts, whether they see only how a text is spelled: then texts that say the same in other words are
    /// far apart. A stage that groups by meaning warns of such vectors.
    public let isSpelling: Bool

    public init(
        _ name: ColumnName, _ type: ColumnType, nearDuplicateDistance: Double? = nil, needsConfirmation: Bool = false,
        isSpelling: Bool = false
    ) {
        self.name = name
        self.type = type
        self.nearDuplicateDistance = nearDuplicateDistance
        self.needsConfirmation = needsConfirmation
        self.isSpelling = isSpelling
    }
}

/// An input that a stage declares: part of a record, or the whole line.
public enum Input: Sendable, Hashable, CustomStringConvertible {
    /// A column that an earlier stage writes, of one of the types that the stage accepts.
    case column(ColumnName, ColumnKind)
    /// A field of the JSON object.
    case field(FieldPath)
    /// The label by which a selection groups: the column of this name, of integers or bytes, if an earlier stage
    /// writes one, else the field of the record. See `Grouping.label`.
    case label(String)
    /// The whole line, byte for byte.
    case record

    public var description: String {
        switch self {
        case .column(let name, _): name.name
        case .field(let path): "field \(path)"
        case .label(let name): "label \(name)"
        case .record: "the whole record"
        }
    }
}

/// Rows of bytes of any length, in one buffer.
public struct BytesColumn: Sendable, Hashable {
    /// All rows, concatenated.
    public private(set) var bytes: [UInt8] = []
    /// The offset in `bytes` at which row `i` ends; it begins where the previous row ends.
    public private(set) var ends: [Int] = []

    public init() {}

    public var count: Int { ends.count }

    public mutating func reserve(rows: Int, bytes: Int) {
        ends.reserveCapacity(rows)
        self.bytes.reserveCapacity(bytes)
    }

    public subscript(row: Int) -> ArraySlice<UInt8> {
        bytes[(row == 0 ? 0 : ends[row - 1])..<ends[row]]
    }

    public mutating func append(_ row: some Sequence<UInt8>) {
        bytes.append(contentsOf: row)
        ends.append(bytes.count)
    }

    public mutating func append(_ row: ArraySlice<UInt8>) {
        bytes.append(contentsOf: row)
        ends.append(bytes.count)
    }

    /// Lets `body` write one row at the end of the buffer.
    public mutating func appendRow<E>(_ body: (inout [UInt8]) throws(E) -> Void) throws(E) {
        try body(&bytes)
        ends.append(bytes.count)
    }

    public mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
    }
}

/// Int8 vectors, row after row.
///
/// A unit vector `x` in `d` dimensions is stored as `clip(round(x · 127·√d/8), ±127)`, so dot products and squared
/// distances are exact integers. The vector of an empty text is zero.
public struct VectorColumn: Sendable, Hashable {
    public let dimension: Int
    /// `count · dimension` components, row-major.
    public var values: [Int8]

    public init(dimension: Int, values: [Int8] = []) {
        self.dimension = dimension
        self.values = values
    }

    public var count: Int { dimension == 0 ? 0 : values.count / dimension }

    public subscript(row: Int) -> ArraySlice<Int8> {
        values[(row * dimension)..<((row + 1) * dimension)]
    }
}

/// One column of a block.
public enum Column: Sendable, Hashable {
    case bytes(BytesColumn)
    case vectors(VectorColumn)
    case integers([Int64])
    case reals([Double])

    /// A column of bytes: one text for each row.
    public static func texts(_ texts: some Sequence<String>) -> Column {
        var column = BytesColumn()
        for text in texts { column.append(text.utf8) }
        return .bytes(column)
    }

    public var count: Int {
        switch self {
        case .bytes(let column): column.count
        case .vectors(let column): column.count
        case .integers(let values): values.count
        case .reals(let values): values.count
        }
    }

    public var type: ColumnType {
        switch self {
        case .bytes: .bytes
        case .vectors(let column): .vector(dimension: column.dimension)
        case .integers: .integer
        case .reals: .real
        }
    }

    /// The integer of a record that has no value: one that passed the stage by which writes the column. The real is NaN, a
    /// text is empty, and a vector zero.
    public static let missingInteger = Int64.min

    /// A column without a value in any row.
    package static func missing(_ type: ColumnType, count: Int) -> Column {
        switch type {
        case .bytes:
            var column = BytesColumn()
            for _ in 0..<count { column.append(EmptyCollection<UInt8>()) }
            return .bytes(column)
        case .vector(let dimension):
            return .vectors(
                VectorColumn(dimension: dimension, values: [Int8](repeating: 0, count: count * dimension)))
        case .integer: return .integers([Int64](repeating: missingInteger, count: count))
        case .real: return .reals([Double](repeating: .nan, count: count))
        }
    }

    /// The column with the marked rows of another one of the same type; without one, these have no value.
    package func replaced(where isOther: [Bool], by other: Column?) -> Column {
        switch (self, other ?? .missing(type, count: count)) {
        case (.bytes(let own), .bytes(let other)):
            var result = BytesColumn()
            for row in 0..<own.count { result.append(isOther[row] ? other[row] : own[row]) }
            return .bytes(result)
        case (.vectors(var own), .vectors(let other)):
            let dimension = own.dimension
            for row in 0..<own.count where isOther[row] {
                own.values.replaceSubrange((row * dimension)..<((row + 1) * dimension), with: other[row])
            }
            return .vectors(own)
        case (.integers(let own), .integers(let other)):
            return .integers(own.indices.map { isOther[$0] ? other[$0] : own[$0] })
        case (.reals(let own), .reals(let other)):
            return .reals(own.indices.map { isOther[$0] ? other[$0] : own[$0] })
        default: return self
        }
    }

    /// Integers or reals, as reals; NaN for a missing one.
    func numbers(_ name: ColumnName) throws(StageError) -> [Double] {
        switch self {
        case .integers(let values): return values.map { $0 == Self.missingInteger ? .nan : Double($0) }
        case .reals(let values): return values
        case .bytes, .vectors: throw .missingColumn(name, "integers or reals", found: type)
        }
    }
}
