import Glibc
import SluiceCore
import SluiceIO
import Testing

/// Models that a run learns, keeps and hands to later runs, through the program itself.
@Suite struct FittedModelTests {
    private static let words = ["red", "blue", "tall", "old", "cold", "dear", "round", "loud", "late", "ripe", "thin"]

    /// Distinct records of common words, some of them long.
    private static func lines(_ range: Range<Int>) -> [String] {
        range.map { number in
            var random = Seed(3).generator(UInt64(number))
            let count = number % 97 == 5 ? 4000 : 5 + Int(random.next(below: 20))
            let text = (0..<count).map { _ in words[Int(random.next(below: 11))] + "\(random.next(below: 9))" }
            return #"{"text": "\#(text.joined(separator: " ")) no \#(number)"}"#
        }
    }

    private static let embed = "embed: {dimensions: 48, reservoir: 200, features: 2048}"

    private func define(_ space: Workspace, files: String = "in.jsonl", _ embed: String = embed) throws {
        try space.define(
            files: files, input: ["max_record: 1MiB"],
            stages: [#"format: {template: "{text}"}"#, embed, "coreset: {keep: 50}"])
    }

    private func vectors(_ space: Workspace, of run: String) throws -> [UInt8] {
        let outcome = try space.sluice("vectors", run, "--output", "\(run).npy")
        guard outcome.status == 0 else { throw Failure(outcome.errorText) }
        return try readFile(space("\(run).npy"))
    }

    @Test func aFittedModelGivesTheVectorsOfTheRunThatMadeIt() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(0..<900))
        try define(space)
        let first = try space.run()
        #expect(space.names(in: "out/models") == ["embed.lsa"])
        let verified = try space.sluice("verify", "out")
        #expect(verified.status == 0 && verified.outputText.contains("1 model"))
        for (number, fitted) in ["out", "out/models/embed.lsa"].enumerated() {
            try define(space, "embed: {fitted: \(fitted)}")
            let again = try space.run(into: "again-\(number)")
            #expect(again.kept == first.kept && again.ledger == first.ledger)
            #expect(try vectors(space, of: "again-\(number)") == vectors(space, of: "out"))
            #expect(again.manifest["models"] == nil && !space.names(in: "again-\(number)").contains("models"))
            let identity = try #require(again.manifest["stage_identities"]?.elements.first)
            let learned = first.manifest["stages"]?.elements.first { $0["stage"] == "embed" }?["fitted"]
            #expect(identity["value"] == learned)
        }
    }

    /// A record has the same vector in another corpus, where the model is that of the first.
    @Test func twoCorporaStandInOneSpace() throws {
        let space = try Workspace()
        try space.write("a.jsonl", lines: Self.lines(0..<600))
        try space.write("b.jsonl", lines: Self.lines(500..<560))
        let keepAll = [#"format: {template: "{text}"}"#, Self.embed, "coreset: {keep: 100%, method: random}"]
        try space.define(files: "a.jsonl", input: ["max_record: 1MiB"], stages: keepAll)
        _ = try space.run(into: "a")
        try space.define(
            files: "b.jsonl", input: ["max_record: 1MiB"],
            stages: [keepAll[0], "embed: {fitted: a}", keepAll[2]])
        _ = try space.run(into: "b")
        _ = try (vectors(space, of: "a"), vectors(space, of: "b"))
        let (a, b) = (try NpyReader<Int8>(space("a.npy")), try NpyReader<Int8>(space("b.npy")))
        #expect(a.rows == 600 && b.rows == 60)
        #expect(try a.read(rows: 500..<560) == b.read(rows: 0..<60))
        // Learned from itself, it is another space.
        try space.define(files: "b.jsonl", input: ["max_record: 1MiB"], stages: keepAll)
        _ = try space.run(into: "c")
        #expect(try vectors(space, of: "c") != readFile(space("b.npy")))
    }

    private func tasks(_ listed: Outcome) throws -> [String] {
        try JSONValue(json: listed.output).elements.map { try #require($0["task"]?.textValue) }
    }

    /// The sample and the counts merge exactly: cuts, threads, memory and tasks leave no trace in the model.
    @Test func theModelIsTheSameHoweverItIsMade() throws {
        let space = try Workspace()
        let lines = Self.lines(0..<900)
        try space.write("in.jsonl", lines: lines)
        for part in 0..<5 {
            try space.write("cut-\(part).jsonl.zst", lines: Array(lines[(part * 180)..<(part * 180 + 180)]))
        }
        try define(space)
        let first = try space.run(["--threads", "1"])
        let model = try readFile(space("out/models/embed.lsa"))
        for (number, arguments) in [
            ["--threads", "4", "--block-bytes", "4096"], ["--input", "cut-*.zst", "--threads", "3"],
            ["--memory", "100MiB", "--seed", "99"],
        ].enumerated() {
            _ = try space.run(arguments, into: "out-\(number)")
            #expect(try readFile(space("out-\(number)/models/embed.lsa")) == model, "\(arguments)")
        }
        let listed = try space.sluice("run", "run.yaml", "--output", "tasks", "--prepare")
        #expect(listed.status == 0, "\(listed.errorText)")
        for task in try tasks(listed) {
            let outcome = try space.sluice("task", "tasks", task)
            #expect(outcome.status == 0, "\(task): \(outcome.errorText)")
        }
        #expect(try readFile(space("tasks/models/embed.lsa")) == model)
        #expect(try RunFiles(space("tasks")).digests == first.digests)
    }

    /// A stop between the survey and the end: the model is not learned again, and the result is the same.
    @Test func aStoppedRunGoesOnWithItsModel() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(0..<900))
        try define(space)
        let whole = try space.run()
        for after in ["6", "14", "30"] {
            let listed = try space.sluice("run", "run.yaml", "--output", "t-\(after)", "--prepare")
            for task in try tasks(listed).prefix(Int(after) ?? 0) { _ = try space.sluice("task", "t-\(after)", task) }
            let resumed = try space.run(["--resume"], into: "t-\(after)")
            #expect(resumed.digests == whole.digests)
            #expect(try readFile(space("t-\(after)/models/embed.lsa")) == readFile(space("out/models/embed.lsa")))
        }
    }

