import CVectorKernels
public import SluiceCore

/// Removes near-duplicates: in the given order, a row is dropped if an earlier *kept* row is within a limit.
///
/// The rule of DEITA (Liu et al., ICLR 2024), with chord distance in exact integers. The partner is the nearest kept
/// row, ties to the earliest. Two kept rows are always farther apart than the limit. Rows are added in order, in blocks
/// of any size; the result does not depend on the blocks. Cost: at most rows · kept · d multiply-adds. Memory: the kept
/// rows' vectors, twice.
///
/// Near vectors may belong to records that differ in what counts. With `confirm`, a row is dropped only for one that it
/// confirms: the nearest such, ties to the earliest. Cost: a row whose nearest one is refused is compared again with all.
public struct PairwiseFilter {
    public let dimension: Int
    /// Rows at this squared distance or less are near-duplicates.
    public let squaredLimit: Int32

    /// The outcome for a row.
    public struct Outcome: Sendable, Hashable {
        /// The position in the order of the kept row that this one lost to; nil if it was kept.
        public var partner: Int?
        /// The squared distance to the nearest earlier kept row; Int32.max if there was none. Exact if it was dropped.
        public var squaredDistance: Int32
        /// How many rows within the limit were refused: those nearer than the partner, or all if there is none.
        public var refused: Int

        public init(partner: Int?, squaredDistance: Int32, refused: Int = 0) {
            self.partner = partner
            self.squaredDistance = squaredDistance
            self.refused = refused
        }
    }

    /// Kept rows that are compared together.
    private struct Panel: Sendable {
        let packed: Packed
        /// Their positions in the order, and squared norms.
        let places: [Int]
        let norms: [Int32]
    }

    private var kept = 0
    /// Full panels of kept rows, and the remaining rows.
    private var panels: [Panel] = []
    private var open: [Int8] = []
    private var openPlaces: [Int] = []
    private var openNorms: [Int32] = []
    private var place = 0

    /// Rows per panel, and rows processed together.
    private let panelRows = 2048
    private let blockRows = 1024

    public init(dimension: Int, squaredLimit: Int32) {
        self.dimension = dimension
        self.squaredLimit = squaredLimit
    }

    /// The number of rows kept so far.
    public var keptCount: Int { kept }

    /// Adds the next rows in order.
    public mutating func add(_ vectors: VectorView, parallel: Parallel = .serial) -> [Outcome] {
        add(vectors, parallel: parallel) { _, _ in true }
    }

    /// Adds the next rows in order.
    ///
    /// - Parameter confirm: whether a row, by its position in the order, may be dropped for an earlier one that is within
    ///   the limit. Called by one thread, and for equal rows always with equal answers.
    public mutating func add<Failure>(
        _ vectors: VectorView, parallel: Parallel = .serial, confirm: (Int, Int) throws(Failure) -> Bool
    ) throws(Failure) -> [Outcome] {
        precondition(vectors.dimension == dimension, "vectors of dimension \(vectors.dimension), not \(dimension)")
        var outcomes: [Outcome] = []
        outcomes.reserveCapacity(vectors.count)
        for start in stride(from: 0, to: vectors.count, by: blockRows) {
            let block = vectors[start..<min(vectors.count, start + blockRows)]
            outcomes += try decide(block, parallel, confirm)
        }
        return outcomes
    }

    /// Filters the rows of a view in the order given by `order`.
    public static func run(
        _ vectors: VectorView, order: [Int]? = nil, squaredLimit: Int32, parallel: Parallel = .serial
    ) -> [Outcome] {
        var filter = PairwiseFilter(dimension: vectors.dimension, squaredLimit: squaredLimit)
        guard let order else { return filter.add(vectors, parallel: parallel) }
        var outcomes: [Outcome] = []
        for start in stride(from: 0, to: order.count, by: 4096) {
            let rows = order[start..<min(order.count, start + 4096)]
            let gathered = Buffer<Int8>(rows.count * vectors.dimension)
            for (t, row) in rows.enumerated() {
                (gathered.base + t * vectors.dimension).update(from: vectors.row(row), count: vectors.dimension)
            }
            outcomes += filter.add(
                VectorView(gathered.base, count: rows.count, dimension: vectors.dimension), parallel: parallel)
        }
        return outcomes
    }

