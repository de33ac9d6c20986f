/// Which rows of a column store are still in: one bit a row.
struct LiveRows: Sendable {
    private var words: [UInt64]
    let rows: Int
    private(set) var count: Int

    init(rows: Int) {
        self.rows = rows
        count = rows
        words = [UInt64](repeating: .max, count: (rows + 63) / 64)
    }

    subscript(row: Int) -> Bool { words[row >> 6] >> UInt64(row & 63) & 1 == 1 }

    mutating func remove(_ row: Int) {
        guard self[row] else { return }
        words[row >> 6] &= ~(1 << UInt64(row & 63))
        count -= 1
    }

    mutating func remove(_ rows: some Sequence<Int>) {
        for row in rows { remove(row) }
    }

    /// The live rows of a range, counted from its start.
    func local(_ range: Range<Int>) -> [Int] {
        var result: [Int] = []
        result.reserveCapacity(range.count)
        for row in range where self[row] { result.append(row - range.lowerBound) }
        return result
    }
}
