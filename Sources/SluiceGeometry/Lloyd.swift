import CVectorKernels
import SluiceCore

/// The state of Lloyd's iterations, with exact pruning.
///
/// Each row keeps a lower bound of its distance to all centroids but its own. Centroids that move by at most t reduce
/// it by at most t (triangle inequality, as in Hamerly's algorithm of 2010). A few centroids move much farther than the
/// rest, so every row is compared directly with the fastest ones, whose number is chosen again in every iteration. If
/// the bound, less the motion of the fastest of the others, still exceeds the distance to the row's own centroid, none
/// of the others can be as near. Only the remaining rows are compared with all centroids.
///
/// Bounds are integers in 1/256, rounded down; motions are rounded up; and a row is skipped only if the bound is
/// strictly greater. So labels, including ties, are those of the plain algorithm, bit for bit. The number of fast
/// centroids affects only the time.
///
/// @unchecked: each piece of parallel work writes only to its own rows or centroid.
final class Lloyd: @unchecked Sendable {
    let vectors: VectorView
    var centroids: [Int8] = []
    private let labels: Buffer<UInt32>
    private let distances: Buffer<Int32>
    private let norms: Buffer<Int32>
    /// For each row a lower bound of the distance to all centroids but its own, in 1/256; 0 gives no information.
    private let bounds: Buffer<Int32>
    /// The last motion of each centroid, in 1/256, rounded up. Empty before the first move.
    private var motions: [Int32] = []
    private(set) var inertia: UInt64 = 0
    private var distancesComputed = 0

    init(_ vectors: VectorView, _ parallel: Parallel) {
        self.vectors = vectors
        labels = Buffer(vectors.count, repeating: .max)
        distances = Buffer(vectors.count)
        bounds = Buffer(vectors.count)
        norms = vectors.normBuffer(parallel)
    }

    private var count: Int { centroids.count / vectors.dimension }

    /// Takes over the nearest centres that the start has found.
    func adopt(_ start: NearestCentres) {
        inertia = 0
        for row in 0..<vectors.count {
            labels[row] = UInt32(start.owner[row])
            distances[row] = start.least[row]
            inertia += UInt64(start.least[row])
        }
    }

    // MARK: Assignment

    /// Assigns every row to its nearest centroid. Returns the number of changed labels.
    @discardableResult
    func assign(_ parallel: Parallel) -> Int {
        let all = Columns(Array(0..<UInt32(count)), of: centroids, vectors.dimension)
        let (fast, slowest) = motions.isEmpty ? ([], Int32.max) : fastCentroids()
        let few = fast.isEmpty ? nil : Columns(fast, of: centroids, vectors.dimension)
        let pieces = (vectors.count + pieceRows - 1) / pieceRows
        let tallies = Buffer<Tally>(pieces)
        parallel.pieces(of: vectors.count) { range in
            tallies[range.lowerBound / pieceRows] = self.assign(range, all: all, fast: few, slowest: slowest)
        }
        inertia = 0
        var changes = 0
        for piece in 0..<pieces {
            inertia += tallies[piece].inertia
            changes += tallies[piece].changes
            distancesComputed += tallies[piece].distances
        }
        return changes
    }

    private struct Tally: BitwiseCopyable {
        var inertia: UInt64 = 0
        var changes = 0
        var distances = 0
    }

    /// Some centroids as columns, in the order of their numbers.
    private struct Columns: Sendable {
        let numbers: [UInt32]
        let packed: Packed

        init(_ numbers: [UInt32], of centroids: [Int8], _ dimension: Int) {
            var chosen = centroids
            if numbers.count * dimension < centroids.count {
                chosen = numbers.flatMap { centroids[Int($0) * dimension..<(Int($0) + 1) * dimension] }
            }
            self.numbers = numbers
            packed = chosen.withVectors(dimension: dimension) { view in
                let norms = view.normBuffer(.serial)
                return Packed(view.base, count: view.count, dimension: dimension, norms: norms.base)
            }
        }
    }

