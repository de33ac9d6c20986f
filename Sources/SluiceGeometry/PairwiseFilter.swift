import CVectorKernels
public import SluiceCore

/// Removes near-duplicates: in the given order, a row is dropped if an earlier *kept* row is within a limit.
///
/// The rule of DEITA (Liu et al., ICLR 2024), with chord distance in exact integers. The partner is the nearest kept
/// row, ties to the earliest. Two kept rows are always farther apart than the limit. Rows are added in order, in blocks
/// of any size; the result does not depend on the blocks. Cost: at most rows · kept · d multiply-adds. Memory: the kept
/// rows' vectors, twice.
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

        public init(partner: Int?, squaredDistance: Int32) {
            self.partner = partner
            self.squaredDistance = squaredDistance
        }
    }

    private var kept = 0
    /// Full panels of kept rows, and the remaining rows.
    private var panels: [Packed] = []
    private var panelPlaces: [[Int]] = []
    private var open: [Int8] = []
    private var openPlaces: [Int] = []
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
        precondition(vectors.dimension == dimension, "vectors of dimension \(vectors.dimension), not \(dimension)")
        var outcomes: [Outcome] = []
        outcomes.reserveCapacity(vectors.count)
        for start in stride(from: 0, to: vectors.count, by: blockRows) {
            let block = vectors[start..<min(vectors.count, start + blockRows)]
            outcomes += decide(block, parallel)
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

    private mutating func decide(_ block: VectorView, _ parallel: Parallel) -> [Outcome] {
        let count = block.count
        let norms = block.normBuffer(.serial)
        let nearest = Buffer<Int32>(count, repeating: .max)
        let partner = Buffer<Int>(count, repeating: -1)
        // Compare with all rows kept before the block.
        var all = panels
        var places = panelPlaces
        if !openPlaces.isEmpty {
            all.append(pack(open))
            places.append(openPlaces)
        }
        let (panels, panelPlaces) = (all, places)
        let mutual = Buffer<Int32>(count * count)
        let own = Packed(block.base, count: count, dimension: dimension, norms: nil)
        parallel.pieces(of: count, size: 256) { range in
            let height = range.count
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 2 * height) { scratch in
                let index = scratch.baseAddress!
                let value = UnsafeMutableRawPointer(index + height).assumingMemoryBound(to: Int32.self)
                for (panel, places) in zip(panels, panelPlaces) {
                    panel.nearest(block.row(range.lowerBound), count: height, index: index, value: value)
                    for t in 0..<height {
                        let row = range.lowerBound + t
                        let distance = value[t] + norms[row]
                        if distance < nearest[row] {
                            nearest[row] = distance
                            partner[row] = places[Int(index[t])]
                        }
                    }
                }
            }
            own.products(
                block.row(range.lowerBound), count: height, into: mutual.base + range.lowerBound * count, stride: count)
        }
        // Compare the rows of the block among themselves, in order.
        var keptHere: [Int] = []
        var outcomes: [Outcome] = []
        for row in 0..<count {
            var least = nearest.base[row]
            var winner = partner.base[row]
            let products = mutual.base + row * count
            for other in keptHere {
                let distance = norms.base[row] + norms.base[other] - 2 * products[other]
                if distance < least {
                    least = distance
                    winner = place + other
                }
            }
            if least <= squaredLimit && winner >= 0 {
                outcomes.append(Outcome(partner: winner, squaredDistance: least))
            } else {
                outcomes.append(Outcome(partner: nil, squaredDistance: least))
                keptHere.append(row)
            }
        }
        for row in keptHere { keep(block.row(row), place: place + row) }
        place += count
        return outcomes
    }

    private mutating func keep(_ vector: UnsafePointer<Int8>, place: Int) {
        kept += 1
        open.append(contentsOf: UnsafeBufferPointer(start: vector, count: dimension))
        openPlaces.append(place)
        if openPlaces.count == panelRows {
            panels.append(pack(open))
            panelPlaces.append(openPlaces)
            open.removeAll(keepingCapacity: true)
            openPlaces.removeAll(keepingCapacity: true)
        }
    }

    private func pack(_ rows: [Int8]) -> Packed {
        rows.withVectors(dimension: dimension) { view in
            let norms = view.normBuffer(.serial)
            return Packed(view.base, count: view.count, dimension: dimension, norms: norms.base)
        }
    }
}
