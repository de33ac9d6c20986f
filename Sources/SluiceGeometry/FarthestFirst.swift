import CVectorKernels
public import SluiceCore

/// The result of farthest-first traversal.
public struct FarthestFirstSelection: Sendable {
    /// The chosen rows in pick order, each once. The first j are the choice for a budget of j.
    public var picks: [Int]
    /// For each pick its squared distance to the nearest earlier centre; Int32.max if there was none.
    public var distances: [Int32]
    /// For each row its nearest centre, ties to the earliest: the number of a pick, or -1 - j for vector j of
    /// `already`. Empty if there is no centre.
    public var nearest: [Int32]
    /// For each row the squared distance to that centre.
    public var squaredDistances: [Int32]
    /// The squared distance of the next pick; nil if every row is picked or there is no centre.
    public var nextDistance: Int32?
    /// How well the centres cover the rows; nil if there are no rows or no centres.
    public var certificate: Certificate?
}

/// Greedy k-center (Gonzalez, «Clustering to minimize the maximum intercluster distance», 1985): repeatedly picks the
/// row farthest from all centres so far, ties to the lowest row. Its radius is at most twice the least possible.
///
/// **Passes.** Rows are shown in passes, in chunks of any size and order, each row once per pass, so they may be in
/// memory or read again from disk. A pass updates every row with the centres found since the last one and keeps the
/// farthest rows as candidates. Then `finishPass` picks among these as long as the pick is certain to be the farthest
/// of *all* rows: distances only shrink, so no other row can overtake a candidate that still exceeds their last
/// distances. The result is that of the plain algorithm for any chunks, number of candidates and threads; many picks
/// share one pass.
///
/// **Trim.** With `trim: z` every pick skips the `z` farthest rows, often noise, and takes the next one (all but the
/// last if fewer are left). It is the practical form of k-center with outliers (Charikar et al., 2001).
///
/// **Cost.** At most n·k·d multiply-adds (the triangle inequality saves some rows) and between a few and k passes over
/// the vectors. Memory: 12 bytes per row, plus `candidates`·2·d and k·d bytes.
public final class FarthestFirst {
    public let rows: Int
    public let dimension: Int
    public let budget: Int
    public let trim: Int

    private let state: NearestCentres
    private let candidates: Candidates
    private let alreadyCount: Int
    private var picked: [Bool]
    private var picks: [Int] = []
    private var distances: [Int32] = []
    private var nextDistance: Int32?
    private var finished = false
    private var begun = false
    private var seen = 0
    /// The number of passes over the vectors so far.
    public private(set) var passes = 0

    /// - Parameters:
    ///   - rows: the number of rows; a larger `budget` means all of them.
    ///   - first: the first pick and its vector; nil starts with the row farthest from `already`. Required for a
    ///     `budget` above 0 without `already`.
    ///   - already: vectors that are centres from the start (chosen earlier) and do not count towards the budget.
    ///   - candidates: how many of the farthest rows are kept between passes; nil chooses about a mebibyte. Does not
    ///     affect the result.
    public init(
        rows: Int, dimension: Int, budget: Int, first: (row: Int, vector: UnsafePointer<Int8>)?,
        already: VectorView? = nil, trim: Int = 0, candidates: Int? = nil
    ) {
        precondition(0...Int(Int32.max) ~= rows && budget >= 0 && trim >= 0)
        precondition(already == nil || already!.dimension == dimension, "the earlier vectors have another dimension")
        self.rows = rows
        self.dimension = dimension
        self.budget = min(budget, rows)
        self.trim = trim
        alreadyCount = already?.count ?? 0
        state = NearestCentres(rows: rows, dimension: dimension)
        let room = candidates ?? max(256, min(4096, (1 << 20) / dimension))
        self.candidates = Candidates(capacity: min(max(1, rows), max(1, room) + min(trim, rows)), dimension: dimension)
        picked = Array(repeating: false, count: rows)
        if let already {
            for j in 0..<already.count { state.add(already.row(j)) }
        }
        if let first, self.budget > 0 {
            precondition(0..<rows ~= first.row, "the first pick \(first.row) is not in 0..<\(rows)")
            var distance = Int32.max
            if alreadyCount > 0 {
                var norm: Int32 = 0
                svk_current().pointee.norms(first.vector, 1, dimension, &norm)
                let scratch = Buffer<Int32>(alreadyCount)
                distance = state.leastToPending(first.vector, norm: norm, scratch: scratch.base)
            }
            pick(first.row, vector: first.vector, distance: distance)
        }
        precondition(
            state.centreCount > 0 || self.budget == 0,
            "farthest-first needs a first pick or earlier vectors to start from")
        if state.centreCount == 0 || rows == 0 { finished = true }
    }

    /// Whether the vectors must be shown (again).
    public var needsPass: Bool { !finished }

