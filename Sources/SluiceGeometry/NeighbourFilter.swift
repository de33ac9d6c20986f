import CVectorKernels
public import SluiceCore

/// Removes near-duplicates by looking into neighbourhoods only: every row belongs to its nearest centre, and is compared with the rows
/// before it in its own neighbourhood and in those next nearest to it.
///
/// Nothing is missed where the neighbourhoods looked into suffice: if `y`, with the centre `b`, lies within `t` of `x`, with the centre `a`, then the
/// plane between `a` and `b` parts them and is within `t` of `x`: `|x - b|² - |x - a|² <= 2t |a - b|`. `unsettledCount` counts the rows
/// for which that holds of a centre that was not looked into: at 0 the result is that of comparing all pairs. (Over 2,048 centres
/// `|x - b| + |x - a|` stands for `|a - b|`, which is no less.)
///
/// Two rules. DEITA's (Liu et al., ICLR 2024): a row is dropped when a row *kept* before it lies within the limit. SemDeDup's (Abbas et al., 2023):
/// when *any* row before it does, kept or not, so chains leave but for their first. Rows are added in blocks of any size, in order; no result
/// depends on the blocks. The partner is the nearest row that decided, the earliest in the order of equals.
///
/// Cost: rows · (centres + rows that are compared) · d multiply-adds. Memory: twice the vectors of the rows that count.
public struct NeighbourFilter {
    public let dimension: Int
    /// A row at this squared distance or less is a near-duplicate.
    public let squaredLimit: Int32
    /// How many neighbourhoods beside its own a row looks into.
    public let neighbours: Int
    /// Whether dropped rows go on to drop others.
    public let countsDropped: Bool
    /// How many rows may have a near-duplicate where they didn't look.
    public private(set) var unsettledCount = 0

    private let centres: Packed
    private let centreCount: Int
    private let centreNorms: [Int32]
    /// The distances between centres, a row each; nil where there are too many for a table.
    private let spans: Buffer<Float>?
    private static let tableLimit = 2048
    private var lists: [List]
    private var place = 0

    /// The rows of one neighbourhood that count, in panels.
    fileprivate struct List {
        var panels: [Packed] = []
        var panelPlaces: [[Int]] = []
        var open: [Int8] = []
        var openPlaces: [Int] = []
        /// `open` packed; nil where it has changed.
        var openPanel: Packed?
    }

    private let panelRows = 256
    private let blockRows = 1024

    /// - Parameter centres: at least one vector; where they lie decides which rows are compared, so they are part of the result.
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
        spans = neighbours > 0 && centres.count <= Self.tableLimit ? Self.distances(centres, self.centres, centreNorms) : nil
    }

    /// Rounded up, so that a bound made of them hides no row.
    private static func distances(_ centres: VectorView, _ packed: Packed, _ norms: [Int32]) -> Buffer<Float> {
        let n = centres.count
        let spans = Buffer<Float>(n * n)
        let products = Buffer<Int32>(n)
        for a in 0..<n {
            packed.products(centres.row(a), count: 1, into: products.base, stride: n)
            for b in 0..<n { spans[a * n + b] = Float(Double(norms[a] + norms[b] - 2 * products[b]).squareRoot()).nextUp }
        }
        return spans
    }

    /// The next rows in the order. `partner` is a place in the order, from 0 over all blocks.
    public mutating func add(_ vectors: VectorView, parallel: Parallel = .serial) -> [PairwiseFilter.Outcome] {
        precondition(vectors.dimension == dimension, "vectors of dimension \(vectors.dimension), not \(dimension)")
        var outcomes: [PairwiseFilter.Outcome] = []
        outcomes.reserveCapacity(vectors.count)
        for start in stride(from: 0, to: vectors.count, by: blockRows) {
            outcomes += decide(vectors[start..<min(vectors.count, start + blockRows)], parallel)
        }
        return outcomes
    }

    private mutating func decide(_ block: VectorView, _ parallel: Parallel) -> [PairwiseFilter.Outcome] {
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
            own.products(block.row(range.lowerBound), count: range.count, into: mutual.base + range.lowerBound * count, stride: count)
            // The rows of the piece by the list they look into.
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
                    looked[list].forEachPanel { panel, places in
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
        return settle(block, norms, probed, mutual, nearest, partner)
    }

    /// Among the rows of the block, in order.
    private mutating func settle(
        _ block: VectorView, _ norms: Buffer<Int32>, _ probed: Buffer<UInt32>, _ mutual: Buffer<Int32>,
        _ nearest: Buffer<Int32>, _ partner: Buffer<Int>
    ) -> [PairwiseFilter.Outcome] {
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
            let isDropped = winner >= 0 && least <= squaredLimit
            outcomes.append(PairwiseFilter.Outcome(partner: isDropped ? winner : nil, squaredDistance: least))
            if !isDropped || countsDropped { counting[Int(probed[row * width]), default: []].append(row) }
        }
        for list in counting.keys.sorted() {
            for row in counting[list] ?? [] { keep(block.row(row), place: place + row, in: list) }
        }
        place += count
        return outcomes
    }

    /// For each row the lists that it looks into, its own first.
    private mutating func probe(
        _ block: VectorView, _ norms: Buffer<Int32>, _ parallel: Parallel
    ) -> Buffer<UInt32> {
        let width = neighbours + 1
        let lists = Buffer<UInt32>(block.count * width)
        let open = Buffer<Bool>(block.count)
        let (centres, centreCount, centreNorms) = (centres, centreCount, centreNorms)
        // A hair more than the bound, so that no rounding hides a row.
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
                    let span = spans.map { Double($0[Int(lists[row * width]) * centreCount + Int(UInt32(truncatingIfNeeded: key))]) }
                    return other - own <= reach * (span ?? (own.squareRoot() + other.squareRoot()))
                }
            }
        }
        unsettledCount += (0..<block.count).count { open[$0] }
        return lists
    }

    private mutating func keep(_ vector: UnsafePointer<Int8>, place: Int, in list: Int) {
        lists[list].open.append(contentsOf: UnsafeBufferPointer(start: vector, count: dimension))
        lists[list].openPlaces.append(place)
        lists[list].openPanel = nil
        guard lists[list].openPlaces.count == panelRows else { return }
        lists[list].panels.append(pack(lists[list].open))
        lists[list].panelPlaces.append(lists[list].openPlaces)
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
    fileprivate func forEachPanel(_ body: (Packed, [Int]) -> Void) {
        for (panel, places) in zip(panels, panelPlaces) { body(panel, places) }
        if let openPanel { body(openPanel, openPlaces) }
    }
}
