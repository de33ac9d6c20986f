import SluiceCore
import Testing

/// Columns on their way from the stage that writes them to whatever names them: later stages, `annotate`, `picks`.
@Suite struct ColumnTests {
    /// Texts of growing length about few things; every fifth has no word, so that `empty_text` is 1.
    private static let records = (1...60).map { number in
        let words = (0..<(number % 7 + 1)).map { "w\(($0 * number) % 11)" }.joined(separator: " ")
        return #"{"text":"\#(number % 5 == 0 ? "?" : words)","q":\#(number * 37 % 61),"topic":"t\#(number % 3)"}"#
    }

    private func space(stages: [String], output: [String] = []) throws -> Workspace {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.records)
        try space.define(stages: stages, output: output)
        return space
    }

    private static let embedded = ["format: {template: \"{text}\"}", "embed: {dimensions: 32}"]

    // MARK: Columns of the first pass that something later names

    @Test func annotateMayNameAColumnOfTheFirstPass() throws {
        let files = try space(
            stages: Self.embedded + ["coreset: {keep: 20}"], output: ["annotate: [empty_text, rank]"]
        ).run()
        try files.expectClosedAccount()
        #expect(files.keptLines.count == 20)
        for line in files.keptLines {
            let record = try Report(json: line)
            #expect(record["_sluice"]?["empty_text"]?.integerValue == (record["text"]?.textValue == "?" ? 1 : 0))
            #expect(record["_sluice"]?["rank"]?.integerValue != nil)
        }
    }

    @Test func anOrderMayNameAColumnOfTheFirstPass() throws {
        let files = try space(
            stages: Self.embedded + ["coreset: {keep: 50}", "redundancy: {order: empty_text, distance: 0.01}"]
        ).run()
        try files.expectClosedAccount()
        // The score is highest where a text has no word, so one of these comes first and stays.
        #expect(try files.keptLines.contains { try Report(json: $0)["text"]?.textValue == "?" })
    }

    @Test(arguments: ["all", "cluster"]) func aFieldMayBeTheScore(per: String) throws {
        let cluster = per == "cluster" ? ["cluster: {clusters: 3}"] : []
        let files = try space(
            stages: Self.embedded + cluster + [
                "coreset: {keep: 9, method: score-first, score_field: q, distance: 0, per: \(per)}"
            ]
        ).run()
        try files.expectClosedAccount()
        let picks = try split(files.picks ?? []).map { try Report(json: $0) }
        let kept = try files.keptLines.map { try Report(json: $0) }
        #expect(picks.count == 9 && kept.count == 9)
        // `picks` lists the record's own number as its score, and within a group ranks go by falling score.
        for (pick, record) in zip(picks, kept) {
            #expect(pick["score"]?.realValue == record["q"]?.realValue)
        }
        for group in Set(picks.map { $0["cluster"]?.integerValue ?? 0 }) {
            let members = picks.filter { ($0["cluster"]?.integerValue ?? 0) == group }
            let byRank = members.sorted { ($0["rank"]?.integerValue ?? 0) < ($1["rank"]?.integerValue ?? 0) }
            let scores = byRank.compactMap { $0["score"]?.realValue }
            #expect(scores.count == members.count && scores == scores.sorted(by: >), "\(scores)")
        }
    }

    /// The column is asked for by a stage, by another one, by `annotate` and by `picks`: it is kept once.
    @Test func aColumnThatManyNameIsKeptOnce() throws {
        let files = try space(
            stages: Self.embedded + [
                "coreset: {keep: 40, method: score-first, score: empty_text, distance: 0}",
                "redundancy: {order: empty_text, distance: 0.01}", "redundancy: {order: rank, distance: 0.02}",
            ], output: ["annotate: [empty_text]"]
        ).run(["--segment-bytes", "500", "--block-bytes", "200"])
        try files.expectClosedAccount()
        #expect(files.keptLines.count > 3)
    }

    /// Two later stages that read the same field.
    @Test func aFieldThatTwoStagesReadIsKeptOnce() throws {
        let files = try space(
            stages: Self.embedded + [
                "cluster: {clusters: 3}", "coreset: {keep: 40, method: score-first, score_field: q, per: cluster}",
                "coreset: {keep: 10, method: score-first, score_field: q, per: cluster}",
                "format: {template: \"{text} {q}\"}",
            ], output: ["record: formatted"]
        ).run()
        try files.expectClosedAccount()
        #expect(files.keptLines.count == 10)
    }
}
