import SluiceCore
import SluiceEngine

/// The vectors of a run that `compare` measures: a sample of its pool, all kept records, and random sets of as many.
///
/// They are on disk, so memory holds only the keys of the samples.
struct ComparedPool {
    /// The random sets that a run is held against: with 19, a run that is better than all has p = 0.05.
    static let draws = 19
    /// The most kept records for which sets are drawn.
    static let mostDrawn = 20_000
    /// The most kept records that NovelSum uses; its cost grows with their square.
    static let novelSumLimit = 5000

    let dimension: Int
    /// The records of the pool.
    private(set) var records = 0
    let chosen: VectorSpill
    private let pool: VectorSpill
    private let random: VectorSpill
    private var sample: SampledValues<Int>
    private var novel = SampledValues<Int>(novelSumLimit)
    private var sets: [SampledValues<Int>]
    private var labels: (all: Set<ContentHash>, kept: Set<ContentHash>) = ([], [])

    /// The bytes that it holds, for samples of these sizes.
    static func memory(sample: Int, kept: Int) -> Int {
        let keys = sample + novelSumLimit + (kept <= mostDrawn ? draws * kept : 0)
        return 3 * VectorSpill.memory + keys * 5 / 4 * 80
    }

    /// - Parameters:
    ///   - sample: the most records of the pool to measure.
    ///   - kept: the kept records.
    init(dimension: Int, sample: Int, kept: Int) throws {
        self.dimension = dimension
        chosen = try VectorSpill(dimension: dimension)
        pool = try VectorSpill(dimension: dimension)
        random = try VectorSpill(dimension: dimension)
        self.sample = SampledValues(max(1, sample))
        sets = (1...Self.mostDrawn).contains(kept) ? (0..<Self.draws).map { _ in SampledValues(kept) } : []
    }

    mutating func add(_ record: RunRecord) throws {
        guard let vector = record.vector else { return }
        records += 1
        let isKept = record.loss == nil
        let place = record.ordinal.rawValue
        let draw = RunVectors.seed.draw(record.hash)
        func spill(_ file: VectorSpill, _ sample: inout SampledValues<Int>, _ key: BottomSample.Key) throws {
            let row = file.rows
            var isNew = false
            sample.offer(key) {
                isNew = true
                return row
            }
            if isNew { try file.append(vector) }
        }
        try spill(pool, &sample, .init(draw: draw, hash: record.hash, ordinal: place))
        for index in sets.indices {
            let own = Seed(0).derived(for: "compare-random", index: index).draw(record.hash)
            try spill(random, &sets[index], .init(draw: own, hash: record.hash, ordinal: place))
        }
        if isKept {
            // Equal kept records all count, so the place is part of the key.
            novel.offer(.init(draw: draw, hash: ContentHash(high: draw, low: place), ordinal: place)) { chosen.rows }
            try chosen.append(vector)
        }
        guard let hash = record.labelHash else { return }
        labels.all.insert(hash)
        if isKept { labels.kept.insert(hash) }
    }

    /// Distinct values of the label in the pool and among the kept records.
    var labelCounts: (all: Int, kept: Int) { (labels.all.count, labels.kept.count) }

    // MARK: Vectors

    /// The rows of the pool's sample, in the order of their draws.
    var sampledRows: [Int] { sample.lowest }
    /// The rows of each random set.
    var drawnRows: [[Int]] { sets.map { $0.lowest.sorted() } }

    /// The kept records that NovelSum uses.
    func novelVectors() throws -> [Int8] { try chosen.gather(novel.lowest) }

    func sampled(_ rows: some Sequence<Int>) throws -> [Int8] { try pool.gather(rows) }

    func drawn(_ rows: some Sequence<Int>) throws -> [Int8] { try random.gather(rows) }
}