    @Test func theNextResultReplacesTheModel() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(0..<300))
        try define(space)
        _ = try space.run()
        try space.write("out/models/mine.txt", "not of the run")
        try define(space, "embed: {model: lexical}")
        _ = try space.run(["--force"])
        #expect(space.names(in: "out/models") == ["mine.txt"])
        #expect(try space.sluice("verify", "out").status == 0)
        try define(space)
        _ = try space.run(["--force"])
        #expect(space.names(in: "out/models") == ["embed.lsa", "mine.txt"])
        #expect(try space.sluice("run", "run.yaml", "--resume").status == 0)
        unlink(space("out/models/embed.lsa"))
        let verified = try space.sluice("verify", "out")
        #expect(verified.status != 0 && verified.errorText.contains("embed.lsa"))
        _ = try space.run(["--resume"])
        #expect(space.names(in: "out/models") == ["embed.lsa", "mine.txt"], "the run is repeated")
    }

    @Test func filesThatAreNoModelAreNamedBeforeAnythingIsRead() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(0..<300))
        try define(space)
        _ = try space.run()
        let model = try readFile(space("out/models/embed.lsa"))
        try space.write("empty/x", "")
        try space.write("two/models/a.lsa", model)
        try space.write("two/models/b.lsa", model)
        try space.write("short.lsa", Array(model.dropLast(9)))
        try space.write("text.lsa", [UInt8](repeating: 65, count: 5000))
        var damaged = model
        damaged[model.count / 2] ^= 1
        try space.write("damaged.lsa", damaged)
        damaged = model
        damaged[16] = 9
        try space.write("later.lsa", damaged)
        for (file, words) in [
            ("missing", "missing can't be opened"), ("empty", "no model of `embed`"), ("two", "a.lsa, b.lsa"),
            ("short.lsa", "short.lsa: the bytes end"), ("text.lsa", "is no fitted model"),
            ("damaged.lsa", "damaged.lsa: its checksum"), ("later.lsa", "version 9"),
        ] {
            try define(space, files: "in.jsonl", "embed: {fitted: \(file)}")
            let outcome = try space.sluice("run", "run.yaml", "--output", "other")
            #expect(outcome.status == 2, "\(file): \(outcome.errorText)")
            #expect(outcome.errorText.contains(words), "\(outcome.errorText)")
            #expect(!space.names().contains("other"), "\(file)")
        }
        // A model that is replaced by another belongs to another run.
        try define(space, "embed: {fitted: m.lsa}")
        try space.write("m.lsa", model)
        _ = try space.run(into: "with")
        try space.write("in2.jsonl", lines: Self.lines(0..<200))
        try define(space, files: "in2.jsonl")
        _ = try space.run(into: "second")
        try space.write("m.lsa", try readFile(space("second/models/embed.lsa")))
        try define(space, "embed: {fitted: m.lsa}")
        let outcome = try space.sluice("run", "run.yaml", "--output", "with", "--resume")
        #expect(outcome.status == 2 && outcome.errorText.contains("m.lsa"), "\(outcome.errorText)")
    }

    @Test func comparingUsesTheKeptModel() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(0..<300))
        try define(space)
        _ = try space.run()
        _ = try space.run(["--set", "stages.coreset.keep=100", "--seed", "5"], into: "more")
        let outcome = try space.sluice("compare", "out", "more", "--json")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        let report = try JSONValue(json: outcome.output)
        #expect(report["same_pool_and_embedding"] == .flag(true))
        let radii = (report["runs"]?.elements ?? []).compactMap { $0["radius"]?.realValue }
        #expect(radii.count == 2 && radii[0] >= radii[1] && radii[1] > 0)
        unlink(space("out/models/embed.lsa"))
        #expect(try space.sluice("compare", "out", "--json").errorText.contains("embed.lsa"))
    }

    /// One record of 16 MiB among small ones: the sample is bounded.
    @Test func longRecordsStayWithinTheBudget() throws {
        let space = try Workspace()
        let long = (0..<2_400_000).map { "w\($0 * 31 % 700_000)" }.joined(separator: " ")
        try space.write(
            "in.jsonl", lines: Self.lines(0..<50) + [#"{"text": "\#(long.prefix(16_000_000))"}"#] + Self.lines(50..<90))
        try space.define(
            input: ["max_record: 16MiB"],
            stages: [#"format: {template: "{text}"}"#, "embed: {}", "coreset: {keep: 20}"])
        let refused = try space.sluice("check", "run.yaml", "--memory", "20MiB")
        let least = try #require(BudgetShape.smallest(in: refused.errorText), "\(refused.errorText)")
        let run = try Program.measure(
            ["run", "run.yaml", "--output", "out", "--memory", "\(least)MiB", "--progress", "none"], in: space.path)
        #expect(run.outcome.status == 0, "\(run.outcome.errorText)")
        #expect(run.peak <= least << 20, "\(run.peak >> 20) MiB of \(least)")
        try RunFiles(space("out")).expectClosedAccount()
    }
}
