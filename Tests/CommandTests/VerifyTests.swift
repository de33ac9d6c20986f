import Glibc
import SluiceCore
import SluiceIO
import Testing

/// `verify` finds changes, and states what it did not check.
@Suite struct VerifyTests {
    private func space() throws -> Workspace {
        let space = try Workspace()
        try space.write(
            "in.jsonl",
            lines: (0..<90).map { #"{"a": "some text \#($0 % 60) of \#($0 % 7)", "b": \#($0)}"# } + ["{", ""])
        try space.define(
            input: ["dedupe: {on: a}"],
            stages: [#"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 16}", "coreset: {keep: 7}"])
        return space
    }

    /// Replaces `run.json` by a modified version of it.
    private func forge(_ space: Workspace, _ change: (String) -> String) throws -> Outcome {
        let path = space("out/run.json")
        let bytes = try readFile(path)
        let forged = change(text(bytes))
        #expect(forged != text(bytes), "nothing was changed")
        try writeFile(path, Array(forged.utf8))
        defer { try? writeFile(path, bytes) }
        return try space.sluice("verify", "out")
    }

    @Test func saysWhatWasCheckedAndWhatWasNot() throws {
        let space = try space()
        _ = try space.run()
        let outcome = try space.sluice("verify", "out")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        for words in [
            "1 input", "4 outputs", "run.json", "the counts", "the radius of `coreset`", "not checked: the lower bound",
        ] {
            #expect(outcome.outputText.contains(words), "«\(words)» is not in \(outcome.outputText)")
        }
        #expect(outcome.outputText.split(separator: "\n").allSatisfy { $0.count <= 80 }, "\(outcome.outputText)")
        let again = try space.sluice("verify", "out", "--rerun")
        #expect(
            again.status == 0 && again.outputText.contains("same results") && !again.outputText.contains("not checked"),
            "\(again.outputText)")
    }

    @Test(arguments: ["{}", "null", "[]", "1", #"{"sluice": "0.1.0"}"#, ""])
    func anEmptiedManifestIsRefused(_ content: String) throws {
        let space = try space()
        _ = try space.run()
        let outcome = try forge(space) { _ in content }
        #expect([2, 3].contains(outcome.status), "\(outcome.outputText)")
        #expect(outcome.errorText.contains("run.json"), "\(outcome.errorText)")
    }

    /// The digests are unchanged: the seal is enough to detect it.
    @Test func everyChangeOfTheManifestIsFound() throws {
        let space = try space()
        _ = try space.run()
        let changes = [
            (#""seed": 7"#, #""seed": 8"#), (#""keep": 7"#, #""keep": 8"#), (#""invalid-json""#, #""too-deep""#),
            (#""cut-short""#, #""too-deep""#), (#""sluice": "0"#, #""sluice": "9"#), (#""warnings""#, #""Warnings""#),
            (#""method": "farthest-first""#, #""method": "medoids""#), (#""radius": "#, #""radius": 1"#),
            (#""memory_peak": "#, #""memory_peak": 1"#),
        ]
        let manifest = text(try readFile(space("out/run.json")))
        var found = 0
        for (old, new) in changes where manifest.contains(old) {
            let outcome = try forge(space) { $0.replacing(old, with: new) }
            #expect(outcome.status == 3, "\(old): \(outcome.outputText)")
            #expect(outcome.errorText.contains("run.json"), "\(outcome.errorText)")
            found += 1
        }
        #expect(found >= 7)
    }

    /// Even with new digests, the rest must match.
    @Test func aForgedManifestWithRightDigestsContradictsTheFiles() throws {
        let space = try space()
        let files = try space.run()
        let radius = try #require(files.manifest["stages"]?.elements.last?["radius"]?.realValue)
        #expect(radius > 0.001)
        let forgeries: [(String, (JSONValue) -> JSONValue)] = [
            ("names no input", { $0.with("inputs", .list([])) }),
            ("does not match its digest", { $0.with("definition", ($0["definition"] ?? .null).with("seed", 8)) }),
            ("the lines of the inputs are", { $0.with("counts", ($0["counts"] ?? .null).with("blank_lines", 0)) }),
            ("kinds of malformed lines", { $0.with("quarantine", .object([])) }),
            ("states a radius of 0.001", { $0.withLastStage { $0.with("radius", .real(0.001)) } }),
            (
                "not its radius divided by its lower bound",
                { $0.withLastStage { $0.with("lower_bound", .real(radius)) } }
            ),
            (
                "the stages leave",
                { $0.withLastStage { $0.with("dropped", .object([])).with("out", $0["in"] ?? .null) } }
            ),
            (
                "that `coreset` dropped as other",
                {
                    $0.withLastStage {
                        $0.with("dropped", .object([.init("other", ($0["dropped"]?.entries ?? [])[0].value)]))
                    }
                }
            ),
        ]
        let manifest = files.manifest
        for (words, change) in forgeries {
            try writeFile(space("out/run.json"), Array(change(manifest).sealed.prettyJSON.utf8))
            let outcome = try space.sluice("verify", "out")
            #expect(outcome.status == 3, "\(words): \(outcome.outputText)")
            #expect(outcome.errorText.contains(words), "«\(words)» is not in \(outcome.errorText)")
            #expect(!outcome.errorText.contains("not what was written"), "\(outcome.errorText)")
        }
        try writeFile(space("out/run.json"), Array(manifest.sealed.prettyJSON.utf8))
        #expect(try space.sluice("verify", "out").status == 0, "the seal is made as the program makes it")
    }

    /// Each group has a certificate of its own.
    @Test func aForgedBoundOfAGroupIsFound() throws {
        let space = try space()
        try space.define(
            input: ["dedupe: {on: a}"],
            stages: [
                #"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 16}", "cluster: {clusters: 3}",
                "coreset: {keep: 9, per: cluster}",
            ])
        let files = try space.run()
        let good = try space.sluice("verify", "out")
        #expect(good.status == 0 && good.outputText.contains("the lower bounds of `coreset`"), "\(good.outputText)")
        for (key, words) in [("lower_bound", "divided by its lower bound"), ("radius", "the radii of the groups")] {
            let forged = files.manifest.withLastStage { stage in
                let groups = stage["per_group"]?.elements ?? []
                let value = key == "radius" ? 1.9 : (groups[0]["radius"]?.realValue ?? 0) / 3
                var first = groups[0].with(key, .real(value))
                if key == "radius", let bound = first["lower_bound"]?.realValue {
                    first = first.with("factor", .real(value / bound))
                }
                return stage.with("per_group", .list([first] + groups.dropFirst()))
            }
            try writeFile(space("out/run.json"), Array(forged.sealed.prettyJSON.utf8))
            let outcome = try space.sluice("verify", "out")
            #expect(outcome.status == 3 && outcome.errorText.contains(words), "\(outcome.errorText)")
        }
    }

    // MARK: Standard input and pipes

    /// Nobody writes to the pipe any more, so reading it again would wait for ever.
    @Test func aPipeIsNotReadAgain() throws {
        let space = try space()
        guard mkfifo(space("pipe"), 0o600) == 0 else { throw Failure("no pipe") }
        try space.define(files: "pipe")
        let run = try Program.run(
            ["-c", #"(printf '{"a":1}\n{"a":2}\n' > pipe) & timeout 60 "$0" run run.yaml"#, Program.path],
            program: "/bin/sh", in: space.path)
        #expect(run.status == 0, "\(run.errorText)")
        let outcome = try Program.run(
            ["-c", #"timeout 60 "$0" verify out"#, Program.path], program: "/bin/sh", in: space.path)
        #expect(outcome.status == 0, "\(outcome.errorText)")
        #expect(
            outcome.outputText.contains("not checked: the input pipe, which can be read only once"),
            "\(outcome.outputText)")
    }

    @Test func standardInputIsNotSaidToVerify() throws {
        let space = try space()
        try space.define(files: "-", input: ["dedupe: {on: a}"])
        let input = joined((0..<20).map { Array(#"{"a": "text \#($0 % 15)"}"#.utf8) })
        _ = try space.run(input: input)
        let outcome = try space.sluice("verify", "out")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        #expect(
            outcome.outputText.contains("not checked: the input, which was standard input"), "\(outcome.outputText)")
        #expect(!outcome.outputText.contains("1 input"), "\(outcome.outputText)")
        let again = try space.sluice("verify", "out", "--rerun", input: input)
        #expect(again.status == 0, "\(again.errorText)")
        #expect(again.errorText.contains("reading standard input"), "\(again.errorText)")
        let other = try space.sluice("verify", "out", "--rerun", input: Array(input.dropLast(24)))
        #expect(other.status == 3, "\(other.outputText)")

        for arguments in [["out", "-:17"], ["out", "-:17", "--json"], ["out", "--", "-:17"]] {
            let why = try space.sluice(["why"] + arguments)
            #expect(why.status == 0, "\(why.errorText)")
            #expect(why.outputText.contains("dropped") && why.outputText.contains("2"), "\(why.outputText)")
        }
    }
}

extension JSONValue {
    func with(_ key: String, _ value: JSONValue) -> JSONValue {
        .object(entries.map { $0.key == key ? .init(key, value) : $0 })
    }

    func withLastStage(_ change: (JSONValue) -> JSONValue) -> JSONValue {
        var stages = self["stages"]?.elements ?? []
        stages.append(change(stages.removeLast()))
        return with("stages", .list(stages))
    }

    /// With new digests of itself, made as `docs/run-directory.md` describes.
    var sealed: JSONValue {
        func digest(_ entries: [Entry]) -> JSONValue {
            let hash = Array(JSONValue.object(entries).json.utf8).withUnsafeBytes { XXHash.hash128($0) }
            func digits(_ value: UInt64) -> String {
                let text = String(value, radix: 16)
                return String(repeating: "0", count: 16 - text.count) + text
            }
            return .text("xxh3-128:" + digits(hash.high) + digits(hash.low))
        }
        var all = entries.filter { $0.key != "digest" && $0.key != "timing" }
        all.append(.init("digest", digest(all)))
        let timing = (self["timing"]?.entries ?? []).filter { $0.key != "digest" }
        let whole = digest(all + [.init("timing", .object(timing))])
        return .object(all + [.init("timing", .object(timing + [.init("digest", whole)]))])
    }
}
