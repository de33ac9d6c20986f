public import SluiceCore
import SluiceGeometry

extension ColumnName {
    /// The chord distance from a record's vector to the centre of its cluster.
    public static let clusterDistance: ColumnName = "cluster_distance"
}

/// Groups similar records into clusters.
///
/// One pass fills a reservoir, integer k-means runs on it, and every record is assigned to its nearest centre.
public struct ClusterStage: Stage {
    public static let descriptor = Descriptor(
        name: "cluster",
        summary: "Groups similar records into clusters.",
        discussion: """
            Reads `embedding`, or the column that `vectors` names. One pass fills a reservoir with a uniform sample of the distinct contents (those whose \
            hash and seed draw the smallest numbers, so order, threads and shards do not matter). K-means runs on it \
            in exact integers; then every record gets the number of its nearest centre, ties to the lowest.

            initial: k-means++ is the greedy form of Arthur and Vassilvitskii's start. k-means|| (Bahmani et al., VLDB \
            2012) draws about 5 candidates per cluster in 5 rounds and runs k-means++ on these, weighted. It takes 1.2 \
            to 4 times as long; the mean squared distance was up to half a percent lower with 4096 clusters and the \
            same with 256.

            clusters auto: the power of two next to √(n/2) for n records, at most 4096, and at most as many as the \
            reservoir can supply. reservoir auto: large enough that a cluster with a twentieth of the average share is \
            sampled with probability .99, s ≥ ln(k/δ)/p with p = 1/(20 k) and δ = .01 for each of k clusters, from \
            10,000 to 131,072 records; 65,536 where the number of clusters is auto too. A smaller cluster may be \
            missed; its records then join the nearest other cluster. `sluice plan` shows s, p and δ. Memory: about \
            (dimension + 40) · 1.25 bytes per record of the reservoir for each thread that there is room for (at least \
            one), and (dimension + 96) at the end; k-means|| needs 6 · dimension bytes per cluster more.
            """,
        options: [
            OptionSpec(
                "clusters", .either([.choice(["auto"]), .integer(1...65_536)]), default: "auto",
                help: "number of clusters", example: "64"),
            OptionSpec(
                "reservoir", .either([.choice(["auto"]), .integer(1...16_777_216)]), default: "auto",
                help: "number of records that k-means runs on", example: "20000"),
            OptionSpec(
                "iterations", .integer(0...1000), default: 20, help: "most iterations of Lloyd's algorithm",
                example: "20"),
            OptionSpec(
                "initial", .choice(Initial.allCases.map(\.rawValue)), default: .text(Initial.plusPlus.rawValue),
                help: "initial centres: spread out, in one of two ways, or records drawn from the sample",
                example: "k-means++"),
            OptionSpec(
                "vectors", .column(.vector), default: "embedding",
                help: "the column of vectors, as `embed` names it by `as`", example: "gradients"),
        ])

    /// The reciprocal of the least cluster size, as a share of the average, that the reservoir must sample almost
    /// surely.
    static let shareOfAverage = 20.0
    static let missProbability = 0.01
    static let automaticReservoir = 65_536
    static let reservoirRange = 10_000...131_072

    let clusters: Int?
    let reservoir: Int?
    let iterations: Int
    let initial: Initial
    let vectors: ColumnName

    /// The initial centres of k-means.
    enum Initial: String, CaseIterable, Sendable {
        case plusPlus = "k-means++"
        case parallel = "k-means||"
        case random
    }

    public init(options: OptionValues) throws(StageError) {
        clusters = options["clusters"] == "auto" ? nil : try options.integer("clusters")
        reservoir = options["reservoir"] == "auto" ? nil : try options.integer("reservoir")
        iterations = try options.integer("iterations")
        guard let initial = Initial(rawValue: try options.text("initial")) else {
            throw .option("initial", "unknown value `\(try options.text("initial"))`")
        }
        self.initial = initial
        vectors = ColumnName(try options.text("vectors"))
        if let clusters, let reservoir, reservoir < clusters {
            throw .option(
                "reservoir",
                "a reservoir of \(reservoir) records can't give \(clusters) clusters; make it larger or leave it out")
        }
    }

    public var reads: [Input] { [.column(vectors, .vector)] }
    public var writes: [ColumnSpec] { [ColumnSpec(.cluster, .integer), ColumnSpec(.clusterDistance, .real)] }

