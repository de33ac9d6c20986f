import SluiceCore
import SluiceTesting
import Stages
import Testing

private let scores: Column = .reals([0.5, .nan, -1, 2, 2, .nan, 9, 0])
private let records = (0..<8).map { #"{"ability": "\#($0 % 3)"}"# }

@Test(arguments: [["keep": 1], ["keep": "50%", "per": "ability"], ["keep": 9, "per": "nowhere"]] as [OptionValues])
func bestOfKeepsTheContract(options: OptionValues) {
    var options = options
    options["by"] = "score"
    #expect(StageContract.check(BestOf.self, options: options, records: records, columns: ["score": scores]) == [])
}

@Test func theHighestNumbersOfEachLabelStay() throws {
    let run = try InMemoryRun(
        BestOf.self, options: ["keep": 2, "by": "score", "per": "ability"], records: records,
        columns: ["score": scores])
    // The labels are 0 1 2 0 1 2 0 1. A missing number comes last.
    #expect(run.kept == [2, 3, 4, 5, 6, 7])
    #expect(run.column(.rank) == .integers([0, 1, 0, 1, 0, 1]))
}
