import SluiceCore
import SluiceIO

/// The groups of a part's rows.
struct PartGroups: ByteCodable, Sendable {
    let labels: GroupLabels
    /// Its keys are indices of the part's own labels where there are labels.
    let table: GroupTable
    /// Bytes for reading the longest label.
    let longest: Int
    /// The types of the columns that the selection gets; fewer if the part has no rows.
    let types: [ColumnSpec]

    init(labels: GroupLabels, table: GroupTable, longest: Int, types: [ColumnSpec]) {
        (self.labels, self.table, self.longest, self.types) = (labels, table, longest, types)
    }

    func write(to bytes: inout ByteWriter) {
        bytes.write(labels)
        bytes.write(table)
        bytes.write(longest)
        bytes.write(types)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        (labels, table, longest) = (try bytes.read(), try bytes.read(), try bytes.read())
        types = try bytes.read()
    }

    /// The table by the labels of all parts.
    func table(in all: GroupLabels) throws -> GroupTable {
        guard labels.count > 0 else { return table }
        var places: [Int64] = []
        places.reserveCapacity(labels.count)
        try labels.forEach { label in
            guard let place = all.index(of: label) else {
                throw EngineError(.fault, "a label was not found when the groups were divided")
            }
            places.append(Int64(place))
        }
        // Both lists of labels are sorted, so the keys stay sorted.
        let keys = table.keys.map { $0 < 0 ? $0 : places[Int($0)] }
        return GroupTable(keys: keys, sizes: table.sizes, weights: table.weights)
    }
}

/// All groups of a selection, what each keeps, and which task chooses in which of them.
struct GroupPlan: ByteCodable, Sendable {
    let isAll: Bool
    /// Nil if groups have no labels.
    let labels: GroupLabels?
    let table: GroupTable
    let longest: Int
    let quotas: [Int]
    let types: [ColumnSpec]
    /// The groups of each bundle: adjacent ones, in ascending order of keys; empty if there are fewer groups.
    let bundles: [Range<Int>]

    /// - Parameter count: the number of bundles, which get about as many records each.
    init(_ census: GroupCensus.Result, quotas: [Int], types: [ColumnSpec], bundles count: Int) {
        isAll = census.keys.source == .all
        labels = census.keys.hasLabels ? census.keys.labels : nil
        (table, longest) = (census.table, census.longest)
        (self.quotas, self.types) = (quotas, types)
        bundles = Self.bundles(of: census.table.sizes, count: count)
    }

    private static func bundles(of sizes: [Int], count: Int) -> [Range<Int>] {
        let total = max(1, sizes.reduce(0, +))
        var bundles: [Range<Int>] = []
        var (group, before) = (0, 0)
        for bundle in 1...count {
            let start = group
            // A group belongs to the bundle in which its first record is.
            while group < sizes.count, before * count < bundle * total {
                before += sizes[group]
                group += 1
            }
            bundles.append(start..<group)
        }
        return bundles
    }

    var keys: GroupKeys { GroupKeys(isAll: isAll, labels: labels) }

    /// The groups of a bundle.
    func census(of bundle: Int) -> GroupCensus.Result {
        GroupCensus.Result(keys: keys, table: table.slice(bundles[bundle]), longest: longest)
    }

    /// The bundle of a group.
    func bundle(of group: Int) -> Int {
        var (low, high) = (0, bundles.count - 1)
        while low < high {
            let middle = low + (high - low) / 2
            if bundles[middle].upperBound <= group { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Its memory, in bytes.
    var size: Int { GroupTable.bytes(table.count) + 8 * (quotas.count + table.weights.count) + (labels?.size ?? 0) }

    func key(_ group: Int) -> GroupKey { table.keys.isEmpty ? .all : keys.key(table.keys[group]) }

    func write(to bytes: inout ByteWriter) {
        bytes.write(isAll)
        bytes.write(labels)
        bytes.write(table)
        bytes.write(longest)
        bytes.write(quotas)
        bytes.write(types)
        bytes.write(bundles.map(\.upperBound))
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        (isAll, labels, table) = (try bytes.read(), try bytes.read(), try bytes.read())
        (longest, quotas, types) = (try bytes.read(), try bytes.read(), try bytes.read())
        let ends = try bytes.read([Int].self)
        guard quotas.count == table.count, zip([0] + ends, ends).allSatisfy({ $0 <= $1 }), ends.last == table.count
        else { throw ByteReader.damaged("the bundles do not have all groups") }
        bundles = zip([0] + ends, ends).map { $0..<$1 }
    }
}

/// Some rows of a part, on their way to the task that chooses in their groups.
struct RowChunk: ByteCodable {
    let columns: [(name: ColumnName, column: Column)]

    var count: Int { columns.first?.column.count ?? 0 }

    init(_ columns: [(name: ColumnName, column: Column)]) { self.columns = columns }

    func write(to bytes: inout ByteWriter) {
        bytes.write(columns.count)
        for (name, column) in columns {
            bytes.write(ColumnSpec(name, column.type))
            switch column {
            case .integers(let values): bytes.write(values)
            case .reals(let values): bytes.write(values.map(\.bitPattern))
            case .vectors(let vectors): bytes.write(vectors.values)
            case .bytes: break
            }
        }
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        var columns: [(name: ColumnName, column: Column)] = []
        for _ in 0..<max(0, try bytes.read(Int.self)) {
            let spec = try bytes.read(ColumnSpec.self)
            let column: Column =
                switch spec.type {
                case .integer: .integers(try bytes.read())
                case .real: .reals(try bytes.read([UInt64].self).map { Double(bitPattern: $0) })
                case .vector(let dimension):
                    .vectors(VectorColumn(dimension: dimension, values: try bytes.read()))
                case .bytes: throw ByteReader.damaged("a column of bytes can't be grouped")
                }
            columns.append((spec.name, column))
        }
        self.columns = columns
        guard columns.allSatisfy({ $0.column.count == count }) else {
            throw ByteReader.damaged("columns have different numbers of rows")
        }
    }
}

/// What a bundle's task decided about the rows of a part.
struct PartDecisions {
    /// Counted from the part's first row, ascending.
    let dropped: [Int]
    let columns: SelectionColumns

    var encoded: [UInt8] {
        var bytes = ByteWriter()
        bytes.write(dropped)
        bytes.write(columns.rows)
        bytes.write(columns.values)
        return bytes.bytes
    }
}

extension ByteReader {
    /// - Parameters:
    ///   - rows: of the part.
    ///   - specs: of the columns.
    mutating func readDecisions(rows: Int, _ specs: [ColumnSpec]) throws(StageError) -> PartDecisions {
        let dropped = try read([Int].self)
        let kept = try read([Int].self)
        let values = try read([[Int64]].self)
        try expectEnd()
        guard values.count == specs.count, values.allSatisfy({ $0.count == kept.count }),
            (dropped + kept).allSatisfy((0..<rows).contains)
        else { throw Self.damaged("it decides about other rows than the part has") }
        return PartDecisions(dropped: dropped, columns: SelectionColumns(specs, rows: kept, values: values))
    }
}

/// What a bundle's task found out.
struct BundleResult: ByteCodable, Sendable {
    let account: Account
    let reports: GroupReportChunk

    init(account: Account, reports: GroupReportLog) throws(IOFailure) {
        self.account = account
        self.reports = try reports.all()
    }

    func write(to bytes: inout ByteWriter) {
        bytes.write(account)
        bytes.write(reports.bytes)
        bytes.write(reports.count)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        account = try bytes.read()
        reports = GroupReportChunk(bytes: try bytes.read(), count: try bytes.read())
    }
}
