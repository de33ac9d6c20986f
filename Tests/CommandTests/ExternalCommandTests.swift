import Glibc
import SluiceCore
import Testing

/// `external` in the real program with programs that keep to the protocol: threads, stops, tasks, other stages, memory.
@Suite struct ExternalCommandTests {
    private static let measure = """
        say({"sluice": 1, "ready": True, "name": "measure", "version": hello["options"].get("version", "1")})
        for line in sys.stdin:
            r = json.loads(line)
            text = r["columns"]["text"]
            if len(text) % 7 == hello["options"].get("drop", 3):
                say({"id": r["id"], "drop": "seven", "note": {"characters": len(text)}})
            else:
                say({"id": r["id"], "columns": {"n": len(text), "bytes_n": len(text.encode()), "copy": text, "half": len(text) / 2}})
        """
    private static let writes = "reads: [text], writes: {n: integer, bytes_n: integer, copy: text, half: real}"

    private func define(_ space: Workspace, _ more: String = "", rest: [String] = [], output: [String] = []) throws {
        try space.define(
            files: "in*.jsonl", input: ["max_record: 2MiB"],
            stages: ["format", "external: {command: [python3, -S, stage.py], \(Self.writes)\(more)}"] + rest,
            output: output)
    }

    /// Also with records of 100 kB and 1 MB, and text that JSON has to escape.
    private func scene() throws -> Workspace? {
        guard let space = try ExternalScene.make(Self.measure) else { return nil }
        var random = SplitMix64(state: 3)
        let words = ["river", "née", "\\n", "\\\"quoted\\\"", "\\u0007", "日本", "😀", "a\\\\b"]
        for file in 0..<3 {
            try space.write(
                "in-\(file).jsonl",
                lines: (0..<400).map { number in
                    let length =
                        number == 17 ? 20_000 : number == 200 && file == 1 ? 180_000 : Int(random.next(below: 40))
                    let text = (0..<(1 + length)).map { _ in words[Int(random.next(below: 8))] }.joined(separator: " ")
                    return #"{"prompt":"\#(file) \#(number)","completion":"\#(text)","kind":\#(number % 3)}"#
                })
        }
        return space
    }

    @Test func theBytesDoNotDependOnThreadsBlocksTasksAndPrograms() throws {
        guard let space = try scene() else { return }
        try define(space, output: ["annotate: [n, bytes_n, copy, half]"])
        let plan = try space.sluice("check", "run.yaml", "--memory", "2MiB", "--threads", "1")
        let least = try #require(BudgetShape.smallest(in: plan.errorText), "\(plan.errorText)")
        let first = try space.run(["--threads", "1", "--memory", "\(least)MiB"], into: "first")
        try first.expectClosedAccount()
        let peak = try #require(first.manifest["timing"]?["memory_peak"]?.integerValue)
        #expect(peak <= least << 20, "\(peak >> 20) MiB of \(least)")
        #expect((900..<1150).contains(first.count("kept")))
        for (number, arguments) in [
            ["--threads", "4", "--block-bytes", "4096"], ["--threads", "3", "--set", "stages.external.workers=1"],
            ["--threads", "2", "--memory", "1GiB", "--part-bytes", "30000"],
        ].enumerated() {
            let again = try space.run(arguments, into: "again-\(number)")
            #expect(again.kept == first.kept && again.ledger == first.ledger, "\(arguments)")
        }
        let listed = try space.sluice("run", "run.yaml", "--output", "tasks", "--prepare", "--part-bytes", "300000")
        let tasks = try JSONValue(json: listed.output).elements.compactMap { $0["task"]?.textValue }
        #expect(tasks.count > 3)
        for task in tasks.dropLast(2) {
            // From another folder: the script is found next to the definition.
            let outcome = try Program.run(["task", space("tasks"), task, "--progress", "none"], in: "/")
            #expect(outcome.status == 0, "\(outcome.errorText)")
        }
        let resumed = try space.run(["--resume", "--part-bytes", "300000"], into: "tasks")
        #expect(resumed.kept == first.kept && resumed.ledger == first.ledger)
        let verified = try space.sluice("verify", "first", "--rerun")
        #expect(verified.status == 0, "\(verified.errorText)\(verified.outputText)")
        #expect(ExternalScene.processes(of: space).isEmpty)
    }

