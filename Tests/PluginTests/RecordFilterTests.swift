import Formatter
import RecordFilters
import SluiceCore
import SluiceTesting
import Testing

@Suite struct MatchTests {
    private static let records = [
        #"{"lang":"en","score":3,"text":"Hello World","meta":{"id":"7"}}"#,
        #"{"lang":"de","score":"4.5","text":"Grüße"}"#,
        #"{"lang":null,"score":12345678901234567890,"text":"As an AI language model"}"#,
        #"{"score":-1e2,"text":"a\nb","flag":true}"#,
        #"{"lang":"en","score":"high","text":"","flag":false,"list":[1, 2]}"#,
        #"{"lang":"3","score":9007199254740993,"text":"été"}"#,
    ]

    private func kept(_ condition: OptionValue) throws -> [Int] {
        let kept = try Everyday.run([Match(keep: condition)], Self.records).kept
        let dropped = try Everyday.run([Match(drop: condition)], Self.records).kept
        #expect(Set(kept).isDisjoint(with: dropped) && kept.count + dropped.count == Self.records.count)
        #expect(try Everyday.run([Match(keep: ["not": condition])], Self.records).kept == dropped)
        return kept
    }

    @Test(
        arguments: [
            (["field": "lang", "equals": "en"], [0, 4]), (["field": "lang", "in": ["de", 3]], [1, 5]),
            (["field": "lang", "equals": 3], [5]), (["field": "lang", "exists": true], [0, 1, 4, 5]),
            (["field": "lang", "exists": false], [2, 3]), (["field": "score", "above": 3], [1, 2, 5]),
            (["field": "score", "at_least": 3], [0, 1, 2, 5]), (["field": "score", "below": 0], [3]),
            (["field": "score", "at_most": 4.5], [0, 1, 3]), (["field": "score", "equals": 4.5], [1]),
            (["field": "score", "at_least": 0, "at_most": 4], [0]),
            (["field": "score", "equals": 9_007_199_254_740_992], []),
            (["field": "score", "equals": 9_007_199_254_740_993], [5]), (["field": "flag", "equals": true], [3]),
            (["field": "flag", "equals": "false"], [4]), (["field": "meta.id", "equals": 7], [0]),
            (["field": "list", "equals": "[1, 2]"], [4]), (["field": "text", "equals": ""], [4]),
            (["field": "text", "matches": "(?i)WORLD|ai language"], [0, 2]),
            (["field": "text", "matches": "^..$"], []),
            (["field": "text", "matches": "(?s)^...$"], [3, 5]), (["field": "text", "matches": "(?m)^b$"], [3]),
            (["field": "text", "matches": #"^\w+$"#], [1, 5]), (["field": "text", "matches": #"\p{Lu}r"#], [1]),
            (["any": [["field": "lang", "equals": "en"], ["field": "score", "below": 0]]], [0, 3, 4]),
            (["all": [["field": "lang", "equals": "en"], ["field": "text", "matches": "o"]]], [0]),
            (["not": ["any": [["field": "lang", "exists": true], ["field": "flag", "exists": true]]]], [2]),
        ] as [(OptionValue, [Int])])
    func conditionsMeanWhatTheySay(condition: OptionValue, expected: [Int]) throws {
        #expect(try kept(condition) == expected, "\(condition.report.json)")
    }

    @Test func listsAndReasons() throws {
        let options: OptionValues = [
            "keep": [["field": "text", "exists": true], ["field": "score", "exists": true]],
            "drop": [["field": "lang", "equals": "en"], ["field": "lang", "equals": "de"]],
        ]
        let run = try Everyday.run(
            [StageSpec("match", options)], Self.records + [#"{"text":"x"}"#, #"{"score":1}"#])
        #expect(run.kept == [2, 3, 5])
        let found = run.losses.map { "\($0.record) \($0.reason)" }
        #expect(found == ["0 match", "1 match", "4 match", "6 no-match", "7 no-match"])
    }

    @Test(arguments: [("above", [1]), ("below", [2]), ("at_least", [1, 3]), ("at_most", [2, 3])])
    func aMissingNumberOfAColumnPassesNoComparison(test: String, expected: [Int]) throws {
        let columns: [ColumnName: Column] = ["score": .reals([.nan, 9, -9, 0])]
        let records = (0..<4).map { "{\"n\":\($0)}" }
        func kept(_ condition: OptionValue) throws -> [Int] {
            try InMemoryRun(MatchStage.self, options: ["keep": condition], records: records, columns: columns).kept
        }
        #expect(try kept(.map(["column": "score", test: 0])) == expected)
        #expect(try kept(["column": "score", "exists": false]) == [0])
    }

    @Test func columnsOfEveryType() throws {
        let condition: OptionValue = [
            ["column": "words", "at_least": 2], ["column": "letters", "above": 0.5],
            ["column": "text", "matches": "World"],
            ["column": "words", "equals": 2], ["column": "words", "matches": "^2$"],
        ]
        let run = try Everyday.run(
            [
                Format(template: "{text}"), StageSpec("measure", ["columns": ["words", "letters"]]),
                Match(keep: condition),
            ],
            Self.records)
        #expect(run.kept == [0])
    }

    @Test(
        arguments: [
            (["field": "a"], "keep", "says nothing"), (["equals": 1], "keep", "needs `field` or `column`"),
            (["field": "a", "column": "b", "equals": 1], "keep", "remove one"),
            (["field": "a", "matches": "a("], "keep.matches", "at character 3"),
            (
                [["field": "a", "equals": 1], ["any": [["field": "é", "matches": "ü[z-a]"]]]], "keep[2].any[1].matches",
                "at character"
            ),
            (["field": "a", "eqals": 1], "keep", "did you mean `equals`?"), ("en", "keep", "must be a condition"),
            (["all": [], "field": "a"], "keep", "other keys"), (["any": []], "keep.any", "list of conditions"),
            (["field": "a", "above": "x"], "keep.above", "must be a number"),
            (["field": "a", "exists": 1], "keep.exists", "true or false"), ([], "keep", "is empty"),
        ] as [(OptionValue, String, String)])
    func mistakesAreReportedWithTheirPlace(condition: OptionValue, place: String, words: String) {
        let error = stageError { _ = try MatchStage.make(["keep": condition]) }
        #expect(error?.option == "keep")
        #expect(error?.message.hasPrefix("`\(place)` ") == true, "\(error?.message ?? "none")")
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "none")")
    }

    /// A pattern that would take years ends the run, naming the record, and soon.
    @Test(arguments: [40, 5000])
    func noPatternHangs(length: Int) {
        let record = Everyday.record(("t", String(repeating: "a", count: length) + "!"))
        let start = ContinuousClock.now
        let error = stageError {
            _ = try Everyday.run([Match(keep: ["field": "t", "matches": #"^(a|a?)+$|(a+)+\d"#])], [record])
        }
        #expect(
            error?.code == .invalidData && error?.ordinal != nil, "\(error.map(String.init(describing:)) ?? "none")")
        #expect(error?.message.contains("too many steps") == true)
        #expect(ContinuousClock.now - start < .seconds(60))
    }

    /// A match far into a long text, tried in runs of places, also inside of characters.
    @Test func longTextsAreSearchedToTheEnd() throws {
        for filler in ["x", "é", "数", "\u{1F600}"] {
            for count in [1000, 1023, 1024, 1025, 5000, 30_000] {
                let records = ["needle", "needl"].map {
                    Everyday.record(("t", String(repeating: filler, count: count) + $0))
                }
                #expect(try Everyday.run([Match(keep: ["field": "t", "matches": "ne{2}dle$"])], records).kept == [0])
                #expect(
                    try Everyday.run([Match(keep: ["field": "t", "matches": .text("(?<=\(filler))needle")])], records)
                        .kept
                        == [0])
            }
        }
    }
}

@Suite struct SampleTests {
    private static func records(_ count: Int, from first: Int = 0) -> [String] {
        (first..<(first + count)).map { #"{"n":\#($0),"kind":"k\#($0 % 7)"}"# }
    }

    private func kept(_ keep: Quantity, per: String? = nil, _ records: [String], seed: UInt64 = 42) throws -> [String] {
        let run = try Everyday.run([Sample(keep: keep, per: per)], records, seed: seed)
        #expect(run.losses.allSatisfy { $0.reason == "not-sampled" })
        return run.lines
    }

    @Test func aShareIsAboutThatShare() throws {
        for percent in [1.0, 10, 50, 99] {
            let count = Double(try kept(.percent(percent), Self.records(20_000)).count)
            let expected = 200 * percent
            // Five standard deviations of a binomial distribution.
            #expect(abs(count - expected) < 5 * (expected * (1 - percent / 100)).squareRoot(), "\(percent) %: \(count)")
        }
        #expect(try kept(.percent(100), Self.records(300)).count == 300)
    }

    @Test(arguments: [1, 7, 100, 999, 1000, 5000])
    func aNumberIsExact(count: Int) throws {
        let all = Self.records(1000)
        #expect(try kept(.count(count), all).count == min(count, 1000))
        // Copies of one record too: the earlier ones stay.
        let same = try Everyday.run([Sample(keep: .count(count))], [String](repeating: all[0], count: 1000))
        #expect(same.kept == Array(0..<min(count, 1000)))
    }

    @Test func labelsGetTheirShare() throws {
        let lines = try kept(.percent(10), per: "kind", Self.records(700))
        for kind in 0..<7 { #expect(lines.count { $0.contains("\"k\(kind)\"") } == 10) }
        #expect(try kept(.count(3), per: "kind", Self.records(700)).count == 21)
        #expect(try kept(.count(200), per: "kind", Self.records(700)).count == 700)
    }

    /// A smaller sample is part of a larger one, and a record that was drawn stays when others come, before and behind.
    @Test func samplesAreNestedAndStable() throws {
        let all = Self.records(3000)
        func set(_ keep: Quantity, _ records: [String], per: String? = nil) throws -> Set<String> {
            Set(try kept(keep, per: per, records))
        }
        #expect(try set(.percent(5), all).isSubset(of: set(.percent(20), all)))
        #expect(try set(.count(100), all).isSubset(of: set(.count(700), all)))
        #expect(try set(.count(5), all, per: "kind").isSubset(of: set(.count(50), all, per: "kind")))
        let part = Array(all[1000..<2000])
        #expect(try set(.percent(10), part) == set(.percent(10), all).intersection(part))
        #expect(try set(.count(100), all).intersection(part).isSubset(of: set(.count(100), part)))
        // Another seed draws others.
        let other = try kept(.count(100), all, seed: 43)
        #expect(try set(.count(100), all).intersection(other).count < 20)
    }

    @Test func mistakesInOptions() {
        for options in [["keep": 0], ["keep": "0%"], ["keep": 1, "per": "all"]] as [OptionValues] {
            #expect(
                stageError { _ = try SampleStage(options: SampleStage.descriptor.resolving(options).values) } != nil)
        }
    }
}
