import CVectorKernels
public import SluiceCore

/// Facility location by lazy greedy: each pick is the row that most reduces the sum, over all rows, of squared
/// distances to the nearest pick, ties to the lowest row (Minoux, 1978; the objective of apricot and QDIT).
///
/// It reaches at least 1 - 1/e of the best possible gain, since the gain is submodular. Integers are exact, so the
/// result equals plain greedy. The start costs n²·d multiply-adds and each pick at least n·64·d: suitable for a
/// reservoir or a cluster (tens of thousands of rows), not for a corpus. Memory: 20 bytes per row.
///
/// **Bound.** Gains only shrink as rows are picked, so no k rows are worth more than the picks and the k largest remaining
/// gains together (Nemhauser, Wolsey and Fisher, 1978). It costs about as much as the picks again.
public struct FacilityLocation: Sendable {
    /// The chosen rows in pick order. The first j are the choice for a budget of j.
    public private(set) var picks: [Int] = []
    /// What the picks are worth: how much less the squared distances to the nearest pick are, summed over all rows, than if
    /// each were the largest possible between two rows, twice the longest vector.
    public private(set) var value: Int64 = 0
    /// No choice of as many rows is worth more; nil if that was not asked for.
    public private(set) var bound: Int64?

    /// Picks `count` rows, or all if there are fewer.
    public static func select(
        _ vectors: VectorView, count: Int, bounded: Bool = true, parallel: Parallel = .serial
    ) -> FacilityLocation {
        var selection = FacilityLocation()
        let n = vectors.count
        let count = min(max(0, count), n)
        if count == 0 { return selection }
        let norms = vectors.normBuffer(parallel)
        var longest: Int32 = 0
        for i in 0..<n { longest = max(longest, norms[i]) }
        // Before the first pick, every row counts as being as far away as two rows can be. The cap of 2^30 exceeds the
        // distance of any two quantised unit vectors.
        let least = Buffer<Int32>(n, repeating: Int32(min(4 * Int64(longest), 1 << 30)))
        let run = Gains(vectors: vectors, norms: norms, least: least)
        // Gains only shrink: an old one is an upper bound.
        var fresh = [Bool](repeating: true, count: n)
        var heap = Heap(run.all(parallel))
        /// Takes the row with the largest gain: recomputes the largest bounds until the first one is fresh.
        func best() -> (gain: Int64, row: Int)? {
            while let top = heap.top, !fresh[top.row] {
                var stale: [Int] = []
                while stale.count < Int(SVK_PANEL), let top = heap.top, !fresh[top.row] {
                    stale.append(top.row)
                    heap.pop()
                }
                for (row, gain) in zip(stale, run.gains(stale, parallel)) {
                    fresh[row] = true
                    heap.push(gain, row)
                }
            }
            defer { heap.pop() }
            return heap.top
        }
        while selection.picks.count < count, let pick = best() {
            selection.picks.append(pick.row)
            selection.value += pick.gain
            run.add(pick.row, parallel)
            for row in fresh.indices { fresh[row] = false }
        }
        guard bounded else { return selection }
        var bound = selection.value
        for _ in 0..<min(count, n - count) {
            guard let next = best(), next.gain > 0 else { break }
            bound += next.gain
        }
        selection.bound = bound
        return selection
    }
}

/// The gain of each row as the next pick.
private struct Gains: Sendable {
    let vectors: VectorView
    let norms: Buffer<Int32>
    let least: Buffer<Int32>

    func all(_ parallel: Parallel) -> [Int64] {
        let out = Buffer<Int64>(vectors.count)
        // Panels of columns run in parallel, each over all rows.
        parallel.pieces(of: vectors.count, size: Int(SVK_PANEL)) { columns in
            let packed = Packed(
                vectors.row(columns.lowerBound), count: columns.count, dimension: vectors.dimension, norms: nil)
            add(packed, norms.base + columns.lowerBound, rows: 0..<vectors.count, to: out.base + columns.lowerBound)
        }
        return out.array
    }

    func gains(_ rows: [Int], _ parallel: Parallel) -> [Int64] {
        let d = vectors.dimension
        let gathered = Buffer<Int8>(rows.count * d)
        let columnNorms = Buffer<Int32>(rows.count)
        for (t, row) in rows.enumerated() {
            (gathered.base + t * d).update(from: vectors.row(row), count: d)
            columnNorms[t] = norms[row]
        }
        let packed = Packed(gathered.base, count: rows.count, dimension: d, norms: nil)
        let pieces = (vectors.count + pieceRows - 1) / pieceRows
        let parts = Buffer<Int64>(pieces * rows.count)
        let width = rows.count
        parallel.pieces(of: vectors.count) { range in
            add(packed, columnNorms.base, rows: range, to: parts.base + range.lowerBound / pieceRows * width)
        }
        return (0..<width).map { c in (0..<pieces).reduce(0) { $0 + parts[$1 * width + c] } }
    }

    private func add(
        _ packed: Packed, _ columnNorms: UnsafePointer<Int32>, rows: Range<Int>, to out: UnsafeMutablePointer<Int64>
    ) {
        let height = 96
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: height * packed.count) { products in
            for start in stride(from: rows.lowerBound, to: rows.upperBound, by: height) {
                let count = min(height, rows.upperBound - start)
                packed.products(vectors.row(start), count: count, into: products.baseAddress!, stride: packed.count)
                svk_gains(
                    products.baseAddress!, packed.count, count, packed.count, norms.base + start, columnNorms,
                    least.base + start, out)
            }
        }
    }

    func add(_ pick: Int, _ parallel: Parallel) {
        let products = Buffer<Int32>(vectors.count)
        parallel.pieces(of: vectors.count) { range in
            svk_current().pointee.dots(
                vectors.row(pick), vectors.row(range.lowerBound), nil, range.count, vectors.dimension,
                products.base + range.lowerBound)
            for row in range {
                least.base[row] = min(least.base[row], norms.base[row] + norms.base[pick] - 2 * products.base[row])
            }
        }
    }
}

/// A max-heap of rows by gain, ties to the lowest row.
private struct Heap {
    private var items: [(gain: Int64, row: Int)] = []

    init(_ gains: [Int64]) {
        // A sorted array is a heap.
        items = gains.enumerated().map { ($0.element, $0.offset) }
        items.sort { Self.before($0, $1) }
    }

    var top: (gain: Int64, row: Int)? { items.first }

    private static func before(_ a: (gain: Int64, row: Int), _ b: (gain: Int64, row: Int)) -> Bool {
        a.gain != b.gain ? a.gain > b.gain : a.row < b.row
    }

    mutating func push(_ gain: Int64, _ row: Int) {
        items.append((gain, row))
        var child = items.count - 1
        while child > 0, Self.before(items[child], items[(child - 1) / 2]) {
            items.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() {
        guard !items.isEmpty else { return }
        items.swapAt(0, items.count - 1)
        items.removeLast()
        var parent = 0
        while true {
            var first = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < items.count {
                if Self.before(items[child], items[first]) { first = child }
            }
            if first == parent { return }
            items.swapAt(parent, first)
            parent = first
        }
    }
}