    /// The fast centroids, in the order of their numbers, and the largest motion of any other. Chosen by the cost for
    /// 8,192 rows at equal steps.
    private func fastCentroids() -> (numbers: [UInt32], slowest: Int32) {
        let order = motions.indices.sorted { (motions[$1], $0) < (motions[$0], $1) }
        // Whole panels of the kernels; fewer columns would cost hardly less.
        let panel = Int(SVK_PANEL)
        let choices = [0, panel / 2].filter { $0 < count } + Array(stride(from: panel, to: count, by: panel))
        let thresholds = choices.map { motions[order[$0]] }
        var spared = [Int](repeating: 0, count: choices.count + 1)
        let sample = min(vectors.count, 8192)
        for i in 0..<sample {
            let row = i * vectors.count / sample
            // Spared by the first choice whose threshold is below this, as thresholds fall.
            let room = bounds[row] - distance(squared: distances[row])
            var (low, high) = (0, choices.count)
            while low < high {
                let middle = (low + high) / 2
                if thresholds[middle] < room { high = middle } else { low = middle + 1 }
            }
            spared[low] += 1
        }
        var (best, bestCost, sparedRows) = (0, Int.max, 0)
        for (choice, columns) in choices.enumerated() {
            sparedRows += spared[choice]
            // A comparison with any columns costs a row an extra eighth of a panel.
            let cost =
                sparedRows * (columns > 0 ? columns + panel / 8 : 0) + (sample - sparedRows) * (count + panel / 8)
            if cost < bestCost { (best, bestCost) = (choice, cost) }
        }
        return (order[..<choices[best]].map { UInt32($0) }.sorted(), thresholds[best])
    }

    /// Divides the rows of a piece: those that the bound spares fill `select` from the front, the others from the end.
    ///
    /// - Returns: how many are spared; their bounds are lowered.
    private func divide(_ range: Range<Int>, slowest: Int32, into select: UnsafeMutablePointer<UInt32>) -> Int {
        let (distances, bounds) = (distances.base + range.lowerBound, bounds.base + range.lowerBound)
        var spared = 0
        var open = range.count
        for i in 0..<range.count {
            let room = Int64(bounds[i]) - Int64(slowest)
            if room > 0, room * room > Int64(distances[i]) << 16 {
                select[spared] = UInt32(i)
                spared += 1
            } else {
                open -= 1
                select[open] = UInt32(i)
            }
        }
        for place in 0..<spared { bounds[Int(select[place])] -= slowest }
        return spared
    }

