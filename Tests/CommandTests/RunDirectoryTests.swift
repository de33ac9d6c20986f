import Glibc
import SluiceCore
import SluiceIO
import Testing

/// The output directory: its permitted content before a run, and its content after.
@Suite struct RunDirectoryTests {
    private func space() throws -> Workspace {
        let space = try Workspace()
        try space.write("in.jsonl", lines: (0..<100).map { #"{"a": "text \#($0 % 60)", "b": \#($0)}"# })
        try space.define(input: ["dedupe: {on: a}"])
        return space
    }

    private static let outputs = ["kept.jsonl.zst", "ledger.jsonl.zst", "quarantine.jsonl.zst", "run.json"]

    @Test func holdsTheOutputsAndNothingElse() throws {
        let space = try space()
        let files = try space.run()
        #expect(space.names(in: "out") == Self.outputs)
        #expect(files.keptLines.count == 60)
        try space.define(
            input: ["dedupe: {on: a}"],
            stages: [#"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 16}", "coreset: {keep: 7}"])
        _ = try space.run(into: "out2")
        #expect(space.names(in: "out2") == (Self.outputs + ["picks.jsonl.zst"]).sorted())
    }

    @Test func theSamePlanRunsAgain() throws {
        let space = try space()
        let first = try space.run()
        let second = try space.run(["--threads", "1", "--memory", "1GiB"])
        #expect(second.digests == first.digests)
        #expect(space.names(in: "out") == Self.outputs)
    }

    /// A result of another plan stays complete and unchanged, and the message names the differences.
    @Test func anotherPlanIsRefused() throws {
        let space = try space()
        _ = try space.run()
        let before = try Self.outputs.map { try readFile(space("out/\($0)")) }
        let refused: [([String], String)] = [
            (["--seed", "8"], "seed: 7 → 8"), (["--set", "input.dedupe.on=b"], "input.dedupe.on"),
            (["--set", "output.level=9"], "output.level: 3 → 9"), (["--input", "run.yaml"], "input run.yaml is new"),
        ]
        for (arguments, difference) in refused {
            let outcome = try space.sluice(["run", "run.yaml"] + arguments)
            #expect(outcome.status == 2)
            #expect(outcome.errorText.contains("out holds the result of another plan"), "\(outcome.errorText)")
            #expect(outcome.errorText.contains(difference), "\(outcome.errorText)")
            #expect(outcome.errorText.contains("--force"), "\(outcome.errorText)")
            #expect(try Self.outputs.map { try readFile(space("out/\($0)")) } == before)
            #expect(space.names(in: "out") == Self.outputs)
        }
        #expect(try space.run(["--seed", "8", "--force"]).manifest["definition"]?["seed"]?.integerValue == 8)
    }

    @Test func changedInputIsAnotherPlan() throws {
        let space = try space()
        _ = try space.run()
        try space.write("in.jsonl", "{}\n")
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 2)
        #expect(outcome.errorText.contains("input in.jsonl had"), "\(outcome.errorText)")
    }

    @Test func foreignFilesAreRefusedAndStay() throws {
        let space = try space()
        try space.write("out/thesis.tex", "years of work")
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 2)
        #expect(outcome.errorText.contains("thesis.tex"), "\(outcome.errorText)")
        #expect(space.names(in: "out") == ["thesis.tex"])
        _ = try space.run(["--force"])
        #expect(try text(readFile(space("out/thesis.tex"))) == "years of work", "--force removes only what is ours")
    }

    /// `compression: none` changes only this file and its compression, for every form of records.
    @Test(arguments: [[], ["record: formatted"], ["annotate: [rank]"]])
    func uncompressedRecordsAreTheSameLines(_ form: [String]) throws {
        let space = try Workspace()
        // Both kinds of line ends, blank lines, duplicates, a malformed line, no line end at the end; and an array.
        let lines = (0..<300).map {
            #"{"a": "text \#($0 % 200) of some length", "b": \#($0)}"# + ($0 % 7 == 0 ? "\r" : "")
        }
        try space.write("in-1.jsonl", lines.joined(separator: "\n") + "\n\n{\n" + #"{"a": "the last one"}"#)
        try space.write("in-2.json", "[" + (0..<50).map { #"{"a":"text \#($0 * 9)"}"# }.joined(separator: ",\n") + "]")
        let stages =
            form.isEmpty
            ? [] : [#"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 16}", "coreset: {keep: 60%}"]
        try space.define(files: "in-*", input: ["dedupe: {on: a}"], stages: stages, output: form)
        let packed = try space.run(["--block-bytes", "4096"])
        let plain = try space.run(["--block-bytes", "4096", "--set", "output.compression=none"], into: "plain")
        #expect(!plain.kept.isEmpty && plain.kept == packed.kept)
        #expect(plain.ledger == packed.ledger && plain.quarantine == packed.quarantine)
        let names = space.names(in: "plain")
        #expect(names.contains("kept.jsonl") && !names.contains("kept.jsonl.zst"), "\(names)")
        func kept(_ files: RunFiles) -> JSONValue? { files.manifest["outputs"]?.elements.first }
        #expect(kept(plain)?["file"] == "kept.jsonl" && kept(plain)?["content"] == kept(packed)?["content"])
        for arguments in [["verify", "plain"], ["verify", "plain", "--rerun"], ["why", "plain", "in-1.jsonl:1"]] {
            let outcome = try space.sluice(arguments)
            #expect(outcome.status == 0, "\(arguments): \(outcome.errorText)")
        }
        // Neither form leaves the other's file.
        _ = try space.run(["--force"], into: "plain")
        #expect(space.names(in: "plain") == space.names(in: "out"))
        _ = try space.run(["--force", "--set", "output.compression=none"], into: "plain")
        #expect(space.names(in: "plain") == names)
        var bytes = try readFile(space("plain/kept.jsonl"))
        bytes[12] ^= 1
        try space.write("plain/kept.jsonl", bytes)
        let changed = try space.sluice("verify", "plain")
        #expect(changed.status == 3)
        #expect(changed.errorText.contains("kept.jsonl differs from what was written"), "\(changed.errorText)")
    }

    /// A failed run removes only its own files, and leaves no directory that it created.
    @Test func aFailedRunLeavesNothing() throws {
        let space = try space()
        try space.write("bad.jsonl", "{}\n{\n")
        let outcome = try space.sluice("run", "run.yaml", "--input", "bad.jsonl", "--set", "input.malformed=fail")
        #expect(outcome.status == 3)
        #expect(!space.names().contains("out"))
        try FileSystem.local.makeFolder(space("out"))
        _ = try space.sluice("run", "run.yaml", "--input", "bad.jsonl", "--set", "input.malformed=fail")
        #expect(space.names(in: "out") == [])
    }

    /// NumPy opens the work files; they are removed unless requested.
    @Test func workFilesOnRequest() throws {
        let space = try space()
        try space.define(
            stages: [#"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 16}", "coreset: {keep: 7}"])
        _ = try space.run(["--keep-work"])
        let columns = space.names(in: "out/work/columns")
        #expect(columns.contains { $0.hasPrefix("embedding") && $0.hasSuffix(".npy") }, "\(columns)")
        for name in columns where name.hasPrefix("embedding") {
            #expect(try readFile(space("out/work/columns/\(name)")).starts(with: [0x93] + Array("NUMPY".utf8)))
        }
    }

    @Test func namesAreRelativeToTheDefinition() throws {
        let space = try space()
        try space.write("deep/data/x.jsonl", lines: [#"{"a": 1}"#, #"{"a": 1}"#])
        try space.write(
            "deep/run.yaml",
            "sluice: 1\ninput: {files: [data/*.jsonl], dedupe: {on: a}}\noutput: {directory: results}\n")
        let outcome = try space.sluice("run", "deep/run.yaml")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        let files = try RunFiles(space("deep/results"))
        #expect(try files.drops.map { "\($0.place) \($0.partner ?? "")" } == ["data/x.jsonl:2 data/x.jsonl:1"])
    }

    /// The content of a stage's file counts, not the location of the project.
    @Test func filesOfStagesCountByTheirContent() throws {
        let space = try Workspace()
        try space.write("a/in.jsonl", lines: (0..<80).map { #"{"a": "text \#($0 % 60) of \#($0)"}"# })
        let definition = """
            sluice: 1
            input: {files: [in.jsonl]}
            stages:
              - format: {template: "{a}"}
              - embed: {model: lexical, dimensions: 16}
              - coreset: {keep: 9, already: earlier.npy}
            output: {directory: out}
            """
        try space.write("a/run.yaml", definition)
        try space.write(
            "first.yaml",
            definition.replacing(", already: earlier.npy", with: "").replacing("in.jsonl", with: "a/in.jsonl"))
        let first = try space.sluice("run", "first.yaml", "--output", "first")
        #expect(first.status == 0, "\(first.errorText)")
        #expect(try space.sluice("vectors", "first", "--output", "a/earlier.npy").status == 0)

        let outcome = try space.sluice("run", "a/run.yaml")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        let before = try RunFiles(space("a/out"))
        #expect(before.manifest["stage_files"]?.elements.first?["file"]?.textValue == "earlier.npy")
        // Another project folder, another working directory: the same run.
        rename(space("a"), space("b"))
        let gone = try space.sluice("verify", "b/out")
        #expect(gone.status == 3)
        #expect(gone.errorText.contains("a/in.jsonl: opening failed"), "\(gone.errorText)")
        let found = try space.sluice("verify", "b/out", "--folder", "b", "--rerun")
        #expect(found.status == 0, "\(found.errorText)")
        let moved = try space.sluice("run", "\(space.path)/b/run.yaml", "--resume")
        #expect(moved.status == 0, "\(moved.errorText)")
        #expect(moved.errorText.contains("already complete"), "\(moved.errorText)")
        #expect(try space.sluice("run", "b/run.yaml").status == 0)
        #expect(try RunFiles(space("b/out")).digests == before.digests)
        #expect(try space.sluice("verify", "b/out", "--rerun").status == 0, "it was run again where it lies now")

        // The same name with other content is another run.
        var file = try readFile(space("b/earlier.npy"))
        file[file.count - 1] ^= 1
        try space.write("b/earlier.npy", file)
        for arguments in [["--resume"], []] {
            let changed = try space.sluice(["run", "b/run.yaml"] + arguments)
            #expect(changed.status == 2)
            #expect(
                changed.errorText.contains("earlier.npy, which stage `coreset` reads, has changed"),
                "\(changed.errorText)")
        }
        let verified = try space.sluice("verify", "b/out")
        #expect(verified.status == 3)
        #expect(verified.errorText.contains("earlier.npy is not the file that was read"), "\(verified.errorText)")
        let again = try space.sluice("run", "b/run.yaml", "--force")
        #expect(again.status == 0, "\(again.errorText)")
        #expect(try RunFiles(space("b/out")).manifest["definition_digest"] != before.manifest["definition_digest"])
    }

    /// Inputs named on the command line are found again, wherever the definition is.
    @Test(arguments: ["deep/run.yaml", "PATH/deep/run.yaml", "./deep/../deep/run.yaml"])
    func inputsOfTheCommandLineAreFoundAgain(_ file: String) throws {
        let space = try Workspace()
        try space.write("data/x.jsonl", lines: (0..<50).map { #"{"a": "text \#($0)"}"# })
        try space.write("deep/y.jsonl", lines: (50..<60).map { #"{"a": "text \#($0)"}"# })
        try space.write(
            "deep/run.yaml",
            """
            sluice: 1
            input: {files: [none.jsonl]}
            stages: [{format: {template: "{a}"}}, {embed: {model: lexical, dimensions: 16}}, {coreset: {keep: 5}}]
            output: {directory: out}
            """)
        let run = try space.sluice(
            "run", file.replacing("PATH", with: space.path), "--input", "data/*.jsonl", "--input", "deep/y.jsonl",
            "--output", "results")
        #expect(run.status == 0, "\(run.errorText)")
        #expect(try RunFiles(space("results")).count("read") == 60)
        for arguments in [
            ["verify", "results"], ["verify", "results", "--rerun"], ["compare", "results"],
            ["why", "results", "data/x.jsonl:3"], ["why", "results", "y.jsonl:3"],
        ] {
            let outcome = try space.sluice(arguments)
            #expect(outcome.status == 0, "\(arguments): \(outcome.errorText)")
        }
    }

    // MARK: why and verify

    @Test func whyTellsTheFateOfEveryLine() throws {
        let space = try space()
        try space.write("in.jsonl", lines: [#"{"a": 1}"#, #"{"a": 1}"#, "{", "", #"{"a": 2}"#])
        _ = try space.run()
        let fates: [(Int, String)] = [
            (1, "kept"), (2, "was dropped by stage `dedupe`: duplicate\n  in favour of: in.jsonl:1"),
            (3, "was quarantined: the line ends inside the object"), (5, "kept"),
        ]
        for (line, words) in fates {
            let outcome = try space.sluice("why", "out", "in.jsonl:\(line)")
            #expect(outcome.status == 0, "\(outcome.errorText)")
            #expect(outcome.outputText.contains(words), "\(line): \(outcome.outputText)")
        }
        for place in ["in.jsonl:99", "in.jsonl:0", "other.jsonl:1"] {
            let outcome = try space.sluice("why", "out", place)
            #expect(outcome.status == 2, "\(place): \(outcome.outputText)\(outcome.errorText)")
        }
    }

    @Test func verifyFindsWhatChanged() throws {
        let space = try space()
        _ = try space.run()
        let good = try space.sluice("verify", "out")
        #expect(good.status == 0, "\(good.errorText)")
        let again = try space.sluice("verify", "out", "--rerun")
        #expect(again.status == 0, "\(again.errorText)")
        #expect(again.outputText.contains("repeated, it gives the same results"), "\(again.outputText)")

        let kept = try readFile(space("out/kept.jsonl.zst"))
        try space.write("out/kept.jsonl.zst", zstd(Array(try unpacked(space("out/kept.jsonl.zst")).dropLast(20))))
        let changed = try space.sluice("verify", "out")
        #expect(changed.status == 3)
        #expect(changed.errorText.contains("kept.jsonl.zst"), "\(changed.errorText)")
        try space.write("out/kept.jsonl.zst", kept)

        var input = try readFile(space("in.jsonl"))
        input[8] ^= 1
        try space.write("in.jsonl", input)
        let other = try space.sluice("verify", "out")
        #expect(other.status == 3)
        #expect(other.errorText.contains("in.jsonl"), "\(other.errorText)")
    }

    // MARK: Stop and resume

    /// A signal ends the run in order; `--resume` continues it, with the same output as an undisturbed run.
    @Test func aStoppedRunGoesOn() throws {
        let space = try space()
        try space.write(
            "in.jsonl",
            lines: (0..<60_000).map {
                #"{"a": "some text of record \#($0 % 50_000) with \#($0 % 17) words", "b": \#($0)}"#
            })
        try space.define(
            input: ["dedupe: {on: a}"],
            stages: [
                #"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 256}", "cluster: {clusters: 16}",
                "coreset: {keep: 1%, per: cluster}",
            ])
        let whole = try space.run(into: "whole")
        // Stopped as soon as a resume is possible; if the run is faster than that, it is tried again.
        var ended: Outcome?
        for _ in 0..<20 where ended == nil {
            try? FileSystem.local.removeTree(space("cut"))
            let process = try Program.start(
                [
                    "run", "run.yaml", "--output", "cut", "--threads", "1", "--progress", "none",
                    "--segment-bytes", "100000", "--checkpoint-seconds", "0", "--block-bytes", "4096",
                ], in: space.path)
            process.wait { access(space("cut/work/checkpoint"), F_OK) == 0 }
            process.send(SIGTERM)
            let outcome = try process.end()
            if outcome.status != 0 { ended = outcome }
        }
        let stopped = try #require(ended, "20 runs ended before a signal reached them")
        #expect(stopped.status == 143, "\(stopped.errorText)")
        #expect(stopped.errorText.contains("--resume continues it"), "\(stopped.errorText)")
        #expect(!space.names(in: "cut").contains { Self.outputs.contains($0) }, "\(space.names(in: "cut"))")
        let limits = ["--segment-bytes", "100000", "--block-bytes", "4096"]
        let unasked = try space.sluice(["run", "run.yaml", "--output", "cut"] + limits)
        #expect(unasked.status == 2)
        #expect(unasked.errorText.contains("--resume"), "\(unasked.errorText)")
        let other = try space.sluice(
            ["run", "run.yaml", "--output", "cut", "--resume", "--seed", "99"] + limits)
        #expect(other.status == 2)
        #expect(other.errorText.contains("seed: 7 → 99"), "\(other.errorText)")
        #expect(try space.run(["--resume"] + limits, into: "cut").digests == whole.digests)
    }
}
