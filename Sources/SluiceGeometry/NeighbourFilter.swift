import CVectorKernels
public import SluiceCore

/// Removes near-duplicates within neighbourhoods: every row belongs to its nearest centre and is compared with the
/// earlier rows in its own neighbourhood and in the next nearest ones.
///
/// If `y`, with centre `b`, is within `t` of `x`, with centre `a`, then the plane between `a` and `b` separates them
/// and is within `t` of `x`: `|x - b|² - |x - a|² <= 2t |a - b|`. `unsettledCount` counts the rows for which that holds
/// of a centre that was not visited; if it is 0, the result is that of comparing all pairs. (Above 2,048 centres `|x -
/// b| + |x - a|`, which is no less, replaces `|a - b|`.)
///
/// Two rules. DEITA's (Liu et al., ICLR 2024): a row is dropped if an earlier *kept* row is within the limit.
/// SemDeDup's (Abbas et al., 2023): if *any* earlier row is, kept or not, so only the first of a chain stays. Rows are
/// added in order, in blocks of any size; no result depends on the blocks. The partner is the nearest of the deciding
/// rows, ties to the earliest.
///
/// Cost: rows · (centres + compared rows) · d multiply-adds. Memory: twice the vectors of the rows that can drop
/// others.
public struct NeighbourFilter {
    public let dimension: Int
    /// Rows at this squared distance or less are near-duplicates.
    public let squaredLimit: Int32
    /// How many neighbourhoods a row visits besides its own.
    public let neighbours: Int
    /// Whether dropped rows still drop others.
    public let countsDropped: Bool
    /// How many rows may have a near-duplicate in a neighbourhood that they did not visit.
    public private(set) var unsettledCount = 0

    private let centres: Packed
    private let centreCount: Int
    private let centreNorms: [Int32]
    /// The distances between centres, row-major; nil if there are too many for a table.
    private let spans: Buffer<Float>?
    private static let tableLimit = 2048
    private var lists: [List]
    private var place = 0

    /// The rows of one neighbourhood that can drop others, in panels.
    fileprivate struct List {
        var panels: [Packed] = []
        var panelPlaces: [[Int]] = []
        var panelNorms: [[Int32]] = []
        var open: [Int8] = []
        var openPlaces: [Int] = []
        var openNorms: [Int32] = []
        /// `open` packed; nil if it has changed.
        var openPanel: Packed?
    }

    private let panelRows = 256
    private let blockRows = 1024

    /// - Parameter centres: at least one vector. They determine which rows are compared, so they affect the result.
    public init(
        centres: VectorView, squaredLimit: Int32, neighbours: Int, countsDropped: Bool = false
    ) {
        precondition(centres.count > 0, "neighbourhoods need a centre")
        dimension = centres.dimension
        self.squaredLimit = squaredLimit
        self.neighbours = max(0, min(neighbours, centres.count - 1))
        self.countsDropped = countsDropped
        centreCount = centres.count
        centreNorms = centres.squaredNorms()
        self.centres = Packed(centres.base, count: centres.count, dimension: centres.dimension, norms: nil)
        lists = [List](repeating: List(), count: centres.count)
        spans =
            neighbours > 0 && centres.count <= Self.tableLimit
            ? Self.distances(centres, self.centres, centreNorms) : nil
    }

    /// Rounded up, so that bounds derived from them hide no row.
    private static func distances(_ centres: VectorView, _ packed: Packed, _ norms: [Int32]) -> Buffer<Float> {
        let n = centres.count
        let spans = Buffer<Float>(n * n)
        let products = Buffer<Int32>(n)
        for a in 0..<n {
            packed.products(centres.row(a), count: 1, into: products.base, stride: n)
            for b in 0..<n {
                spans[a * n + b] = Float(Double(norms[a] + norms[b] - 2 * products[b]).squareRoot()).nextUp
            }
        }
        return spans
    }

    /// Adds the next rows in order. `partner` is a position in the order, from 0 over all blocks.
    public mutating func add(_ vectors: VectorView, parallel: Parallel = .serial) -> [PairwiseFilter.Outcome] {
        add(vectors, parallel: parallel) { _, _ in true }
    }