    private func assign(_ range: Range<Int>, all: Columns, fast: Columns?, slowest: Int32) -> Tally {
        let start = range.lowerBound
        let (labels, distances) = (labels.base + start, distances.base + start)
        let (norms, bounds) = (UnsafePointer(norms.base + start), bounds.base + start)
        return withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 4 * range.count) { scratch in
            let select = scratch.baseAddress!
            let index = select + range.count
            let value = UnsafeMutableRawPointer(index + range.count).assumingMemoryBound(to: Int32.self)
            let second = value + range.count
            var tally = Tally()

            let spared = divide(range, slowest: slowest, into: select)
            if let fast {
                fast.packed.nearest(
                    vectors.row(start), select: select, count: spared, index: index, value: value, second: second)
                tally.distances += spared * fast.numbers.count
                fast.numbers.withUnsafeBufferPointer { numbers in
                    for place in 0..<spared {
                        let i = Int(select[place])
                        let number = numbers[Int(index[place])]
                        let found = value[place] &+ norms[i]
                        var other = second[place] == .max ? Int32.max : second[place] &+ norms[i]
                        if number != labels[i] {
                            if found < distances[i] || (found == distances[i] && number < labels[i]) {
                                other = min(other, distances[i])
                                labels[i] = number
                                distances[i] = found
                                tally.changes += 1
                            } else {
                                other = found
                            }
                        }
                        bounds[i] = min(bounds[i], distance(squared: other))
                    }
                }
            }

            let left = range.count - spared
            all.packed.nearest(
                vectors.row(start), select: select + spared, count: left, index: index, value: value, second: second)
            tally.distances += left * all.numbers.count
            for place in 0..<left {
                let i = Int(select[spared + place])
                if labels[i] != index[place] {
                    labels[i] = index[place]
                    tally.changes += 1
                }
                distances[i] = value[place] &+ norms[i]
                bounds[i] = distance(squared: second[place] == .max ? .max : second[place] &+ norms[i])
            }
            for i in 0..<range.count { tally.inertia &+= UInt64(UInt32(bitPattern: distances[i])) }
            return tally
        }
    }

    // MARK: Means

    /// Moves every centroid to the rounded mean of its rows. Distances to own centroids stay exact.
    func move(_ parallel: Parallel) {
        let (count, dimension) = (count, vectors.dimension)
        let (starts, order) = rowsByLabel()
        let sizes = (0..<count).map { starts[$0 + 1] - starts[$0] }
        let farthest = farthestRows(sizes.count { $0 == 0 })
        let before = centroids
        let vectors = vectors
        centroids.withUnsafeMutableBufferPointer { all in
            let all = Shared(all.baseAddress!)
            parallel(count) { cluster in
                let size = sizes[cluster]
                guard size > 0 else { return }
                let rows = order.base + starts[cluster]
                let to = all.base + cluster * dimension
                var moved = false
                withUnsafeTemporaryAllocation(of: Int64.self, capacity: dimension) { sum in
                    sum.initialize(repeating: 0)
                    svk_current().pointee.sums(vectors.base, rows, size, dimension, sum.baseAddress!)
                    for j in 0..<dimension {
                        let mean = Int8(truncatingIfNeeded: roundedQuotient(sum[j], Int64(size)))
                        if to[j] != mean { moved = true }
                        to[j] = mean
                    }
                }
                if moved { self.measure(rows, size, from: to) }
            }
        }
        var reseeded = farthest[...]
        for cluster in 0..<count where sizes[cluster] == 0 {
            guard let row = reseeded.popFirst() else { break }
            for j in 0..<dimension { centroids[cluster * dimension + j] = vectors.row(row)[j] }
        }
        motions = (0..<count).map { cluster in
            let components = cluster * dimension..<(cluster + 1) * dimension
            let squared = zip(before[components], centroids[components]).reduce(Int64(0)) {
                let step = Int64($1.0) - Int64($1.1)
                return $0 + step * step
            }
            return squared == 0 ? 0 : distance(squared: Int32(squared)) + 1
        }
    }

    /// Computes the distances of some rows to their centroid.
    private func measure(_ rows: UnsafePointer<UInt32>, _ count: Int, from centroid: UnsafePointer<Int8>) {
        var norm: Int32 = 0
        svk_current().pointee.norms(centroid, 1, vectors.dimension, &norm)
        let (norms, distances) = (norms.base, distances.base)
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: min(count, pieceRows)) { products in
            for start in stride(from: 0, to: count, by: pieceRows) {
                let size = min(pieceRows, count - start)
                svk_current().pointee.dots(
                    centroid, vectors.base, rows + start, size, vectors.dimension, products.baseAddress!)
                for i in 0..<size {
                    let row = Int(rows[start + i])
                    distances[row] = norms[row] &+ norm &- 2 &* products[i]
                }
            }
        }
    }

    /// Rows in label order, and the start of each label.
    private func rowsByLabel() -> (starts: [Int], order: Buffer<UInt32>) {
        var starts = [Int](repeating: 0, count: count + 1)
        for row in 0..<vectors.count { starts[Int(labels.base[row]) + 1] += 1 }
        for cluster in 0..<count { starts[cluster + 1] += starts[cluster] }
        let order = Buffer<UInt32>(vectors.count)
        var next = starts
        next.withUnsafeMutableBufferPointer { next in
            for row in 0..<vectors.count {
                let label = Int(labels.base[row])
                order.base[next[label]] = UInt32(row)
                next[label] += 1
            }
        }
        return (starts, order)
    }

    /// The rows farthest from their centroids, farthest first, ties to the lowest; none with distance 0.
    private func farthestRows(_ wanted: Int) -> [Int] {
        guard wanted > 0 else { return [] }
        var keys = (0..<vectors.count).map { ~farKey(distances[$0], $0) }
        let take = min(wanted, keys.count)
        keys.withUnsafeMutableBufferPointer { partition($0.baseAddress!, count: $0.count, smallest: take) }
        return keys[..<take].sorted().filter { keyValue(~$0) > 0 }.map { keyRow(~$0) }
    }

    func result(iterations: Int, converged: Bool) -> Clustering {
        var sizes = [Int](repeating: 0, count: count)
        for row in 0..<vectors.count { sizes[Int(labels[row])] += 1 }
        let scale = Quantizer(dimension: vectors.dimension).scale
        return Clustering(
            dimension: vectors.dimension, centroids: centroids, labels: labels.array, sizes: sizes,
            squaredDistances: distances.array, squaredInertia: inertia, inertia: Double(inertia) / (scale * scale),
            iterations: iterations, converged: converged, distancesComputed: distancesComputed)
    }
}

/// The root of a squared distance in 1/256, rounded down. Exact: below 2^47, a root that is not an integer differs from
/// one by more than Double's rounding.
@inline(__always)
private func distance(squared: Int32) -> Int32 { Int32((Double(squared) * 65_536).squareRoot()) }

/// `a / n` rounded half to even, exactly.
@inline(__always)
func roundedQuotient(_ a: Int64, _ n: Int64) -> Int64 {
    var (quotient, rest) = a.quotientAndRemainder(dividingBy: n)
    if rest < 0 {
        quotient -= 1
        rest += n
    }
    let twice = 2 * rest
    return twice > n || (twice == n && quotient & 1 == 1) ? quotient + 1 : quotient
}
