import SluiceCore
import SluiceTesting
import Stages
import Testing

private let words: [Int64] = [0, 0, 1, 2, 3, 4, 1, 7]
private let records = words.map { #"{"words": \#($0)}"# }

@Test(arguments: [1, 2, 1000]) func trimLongestKeepsTheContract(times: Int) {
    let found = StageContract.check(
        TrimLongest.self, options: ["times": .integer(times)], records: records, columns: ["words": .integers(words)])
    #expect(found == [])
}

@Test func textsFarAboveTheMeanAreDropped() throws {
    let run = try InMemoryRun(
        TrimLongest.self, options: ["times": 2], records: records, columns: ["words": .integers(words)])
    // 18 words in 8 texts: twice the mean is 4.5.
    #expect(run.reports == [[["records": 8, "most_words": 4]]])
    #expect(run.losses.map(\.record) == [7])
}
