import Glibc
import SluiceCore
import SluiceKit
import Testing

/// Output fits the terminal and contains no control characters for it.
@Suite struct TerminalTests {
    /// The output on a terminal with this many columns.
    private func seen(_ space: Workspace, _ arguments: [String], columns: Int) throws -> Outcome {
        try Program.run(
            ["COLUMNS=\(columns)", Program.path] + arguments, program: "/usr/bin/env", in: space.path)
    }

    @Test(arguments: [80, 60])
    func nothingIsWiderThanTheTerminal(_ columns: Int) throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: (0..<300).map { #"{"a": "record number \#($0 * $0 % 89) of \#($0)"}"# })
        try space.define(
            input: ["dedupe: {on: [a]}"],
            stages: [
                #"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 16}", "cluster: {clusters: 4}",
                "coreset: {keep: 10%, per: cluster}", "redundancy: {distance: 0.1}",
            ])
        let runs = ["first-run", "second-run-with-a-longer-name", "third", "fourth", "fifth"]
        for run in runs { _ = try space.run(into: run) }
        let parts = Registry.builtIn.names + ["definition", "input", "dedupe", "output", "outputs"]
        let examples = ["quickstart", "ltd", "lift", "doit", "everyday", "python-stage/example"].map {
            "\(projectFolder)/examples/\($0).yaml"
        }
        let plans = (["run.yaml"] + examples).flatMap { [["plan", $0], ["plan", $0, "--records", "1000000000"]] }
        for command in parts.map({ ["stages", $0] }) + plans + [["stages"], ["compare"] + runs] {
            let outcome = try seen(space, command, columns: columns)
            #expect(outcome.status == 0, "\(command) \(outcome.errorText)")
            for line in outcome.outputText.split(separator: "\n") {
                #expect(line.count <= columns, "\(command): \(line.count) columns: \(line)")
            }
        }
        // Two spaces before each name.
        let list = try seen(space, ["--help"], columns: 80).outputText.split(separator: "SUBCOMMANDS:\n").last ?? ""
        let commands = list.split(separator: "\n").filter { $0.dropFirst(2).first?.isLowercase == true }
            .compactMap { $0.split(separator: " ").first.map(String.init) }
        #expect(commands.contains("run") && commands.contains("task") && commands.count >= 10, "\(commands)")
        for command in [["--help"]] + commands.map({ [$0, "--help"] }) {
            let outcome = try seen(space, command, columns: columns)
            for line in outcome.outputText.split(separator: "\n") {
                #expect(line.count <= columns, "\(command): \(line.count) columns: \(line)")
            }
        }
    }

    /// `compare` of runs of an example, with every row that it has.
    @Test func compareOfAnExampleFits() throws {
        let space = try Workspace()
        for method in ["farthest-first", "random"] {
            let outcome = try space.sluice(
                "run", "\(projectFolder)/examples/ltd.yaml", "--output", method, "--progress", "none", "--set",
                "stages.coreset.method=\(method)", "--set", "stages.embed.model=lexical")
            #expect(outcome.status == 0, "\(outcome.errorText)")
        }
        let outcome = try seen(
            space, ["compare", "farthest-first", "random", "--label", "ability", "--pool-sample", "2000"], columns: 80)
        #expect(outcome.status == 0 && outcome.outputText.contains("labels reached"), "\(outcome.errorText)")
        for line in (outcome.outputText + outcome.errorText).split(separator: "\n") {
            #expect(line.count <= 80, "\(line.count) columns: \(line)")
        }
    }

