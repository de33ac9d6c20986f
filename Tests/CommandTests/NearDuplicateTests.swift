import Foundation
import SluiceCore
import Testing

/// A near duplicate is confirmed by its text before it is dropped.
@Suite struct NearDuplicateTests {
    /// Texts with equal vectors that are not the same.
    private static let different = [
        ("What is 5 + 3?", "What is 5 - 3?"), ("Compute x**2 for every x.", "Compute x//2 for every x."),
        ("Tom likes Ann", "Ann likes Tom"), ("Is a < b here?", "Is a > b here?"),
        ("Der Preis ist $7.", "Der Preis ist €7."), ("if (a && !b) return c", "if (!a && b) return c"),
    ]
    /// Texts that are.
    private static let equal = [
        ("Name three fruits.", "name three fruits"), ("Add 5 + 3, please!", "Add 5+3 please"),
        ("A state-of-the-art model", "A state of the art model"),
        ("Where is the «Louvre»?", "Where is the \"Louvre\"?"),
    ]

    private func space(_ stages: [String], output: [String] = []) throws -> Workspace {
        let filler = (0..<40).map { row in (0..<6).map { "\(row * $0)word\(row)and\($0)" }.joined(separator: " ") }
        let texts = (Self.different + Self.equal).flatMap { [$0.0, $0.1] } + filler
        let lines = try texts.map { try JSONSerialization.data(withJSONObject: ["text": $0]) }
        let space = try Workspace()
        try space.write("in.jsonl", lines: lines.map { [UInt8]($0) })
        try space.define(stages: ["format: {template: \"{text}\"}"] + stages, output: output)
        return space
    }

