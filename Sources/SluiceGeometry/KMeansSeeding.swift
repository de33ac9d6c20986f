import CVectorKernels
public import SluiceCore

extension KMeans {
    /// The rows that k-means++ starts from: the first uniform, each next one drawn with probability exactly
    /// proportional to its squared distance to the nearest one so far. Of `trials` such draws, the one is taken that
    /// most reduces the sum of squared distances over a sample of 8,192 rows at equal steps (greedy k-means++, judged
    /// on a sample), ties to the first drawn. If every row coincides with a start, the lowest remaining rows follow.
    public func seeds(_ vectors: VectorView, parallel: Parallel = .serial) -> [Int] {
        guard vectors.count > 0 else { return [] }
        var generator = seed.generator()
        return Self.start(vectors, count: clusters, trials: trials, generator: &generator, parallel: parallel).rows
    }

    /// k-means++ in few passes, with exactly its distribution. A draw uses the distances of the last pass, which are
    /// upper bounds by now, and is accepted with the probability that the row's true distance has relative to them,
    /// which requires only that row's distance to the centres since the last pass. The generator gives integers under
    /// integer bounds, so nothing is rounded. The next pass comes after a quarter more centres (at least 32) or as many
    /// rejections: a rule of the data alone. All k starts cost about one Lloyd iteration; choosing among the draws
    /// costs up to 8,192 · 64 · k products.
    ///
    /// - Parameters:
    ///   - weights: the weight of each row. A draw is then proportional to the squared distance times the weight, the
    ///     first one to the weight alone. Their sum is above 0 and below 2^31.
    ///   - pool: the rows by which draws are judged; nil for `vectors` themselves.
    static func start(
        _ vectors: VectorView, weights: Buffer<Int32>? = nil, judgedBy pool: VectorView? = nil, count clusters: Int,
        trials: Int? = nil, generator: inout SplitMix64, parallel: Parallel
    ) -> (rows: [Int], centres: NearestCentres) {
        let count = min(clusters, vectors.count)
        let state = NearestCentres(rows: vectors.count, dimension: vectors.dimension)
        let pieces = (vectors.count + pieceRows - 1) / pieceRows
        var sums = Buffer<UInt64>(pieces)
        var rows: [Int] = []

        let judge = Judge(pool ?? vectors)
        let trials = trials ?? 2 + (Int.bitWidth - 1 - count.leadingZeroBitCount)
        func choose(_ row: Int) {
            rows.append(row)
            state.add(vectors.row(row))
            judge.add(vectors.row(row), parallel)
        }
        func weight(_ row: Int) -> UInt64 { weights.map { UInt64($0[row]) } ?? 1 }
        func pass() {
            if state.pending > 0 { sums = Self.pass(state, vectors, weights, parallel) }
        }

        choose(drawFirst(of: vectors.count, weights, &generator))
        let scratch = Buffer<Int32>(count + 32)
        while rows.count < count {
            pass()
            let draws = PieceDraws(sums, pieces)
            if draws.total == 0 {
                // Every row coincides with a start.
                let taken = Set(rows)
                for row in 0..<vectors.count where rows.count < count && !taken.contains(row) { choose(row) }
                break
            }
            let batch = max(32, rows.count / 4)
            var refusals = 0
            var drawn: [Int] = []
            while rows.count < count, state.pending < batch, refusals < trials * batch {
                let place = draws.piece(of: generator.next(below: draws.total))
                var (row, rest) = (place.piece * pieceRows, place.rest)
                while rest >= UInt64(state.least[row]) * weight(row) {
                    rest -= UInt64(state.least[row]) * weight(row)
                    row += 1
                }
                let distance = state.leastToPending(vectors.row(row), norm: state.norm(row), scratch: scratch.base)
                guard rest < UInt64(min(distance, state.least[row])) * weight(row) else {
                    refusals += 1
                    continue
                }
                drawn.append(row)
                if drawn.count == trials {
                    choose(judge.best(of: drawn, in: vectors, parallel))
                    drawn.removeAll(keepingCapacity: true)
                }
            }
        }
        pass()
        return (rows, state)
    }

    /// Takes the pending centres into the distances of all rows.
    ///
    /// - Returns: the sum of each piece of rows.
    private static func pass(
        _ state: NearestCentres, _ vectors: VectorView, _ weights: Buffer<Int32>?, _ parallel: Parallel
    ) -> Buffer<UInt64> {
        state.begin(parallel)
        state.fold(0..<vectors.count, vectors.base, parallel)
        state.end()
        return state.pieceSums(weights: weights, parallel)
    }

    /// A row drawn by its weight alone.
    private static func drawFirst(
        of count: Int, _ weights: Buffer<Int32>?, _ generator: inout SplitMix64
    ) -> Int {
        guard let weights else { return Int(generator.next(below: UInt64(count))) }
        var place = generator.next(below: (0..<weights.count).reduce(0) { $0 + UInt64(weights[$1]) })
        var row = 0
        while place >= UInt64(weights[row]) {
            place -= UInt64(weights[row])
            row += 1
        }
        return row
    }
}