    public func warnings(after columns: [ColumnSpec]) -> [String] {
        guard columns.last(where: { $0.name == vectors })?.isSpelling == true else { return [] }
        return [
            "`\(vectors.name)` sees how texts are spelled, not what they mean: clusters are of similar spelling; `embed: {model: lsa}` learns which words go together"
        ]
    }

    /// The capacity of the reservoir, in records.
    var capacity: Int {
        if let reservoir { return reservoir }
        guard let clusters else { return Self.automaticReservoir }
        let range = Self.reservoirRange
        return max(clusters, min(max(Self.sampleSize(clusters), range.lowerBound), range.upperBound))
    }

    /// About how many vectors the start copies: each round of k-means|| adds one per cluster.
    func candidates(capacity: Int) -> Int {
        guard initial == .parallel else { return 0 }
        return min(capacity, 6 * (clusters ?? KMeans.automaticClusters(.max).clusters))
    }

    /// The sample size needed for this many clusters, in records.
    static func sampleSize(_ clusters: Int) -> Int {
        KMeans.sampleSize(
            clusters: clusters, minimumShare: 1 / (shareOfAverage * Double(clusters)), missProbability: missProbability)
    }

    public func body(_ context: StageContext) throws(StageError) -> StageBody {
        .survey(ReservoirSurvey(stage: self, seed: context.seed))
    }
}

/// Fills the reservoir, then runs k-means.
struct ReservoirSurvey: Survey {
    let stage: ClusterStage
    let seed: Seed

    func memory(_ context: StageContext) -> SurveyMemory {
        let dimension = context.dimension(of: stage.vectors) ?? 0
        func memory(_ capacity: Int) -> SurveyMemory {
            // The sorted sample; labels, distances and bounds of k-means; its start with the 8,192 rows that judge
            // candidates; and the centres, packed twice: all, and the fast ones.
            let centres = min(stage.clusters ?? KMeans.automaticClusters(.max).clusters, capacity)
            return SurveyMemory(
                summary: Reservoir.bytes(capacity: capacity, dimension: dimension),
                finish: capacity * (dimension + 96) + (min(capacity, 8192) + stage.candidates(capacity: capacity))
                    * dimension + centres * (dimension + 64) * 6,
                leaves: NearestCentre.bytes(centres: centres, dimension: dimension))
        }
        var need = memory(stage.capacity)
        // The largest power of two that fits: a round number is worth more than the last few records.
        var fitting = 1
        while memory(fitting * 2).least <= context.memory { fitting *= 2 }
        for step in [fitting / 2, fitting / 4] where memory(fitting + step).least <= context.memory { fitting += step }
        if fitting < stage.capacity, fitting >= stage.clusters ?? 1 {
            need.advice = "set `reservoir` to at most \(fitting)"
        }
        return need
    }

    func notes(_ estimate: PlanEstimate, _ context: StageContext) -> [String] {
        let need = memory(context)
        let sizes =
            "\(MemorySize.describe(need.summary)) per thread that there is room for, \(MemorySize.describe(need.finish)) at the end"
        let records = min(stage.capacity, estimate.records)
        guard let clusters = stage.clusters else {
            let (count, _) = number(records: estimate.records, sample: records)
            return [
                "clusters auto: the power of two next to √(n/2), at most 4096 and what the reservoir can supply; \(count) for \(estimate.records) records",
                "reservoir \(origin): \(stage.capacity) records; \(sizes)", met(clusters: count, of: estimate.records),
            ]
        }
        let p = 1 / (ClusterStage.shareOfAverage * Double(clusters))
        let wanted = ClusterStage.sampleSize(clusters)
        let rule =
            "s ≥ ln(k/δ)/p = \(wanted) with k = \(clusters), p = 1/\(Int(ClusterStage.shareOfAverage) * clusters) = \(Self.figure(p)), δ = \(ClusterStage.missProbability)"
        guard stage.reservoir == nil else {
            return [
                "reservoir \(stage.capacity) as the definition says (auto: \(rule)); \(sizes)",
                met(clusters: clusters, of: estimate.records),
            ]
        }
        let range = ClusterStage.reservoirRange
        let cut =
            stage.capacity == wanted
            ? ""
            : ", adjusted to \(stage.capacity): auto stays within \(range.lowerBound) to \(range.upperBound), with at least one per cluster"
        return ["reservoir auto: \(rule)\(cut); \(sizes)", met(clusters: clusters, of: estimate.records)]
    }

