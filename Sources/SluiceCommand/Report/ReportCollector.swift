import SluiceCore
import SluiceEngine

/// Counts and samples of a pass over a run's input. Memory: at most about 40 MiB, whatever the input is.
struct ReportCollector {
    /// A record of the pool on the map.
    struct Mapped {
        let vector: [Int8]
        let text: RecordText
    }

    /// The records that one stage dropped for one reason.
    struct Lost {
        let stage: String
        let reason: String
        var count = 0
        var texts = SampledValues<RecordText>(ReportCollector.mostTexts)
        /// Of those that lost to another record, the nearest ones if distances are known, and random ones.
        var near = SampledValues<Pair>(3)
        var pairs = SampledValues<Pair>(3)
    }

    struct Pair {
        let lost: RecordText
        let kept: Ordinal
        let distance: Double?
    }

    static let mostTexts = 6
    static let mostLabels = 10_000
    private static let mostLabelBytes = 200
    private static let mostReasons = 40
    /// The most records that are held of a reason: those of its samples with their slack.
    private static let textsOfReason = 36
    private static let mapPool = 2500
    private static let mapKept = 800
    private static let mapTextBytes = 2 << 10
    private static let groupTexts = 24
    private static let seed = Seed(0).derived(for: "report")

    /// The rows of the pool whose distances are measured, by the dimension of the vectors alone.
    static func poolRows(dimension: Int) -> Int { max(2000, min(20_000, (8 << 20) / max(1, dimension))) }

    /// What it holds beside the reading, in bytes.
    static func memory(dimension: Int) -> Int {
        let vectors = poolRows(dimension: dimension) * (dimension + 96) * 5 / 2
        let mapped = mapPool * 5 / 4 * (dimension + mapTextBytes) + mapKept * 2 * dimension
        return vectors + mapped + 50 * groupTexts * mapTextBytes + mostReasons * textsOfReason * RecordText.mostBytes
            + (6 << 20) + VectorSpill.memory
    }

    var files: [RunReport.Tally]
    private(set) var labels: [String: RunReport.Tally] = [:]
    private(set) var hasTooManyLabels = false
    private(set) var lost: [Lost] = []
    private(set) var distances: [RunReport.Distances] = []
    private(set) var kept = SampledValues<RecordText>(2 * mostTexts)
    private(set) var pool: SampledValues<[Int8]>
    private(set) var mapped = SampledValues<Mapped>(mapPool)
    private(set) var mappedKept = SampledValues<[Int8]>(mapKept)
    /// The vectors of all kept records, and the step of the curve that each belongs to.
    let chosen: VectorSpill?
    private(set) var steps: [UInt8] = []
    private(set) var groups: [JSONValue: SampledValues<RecordText>]
    private let picks: RunLines?
    private let ranks: RankSteps?
    private let groupColumn: String?

    /// - Parameters:
    ///   - groups: the groups whose kept records are sampled, by the values of the column of the run's picks that
    ///     `groupColumn` names.
    init(
        files: [String], dimension: Int, picks: RunLines?, ranks: RankSteps?, groupColumn: String?,
        groups: [JSONValue]
    ) throws {
        self.files = files.map { RunReport.Tally(name: $0) }
        (self.picks, self.ranks, self.groupColumn) = (picks, ranks, groupColumn)
        pool = SampledValues(Self.poolRows(dimension: dimension))
        chosen = dimension > 0 ? try VectorSpill(dimension: dimension) : nil
        self.groups = Dictionary(
            groups.map { ($0, SampledValues(Self.groupTexts)) }, uniquingKeysWith: { first, _ in first })
    }

    mutating func add(_ record: RunRecord) throws {
        let key = BottomSample.Key(
            draw: Self.seed.draw(record.hash), hash: record.hash, ordinal: record.ordinal.rawValue)
        let isKept = record.loss == nil
        count(record, isKept)
        if let loss = record.loss { add(record, loss, key) } else { try addKept(record, key) }
        guard let vector = record.vector else { return }
        pool.offer(key) { Array(vector) }
        mapped.offer(key) { Mapped(vector: Array(vector), text: RecordText(record, most: Self.mapTextBytes)) }
    }

