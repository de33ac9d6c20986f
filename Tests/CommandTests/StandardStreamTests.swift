import Glibc
import Testing

/// Standard input and output that are closed, full, or not acceptable to a command.
@Suite struct StandardStreamTests {
    private func space() throws -> Workspace {
        let space = try Workspace()
        try space.write("in.jsonl", lines: (0..<20).map { #"{"a": "text \#($0 % 15)"}"# })
        try space.define(input: ["dedupe: {on: a}"])
        return space
    }

    /// Runs a shell command; `$S` is the program.
    private func shell(_ command: String, _ space: Workspace) throws -> Outcome {
        try Program.run(["-c", "S=\"$0\"; " + command, Program.path], program: "/bin/sh", in: space.path)
    }

    private static let commands = [
        "why out in.jsonl:16", "verify out", "plan run.yaml", "stages", "stages coreset", "check run.yaml", "--help",
        "help run", "--version",
    ]

    @Test(arguments: commands)
    func lostOutputIsAnError(_ command: String) throws {
        let space = try space()
        _ = try space.run()
        for sink in ["> /dev/full", ">&-"] {
            let outcome = try shell("exec \"$S\" \(command) \(sink)", space)
            #expect(outcome.status == 4, "\(command) \(sink): \(outcome.errorText)")
            #expect(outcome.errorText.contains("standard output can't be written"), "\(outcome.errorText)")
        }
        #expect(try shell("exec \"$S\" \(command)", space).status == 0)
    }

    /// When the reader of its output closes the pipe, the program ends silently, like other programs.
    @Test func aClosedPipeIsNoFault() throws {
        let space = try space()
        let outcome = try shell("{ \"$S\" stages coreset; echo \"status $?\" >&2; } | head -c 1 > /dev/null", space)
        #expect(!outcome.errorText.contains("sluice:"), "\(outcome.errorText)")
    }

    @Test func closedStandardInputIsNoEmptyInput() throws {
        let space = try space()
        let outcome = try shell("exec \"$S\" run run.yaml --input - --output closed <&-", space)
        #expect(outcome.status == 3, "\(outcome.errorText)")
        #expect(
            outcome.errorText.contains("standard input") && outcome.errorText.contains("closed"), "\(outcome.errorText)"
        )
        #expect(!space.names().contains("closed"))
        // Whichever stream is closed, no file of the run gets its descriptor.
        let whole = try space.run()
        for (number, closed) in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"].enumerated() {
            #expect(try shell("exec \"$S\" run run.yaml --output \(number) \(closed)", space).status == 0)
            #expect(try RunFiles(space("\(number)")).digests == whole.digests)
        }
    }

    @Test func aDashIsNeitherDefinitionNorDirectory() throws {
        let space = try space()
        let definition = try space.sluice("run", "-")
        #expect(definition.status == 2)
        #expect(definition.errorText.contains("--input -"), "\(definition.errorText)")
        let output = try space.sluice("run", "run.yaml", "--set", "output.directory=-")
        #expect(output.status == 2)
        #expect(output.errorText.contains("standard output"), "\(output.errorText)")
        #expect(!space.names().contains("-"))
    }

    /// `--output -` writes the kept records of a complete run to standard output, and the run directory as always.
    @Test(arguments: ["zstd", "none"])
    func keptRecordsOnStandardOutput(compression: String) throws {
        let space = try space()
        let kept = ["--set", "output.compression=\(compression)"]
        let whole = try space.run(kept, into: "whole")
        for arguments in [[], ["--force"]] {
            let run = try space.sluice(["run", "run.yaml", "--output", "-"] + kept + arguments)
            #expect(run.status == 0 && run.output == whole.kept, "\(run.errorText)")
            #expect(try RunFiles(space("out")).digests == whole.digests)
            #expect(!space.names().contains("-"))
        }
        // Nobody reads on: no fault. A full disk: an error.
        let closed = try shell(
            "{ \"$S\" run run.yaml --force --output -; echo \"status $?\" >&2; } | head -c 1 > /dev/null", space)
        #expect(!closed.errorText.contains("sluice:"), "\(closed.errorText)")
        #expect(try shell("exec \"$S\" run run.yaml --force --output - > /dev/full", space).status == 4)
        let bad = try space.sluice("run", "run.yaml", "--output", "-", "--set", "input.files=missing.jsonl")
        #expect(bad.status == 2 && bad.output.isEmpty)
    }

    /// A ledger that is missing or empty has no answers, so `why` must not use it.
    @Test(arguments: ["ledger.jsonl.zst", "quarantine.jsonl.zst", "picks.jsonl.zst"])
    func whyDoesNotBelieveDamagedFiles(_ name: String) throws {
        let space = try space()
        try space.write("in.jsonl", lines: (0..<20).map { #"{"a": "text \#($0 % 15)"}"# } + ["{", ""])
        try space.define(
            input: ["dedupe: {on: a}"],
            stages: [#"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 16}", "coreset: {keep: 7}"])
        _ = try space.run()
        let good = try readFile(space("out/\(name)"))
        for bytes in [[], Array(good.prefix(20)), zstd([]), zstd(Array("{}\n".utf8))] {
            try space.write("out/\(name)", bytes)
            for line in [16, 21, 22] {
                let outcome = try space.sluice("why", "out", "in.jsonl:\(line)")
                let isFoundBefore = name != "ledger.jsonl.zst" && line == 16 || name == "picks.jsonl.zst" && line == 21
                #expect(outcome.status == (isFoundBefore ? 0 : 3), "\(line): \(outcome.outputText)\(outcome.errorText)")
                #expect(!outcome.errorText.contains("blank line"), "\(outcome.errorText)")
            }
        }
    }
}
