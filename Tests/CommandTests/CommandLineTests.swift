import Foundation
import SluiceCore
import SluiceKit
import Testing

/// Messages about wrong command lines and definitions, and how the program shows its work.
@Suite struct CommandLineTests {
    /// All mistakes at once, each with its place and the closest valid name; nothing is read.
    @Test(arguments: ["check", "run", "plan"])
    func definitionMistakesAllAtOnce(_ command: String) throws {
        let space = try Workspace()
        try space.write(
            "bad.yaml",
            """
            sluice: 1
            sede: 7
            memory: 512M
            input:
              files: [nothing-here.jsonl]
              dedup: {on: line}
              malformed: quarantene
            stages:
              - fromat: {}
              - format: {tempalte: auto}
              - coreset: {keep: 0.05}
            output:
              directory: out
              level: 40

            """)
        let outcome = try space.sluice(command, "bad.yaml")
        #expect(outcome.status == 2)
        #expect(outcome.output == [])
        for expected in [
            "bad.yaml:2:1: unknown key `sede`; did you mean `seed`?",
            "bad.yaml:3:9: `memory` must be a size",
            "bad.yaml:6:3: unknown key `dedup` of `input`; did you mean `dedupe`?",
            "bad.yaml:7:14: `input.malformed` must be one of quarantine, fail, not `quarantene`; did you mean `quarantine`?",
            "bad.yaml:9:5: unknown stage `fromat`; did you mean `format`?",
            "bad.yaml:10:14: unknown option `tempalte` of stage `format`; did you mean `template`?",
            "bad.yaml:11:21: option `keep` of stage `coreset` must be a count or percentage, not `0.05`; write 5% for that share",
            "bad.yaml:14:10: `output.level` is 40 and must be from 1 to 19",
            "8 mistakes; nothing was read",
        ] {
            #expect(outcome.errorText.contains(expected), "\(expected)\n--- in ---\n\(outcome.errorText)")
        }
        #expect(space.names() == ["bad.yaml"])
    }

