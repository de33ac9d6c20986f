/// The rows of a column store that are still in: one bit per row.
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

    /// Keeps only the rows that are also in `other`.
    mutating func formIntersection(_ other: LiveRows) {
        for index in words.indices { words[index] &= other.words[index] }
        settle()
    }

    /// The rows that are not in `other`.
    func subtracting(_ other: LiveRows) -> LiveRows {
        var result = self
        for index in words.indices { result.words[index] &= ~other.words[index] }
        result.settle()
        return result
    }

    /// Adds the rows of `other`.
    mutating func formUnion(_ other: LiveRows) {
        for index in words.indices { words[index] |= other.words[index] }
        settle()
    }

    /// Sets the bits after the last row, so that they don't count as dropped, and counts the rows.
    private mutating func settle() {
        if rows % 64 != 0, let last = words.indices.last { words[last] |= .max << UInt64(rows % 64) }
        count = words.reduce(0) { $0 + $1.nonzeroBitCount } - (words.count * 64 - rows)
    }

    /// The rows of a range, counted from its start.
    func slice(_ range: Range<Int>) -> LiveRows {
        var result = LiveRows(rows: range.count)
        for row in range where !self[row] { result.remove(row - range.lowerBound) }
        return result
    }

    /// Removes the rows of the range from `start` that `slice` lacks.
    mutating func keep(_ slice: LiveRows, from start: Int) {
        for row in 0..<slice.rows where !slice[row] { remove(start + row) }
    }

    /// One bit per row, for a work file.
    var bits: [Int64] { words.map { Int64(bitPattern: $0) } }

    /// - Parameter bits: of a store with the same number of rows.
    init(rows: Int, bits: [Int64]) {
        self.init(rows: rows)
        for (index, bits) in bits.prefix(words.count).enumerated() { words[index] = UInt64(bitPattern: bits) }
        settle()
    }

    /// The live rows of a range, counted from its start.
    func local(_ range: Range<Int>) -> [Int] {
        var result: [Int] = []
        result.reserveCapacity(range.count)
        for row in range where self[row] { result.append(row - range.lowerBound) }
        return result
    }
}
