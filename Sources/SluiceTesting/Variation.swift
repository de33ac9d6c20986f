import SluiceCore
import Synchronization

/// One way to run a stage. None of these may affect the result.
struct Variation: Sendable {
    enum Order: Sendable {
        case ascending
        case shuffled(UInt64)
    }

    /// What a block holds in addition to the stage's declared inputs.
    enum Presence: Sendable {
        case declared
        case everything
        /// Everything, with undeclared inputs taken from another record.
        case scrambled
    }

    enum Merging: Sendable {
        /// One summary observes all blocks.
        case single
        /// The same, and an empty summary merges into it.
        case withEmpty
        /// The summaries of all blocks merge into an empty one, first to last.
        case intoEmpty
        case rightToLeft
        case balanced
        /// In random pairs, with empty summaries among them.
        case shuffled(UInt64)
    }

    var threads = 1
    var blockLimit = Int.max
    var order = Order.ascending
    var presence = Presence.declared
    var merging = Merging.single
    /// Whether each summary is written as bytes and read again before it is merged, and after.
    var passesBytes = false
    var addsEmptyBlocks = false
    /// Rows per chunk of vectors; nil for resident vectors.
    var chunkRows: Int?
    var wanted: [ColumnName]?
    var runsTwice = false
    /// Moves what is allocated at each step, and with it the order of sets and dictionaries.
    var occupied: OccupiedMemory?
    var memory = 1.0
    /// What was answered in an earlier run; nil to ask everything.
    var answers: KitAnswers?

    var parallel: Parallel { threads == 1 ? .serial : .threads(threads) }

    func order(_ count: Int) -> [Int] {
        guard case .shuffled(let seed) = order else { return Array(0..<count) }
        var generator = SplitMix64(state: seed)
        return Array(0..<count).shuffled(using: &generator)
    }
}

/// One row of a column, comparable bit by bit.
enum Cell: Sendable, Hashable {
    case bytes([UInt8])
    case vector([Int8])
    case integer(Int64)
    case real(UInt64)

    /// One row of a column of numbers; of other columns an empty value.
    init(_ column: Column, _ row: Int) {
        switch column {
        case .integers(let values): self = .integer(values[row])
        case .reals(let values): self = .real(values[row].bitPattern)
        case .bytes, .vectors: self = .bytes([])
        }
    }

    static func cells(of column: Column) -> [Cell] {
        switch column {
        case .bytes(let column): (0..<column.count).map { .bytes(Array(column[$0])) }
        case .vectors(let column): (0..<column.count).map { .vector(Array(column[$0])) }
        case .integers(let values): values.map { .integer($0) }
        case .reals(let values): values.map { .real($0.bitPattern) }
        }
    }

    static func column(of cells: [Cell?], type: ColumnType) -> Column {
        switch type {
        case .bytes:
            var column = BytesColumn()
            for cell in cells { if case .bytes(let bytes)? = cell { column.append(bytes) } else { column.append([]) } }
            return .bytes(column)
        case .vector(let dimension):
            let zero = [Int8](repeating: 0, count: dimension)
            return .vectors(
                VectorColumn(
                    dimension: dimension,
                    values: cells.flatMap { if case .vector(let values)? = $0 { values } else { zero } }))
        case .integer: return .integers(cells.map { if case .integer(let value)? = $0 { value } else { 0 } })
        case .real: return .reals(cells.map { if case .real(let bits)? = $0 { Double(bitPattern: bits) } else { 0 } })
        }
    }
}

/// A column of all records; nil for dropped ones.
struct TableColumn: Sendable, Hashable {
    var type: ColumnType
    var cells: [Cell?]
}

extension TableColumn {
    init(_ column: Column) { self.init(type: column.type, cells: Cell.cells(of: column)) }
}

/// A dropped record.
struct Loss: Sendable, Hashable {
    var reason: Reason
    var measures: String
    var partner: Int?
}

/// Records between stages.
struct Flow: Sendable {
    var records: InMemoryRecords
    var columns: [ColumnName: TableColumn] = [:]
    /// The live records, ascending.
    var live: [Int]
    /// The records in blocks: the live ones, and in the first phase perhaps some dropped earlier.
    var rows: [Int]
    var losses: [Int: Loss] = [:]
    var reports: [JSONValue] = []
    /// Whether the stage has observed records with a survey.
    var hasSurvey = false
    /// The bytes of the models that surveys leave with a run.
    var models: [[UInt8]] = []
    /// What earlier stages declared of their columns.
    var specs: [ColumnName: ColumnSpec] = [:]
    /// The columns that the stage has written.
    var written: Set<ColumnName> = []
    var violations: [Violation] = []

    /// - Parameter columns: what earlier stages would have written.
    /// - Throws: `JSONError` for a line that is not a JSON object, or `Problem` for a column without a row per record.
    init(_ lines: [String], _ columns: [ColumnName: Column] = [:]) throws {
        records = try InMemoryRecords(lines)
        live = Array(0..<records.count)
        rows = live
        for (name, column) in columns.sorted(by: { $0.key < $1.key }) {
            guard column.count == lines.count else {
                throw Problem("the column `\(name)` has \(column.count) rows for \(lines.count) records")
            }
            self.columns[name] = TableColumn(column)
        }
    }
}