    @Test(arguments: ["lexical", "lsa"], ["pairwise", "semdedup"])
    func textsThatDifferAreKept(model: String, method: String) throws {
        let cluster = method == "semdedup" ? ["cluster: {clusters: 1}"] : []
        let embed = ["embed: {model: \(model), dimensions: 128}"] + cluster
        let run = try space(embed + ["redundancy: {method: \(method)}"]).run()
        try run.expectClosedAccount()
        let gone = Set(try run.drops.map(\.line))
        for pair in Self.different.indices {
            #expect(gone.isDisjoint(with: [2 * pair + 1, 2 * pair + 2]), "\(Self.different[pair])")
        }
        for pair in Self.equal.indices {
            let first = 2 * (Self.different.count + pair) + 1
            #expect(gone.intersection([first, first + 1]).count == 1, "\(Self.equal[pair])")
        }
        let report = run.manifest["stages"]?.elements.last
        // `lsa` tells the order of neighbouring words and `€` by itself.
        let refused = Self.different.count - (model == "lsa" ? 2 : 0)
        #expect(report?["pairs_refused"]?.integerValue == refused)
        #expect(report?["records_kept_since_texts_differ"]?.integerValue == refused)
        #expect(report?["confirm"]?["overlap"]?.realValue == 0.8)
        for drop in try run.drops { #expect((drop.values["overlap"] as? Double ?? 0) >= 0.8) }

        // Without confirmation one of each goes.
        let bare = try space(embed + ["redundancy: {method: \(method), confirm: none}"]).run()
        #expect(try bare.drops.count == refused + Self.equal.count)
        #expect(bare.manifest["stages"]?.elements.last?["pairs_refused"] == nil)
        #expect(try bare.drops.allSatisfy { $0.values["overlap"] == nil })
    }

    /// Each rule can be left out.
    @Test(arguments: [
        ("{overlap: 0, numbers: any, operators: any}", 0), ("{overlap: 0}", 5), ("{overlap: 0.3, operators: any}", 1),
    ]) func rulesCanBeLeftOut(rules: String, kept: Int) throws {
        let run = try space([
            "embed: {model: lexical, dimensions: 128}", "redundancy: {method: pairwise, confirm: \(rules)}",
        ]).run()
        #expect(run.manifest["stages"]?.elements.last?["records_kept_since_texts_differ"]?.integerValue == kept)
    }

    /// A definition whose vectors come from stages without texts asks for the stage that writes them.
    @Test func itNeedsTexts() throws {
        let space = try space(["embed: {model: lexical}", "redundancy: {confirm: {overlap: 2}}"])
        let outcome = try space.sluice("check", "run.yaml")
        #expect(outcome.status == 2 && outcome.errorText.contains("confirm"), "\(outcome.errorText)")
    }

    /// A model that knows words finds paraphrases where nothing is to be confirmed.
    @Test func aModelFindsParaphrases() throws {
        let folder = getenv("SLUICE_WORDLLAMA").map { String(cString: $0) } ?? "\(projectFolder)/.models/wordllama-256"
        guard access("\(folder)/model.safetensors", R_OK) == 0 else {
            return skip("no wordllama model; try `make models`")
        }
        let texts = [
            "A man is playing a guitar on stage.", "Someone performs music with a guitar in a concert.",
            "How do I cook rice?", "What is the best way to cook rice?", "The stock market fell sharply on Monday.",
        ]
        let space = try Workspace()
        try space.write("in.jsonl", lines: texts.map { "{\"text\": \"\($0)\"}" })
        func drops(_ confirm: String) throws -> [String?] {
            try space.define(stages: [
                "format: {template: \"{text}\"}", "embed: {model: static, path: \"\(folder)\"}",
                "redundancy: {method: pairwise, distance: 0.35\(confirm)}",
            ])
            return try space.run(["--force"]).drops.map { "\($0.line) \($0.partner ?? "")" }
        }
        #expect(try drops(", confirm: none") == ["2 in.jsonl:1", "4 in.jsonl:3"])
        #expect(try drops("") == [])
    }

    /// On real records: nothing is dropped for a record with other numbers or operators, as another program finds them.
    /// The same bytes from any memory and number of threads.
    @Test(arguments: ["lexical", "lsa"]) func noRealRecordLosesToOneWithOtherNumbers(model: String) throws {
        guard let sharedData else { return skip("../shared/data is not there") }
        let space = try Workspace()
        try space.define(
            files: "\(sharedData)/abilities.jsonl.zst",
            stages: [
                "format: {template: \"{instruction} {input} {output}\"}", "embed: {model: \(model)}",
                "cluster: {clusters: 8}", "redundancy: {method: pairwise, per: cluster, neighbours: 2}",
                "coreset: {keep: 50%, per: cluster}", "redundancy: {method: semdedup}",
            ], output: ["annotate: [cluster]"])
        let run = try space.run()
        try run.expectClosedAccount()
        let records = try split(unpacked("\(sharedData)/abilities.jsonl.zst")).map { line in
            let record = try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
            return ["instruction", "input", "output"].map { record?[$0] as? String ?? "" }.joined(separator: " ")
        }
        let numbers = try NSRegularExpression(pattern: #"\d+(?:[.,]\d+)*"#)
        let operators = try NSRegularExpression(pattern: #"[+*/%=<>^|&~$\\×÷]"#)
        func found(_ pattern: NSRegularExpression, _ place: String) -> [String] {
            let text = records[(Int(place.split(separator: ":").last ?? "") ?? 0) - 1]
            return pattern.matches(in: text, range: NSRange(text.startIndex..., in: text)).compactMap {
                Range($0.range, in: text).map { String(text[$0]) }
            }
        }
        var duplicates = 0
        for drop in try run.drops where drop.stage.hasPrefix("redundancy") {
            let partner = try #require(drop.partner)
            duplicates += 1
            #expect(found(numbers, drop.place) == found(numbers, partner), "\(drop.place) \(partner)")
            #expect(found(operators, drop.place) == found(operators, partner), "\(drop.place) \(partner)")
        }
        #expect(duplicates > 400)
        let small = try space.run(["--memory", model == "lsa" ? "220MiB" : "130MiB", "--threads", "1"], into: "small")
        #expect(small.digests.prefix(4) == run.digests.prefix(4))
    }
}
