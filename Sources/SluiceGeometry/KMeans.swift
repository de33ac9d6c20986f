public import SluiceCore

/// What k-means found.
public struct Clustering: Sendable {
    public let dimension: Int
    /// The centroids, row after row; `min(clusters, rows)` of them.
    public var centroids: [Int8]
    /// For each row the number of its nearest centroid, the lowest of equals.
    public var labels: [UInt32]
    /// Rows per cluster. A cluster may be empty where there are fewer distinct vectors than clusters.
    public var sizes: [Int]
    /// For each row the squared distance to its centroid.
    public var squaredDistances: [Int32]
    /// The exact sum of `squaredDistances`.
    public var squaredInertia: UInt64
    /// The same in chord units: the sum of squared Euclidean distances between unit vectors and centroids.
    public var inertia: Double
    /// How many times the centroids were moved.
    public var iterations: Int
    /// Whether it stopped because no label moved.
    public var converged: Bool
    /// How many distances between a row and a centroid the iterations computed; without pruning it were rows times clusters an iteration.
    public var distancesComputed: Int

    public var count: Int { sizes.count }
}

/// Lloyd's k-means over Int8 vectors, exact and the same on every machine.
///
/// Start: k-means++ (Arthur and Vassilvitskii, 2007), by exact integer draws, or k-means||; see `Start`. Then: every row to its nearest
/// centroid (ties to the lowest), every centroid to the mean of its rows, rounded half to even per component from exact
/// sums. The rounded mean is the best of all integer points, so the inertia never rises. A cluster that lost all its rows is
/// moved to the row farthest from its centroid (ties to the lowest row; several in this order), unless that distance is 0.
/// It stops when no label moves, or after `maximumIterations`.
///
/// Distances that can't matter are not computed, by bounds that are integers and never change a result: see `Lloyd`.
///
/// Cost: at most n·k·d multiply-adds an iteration (on vectors of real text two fifths of that over 20 iterations), about n·k·d for the start.
/// Memory: 20 bytes a row beside the vectors.
public struct KMeans: Sendable {
    public var clusters: Int
    public var maximumIterations: Int
    public var seed: Seed
    /// How many draws each start is the best of; nil is 2 + ⌊log2 clusters⌋, 1 is plain k-means++. On real text vectors the default ended
    /// 4 % lower than plain starts.
    public var trials: Int?
    public var start: Start

    /// Where the centroids are at first.
    public enum Start: Sendable, Hashable {
        /// k-means++ among all rows; see `seeds`.
        case plusPlus
        /// k-means||: `KMeansCandidates` of so many `rounds`, each with about `factor` candidates a cluster, then k-means++ among these, each
        /// counted as often as rows are nearest to it.
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

    /// Clusters the rows. Of no rows: no clusters.
    public func run(_ vectors: VectorView, parallel: Parallel = .serial) -> Clustering {
        run(vectors, starting: nil, parallel: parallel, eachIteration: { _ in })
    }

    /// - Parameters:
    ///   - starting: the centroids to start from, in place of k-means++.
    ///   - eachIteration: is told the squared inertia after every assignment.
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

    /// How many rows a random sample needs so that each of `clusters` clusters, if it holds at least the share `minimumShare` of the
    /// rows, is met with probability `1 - missProbability` at least: `ln(clusters / missProbability) / minimumShare`, rounded up.
    ///
    /// One such cluster is missed with probability (1-p)^s <= e^(-ps); the union bound adds up all of them. The logarithm is
    /// `Elementary.log`, so the number is the same everywhere.
    public static func sampleSize(clusters: Int, minimumShare: Double, missProbability: Double) -> Int {
        precondition(
            clusters > 0 && minimumShare > 0 && minimumShare <= 1 && missProbability > 0 && missProbability < 1)
        let size = Elementary.log(Double(clusters) / missProbability) / minimumShare
        return Int(size.rounded(.up))
    }

    /// A number of clusters for `count` rows when none was asked for, and the words that explain it: the power of two next to √(count/2),
    /// 2 to 4,096 (1 for fewer than 8 rows).
    ///
    /// √(n/2) balances the two costs of clustered selection, n·k of the assignment and n²/k inside the clusters; a power of two says
    /// plainly that the number is a round one, and keeps it from changing with every record.
    public static func automaticClusters(_ count: Int) -> (clusters: Int, reason: String) {
        if count < 8 { return (1, "1 cluster: \(count) records are too few to part") }
        // Powers of two by squares: k is next to √(n/2) on the logarithmic scale when k²/2 <= n/2 < 2 k².
        var clusters = 2
        while clusters < 4096, 2 * clusters * clusters <= count / 2 { clusters *= 2 }
        return (
            clusters,
            "\(clusters) clusters: the power of two next to the square root of half of \(count) records, at most 4096"
        )
    }
}
