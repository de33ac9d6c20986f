import Glibc
import SluiceCore
import SluiceTesting
import Testing
import TextFilters

/// `language` beside scripts/language.py, which has the same rule in Python.
@Suite struct LanguageTests {
    struct Golden: Sendable {
        let text: String
        let language: String
        let score: Double
        let among: String
        let amongScore: Double
    }

    /// Texts, and what scripts/language.py says of them; without and with `among: [en, de, sr, zh]`.
    static let golden: [Golden] = {
        let path = "/" + #filePath.split(separator: "/").dropLast().joined(separator: "/") + "/Golden/language.jsonl"
        guard let file = fopen(path, "rb") else { return [] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        bytes.removeLast(bytes.count - fread(&bytes, 1, bytes.count, file))
        return bytes.split(separator: 0x0A).compactMap { line in
            guard let row = try? JSONValue(json: Array(line)), let text = row["text"]?.textValue,
                let language = row["language"]?.textValue, let score = row["score"]?.realValue,
                let among = row["among"]?.textValue, let amongScore = row["among_score"]?.realValue
            else { return nil }
            return Golden(text: text, language: language, score: score, among: among, amongScore: amongScore)
        }
    }()

    /// What the stage dropped, and the languages and scores that it wrote.
    private static func judged(_ texts: [String], _ options: OptionValues) throws -> (
        drops: [Drop], labels: [String], scores: [Double]
    ) {
        var options = options
        options["field"] = "t"
        let stage = try LanguageStage.make(options)
        var block = makeBlock(texts.map { ["t": .string($0)] }, paths: ["t"])
        var worker = try stage.makeWorker(StageContext(name: "test", seed: Seed(1), memory: 1 << 30))
        try stage.apply(to: &block, with: &worker)
        guard case .bytes(let labels)? = block["language"], case .reals(let scores)? = block["language_score"] else {
            Issue.record("there are no columns")
            return (block.drops, [], [])
        }
        return (block.drops, (0..<labels.count).map { String(decoding: labels[$0], as: UTF8.self) }, scores)
    }

    @Test func decidesAsThePythonReference() throws {
        #expect(Self.golden.count == 422)
        let found = try Self.judged(Self.golden.map(\.text), ["min_score": 0.0])
        let chosen = try Self.judged(
            Self.golden.map(\.text), ["min_score": 0.0, "among": ["en", "de", "sr", "zh"]])
        for (index, row) in Self.golden.enumerated() {
            #expect(found.labels[index] == row.language && found.scores[index] == row.score, "\(row)")
            #expect(chosen.labels[index] == row.among && chosen.scores[index] == row.amongScore, "\(row)")
        }
        #expect(Set(found.labels).count > 60)
    }

    /// Nothing of a text stays behind for the next one.
    @Test func aTextDoesNotDependOnThoseBeforeIt() throws {
        let texts = Self.golden.map(\.text).filter { $0.utf8.count < 10_000 }
        let there = try Self.judged(texts, [:])
        let back = try Self.judged(texts.reversed(), [:])
        #expect(there.labels == back.labels.reversed() && there.scores == back.scores.reversed())
    }

    /// Each language of the documentation is one of the model.
    @Test func knowsTheLanguagesThatItNames() throws {
        let list = try #require(
            LanguageStage.descriptor.discussion.split(separator: ":").last?.split(separator: ".").first)
        let codes = list.split(separator: ",").map { $0.trimmingPrefix(" ") }.map(String.init)
        #expect(codes.count == 136 && codes == codes.sorted() && Set(codes).count == 136)
        let texts = Self.golden.map(\.text).filter { (20..<200).contains($0.utf8.count) }
        var found: Set<String> = []
        for code in codes {
            let labels = try Self.judged(Array(texts.prefix(2)), ["min_score": 0.0, "among": [.text(code)]]).labels
            #expect(labels == [code, code])
            found.formUnion(labels)
        }
        #expect(Set(Self.golden.map(\.language)).subtracting(found) == ["und"])
    }

    /// What is dropped follows from the columns.
    @Test(
        arguments: [
            ["keep": ["en", "de"]], ["keep": ["en", "und"], "min_score": 0.9], ["drop": ["zxx", "und", "fr"]],
            ["drop": ["sr"], "among": ["sr", "en"], "min_score": 0.7], [:],
        ] as [OptionValues])
    func dropsByTheColumns(options: OptionValues) throws {
        let (found, labels, scores) = try Self.judged(Self.golden.map(\.text), options)
        var sure = options
        (sure["min_score"], sure["keep"], sure["drop"]) = (0.0, nil, nil)
        let likely = try Self.judged(Self.golden.map(\.text), sure).labels
        let least = options["min_score"] == nil ? 0.5 : try options.real("min_score")
        var names: [String: [String]] = [:]
        for key in ["keep", "drop"] where options[key] != nil { names[key] = try options.texts(key) }
        var drops: [Int: Drop] = [:]
        for drop in found { drops[drop.record] = drop }
        for index in labels.indices {
            #expect(labels[index] == (scores[index] < least ? "und" : likely[index]))
            let leaves =
                names["keep"].map { !$0.contains(labels[index]) } ?? names["drop"]?.contains(labels[index]) ?? false
            #expect((drops[index] != nil) == leaves)
            guard let drop = drops[index] else { continue }
            #expect(drop.reason.name == "language-\(labels[index])")
            #expect(
                drop.measures
                    == (likely[index] == "und"
                        ? [] : [Measure("likely", .text(likely[index])), Measure("score", .real(scores[index]))]))
        }
    }

    @Test func mistakesInOptions() {
        for (options, option, words) in [
            (["keep": ["eng"]], "keep", "`eng`"), (["drop": []], "drop", "empty"),
            (["keep": ["en"], "drop": ["de"]], "drop", "exclude each other"),
            (["among": ["en", "und"]], "among", "`und`"), (["among": ["en"], "keep": ["de"]], "among", "no `de`"),
            (["field": "a", "column": "b"], "field", "exclude each other"),
        ] as [(OptionValues, String, String)] {
            let error = stageError { _ = try LanguageStage.make(options) }
            #expect(error?.option == option && error?.message.contains(words) == true, "\(options)")
        }
        #expect(stageError { _ = try LanguageStage.make(["keep": ["no", "en", "und"]]) } == nil)
    }
}
