import Embedder
import SluiceCore
import SluiceGeometry
import SluiceTesting
import Testing

/// Embeds texts as a single block, with `lexical`.
func embed(_ texts: [String], dimension: Int = 384) throws -> (vectors: VectorColumn, empty: [Int64]) {
    let stage = try EmbedStage.make(["model": "lexical", "dimensions": .integer(dimension)])
    guard case .transform(let transform) = try stage.body(context("embed")) else { throw NoTransform() }
    return try embed(texts, with: transform)
}

/// Embeds texts as a single block, with any body.
func embed(
    _ texts: [String], with transform: some WorkerTransform
) throws -> (vectors: VectorColumn, empty: [Int64]) {
    var block = makeBlock(count: texts.count)
    var column = BytesColumn()
    for text in texts { column.append(text.utf8) }
    block.write(.text, .bytes(column))
    try transform.apply(once: &block, context("embed"))
    return (try block.vectors(.embedding), try block.integers(.emptyText))
}

struct NoTransform: Error {}

func cosine(_ a: ArraySlice<Int8>, _ b: ArraySlice<Int8>) -> Double {
    var (ab, aa, bb) = (0, 0, 0)
    for (x, y) in zip(a, b) { (ab, aa, bb) = (ab + Int(x) * Int(y), aa + Int(x) * Int(x), bb + Int(y) * Int(y)) }
    return Double(ab) / (Double(aa) * Double(bb)).squareRoot()
}

@Suite struct LexicalTests {
    private func similarity(_ a: String, _ b: String) throws -> Double {
        let vectors = try embed([a, b]).vectors
        return cosine(vectors[0], vectors[1])
    }

    @Test func nearDuplicatesLieCloseAndUnrelatedTextsDoNot() throws {
        let text =
            "The committee approved the new budget for public libraries after a long debate on Tuesday evening, and the mayor promised to sign it before the end of the month."
        #expect(try similarity(text, text.replacing("long debate", with: "lengthy debate")) > 0.9)
        #expect(try similarity(text, "Please: " + text + "  Thanks!") > 0.9)
        #expect(try similarity(text, text.uppercased()) == 1)
        #expect(try similarity(text, "def keep(xs):\n    return [x for x in xs if x % 7 == 0]") < 0.3)
        #expect(
            try similarity(text, "Octopuses hide beneath rocks, change their colour quickly and hunt crabs at night.")
                < 0.3)
        #expect(
            try similarity("请解释成语“画蛇添足”的意思。", "成语“画蛇添足”是什么意思？")
                > similarity("请解释成语“画蛇添足”的意思。", "杭州有什么值得看的地方？") + 0.2)
    }

    @Test func caseAccentsWidthAndMarksAreFolded() throws {
        let pairs = [
            ("Äpfel über Straßen", "äpfel ÜBER straßen"), ("caf\u{E9} cr\u{E8}me", "cafe\u{301} cre\u{300}me"),
            ("ПРИВЕТ, мир", "привет мир"), ("ΑΘΗΝΑΣ", "αθηνας"), ("Ｈｅｌｌｏ １２", "hello 12"),
            ("Tiếng Việt", "TIÊ\u{301}NG VIÊ\u{323}T"),
            ("zero\u{200B}width", "zerowidth"), ("٢٠٢٣ عام", "2023 عام"),
        ]
        for (a, b) in pairs { #expect(try similarity(a, b) == 1, "\(a) \(b)") }
        #expect(try similarity("ab cd", "abcd") < 0.9)
    }

    @Test func textsWithoutAWordAreTheZeroVectorAndFlagged() throws {
        let made = try embed(["", "  \n", "?!", "\u{FEFF}\u{301}", "a", "字", "😀"])
        #expect(made.empty == [1, 1, 1, 1, 0, 0, 0])
        for row in 0..<4 { #expect(made.vectors[row].allSatisfy { $0 == 0 }) }
        for row in 4..<7 { #expect(made.vectors[row].contains { $0 != 0 }) }
    }

    /// The bytes must not change: they are part of the equality of two runs.
    @Test func vectorsAreTheSameEverywhere() throws {
        let vectors = try embed(["Hello, world! Hello again.", "数据 data 데이터", "naïve Ελλάδα Россия"], dimension: 16)
            .vectors
        #expect(Array(vectors[0]) == LexicalTests.golden[0])
        #expect(Array(vectors[1]) == LexicalTests.golden[1])
        #expect(Array(vectors[2]) == LexicalTests.golden[2])
    }

    static let golden: [[Int8]] = [
        [-10, 5, 7, -5, -41, -10, 0, -20, 5, 22, 28, -12, 5, 14, 0, 5],
        [-9, 0, 9, -54, 0, -9, 0, -18, 9, -9, -9, -9, 0, -9, 9, 9],
        [15, 15, 0, 30, 0, -10, 0, -40, 5, -15, 0, -5, 25, 5, 5, 0],
    ]

    @Test func aRecordsVectorDoesNotDependOnItsBlock() throws {
        let texts = (0..<50).map { "record \($0) says \($0 * $0) and \("字" + String($0))" } + [""]
        let whole = try embed(texts).vectors
        for (row, text) in texts.enumerated() { #expect(try embed([text]).vectors[0] == whole[row]) }
    }

    /// Long runs of letters are cut, and counting restarts after very many distinct words: neither may affect later
    /// words.
    @Test func longWordsAndHugeTexts() throws {
        let blob = String(repeating: "x", count: 10_000)
        let words = (0..<150_000).map { "word\($0 * 7919)" }.joined(separator: " ")
        let han = String(
            String.UnicodeScalarView((0..<20_000).map { Unicode.Scalar(0x4E00 + UInt32($0 * 31 % 20_000))! }))
        let made = try embed([blob, words, words + " " + blob, han])
        #expect(made.empty == [0, 0, 0, 0])
        #expect(cosine(made.vectors[1], made.vectors[2]) > 0.9)
    }

    @Test func goldenSentences() throws {
        guard let lines = sharedLines("golden/embeddings/sentences.jsonl") else {
            print("skipped: ../shared/golden is not here")
            return
        }
        var texts: [String: [String]] = [:]
        for line in lines {
            guard let tag = jsonString("tag", in: line), let text = jsonString("text", in: line) else { continue }
            texts[tag, default: []].append(text)
        }
        let en = try #require(texts["en"]?.first), zh = try #require(texts["zh"]?.first)
        #expect(try similarity(en, #require(texts["en-dup"]?.first)) == 1)
        #expect(try similarity(en, #require(texts["en-case"]?.first)) == 1)
        #expect(try similarity(en, #require(texts["en-neardup"]?.first)) > 0.75)
        #expect(try similarity(en, #require(texts["en-unrel"]?.first)) < 0.3)
        #expect(
            try similarity(zh, #require(texts["zh-para"]?.first)) > similarity(zh, #require(texts["zh-unrel"]?.first)))
    }
}