    /// A block compared with the rows kept before it, and with itself.
    private struct Comparison {
        let norms: Buffer<Int32>
        /// For each row the least squared distance to a kept row, and that row's position in the order, or -1.
        let nearest: Buffer<Int32>
        let partner: Buffer<Int>
        /// For each row and panel, whether the panel has a row within the limit.
        let isNear: Buffer<Bool>
        /// The products of the block's rows with each other.
        let mutual: Buffer<Int32>
        let panels: [Panel]
    }

    private mutating func decide<Failure>(
        _ block: VectorView, _ parallel: Parallel, _ confirm: (Int, Int) throws(Failure) -> Bool
    ) throws(Failure) -> [Outcome] {
        let found = compare(block, parallel)
        let (norms, count) = (found.norms, block.count)
        // Compare the rows of the block among themselves, in order.
        var keptHere: [Int] = []
        var outcomes: [Outcome] = []
        for row in 0..<count {
            var (least, winner) = (found.nearest[row], found.partner[row])
            let products = found.mutual.base + row * count
            for other in keptHere {
                let distance = norms.base[row] + norms.base[other] - 2 * products[other]
                if distance < least {
                    least = distance
                    winner = place + other
                }
            }
            var outcome = Outcome(partner: nil, squaredDistance: least)
            if least <= squaredLimit && winner >= 0 {
                if try confirm(place + row, winner) {
                    outcome.partner = winner
                } else {
                    var near = NearRows(limit: squaredLimit)
                    for (number, panel) in found.panels.enumerated()
                    where found.isNear[row * found.panels.count + number] {
                        near.add(panel.packed, panel.places, panel.norms, block.row(row), norms[row])
                    }
                    for other in keptHere { near.add(norms[row] + norms[other] - 2 * products[other], place + other) }
                    outcome = try near.outcome(of: place + row, nearest: least, refused: winner, confirm)
                }
            }
            outcomes.append(outcome)
            if outcome.partner == nil { keptHere.append(row) }
        }
        for row in keptHere { keep(block.row(row), norm: norms[row], place: place + row) }
        place += count
        return outcomes
    }

    private func compare(_ block: VectorView, _ parallel: Parallel) -> Comparison {
        let count = block.count
        let all = openPlaces.isEmpty ? panels : panels + [openPanel]
        let found = Comparison(
            norms: block.normBuffer(.serial), nearest: Buffer(count, repeating: .max),
            partner: Buffer(count, repeating: -1), isNear: Buffer(count * all.count), mutual: Buffer(count * count),
            panels: all)
        let own = Packed(block.base, count: count, dimension: dimension, norms: nil)
        let limit = squaredLimit
        parallel.pieces(of: count, size: 256) { range in
            let height = range.count
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 2 * height) { scratch in
                let index = scratch.baseAddress!
                let value = UnsafeMutableRawPointer(index + height).assumingMemoryBound(to: Int32.self)
                for (number, panel) in all.enumerated() {
                    panel.packed.nearest(block.row(range.lowerBound), count: height, index: index, value: value)
                    for t in 0..<height {
                        let row = range.lowerBound + t
                        let distance = value[t] + found.norms[row]
                        found.isNear[row * all.count + number] = distance <= limit
                        if distance < found.nearest[row] {
                            found.nearest[row] = distance
                            found.partner[row] = panel.places[Int(index[t])]
                        }
                    }
                }
            }
            own.products(
                block.row(range.lowerBound), count: height, into: found.mutual.base + range.lowerBound * count,
                stride: count)
        }
        return found
    }

    private mutating func keep(_ vector: UnsafePointer<Int8>, norm: Int32, place: Int) {
        kept += 1
        open.append(contentsOf: UnsafeBufferPointer(start: vector, count: dimension))
        openPlaces.append(place)
        openNorms.append(norm)
        guard openPlaces.count == panelRows else { return }
        panels.append(openPanel)
        open.removeAll(keepingCapacity: true)
        openPlaces.removeAll(keepingCapacity: true)
        openNorms.removeAll(keepingCapacity: true)
    }

    /// The remaining rows as a panel.
    private var openPanel: Panel {
        let packed = open.withVectors(dimension: dimension) { view in
            let norms = view.normBuffer(.serial)
            return Packed(view.base, count: view.count, dimension: dimension, norms: norms.base)
        }
        return Panel(packed: packed, places: openPlaces, norms: openNorms)
    }
}
