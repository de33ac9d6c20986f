import SluiceCore
import SluiceEngine

/// The vectors of a run that `compare` measures: a sample of its pool, all kept records, and random sets of as many.
///
/// They are on disk, so memory holds only the keys of the pool's sample.
struct ComparedPool {
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
    private var sets: [RandomSet]
    private var labels: (all: Set<ContentHash>, kept: Set<ContentHash>) = ([], [])

    /// The bytes that it holds, for a sample of this size.
    static func memory(sample: Int, randomSets: Int) -> Int {
        3 * VectorSpill.memory + (sample + novelSumLimit) * 5 / 4 * 80 + randomSets * RandomSet.memory
    }

    /// - Parameters:
    ///   - sample: the most records of the pool to measure.
    ///   - kept: the kept records.
    ///   - randomSets: how many sets of as many records to draw.
    init(dimension: Int, sample: Int, kept: Int, randomSets: Int) throws {
        self.dimension = dimension
        chosen = try VectorSpill(dimension: dimension)
        pool = try VectorSpill(dimension: dimension)
        random = try VectorSpill(dimension: dimension)
        self.sample = SampledValues(max(1, sample))
        sets = kept > 0 ? try (0..<randomSets).map { _ in try RandomSet(most: kept) } : []
    }

    mutating func add(_ record: RunRecord) throws {
        guard let vector = record.vector else { return }
        records += 1
        let isKept = record.loss == nil
        let place = record.ordinal.rawValue
        let draw = RunVectors.seed.draw(record.hash)
        var isSampled = false
        sample.offer(.init(draw: draw, hash: record.hash, ordinal: place)) {
            isSampled = true
            return pool.rows
        }
        if isSampled { try pool.append(vector) }
        var isDrawn = false
        for index in sets.indices {
            let own = Seed(0).derived(for: "compare-random", index: index).draw(record.hash)
            isDrawn = try sets[index].offer(own, row: random.rows) || isDrawn
        }
        if isDrawn { try random.append(vector) }
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
    var randomSets: Range<Int> { sets.indices }

    /// The kept records that NovelSum uses.
    func novelVectors() throws -> [Int8] { try chosen.gather(novel.lowest) }

    func sampled(_ rows: some Sequence<Int>) throws -> [Int8] { try pool.gather(rows) }

    /// The vectors of a random set of as many records as are kept, in pieces.
    func forEachDrawn(_ set: Int, of piece: Int, _ body: ([Int8]) throws -> Void) throws {
        try sets[set].forEachPiece(chosen.rows, of: piece) { try body(try random.gather($0)) }
    }
}
