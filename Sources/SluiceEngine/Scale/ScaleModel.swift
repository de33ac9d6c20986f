import SluiceCore

/// What each task of a list costs: CPU seconds, and bytes to and from the file system that all processes share.
///
/// Records are spread evenly over the stored bytes, and none is dropped before the last selection: an upper bound.
struct ScaleModel {
    /// Of one task.
    struct Cost {
        var seconds = 0.0
        var read = 0.0
        var written = 0.0
    }

    /// What is known of the rows of a round.
    private struct RoundRows {
        var summary = 0.0
        /// Bytes of what its transforms write, a record.
        var transformed = 0.0
        /// Bytes of what its selection reads, a record.
        var gathered = 0.0
        var multiplyAdds = 0.0
        /// The number of bundles that have groups.
        var bundles = 1.0
    }

    /// Bytes of a hash and an ordinal; of a duplicate, of which a fifth of the records is assumed to be one; of a decision,
    /// with the line of the ledger; of a kept record's share in the outputs beside its own bytes.
    private static let hash = 24.0
    private static let duplicate = 16.0 / 5
    private static let decision = 230.0

    private let rates: ScaleRates
    private let list: TaskList
    /// For each stored byte.
    private let density: Double
    private let bytes: Double
    private let files: Double
    /// Bytes of the kept columns, a record.
    private let row: Double
    private let isOnlyReading: Bool
    private let selections: Int
    private var rounds: [Int: RoundRows] = [:]
    /// How much longer than by the rates the work takes on the measured machine.
    private var slowness = (reading: 1.0, columns: 1.0, writing: 1.0)

    private var parts: Double { Double(list.parts.count) }
    private var records: Double { bytes * density }

    init(_ run: RunContext, _ list: TaskList, records: Int, _ rates: ScaleRates, _ measurement: ScaleMeasurement?) {
        (self.rates, self.list) = (rates, list)
        bytes = Double(max(1, run.catalog.totalSize))
        files = Double(run.catalog.files.count)
        density = Double(records) / bytes
        row = Double(Plan.keptColumns(run.outline, run.chain, run.definition)?.width ?? 0)
        isOnlyReading = run.outline.later.isEmpty
        selections = run.outline.rounds.count { $0.last == .selection }
        for round in run.outline.rounds { rounds[round.number] = rows(of: round, run) }
        if let measurement { calibrate(measurement) }
    }

    private func rows(of round: RunOutline.Round, _ run: RunContext) -> RoundRows {
        var found = RoundRows()
        found.bundles = Double(max(1, list.bundles))
        for piece in round.pieces {
            let context = run.chain.context(piece.link, memory: run.shares.most)
            switch piece.body {
            case .survey(let survey): found.summary = Double(survey.memory(context).summary)
            case .selection(let selection):
                let groups = Plan.groups(of: selection.grouping, run.chain, records: Int(records))
                let types = run.chain.written(before: piece.link.index + 1)
                found.gathered = selection.columns.reduce(16) { sum, name in
                    sum + Double(types.last { $0.name == name }?.type.width ?? 0)
                }
                found.bundles = min(found.bundles, Double(groups))
                found.multiplyAdds = selection.multiplyAdds(
                    PlanEstimate(records: Int(records), groups: groups, resident: run.shares.resident), context)
            default: found.transformed += piece.writes.reduce(0) { $0 + Double($1.type.width) }
            }
        }
        if let survey = round.survey { found.transformed += survey.writes.reduce(0) { $0 + Double($1.type.width) } }
        return found
    }

    /// Compares the measured run with what the rates say of a run of its size in one process, which reads the input once
    /// less than tasks do.
    private mutating func calibrate(_ measured: ScaleMeasurement) {
        let share = Double(measured.bytes) / bytes
        var (columns, writing) = (0.0, 0.0)
        for phase in list.phases where phase.count > 0 {
            let kind = phase.kind(phase.number(at: 0))
            let once = kind.isOnce ? rates.learn : 0
            let sum = (0..<phase.count).reduce(0) { $0 + work(phase.kind(phase.number(at: $1))).seconds }
            switch kind.share {
            case .columns: columns += once > 0 ? once : sum * share
            case .writing: writing += sum * share
            case .reading, .none: break
            }
        }
        slowness.reading = measured.reading / (Double(measured.bytes) * (rates.perByte["read"] ?? 1))
        if columns > 0, measured.columns > 0 { slowness.columns = measured.columns / columns }
        if writing > 0, measured.writing > 0 { slowness.writing = measured.writing / writing }
    }

    /// Whether a task uses one CPU, however many there are.
    static func isSerial(_ kind: RunTask.Kind) -> Bool {
        switch kind {
        case .borders, .digest, .tally, .divide, .merge, .finish: true
        default: false
        }
    }