    private var origin: String { stage.reservoir == nil ? "auto" : "as the definition says" }

    /// The smallest cluster that the reservoir samples almost surely.
    private func met(clusters: Int, of records: Int) -> String {
        let rows = min(stage.capacity, records)
        let share = Self.shareMet(rows: rows, of: records, clusters: clusters)
        if share == 0 { return "all \(records) records fit in it, so no cluster is missed" }
        return
            "a cluster with at least \(Self.figure(share)) of the records is sampled with probability \(Self.figure(1 - ClusterStage.missProbability)) or more"
    }

    /// Two digits of a number below 1, such as `0.00078`.
    private static func figure(_ value: Double) -> String {
        guard value > 0, value < 1 else { return "\(value)" }
        var (scaled, zeros) = (value, 0)
        while scaled < 0.1 { (scaled, zeros) = (scaled * 10, zeros + 1) }
        let digits = Int((scaled * 100).rounded())
        if digits == 100 { return "0." + String(repeating: "0", count: max(0, zeros - 1)) + (zeros > 0 ? "10" : "99") }
        return "0." + String(repeating: "0", count: zeros) + "\(digits)"
    }

    func makeSummary() -> Reservoir { Reservoir(capacity: stage.capacity) }

    func observe(_ block: borrowing Block, into summary: inout Reservoir) throws(StageError) {
        let vectors = try block.vectors(stage.vectors)
        for record in 0..<block.count where block.isLive(record) {
            let hash = block.hashes[record]
            summary.offer(
                BottomSample.Key(draw: seed.draw(hash), hash: hash, ordinal: block.ordinals[record].rawValue),
                vectors[record])
        }
    }

    func merge(_ other: Reservoir, into summary: inout Reservoir) { summary.merge(other) }

    func finish(_ summary: consuming Reservoir, _ context: StageContext) throws(StageError) -> SurveyResult<Centres> {
        var sample = consume summary
        sample.settle()
        let rows = sample.keys.count
        guard rows > 0 else {
            return SurveyResult(Centres(), report: ["records": 0, "clusters": 0])
        }
        let (wanted, reason) = number(records: sample.seen, sample: rows)
        let result = sample.vectors.withVectors(dimension: sample.dimension) { view in
            let clusters = min(wanted, rows)
            let means = KMeans(
                clusters: clusters, maximumIterations: stage.iterations, seed: context.seed,
                start: stage.initial == .parallel ? .parallel() : .plusPlus)
            guard stage.initial == .random else { return means.run(view, parallel: context.parallel) }
            // The keys are random draws, so the first records are a random choice.
            return means.run(
                view, starting: Array(sample.vectors[..<(clusters * sample.dimension)]), parallel: context.parallel,
                eachIteration: { _ in })
        }
        let sizes = result.sizes.sorted()
        let report: JSONValue = [
            "records": .integer(sample.seen),
            "clusters": .integer(result.count),
            "why": .text(reason),
            "reservoir": [
                "records": .integer(rows),
                "capacity": .integer(stage.capacity),
                "holds_all_records": .flag(!sample.isCut),
                "met_with_probability": .real(sample.isCut ? 1 - ClusterStage.missProbability : 1),
                "share_of_records_met": .real(
                    !sample.isCut
                        ? 1 / Double(rows) : Self.shareMet(rows: rows, of: sample.seen, clusters: result.count)),
            ],
            "initial": .text(stage.initial.rawValue),
            "iterations": .integer(result.iterations),
            "converged": .flag(result.converged),
            "mean_squared_distance": .real(result.inertia / Double(rows)),
            "sizes_in_reservoir": [
                "least": .integer(sizes.first!), "median": .integer(sizes[sizes.count / 2]),
                "most": .integer(sizes.last!),
                "empty": .integer(sizes.count { $0 == 0 }),
            ],
        ]
        return SurveyResult(Centres(values: result.centroids, dimension: sample.dimension), report: report)
    }

    func makeBody(_ outcome: Centres, _ context: StageContext) throws(StageError) -> StageBody {
        .transform(NearestCentre(outcome, of: stage.vectors))
    }

