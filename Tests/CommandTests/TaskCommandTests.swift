import Glibc
import SluiceCore
import SluiceIO
import Testing

/// What `run --prepare` and `task` say, and what they leave, in every state of a run directory.
@Suite struct TaskCommandTests {
    /// Two parts, a survey and a selection.
    private func prepared(in directory: String = "out", _ arguments: [String] = []) throws -> Workspace {
        let space = try Workspace()
        for file in 0..<2 {
            let lines = (0..<30).map { #"{"prompt":"the stone \#($0 * 7 % 13)","completion":"river \#(file) \#($0)"}"# }
            try space.write("in-\(file).jsonl", lines: lines)
        }
        try space.define(
            files: "in-*.jsonl", input: ["dedupe: {on: line}"],
            stages: [
                "format: {template: auto}", "embed: {model: lexical, dimensions: 32}", "cluster: {clusters: 2}",
                "coreset: {keep: 20%, per: cluster}",
            ])
        let outcome = try space.sluice(Self.prepare(directory) + arguments)
        #expect(outcome.status == 0, "\(outcome.errorText)")
        return space
    }

    private static let limits = ["--part-bytes", "1200", "--progress", "none"]
    private static func prepare(_ directory: String = "out") -> [String] {
        ["run", "run.yaml", "--output", directory, "--prepare"] + limits
    }

    private func list(_ outcome: Outcome) throws -> [String] {
        try JSONValue(json: outcome.output).elements.compactMap { $0["task"]?.textValue }
    }

    private func expect(_ outcome: Outcome, _ status: Int32, _ words: String...) {
        #expect(outcome.status == status, "\(outcome.errorText)")
        for word in words { #expect(outcome.errorText.contains(word), "«\(word)» is not in: \(outcome.errorText)") }
    }

    @Test func aTaskThatCannotBeDoneSaysWhatIsMissing() throws {
        let space = try prepared()
        expect(
            try space.sluice("task", "out", "read.1"), 2,
            "the task `read.1` reads what `duplicates.0` must write first; do that one before it", "run --resume")
        expect(try space.sluice("task", "out", "duplicates.0"), 2, "`hash.0`, `hash.1` must write first; do those")
        expect(try space.sluice("task", "out", "finish"), 2, "must write first")
        expect(try space.sluice("task", "out", "raed.0"), 2, "has no task `raed.0`; did you mean `read.0`?")
        expect(
            try space.sluice("task", "out", "everything"), 2, "has no task `everything`; it has hash.0 to hash.1, ",
            ", finish")
        expect(try space.sluice("task", "nowhere", "read.0"), 2, "nowhere has no tasks", "run --prepare")
        #expect(!space.names().contains("nowhere"))
        expect(try space.sluice("task", "out", "hash.0", "--memory", "20MiB"), 4, "needs at least")
        expect(try space.sluice("task", "out", "hash.0", "--threads", "0"), 2, "--threads 0")
        // Nothing was done.
        #expect(space.names(in: "out/work/tasks") == [])
    }

    @Test func aPreparedDirectoryIsNotReplaced() throws {
        let space = try prepared()
        let run = ["run", "run.yaml"] + Self.limits
        expect(try space.sluice("task", "out", "hash.0"), 0)
        for command in [run, Self.prepare()] {
            expect(try space.sluice(command), 2, "holds an unfinished run", "--resume", "--force")
        }
        #expect(space.names(in: "out/work/tasks") == ["hash.0"])
        let again = try space.sluice(Self.prepare() + ["--resume"])
        expect(again, 0)
        #expect(try list(again).contains("finish"))
        #expect(space.names(in: "out/work/tasks") == ["hash.0"])
        expect(try space.sluice(Self.prepare() + ["--resume", "--seed", "8"]), 2, "another plan", "seed")
        expect(try space.sluice(run + ["--resume", "--seed", "8"]), 2, "another plan", "seed")
        // A task has the plan of the directory, whatever has become of the definition.
        try space.write("run.yaml", "nonsense")
        expect(try space.sluice("task", "out", "hash.1"), 0)

        let fresh = try prepared()
        expect(try fresh.sluice("task", "out", "hash.0"), 0)
        expect(try fresh.sluice(Self.prepare() + ["--force"]), 0)
        #expect(fresh.names(in: "out/work/tasks") == [])
        expect(try fresh.sluice(run + ["--force"]), 0, "read 60 = kept")
        #expect(!fresh.names(in: "out").contains("work"))
    }

    @Test func aFinishedRunHasNoTasks() throws {
        let space = try prepared()
        let run = ["run", "run.yaml"] + Self.limits
        expect(try space.sluice(run + ["--resume"]), 0, "read 60 = kept")
        let files = space.names(in: "out")
        #expect(!files.contains("work") && !files.contains(".sluice.lock"))
        for task in ["read.0", "finish"] {
            expect(try space.sluice("task", "out", task), 0, "out is already complete; nothing was done")
        }
        let none = try space.sluice(Self.prepare() + ["--resume"])
        expect(none, 0, "already complete")
        #expect(try list(none) == [])
        #expect(space.names(in: "out") == files)
        // Prepared once more, the result stays until the new one is complete.
        expect(try space.sluice(Self.prepare()), 0)
        expect(try space.sluice("verify", "out"), 0)
        expect(try space.sluice("task", "out", "hash.0"), 0)
        expect(try space.sluice(run + ["--resume", "--keep-work"]), 0, "read 60 = kept")
        #expect(space.names(in: "out/work").contains("columns"))
        expect(try space.sluice("task", "out", "finish"), 0, "already complete")
        #expect(space.names(in: "out/work").contains("columns"))
    }

    @Test func otherDirectoriesAreLeftAlone() throws {
        let space = try prepared()
        try space.write("theirs/file", "x")
        expect(try space.sluice(Self.prepare("theirs")), 2, "files that don't belong to a run")
        #expect(space.names(in: "theirs") == ["file"])
        expect(try space.sluice("task", "theirs", "read.0"), 2, "theirs has no tasks")
        #expect(space.names(in: "theirs") == ["file"])
        expect(
            try space.sluice(Self.prepare("new") + ["--memory", "20MiB"]), 4, "`memory: 20 MiB` is too little")
        #expect(!space.names().contains("new"))
        expect(try space.sluice("task", "in-0.jsonl", "read.0"), 2, "has no tasks")
    }

    /// A run of one process can't be continued task by task, nor the other way round.
    @Test func aRunOfOneProcessHasNoTasks() throws {
        let space = try prepared()
        let run = ["run", "run.yaml", "--output", "one", "--checkpoint-seconds", "0"] + Self.limits
        let running = try Program.start(run, in: space.path)
        running.wait { access(space("one/work/checkpoint"), F_OK) == 0 }
        running.send(SIGKILL)
        guard try running.end().status != 0 else { return }
        expect(try space.sluice("task", "one", "read.0"), 2, "the unfinished run of one process", "--resume")
        expect(try space.sluice(Self.prepare("one")), 2, "unfinished run")
        expect(try space.sluice(Self.prepare("one") + ["--resume"]), 2, "it is done by one process")
        expect(try space.sluice(run + ["--resume"]), 0)
    }

    /// Lists are for programs: no line is cut, and what all tasks of a phase wrote has one name, however many there are.
    @Test func longListsAreWhole() throws {
        let space = try Workspace()
        // More than a part, and less than two.
        let padding = String(repeating: "x", count: 1300)
        for file in 0..<400 { try space.write("in-\(file).jsonl", lines: [##"{"text":"\##(padding) \##(file)"}"##]) }
        try space.define(files: "in-*.jsonl")
        let planned = try space.sluice("plan", "run.yaml", "--tasks")
        expect(planned, 0)
        let prepared = try space.sluice(Self.prepare())
        expect(prepared, 0)
        #expect(try list(planned) == ["read.0", "tally", "finish"])
        let tasks = try JSONValue(json: prepared.output).elements
        let tally = try #require(tasks.first { $0["task"]?.textValue == "tally" })
        #expect(tally["reads"] == .list([.text("work/tasks/read.*")]))
        #expect(tasks.count { $0["phase"]?.textValue == "read" } >= 400)
    }

    @Test func streamsHaveNoParts() throws {
        let space = try prepared()
        #expect(mkfifo(space("pipe"), 0o600) == 0)
        for input in ["-", "pipe"] {
            expect(
                try space.sluice(Self.prepare("new") + ["--input", input]), 2, "can be read only once",
                "write it to a file")
        }
        #expect(!space.names().contains("new"))
        expect(try space.sluice(Self.prepare("-")), 2, "--prepare", "--output -")
    }

    /// Too many malformed lines in all parts together are found, though no part has too many.
    @Test func malformedLinesAreCountedOverAllParts() throws {
        let space = try Workspace()
        for file in 0..<3 {
            // More than a part, and less than two.
            let good = (0..<30).map { #"{"number":\#(file * 40 + $0),"text":"good, like all the others"}"# }
            try space.write("in-\(file).jsonl", lines: good + ["cut", "off"])
        }
        try space.define(files: "in-*.jsonl", input: ["max_malformed: 4"])
        expect(try space.sluice(Self.prepare()), 0)
        for part in 0..<3 { expect(try space.sluice("task", "out", "read.\(part)"), 0) }
        expect(try space.sluice("task", "out", "tally"), 3, "malformed", "max_malformed")
        expect(try space.sluice(["run", "run.yaml", "--resume"] + Self.limits), 3, "max_malformed")
    }

    /// Relative names mean the same from every working directory.
    @Test func tasksRunFromAnyFolder() throws {
        let space = try prepared(in: "some/run")
        let tasks = try list(try space.sluice(Self.prepare("some/run") + ["--resume"]))
        try FileSystem.local.makeFolder(space("elsewhere"))
        let ways = [("", "some/run"), ("some", "run"), ("some/run", "."), ("elsewhere", "../some/run")]
        for (number, task) in tasks.enumerated() {
            let (folder, name) = task == "finish" ? ("elsewhere", "../some/run") : ways[number % ways.count]
            let outcome = try Program.run(["task", name, task], in: space(folder))
            expect(outcome, 0)
        }
        let whole = try space.run(["--part-bytes", "1200"])
        #expect(try RunFiles(space("some/run")).digests == whole.digests)
        expect(try space.sluice("verify", "some/run"), 0)
        #expect(space.names(in: "elsewhere") == [])
    }
}
