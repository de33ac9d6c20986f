// Stages that look right, each with a mistake that authors make; and a few that are right. See HostileStageTests.
import SluiceCore
import Synchronization

// MARK: Transforms

protocol HostileTransform: Stage, Transform {
    static var name: String { get }
    init()
}

extension HostileTransform {
    static var descriptor: Descriptor { Descriptor(name: name, summary: "Has a fault.") }
    init(options: OptionValues) throws(StageError) { self.init() }
    var reads: [Input] { [] }
    var writes: [ColumnSpec] { [] }
}

struct MisspeltOption: Stage, Transform {
    static let descriptor = Descriptor(
        name: "misspelt-option", summary: "Has a fault.",
        options: [OptionSpec("least", .integer(1...9), default: 1, help: "a number")])
    let reads: [Input] = []
    let writes: [ColumnSpec] = []
    init(options: OptionValues) throws(StageError) { _ = try options.integer("leest") }
    func apply(to block: inout Block) {}
}

struct OptionWithoutDefault: Stage, Transform {
    static let descriptor = Descriptor(
        name: "option-without-default", summary: "Has a fault.",
        options: [OptionSpec("least", .integer(1...9), help: "a number")])
    let reads: [Input] = []
    let writes: [ColumnSpec] = []
    init(options: OptionValues) throws(StageError) { _ = try options.integer("least") }
    func apply(to block: inout Block) {}
}

struct PeeksAtColumn: HostileTransform {
    static let name = "peeks-at-column"
    func apply(to block: inout Block) {
        guard case .integers(let clusters)? = block["cluster"] else { return }
        for record in block.live where clusters[record] > 1 { block.drop(record, reason: "far") }
    }
}

struct NeedsColumn: HostileTransform {
    static let name = "needs-column"
    func apply(to block: inout Block) throws(StageError) {
        let scores = try block.numbers("score")
        for record in block.live where scores[record] < 1 { block.drop(record, reason: "low") }
    }
}

struct PeeksAtRecord: HostileTransform {
    static let name = "peeks-at-record"
    func apply(to block: inout Block) {
        guard let lines = block.lines else { return }
        for record in block.live where lines[record].count > 20 { block.drop(record, reason: "long") }
    }
}

struct ReadsWords: HostileTransform {
    static let name = "reads-words"
    var reads: [Input] { [.column("words", .integer)] }
    func apply(to block: inout Block) throws(StageError) { _ = try block.integers("words") }
}

struct MisspeltInput: HostileTransform {
    static let name = "misspelt-input"
    var reads: [Input] { [.column("words", .integer)] }
    func apply(to block: inout Block) throws(StageError) { _ = try block.integers("word") }
}

struct InvalidInput: HostileTransform {
    static let name = "invalid-input"
    var reads: [Input] { [.column("word count", .integer)] }
    func apply(to block: inout Block) {}
}

struct KeepsState: HostileTransform {
    static let name = "keeps-state"
    final class Seen: Sendable { let count = Atomic<Int>(0) }
    let seen = Seen()
    func apply(to block: inout Block) {
        for record in block.live where seen.count.add(1, ordering: .relaxed).newValue % 3 == 0 {
            block.drop(record, reason: "third")
        }
    }
}

/// Writes the most frequent word of each text, and of several the one that its dictionary has first.
struct DictionaryOrder: HostileTransform {
    static let name = "dictionary-order"
    var reads: [Input] { [.field("text")] }
    var writes: [ColumnSpec] { [ColumnSpec("word", .bytes)] }
    func apply(to block: inout Block) {
        let texts = block.field("text")
        block.write(
            "word",
            .texts(
                (0..<block.count).map { record in
                    let words = (texts[record].string ?? []).split(separator: 0x20)
                    let counts = Dictionary(words.map { (Array($0), 1) }, uniquingKeysWith: +)
                    return String(decoding: counts.max { $0.value < $1.value }?.key ?? [], as: UTF8.self)
                }))
    }
}

struct BadName: HostileTransform {
    static let name = "bad-name"
    var writes: [ColumnSpec] { [ColumnSpec("word count", .integer)] }
    func apply(to block: inout Block) { block.write("word count", .integers(.init(repeating: 1, count: block.count))) }
}

struct MisspeltName: HostileTransform {
    static let name = "misspelt-name"
    var writes: [ColumnSpec] { [ColumnSpec("words", .integer)] }
    func apply(to block: inout Block) { block.write("word", .integers(.init(repeating: 1, count: block.count))) }
}

