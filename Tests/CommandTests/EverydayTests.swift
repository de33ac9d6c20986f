import Foundation
import Glibc
import SluiceCore
import SluiceIO
import Testing

/// The stages for everyday curation in the real program: with each other and with other stages, small memory, long
/// records, other threads and blocks, a stop, benchmarks that change.
@Suite struct EverydayTests {
    private static let stages = [
        "format", "length: {min: 10, max: 300000}",
        #"match: {drop: [{field: kind, equals: "5"}, {column: text, matches: "(?i)forbidden|(x+x+)+y"}]}"#,
        "quality: {rules: [gopher, fineweb], limits: {gopher-min-words: 5, gopher-stop-words: 0}, without: [fineweb-short-lines, fineweb-line-ends]}",
        "measure: {columns: [words, characters, punctuation]}", "distinct: {normalize: [case, space, punctuation]}",
        "match: {keep: {column: words, at_least: 6}}", "sample: {keep: 90%}",
    ]

    private static func lines(_ count: Int) -> [String] {
        var random = SplitMix64(state: 5)
        let words = "the river of stone sort why forbidden numbers winter explain below answer to quick".split(
            separator: " ")
        return (0..<count).map { number in
            let length = number % 97 == 3 ? 20_000 : 3 + Int(random.next(below: 40))
            var text = (0..<length).map { _ in
                words[Int(random.next(below: 13))] == "forbidden" && number % 4 > 0
                    ? "sky" : words[Int(random.next(below: 14))]
            }
            .map(String.init).joined(separator: " ")
            if number % 5 == 1 { text = "THE river, twice \(number % 20): however it is spelled!" }
            if number % 5 == 2 { text = "the river twice \(number % 20) \\n however it is spelled" }
            return
                #"{"prompt":"Say \#(number % 5 == 1 || number % 5 == 2 ? 1 : number)","completion":"\#(text)","kind":\#(number % 6)}"#
        }
    }

