import SluiceCore
import SluiceEngine
import SluiceGeometry

/// The figures of `compare` for one run. They read the vectors in pieces, and don't depend on these.
struct Measures {
    static let seed = 42
    /// The vectors of a piece.
    private static let piece = 4096

    private let pool: ComparedPool
    /// The rows of the sample of the pool.
    private let rows: [Int]
    private let earlier: [Int8]
    private let clusters: Int?
    private let parallel: Parallel
    private var dimension: Int { pool.dimension }

    /// - Parameter earlier: vectors of records that were chosen before the run, row by row. They count as covering the
    ///   pool, but not as kept.
    init(_ pool: ComparedPool, earlier: [Int8], clusters: Int?, parallel: Parallel) {
        (self.pool, self.earlier, self.clusters, self.parallel) = (pool, earlier, clusters, parallel)
        rows = pool.sampledRows
    }

    /// The rows of the sample in which k-means looks for centres: as many as fit into 16 MiB.
    private static func trainingRows(dimension: Int) -> Int { min(50_000, max(4096, (16 << 20) / max(1, dimension))) }

    /// The memory for the figures, in bytes: the larger of that for distances, clusters, NovelSum and the effective rank.
    static func memory(sample: Int, dimension: Int, clusters: Int?, threads: Int) -> Int {
        let training = min(sample, trainingRows(dimension: dimension))
        let centres = clusters.map { min($0, training) } ?? KMeans.automaticClusters(sample).clusters
        let kMeans = training * (dimension + 32) + centres * (dimension + 64) * 16
        let novelSum =
            ComparedPool.novelSumLimit * (2 * dimension + 64)
            + 24 * 2 * 4 * max(piece, ComparedPool.novelSumLimit) * threads
        // The moments with a block of rows, their matrix, and the two of the eigenvalue solver.
        let rank = 4 * 8 * dimension * dimension + 2 * 4096 * (dimension + 64)
        return 24 * sample + 6 * piece * (dimension + 16) + max(kMeans, novelSum, rank)
    }

    func json(hasLabel: Bool) throws -> JSONValue {
        let kept = pool.chosen.rows
        var entries: [JSONValue.Entry] = [
            .init("records", .integer(pool.records)), .init("pool_sample", .integer(rows.count)),
            .init("kept", .integer(kept)), .init("dimension", .integer(dimension)),
        ]
        guard kept > 0, !rows.isEmpty else { return .object(entries) }
        if !earlier.isEmpty { entries.append(.init("already", .integer(earlier.count / dimension))) }
        let distances = try self.distances(rows, to: chosenPieces)
        if let cover = certificate(distances) {
            entries += [
                .init("radius", .real(cover.radius)), .init("mean_distance", .real(cover.meanDistance)),
                .init("median_distance", .real(cover.median)), .init("distance_90", .real(cover.quantile90)),
                .init("distance_99", .real(cover.quantile99)),
            ]
        }
        entries += [
            .init("effective_rank", .real(try effectiveRank { try forEachChosen($0) })),
            .init("effective_rank_of_pool", .real(try effectiveRank { try forEachSampled($0) })),
        ]
        entries += try novelSum() + reached()
        if let random = try random(distances) { entries.append(.init("random", random)) }
        let labels = pool.labelCounts
        if hasLabel {
            entries += [.init("labels", .integer(labels.all)), .init("labels_reached", .integer(labels.kept))]
        }
        return .object(entries)
    }

    // MARK: Pieces

    private func forEachSampled(_ body: (VectorView) throws -> Void) throws {
        for start in stride(from: 0, to: rows.count, by: Self.piece) {
            let vectors = try pool.sampled(rows[start..<min(rows.count, start + Self.piece)])
            try vectors.withVectors(dimension: dimension) { try body($0) }
        }
    }

    private func forEachChosen(_ body: (VectorView) throws -> Void) throws {
        let all = pool.chosen.rows
        for start in stride(from: 0, to: all, by: Self.piece) {
            let vectors = try pool.chosen.read(start..<min(all, start + Self.piece))
            try vectors.withVectors(dimension: dimension) { try body($0) }
        }
    }

    private func chosenPieces(_ body: (VectorView) throws -> Void) throws {
        try forEachChosen(body)
        if !earlier.isEmpty { try earlier.withVectors(dimension: dimension) { try body($0) } }
    }

    // MARK: Figures

