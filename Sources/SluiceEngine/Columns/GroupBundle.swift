import SluiceCore
import SluiceIO

/// A run of small groups, read completely and sorted: each group's rows are adjacent, in input order.
struct GroupBundle: Sendable {
    /// One group of the bundle.
    struct Member: Sendable {
        /// Its index in the table.
        let group: Int
        /// Its rows in the bundle.
        let rows: Range<Int>
    }

    let members: [Member]
    let rowNumbers: [Int64]
    let ordinals: [Int64]
    private let hashes: [ContentHash]
    private let columns: [ColumnName: Column]
    private let vectors: [ColumnName: ResidentVectors]

    /// Bytes per row in addition to the columns: the order, a copy of a column while it is sorted, and the decision
    /// about the row.
    static let perRow = 24

    /// - Parameter columns: those that the selection reads.
    init(_ groups: GroupStore, _ section: GroupStore.Section, columns names: [ColumnName]) throws(IOFailure) {
        let rows = section.rows
        let keys = try groups.integers(GroupStore.key, rows)
        var order = keys.indices.map { Int32($0) }
        order.sort { keys[Int($0)] != keys[Int($1)] ? keys[Int($0)] < keys[Int($1)] : $0 < $1 }
        func ordered(_ name: ColumnName) throws(IOFailure) -> [Int64] {
            let values = try groups.integers(name, rows)
            return order.map { values[Int($0)] }
        }
        var members: [Member] = []
        var start = 0
        for group in section.groups {
            let end = start + groups.table.sizes[group]
            members.append(Member(group: group, rows: start..<end))
            start = end
        }
        self.members = members
        rowNumbers = try ordered(GroupStore.rowNumber)
        ordinals = try ordered(GroupStore.ordinal)
        let (high, low) = (try ordered(GroupStore.hashHigh), try ordered(GroupStore.hashLow))
        hashes = zip(high, low).map {
            ContentHash(high: UInt64(bitPattern: $0), low: UInt64(bitPattern: $1))
        }
        var columns: [ColumnName: Column] = [:]
        var vectors: [ColumnName: ResidentVectors] = [:]
        for name in names {
            switch try groups.column(name, rows) {
            case .vectors(let column):
                vectors[name] = ResidentVectors(count: order.count, dimension: column.dimension) { buffer in
                    for (place, row) in order.enumerated() {
                        let start = place * column.dimension
                        _ = UnsafeMutableBufferPointer(rebasing: buffer[start..<(start + column.dimension)])
                            .update(from: column[Int(row)])
                    }
                }
            case .integers(let values): columns[name] = .integers(order.map { values[Int($0)] })
            case .reals(let values): columns[name] = .reals(order.map { values[Int($0)] })
            case .bytes: break
            }
        }
        self.columns = columns
        self.vectors = vectors
    }

    /// The columns of one group.
    func data(_ member: Member) -> any GroupData { Data(bundle: self, rows: member.rows) }

    private struct Data: GroupData {
        let bundle: GroupBundle
        let rows: Range<Int>

        func hashes() -> [ContentHash] { Array(bundle.hashes[rows]) }

        func vectors(_ name: ColumnName) throws(StageError) -> any VectorSource {
            guard let all = bundle.vectors[name] else {
                throw .missingColumn(name, "vectors", found: bundle.columns[name]?.type)
            }
            return VectorSlice(all: all, rows: rows)
        }

        func values(_ name: ColumnName) throws(StageError) -> Column {
            switch bundle.columns[name] {
            case .integers(let values)?: return .integers(Array(values[rows]))
            case .reals(let values)?: return .reals(Array(values[rows]))
            default:
                throw .missingColumn(
                    name, "numbers", found: bundle.vectors[name].map { .vector(dimension: $0.dimension) })
            }
        }
    }

    /// Some rows of vectors in memory.
    private struct VectorSlice: VectorSource {
        let all: ResidentVectors
        let rows: Range<Int>

        var count: Int { rows.count }
        var dimension: Int { all.dimension }
        var resident: UnsafeBufferPointer<Int8>? {
            all.resident.map {
                UnsafeBufferPointer(rebasing: $0[(rows.lowerBound * dimension)..<(rows.upperBound * dimension)])
            }
        }

        func forEachChunk(
            _ body: (Range<Int>, UnsafeBufferPointer<Int8>) throws(StageError) -> Void
        ) throws(StageError) {
            if count > 0, let resident { try body(0..<count, resident) }
        }

        func row(_ index: Int) throws(StageError) -> [Int8] { try all.row(rows.lowerBound + index) }
    }
}