    /// The lengths are those of `measure`, on real data where there is some.
    @Test func agreesWithTheNativeStage() throws {
        guard let space = try scene() else { return }
        var files = ["\(projectFolder)/examples/data/*.jsonl.zst", space("in-*.jsonl")]
        if let sharedData { files.append("\(sharedData)/abilities.jsonl.zst") }
        let output = ["annotate: [n, bytes_n, characters, bytes]"]
        try define(space, ", options: {drop: 9}", rest: ["measure: {columns: [characters, bytes]}"], output: output)
        let run = try space.run(["--set", "input.files=[\(files.joined(separator: ","))]"])
        try run.expectClosedAccount()
        #expect(run.count("kept") > 7000)
        for line in run.keptLines {
            let added = try #require(text(line).split(separator: "\"_sluice\":").last)
            let numbers = added.split(whereSeparator: { !$0.isNumber }).compactMap { Int($0) }
            #expect(numbers.count == 4 && numbers[0] == numbers[2] && numbers[1] == numbers[3], "\(added)")
        }
    }

    /// Its columns serve other stages, those that select among them.
    @Test func otherStagesUseItsColumns() throws {
        guard let space = try scene() else { return }
        let judge = """
            say({"sluice": 1, "ready": True})
            for line in sys.stdin:
                r = json.loads(line)
                n = r["columns"]["n"]
                say({"id": r["id"], "columns": {"part": n % 3, "odd": "odd" if n % 2 else "even", "vector": [n, 1, r["record"].get("kind", 0)]}})
            """
        try space.write("judge.py", ExternalFaultTests.imports + judge)
        try define(
            space,
            rest: [
                "external: {command: [python3, -S, judge.py], reads: [n, kind], writes: {part: integer, odd: text, vector: {vector: 3}}}",
                "match: {drop: {column: odd, equals: even}}", "top: {by: half, keep: 90%}",
                "embed: {model: lexical, dimensions: 32}", "coreset: {keep: 30, per: part}",
            ], output: ["annotate: [part, odd, n, rank]", "vectors: vector", "ids: prompt"])
        let run = try space.run()
        try run.expectClosedAccount()
        #expect(run.count("kept") == 30)
        #expect(run.keptLines.allSatisfy { text($0).contains(#""odd":"odd""#) })
        let stages = run.manifest["timing"]?["stages"]?.elements ?? []
        #expect(stages.compactMap { $0["stage"]?.textValue } == ["external", "external#2"])
        #expect(stages.allSatisfy { ($0["program_memory_peak"]?.integerValue ?? 0) > 1 << 20 })
        let again = try space.run(["--threads", "1", "--block-bytes", "4096"], into: "again")
        #expect(again.digests == run.digests)
    }

    /// From wherever a definition is run, words of the command that name files next to it are found, and it is the same run.
    @Test func theWorkingFolderDoesNotMatter() throws {
        guard let space = try scene() else { return }
        try define(space)
        let inside = try space.run(into: "out")
        try space.write("elsewhere/x", "")
        let outside = try Program.run(
            ["run", "../run.yaml", "--output", "../outside", "--progress", "none"], in: space("elsewhere"))
        #expect(outside.status == 0, "\(outside.errorText)")
        let files = try RunFiles(space("outside"))
        #expect(files.digests == inside.digests)
        #expect(
            files.manifest["definition"]?["stages"]?.elements.last?["external"]?["command"]?.json
                == #"["python3","-S","stage.py"]"#)
    }

    @Test func theExampleRunsAsItStands() throws {
        guard let space = try ExternalScene.make("") else { return }
        func run(_ arguments: [String], into directory: String) throws -> RunFiles {
            let outcome = try space.sluice(
                [
                    "run", "\(projectFolder)/examples/python-stage/example.yaml", "--output", directory, "--progress",
                    "none",
                ]
                    + arguments)
            guard outcome.status == 0 else { throw Failure("exit status \(outcome.status): \(outcome.errorText)") }
            return try RunFiles(space(directory))
        }
        let first = try run(["--threads", "1"], into: "first")
        try first.expectClosedAccount()
        #expect(first.count("kept") == 500 && first.count("read") == 6575)
        #expect(try first.drops.contains { $0.reason == "says-nothing-new" && $0.values["share"] is Double })
        #expect(try run(["--threads", "3", "--block-bytes", "4096"], into: "second").digests == first.digests)
        #expect(space.names(in: "first/stderr").isEmpty)
    }

