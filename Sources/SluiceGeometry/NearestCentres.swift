import CVectorKernels
import SluiceCore

/// For each row: the squared distance to the nearest of a growing set of centres, and that centre's number (ties to the
/// earliest). Centres come in batches; a row is visited once per batch.
///
/// The triangle inequality saves work: a new centre `p` with `|p - c|² >= 4 |x - c|²`, where `c` is the nearest centre
/// of `x`, can't be nearer to `x` than `c` is. Both sides are integers, so rounding can't skip a row wrongly.
final class NearestCentres {
    let dimension: Int
    /// |x - c|² to the nearest centre; Int32.max before the first.
    let least: Buffer<Int32>
    /// The number of the nearest centre.
    let owner: Buffer<Int32>
    private let norms: Buffer<Int32>

    /// All centres, in order: every row has seen `centres[0..<folded]`; the rest form the next batch.
    private(set) var centres: [Int8] = []
    private(set) var centreNorms: [Int32] = []
    private(set) var folded = 0

    private var packed: Packed?
    /// For each centre seen: the least squared distance to a centre of the batch.
    private var reach: [Int32] = [0]

    init(rows: Int, dimension: Int) {
        self.dimension = dimension
        least = Buffer(rows, repeating: .max)
        owner = Buffer(rows)
        norms = Buffer(rows)
    }

    var centreCount: Int { centreNorms.count }
    var pending: Int { centreCount - folded }

    /// Adds a centre to the batch.
    func add(_ vector: UnsafePointer<Int8>) {
        centres.append(contentsOf: UnsafeBufferPointer(start: vector, count: dimension))
        var norm: Int32 = 0
        svk_current().pointee.norms(vector, 1, dimension, &norm)
        centreNorms.append(norm)
    }

    func norm(ofPending index: Int) -> Int32 { centreNorms[folded + index] }

    func withPending(_ index: Int, _ body: (UnsafePointer<Int8>) -> Void) {
        centres.withUnsafeBufferPointer { body($0.baseAddress! + (folded + index) * dimension) }
    }

    /// The least squared distance of a vector to the centres of the batch.
    func leastToPending(_ vector: UnsafePointer<Int8>, norm: Int32, scratch: UnsafeMutablePointer<Int32>) -> Int32 {
        var result = Int32.max
        let count = pending
        centres.withUnsafeBufferPointer {
            guard let base = $0.baseAddress else { return }
            svk_current().pointee.dots(vector, base + folded * dimension, nil, count, dimension, scratch)
        }
        for i in 0..<count { result = min(result, norm + centreNorms[folded + i] - 2 * scratch[i]) }
        return result
    }

    /// Prepares the batch; call it once before showing rows.
    func begin(_ parallel: Parallel) {
        let packed = centres.withUnsafeBufferPointer { all in
            centreNorms.withUnsafeBufferPointer {
                Packed(
                    all.baseAddress! + folded * dimension, count: pending, dimension: dimension,
                    norms: $0.baseAddress! + folded)
            }
        }
        self.packed = packed
        if folded > 0 {
            let (count, dimension) = (folded, dimension)
            let values = Buffer<Int32>(count)
            let indices = Buffer<UInt32>(count)
            centres.withUnsafeBufferPointer { all in
                let from = UncheckedPointer(all.baseAddress!)
                parallel.pieces(of: count, size: 256) { range in
                    packed.nearest(
                        from.base + range.lowerBound * dimension, count: range.count,
                        index: indices.base + range.lowerBound, value: values.base + range.lowerBound)
                }
            }
            reach = (0..<count).map { values[$0] + centreNorms[$0] }
        }
    }

    /// Shows the batch to `rows`, whose vectors start at `vectors`. The first batch also computes the norms.
    func fold(_ rows: Range<Int>, _ vectors: UnsafePointer<Int8>, _ parallel: Parallel) {
        guard let packed else { return }
        let vectors = UncheckedPointer(vectors)
        let first = folded == 0
        let base = Int32(folded)
        let (dimension, norms, least, owner) = (dimension, norms, least, owner)
        reach.withUnsafeBufferPointer { reach in
            let reach = UncheckedPointer(reach.baseAddress!)
            parallel.pieces(of: rows.count) { range in
                withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 3 * range.count) { scratch in
                    let select = scratch.baseAddress!
                    let index = select + range.count
                    let value = UnsafeMutableRawPointer(index + range.count).assumingMemoryBound(to: Int32.self)
                    let from = vectors.base + range.lowerBound * dimension
                    let start = rows.lowerBound + range.lowerBound
                    if first {
                        packed.kernels.pointee.norms(from, range.count, dimension, norms.base + start)
                        packed.nearest(from, count: range.count, index: index, value: value)
                        svk_fold_least(
                            nil, range.count, index, value, norms.base + start, least.base + start, owner.base + start,
                            base)
                    } else {
                        let open = svk_unsettled(
                            least.base + start, owner.base + start, range.count, reach.base, 0, select)
                        packed.nearest(from, select: select, count: open, index: index, value: value)
                        svk_fold_least(
                            select, open, index, value, norms.base + start, least.base + start, owner.base + start, base
                        )
                    }
                }
            }
        }
    }

    /// Ends the batch, after every row has seen it.
    func end() {
        folded = centreCount
        packed = nil
    }

    /// The weighted sum of the squared distances to the nearest centres. At most 2^62, since n and every squared
    /// distance are below 2^31.
    func potential(weights: Buffer<Int32>? = nil, _ parallel: Parallel) -> UInt64 {
        let sums = pieceSums(weights: weights, parallel)
        return (0..<sums.count).reduce(0) { $0 + sums[$1] }
    }

    /// The same for each piece of `pieceRows` rows.
    func pieceSums(weights: Buffer<Int32>? = nil, _ parallel: Parallel) -> Buffer<UInt64> {
        let sums = Buffer<UInt64>((least.count + pieceRows - 1) / pieceRows)
        let least = least
        parallel.pieces(of: least.count) { range in
            var sum: UInt64 = 0
            if let weights {
                for row in range { sum &+= UInt64(least.base[row]) &* UInt64(weights.base[row]) }
            } else {
                for row in range { sum &+= UInt64(UInt32(bitPattern: least.base[row])) }
            }
            sums[range.lowerBound / pieceRows] = sum
        }
        return sums
    }

    func norm(_ row: Int) -> Int32 { norms[row] }
}
