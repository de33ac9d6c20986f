/// The name of a column: per-record values beside the bytes.
///
/// A stage writes columns whose names are a letter and then letters, digits, `_` and `-`, at most 64 in all; not `file` or
/// `line`.
public struct ColumnName: Sendable, Hashable, Comparable, ExpressibleByStringLiteral, CustomStringConvertible {
    public let name: String

    public init(_ name: String) { self.name = name }
    public init(stringLiteral value: String) { name = value }
    public var description: String { name }
    public static func < (a: ColumnName, b: ColumnName) -> Bool { a.name < b.name }

    /// The text that stands for a record: what `format` makes and `embed` reads. Bytes, UTF-8.
    public static let text: ColumnName = "text"
    /// The record as chat messages: a JSON array of objects with `role` and `content`. Bytes, UTF-8.
    public static let messages: ColumnName = "messages"
    /// The Int8 vector of a record. See `VectorColumn`.
    public static let embedding: ColumnName = "embedding"
    /// The number of the cluster a record belongs to, from 0.
    public static let cluster: ColumnName = "cluster"
    /// The place of a record in the order in which a selection picked it, from 0, within its group. The engine writes
    /// it, from `GroupOutcome.ranks`, for a selection whose stage declares it in `writes`.
    public static let rank: ColumnName = "rank"
}

/// What one row of a column holds.
public enum ColumnType: Sendable, Hashable {
    /// Bytes of any length, UTF-8 unless the stage says otherwise.
    case bytes
    /// `dimension` Int8 components.
    case vector(dimension: Int)
    case integer
    case real

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

    public init(_ name: ColumnName, _ type: ColumnType) {
        self.name = name
        self.type = type
    }
}

/// Something a stage reads of a record.
public enum Input: Sendable, Hashable, CustomStringConvertible {
    /// A column that an earlier stage writes, of one of the types that the stage can work with.
    case column(ColumnName, ColumnKind)
    /// A field of the JSON object.
    case field(FieldPath)
    /// The whole line, byte for byte.
    case record

    public var description: String {
        switch self {
        case .column(let name, _): name.name
        case .field(let path): "field \(path)"
        case .record: "the whole record"
        }
    }
}

/// Bytes of any length for each row, in one buffer.
public struct BytesColumn: Sendable, Hashable {
    /// All rows, one after the other.
    public private(set) var bytes: [UInt8] = []
    /// Where row `i` ends in `bytes`; it begins where the row before it ends.
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
/// A unit vector `x` in `d` dimensions stands as `clip(round(x · 127·√d/8), ±127)`, so dot products and squared
/// distances are exact integers. An empty text is the zero vector.
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

    /// Integers or reals, as reals.
    func numbers(_ name: ColumnName) throws(StageError) -> [Double] {
        switch self {
        case .integers(let values): return values.map { Double($0) }
        case .reals(let values): return values
        case .bytes, .vectors: throw .missingColumn(name, "integers or reals", found: type)
        }
    }
}