    /// The script, the files, `version` and what the program says of itself are part of the run.
    @Test(arguments: ["script", "file", "version", "answer"]) func changesAreAnotherRun(what: String) throws {
        guard let space = try scene() else { return }
        try space.write("words.txt", "one")
        try define(space, ", files: [words.txt]")
        let first = try space.run()
        #expect(first.manifest["stage_identities"]?.elements.first?["value"]?.textValue == "measure 1")
        let files = first.manifest["stage_files"]?.elements ?? []
        #expect(files.compactMap { $0["file"]?.textValue } == ["stage.py", "words.txt"])
        #expect(try space.sluice("run", "run.yaml").errorText.contains("kept"))
        let says: String
        switch what {
        case "script":
            try space.write("stage.py", ExternalFaultTests.imports + Self.measure + "\n# changed\n")
            says = "stage.py, which stage `external` reads, has changed"
        case "file":
            try space.write("words.txt", "two")
            says = "words.txt, which stage `external` reads, has changed"
        case "version":
            try define(space, ", files: [words.txt], version: \"2\"")
            says = "version: none → 2"
        default:
            try define(space, ", files: [words.txt], options: {version: \"2\"}")
            says = "program of stage `external`: measure 1 → measure 2"
        }
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 2 && outcome.errorText.contains(says), "\(outcome.errorText)")
    }

    private static let slow = """
        say({"sluice": 1, "ready": True})
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if not hello.get("check"): os.system("sleep 600 & sleep 600 > /dev/null 2>&1 &")
        for line in sys.stdin:
            r = json.loads(line)
            time.sleep(0.02)
            open("begun", "w")
            say({"id": r["id"]})
        time.sleep(600)
        """

    /// However the run ends, its programs and what they have started end with it, and soon.
    @Test(arguments: [SIGINT, SIGTERM, SIGKILL]) func noProgramOutlivesTheRun(signal: Int32) throws {
        guard let space = try ExternalScene.make(Self.slow, lines: 2000) else { return }
        let running = try Program.start(
            ["run", "run.yaml", "--progress", "none", "--threads", "2", "--block-bytes", "20000"], in: space.path)
        running.wait { access(space("begun"), F_OK) == 0 }
        #expect(ExternalScene.processes(of: space).count >= 5)
        running.send(signal)
        let stopped = try running.end()
        #expect(stopped.status == 128 + signal, "\(stopped.errorText)")
        var left: [String] = []
        for _ in 0..<200 {
            left = ExternalScene.processes(of: space)
            if left.isEmpty { break }
            usleep(10_000)
        }
        #expect(left.isEmpty)
    }

    /// A stop in the middle, and the rest later.
    @Test func aStoppedRunGoesOn() throws {
        let body = """
            say({"sluice": 1, "ready": True})
            for line in sys.stdin:
                r = json.loads(line)
                n = int(r["columns"]["text"].split("number ")[1].split()[0])
                if n == 1000 * 1000: open("far", "w")
                if n > 1000 * 1000 and not os.path.exists("go"): time.sleep(0.02)
                say({"id": r["id"], "columns": {"n": n}})
            """
        guard let space = try ExternalScene.make(body, options: ", writes: {n: integer}", lines: 3000) else { return }
        let running = try Program.start(
            [
                "run", "run.yaml", "--progress", "none", "--threads", "2", "--block-bytes", "4096",
                "--checkpoint-seconds", "0",
            ], in: space.path)
        running.wait { access(space("far"), F_OK) == 0 }
        usleep(200_000)
        running.send(SIGTERM)
        let stopped = try running.end()
        #expect(stopped.status == 143 && stopped.errorText.contains("--resume"), "\(stopped.errorText)")
        try space.write("go", "")
        let resumed = try space.run(["--resume", "--block-bytes", "4096"])
        let whole = try space.run(into: "whole")
        #expect(resumed.kept == whole.kept && resumed.count("kept") == 3000)
    }

    /// The limit on the address space holds.
    @Test func aProgramHasItsMemory() throws {
        let body = """
            say({"sluice": 1, "ready": True})
            for line in sys.stdin:
                r = json.loads(line)
                held = bytearray(300_000_000)
                say({"id": r["id"]})
            """
        guard let space = try ExternalScene.make(body, options: ", memory: 200MiB, restarts: 0") else { return }
        let outcome = try space.sluice("run", "run.yaml", "--threads", "1")
        #expect(outcome.status == 3 && outcome.errorText.contains("| MemoryError"), "\(outcome.errorText)")
        let plan = try space.sluice("plan", "run.yaml")
        let words = plan.outputText.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        #expect(words.contains("200 MiB of address space"), "\(words)")
    }

    /// Files of somebody else in the folder of logs stay.
    @Test func foreignFilesStay() throws {
        guard
            let space = try ExternalScene.make(
                "say({\"sluice\": 1, \"ready\": True})\nfor line in sys.stdin: print('note', file=sys.stderr); say({'id': json.loads(line)['id']})"
            )
        else { return }
        _ = try space.run(["--threads", "1"])
        #expect(space.names(in: "out/stderr") == ["external.1.txt"])
        try space.write("out/stderr/mine.txt", "mine")
        try space.write("out/stderr/external.7.txt", "of an earlier run")
        _ = try space.run(["--threads", "1", "--force"])
        #expect(space.names(in: "out/stderr") == ["external.1.txt", "mine.txt"])
    }
}