    /// Adds the next rows in order. See `PairwiseFilter.add(_:parallel:confirm:)`.
    public mutating func add<Failure>(
        _ vectors: VectorView, parallel: Parallel = .serial, confirm: (Int, Int) throws(Failure) -> Bool
    ) throws(Failure) -> [PairwiseFilter.Outcome] {
        precondition(vectors.dimension == dimension, "vectors of dimension \(vectors.dimension), not \(dimension)")
        var outcomes: [PairwiseFilter.Outcome] = []
        outcomes.reserveCapacity(vectors.count)
        for start in stride(from: 0, to: vectors.count, by: blockRows) {
            outcomes += try decide(vectors[start..<min(vectors.count, start + blockRows)], parallel, confirm)
        }
        return outcomes
    }

    private mutating func decide<Failure>(
        _ block: VectorView, _ parallel: Parallel, _ confirm: (Int, Int) throws(Failure) -> Bool
    ) throws(Failure) -> [PairwiseFilter.Outcome] {
        let count = block.count
        let norms = block.normBuffer(.serial)
        let width = neighbours + 1
        let probed = probe(block, norms, parallel)
        for list in Set((0..<count * width).map { Int(probed[$0]) }) where lists[list].openPanel == nil {
            if !lists[list].openPlaces.isEmpty { lists[list].openPanel = pack(lists[list].open) }
        }
        let nearest = Buffer<Int32>(count, repeating: .max)
        let partner = Buffer<Int>(count, repeating: -1)
        let mutual = Buffer<Int32>(count * count)
        let own = Packed(block.base, count: count, dimension: dimension, norms: nil)
        let looked = lists
        parallel.pieces(of: count, size: 256) { range in
            own.products(
                block.row(range.lowerBound), count: range.count, into: mutual.base + range.lowerBound * count,
                stride: count)
            // The rows of the piece, grouped by the lists that they visit.
            var pairs = range.flatMap { row in (0..<width).map { (list: Int(probed[row * width + $0]), row: row) } }
            pairs.sort { ($0.list, $0.row) < ($1.list, $1.row) }
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 3 * range.count) { scratch in
                let select = scratch.baseAddress!
                let index = select + range.count
                let value = UnsafeMutableRawPointer(index + range.count).assumingMemoryBound(to: Int32.self)
                var from = 0
                while from < pairs.count {
                    let list = pairs[from].list
                    var height = 0
                    while from < pairs.count, pairs[from].list == list {
                        select[height] = UInt32(pairs[from].row)
                        height += 1
                        from += 1
                    }
                    looked[list].forEachPanel { panel, places, _ in
                        panel.nearest(block.base, select: select, count: height, index: index, value: value)
                        for t in 0..<height {
                            let row = Int(select[t])
                            let distance = value[t] + norms[row]
                            let other = places[Int(index[t])]
                            if distance < nearest[row] || (distance == nearest[row] && other < partner[row]) {
                                nearest[row] = distance
                                partner[row] = other
                            }
                        }
                    }
                }
            }
        }
        return try settle(block, norms, probed, mutual, nearest, partner, confirm)
    }

    /// Compares the rows of the block among themselves, in order.
    private mutating func settle<Failure>(
        _ block: VectorView, _ norms: Buffer<Int32>, _ probed: Buffer<UInt32>, _ mutual: Buffer<Int32>,
        _ nearest: Buffer<Int32>, _ partner: Buffer<Int>, _ confirm: (Int, Int) throws(Failure) -> Bool
    ) throws(Failure) -> [PairwiseFilter.Outcome] {
        let (count, width) = (block.count, neighbours + 1)
        var outcomes: [PairwiseFilter.Outcome] = []
        var counting: [Int: [Int]] = [:]
        for row in 0..<count {
            var (least, winner) = (nearest[row], partner[row])
            for probe in 0..<width {
                for other in counting[Int(probed[row * width + probe])] ?? [] {
                    let distance = norms[row] + norms[other] - 2 * mutual[row * count + other]
                    if distance < least || (distance == least && place + other < winner) {
                        least = distance
                        winner = place + other
                    }
                }
            }
            var outcome = PairwiseFilter.Outcome(partner: nil, squaredDistance: least)
            if winner >= 0 && least <= squaredLimit {
                if try confirm(place + row, winner) {
                    outcome.partner = winner
                } else {
                    var near = NearRows(limit: squaredLimit)
                    for probe in 0..<width {
                        let list = Int(probed[row * width + probe])
                        lists[list].forEachPanel { panel, places, others in
                            near.add(panel, places, others, block.row(row), norms[row])
                        }
                        for other in counting[list] ?? [] {
                            near.add(norms[row] + norms[other] - 2 * mutual[row * count + other], place + other)
                        }
                    }
                    outcome = try near.outcome(of: place + row, nearest: least, refused: winner, confirm)
                }
            }
            outcomes.append(outcome)
            if outcome.partner == nil || countsDropped { counting[Int(probed[row * width]), default: []].append(row) }
        }
        for list in counting.keys.sorted() {
            for row in counting[list] ?? [] { keep(block.row(row), norm: norms[row], place: place + row, in: list) }
        }
        place += count
        return outcomes
    }

    /// For each row the lists that it visits, its own first.
    private mutating func probe(
        _ block: VectorView, _ norms: Buffer<Int32>, _ parallel: Parallel
    ) -> Buffer<UInt32> {
        let width = neighbours + 1
        let lists = Buffer<UInt32>(block.count * width)
        let open = Buffer<Bool>(block.count)
        let (centres, centreCount, centreNorms) = (centres, centreCount, centreNorms)
        // Slightly above the bound, so that rounding hides no row.
        let reach = 2 * Double(squaredLimit).squareRoot() * (1 + 1e-9)
        let spans = spans
        parallel.pieces(of: block.count, size: 64) { range in
            let products = Buffer<Int32>(range.count * centreCount)
            centres.products(block.row(range.lowerBound), count: range.count, into: products.base, stride: centreCount)
            var keys: [UInt64] = []
            for row in range {
                let at = (row - range.lowerBound) * centreCount
                keys.removeAll(keepingCapacity: true)
                for centre in 0..<centreCount {
                    let squared = norms[row] + centreNorms[centre] - 2 * products[at + centre]
                    keys.append(UInt64(UInt32(bitPattern: squared)) << 32 | UInt64(centre))
                }
                let take = min(width, keys.count)
                keys.withUnsafeMutableBufferPointer { partition($0.baseAddress!, count: $0.count, smallest: take) }
                let first = keys[..<take].sorted()
                for t in 0..<width { lists[row * width + t] = UInt32(truncatingIfNeeded: first[t]) }
                let own = Double(first[0] >> 32)
                open[row] = keys[take...].contains { key in
                    let other = Double(key >> 32)
                    let span = spans.map {
                        Double($0[Int(lists[row * width]) * centreCount + Int(UInt32(truncatingIfNeeded: key))])
                    }
                    return other - own <= reach * (span ?? (own.squareRoot() + other.squareRoot()))
                }
            }
        }
        unsettledCount += (0..<block.count).count { open[$0] }
        return lists
    }

    private mutating func keep(_ vector: UnsafePointer<Int8>, norm: Int32, place: Int, in list: Int) {
        lists[list].open.append(contentsOf: UnsafeBufferPointer(start: vector, count: dimension))
        lists[list].openPlaces.append(place)
        lists[list].openNorms.append(norm)
        lists[list].openPanel = nil
        guard lists[list].openPlaces.count == panelRows else { return }
        lists[list].panels.append(pack(lists[list].open))
        lists[list].panelPlaces.append(lists[list].openPlaces)
        lists[list].panelNorms.append(lists[list].openNorms)
        lists[list].openNorms.removeAll(keepingCapacity: true)
        lists[list].open.removeAll(keepingCapacity: true)
        lists[list].openPlaces.removeAll(keepingCapacity: true)
    }

    private func pack(_ rows: [Int8]) -> Packed {
        rows.withVectors(dimension: dimension) { view in
            let norms = view.normBuffer(.serial)
            return Packed(view.base, count: view.count, dimension: dimension, norms: norms.base)
        }
    }
}

extension NeighbourFilter.List {
    fileprivate func forEachPanel(_ body: (Packed, [Int], [Int32]) -> Void) {
        for (panel, (places, norms)) in zip(panels, zip(panelPlaces, panelNorms)) { body(panel, places, norms) }
        if let openPanel { body(openPanel, openPlaces, openNorms) }
    }
}
