import SluiceCore
import SluiceEngine
import SluiceGeometry

/// The figures of a report that are made of vectors.
struct ReportGeometry {
    private static let regions = 12
    /// The kept records whose distances are computed together.
    private static let batch = 2048

    private let collector: ReportCollector
    private let dimension: Int
    private let parallel: Parallel
    private let pool: [Int8]

    init(_ collector: ReportCollector, dimension: Int, parallel: Parallel) {
        (self.collector, self.dimension, self.parallel) = (collector, dimension, parallel)
        pool = collector.pool.lowest.flatMap(\.self)
    }

    /// What the figures need beside the vectors of the samples, in bytes: the distances of each step of the curve, or the
    /// matrices of the components.
    static func memory(dimension: Int) -> Int {
        let rows = ReportCollector.poolRows(dimension: dimension)
        let curve = RankSteps.count * rows * 4 + 4 * batch * dimension
        return max(curve, 5 * 8 * dimension * dimension) + rows * (dimension + 64)
    }

    // MARK: The curve

    /// The distances from the pool to the kept records of smaller budgets; empty if the picks have no ranks.
    func curve(steps: RankSteps?) throws -> [RunReport.CurvePoint] {
        guard let steps, let chosen = collector.chosen, !pool.isEmpty, chosen.rows > 0 else { return [] }
        let rows = pool.count / dimension
        var nearest = [[Int32]](repeating: [Int32](repeating: .max, count: rows), count: RankSteps.count + 1)
        try pool.withVectors(dimension: dimension) { all in
            for start in stride(from: 0, to: chosen.rows, by: Self.batch) {
                let range = start..<min(chosen.rows, start + Self.batch)
                let vectors = try chosen.read(range)
                for step in 1...RankSteps.count {
                    let own = range.filter { Int(collector.steps[$0]) == step }
                    guard !own.isEmpty else { continue }
                    let centres = own.flatMap {
                        vectors[(($0 - start) * dimension)..<(($0 - start + 1) * dimension)]
                    }
                    let found = centres.withVectors(dimension: dimension) {
                        Assigner(centres: $0).assign(all, parallel: parallel).squaredDistances
                    }
                    for row in 0..<rows where found[row] < nearest[step][row] { nearest[step][row] = found[row] }
                }
            }
        }
        var points: [RunReport.CurvePoint] = []
        var covered = [Int32](repeating: .max, count: rows)
        for step in 1...RankSteps.count where steps.kept[step] > 0 {
            for row in 0..<rows { covered[row] = min(covered[row], nearest[step][row]) }
            let quantizer = Quantizer(dimension: dimension)
            guard
                let cover = Certificate(
                    squaredDistances: covered, separation: 0, quantizer: quantizer, parallel: parallel)
            else { continue }
            points.append(.init(kept: steps.kept[step], radius: cover.radius, mean: cover.meanDistance))
        }
        return points
    }

    // MARK: The map

    /// The first two principal components of the pool's sample; nil if there are too few vectors.
    ///
    /// - Parameter fields: the fields whose words name the regions.
    func map(fields: Set<String>) throws -> RunReport.VectorMap? {
        let rows = pool.count / dimension
        guard rows >= 3 else { return nil }
        let plane = pool.withVectors(dimension: dimension) { Plane($0, parallel) }
        let mapped = collector.mapped.lowest, kept = collector.mappedKept.lowest
        let regions = min(Self.regions, max(2, rows / 40))
        let found = pool.withVectors(dimension: dimension) {
            KMeans(clusters: regions, seed: Seed(UInt64(Measures.seed))).run($0, parallel: parallel)
        }
        let assigner = found.centroids.withVectors(dimension: dimension) { Assigner(centres: $0) }
        func assign(_ vectors: [Int8]) -> [Int] {
            vectors.withVectors(dimension: dimension) { assigner.assign($0, parallel: parallel).labels.map { Int($0) } }
        }
        let labels = assign(mapped.flatMap(\.vector))
        var reached = [Int](repeating: 0, count: regions)
        if let chosen = collector.chosen {
            for start in stride(from: 0, to: chosen.rows, by: Self.batch) {
                for label in assign(try chosen.read(start..<min(chosen.rows, start + Self.batch))) {
                    reached[label] += 1
                }
            }
        }
        let points = mapped.map { plane.place($0.vector) }
        let words = TypicalWords.find(
            zip(labels, mapped).map { ($0, $1.text.words(of: fields)) }, groups: regions)
        let all = Double(rows), allKept = Double(max(1, reached.reduce(0, +)))
        let shown = (0..<regions).compactMap { region -> RunReport.VectorMap.Region? in
            let own = labels.indices.filter { labels[$0] == region }.map { points[$0] }
            guard !own.isEmpty else { return nil }
            return .init(
                x: own.map(\.x).sorted()[own.count / 2], y: own.map(\.y).sorted()[own.count / 2],
                words: words[region], pool: Double(found.sizes[region]) / all,
                kept: Double(reached[region]) / allKept)
        }
        return RunReport.VectorMap(
            points: points.map { .init(x: $0.x, y: $0.y, isKept: false) }
                + kept.map { plane.place($0) }.map { .init(x: $0.x, y: $0.y, isKept: true) },
            regions: shown.sorted { ($1.pool, $0.x, $0.y) < ($0.pool, $1.x, $1.y) }, share: plane.share, sampled: rows)
    }

    /// The plane of the two components with the most variance.
    private struct Plane {
        let share: Double
        private let axes: [[Double]]
        private var ranges: [(low: Double, high: Double)] = []

        init(_ vectors: VectorView, _ parallel: Parallel) {
            let d = vectors.dimension
            var moments = Moments(dimension: d)
            moments.add(vectors, parallel: parallel)
            let n = Double(vectors.count)
            var matrix = [Double](repeating: 0, count: d * d)
            for i in 0..<d {
                for j in 0...i {
                    let value =
                        Double(moments.product(i, j)) / n
                        - Double(moments.sums[i]) / n * (Double(moments.sums[j]) / n)
                    matrix[i * d + j] = value
                    matrix[j * d + i] = value
                }
            }
            let eigen = SymmetricEigen(matrix, dimension: d, parallel: parallel)
            axes = (0..<2).map { k in k < d ? Array(eigen.vectors[(k * d)..<((k + 1) * d)]) : [] }
            let total = eigen.values.reduce(0) { $0 + max(0, $1) }
            share = total > 0 ? eigen.values.prefix(2).reduce(0) { $0 + max(0, $1) } / total : 0
            for axis in axes {
                let values = (0..<vectors.count).map {
                    Self.product(axis, UnsafeBufferPointer(start: vectors.row($0), count: d))
                }.sorted()
                ranges.append((values[0], values[values.count - 1]))
            }
        }

        private static func product(_ axis: [Double], _ vector: some Sequence<Int8>) -> Double {
            var sum = 0.0
            for (a, b) in zip(axis, vector) { sum += a * Double(b) }
            return sum
        }

        func place(_ vector: [Int8]) -> (x: Int, y: Int) {
            func coordinate(_ k: Int) -> Int {
                let (low, high) = ranges[k]
                guard high > low else { return 500 }
                let value = (Self.product(axes[k], vector) - low) / (high - low)
                return Int((20 + 960 * max(0, min(1, value))).rounded())
            }
            return (coordinate(0), 1000 - coordinate(1))
        }
    }
}