struct ZeroForMissing: HostileTransform {
    static let name = "zero-for-missing"
    var reads: [Input] { [.field("score")] }
    var writes: [ColumnSpec] { [ColumnSpec("half", .real)] }
    func apply(to block: inout Block) {
        let scores = block.field("score")
        block.write("half", .reals((0..<block.count).map { (scores[$0].number ?? 0) / 2 + 1 }))
    }
}

struct ZeroInMeasure: HostileTransform {
    static let name = "zero-in-measure"
    var reads: [Input] { [.field("score")] }
    func apply(to block: inout Block) {
        let scores = block.field("score")
        for record in block.live {
            let score = scores[record].number ?? 0
            if score < 30 { block.drop(record, reason: "low", measures: [Measure("score", .real(score))]) }
        }
    }
}

struct MissingStaysMissing: HostileTransform {
    static let name = "missing-stays"
    var reads: [Input] { [.field("score"), .field("delta")] }
    var writes: [ColumnSpec] { [ColumnSpec("sum", .real)] }
    func apply(to block: inout Block) {
        block.write("sum", .reals(zip(block.field("score").numbers, block.field("delta").numbers).map { $0 + $1 }))
    }
}

struct MissingIsDropped: HostileTransform {
    static let name = "missing-is-dropped"
    var reads: [Input] { [.field("score")] }
    var writes: [ColumnSpec] { [ColumnSpec("whole", .integer)] }
    func apply(to block: inout Block) {
        let scores = block.field("score")
        var whole = [Int64](repeating: 0, count: block.count)
        for record in block.live {
            if let score = scores[record].number {
                whole[record] = Int64(score)
            } else {
                block.drop(record, reason: "no-number")
            }
        }
        block.write("whole", .integers(whole))
    }
}

struct Threshold: HostileTransform {
    static let name = "threshold"
    var reads: [Input] { [.field("score"), .field("delta")] }
    func apply(to block: inout Block) {
        let (scores, deltas) = (block.field("score"), block.field("delta"))
        for record in block.live {
            guard let score = scores[record].number, score >= 5 else {
                block.drop(record, reason: "low")
                continue
            }
            if let delta = deltas[record].number, delta > 5 { block.drop(record, reason: "high") }
        }
    }
}

// MARK: Surveys

protocol HostileSurvey: Stage, Survey where Summary == [Int], Outcome == [Int] {
    static var name: String { get }
    init()
}

extension HostileSurvey {
    static var descriptor: Descriptor { Descriptor(name: name, summary: "Has a fault.") }
    init(options: OptionValues) throws(StageError) { self.init() }
    var reads: [Input] { [.field("text")] }
    var writes: [ColumnSpec] { [] }
    func memory(_ context: StageContext) -> SurveyMemory { SurveyMemory(summary: 64) }
    func makeBody(_ outcome: [Int], _ context: StageContext) -> StageBody { .sequence([]) }
}

struct ForgetfulMerge: HostileSurvey {
    static let name = "forgetful-merge"
    func makeSummary() -> [Int] { [0] }
    func observe(_ block: borrowing Block, into sums: inout [Int]) { sums[0] += block.live.count }
    func merge(_ other: [Int], into sums: inout [Int]) {}
    func finish(_ sums: consuming [Int], _ context: StageContext) -> SurveyResult<[Int]> {
        SurveyResult([], report: ["records": .integer(sums[0])])
    }
}

struct ZeroMinimum: HostileSurvey {
    static let name = "zero-minimum"
    func makeSummary() -> [Int] { [] }
    func observe(_ block: borrowing Block, into least: inout [Int]) {
        let texts = block.field("text")
        let lengths = block.live.map { texts[$0].string?.count ?? 0 }
        least = (least + lengths).min().map { [$0] } ?? []
    }
    func merge(_ other: [Int], into least: inout [Int]) { least = [min(other.first ?? 0, least.first ?? 0)] }
    func finish(_ least: consuming [Int], _ context: StageContext) -> SurveyResult<[Int]> {
        SurveyResult([], report: ["shortest": .integer(least.first ?? 0)])
    }
}