    /// The least share of the records that a cluster needs to be sampled with the stated probability; 0 if the
    /// reservoir holds everything.
    static func shareMet(rows: Int, of seen: Int, clusters: Int) -> Double {
        rows == seen ? 0 : min(1, Elementary.log(Double(clusters) / ClusterStage.missProbability) / Double(rows))
    }

    /// The number of clusters to make, and why.
    func number(records: Int, sample: Int) -> (clusters: Int, reason: String) {
        if let clusters = stage.clusters {
            return clusters <= sample
                ? (clusters, "as the definition says")
                : (sample, "the definition says \(clusters), but there are only \(sample) distinct records")
        }
        var (clusters, reason) = KMeans.automaticClusters(records)
        if sample < records {
            while clusters > 1, ClusterStage.sampleSize(clusters) > sample { clusters /= 2 }
            reason +=
                clusters < KMeans.automaticClusters(records).clusters
                ? "; a reservoir of \(sample) can supply at most \(clusters)" : ""
        }
        if clusters > sample {
            clusters = sample
            reason += "; there are only \(sample) distinct ones"
        }
        return (clusters, reason)
    }
}

/// The centres of all clusters, row-major; empty if no record reached the stage.
struct Centres: ByteCodable, Sendable {
    private(set) var values: [Int8] = []
    private(set) var dimension = 0

    init(values: [Int8] = [], dimension: Int = 0) { (self.values, self.dimension) = (values, dimension) }

    func write(to bytes: inout ByteWriter) {
        bytes.write(dimension)
        bytes.write(values)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        dimension = try bytes.read()
        values = try bytes.read()
        guard values.isEmpty || (dimension > 0 && values.count.isMultiple(of: dimension)) else {
            throw ByteReader.damaged("\(values.count) numbers are no vectors of \(dimension) dimensions")
        }
    }
}

/// Assigns every record to its nearest centre.
struct NearestCentre: Transform {
    private let assigner: Assigner?
    /// The column of vectors.
    private let name: ColumnName

    /// Memory of the centres in bytes: each is stored as made and packed for the kernels, with its norm.
    static func bytes(centres: Int, dimension: Int) -> Int { centres * (2 * dimension + 256) + (64 << 10) }

    var residentBytes: Int { assigner.map { Self.bytes(centres: $0.count, dimension: $0.dimension) } ?? 0 }

    init(_ centres: Centres, of name: ColumnName) {
        self.name = name
        assigner =
            centres.values.isEmpty
            ? nil : centres.values.withVectors(dimension: centres.dimension) { Assigner(centres: $0) }
    }

    func apply(to block: inout Block) throws(StageError) {
        guard let assigner else {
            block.write(.cluster, .integers([Int64](repeating: 0, count: block.count)))
            if block.isWanted(.clusterDistance) {
                block.write(.clusterDistance, .reals([Double](repeating: 0, count: block.count)))
            }
            return
        }
        let vectors = try block.vectors(name)
        guard vectors.dimension == assigner.dimension else {
            throw StageError(
                .invalidData, "a vector has \(vectors.dimension) dimensions; others have \(assigner.dimension)",
                ordinal: block.ordinals.first)
        }
        let (labels, squared) = vectors.values.withVectors(dimension: vectors.dimension) { assigner.assign($0) }
        block.write(.cluster, .integers(labels.map { Int64($0) }))
        if block.isWanted(.clusterDistance) {
            let quantizer = Quantizer(dimension: vectors.dimension)
            block.write(.clusterDistance, .reals(squared.map { quantizer.chord(fromSquared: $0) }))
        }
    }
}

/// `cluster` in a definition written in Swift.
public struct Cluster: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameter clusters: nil chooses the number from the number of records.
    public init(
        clusters: Int? = nil, reservoir: Int? = nil, iterations: Int? = nil, initial: String? = nil,
        vectors: String? = nil
    ) {
        var options = OptionValues()
        options["clusters"] = clusters.map { .integer($0) }
        options["reservoir"] = reservoir.map { .integer($0) }
        options["iterations"] = iterations.map { .integer($0) }
        options["initial"] = initial.map { .text($0) }
        options["vectors"] = vectors.map { .text($0) }
        stageSpec = StageSpec("cluster", options)
    }
}
