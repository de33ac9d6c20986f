import SluiceCore
import SluiceTesting
import Testing
import TextFilters

@Suite struct QualityTests {
    /// The rules whose plain definition is in `QualityReference`; limits are the papers'.
    static let rules: [(name: String, isLeast: Bool, limit: Quantity)] =
        [
            ("gopher-min-words", true, .count(50)), ("gopher-max-words", false, .count(100_000)),
            ("gopher-min-mean-word", true, .count(3)), ("gopher-max-mean-word", false, .count(10)),
            ("gopher-hashes", false, .percent(10)), ("gopher-ellipses", false, .percent(10)),
            ("gopher-bullet-lines", false, .percent(90)), ("gopher-ellipsis-lines", false, .percent(30)),
            ("gopher-words-with-letters", true, .percent(80)), ("gopher-stop-words", true, .count(2)),
            ("fineweb-line-ends", true, .percent(12)), ("fineweb-short-lines", false, .percent(67)),
            ("fineweb-repeated-lines", false, .percent(1)), ("fineweb-newlines", false, .percent(30)),
            ("gopher-repeated-paragraphs", false, .percent(30)), ("gopher-repeated-lines", false, .percent(30)),
            ("gopher-repeated-paragraph-characters", false, .percent(20)),
            ("gopher-repeated-line-characters", false, .percent(20)), ("gopher-top-2-gram", false, .percent(20)),
            ("gopher-top-3-gram", false, .percent(18)), ("gopher-top-4-gram", false, .percent(16)),
        ] + (5...10).map { ("gopher-repeated-\($0)-grams", false, .percent(Double(20 - $0))) }

    /// Every rule alone, with its usual limit and others: what it finds and whether it drops.
    @Test(arguments: rules.map(\.name))
    func findsWhatThePlainDefinitionFinds(rule: String) throws {
        let (_, isLeast, usual) = try #require(Self.rules.first { $0.name == rule })
        let texts = Everyday.texts(150, seed: 9) + ["", " ", "one", "# # #", "- a\n- b\n", "…", "a b\na b\na b\n"]
        let limits: [Quantity] =
            usual.isShare ? [usual, .percent(0), .percent(33.333333), .percent(50)] : [usual, .count(2), .count(5)]
        var dropped = 0
        for limit in limits {
            let drops = try Everyday.drops(
                QualityStage.self, ["rules": [.text(rule)], "limits": .map([rule: .quantity(limit)])], fields: texts)
            for (index, text) in texts.enumerated() {
                let reference = QualityReference(text)
                guard reference.hasWords else {
                    #expect(drops[index]?.reason == "empty-text")
                    continue
                }
                let (found, whole) = reference.measure(rule)
                let scale = limit.isShare ? 100_000_000 : 1
                let allowed = whole * (limit.isShare ? limit.resolve(of: scale) : limit.resolve(of: 0))
                let breaks = isLeast ? found * scale < allowed : found * scale > allowed
                #expect(
                    (drops[index] != nil) == breaks, "\(rule) \(limit): \(found) of \(whole): \(text.debugDescription)")
                guard let drop = drops[index] else { continue }
                dropped += 1
                #expect(drop.reason == rule)
                #expect(drop.measures["found"] == .integer(found), "\(rule): \(text.debugDescription)")
                #expect(drop.measures["of"] == (whole == 1 ? nil : .integer(whole)))
                #expect(drop.measures["limit"] == .text(limit.description))
            }
        }
        #expect(dropped > 0 || rule == "gopher-max-words", "no text broke \(rule)")
    }

    @Test func c4CountsTheSentencesOfGoodLines() throws {
        let good = "One two three. Four five! \"Six seven?\" And eight nine."
        func drop(_ text: String, _ limit: Int = 4) throws -> String? {
            try Everyday.drops(
                QualityStage.self, ["rules": ["c4"], "limits": ["c4-min-sentences": .quantity(.count(limit))]],
                fields: [text])[0].map { "\($0.reason) \($0.measures["found"]?.integerValue ?? -1)" }
        }
        #expect(try drop(good) == nil)
        #expect(try drop(good, 5) == "c4-min-sentences 4")
        #expect(try drop(good + "\nNo end mark here\nToo short.\nThis one trails off...\n", 5) == "c4-min-sentences 4")
        #expect(
            try drop(good + "\nPlease enable Javascript to go on.\nRead our Privacy Policy now.", 5)
                == "c4-min-sentences 4")
        #expect(try drop(good + "\nA cited fact.[12] Another cited fact.[citation needed]", 6) == nil)
        #expect(try drop(good + "\nA b \(String(repeating: "x", count: 1001)).", 5) == "c4-min-sentences 4")
        #expect(try drop(good + "\nThen Lorem Ipsum was there.") == "c4-lorem-ipsum 1")
        #expect(try drop(good + "\nIf (x) { return it. }\nAnd { it goes on.") == "c4-curly-bracket 1")
        #expect(try drop("A line without an end mark {") == "c4-min-sentences 0")
    }

    @Test func setsRulesAndLimits() throws {
        let text = Everyday.texts(1, seed: 3)[0]
        func reasons(_ options: OptionValues) throws -> String? {
            try Everyday.drops(QualityStage.self, options, fields: [text])[0]?.reason
        }
        #expect(
            try reasons(["rules": ["gopher-min-words"], "limits": ["gopher-min-words": .quantity(.count(10_000))]])
                == "gopher-min-words")
        for (options, option) in [
            (["limits": ["gopher-min-wrds": 3]], "limits"), (["limits": ["gopher-hashes": 3]], "limits"),
            (["rules": ["c4"], "limits": ["gopher-hashes": "3%"]], "limits"),
            (["rules": ["c4"], "without": ["gopher-hashes"]], "without"),
            (["rules": ["gopher-hashes"], "without": ["gopher-hashes"]], "rules"),
        ] as [(OptionValues, String)] {
            let values = QualityStage.descriptor.resolving(options).values
            #expect(stageError { _ = try QualityStage(options: values) }?.option == option)
        }
    }
}