    /// What a task costs, with the start of its process.
    func cost(_ kind: RunTask.Kind) -> Cost {
        var cost = work(kind)
        switch kind.share {
        case .reading: cost.seconds *= slowness.reading
        case .columns: cost.seconds *= slowness.columns
        case .writing: cost.seconds *= slowness.writing
        case .none: break
        }
        cost.seconds += rates.start + rates.perFile * files
        return cost
    }

    private func byte(_ kind: RunTask.Kind) -> Double { rates.perByte[kind.kindName] ?? 0 }
    private func record(_ kind: RunTask.Kind) -> Double { rates.perRecord[kind.kindName] ?? 0 }

    private func work(_ kind: RunTask.Kind) -> Cost {
        let own = Double(list.bytes(of: kind))
        switch kind {
        case .lines, .digest: return Cost(seconds: own * byte(kind), read: own)
        case .hash: return Cost(seconds: own * byte(kind), read: own, written: own * density * Self.hash)
        case .contents: return Cost(seconds: own * byte(kind), read: own)
        case .candidates, .duplicates:
            let share = records / Double(max(1, list.buckets))
            return Cost(
                seconds: share * record(kind) + parts * rates.perOpened, read: share * Self.hash,
                written: share * Self.duplicate)
        case .read:
            let rows = own * density
            return Cost(
                seconds: own * (byte(kind) + (isOnlyReading ? byte(.write(part: 0)) : 0))
                    + Double(list.buckets) * rates.perOpened,
                read: own + rows * Self.duplicate,
                written: rows * row + (isOnlyReading ? own : 0))
        case .write:
            return Cost(
                seconds: own * byte(kind) + Double(list.bundles * selections) * rates.perOpened,
                read: own * (1 + density * Self.decision), written: own * Self.kept)
        case .finish:
            let outputs = bytes * (isOnlyReading ? 1 : Self.kept)
            return Cost(
                seconds: outputs * rates.joinedByte + parts * rates.perJoined, read: 2 * outputs, written: outputs)
        case .borders, .tally: return Cost(seconds: parts * rates.perOpened, read: parts * 1000)
        case .transform(let round, let part): return columns(kind, round, part)
        case .observe(let round, let part): return columns(kind, round, part)
        case .count(let round, let part): return columns(kind, round, part)
        case .gather(let round, let part): return columns(kind, round, part)
        case .settle(let round, let part): return columns(kind, round, part)
        case .divide: return Cost(seconds: parts * rates.perOpened)
        case .merge(let round, _, _), .learn(let round):
            let summary = self.summary(round)
            let read = summary * Double(min(list.parts.count, TaskList.fanIn))
            return Cost(
                seconds: read * rates.mergedByte + (kind.isOnce ? rates.learn : 0), read: read, written: summary)
        case .select(let round, let bundle):
            guard let found = rounds[round], Double(bundle) < found.bundles else { return Cost() }
            let rows = records / found.bundles
            return Cost(
                seconds: rows * record(kind) + found.multiplyAdds / found.bundles * rates.multiplyAdd
                    + parts * rates.perOpened,
                read: rows * found.gathered, written: rows * Self.decision)
        }
    }

    /// What is kept of the input, assumed to be a tenth.
    private static let kept = 0.1

    /// The largest summary of a part.
    private func summary(_ round: Int) -> Double {
        min(rounds[round]?.summary ?? 0, records / max(1, parts) * max(row, 64))
    }

    /// A task that reads the columns of a part.
    private func columns(_ kind: RunTask.Kind, _ round: Int, _ part: Int) -> Cost {
        let rows = Double(list.bytes(of: .read(part: part))) * density
        let found = rounds[round] ?? RoundRows()
        var cost = Cost(seconds: rows * record(kind), read: rows * row)
        switch kind {
        case .transform: cost.written = rows * found.transformed
        case .observe: cost.written = summary(round)
        case .count: cost.read = rows * 8
        case .gather: (cost.read, cost.written) = (rows * max(row, found.gathered), rows * found.gathered)
        case .settle:
            cost.seconds += Double(list.bundles) * rates.perOpened
            (cost.read, cost.written) = (rows * 16, rows * 8)
        default: break
        }
        return cost
    }
}

extension RunTask.Kind {
    /// The part of a run in one process in which its work is done.
    fileprivate enum Share {
        case reading, columns, writing, none
    }

    fileprivate var share: Share {
        switch self {
        case .lines, .hash, .candidates, .contents, .duplicates, .read: .reading
        case .transform, .observe, .merge, .learn, .count, .gather, .select, .settle: .columns
        case .write: .writing
        case .borders, .digest, .tally, .divide, .finish: .none
        }
    }

    fileprivate var isOnce: Bool { if case .learn = self { true } else { false } }

    /// Its phase without the number of a round.
    fileprivate var kindName: String { String(phase.prefix { $0 != "-" }) }
}