    /// A long entry of a list in a help text continues under its beginning, not at the left margin.
    @Test(arguments: [100, 80, 60, 40])
    func listsStayIndented(_ columns: Int) throws {
        let space = try Workspace()
        // The first and the last entry of each list.
        for (command, first, last) in [
            ([], "  sluice stages ", "  sluice report DIRECTORY "), (["run"], "  kept.jsonl.zst ", "  run.json "),
            (["compare"], "  radius ", "  random "),
        ] {
            let lines = try seen(space, command + ["--help"], columns: columns).outputText
                .split(separator: "\n", omittingEmptySubsequences: false)
            let from = try #require(lines.firstIndex { $0.hasPrefix(first) }, "\(lines)")
            let to = try #require(lines.firstIndex { $0.hasPrefix(last) }, "\(lines)")
            for line in lines[from...to] { #expect(line.hasPrefix("  "), "\(columns) columns: \(line)") }
        }
    }

    /// The width is that of the terminal, even if `COLUMNS` was exported when it was wider.
    @Test func helpIsAsWideAsTheTerminal() throws {
        guard access("/usr/bin/script", X_OK) == 0 else { return skip("there is no program `script`") }
        let space = try Workspace()
        for command in ["--help", "run --help", "stages", "stages coreset"] {
            let outcome = try Program.run(
                ["-qec", "stty cols 60; COLUMNS=200 '\(Program.path)' \(command)", "/dev/null"],
                program: "/usr/bin/script", in: space.path)
            let lines = outcome.outputText.split(whereSeparator: \.isNewline)
            #expect(outcome.status == 0 && lines.count > 4, "\(outcome.outputText)")
            let widest = lines.map(\.count).max() ?? 0
            #expect((41...60).contains(widest), "\(command): \(widest) columns")
        }
    }

    /// The summary of a run shows the certificate of each selection that has one, with the numbers of `run.json`.
    @Test func theSummaryShowsCertificates() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: (0..<200).map { #"{"a": "\#(String($0 * $0 % 997, radix: 3))"}"# })
        func summary(_ selections: String...) throws -> (lines: [String], stages: [JSONValue]) {
            try space.define(
                stages: [
                    #"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 16}", "cluster: {clusters: 4}",
                ]
                    + selections)
            let outcome = try space.sluice("run", "run.yaml", "--force", "--progress", "none")
            #expect(outcome.status == 0, "\(outcome.errorText)")
            let stages = try RunFiles(space("out")).manifest["stages"]?.elements ?? []
            return (split(outcome.error).map { text($0) }, stages)
        }
        /// The number after each name on the line.
        func figures(_ line: String, _ names: [String]) throws -> [Double] {
            let parts = line.split(separator: ", ").map { $0.trimmingPrefix { $0 == " " } }
            #expect(line.hasPrefix("    ") && parts.count == names.count, "\(line)")
            return try zip(parts, names).map { part, name in
                #expect(part.hasPrefix(name + " "), "\(line)")
                return try #require(Double(part.dropFirst(name.count + 1)), "\(line)")
            }
        }
        func agree(_ found: [Double], _ stage: JSONValue?, _ keys: [String]) throws {
            for (value, key) in zip(found, keys) {
                let exact = try #require(stage?[key]?.realValue, "\(key)")
                #expect(abs(value - exact) <= 0.00005 + 1e-9, "\(key): \(value) for \(exact)")
            }
        }
        let all = try summary("coreset: {keep: 10%}", "redundancy: {distance: 0.01}")
        let at = try #require(all.lines.firstIndex { $0.hasPrefix("  coreset: ") }, "\(all.lines)")
        try agree(
            try figures(all.lines[at + 1], ["radius", "lower bound", "factor"]),
            all.stages.first { $0["stage"] == "coreset" }, ["radius", "lower_bound", "factor"])
        #expect(all.lines.count { $0.hasPrefix("    ") } == 1, "only the coreset has one: \(all.lines)")
        let groups = try summary("coreset: {keep: 10%, per: cluster}")
        let place = try #require(groups.lines.firstIndex { $0.hasPrefix("  coreset: ") }, "\(groups.lines)")
        try agree(
            try figures(groups.lines[place + 1], ["largest radius of a group", "largest factor"]),
            groups.stages.last, ["largest_radius_of_a_group", "largest_factor_of_a_group"])
        let medoids = try summary("coreset: {keep: 10%, method: medoids}")
        #expect(!medoids.lines.contains { $0.hasPrefix("    ") }, "medoids have no bound: \(medoids.lines)")
    }

    /// Names of fields and files are foreign text and must be escaped before they reach the terminal.
    @Test func controlCharactersAreEscaped() throws {
        let space = try Workspace()
        let escape = "\u{1B}[31m"
        try space.write("in\(escape)\n\u{202E}.jsonl", lines: [#"{"\u001b[31mq":1,"\u0007":2,"ok":3}"#, #"{"zz":1}"#])
        try space.write("run.yaml", "sluice: 1\ninput: {files: 'in*', dedupe: {on: zz}}\noutput: {directory: out}\n")
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        #expect(outcome.errorText.contains(#"a record has the fields \u{1b}[31mq, \u{7}, ok"#), "\(outcome.errorText)")
        let warnings = try RunFiles(space("out")).manifest["warnings"]?.elements.compactMap(\.textValue) ?? []
        #expect(warnings.count == 1 && !warnings[0].contains("\u{1B}") && !warnings[0].contains("\u{7}"))
        // File names in every command that prints them, and names in a definition.
        try space.write(
            "wrong.yaml", "sluice: 1\n\"\(#"\e[2J"#)\": 1\ninput: {files: 'in*'}\noutput: {directory: out}\n")
        let name = "in\(escape)\n\u{202E}.jsonl"
        let outcomes = [
            outcome, try space.sluice("why", "out", "\(name):1"), try space.sluice("why", "out", "\(escape):1"),
            try space.sluice("verify", "out"), try space.sluice("check", "wrong.yaml"),
            try space.sluice("check", "run.yaml", "--input", escape), try space.sluice("stages", escape),
            try space.sluice(escape), try space.sluice("check", escape), try space.sluice("compare", escape),
        ]
        for outcome in outcomes {
            let bytes = outcome.output + outcome.error
            #expect(!bytes.contains(0x1B) && !bytes.contains(0x07), "\(outcome.errorText)")
            #expect(!(outcome.outputText + outcome.errorText).unicodeScalars.contains("\u{202E}"))
        }
    }

    /// A name of 3 MB is shortened, in messages and in `run.json`.
    @Test func longNamesAreCut() throws {
        let space = try Workspace()
        let name = String(repeating: "long", count: 750_000)
        // Field names are looked for near the beginning of a record only, so the longest one is in no message at all.
        for (name, isNamed) in [(String(repeating: "long", count: 10_000), true), (name, false)] {
            try space.write("in.jsonl", lines: [#"{"\#(name)": 1}"#, #"{"zz": 1}"#])
            try space.define(input: ["dedupe: {on: zz}"])
            let outcome = try space.sluice("run", "run.yaml", "--force")
            #expect(outcome.status == 0)
            #expect(
                outcome.error.count < 5000 && outcome.errorText.contains("longlong") == isNamed,
                "\(outcome.error.count)")
            #expect(try readFile(space("out/run.json")).count < 10_000)
        }
        try space.write("wrong.yaml", "sluice: 1\n? \(name)\n: 1\ninput: {files: in.jsonl}\noutput: {directory: out}\n")
        let check = try space.sluice("check", "wrong.yaml")
        #expect(check.status == 2 && check.error.count < 10_000, "\(check.error.count)")
        #expect(check.errorText.contains("wrong.yaml:2:3: unknown key `longlong"), "\(check.errorText.prefix(300))")
        #expect(check.errorText.contains("known keys are sluice, seed"), "\(check.errorText.suffix(300))")
    }

    /// The argument parser's messages have the same form as all others.
    @Test func oneStyleOfMessages() throws {
        let space = try Workspace()
        for arguments in [
            ["run"], ["run", "run.yaml", "--nope"], ["compare", "--label"], ["--nope"], ["check", "nowhere.yaml"],
        ] {
            let outcome = try space.sluice(arguments)
            #expect(outcome.status == 2)
            #expect(outcome.errorText.hasPrefix("sluice: "), "\(outcome.errorText)")
            #expect(!outcome.errorText.contains("Error:"), "\(outcome.errorText)")
        }
    }

    /// Reasons with count 0 are left out.
    @Test func noReasonsOfZero() throws {
        let space = try Workspace()
        try space.write("in.jsonl", "{\"a\": \"x\"}\n")
        try space.define(stages: [
            #"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 16}", "coreset: {keep: 1}",
        ])
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 0)
        #expect(!outcome.errorText.contains("not-selected 0"), "\(outcome.errorText)")
    }
}
