/// A run of records handled together: what a transform and a survey are given.
///
/// Row `i` of every column belongs to record `i`. A dropped record keeps its row until the block leaves the stage's
/// phase, so a transform that writes a column writes a row for every record; rows of dropped records may be empty.
/// Block boundaries depend on the input alone and must not affect any result.
public struct Block: ~Copyable, Sendable {
    public let count: Int
    /// The ordinals of the records, ascending. For messages; never for random draws.
    public let ordinals: [Ordinal]
    /// 128 bits that identify the content of each record.
    public let hashes: [ContentHash]
    /// The drops so far, oldest first.
    public private(set) var drops: [Drop] = []

    private var dropped: [Bool]
    /// The records that pass by the stage that holds the block; empty if none do.
    private var passing: [Bool] = []
    private var columns: [(name: ColumnName, column: Column)] = []
    private var fields: FieldTable?
    private var records: BytesColumn?
    private let wanted: [ColumnName]?
    /// The columns that stages have written, not those with which the block was made.
    package private(set) var fresh: Set<ColumnName> = []
    /// How many records go through the stage whose condition was tested last.
    package var through: Int?
    /// The declaration of the stage that holds the block; nil if unchecked.
    private var declared: StageDeclaration?
    /// Writes that broke the stage's declaration, each as the end of a sentence that begins with the stage. None of
    /// them took effect.
    package private(set) var misfits: [String] = []

    package init(
        ordinals: [Ordinal], hashes: [ContentHash], fields: FieldTable? = nil, records: BytesColumn? = nil,
        wanted: [ColumnName]? = nil
    ) {
        count = ordinals.count
        self.ordinals = ordinals
        self.hashes = hashes
        self.fields = fields
        self.records = records
        self.wanted = wanted
        dropped = [Bool](repeating: false, count: ordinals.count)
    }

    // MARK: Records

    /// Whether the record has not been dropped, nor passes the stage by.
    public func isLive(_ record: Int) -> Bool { !dropped[record] && (passing.isEmpty || !passing[record]) }

    /// The indices of the live records, ascending.
    public var live: [Int] { (0..<count).filter { isLive($0) } }

    /// Drops a record. The first drop of a record counts; later ones change nothing.
    ///
    /// - Parameters:
    ///   - reason: written to the ledger and counted in `run.json`.
    ///   - measures: the numbers behind the decision, for the ledger.
    public mutating func drop(_ record: Int, reason: Reason, measures: [Measure] = []) {
        guard isLive(record) else { return }
        dropped[record] = true
        drops.append(Drop(record: record, reason: reason, measures: measures))
    }

    // MARK: What a stage declares

    /// Lends the block to a stage: until `end()` the stage can read and write only what it declares.
    package mutating func begin(_ declaration: StageDeclaration) {
        declared = declaration
        misfits = []
        guard let gate = declaration.gate, case .integers(let marks)? = column(gate) else { return }
        passing = marks.map { $0 == 0 }
    }

    /// Takes the block back.
    package mutating func end() {
        declared = nil
        passing = []
    }

    /// Writes a declared column for a block all of whose records pass the stage by, which then may write nothing.
    package mutating func writeMissing(_ spec: ColumnSpec) {
        write(spec.name, .missing(spec.type, count: count))
    }

    // MARK: What a stage reads

    /// A declared JSON field of every record. An undeclared one is missing in every record.
    public func field(_ path: FieldPath) -> FieldColumn {
        if declared?.gives(path) ?? true, let fields, let index = fields.paths.firstIndex(of: path) {
            return FieldColumn(fields, index: index)
        }
        var empty = FieldTable(paths: [path])
        empty.entries = [FieldTable.Entry](
            repeating: FieldTable.Entry(offset: 0, length: 0, kind: .missing), count: count)
        return FieldColumn(empty, index: 0)
    }

    /// The lines of the records, byte for byte; nil unless a stage declares that it reads `.record`.
    public var lines: BytesColumn? { declared?.givesRecord ?? true ? records : nil }

    /// A column that the stage declares and an earlier stage wrote, or that the stage itself has written; else nil.
    public subscript(name: ColumnName) -> Column? { column(name, .any) }

    /// - Parameter kind: what the stage asks for.
    private func column(_ name: ColumnName, _ kind: ColumnKind) -> Column? {
        guard declared?.gives(name, kind) ?? true else { return nil }
        return column(name)
    }

    private func column(_ name: ColumnName) -> Column? { columns.first { $0.name == name }?.column }

    /// A column of bytes, such as `text`.
    public func bytes(_ name: ColumnName) throws(StageError) -> BytesColumn {
        let found = column(name, .bytes)
        guard case .bytes(let column)? = found else { throw .missingColumn(name, "bytes", found: found?.type) }
        return column
    }

    /// A column of Int8 vectors, such as `embedding`.
    public func vectors(_ name: ColumnName) throws(StageError) -> VectorColumn {
        let found = column(name, .vector)
        guard case .vectors(let column)? = found else { throw .missingColumn(name, "vectors", found: found?.type) }
        return column
    }

    public func integers(_ name: ColumnName) throws(StageError) -> [Int64] {
        let found = column(name, .integer)
        guard case .integers(let column)? = found else { throw .missingColumn(name, "integers", found: found?.type) }
        return column
    }

    /// A column of reals. A missing number is NaN.
    public func reals(_ name: ColumnName) throws(StageError) -> [Double] {
        let found = column(name, .real)
        guard case .reals(let column)? = found else { throw .missingColumn(name, "reals", found: found?.type) }
        return column
    }

    /// A column of integers or reals, as reals. A missing number is NaN; an integer beyond 2^53 is rounded.
    public func numbers(_ name: ColumnName) throws(StageError) -> [Double] {
        guard let column = column(name, .number) else { throw .missingColumn(name, "integers or reals") }
        return try column.numbers(name)
    }

    // MARK: What a stage writes

    /// Writes a column, replacing any column of that name.
    ///
    /// The stage must declare the column, with this type, and the column must have a row for every record of the block.
    /// Otherwise it is not written, and the run ends with a `.fault` that names the stage. Records that pass the stage by keep
    /// the value they had, or have none.
    public mutating func write(_ name: ColumnName, _ column: Column) {
        if let misfit = misfit(name, column) {
            misfits.append(misfit)
            return
        }
        if declared != nil { fresh.insert(name) }
        let index = columns.firstIndex { $0.name == name }
        let column = passing.isEmpty ? column : column.replaced(where: passing, by: index.map { columns[$0].column })
        if let index { columns[index].column = column } else { columns.append((name, column)) }
    }

    private func misfit(_ name: ColumnName, _ column: Column) -> String? {
        guard column.count == count else {
            return "writes `\(name)` with \(column.count) rows in a block of \(count) records"
        }
        if case .vectors(let vectors) = column, vectors.values.count != count * vectors.dimension {
            return
                "writes `\(name)` with \(vectors.values.count) components for \(count) vectors of \(vectors.dimension)"
        }
        guard let declared else { return nil }
        guard let type = declared.type(of: name) else { return "writes `\(name)` and does not declare it in `writes`" }
        return type == column.type ? nil : "declares `\(name)` as \(type.words) and writes \(column.type.words)"
    }

    /// Whether a later stage or the output reads the column. If not, a stage may skip the work of filling it.
    public func isWanted(_ name: ColumnName) -> Bool { wanted?.contains(name) ?? true }

    package var columnNames: [ColumnName] { columns.map(\.name) }
    package var fieldTable: FieldTable? { fields }
}