    @Test func columnsThatNobodyWrites() throws {
        let space = try Workspace()
        try space.define(stages: ["coreset: {keep: 5%}"])
        let outcome = try space.sluice("check", "run.yaml")
        #expect(outcome.status == 2)
        #expect(
            outcome.errorText.contains(
                "stage 1 `coreset` reads `embedding`, which no earlier stage writes; put an `embed` stage before it"),
            "\(outcome.errorText)")
    }

    @Test func overridesAreCheckedToo() throws {
        let space = try Workspace()
        try space.define(stages: ["format", "embed"])
        let outcome = try space.sluice(
            "check", "run.yaml", "--set", "stages.embde.dimensions=64", "--set", "stages.embed.dimensions=7", "--seed",
            "x")
        #expect(outcome.status == 2)
        for expected in [
            "--set stages.embde.dimensions=64: the definition has no stage `embde`; did you mean `embed`?",
            "--set stages.embed.dimensions=7: option `dimensions` of stage `embed` must be",
            "--seed x: `seed` must be a whole number",
        ] {
            #expect(outcome.errorText.contains(expected), "\(expected)\n--- in ---\n\(outcome.errorText)")
        }
    }

    @Test(arguments: [
        ["run"], ["run", "no-such.yaml"], ["run", "run.yaml", "--no-such-option"], ["no-such-command"], ["--no-such"],
        ["run", "run.yaml", "--threads", "0"], ["run", "run.yaml", "--threads", "many"],
        ["run", "run.yaml", "more.yaml"],
        ["run", "run.yaml", "--progress", "loud"], ["stages", "formt"], ["why", "out", "no-line"],
        ["why", "nowhere", "a:1"],
        ["verify", "nowhere"],
    ])
    func wrongCommandLines(_ arguments: [String]) throws {
        let space = try Workspace()
        try space.write("in.jsonl", "{}\n")
        try space.define()
        let outcome = try space.sluice(arguments)
        #expect(outcome.status == 2, "\(outcome.errorText)")
        #expect(!outcome.error.isEmpty)
        #expect(!outcome.errorText.contains("Fatal error"), "no trace of Swift: \(outcome.errorText)")
        #expect(outcome.output == [], "\(outcome.outputText)")
        #expect(space.names() == ["in.jsonl", "run.yaml"])
    }

    @Test(arguments: [
        ("runn", "there is no command `runn`; did you mean `run`?"),
        ("verfiy", "there is no command `verfiy`; did you mean `verify`?"),
        (
            "deduplicate",
            "there is no command `deduplicate`; known commands are init, check, plan, show, run, task, stages, schema, why, verify, report"
        ),
    ])
    func nearestCommandName(_ name: String, message: String) throws {
        let outcome = try Workspace().sluice(name, "run.yaml", "--force")
        #expect(outcome.status == 2)
        #expect(outcome.errorText.contains(message), "\(outcome.errorText)")
    }

    @Test func nearestStageName() throws {
        let outcome = try Workspace().sluice("stages", "formt")
        #expect(outcome.errorText.contains("did you mean `format`?"), "\(outcome.errorText)")
    }

    @Test func listsAndDescribesStages() throws {
        let space = try Workspace()
        let list = try space.sluice("stages")
        #expect(list.status == 0)
        for name in ["format", "embed", "cluster", "coreset", "redundancy"] {
            #expect(list.outputText.split(separator: "\n").contains { $0.hasPrefix("\(name) ") }, "\(list.outputText)")
            let one = try space.sluice("stages", name)
            #expect(one.status == 0)
            #expect(one.outputText.contains("Options:"))
        }
    }

    /// The reference in Markdown has each stage under a heading, with every option in one line.
    @Test func referenceInMarkdown() throws {
        let space = try Workspace()
        let all = try space.sluice("stages", "--markdown").outputText
        for name in Registry.builtIn.names {
            let one = try space.sluice("stages", name, "--markdown").outputText
            #expect(one.hasPrefix("## `\(name)`\n") && all.contains(one), "\(name)")
            let options = one.split(separator: "\n").compactMap { line in
                line.hasPrefix("- **`") ? String(line.dropFirst(5).prefix { $0 != "`" }) : nil
            }
            #expect(options == Registry.builtIn[name]?.descriptor.options.map(\.name))
            // What stands outside of code can't be taken for markup.
            // A list whose entries lack the two spaces after their term would become code.
            for code in one.split(separator: "```").dropFirst().enumerated() where code.offset % 2 == 0 {
                #expect(code.element.split(separator: "\n").dropFirst().allSatisfy { $0.contains(": {") }, "\(code)")
            }
            let pieces = one.replacing("\\<", with: "").split(separator: "`", omittingEmptySubsequences: false)
            for index in stride(from: 0, to: pieces.count, by: 2) {
                #expect(!pieces[index].contains("<"), "\(name): \(pieces[index])")
            }
        }
    }

    /// A shell expands file names, whatever characters they contain; each `--input` takes one.
    @Test(arguments: [
        (["--input", "a,b.jsonl"], "a,b.jsonl"), (["--input", "d e.jsonl"], "d e.jsonl"),
        (["--input", "null"], "null"),
        (["--input", "{c,d e}.jsonl"], "c.jsonl d e.jsonl"),
        (["--input", "[cd]*.jsonl", "--input", "a,b.jsonl"], "a,b.jsonl c.jsonl d e.jsonl"),
        (["--set", "input.files={c,d e}.jsonl,nul*"], "c.jsonl d e.jsonl null"),
        (["--set", "input.files=[c.jsonl, \"a,b.jsonl\"]"], "a,b.jsonl c.jsonl"),
    ])
    func inputsByName(_ arguments: [String], files: String) throws {
        let space = try Workspace()
        for name in ["a,b.jsonl", "c.jsonl", "d e.jsonl", "null"] { try space.write(name, "{}\n") }
        try space.define(files: "none.jsonl")
        let names = try space.run(arguments).manifest["inputs"]?.elements.compactMap { $0["file"]?.textValue }
        #expect(names?.joined(separator: " ") == files)
    }

    @Test(arguments: ["--help", "help"])
    func helps(_ word: String) throws {
        let outcome = try Workspace().sluice(word)
        #expect(outcome.status == 0)
        #expect(outcome.outputText.contains("sluice run FILE"))
    }

    /// Starting takes under 20 ms. Interference by other programs varies, the cost of starting doesn't: so the minimum
    /// of many starts counts, and a busy machine gets more of them.
    @Test func startsAtOnce() throws {
        var best = Double.infinity
        var starts = 0
        while starts < 30 || (best >= 0.02 && starts < 600) {
            let outcome = try Program.run(["--version"], in: nil)
            try #require(outcome.status == 0 && outcome.outputText.hasPrefix("sluice "))
            best = min(best, outcome.seconds)
            starts += 1
        }
        print(
            "sluice --version: \((best * 10_000).rounded() / 10) ms, the least of \(starts) starts of a \(Program.isRelease ? "release" : "debug") build"
        )
        guard Program.isRelease else { return skip("only a release build has to start at once") }
        #expect(best < 0.02, "\(best * 1000) ms")
    }

    /// The program is a single file: it needs only the three libraries named in README.md and those of the C library.
    @Test func needsThreeLibraries() throws {
        guard Program.isRelease else { return skip("only a release build has the Swift runtime in it") }
        let outcome = try Program.run([Program.path], program: "/usr/bin/ldd", in: nil)
        #expect(outcome.status == 0, "\(outcome.errorText)")
        let libraries = outcome.outputText.split(separator: "\n").compactMap { line -> String? in
            let name = line.drop { $0 == "\t" || $0 == " " }.prefix { $0 != " " }
            return name.split(separator: "/").last?.split(separator: ".").first.map(String.init)
        }
        let system: Set = [
            "linux-vdso", "ld-linux-x86-64", "ld-linux-aarch64", "libc", "libm", "libgcc_s", "libstdc++",
        ]
        #expect(Set(libraries).subtracting(system) == ["libzstd", "libxxhash", "libsimdjson"], "\(libraries)")
    }

    // MARK: Progress

    @Test func progressAsJSON() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: (0..<1000).map { #"{"a": "record \#($0)"}"# })
        try space.define(files: "-", stages: [#"format: {template: "{a}"}"#])
        // A slow input, since progress is shown once a second.
        let outcome = try Program.run(
            ["-c", #"(cat in.jsonl; sleep 1.4; cat in.jsonl) | "$0" run run.yaml --progress json"#, Program.path],
            program: "/bin/sh", in: space.path)
        #expect(outcome.status == 0, "\(outcome.errorText)")
        #expect(outcome.output == [])
        let lines = split(outcome.error).filter { $0.first == UInt8(ascii: "{") }
        #expect(!lines.isEmpty, "took \(outcome.seconds) s")
        var last = -1
        for line in lines {
            let state = try RunFiles.Entry(line)
            #expect(state.values["phase"] as? String == "reading")
            let records = try #require(state.values["records"] as? Int)
            #expect(records >= last)
            last = records
            for name in ["step", "bytes", "total_bytes", "total_records"] {
                #expect(state.values[name] is Int, "\(name)")
            }
        }
    }

    @Test func progressWhereNobodyLooks() throws {
        let space = try Workspace()
        try space.write("in.jsonl", "{}\n")
        try space.define()
        // Not a terminal: plain lines, without the control characters of a progress bar.
        let plain = try space.sluice("run", "run.yaml")
        #expect(!plain.error.contains(0x1B) && !plain.error.contains(0x0D))
        #expect(plain.errorText.contains("read 1 = kept 1 + dropped 0 + quarantined 0"), "\(plain.errorText)")
        let none = try space.sluice("run", "run.yaml", "--progress", "none")
        #expect(!none.errorText.contains("step "), "\(none.errorText)")
        let bar = try space.sluice("run", "run.yaml", "--progress", "bar")
        #expect(bar.status == 0 && bar.error.contains(0x1B))
    }
}
