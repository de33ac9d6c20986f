import SluiceCore
import SluiceEngine
import SluiceGeometry

/// The figures of `compare` for one run.
enum Measures {
    static let seed = 42
    /// The most kept records that NovelSum uses; its cost grows with their square.
    static let novelSumLimit = 5000

    /// Rows of the sample in which k-means looks for centres.
    private static let trainingRows = 50_000

    /// The memory for the figures beside the vectors, in bytes: the larger of that for distances and clusters and that for
    /// the effective rank.
    static func memory(sample: Int, dimension: Int, clusters: Int?, threads: Int) -> Int {
        // The products of the 24 rows that a thread processes with the whole sample; centres, their sums and bounds.
        let training = min(sample, trainingRows)
        let centres = clusters.map { min($0, training) } ?? KMeans.automaticClusters(sample).clusters
        let distances = sample * 100 * threads + centres * (dimension + 64) * 16 + training * 32
        // The moments with a block of rows, their matrix, and the two of the eigenvalue solver.
        let rank = 4 * 8 * dimension * dimension + 2 * 4096 * (dimension + 64)
        return max(distances, rank)
    }

    /// - Parameter earlier: vectors of records that were chosen before the run, row by row. They count as covering the
    ///   pool, but not as kept.
    static func of(_ pool: RunVectors, earlier: [Int8], clusters: Int?, parallel: Parallel) -> JSONValue {
        var entries: [JSONValue.Entry] = [
            .init("records", .integer(pool.records)), .init("pool_sample", .integer(pool.sampled)),
            .init("kept", .integer(pool.kept)), .init("dimension", .integer(pool.dimension)),
        ]
        guard pool.kept > 0, pool.sampled > 0 else { return .object(entries) }
        let d = pool.dimension
        if !earlier.isEmpty { entries.append(.init("already", .integer(earlier.count / d))) }
        let covering = pool.chosen + earlier
        pool.pool.withVectors(dimension: d) { all in
            pool.chosen.withVectors(dimension: d) { chosen in
                let cover = covering.withVectors(dimension: d) {
                    SelectionMetrics.coverage(of: all, by: $0, parallel: parallel)
                }
                if let cover {
                    entries += [
                        .init("radius", .real(cover.radius)), .init("mean_distance", .real(cover.meanDistance)),
                        .init("median_distance", .real(cover.median)), .init("distance_90", .real(cover.quantile90)),
                        .init("distance_99", .real(cover.quantile99)),
                    ]
                }
                var moments = Moments(dimension: d)
                moments.add(chosen, parallel: parallel)
                entries.append(
                    .init("effective_rank", .real(SelectionMetrics.effectiveRank(moments, parallel: parallel))))
                moments = Moments(dimension: d)
                moments.add(all, parallel: parallel)
                entries.append(
                    .init("effective_rank_of_pool", .real(SelectionMetrics.effectiveRank(moments, parallel: parallel))))
            }
            entries += novelSum(pool, in: all, parallel)
            entries += reached(covering, all, clusters, parallel)
        }
        if let labels = pool.labels {
            entries += [.init("labels", .integer(labels.all)), .init("labels_reached", .integer(labels.kept))]
        }
        return .object(entries)
    }

    private static func novelSum(_ pool: RunVectors, in all: VectorView, _ parallel: Parallel) -> [JSONValue.Entry] {
        let d = pool.dimension
        let draws = pool.chosenDraws
        let rows = draws.indices.sorted { (draws[$0], $0) < (draws[$1], $1) }.prefix(novelSumLimit)
        let vectors = rows.flatMap { pool.chosen[($0 * d)..<(($0 + 1) * d)] }
        let value = vectors.withVectors(dimension: d) { SelectionMetrics.novelSum(of: $0, in: all, parallel: parallel) }
        return [
            .init("novel_sum", value.map { .real($0) } ?? .null), .init("novel_sum_of_records", .integer(rows.count)),
        ]
    }

    private static func reached(
        _ covering: [Int8], _ all: VectorView, _ clusters: Int?, _ parallel: Parallel
    ) -> [JSONValue.Entry] {
        // The sample is sorted by its draws, so its first rows are a sample too.
        let training = all[0..<min(all.count, trainingRows)]
        let count = clusters.map { min($0, training.count) } ?? KMeans.automaticClusters(all.count).clusters
        let found = KMeans(clusters: count, seed: Seed(UInt64(seed))).run(training, parallel: parallel)
        let assigner = found.centroids.withVectors(dimension: all.dimension) { Assigner(centres: $0) }
        let peopled = Set(assigner.assign(all, parallel: parallel).labels)
        let reached = covering.withVectors(dimension: all.dimension) {
            Set(assigner.assign($0, parallel: parallel).labels)
        }
        return [
            .init("clusters", .integer(peopled.count)),
            .init("clusters_reached", .integer(reached.intersection(peopled).count)),
        ]
    }
}
