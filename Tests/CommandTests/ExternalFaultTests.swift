import Foundation
import Glibc
import SluiceCore
import Testing

/// Programs of `external` that misbehave, in the real program: each ends the run with its own message, and leaves no process.
@Suite struct ExternalFaultTests {
    /// A program that misbehaves, and what the run says.
    struct Fault: CustomStringConvertible, Sendable {
        let description: String
        /// After the imports.
        let body: String
        var options = ""
        var status: Int32 = 3
        /// Parts of the message.
        let says: [String]
        /// What it may not say.
        var saysNot: String?
    }

    private static let start = #"say({"sluice": 1, "ready": True})"#

    /// A loop over records with an own step.
    ///
    /// - Parameter before: what it does once it is ready.
    private static func loop(_ step: String, before: String = "") -> String {
        "\(start)\n\(before)\nfor line in sys.stdin:\n    r = json.loads(line)\n"
            + step.split(separator: "\n").map { "    \($0)\n" }.joined()
    }

    private static let buffered = "sys.stdout = open(1, 'w', buffering=1 << 20)"
    private static let answer = #"say({"id": r["id"]})"#

    private static let answers: [Fault] = [
        Fault(
            description: "too few answers", body: loop("if r['id'] != 5: \(answer)"),
            says: ["in.jsonl:6: ", "answered `{\"id\": 6}`, which comes where the answer to record 5 is due"]),
        Fault(
            description: "the last answer is missing", body: loop("if r['more'] > 0: \(answer)"),
            options: ", timeout: 3",
            says: [
                "in.jsonl:60: ", "has answered 59 of 60 records and then, for 3 s (`timeout`), nothing", "`more` is 0",
            ]),
        Fault(
            description: "too many answers", body: loop("\(answer)\nif r['id'] == 5: \(answer)"),
            says: ["in.jsonl:7: ", "answers record 5 once more; 6 is due"]),
        Fault(
            description: "one answer more at the end", body: loop("\(answer)\nif r['more'] == 0: \(answer)"),
            says: ["the program `python3 -S ./stage.py` wrote more after its last answer"]),
        Fault(
            description: "wrong order",
            body:
                "held = []\n\(loop("held.append(r['id'])\nif r['more'] == 0: [say({'id': i}) for i in reversed(held)]"))",
            says: ["in.jsonl:1: ", "answered `{\"id\": 59}`, which comes where the answer to record 0 is due"]),
        Fault(
            description: "invalid JSON", body: loop("print(r)"),
            says: ["in.jsonl:1: ", "answered `{'id': 0", "which is no JSON at byte 1"]),
        Fault(
            description: "text between answers", body: loop("print('record', r['id'])\n\(answer)"),
            says: ["answered `record 0`, which is no JSON object; other text belongs on standard error"]),
        Fault(
            description: "a column that is missing", body: loop(answer), options: ", writes: {score: real}",
            says: ["in.jsonl:1: ", "gives no `score`"]),
        Fault(
            description: "NaN", body: loop("say({'id': r['id'], 'columns': {'score': float('nan')}})"),
            options: ", writes: {score: real}", says: ["gives `score` NaN, which JSON does not have"]),
        Fault(
            description: "bytes that are no UTF-8",
            body: loop(#"sys.stdout.buffer.write(b'{"id":0,"drop":"\xc3("}\n')"#),
            says: ["which is not UTF-8"]),
        Fault(
            description: "a line without end", body: loop("while True: sys.stdout.buffer.write(b'x' * 65536)"),
            says: ["in.jsonl:1: ", "wrote a line of more than 512 KiB"]),
        Fault(
            description: "an error of its own", body: loop("say({'id': r['id'], 'error': 'no word list'})"),
            says: ["in.jsonl:1: ", "says of this record: no word list"]),
    ]

    private static let ends: [Fault] = [
        Fault(
            description: "an exception", body: loop("if r['id'] == 9: r['nothing']\n\(answer)"),
            says: [
                "in.jsonl:10: ", "ended with exit status 1 before it answered this record, 3 times in a row",
                "| KeyError: 'nothing'", "all of which is in out/stderr/external.3.txt",
            ]),
        Fault(
            description: "a signal", body: loop("if r['id'] == 9: os.kill(os.getpid(), 11)\n\(answer)"),
            options: ", restarts: 0",
            says: [
                "in.jsonl:10: ",
                "was ended by signal 11 (Segmentation fault) before it answered this record; it wrote nothing",
            ]),
        Fault(
            description: "an end without a word", body: start, options: ", restarts: 1",
            says: ["in.jsonl:1: ", "ended with exit status 0 before it answered this record, 2 times in a row"]),
        Fault(
            description: "a closed output", body: loop("os.close(1); time.sleep(100)"), options: ", restarts: 0",
            says: ["closed its standard output before it answered this record"]),
        Fault(
            description: "a hang in the middle", body: loop("if r['id'] == 9: time.sleep(100)\n\(answer)"),
            options: ", timeout: 3",
            says: ["in.jsonl:10: ", "has answered 9 of 60 records and then, for 3 s (`timeout`), nothing"]),
        Fault(
            description: "answers that stay in a buffer",
            body: loop(answer, before: buffered), options: ", timeout: 3",
            says: ["has answered 0 of 60 records", "if its answers wait in its buffer, let it flush"]),
    ]

    private static let starts: [Fault] = [
        Fault(
            description: "a mistake in the program", body: "def (", status: 2,
            says: ["ended with exit status 1; the end of its standard error:", "| SyntaxError"]),
        Fault(
            description: "text before the start", body: "print('Loading model')\n\(loop(answer))", status: 2,
            says: ["begins with `Loading model`; its first line is {\"sluice\": 1, \"ready\": true}"]),
        Fault(
            description: "another version", body: "say({'sluice': 9, 'ready': True})", status: 2,
            says: ["speaks version 9 of the protocol; this program speaks 1"]),
        Fault(
            description: "an unknown key", body: "say({'sluice': 1, 'ready': True, 'versoin': '1'})", status: 2,
            says: ["has the unknown key `versoin`; did you mean `version`?"]),
        Fault(
            description: "a start without a word", body: "time.sleep(100)", options: ", start_timeout: 1", status: 2,
            says: ["has not said that it is ready, 1 s after its start (`start_timeout`)"]),
        Fault(
            description: "a start that ends at once", body: "sys.exit(7)", status: 2, says: ["ended with exit status 7"]
        ),
    ]

    static let imports = """
        import sys, json, os, time, signal
        hello = json.loads(sys.stdin.readline())
        def say(value): print(json.dumps(value))

        """

    @Test(arguments: answers + ends + starts) func isNamed(fault: Fault) throws {
        guard let space = try ExternalScene.make(fault.body, options: fault.options) else { return }
        let outcome = try space.sluice("run", "run.yaml", "--threads", "1", "--progress", "none")
        #expect(outcome.status == fault.status, "\(outcome.errorText)")
        for part in fault.says { #expect(outcome.errorText.contains(part), "\(part)\n\(outcome.errorText)") }
        #expect(outcome.seconds < 20, "\(outcome.seconds) s")
        #expect(ExternalScene.processes(of: space).isEmpty)
        #expect(!space.names(in: "out").contains("kept.jsonl.zst"))
        guard fault.status == 2 else { return }
        // `check` finds it, too, and nothing is left of either.
        let check = try space.sluice("check", "run.yaml")
        #expect(check.status == 2 && fault.says.allSatisfy(check.errorText.contains), "\(check.errorText)")
        #expect(!space.names().contains("out"))
    }

    /// A program with habits of its own.
    struct Habit: CustomStringConvertible, Sendable {
        let description: String
        let body: String
    }

    private static let habits: [Habit] = [
        Habit(description: "a slow start", body: "time.sleep(1)\n\(loop(answer))"),
        Habit(
            description: "gigabytes to standard error",
            body: loop("sys.stderr.write('x' * 20_000_000)\n\(answer)")),
        Habit(
            description: "answers all at once",
            body: loop("\(answer)\nif r['more'] == 0: sys.stdout.flush()", before: buffered)),
        Habit(
            description: "it ignores SIGTERM and stays",
            body: "signal.signal(15, signal.SIG_IGN)\n\(loop(answer))\ntime.sleep(100)"),
        Habit(
            description: "grandchildren stay",
            body: "os.system('sleep 100 & sleep 100 < /dev/null > /dev/null 2>&1 &')\n\(loop(answer))"),
        Habit(
            description: "an end after each batch",
            body: loop("\(answer)\nif r['more'] == 0: sys.stdout.flush(); os.close(1); sys.exit(0)")),
        Habit(description: "exit status 1 after all", body: "\(loop(answer))\nsys.exit(1)"),
        Habit(description: "standard error is closed", body: "os.close(2)\n\(loop(answer))"),
        Habit(
            description: "spaces and CR LF",
            body: loop(#"sys.stdout.write('  {"id" : %d , "columns":{ } }\r\n' % r['id'])"#)),
    ]

    /// What is no mistake: strange habits that a run has to live with.
    @Test(arguments: habits) func isNoFault(habit: Habit) throws {
        guard let space = try ExternalScene.make(habit.body) else { return }
        let run = try space.run(["--threads", "1", "--block-bytes", "1000"])
        try run.expectClosedAccount()
        #expect(run.count("kept") == 60)
        #expect(ExternalScene.processes(of: space).isEmpty)
        let logs = space.names(in: "out/stderr")
        #expect(logs == (habit.description.hasPrefix("gigabytes") ? ["external.1.txt"] : []))
        guard let log = logs.first else { return }
        let size = try readFile(space("out/stderr/\(log)")).count
        #expect((1 << 20...(1 << 20) + 100).contains(size))
    }

    @Test(
        arguments: [
            ("external: {command: python3 stage.py}", "write its words as a list: [python3, stage.py]"),
            ("external: {command: [no-such-program-x, a]}", "there is no program `no-such-program-x` in PATH ("),
            (
                "external: {command: [python3 stage.py]}",
                "there is no program `python3 stage.py`; write its words as a list: [python3, stage.py]"
            ),
            ("external: {command: [./stage.sh]}", "there is no file `./stage.sh`, which `command` names"),
            (
                "external: {command: [stage.py]}",
                "`./stage.py` is not executable; `chmod +x` makes it so, or name what runs it"
            ),
            ("external: {reads: [text]}", "needs the option `command`"),
            ("external: {command: [python3], writes: {a: float}}", "`writes` of stage `external` must be"),
            ("external: {command: [python3], writes: {file: text}}", "`file`"),
        ])
    func mistakesInDefinitionsAreNamed(stage: String, message: String) throws {
        guard let space = try ExternalScene.make("") else { return }
        try space.define(stages: ["format", stage])
        for command in ["check", "run"] {
            let outcome = try space.sluice(command, "run.yaml")
            #expect(outcome.status == 2 && outcome.errorText.contains(message), "\(outcome.errorText)")
        }
    }
}

/// A workspace with a program in Python and a definition that uses it.
enum ExternalScene {
    /// - Returns: nil if there is no python3.
    static func make(_ body: String, options: String = "", lines: Int = 60, _ test: String = #function) throws
        -> Workspace?
    {
        guard try Program.run(["-c", "command -v python3 > /dev/null"], program: "/bin/sh").status == 0 else {
            skip("there is no python3", test)
            return nil
        }
        let space = try Workspace()
        try space.write("stage.py", ExternalFaultTests.imports + body + "\n")
        try space.write(
            "in.jsonl",
            lines: (0..<lines).map { #"{"prompt":"Say \#($0)","completion":"number \#($0 * $0) and more"}"# })
        try space.define(stages: ["format", "external: {command: [python3, -S, stage.py]\(options)}"])
        return space
    }

    /// Processes that have the workspace as their working directory, but for this one's.
    static func processes(of space: Workspace) -> [String] {
        let folder = URL(fileURLWithPath: space.path).resolvingSymlinksInPath().path
        return ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).filter { name in
            guard Int(name) != nil,
                let place = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(name)/cwd")
            else { return false }
            return place == folder
        }
    }
}
