import CVectorKernels
public import SluiceCore

/// Local search for k-center: swaps a centre for another row as long as that lowers the radius.
///
/// Each step takes the row farthest from all centres, tries some of the rows that are nearer to it than its centre is, each in
/// place of the centre that is missed least, and makes the swap that leaves the least radius (ties to the row, then the
/// centre, of the lowest number). It ends when none of them lowers the radius. The radius never rises, so a certificate of
/// the picks before holds for those after, too.
///
/// **Cost.** Before the first step n·k·d multiply-adds for the nearest two centres of every row; then 24·n·d for each step, and a few
/// n·d for each swap. Memory: 48 bytes per row. Exact in integers: the same for any number of threads.
public struct RadiusSwaps: Sendable {
    /// The centres, each swapped one in the place of the one that it replaced.
    public private(set) var picks: [Int]
    /// The number of swaps made.
    public private(set) var swaps = 0
    /// For each row its nearest centre: the number of a pick, or -1 - j for vector j of `already`; ties to the lowest pick,
    /// and to picks.
    public private(set) var nearest: [Int32]
    /// For each row the squared distance to that centre.
    public private(set) var squaredDistances: [Int32]

    private let vectors: VectorView
    private let norms: Buffer<Int32>
    /// For each row the squared distance to the second nearest centre; Int32.max without one.
    private var seconds: [Int32]
    private let already: VectorView?

    /// How many rows are tried in a step.
    static let tries = 24

    /// - Parameters:
    ///   - picks: rows, each once.
    ///   - already: centres that stay.
    public init(_ vectors: VectorView, picks: [Int], already: VectorView? = nil, parallel: Parallel = .serial) {
        self.vectors = vectors
        self.picks = picks
        self.already = already
        norms = vectors.normBuffer(parallel)
        nearest = [Int32](repeating: 0, count: vectors.count)
        squaredDistances = nearest
        seconds = nearest
        assign(nil, parallel)
    }

    /// Makes up to `most` swaps.
    public mutating func search(most: Int, parallel: Parallel = .serial, isStopped: () -> Bool = { false }) {
        while swaps < most, !isStopped(), let swap = bestSwap(parallel) {
            make(swap, parallel)
            swaps += 1
        }
    }

    // MARK: A step

    private struct Swap {
        let row: Int
        /// The number of the pick that goes.
        let pick: Int
        let radius: Int32
    }

    private func bestSwap(_ parallel: Parallel) -> Swap? {
        guard let radius = squaredDistances.max(), radius > 0, let far = squaredDistances.firstIndex(of: radius) else {
            return nil
        }
        let toFar = distances(to: far, parallel)
        let near = (0..<vectors.count).filter { toFar[$0] < radius }.sorted { (toFar[$0], $0) < (toFar[$1], $1) }
        // Spread over all distances: a row halfway to others serves more of them than the far row itself.
        let count = min(Self.tries, near.count)
        var best: Swap?
        for place in 0..<count {
            let row = near[count == 1 ? 0 : place * (near.count - 1) / (count - 1)]
            guard let swap = swap(for: row, parallel), swap.radius < (best?.radius ?? radius) else { continue }
            best = swap
        }
        return best
    }

    /// The best swap for a row: in place of the pick without which the radius is least.
    private func swap(for row: Int, _ parallel: Parallel) -> Swap? {
        let own = distances(to: row, parallel)
        // For each pick the largest distance of its rows with the new centre, and without the pick.
        var with = [Int32](repeating: 0, count: picks.count)
        var without = with
        var others: Int32 = 0
        for y in 0..<vectors.count {
            let pick = Int(nearest[y])
            if own[y] < squaredDistances[y] || pick < 0 {
                others = max(others, min(own[y], squaredDistances[y]))
            } else {
                with[pick] = max(with[pick], squaredDistances[y])
                without[pick] = max(without[pick], min(seconds[y], own[y]))
            }
        }
        // The two largest, so that a pick's own rows can be left out.
        var (first, second, owner) = (others, Int32(0), -1)
        for (pick, value) in with.enumerated() {
            if value > first { (second, first, owner) = (first, value, pick) } else { second = max(second, value) }
        }
        var best: Swap?
        for pick in picks.indices where picks[pick] != row {
            let radius = max(without[pick], pick == owner ? second : first)
            if radius < best?.radius ?? .max { best = Swap(row: row, pick: pick, radius: radius) }
        }
        return best
    }

