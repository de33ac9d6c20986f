import MinWords
import SluiceCore
import SluiceTesting
import Testing

/// Texts that an earlier stage would have written.
private let texts = [
    "", " ", "one", "one two", "one  two\nthree", "a b c d", "\ta\u{3000}b ", "much longer than all the others are",
]
private let records = texts.indices.map { #"{"number": \#($0)}"# }

private func column(_ texts: [String]) -> Column {
    var column = BytesColumn()
    for text in texts { column.append(Array(text.utf8)) }
    return .bytes(column)
}

@Test(arguments: [1, 3, 1000])
func keepsTheContract(least: Int) {
    let violations = StageContract.check(
        MinWords.self, options: ["least": .integer(least)], records: records, columns: [.text: column(texts)])
    #expect(violations.isEmpty, "\(violations)")
}

@Test func dropsShortTexts() throws {
    let stage = try MinWords(options: ["least": 3])
    var block = try InMemoryRecords(records).block(columns: [.text: column(texts)])
    try stage.apply(to: &block)
    #expect(block.live == [4, 5, 7])
    #expect(try block.integers("words") == [0, 0, 1, 2, 3, 4, 1, 7])
    #expect(block.drops.allSatisfy { $0.reason == "too-few-words" })
}
