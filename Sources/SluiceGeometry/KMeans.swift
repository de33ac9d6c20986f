public import SluiceCore

/// The result of k-means.
public struct Clustering: Sendable {
    public let dimension: Int
    /// The centroids, row-major; `min(clusters, rows)` of them.
    public var centroids: [Int8]
    /// For each row the number of its nearest centroid, ties to the lowest.
    public var labels: [UInt32]
    /// Rows per cluster. A cluster may be empty if there are fewer distinct vectors than clusters.
    public var sizes: [Int]
    /// For each row the squared distance to its centroid.
    public var squaredDistances: [Int32]
    /// The exact sum of `squaredDistances`.
    public var squaredInertia: UInt64
    /// The same in chord units: the sum of squared Euclidean distances between unit vectors and centroids.
    public var inertia: Double
    /// The number of times that the centroids moved.
    public var iterations: Int
    /// Whether it stopped because no label changed.
    public var converged: Bool
    /// The number of row-centroid distances computed in the iterations; without pruning, rows times clusters per
    /// iteration.
    public var distancesComputed: Int

    public var count: Int { sizes.count }
}

/// Lloyd's k-means over Int8 vectors, exact and the same on every machine.
///
/// Start: k-means++ (Arthur and Vassilvitskii, 2007), by exact integer draws, or k-means||; see `Start`. Then every row
/// goes to its nearest centroid (ties to the lowest), and every centroid to the mean of its rows, each component
/// rounded half to even from exact sums. The rounded mean is the best of all integer points, so the inertia never
/// rises. A cluster that lost all its rows moves to the row farthest from its centroid (ties to the lowest row; several
/// in this order), unless that distance is 0. It stops when no label changes, or after `maximumIterations`.
///
/// Integer bounds skip distances that can't matter and never change a result: see `Lloyd`.
///
/// Cost: at most n·k·d multiply-adds per iteration (two fifths of that over 20 iterations on vectors of real text),
/// about n·k·d for the start. Memory: 20 bytes per row in addition to the vectors.
public struct KMeans: Sendable {
    public var clusters: Int
    public var maximumIterations: Int
    public var seed: Seed
    /// The number of draws of which each new start is the best; nil is 2 + ⌊log2 clusters⌋, 1 is plain k-means++. On
    /// vectors of real text the default reached an inertia 4 % lower than plain starts.
    public var trials: Int?
    public var start: Start

    /// The method that chooses the initial centroids.
    public enum Start: Sendable, Hashable {
        /// k-means++ among all rows; see `seeds`.
        case plusPlus
        /// k-means||: `KMeansCandidates` with `rounds` rounds of about `factor` candidates per cluster, then k-means++
        /// among these, each weighted by the number of rows nearest to it.
        case parallel(factor: Double = 1, rounds: Int = 5)
    }

    public init(
        clusters: Int, maximumIterations: Int = 20, seed: Seed, trials: Int? = nil, start: Start = .plusPlus
    ) {
        precondition(clusters > 0, "k-means needs at least one cluster")
        precondition(trials ?? 1 > 0, "a start needs at least one draw")
        self.trials = trials
        self.start = start
        self.clusters = clusters
        self.maximumIterations = maximumIterations
        self.seed = seed
    }

    /// Clusters the rows. No rows give no clusters.
    public func run(_ vectors: VectorView, parallel: Parallel = .serial) -> Clustering {
        run(vectors, starting: nil, parallel: parallel, eachIteration: { _ in })
    }

    /// - Parameters:
    ///   - starting: the initial centroids, instead of k-means++.
    ///   - eachIteration: called with the squared inertia after every assignment.
    public func run(
        _ vectors: VectorView, starting: [Int8]?, parallel: Parallel = .serial, eachIteration: (UInt64) -> Void
    ) -> Clustering {
        let dimension = vectors.dimension
        let run = Lloyd(vectors, parallel)
        if vectors.count == 0 { return run.result(iterations: 0, converged: true) }
        if let starting {
            precondition(
                starting.count % dimension == 0 && !starting.isEmpty,
                "the centroids aren't whole vectors of \(dimension)")
            run.centroids = starting
            run.assign(parallel)
        } else if case .parallel(let factor, let rounds) = start {
            run.centroids = parallelStart(vectors, factor: factor, rounds: rounds, parallel)
            run.assign(parallel)
        } else {
            var generator = seed.generator()
            let start = Self.start(vectors, count: clusters, trials: trials, generator: &generator, parallel: parallel)
            run.centroids = start.centres.centres
            run.adopt(start.centres)
        }
        eachIteration(run.inertia)
        var iterations = 0
        var converged = false
        while iterations < maximumIterations, !converged {
            run.move(parallel)
            iterations += 1
            converged = run.assign(parallel) == 0
            eachIteration(run.inertia)
        }
        return run.result(iterations: iterations, converged: converged)
    }

    /// The sample size with which each of `clusters` clusters that holds at least the share `minimumShare` of the rows
    /// is sampled with probability at least `1 - missProbability`: `ln(clusters / missProbability) / minimumShare`,
    /// rounded up.
    ///
    /// One such cluster is missed with probability (1-p)^s <= e^(-ps); the union bound adds these up. The logarithm is
    /// `Elementary.log`, so the number is the same everywhere.
    public static func sampleSize(clusters: Int, minimumShare: Double, missProbability: Double) -> Int {
        precondition(
            clusters > 0 && minimumShare > 0 && minimumShare <= 1 && missProbability > 0 && missProbability < 1)
        let size = Elementary.log(Double(clusters) / missProbability) / minimumShare
        return Int(size.rounded(.up))
    }

    /// The default number of clusters for `count` rows and an explanation of it: the power of two next to √(count/2),
    /// from 2 to 4,096 (1 for fewer than 8 rows).
    ///
    /// √(n/2) balances the two costs of clustered selection, n·k for the assignment and n²/k within the clusters. A
    /// power of two is plainly a round number and does not change with every record.
    public static func automaticClusters(_ count: Int) -> (clusters: Int, reason: String) {
        if count < 8 { return (1, "1 cluster: \(count) records are too few to split") }
        // Powers of two by squares: k is next to √(n/2) on the logarithmic scale when k²/2 <= n/2 < 2 k².
        var clusters = 2
        while clusters < 4096, 2 * clusters * clusters <= count / 2 { clusters *= 2 }
        return (
            clusters,
            "\(clusters) clusters: the power of two next to the square root of half of \(count) records, at most 4096"
        )
    }
}
