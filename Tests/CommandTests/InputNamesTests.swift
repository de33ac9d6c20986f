import Glibc
import SluiceCore
import Testing

/// Special input names: pipes, several names for one file, names that no file can have.
@Suite struct InputNamesTests {
    private static let selecting = [
        #"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 16}", "coreset: {keep: 1}",
    ]

    /// A pipe can't be read twice, so the program must not wait for a second reading.
    @Test(arguments: ["run", "plan"], ["pipe", "/dev/stdin", "-"])
    func streamsThatAreNeededTwice(_ command: String, _ input: String) throws {
        let space = try Workspace()
        guard mkfifo(space("pipe"), 0o600) == 0 else { throw Failure("no pipe") }
        try space.define(stages: Self.selecting)
        let outcome = try Program.run(
            ["-c", #"true | timeout 60 "$0" "$@""#, Program.path, command, "run.yaml", "--input", input],
            program: "/bin/sh", in: space.path)
        #expect(outcome.status == 2, "\(outcome.errorText)")
        #expect(
            outcome.errorText.contains("`coreset` needs to read the input twice")
                && outcome.errorText.contains("write it to a file first"), "\(outcome.errorText)")
        #expect(space.names(in: "out") == [])
    }

    /// What a run refuses before it reads anything, `check` and `plan` refuse, too.
    @Test func checkFindsWhatARunRefuses() throws {
        let space = try Workspace()
        try space.write("in.jsonl", "{\"a\":1}\n")
        try space.define(stages: Self.selecting)
        let cases: [([String], String)] = [
            (["--input", "-"], "can be read only once"),
            (["--set", "output.directory=-"], "not standard output"),
            (["--output", "."], "is in the output directory"),
            (["--input", "one.jsonl", "--input", "two*.jsonl"], "`one.jsonl` does not exist"),
            (["--input", "one.jsonl", "--input", "two*.jsonl"], "`two*.jsonl` matches no file"),
        ]
        for (arguments, words) in cases {
            for command in ["check", "plan", "run"] {
                let outcome = try space.sluice([command, "run.yaml"] + arguments)
                #expect(outcome.status == 2, "\(command) \(arguments): \(outcome.errorText)")
                #expect(outcome.errorText.contains(words), "\(command) \(arguments): \(outcome.errorText)")
            }
        }
    }

    @Test func aPipeThatIsNeededOnce() throws {
        let space = try Workspace()
        guard mkfifo(space("pipe"), 0o600) == 0 else { throw Failure("no pipe") }
        try space.define(files: "pipe", input: ["dedupe: {on: line}"])
        let outcome = try Program.run(
            ["-c", #"(printf '{"a":1}\n{"a":1}\n{"a":2}\n' > pipe) & timeout 60 "$0" run run.yaml"#, Program.path],
            program: "/bin/sh", in: space.path)
        #expect(outcome.status == 0, "\(outcome.errorText)")
        #expect(try RunFiles(space("out")).count("kept") == 2)
    }

    /// A line end in a name does not break a message in two.
    @Test func aNameOfTwoLines() throws {
        let space = try Workspace()
        try space.write("x\ny.jsonl", "{\"a\":1}\n{bad\n")
        try space.define(files: "x*.jsonl", input: ["malformed: fail"])
        let failed = try space.sluice("run", "run.yaml", "--progress", "none")
        #expect(failed.status == 3 && failed.errorText.split(separator: "\n").count == 1, "\(failed.errorText)")
        try space.define(files: "x*.jsonl")
        _ = try space.run()
        for line in 1...2 {
            let why = try space.sluice("why", "out", "x\ny.jsonl:\(line)")
            #expect(why.status == 0 && why.outputText.split(separator: "\n").count == 1, "\(why.outputText)")
        }
        let beyond = try space.sluice("why", "out", "x\ny.jsonl:9")
        #expect(beyond.status == 2 && beyond.errorText.split(separator: "\n").count == 1, "\(beyond.errorText)")
        try space.write("x\ny.jsonl", "{\"a\":2}\n")
        let verify = try space.sluice("verify", "out")
        #expect(verify.status == 3 && verify.errorText.split(separator: "\n").count == 2, "\(verify.errorText)")
    }

    @Test func oneFileBySeveralNames() throws {
        let space = try Workspace()
        try space.write("b.jsonl", "{\"a\": 1}\n{\"a\": 2}\n")
        #expect(link(space("b.jsonl"), space("c.jsonl")) == 0)
        #expect(symlink("b.jsonl", space("d.jsonl")) == 0)
        try space.write("e.jsonl", "{\"a\": 1}\n{\"a\": 2}\n")
        try space.define(files: "*.jsonl")
        let files = try space.run()
        #expect(files.count("read") == 4, "b and its likeness e, and none of the links")
        #expect(files.manifest["inputs"]?.elements.compactMap { $0["file"]?.textValue } == ["b.jsonl", "e.jsonl"])
        let warnings = files.manifest["warnings"]?.elements.compactMap(\.textValue) ?? []
        #expect(
            warnings == ["c", "d"].map { "\($0).jsonl is the same file as b.jsonl; it is read once, as b.jsonl" })
        let spelled = try space.run(["--input", "b.jsonl", "--input", "./b.jsonl"], into: "spelled")
        #expect(spelled.count("read") == 2)
        let plan = try space.sluice("plan", "run.yaml")
        #expect(plan.outputText.contains("input: 2 files"), "\(plan.outputText)")
        #expect(plan.outputText.contains("note: c.jsonl is the same file as b.jsonl"), "\(plan.outputText)")
    }