/// Draws a piece of rows by its sum.
private struct PieceDraws {
    /// The sums up to the end of each piece.
    private var ends: [UInt64] = []
    private(set) var total: UInt64 = 0

    init(_ sums: Buffer<UInt64>, _ pieces: Int) {
        for piece in 0..<pieces {
            total += sums[piece]
            ends.append(total)
        }
    }

    /// The piece in which a number below `total` lies, and how far in it.
    func piece(of number: UInt64) -> (piece: Int, rest: UInt64) {
        var (low, high) = (0, ends.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if ends[middle] > number { high = middle } else { low = middle + 1 }
        }
        return (low, low > 0 ? number - ends[low - 1] : number)
    }
}

extension KMeans {
    /// The initial centroids of k-means||, min(clusters, rows) of them.
    func parallelStart(_ vectors: VectorView, factor: Double, rounds: Int, _ parallel: Parallel) -> [Int8] {
        let candidates = KMeansCandidates(
            vectors, factor: max(1, Int((factor * Double(clusters)).rounded())), rounds: rounds, distinct: clusters,
            seed: seed, parallel: parallel)
        var rows = candidates.rows
        if rows.count < clusters {
            // Every row equals a candidate: add the lowest remaining rows.
            let taken = Set(rows)
            rows += (0..<vectors.count).lazy.filter { !taken.contains($0) }.prefix(clusters - rows.count)
        }
        let (count, dimension) = (rows.count, vectors.dimension)
        let gathered = Buffer<Int8>(count * dimension)
        let weights = Buffer<Int32>(count)
        for (place, row) in rows.enumerated() {
            (gathered.base + place * dimension).update(from: vectors.row(row), count: dimension)
            weights[place] = place < candidates.weights.count ? Int32(candidates.weights[place]) : 0
        }
        var generator = seed.derived(for: "candidates").generator()
        return Self.start(
            VectorView(gathered.base, count: count, dimension: dimension), weights: weights, judgedBy: vectors,
            count: clusters, trials: trials, generator: &generator, parallel: parallel
        ).centres.centres
    }
}

/// Judges which of some rows is the best next centre, by a sample of rows at equal steps.
private final class Judge {
    private let sample: VectorView
    private let memory: Buffer<Int8>
    private let norms: Buffer<Int32>
    private let least: Buffer<Int32>

    init(_ vectors: VectorView) {
        let d = vectors.dimension
        let count = min(vectors.count, 8192)
        memory = Buffer(count * d)
        for i in 0..<count { (memory.base + i * d).update(from: vectors.row(i * vectors.count / count), count: d) }
        sample = VectorView(memory.base, count: count, dimension: d)
        norms = sample.normBuffer(.serial)
        least = Buffer(count, repeating: 1 << 30)
    }

    func add(_ centre: UnsafePointer<Int8>, _ parallel: Parallel) {
        let centre = UncheckedPointer(centre)
        let (sample, norms, least) = (sample, norms, least)
        var norm: Int32 = 0
        svk_current().pointee.norms(centre.base, 1, sample.dimension, &norm)
        let length = norm
        parallel.pieces(of: sample.count) { range in
            withUnsafeTemporaryAllocation(of: Int32.self, capacity: range.count) { products in
                svk_current().pointee.dots(
                    centre.base, sample.row(range.lowerBound), nil, range.count, sample.dimension, products.baseAddress!
                )
                for i in 0..<range.count {
                    let row = range.lowerBound + i
                    least.base[row] = min(least.base[row], norms.base[row] &+ length &- 2 &* products[i])
                }
            }
        }
    }

    /// The row with the largest gain, ties to the first.
    func best(of rows: [Int], in vectors: VectorView, _ parallel: Parallel) -> Int {
        let d = vectors.dimension
        let gathered = Buffer<Int8>(rows.count * d)
        for (t, row) in rows.enumerated() { (gathered.base + t * d).update(from: vectors.row(row), count: d) }
        let columnNorms = VectorView(gathered.base, count: rows.count, dimension: d).normBuffer(.serial)
        let packed = Packed(gathered.base, count: rows.count, dimension: d, norms: nil)
        let (width, sample, norms, least) = (rows.count, sample, norms, least)
        let parts = Buffer<Int64>((sample.count + pieceRows - 1) / pieceRows * width)
        parallel.pieces(of: sample.count) { range in
            withUnsafeTemporaryAllocation(of: Int32.self, capacity: range.count * width) { products in
                packed.products(
                    sample.row(range.lowerBound), count: range.count, into: products.baseAddress!, stride: width)
                svk_gains(
                    products.baseAddress!, width, range.count, width, norms.base + range.lowerBound, columnNorms.base,
                    least.base + range.lowerBound, parts.base + range.lowerBound / pieceRows * width)
            }
        }
        var best = 0
        var bestGain: Int64 = -1
        for t in rows.indices {
            var gain: Int64 = 0
            for piece in 0..<parts.count / width { gain += parts[piece * width + t] }
            if gain > bestGain { (best, bestGain) = (t, gain) }
        }
        return rows[best]
    }
}