struct KeepsAll: HostileSurvey {
    static let name = "keeps-all"
    func makeSummary() -> [Int] { [] }
    func observe(_ block: borrowing Block, into all: inout [Int]) {
        let texts = block.field("text")
        all += block.live.map { texts[$0].string?.count ?? 0 }
    }
    func merge(_ other: [Int], into all: inout [Int]) { all += other }
    func finish(_ all: consuming [Int], _ context: StageContext) -> SurveyResult<[Int]> {
        SurveyResult([], report: ["median": .integer(all.isEmpty ? 0 : all.sorted()[all.count / 2])])
    }
}

struct UnsortedModel: HostileSurvey {
    static let name = "unsorted-model"
    var modelKind: String? { "lengths" }
    func memory(_ context: StageContext) -> SurveyMemory { SurveyMemory(summary: 1024) }
    func makeSummary() -> [Int] { [Int](repeating: 0, count: 100) }
    func observe(_ block: borrowing Block, into counts: inout [Int]) {
        let texts = block.field("text")
        for record in block.live { counts[min(99, texts[record].string?.count ?? 0)] += 1 }
    }
    func merge(_ other: [Int], into counts: inout [Int]) { counts = zip(counts, other).map { $0 + $1 } }
    func finish(_ counts: consuming [Int], _ context: StageContext) -> SurveyResult<[Int]> {
        SurveyResult(Array(Set(counts.indices.filter { $0 % 3 > 0 })))
    }
}

/// A record without a score counts as one of 0 in the mean, from which the distances are written.
struct ZeroInSurvey: HostileSurvey {
    static let name = "zero-in-survey"
    var reads: [Input] { [.field("score")] }
    var writes: [ColumnSpec] { [ColumnSpec("distance", .integer)] }
    func makeSummary() -> [Int] { [0, 0] }
    private static func number(_ value: FieldValue) -> Int { Int(value.number ?? 0) }
    func observe(_ block: borrowing Block, into sums: inout [Int]) {
        let scores = block.field("score")
        for record in block.live { sums = [sums[0] + 1, sums[1] + Self.number(scores[record])] }
    }
    func merge(_ other: [Int], into sums: inout [Int]) { sums = [sums[0] + other[0], sums[1] + other[1]] }
    func finish(_ sums: consuming [Int], _ context: StageContext) -> SurveyResult<[Int]> { SurveyResult(sums) }
    func makeBody(_ sums: [Int], _ context: StageContext) -> StageBody {
        .applying { (block: inout Block) throws(StageError) in
            let scores = block.field("score")
            let mean = sums[1] / max(1, sums[0])
            block.write("distance", .integers((0..<block.count).map { Int64(Self.number(scores[$0]) - mean) }))
        }
    }
}

// MARK: Selections

protocol HostileSelection: Stage, Selection {
    static var name: String { get }
    init()
}

extension HostileSelection {
    static var descriptor: Descriptor { Descriptor(name: name, summary: "Has a fault.") }
    init(options: OptionValues) throws(StageError) { self.init() }
    var reads: [Input] { columns.map { .column($0, .number) } }
    var writes: [ColumnSpec] { [ColumnSpec(.rank, .integer)] }
    func quotas(for groups: Groups) -> [Int] { groups.keeping(.percent(75)) }
    func memory(rows: Int, _ context: StageContext) -> Int { 48 * rows }
}

struct FreeRanks: HostileSelection {
    static let name = "free-ranks"
    func memory(rows: Int, _ context: StageContext) -> Int { 0 }
    func select(_ group: Group, quota: Int, _ context: StageContext) -> GroupOutcome {
        GroupOutcome(keeping: 0..<quota, of: group.count, reason: "late")
    }
}

struct ZeroRank: HostileSelection {
    static let name = "zero-rank"
    let columns: [ColumnName] = ["score"]
    func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
        let scores = try group.numbers("score").map { $0.isNaN ? 0 : $0 }
        let order = scores.indices.sorted { (-scores[$0], $0) < (-scores[$1], $1) }
        return GroupOutcome(keeping: order.prefix(quota), of: group.count, reason: "not-best")
    }
}

struct LastRank: HostileSelection {
    static let name = "last-rank"
    let columns: [ColumnName] = ["score"]
    func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
        let scores = try group.numbers("score").map { $0.isNaN ? -.infinity : $0 }
        let order = scores.indices.sorted { (-scores[$0], $0) < (-scores[$1], $1) }
        return GroupOutcome(keeping: order.prefix(quota), of: group.count, reason: "not-best")
    }
}