    @Test(arguments: [
        (#"["a.jsonl\0.zst"]"#, "a NUL character"), ("[no.jsonl]", "input `no.jsonl` does not exist"),
        ("['no*.jsonl']", "input `no*.jsonl` matches no file"),
        (#"["\#(String(repeating: "{a,b}", count: 30))"]"#, "expand to more than 10000 names"),
        (#"["{{a,b}\#(String(repeating: ",{c,d}", count: 8000))}"]"#, "expand to more than 10000 names"),
        ("[folder]", "for instance by adding `/*.jsonl.zst` to its name"),
    ])
    func namesThatCheckRefuses(_ files: String, words: String) throws {
        let space = try Workspace()
        try space.write("folder/in.jsonl", "{}\n")
        try space.write("run.yaml", "sluice: 1\ninput: {files: \(files)}\noutput: {directory: out}\n")
        for command in ["check", "plan", "run"] {
            let outcome = try space.sluice(command, "run.yaml")
            #expect(outcome.status == (files == "[folder]" ? 3 : 2), "\(command): \(outcome.errorText)")
            #expect(outcome.errorText.contains(words), "\(command): \(outcome.errorText)")
        }
    }

    /// For the system a name ends at a NUL, so another file would be opened.
    @Test func pathsOfStagesHaveNoNUL() throws {
        let space = try Workspace()
        try space.write("in.jsonl", "{\"a\": \"b\"}\n")
        try space.define(
            stages: [
                #"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 16}",
                #"coreset: {keep: 1, already: "in.jsonl\0.npy"}"#,
            ])
        for command in ["check", "plan", "run"] {
            let outcome = try space.sluice(command, "run.yaml")
            #expect(outcome.status == 2, "\(command): \(outcome.errorText)")
            #expect(
                outcome.errorText.contains(
                    "run.yaml:8:33: option `already` of stage `coreset` contains a NUL character, which no file name can have"
                ), "\(command): \(outcome.errorText)")
        }
    }

    @Test func bracesThatAreFine() throws {
        let space = try Workspace()
        for name in ["a1.jsonl", "b2.jsonl", "c.jsonl"] { try space.write(name, "{\"n\": \"\(name)\"}\n") }
        try space.define(files: "{a{1,2},b{1,2},c}.jsonl")
        #expect(try space.run().count("read") == 3)
    }

    @Test func tooManyStages() throws {
        let space = try Workspace()
        try space.write("in.jsonl", "{}\n")
        try space.define(stages: [String](repeating: "format", count: 20_000))
        let outcome = try space.sluice("check", "run.yaml")
        #expect(outcome.status == 2)
        #expect(
            outcome.errorText.contains("run.yaml:1006:5: the definition has 20000 stages; at most 1000 are allowed"),
            "\(outcome.errorText.prefix(500))")
    }

    // MARK: Advice

    @Test func adviceThatHelps() throws {
        let space = try Workspace()
        try space.write("in.jsonl", "{}\n")
        try space.define(input: ["dedupe: true"], stages: [#"format: {template: "{a}"}"#], output: ["record: messages"])
        let outcome = try space.sluice("check", "run.yaml")
        #expect(outcome.status == 2)
        for words in [
            "`input.dedupe` must be a map, not `true`; write `dedupe: {on: line}` to compare whole lines",
            "no stage makes; stage 1 `format` writes it only with other options: see `sluice stages format`",
        ] { #expect(outcome.errorText.contains(words), "\(outcome.errorText)") }
        // The advice works.
        try space.define(
            stages: [#"format: {template: "{a}", user: "{a}", assistant: "{b}"}"#], output: ["record: messages"])
        #expect(try space.sluice("check", "run.yaml").status == 0)
        let folder = try space.sluice("check", ".")
        #expect(folder.status == 2)
        #expect(folder.errorText.contains(". is a folder; name a definition"), "\(folder.errorText)")
        #expect(folder.errorText.contains("it contains run.yaml"), "\(folder.errorText)")
    }
}
