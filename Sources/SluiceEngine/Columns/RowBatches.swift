import SluiceCore
import SluiceIO

/// Splits the rows of a store into batches by size: the bytes read and written for them. No result depends on where a
/// batch ends; the contract kit runs every stage with different limits.
struct RowBatches {
    struct Batch {
        let rows: Range<Int>
        /// A single row larger than a batch may be: such rows are processed one at a time.
        let isLong: Bool
    }

    private static let mostRows = 4096
    private static let mostBytes = MemoryShares.perBlock / 2

    private let store: ColumnStore
    /// The bytes columns that are read.
    private let bytes: [ColumnName]
    /// Bytes per row in columns of fixed width, read and written.
    private let width: Int
    /// Bytes written for each byte read.
    private let growth: Int
    /// The most rows of a batch.
    private let most: Int

    /// - Parameters:
    ///   - reads: the columns read; those that the store lacks are made during the pass.
    ///   - writes: the columns written.
    ///   - growth: bytes written for each byte read, in bytes columns.
    ///   - most: the most rows of a batch.
    init(_ store: ColumnStore, reads: [Input], writes: [ColumnSpec], growth: Int, most: Int = .max) {
        let columns = reads.compactMap { if case .column(let name, _) = $0 { name } else { nil } }
        self.init(
            store, columns: columns + FieldColumns.names(for: reads), writes: writes, growth: growth, most: most)
    }

    init(
        _ store: ColumnStore, columns: [ColumnName], writes: [ColumnSpec] = [], growth: Int = 0, most: Int = .max
    ) {
        self.most = min(most, Self.mostRows)
        self.store = store
        let read = Set(columns).sorted().compactMap { name in store.types[name].map { ColumnSpec(name, $0) } }
        bytes = read.filter { $0.type == .bytes }.map(\.name)
        width = (read + writes).reduce(0) { $0 + $1.type.width }
        self.growth = growth
    }

    /// The batch that starts at row `start` of a shard.
    func batch(from start: Int, in shard: ColumnStore.Shard) throws(IOFailure) -> Batch {
        let byWidth = max(64, Self.mostBytes / max(1, width))
        let last = min(start + min(most, byWidth), shard.rows.upperBound)
        let files = try store.bytesColumns(bytes, shard)
        let base = start - shard.rows.lowerBound
        func weight(_ end: Int) -> Int {
            let rows = files.reduce(0) { $0 + $1.bytes(before: base + end - start) - $1.bytes(before: base) }
            return rows * (1 + growth) + (end - start) * width
        }
        if last <= start + 1 || weight(last) <= Self.mostBytes {
            return Batch(rows: start..<last, isLong: last == start + 1 && weight(last) > Self.mostBytes)
        }
        var (low, high) = (start + 1, last)
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if weight(middle) <= Self.mostBytes { low = middle } else { high = middle }
        }
        return Batch(rows: start..<low, isLong: low == start + 1 && weight(low) > Self.mostBytes)
    }

    /// The memory for the largest row that is processed alone, in bytes; 0 if there is none.
    ///
    /// A row is in memory compressed and uncompressed while it is read. Its output may take half as much again while it
    /// grows, and is compressed when it is written.
    func longest() throws(IOFailure) -> Int {
        var longest = 0
        for shard in store.shards {
            let files = try store.bytesColumns(bytes, shard)
            for row in Set(files.flatMap(\.lonelyRows)) {
                longest = max(longest, files.reduce(0) { $0 + $1.bytes(before: row + 1) - $1.bytes(before: row) })
            }
        }
        return Self.alone(read: longest, growth: growth)
    }

    /// What a row takes of which so many bytes are read, in bytes; 0 where it is not worked on alone.
    static func alone(read: Int, growth: Int) -> Int {
        read * (1 + growth) > mostBytes ? read * (2 + 2 * growth) : 0
    }
}