    /// The same bytes whatever the threads, blocks and memory, and every record in one place.
    @Test func theBytesDoNotDependOnThreadsBlocksAndMemory() throws {
        let space = try Workspace()
        try space.write("in-0.jsonl", lines: Self.lines(700))
        try space.write("in-1.jsonl.zst", lines: Self.lines(900))
        try space.define(
            files: "in-*", stages: Self.stages + ["sample: {keep: 100}", "sample: {keep: 12, per: kind}"],
            output: ["annotate: [words, punctuation]"])
        let plan = try space.sluice("check", "run.yaml", "--memory", "2MiB", "--threads", "1")
        let least = try #require(BudgetShape.smallest(in: plan.errorText), "\(plan.errorText)")
        let first = try space.run(["--threads", "1", "--memory", "\(least)MiB"], into: "first")
        try first.expectClosedAccount()
        #expect(first.count("kept") > 50)
        let reasons = Set(try first.drops.map { "\($0.stage) \($0.reason)" })
        for reason in ["match match", "distinct duplicate", "sample not-sampled", "sample#2 not-sampled"] {
            #expect(reasons.contains(reason), "\(reasons.sorted())")
        }
        #expect(try first.drops.allSatisfy { ($0.reason == "duplicate") == ($0.partner != nil) })
        let peak = try #require(first.manifest["timing"]?["memory_peak"]?.integerValue)
        #expect(peak <= least << 20, "\(peak >> 20) MiB of \(least)")
        for arguments in [
            ["--threads", "4", "--block-bytes", "4096"],
            ["--threads", "2", "--memory", "1GiB", "--segment-bytes", "50000"],
        ] {
            let again = try space.run(arguments, into: "again-\(arguments[1])")
            #expect(
                again.kept == first.kept && again.ledger == first.ledger && again.picks == first.picks, "\(arguments)")
        }
    }

    /// With stages that need vectors, before and after them; each place in the definition works.
    @Test func goesWithStagesOfVectors() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(600))
        try space.define(
            input: ["dedupe: {on: line}"],
            stages: Array(Self.stages.prefix(6)) + [
                "embed: {model: lexical, dimensions: 64}", "cluster: {clusters: 5}",
                "redundancy: {method: pairwise, distance: 0.02}",
                "sample: {keep: 150}", "match: {drop: {column: cluster, equals: 2}}",
                "coreset: {keep: 30, per: cluster}",
                "distinct: {on: [cluster]}", "length: {max: 100000}", "quality: {rules: [gopher-top-2-gram]}",
            ], output: ["annotate: [words, cluster, rank]"])
        let run = try space.run()
        try run.expectClosedAccount()
        #expect((1...4).contains(run.count("kept")))
        #expect(try space.run(["--threads", "1", "--block-bytes", "4096"], into: "again").digests == run.digests)
    }

    /// A column without anything else that needs a second reading is written in one pass.
    @Test func filtersAloneReadOnce() throws {
        let space = try Workspace()
        let lines = Self.lines(300)
        try space.write("in.jsonl", lines: lines)
        try space.define(
            files: "-",
            stages: [
                "length: {field: completion, unit: words, min: 10}", "match: {keep: {field: kind, below: 4}}",
                "quality: {rules: [gopher-hashes], field: completion}", "measure: {field: completion, prefix: c_}",
                "sample: {keep: 50%}",
            ], output: ["annotate: [c_words]"])
        let run = try space.run(input: joined(lines.map { Array($0.utf8) }))
        try run.expectClosedAccount()
        #expect(run.picks == nil && run.count("kept") > 20)
        #expect(run.keptLines.allSatisfy { text($0).contains(#","_sluice":{"c_words":"#) })
    }

    /// A stop and `--resume`, and a benchmark that changes meanwhile.
    @Test func benchmarksArePartOfTheRun() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(400))
        try space.write("sets/test.jsonl", #"{"q":"However, it is spelled: say 1 THE"}"# + "\n")
        try space.write("more/test.jsonl", #"{"q":"say 1 the river twice 11"}"# + "\n")
        try space.define(
            stages: [
                "format", "decontaminate: {against: [sets/test.jsonl, more/test.jsonl], ngram: 6, shortest: 4}",
                "sample: {keep: 100}",
            ])
        let whole = try space.run(into: "whole")
        try whole.expectClosedAccount()
        let found = try whole.drops.filter { $0.reason == "contaminated" }
        #expect(!found.isEmpty)
        #expect(
            found.allSatisfy {
                $0.values["benchmark"] as? String == "more/test.jsonl" && $0.values["benchmark_line"] as? Int == 1
            })
        // Some tasks are done, and one process goes on.
        let listed = try space.sluice(
            "run", "run.yaml", "--output", "cut", "--prepare", "--part-bytes", "100000", "--progress", "none")
        let tasks = try JSONValue(json: listed.output).elements.compactMap { $0["task"]?.textValue }
        for task in tasks.prefix(2) { #expect(try space.sluice("task", "cut", task, "--progress", "none").status == 0) }
        try space.write("more/test.jsonl", #"{"q":"something else is asked here"}"# + "\n")
        let changed = try space.sluice("run", "run.yaml", "--output", "cut", "--resume", "--part-bytes", "100000")
        #expect(
            changed.status == 2 && changed.errorText.contains("more/test.jsonl"),
            "\(changed.status) \(changed.errorText)")
        try space.write("more/test.jsonl", #"{"q":"say 1 the river twice 11"}"# + "\n")
        let resumed = try space.run(["--resume", "--part-bytes", "100000"], into: "cut")
        #expect(resumed.kept == whole.kept && resumed.ledger == whole.ledger)
    }

    @Test(
        arguments: [
            (
                #"match: {keep: {field: a, matches: "a("}}"#,
                #"run.yaml:6:19: stage 1 `match`: `keep.matches` is no valid pattern: missing closing parenthesis, at character 3"#
            ),
            ("match: {keep: [{feld: a}]}", "`keep[1]` has the unknown key `feld`; did you mean `field`?"),
            ("length: {min: 5, max: 4}", "`min` is 5, more than `max`, 4"),
            ("length: {min: 5}", "stage 1 `length` reads `text`"), ("quality: {rules: [goper]}", "gopher"),
            ("decontaminate: {against: [none.jsonl], field: a}", "none.jsonl"),
            ("distinct: {normalize: [caps]}", "case, space, punctuation"),
            ("sample: {keep: 0}", "would keep nothing"),
            ("language: {keep: [eng], field: a}", "`keep`: `eng` is none of the languages"),
            ("measure: {columns: [wrds]}", "words"),
            ("match: {keep: {column: nothing, equals: 1}}", "`nothing`"),
        ])
    func mistakesAreFoundBeforeAnythingIsRead(stage: String, words: String) throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: ["not even JSON"])
        try space.define(stages: [stage])
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 2, "\(outcome.errorText)")
        #expect(outcome.errorText.replacingOccurrences(of: "\n  ", with: " ").contains(words), "\(outcome.errorText)")
        #expect(space.names() == ["in.jsonl", "run.yaml"])
    }

    /// A pattern that would take years ends the run soon, with the record's place and nothing left behind.
    @Test func aPatternThatTakesTooLongEndsTheRun() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: [#"{"a":"fine"}"#, #"{"a":"\#(String(repeating: "x", count: 3000))!"}"#])
        try space.define(stages: [#"match: {keep: {field: a, matches: "^(x|x?)+$|(x+)+[0-9]"}}"#])
        let outcome = try space.sluice("run", "run.yaml", "--progress", "none")
        #expect(
            outcome.status == 3 && outcome.errorText.contains("in.jsonl:2")
                && outcome.errorText.contains("too many steps"), "\(outcome.errorText)")
        #expect(space.names() == ["in.jsonl", "run.yaml"])
    }

    /// The languages of the texts that scripts/language.py has judged: a file for each, the rest in the ledger, the same
    /// with any threads, blocks and memory.
    @Test func languagesHaveFilesOfTheirOwn() throws {
        let space = try Workspace()
        let rows = split(try readFile("\(projectFolder)/Tests/PluginTests/Golden/language.jsonl"))
        try space.write("in.jsonl", lines: rows.map { text($0) })
        try space.define(
            stages: ["language: {field: text, drop: [und, zxx, no], min_score: 0.3, as: tongue}"],
            output: ["annotate: [tongue, tongue_score]"])
        try space.write(
            "run.yaml",
            text(try readFile(space("run.yaml"))) + "outputs:\n  by: {per: tongue}\n  en: {where: tongue == en}\n")
        let plan = try space.sluice("check", "run.yaml", "--memory", "2MiB", "--threads", "1")
        let least = try #require(BudgetShape.smallest(in: plan.errorText), "\(plan.errorText)")
        let run = try space.run(["--threads", "1", "--memory", "\(least)MiB"], into: "first")
        try run.expectClosedAccount()
        let peak = try #require(run.manifest["timing"]?["memory_peak"]?.integerValue)
        #expect(peak <= least << 20, "\(peak >> 20) MiB of \(least)")
        var (dropped, kept): ([String: Int], [String: Int]) = ([:], [:])
        for row in try rows.map({ try JSONValue(json: $0) }) {
            let isSure = (row["score"]?.realValue ?? 0) >= 0.3
            let language = isSure ? row["language"]?.textValue ?? "" : "und"
            if ["und", "zxx", "no"].contains(language) {
                dropped["language-\(language)", default: 0] += 1
            } else {
                kept[language, default: 0] += 1
            }
        }
        #expect(try run.drops.reduce(into: [:]) { $0[$1.reason, default: 0] += 1 } == dropped)
        for (language, count) in kept {
            let lines = split(try unpacked(space("first/outputs/by/\(language).jsonl.zst")))
            #expect(lines.count == count, "\(language)")
            #expect(lines.allSatisfy { text($0).contains("\"_sluice\":{\"tongue\":\"\(language)\",\"tongue_score\":") })
        }
        #expect(try readFile(space("first/outputs/en.jsonl.zst")) == readFile(space("first/outputs/by/en.jsonl.zst")))
        for arguments in [["--threads", "4", "--block-bytes", "4096"], ["--threads", "2", "--memory", "1GiB"]] {
            let again = try space.run(arguments, into: "again-\(arguments[1])")
            #expect(again.kept == run.kept && again.ledger == run.ledger, "\(arguments)")
        }
    }

    /// Real data: counts that another program found, too (Benchmarks/everyday.py).
    @Test func knownAnswersOnRealData() throws {
        guard let data = sharedData else { return skip("there is no ../shared/data") }
        let space = try Workspace()
        try space.define(files: "\(data)/p3-*.jsonl.zst", stages: ["distinct: {on: [prompt, completion]}"])
        // As `dedupe` on these fields.
        let run = try space.run()
        #expect(run.count("dropped") == 403)
        #expect(sha256(run.kept) == "f3b63aaf15a420cbea0b4f185819ce8c4c653591a32bcc139d85b6ddde726d27")
        try space.define(files: "\(data)/p3-*.jsonl.zst", input: ["dedupe: {on: [prompt, completion]}"])
        let deduped = try space.run(into: "deduped")
        let partners = try [run, deduped].map { try $0.drops.map { "\($0.place) \($0.partner ?? "-")" } }
        #expect(partners[0] == partners[1])
    }
}