    /// The squared distances of rows of the sample to the nearest vector of some pieces.
    private func distances(
        _ rows: [Int], to pieces: ((VectorView) throws -> Void) throws -> Void
    ) throws -> [Int32] {
        var nearest = [Int32](repeating: .max, count: rows.count)
        for start in stride(from: 0, to: rows.count, by: Self.piece) {
            let vectors = try pool.sampled(rows[start..<min(rows.count, start + Self.piece)])
            try vectors.withVectors(dimension: dimension) { part in
                try pieces { centres in
                    let found = Assigner(centres: centres).assign(part, parallel: parallel).squaredDistances
                    for (row, value) in found.enumerated() where value < nearest[start + row] {
                        nearest[start + row] = value
                    }
                }
            }
        }
        return nearest
    }

    private func certificate(_ distances: [Int32]) -> Certificate? {
        Certificate(
            squaredDistances: distances, separation: 0, quantizer: Quantizer(dimension: dimension), parallel: parallel)
    }

    private func effectiveRank(_ pieces: ((VectorView) throws -> Void) throws -> Void) throws -> Double {
        var moments = Moments(dimension: dimension)
        try pieces { moments.add($0, parallel: parallel) }
        return SelectionMetrics.effectiveRank(moments, parallel: parallel)
    }

    private func novelSum() throws -> [JSONValue.Entry] {
        let vectors = try pool.novelVectors()
        let value = try vectors.withVectors(dimension: dimension) { chosen in
            try SelectionMetrics.novelSum(of: chosen, parallel: parallel) { add in try forEachSampled { add($0) } }
        }
        return [
            .init("novel_sum", value.map { .real($0) } ?? .null),
            .init("novel_sum_of_records", .integer(vectors.count / dimension)),
        ]
    }

    private func reached() throws -> [JSONValue.Entry] {
        // The sample is sorted by its draws, so its first rows are a sample too.
        let training = try pool.sampled(rows.prefix(Self.trainingRows(dimension: dimension)))
        let trained = training.count / dimension
        let count = clusters.map { min($0, trained) } ?? KMeans.automaticClusters(rows.count).clusters
        let found = training.withVectors(dimension: dimension) {
            KMeans(clusters: count, seed: Seed(UInt64(Self.seed))).run($0, parallel: parallel)
        }
        let assigner = found.centroids.withVectors(dimension: dimension) { Assigner(centres: $0) }
        func labels(_ pieces: ((VectorView) throws -> Void) throws -> Void) throws -> Set<UInt32> {
            var labels: Set<UInt32> = []
            try pieces { labels.formUnion(assigner.assign($0, parallel: parallel).labels) }
            return labels
        }
        let peopled = try labels { try forEachSampled($0) }
        return [
            .init("clusters", .integer(peopled.count)),
            .init("clusters_reached", .integer(try labels { try chosenPieces($0) }.intersection(peopled).count)),
        ]
    }

    // MARK: Random sets

    /// The steps for all random sets together, about.
    private static let randomSteps = 50_000_000_000

    /// How the run compares with random sets of the same size, on the first rows of the sample; nil without sets. `p` is the part of sets, the run among them, that are at least as good: a permutation test.
    ///
    /// - Parameter distances: the run's own, of the whole sample.
    private func random(_ distances: [Int32]) throws -> JSONValue? {
        let sets = pool.randomSets, size = pool.chosen.rows
        guard !sets.isEmpty, size > 0 else { return nil }
        let most = Self.randomSteps / (sets.count * size * dimension)
        let few = Array(rows.prefix(max(1000, min(10_000, most))))
        guard let own = certificate(Array(distances.prefix(few.count))) else { return nil }
        var drawn: [Certificate] = []
        for set in sets {
            let found = try self.distances(few) { body in
                try pool.forEachDrawn(set, of: Self.piece) { vectors in
                    try vectors.withVectors(dimension: dimension) { try body($0) }
                }
                if !earlier.isEmpty { try earlier.withVectors(dimension: dimension) { try body($0) } }
            }
            if let found = certificate(found) { drawn.append(found) }
        }
        func figure(_ value: KeyPath<Certificate, Double>) -> JSONValue {
            let all = drawn.map { $0[keyPath: value] }
            let asGood = all.count { $0 <= own[keyPath: value] }
            return [
                "run": .real(own[keyPath: value]), "least": .real(all.min() ?? 0),
                "mean": .real(all.reduce(0, +) / Double(max(1, all.count))), "most": .real(all.max() ?? 0),
                "p": .real(Double(asGood + 1) / Double(all.count + 1)),
            ]
        }
        return [
            "draws": .integer(drawn.count), "records": .integer(size), "pool_sample": .integer(few.count),
            "radius": figure(\.radius), "mean_distance": figure(\.meanDistance),
        ]
    }
}
