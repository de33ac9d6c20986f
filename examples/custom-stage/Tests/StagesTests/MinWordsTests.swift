import SluiceCore
import SluiceTesting
import Stages
import Testing

private let texts = ["", " ", "one", "one two", "one  two\nthree", "a b c d", "\ta\u{3000}b ", "a b c d e f g"]
private let records = texts.indices.map { #"{"number": \#($0)}"# }

@Test(arguments: [1, 3, 1000]) func minWordsKeepsTheContract(least: Int) {
    let found = StageContract.check(
        MinWords.self, options: ["least": .integer(least)], records: records, columns: [.text: .texts(texts)])
    #expect(found == [])
}

@Test func shortTextsAreDropped() throws {
    let run = try InMemoryRun(
        MinWords.self, options: ["least": 3], records: records, columns: [.text: .texts(texts)])
    #expect(run.kept == [4, 5, 7])
    #expect(run.column("words") == .integers([3, 4, 7]))
    #expect(run.losses.allSatisfy { $0.reason == "too-few-words" })
}
