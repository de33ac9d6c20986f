import Embedder
import SluiceCore
import SluiceGeometry
import SluiceTesting
import Testing

/// The embedder that learns from the corpus.
@Suite struct LSATests {
    /// Texts about three subjects, which share no content word; each has a few of the many words of its subject.
    private static let subjects = ["cat", "bank", "violin"].map { stem in
        (0..<60).map { (number: Int) -> String in
            let letters = [UInt8(97 + number / 26), UInt8(97 + number % 26)]
            return stem + String(decoding: letters, as: UTF8.self)
        }
    }

    private static func texts(_ count: Int, seed: UInt64 = 1) -> [(subject: Int, text: String)] {
        var generator = SplitMix64(state: seed)
        return (0..<count).map { number in
            let subject = number % subjects.count
            let words = (0..<12).map { _ in subjects[subject][Int(generator.next(below: 60))] }
            return (subject, "the " + words.joined(separator: " and a ") + " number \(number)")
        }
    }

    private static func record(_ text: String) -> String { #"{"text": \#(JSONValue.text(text).json)}"# }

    private static let registry = PluginContractTests.registry

    /// The vectors of texts in a corpus of exactly these.
    private func vectors(_ texts: [String], _ options: OptionValues = [:]) throws -> VectorColumn {
        var all: OptionValues = options
        if all["features"] == nil { all["features"] = 4096 }
        let run = try InMemoryRun(
            [StageSpec("format", ["template": "{text}"]), StageSpec("embed", all)], registry: Self.registry,
            records: texts.map(Self.record))
        guard case .vectors(let vectors)? = run.column(.embedding) else { throw NoTransform() }
        return vectors
    }

    @Test(
        arguments: [
            ["dimensions": 16, "features": 1024], ["dimensions": 100, "features": 2048, "reservoir": 20],
        ] as [OptionValues])
    func keepsTheContract(options: OptionValues) {
        #expect(
            StageContract.check(
                EmbedStage.self, options: options, records: PluginContractTests.records, after: [StageSpec("format")],
                registry: Self.registry) == [])
    }

