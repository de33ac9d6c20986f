import SluiceCore
import Testing

/// Scores that records lack.
@Suite struct ScoreTests {
    private static let scores = ["7", "null", "\"5\"", "1e999", "\"good\"", nil, "-3", "[1]", "6"]

    private static func lines(_ count: Int) -> [String] {
        (0..<count).map { number in
            let score = scores[number % scores.count].map { ",\"q\":\($0)" } ?? ""
            return "{\"text\":\"record \(number) of \(number * 31 % 47) words\"\(score)}"
        }
    }

    /// Records without a number come last, and the report counts them.
    @Test(arguments: ["all", "cluster"]) func recordsWithoutAScoreComeLast(per: String) throws {
        let space = try Workspace()
        let lines = Self.lines(90)
        try space.write("in.jsonl", lines: lines)
        let cluster = per == "cluster" ? ["cluster: {clusters: 3}"] : []
        try space.define(
            stages: [#"format: {template: "{text}"}"#, "embed: {model: lexical, dimensions: 64}"] + cluster + [
                "coreset: {keep: 20, method: score-first, score_field: q, distance: 0, per: \(per)}"
            ])
        let files = try space.run()
        try files.expectClosedAccount()
        #expect(files.count("kept") == 20)
        let report = files.manifest["stages"]?.elements.last
        // Five of nine have no number.
        #expect(report?["without_a_score"]?.integerValue == 50)
        if per == "all" {
            let kept = try files.keptLines.map { try JSONValue(json: $0)["q"] }
            let numbers = kept.compactMap { $0?.realValue ?? $0?.textValue.flatMap(Double.init) }
            #expect(numbers.count == 20 && numbers.min() == 6)
        }
        let other = try space.run(["--threads", "3", "--segment-bytes", "500", "--block-bytes", "300"], into: "other")
        #expect(other.digests == files.digests)
    }
}
