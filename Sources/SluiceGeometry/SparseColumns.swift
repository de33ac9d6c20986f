/// A sparse matrix by columns.
public struct SparseColumns: Sendable {
    public let rows: Int
    public let columns: Int
    /// The entries of column `c` are `starts[c]..<starts[c + 1]`.
    public let starts: [Int]
    /// The row of each entry, ascending within a column.
    public let row: [UInt32]
    public let value: [Float]

    /// - Precondition: one start per column and one more, ascending from 0 to the number of entries; rows below `rows`.
    public init(rows: Int, columns: Int, starts: [Int], row: [UInt32], value: [Float]) {
        precondition(
            starts.count == columns + 1 && starts.first == 0 && starts.last == row.count && value.count == row.count,
            "\(starts.count) starts and \(row.count) entries are no matrix of \(columns) columns")
        (self.rows, self.columns, self.starts, self.row, self.value) = (rows, columns, starts, row, value)
    }
}
