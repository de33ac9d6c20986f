import CVectorKernels
public import SluiceCore

/// A lower bound of the radius of any k centres among the rows, from rows that can't share one.
///
/// Centres are rows. The possible centres of a row within a radius r are the rows of its ball, those at a distance of at
/// most r. If more than k rows have balls without a common row, each needs a centre of its own, so no k centres cover all
/// rows within r. Greedy packing finds such rows among candidates, at 16 radii at once from r = R / 2 to just below R, the
/// radius that is certified; rows with few others near them come first. Any candidates give a valid bound; good ones are the
/// chosen centres and the rows farthest from them. With vectors chosen earlier, a row that has one within r needs no centre
/// and is not counted.
///
/// **Use.** Rows are shown in passes, in chunks of any size and order. First `sample` rows, which order the candidates;
/// then, as long as `needsPass`, the vectors of `candidates` are given to `begin`, and every row is shown.
///
/// **Exactness.** Radii are compared as integers, so the bound is the same for any chunks, threads and machine.
///
/// **Cost.** At most candidates · rows · d multiply-adds. Memory: `memory(rows:candidates:dimension:)`.
public final class DisjointBalls {
    public let rows: Int
    public let dimension: Int
    public let centres: Int
    /// The squared radius that is certified.
    public let squaredRadius: Int32

    /// One radius for each bit of a mask, the least first.
    private let levels: Levels
    private let earlier: Packed?
    private let earlierNorms: [Int32]
    private var order: [Int]
    private var next = 0
    private let block: Int
    /// For each row the radii at which it is in a ball that is counted.
    private let taken: Buffer<UInt16>
    /// For each candidate of the block and each row, the radii at which the row is in the candidate's ball.
    private let reach: Buffer<UInt16>
    private var current: Pass?
    private var counts = [Int](repeating: 0, count: Levels.count)

    /// The candidates that a pass is about.
    private struct Pass: Sendable {
        let vectors: Buffer<Int8>
        let norms: Buffer<Int32>
        let count: Int
        /// The radii at which a vector chosen earlier is in a candidate's ball.
        let blocked: [UInt16]
    }

    /// - Parameters:
    ///   - centres: the number of centres, k.
    ///   - squaredRadius: the radius of the chosen centres, squared; above 0.
    ///   - candidates: rows, each once.
    ///   - already: vectors chosen earlier, which need no row.
    public init(
        rows: Int, dimension: Int, centres: Int, squaredRadius: Int32, candidates: [Int], already: VectorView? = nil
    ) {
        (self.rows, self.dimension, self.centres, self.squaredRadius) = (rows, dimension, centres, squaredRadius)
        levels = Levels(squaredRadius)
        earlierNorms = already?.squaredNorms() ?? []
        earlier = already.flatMap {
            $0.count > 0 ? Packed($0.base, count: $0.count, dimension: dimension, norms: nil) : nil
        }
        order = candidates
        block = Self.block(rows: rows, candidates: candidates.count)
        taken = Buffer(rows)
        reach = Buffer(block * rows)
    }

    /// The candidates of a pass: as many as fit 8 MiB, or 32 bytes a row.
    private static func block(rows: Int, candidates: Int) -> Int {
        max(1, min(candidates, max(16, min(1024, (4 << 20) / max(1, rows)))))
    }

    /// Bytes, at most.
    public static func memory(rows: Int, candidates: Int, dimension: Int) -> Int {
        let block = block(rows: rows, candidates: candidates)
        // The vectors of a pass are held by the caller, too.
        return 2 * rows * (block + 1) + block * (2 * dimension + 8 + 4 * 256 * 2) + 24 * candidates
            + sampleRows * (2 * dimension + 8 + 4 * block)
    }

    /// Rows for `order(_:norms:)`, at most.
    public static let sampleRows = 512

    /// Orders the candidates: those with the fewest rows of a sample in their ball of a middle radius first, ties as given.
    ///
    /// - Parameter vectors: of the candidates, in batches of any size: called with a range of them.
    public func order<Failure>(
        sample: VectorView, _ vectors: (ArraySlice<Int>) throws(Failure) -> [Int8]
    ) throws(Failure) {
        let norms = sample.squaredNorms()
        let packed = Packed(sample.base, count: sample.count, dimension: dimension, norms: nil)
        var sizes: [Int] = []
        for start in stride(from: 0, to: order.count, by: block) {
            let batch = try vectors(order[start..<min(order.count, start + block)])
            batch.withVectors(dimension: dimension) { view in
                let own = view.squaredNorms()
                let products = Buffer<Int32>(view.count * sample.count)
                packed.products(view.base, count: view.count, into: products.base, stride: sample.count)
                for row in 0..<view.count {
                    let from = row * sample.count
                    sizes.append(
                        (0..<sample.count).count { own[row] + norms[$0] - 2 * products[from + $0] <= levels.middle })
                }
            }
        }
        order = order.indices.sorted { (sizes[$0], $0) < (sizes[$1], $1) }.map { order[$0] }
    }

