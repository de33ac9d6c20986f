import SluiceCore

/// A survey: finds the mean number of words. Then a transform drops the texts that have many more.
public struct TrimLongest: Stage, Survey {
    public static let descriptor = Descriptor(
        name: "trim-longest", summary: "Drops texts with more than `times` the mean number of words.",
        options: [OptionSpec("times", .integer(1...1000), default: 4, help: "how many times the mean", example: "10")])

    private let times: Int

    public init(options: OptionValues) throws(StageError) { times = try options.integer("times") }

    public var reads: [Input] { [.column("words", .integer)] }
    public var writes: [ColumnSpec] { [] }

    public func memory(_ context: StageContext) -> SurveyMemory { SurveyMemory(summary: 64) }
    public func makeSummary() -> [Int] { [0, 0] }

    public func observe(_ block: borrowing Block, into sums: inout [Int]) throws(StageError) {
        let words = try block.integers("words")
        sums[0] += block.live.count
        for record in block.live { sums[1] += Int(words[record]) }
    }

    public func merge(_ other: [Int], into sums: inout [Int]) { sums = [sums[0] + other[0], sums[1] + other[1]] }

    public func finish(_ sums: consuming [Int], _ context: StageContext) -> SurveyResult<Int> {
        let limit = times * sums[1] / max(1, sums[0])
        return SurveyResult(limit, report: ["records": .integer(sums[0]), "most_words": .integer(limit)])
    }

    public func makeBody(_ limit: Int, _ context: StageContext) -> StageBody {
        .applying { (block: inout Block) throws(StageError) in
            let words = try block.integers("words")
            for record in block.live where words[record] > limit { block.drop(record, reason: "too-many-words") }
        }
    }
}
