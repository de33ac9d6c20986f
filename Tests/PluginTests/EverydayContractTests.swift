import Formatter
import Glibc
import RecordFilters
import SluiceCore
import SluiceTesting
import Testing
import TextFilters

/// The stages for everyday curation keep the contract.
@Suite struct EverydayContractTests {
    static let records = (0..<48).map { index -> String in
        let text = Everyday.texts(1, seed: UInt64(index), words: 60)[0]
        switch index % 8 {
        case 3: return #"{"x":\#(index)}"#
        case 5: return #"{"text":"","score":null,"kind":"k1"}"#
        default:
            return JSONValue.object([
                .init("text", .text(index % 4 == 2 ? "The same text, twice." : text)),
                .init("score", index % 3 == 0 ? .text("\(index)") : .real(Double(index) / 4)),
                .init("kind", .text("k\(index % 3)")),
            ]).json
        }
    }

    private func check(_ stage: any Stage.Type, _ options: OptionValues, formatted: Bool = true) -> [Violation] {
        StageContract.check(
            stage, options: options, records: Self.records, after: formatted ? [StageSpec("format")] : [],
            registry: Everyday.registry)
    }

    @Test(
        arguments: [
            ["min": 20], ["min": 3, "max": 20, "unit": "words"], ["max": 2, "unit": "lines"],
            ["max": 100, "unit": "bytes", "field": "kind"],
        ] as [OptionValues])
    func lengthKeepsTheContract(options: OptionValues) {
        #expect(check(LengthStage.self, options) == [])
    }

    @Test(arguments: [[:], ["prefix": "a_", "field": "text"], ["columns": ["words", "spaces"]]] as [OptionValues])
    func measureKeepsTheContract(options: OptionValues) { #expect(check(MeasureStage.self, options) == []) }

    @Test(
        arguments: [
            [:], ["keep": ["en"], "min_score": 0.2], ["drop": ["und"], "as": "tongue", "field": "kind"],
            ["among": ["en", "fr"], "min_score": 0.9],
        ] as [OptionValues])
    func languageKeepsTheContract(options: OptionValues) { #expect(check(LanguageStage.self, options) == []) }

    @Test(
        arguments: [
            [:], ["rules": ["gopher"], "limits": ["gopher-min-words": 3, "gopher-stop-words": 0]],
            ["rules": ["fineweb"]],
            ["rules": ["c4"], "limits": ["c4-min-sentences": 1]],
        ] as [OptionValues])
    func qualityKeepsTheContract(options: OptionValues) { #expect(check(QualityStage.self, options) == []) }

    @Test(
        arguments: [
            ["keep": ["field": "kind", "in": ["k0", "k1"]]], ["drop": ["column": "text", "matches": "(?i)the same"]],
            [
                "keep": [
                    ["not": ["field": "score", "above": 5]],
                    ["any": [["field": "x", "exists": true], ["field": "text", "matches": "^."]]],
                ]
            ],
        ] as [OptionValues])
    func matchKeepsTheContract(options: OptionValues) { #expect(check(MatchStage.self, options) == []) }

    @Test(
        arguments: [
            ["keep": "30%"], ["keep": 7], ["keep": 1000], ["keep": 3, "per": "kind"], ["keep": "25%", "per": "kind"],
        ] as [OptionValues])
    func sampleKeepsTheContract(options: OptionValues) {
        #expect(check(SampleStage.self, options, formatted: false) == [])
    }

    @Test(
        arguments: [
            [:], ["normalize": ["case", "space", "punctuation"]], ["on": ["kind", "score"]], ["on": ["nothing"]],
        ] as [OptionValues])
    func distinctKeepsTheContract(options: OptionValues) { #expect(check(DistinctStage.self, options) == []) }

    @Test func decontaminateKeepsTheContract() throws {
        let path = "/tmp/sluice-plugin-tests-\(getpid()).txt"
        try write(path, "the same text twice\n")
        defer { unlink(path) }
        #expect(check(DecontaminateStage.self, ["against": [.text(path)], "ngram": 4, "shortest": 2]) == [])
    }
}

/// Writes a file of a test.
func write(_ path: String, _ text: String) throws {
    let file = try #require(fopen(path, "wb"))
    defer { fclose(file) }
    let bytes = Array(text.utf8)
    #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
}