    /// Whether candidates are left that may improve the bound.
    public var needsPass: Bool {
        let left = order.count - next
        guard left > 0, rows > centres else { return false }
        let proven = counts.lastIndex { $0 > centres } ?? -1
        return counts[(proven + 1)...].contains { $0 + left > centres }
    }

    /// The candidates of the next pass.
    public var candidates: [Int] { Array(order[next..<min(order.count, next + block)]) }

    /// Begins a pass.
    ///
    /// - Parameter vectors: of `candidates`.
    public func begin(_ vectors: VectorView) {
        let candidates = candidates
        precondition(vectors.count == candidates.count && vectors.dimension == dimension)
        next += candidates.count
        let norms = vectors.squaredNorms()
        var blocked = [UInt16](repeating: 0, count: candidates.count)
        if let earlier {
            let products = Buffer<Int32>(earlier.count)
            for row in candidates.indices {
                earlier.products(vectors.row(row), count: 1, into: products.base, stride: earlier.count)
                for other in 0..<earlier.count {
                    blocked[row] |= levels.mask(norms[row] + earlierNorms[other] - 2 * products[other])
                }
            }
        }
        let copy = Buffer<Int8>(vectors.count * dimension)
        copy.base.update(from: vectors.base, count: vectors.count * dimension)
        current = Pass(vectors: copy, norms: Buffer(norms), count: vectors.count, blocked: blocked)
    }

    /// Shows a range of rows.
    public func update(rows range: Range<Int>, vectors: VectorView, parallel: Parallel = .serial) {
        guard let current else { return }
        let (shift, reach, rows, dimension) = (levels.shift, reach, rows, dimension)
        let table = Buffer(levels.table)
        parallel.pieces(of: range.count, size: 256) { piece in
            let part = vectors[piece]
            let norms = part.normBuffer(.serial)
            let packed = Packed(part.base, count: part.count, dimension: dimension, norms: nil)
            let products = Buffer<Int32>(current.count * part.count)
            packed.products(current.vectors.base, count: current.count, into: products.base, stride: part.count)
            let first = range.lowerBound + piece.lowerBound
            for candidate in 0..<current.count {
                let out = reach.base + candidate * rows + first
                let from = products.base + candidate * part.count
                let norm = current.norms.base[candidate]
                for row in 0..<part.count {
                    let distance = norms.base[row] + norm - 2 * from[row]
                    out[row] = table.base[min(Int(distance >> shift), Levels.slots)]
                }
            }
        }
    }

    /// Ends a pass in which every row was shown: counts the candidates whose balls have no row of a counted one.
    public func finishPass() {
        guard let current else { return }
        for candidate in 0..<current.count {
            let (ball, taken, rows) = (reach.base + candidate * rows, taken.base, rows)
            var conflicts = current.blocked[candidate]
            for row in 0..<rows { conflicts |= ball[row] & taken[row] }
            let counted = ~conflicts
            guard counted != 0 else { continue }
            for level in 0..<Levels.count where counted >> UInt16(level) & 1 == 1 { counts[level] += 1 }
            for row in 0..<rows { taken[row] |= ball[row] & counted }
        }
        self.current = nil
    }

    /// A squared radius that no choice of `centres` rows can reach; nil if none was found.
    public var squaredBound: Int32? {
        counts.lastIndex { $0 > centres }.map { levels.squaredRadii[$0] }.flatMap { $0 < 0 ? nil : $0 }
    }
}

/// Sixteen radii below the certified one, as bits of a mask.
private struct Levels: Sendable {
    static let count = 16
    /// Squared distances are compared in this many steps up to the certified radius.
    static let slots = 4095
    /// The certified radius is this many times the radius of a level.
    private static let factors = [
        1.9, 1.7, 1.55, 1.43, 1.34, 1.27, 1.22, 1.18, 1.15, 1.12, 1.095, 1.075, 1.06, 1.045, 1.03, 1.015,
    ]

    /// The squared distance shifted by this is a slot.
    let shift: Int32
    /// For each level, the largest squared distance that it takes.
    let squaredRadii: [Int32]
    /// For each slot the levels that take it.
    let table: [UInt16]

    init(_ squaredRadius: Int32) {
        var shift: Int32 = 0
        while squaredRadius >> shift >= Int32(Self.slots) { shift += 1 }
        // A radius ends where a slot ends, so that slots decide exactly.
        let ends = Self.factors.map { factor in
            max(0, Int32(Double(squaredRadius) / (factor * factor)) >> shift)
        }
        squaredRadii = ends.map { ($0 << shift) - 1 }
        var table = [UInt16](repeating: 0, count: Self.slots + 1)
        for (level, end) in ends.enumerated() {
            for slot in 0..<Int(end) { table[slot] |= 1 << UInt16(level) }
        }
        self.shift = shift
        self.table = table
    }

    var middle: Int32 { squaredRadii[10] }

    @inline(__always)
    func mask(_ squaredDistance: Int32) -> UInt16 { table[min(Int(squaredDistance >> shift), Self.slots)] }
}