    /// What the lexical embedder can't: two texts without a common word are close, since their words occur together in
    /// others.
    @Test func textsOfASubjectAreCloseWithoutACommonWord() throws {
        let corpus = Self.texts(600)
        // The two halves of the words of each subject.
        let probes = Self.subjects.flatMap { [$0.prefix(30), $0.suffix(30)] }.map { $0.joined(separator: " ") }
        let rows = try vectors(corpus.map(\.text) + probes, ["dimensions": 16])
        for a in 0..<6 {
            for b in 0..<a {
                let similarity = cosine(rows[600 + a], rows[600 + b])
                if a / 2 == b / 2 { #expect(similarity > 0.4) } else { #expect(similarity < 0.2) }
            }
        }
    }

    /// With a dimension for each text nothing is lost: the angles are those of the weighted counts of words.
    @Test func anglesAreThoseOfTheWeightedCounts() throws {
        let corpus = Self.texts(40, seed: 3).map(\.text)
        let rows = try vectors(corpus, ["dimensions": 64, "features": 1_048_576])
        let exact = Reference(corpus)
        var worst = 0.0
        for a in corpus.indices {
            for b in corpus.indices {
                worst = max(worst, (cosine(rows[a], rows[b]) - exact.cosine(a, b)).magnitude)
            }
        }
        // Rounding to Int8 moves a component of a unit vector by up to 0.004, and a cosine by 0.003 (standard deviation).
        #expect(worst < 0.02)
    }

    @Test func unspacedScriptsHaveFeaturesOfTheirOwn() throws {
        let cats = ["小猫喜欢睡觉和吃鱼", "小猫在沙发上睡觉", "猫咪吃鱼之后睡觉", "小猫和猫咪吃鱼"]
        let banks = ["银行提高贷款利率", "贷款需要支付利率", "银行的存款和贷款", "存款利率由银行决定"]
        let rows = try vectors(
            (0..<5).flatMap { number in (cats + banks).map { $0 + "第\(number)次" } }, ["dimensions": 16])
        var (among, between) = ([Double](), [Double]())
        for a in 0..<8 {
            for b in 0..<a {
                if a / 4 == b / 4 {
                    among.append(cosine(rows[a], rows[b]))
                } else {
                    between.append(cosine(rows[a], rows[b]))
                }
            }
        }
        let mean = { (all: [Double]) in all.reduce(0, +) / Double(all.count) }
        #expect(mean(among) > mean(between) + 0.15)
    }

    /// Too few texts, no words, one text many times, one word: no failure, no NaN, and the flag.
    @Test func poorCorporaHaveAClearOutcome() throws {
        let same = try vectors([String](repeating: "all the same", count: 20))
        #expect((1..<20).allSatisfy { same[$0] == same[0] } && same[0].contains { $0 != 0 })
        #expect(try vectors(["…", "?!", "—"]).values.allSatisfy { $0 == 0 })
        let few = try vectors(["one text", "another one", "?!"])
        #expect(few[0].contains { $0 != 0 } && few[1].contains { $0 != 0 } && few[2].allSatisfy { $0 == 0 })
        #expect(few[0] != few[1])
        // Nothing was learned from what is not in the sample, and still no text with a word is the zero vector.
        let unseen = try vectors(
            (0..<60).map { "w\($0) x\($0)" }, ["reservoir": 16, "features": 1_048_576, "dimensions": 64])
        for row in 0..<60 {
            #expect(unseen[row].contains { $0 != 0 })
            #expect((0..<row).allSatisfy { cosine(unseen[row], unseen[$0]) < 0.9 })
        }
    }

    @Test func longTextsAndHugeCounts() throws {
        let words = (0..<200_000).map { "w\($0 * 7919 % 50_000)" }.joined(separator: " ")
        let rows = try vectors(
            Self.texts(60).map(\.text) + [words, String(repeating: "cat ", count: 300_000), "cat cat"],
            ["dimensions": 16])
        #expect(rows[60].contains { $0 != 0 })
        #expect(cosine(rows[61], rows[62]) > 0.9)
    }

    /// The seed of a run decides what is selected, not what a text means.
    @Test func theSeedIsNoPartOfTheModel() throws {
        let records = Self.texts(80).map { Self.record($0.text) }
        let stages = [
            StageSpec("format", ["template": "{text}"]), StageSpec("embed", ["features": 1024, "reservoir": 30]),
        ]
        let runs = try [1, 2].map { seed in
            try InMemoryRun(stages, registry: Self.registry, records: records, seed: seed).column(.embedding)
        }
        #expect(runs[0] == runs[1])
    }

    @Test(
        arguments: [
            (["model": "lexical", "fitted": "x"], "fitted"), (["model": "lexical", "reservoir": 100], "reservoir"),
            (["fitted": "/nonexistent/model.lsa"], "fitted"), (["fitted": "/tmp"], "fitted"),
        ] as [(OptionValues, String)])
    func optionsThatDoNotGoTogether(options: OptionValues, option: String) {
        do throws(StageError) {
            _ = try EmbedStage(options: EmbedStage.descriptor.fillingDefaults(in: options))
            Issue.record("\(options) was accepted")
        } catch {
            #expect(error.option == option && error.code == .invalidOption)
        }
    }
}

/// Counts of words and of pairs of neighbouring words, weighted by (1 + ln n) · idf, by the definition.
private struct Reference {
    private var rows: [[Double]] = []

    init(_ texts: [String]) {
        let counts = texts.map { text in
            let words = text.split(separator: " ").map(String.init)
            let pairs = zip(words, words.dropFirst()).map { "\($0) \($1)" }
            return Dictionary((words + pairs).map { ($0, 1) }, uniquingKeysWith: +)
        }
        let terms = Set(counts.flatMap(\.keys)).sorted()
        let idf = terms.map { term in
            1 + Elementary.log(Double(1 + texts.count) / Double(1 + counts.count { $0[term] != nil }))
        }
        rows = counts.map { count in
            zip(terms, idf).map { term, idf in count[term].map { (1 + Elementary.log(Double($0))) * idf } ?? 0 }
        }
    }

    func cosine(_ a: Int, _ b: Int) -> Double {
        func inner(_ x: [Double], _ y: [Double]) -> Double { zip(x, y).reduce(0) { $0 + $1.0 * $1.1 } }
        return inner(rows[a], rows[b]) / (inner(rows[a], rows[a]) * inner(rows[b], rows[b])).squareRoot()
    }
}