    private mutating func count(_ record: RunRecord, _ isKept: Bool) {
        files[record.ordinal.file].read += 1
        if isKept { files[record.ordinal.file].kept += 1 }
        guard let value = record.label.content else { return }
        let name = String(decoding: value.prefix(Self.mostLabelBytes), as: UTF8.self)
        guard labels[name] != nil || labels.count < Self.mostLabels else {
            hasTooManyLabels = true
            return
        }
        labels[name, default: RunReport.Tally(name: name)].read += 1
        if isKept { labels[name]?.kept += 1 }
    }

    private mutating func addKept(_ record: RunRecord, _ key: BottomSample.Key) throws {
        kept.offer(key) { RecordText(record) }
        let pick = try picks?.next()
        if let group = groupColumn.flatMap({ pick?[$0] }) {
            groups[group]?.offer(key) { RecordText(record, most: Self.mapTextBytes) }
        }
        guard let vector = record.vector, let chosen else { return }
        try chosen.append(vector)
        steps.append(ranks?.step(of: pick) ?? 0)
        mappedKept.offer(key) { Array(vector) }
    }

    private mutating func add(_ record: RunRecord, _ loss: RunLoss, _ key: BottomSample.Key) {
        let index: Int
        if let known = lost.firstIndex(where: { $0.stage == loss.stage && $0.reason == loss.reason }) {
            index = known
        } else {
            guard lost.count < Self.mostReasons else { return }
            lost.append(Lost(stage: loss.stage, reason: loss.reason))
            index = lost.count - 1
        }
        lost[index].count += 1
        lost[index].texts.offer(key) { RecordText(record) }
        if let distance = loss.distance { add(distance, of: loss.stage) }
        guard let partner = loss.partner else { return }
        func pair() -> Pair { Pair(lost: RecordText(record), kept: partner, distance: loss.distance) }
        lost[index].pairs.offer(key, pair)
        guard let distance = loss.distance, distance >= 0 else { return }
        // The bits of numbers that are not negative are in their order.
        let nearness = BottomSample.Key(draw: distance.bitPattern, hash: key.hash, ordinal: key.ordinal)
        lost[index].near.offer(nearness, pair)
    }

    private mutating func add(_ distance: Double, of stage: String) {
        let count = Int(2 / RunReport.Distances.step)
        if !distances.contains(where: { $0.stage == stage }) {
            distances.append(.init(stage: stage, bins: Array(repeating: 0, count: count)))
        }
        guard let index = distances.firstIndex(where: { $0.stage == stage }) else { return }
        let bin = Int((max(0, min(2, distance)) / RunReport.Distances.step).rounded(.down))
        distances[index].bins[min(count - 1, bin)] += 1
    }
}

/// The kept records of smaller budgets, in steps: the first picks of every group, since ranks nest.
struct RankSteps {
    static let count = 20

    /// For each rank the step in which a record of that rank joins, from 1.
    private var steps: [UInt8] = []
    /// The kept records up to each step.
    private(set) var kept = [Int](repeating: 0, count: count + 1)

    /// Reads the picks once. Nil if they have no ranks. Memory: 5 bytes for each rank.
    ///
    /// - Parameter records: the records of the run, of which no rank is larger.
    init?(_ picks: RunLines, records: Int) throws {
        var counts: [UInt32] = []
        while let pick = try picks.next() {
            guard let rank = pick["rank"]?.integerValue, (0..<max(1, records)).contains(rank) else { return nil }
            if rank >= counts.count { counts += Array(repeating: 0, count: rank - counts.count + 1) }
            counts[rank] += 1
        }
        let all = counts.reduce(0) { $0 + Int($1) }
        guard all > 0 else { return nil }
        var before = 0
        for count in counts {
            before += Int(count)
            let step = (before * Self.count + all - 1) / all
            steps.append(UInt8(step))
            kept[step] = before
        }
    }

    func step(of pick: JSONValue?) -> UInt8 {
        guard let rank = pick?["rank"]?.integerValue, steps.indices.contains(rank) else { return UInt8(Self.count) }
        return steps[rank]
    }
}