    // MARK: Distances

    private func distances(to row: Int, _ parallel: Parallel) -> [Int32] {
        let products = Buffer<Int32>(vectors.count)
        parallel.pieces(of: vectors.count) { range in
            svk_current().pointee.dots(
                vectors.row(row), vectors.row(range.lowerBound), nil, range.count, vectors.dimension,
                products.base + range.lowerBound)
            for y in range { products.base[y] = norms.base[y] + norms.base[row] - 2 * products.base[y] }
        }
        return products.array
    }

    /// The nearest two centres of some rows.
    ///
    /// - Parameter rows: nil for all.
    private mutating func assign(_ rows: [Int]?, _ parallel: Parallel) {
        let (packed, vectors) = (packedCentres(), vectors)
        let count = rows?.count ?? vectors.count
        let select = rows.map { rows in
            let buffer = Buffer<UInt32>(max(1, rows.count))
            for (place, row) in rows.enumerated() { buffer[place] = UInt32(row) }
            return buffer
        }
        let index = Buffer<UInt32>(max(1, count))
        let (least, second) = (Buffer<Int32>(max(1, count)), Buffer<Int32>(max(1, count)))
        parallel.pieces(of: count) { range in
            let start = range.lowerBound
            packed.nearest(
                select == nil ? vectors.row(start) : vectors.base,
                select: select.map { UnsafePointer($0.base + start) },
                count: range.count, index: index.base + start, value: least.base + start, second: second.base + start)
        }
        for place in 0..<count {
            let row = rows?[place] ?? place
            let centre = Int(index[place])
            nearest[row] = Int32(centre < picks.count ? centre : picks.count - 1 - centre)
            squaredDistances[row] = least[place] + norms[row]
            seconds[row] = second[place] == .max ? .max : second[place] + norms[row]
        }
    }

    private func packedCentres() -> Packed {
        let d = vectors.dimension
        let fixed = already?.count ?? 0
        let centres = Buffer<Int8>((picks.count + fixed) * d)
        let centreNorms = Buffer<Int32>(picks.count + fixed)
        for (number, row) in picks.enumerated() {
            (centres.base + number * d).update(from: vectors.row(row), count: d)
            centreNorms[number] = norms[row]
        }
        if let already {
            (centres.base + picks.count * d).update(from: already.base, count: fixed * d)
            svk_current().pointee.norms(already.base, fixed, d, centreNorms.base + picks.count)
        }
        return Packed(centres.base, count: picks.count + fixed, dimension: d, norms: centreNorms.base)
    }

    /// Makes a swap. Rows of which the old centre was one of the nearest two are assigned anew, others only look at the new
    /// one.
    private mutating func make(_ swap: Swap, _ parallel: Parallel) {
        let old = distances(to: picks[swap.pick], parallel)
        let new = distances(to: swap.row, parallel)
        picks[swap.pick] = swap.row
        let number = Int32(swap.pick)
        var lost: [Int] = []
        for y in 0..<vectors.count {
            if nearest[y] == number || old[y] <= seconds[y] {
                lost.append(y)
            } else if new[y] < squaredDistances[y]
                || new[y] == squaredDistances[y] && (nearest[y] < 0 || number < nearest[y])
            {
                (nearest[y], seconds[y], squaredDistances[y]) = (number, squaredDistances[y], new[y])
            } else {
                seconds[y] = min(seconds[y], new[y])
            }
        }
        assign(lost, parallel)
    }
}
