import SluiceEngine

/// A random set of records: those with the lowest draws, of which there may be more than memory.
///
/// Draws go to disk as long as they may be among the lowest. Memory: 256 KiB of counts and a buffer, for any number of
/// records. How many are wanted at most is known from the start, how many are wanted in the end may be known later.
struct RandomSet {
    private static let bins = 1 << 16
    private static let buffer = 64 << 10
    /// The bytes that it holds.
    static let memory = 4 * bins + 2 * buffer

    private let most: Int
    private let entries: VectorSpill
    private var counts = [UInt32](repeating: 0, count: bins)
    /// Draws in this bin or a higher one are not among the lowest; `held` counts those in lower ones.
    private var limit = bins
    private var held = 0

    init(most: Int) throws {
        self.most = most
        entries = try VectorSpill(dimension: MemoryLayout<Entry>.size, bufferBytes: Self.buffer)
    }

    private struct Entry: Comparable {
        var draw: UInt64
        var row: UInt64

        static func < (a: Entry, b: Entry) -> Bool { (a.draw, a.row) < (b.draw, b.row) }
    }

    /// Offers a row of some file of vectors. Rows ascend, and the lower one wins where draws are equal.
    ///
    /// - Returns: false if the row can't be in the set.
    mutating func offer(_ draw: UInt64, row: Int) throws -> Bool {
        let bin = Self.bin(draw)
        guard bin < limit else { return false }
        counts[bin] += 1
        held += 1
        while limit > 1, held - Int(counts[limit - 1]) >= most {
            limit -= 1
            held -= Int(counts[limit])
        }
        guard bin < limit else { return false }
        try withUnsafeBytes(of: Entry(draw: draw, row: UInt64(row))) { bytes in
            try entries.append(ArraySlice(bytes.map { Int8(bitPattern: $0) }))
        }
        return true
    }

    private static func bin(_ draw: UInt64) -> Int { Int(draw >> 48) }

    /// The rows of the `size` lowest draws, ascending, in pieces.
    func forEachPiece(_ size: Int, of piece: Int, _ body: ([Int]) throws -> Void) throws {
        guard size > 0 else { return }
        let highest = try highest(size)
        var rows: [Int] = []
        try forEachEntry { entry in
            guard entry <= highest else { return }
            rows.append(Int(entry.row))
            guard rows.count == piece else { return }
            try body(rows)
            rows.removeAll(keepingCapacity: true)
        }
        if !rows.isEmpty { try body(rows) }
    }

    /// The last one of the `size` lowest.
    private func highest(_ size: Int) throws -> Entry {
        guard held >= size else { return Entry(draw: .max, row: .max) }
        var bin = 0, before = 0
        while before + Int(counts[bin]) < size {
            before += Int(counts[bin])
            bin += 1
        }
        var found: [Entry] = []
        try forEachEntry { if Self.bin($0.draw) == bin { found.append($0) } }
        found.sort()
        return found[size - before - 1]
    }

    private func forEachEntry(_ body: (Entry) throws -> Void) throws {
        for start in stride(from: 0, to: entries.rows, by: 4096) {
            let bytes = try entries.read(start..<min(entries.rows, start + 4096))
            try bytes.withUnsafeBytes { raw in
                for offset in stride(from: 0, to: raw.count, by: MemoryLayout<Entry>.size) {
                    try body(raw.loadUnaligned(fromByteOffset: offset, as: Entry.self))
                }
            }
        }
    }
}