    /// Shows the vectors of a range of rows. Chunks may have any size and order; each row comes once per pass.
    public func update(rows range: Range<Int>, vectors: UnsafePointer<Int8>, parallel: Parallel = .serial) {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) are not in 0..<\(rows)")
        guard !finished else { return }
        if !begun {
            state.begin(parallel)
            candidates.removeAll()
            begun = true
            seen = 0
        }
        seen += range.count
        // Bounded to limit the number of offered keys.
        let block = 65_536
        var start = range.lowerBound
        while start < range.upperBound {
            let part = start..<min(range.upperBound, start + block)
            let from = vectors + (start - range.lowerBound) * dimension
            state.fold(part, from, parallel)
            offer(part, from, parallel)
            start = part.upperBound
        }
    }

    private func offer(_ part: Range<Int>, _ from: UnsafePointer<Int8>, _ parallel: Parallel) {
        let threshold = candidates.threshold
        let pieces = (part.count + pieceRows - 1) / pieceRows
        let counts = Buffer<Int>(pieces)
        let found = Buffer<UInt32>(part.count)
        let least = state.least
        parallel.pieces(of: part.count) { range in
            counts[range.lowerBound / pieceRows] = svk_at_least(
                least.base + part.lowerBound + range.lowerBound, range.count, threshold, found.base + range.lowerBound)
        }
        var keys: [UInt64] = []
        for piece in 0..<pieces {
            let start = piece * pieceRows
            for t in 0..<counts[piece] {
                let row = part.lowerBound + start + Int(found[start + t])
                let value = least[row]
                if value == 0 && picked[row] { continue }
                keys.append(farKey(value, row))
            }
        }
        candidates.offer(&keys, start: part.lowerBound, from: from)
    }

    /// Ends a pass in which every row was shown, and makes the picks that are certain.
    public func finishPass() {
        guard !finished else { return }
        precondition(seen == rows, "a pass showed \(seen) rows of \(rows)")
        begun = false
        passes += 1
        state.end()
        let left = rows - picks.count
        if picks.count == budget {
            if left > 0 { nextDistance = keyValue(candidates.keys[candidates.slot(rank: min(trim, left - 1))]) }
            finished = true
            return
        }
        // All other rows have keys below this.
        let floor = candidates.count < left ? candidates.floor : 0
        let scratch = Buffer<Int32>(candidates.count)
        let norms = Buffer<Int32>(candidates.count)
        svk_current().pointee.norms(candidates.base, candidates.count, dimension, norms.base)
        while picks.count < budget {
            let rank = min(trim, rows - picks.count - 1)
            guard rank < candidates.count else { break }
            let slot = candidates.slot(rank: rank)
            let key = candidates.keys[slot]
            if key < floor { break }
            pick(keyRow(key), vector: candidates.vector(slot), distance: keyValue(key))
            candidates.remove(slot)
            norms[slot] = norms[candidates.count]
            let centre = state.pending - 1
            state.withPending(centre) {
                svk_current().pointee.dots($0, candidates.base, nil, candidates.count, dimension, scratch.base)
            }
            let norm = state.norm(ofPending: centre)
            for slot in 0..<candidates.count {
                candidates.shrink(slot, to: norms[slot] + norm - 2 * scratch[slot])
            }
        }
    }

    private func pick(_ row: Int, vector: UnsafePointer<Int8>, distance: Int32) {
        picks.append(row)
        distances.append(distance)
        picked[row] = true
        state.add(vector)
    }

    /// The result, once `needsPass` is false.
    public func selection(parallel: Parallel = .serial) -> FarthestFirstSelection {
        precondition(finished, "farthest-first needs another pass")
        guard state.centreCount > 0 else {
            return FarthestFirstSelection(
                picks: [], distances: [], nearest: [], squaredDistances: [], nextDistance: nil, certificate: nil)
        }
        let already = Int32(alreadyCount)
        var nearest = state.owner.array
        for i in nearest.indices { nearest[i] = nearest[i] < already ? -1 - nearest[i] : nearest[i] - already }
        let squared = state.least.array
        // k picks and the farthest row are pairwise at least this far apart.
        let farthest = squared.max() ?? 0
        let apart = picks.count == rows ? 0 : min(farthest, distances.last ?? .max)
        return FarthestFirstSelection(
            picks: picks, distances: distances, nearest: nearest, squaredDistances: squared, nextDistance: nextDistance,
            certificate: Certificate(
                squaredDistances: squared, separation: apart, trim: trim, quantizer: Quantizer(dimension: dimension),
                parallel: parallel))
    }

    /// Farthest-first over vectors in memory.
    ///
    /// - Parameter first: the first pick; nil picks the row farthest from `already`.
    public static func select(
        _ vectors: VectorView, count: Int, first: Int?, already: VectorView? = nil, trim: Int = 0,
        candidates: Int? = nil, parallel: Parallel = .serial
    ) -> FarthestFirstSelection {
        let run = FarthestFirst(
            rows: vectors.count, dimension: vectors.dimension, budget: count,
            first: first.map { ($0, vectors.base + $0 * vectors.dimension) }, already: already, trim: trim,
            candidates: candidates)
        while run.needsPass {
            run.update(rows: 0..<vectors.count, vectors: vectors.base, parallel: parallel)
            run.finishPass()
        }
        return run.selection(parallel: parallel)
    }
}
