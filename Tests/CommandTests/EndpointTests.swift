import FaultServer
import Glibc
import SluiceCore
import Testing

/// `embed: {model: endpoint}` through the program itself: stops, answers that are kept, tasks, memory, keys.
@Suite struct EndpointTests {
    private static let server = FaultServer.start()

    /// Records of some words; a few are long, some have no text, some are equal.
    private static func lines(_ count: Int) -> [String] {
        (0..<count).map { number in
            let random = Seed(3).generator(UInt64(number))
            var draws = random
            let length = number % 97 == 5 ? 20_000 : number % 50 == 7 ? 0 : 3 + Int(draws.next(below: 20))
            let text = (0..<length).map { _ in "word\(draws.next(below: 40))" }.joined(separator: " ")
            return #"{"text": "\#(number % 10 == 9 ? "always the same" : text)", "number": \#(number)}"#
        }
    }

    /// The different texts with a letter, which is what has to be paid for.
    private static func texts(_ count: Int) -> Int { Set(lines(count).map { $0.split(separator: "\"")[3] }).count - 1 }

    private static func stage(_ server: FaultServer, _ name: String, _ faults: String = "", _ more: String = "")
        -> String
    {
        "embed: {model: endpoint, url: \"\(server.url(name, faults))\", name: m, dimensions: 32\(more)}"
    }

    private func define(
        _ space: Workspace, _ stage: String,
        rest: [String] = ["cluster: {clusters: 4}", "coreset: {keep: 20%, per: cluster}"],
        more: [String] = []
    ) throws {
        try space.define(
            input: ["max_record: 1MiB"], stages: [#"format: {template: "{text}"}"#, stage] + rest,
            output: ["annotate: [empty_text, cut_text]"])
        let written = try readFile(space("run.yaml"))
        try space.write("run.yaml", text(written) + more.map { $0 + "\n" }.joined())
    }

    private func asked(_ run: RunFiles) -> Int? {
        run.manifest["timing"]?["answers"]?.elements.first?["asked"]?.integerValue
    }

    @Test func theSameBytesHoweverItRuns() throws {
        guard let server = Self.server else { return }
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(600))
        try define(space, Self.stage(server, "same", "order"))
        let first = try space.run(["--threads", "1"])
        try first.expectClosedAccount()
        #expect(server.counts("same")["served"] == Self.texts(600))
        for (number, arguments) in [["--threads", "4", "--block-bytes", "4096"], ["--memory", "180MiB"]].enumerated() {
            let again = try space.run(arguments, into: "out-\(number)")
            #expect(again.digests == first.digests, "\(arguments)")
        }
        let listed = try space.sluice("run", "run.yaml", "--output", "tasks", "--prepare", "--part-bytes", "500000")
        #expect(listed.status == 0, "\(listed.errorText)")
        let tasks = try JSONValue(json: listed.output).elements.compactMap { $0["task"]?.textValue }
        for task in tasks.dropLast(2) {
            let outcome = try space.sluice("task", "tasks", task)
            #expect(outcome.status == 0, "\(outcome.errorText)")
        }
        #expect(try space.run(["--resume", "--part-bytes", "500000"], into: "tasks").digests == first.digests)
        #expect(server.counts("same")["served"] == 4 * Self.texts(600))
    }

    /// Another number of requests, another address: nothing is asked again. Another model is.
    @Test func aSecondRunPaysNothing() throws {
        guard let server = Self.server else { return }
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(300))
        let answers = ["answers: answers"]
        try define(space, Self.stage(server, "paid"), more: answers)
        let first = try space.run()
        #expect(asked(first) == Self.texts(300))
        try define(space, Self.stage(server, "paid-2", "500", ", batch: 5, in_flight: 2, timeout: 9"), more: answers)
        let second = try space.run(into: "second")
        #expect(asked(second) == 0 && server.counts("paid-2")["requests"] == 0)
        #expect(second.kept == first.kept)
        try define(space, Self.stage(server, "paid-3", "", ", prefix: \"q: \""), more: answers)
        #expect(asked(try space.run(into: "third")) == Self.texts(300))
    }

    @Test(arguments: [SIGTERM, SIGKILL]) func aStopInTheMiddleEndsSoonAndPaysNothingTwice(signal: Int32) throws {
        guard let server = Self.server else { return }
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(800))
        let name = "stop-\(signal)"
        try define(space, Self.stage(server, name, "slow40", ", batch: 4, in_flight: 8"))
        let running = try Program.start(["run", "run.yaml", "--progress", "none"], in: space.path)
        running.wait { server.counts(name)["served"] >= 200 }
        running.send(signal)
        let stopped = try running.end()
        #expect(stopped.status == 128 + signal, "\(stopped.errorText)")
        #expect(stopped.seconds < 20)
        let served = server.counts(name)["served"]
        #expect((200..<700).contains(served))
        let rest = try space.run(["--resume"])
        // What was in flight may be lost on its way; a kill also loses what was being written.
        let lost = (signal == SIGKILL ? 2 : 1) * 8 * 4
        #expect(server.counts(name)["repeated"] <= lost)
        #expect(server.counts(name)["served"] <= Self.texts(800) + lost)
        #expect(asked(rest).map { $0 < Self.texts(800) - 100 } == true)
        try define(space, Self.stage(server, "whole"))
        #expect(try space.run(into: "whole").kept == rest.kept)
    }

    /// A stop while a server answers nothing at all, and while one asks for a wait.
    @Test(arguments: ["hang", "429r60"]) func aStopWhileItWaits(faults: String) throws {
        guard let server = Self.server else { return }
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(100))
        try define(space, Self.stage(server, "wait-\(faults)", faults, ", in_flight: 3"))
        let running = try Program.start(["run", "run.yaml", "--progress", "none"], in: space.path)
        running.wait { server.counts("wait-\(faults)")["requests"] >= 2 }
        let before = server.counts("wait-\(faults)")["requests"]
        usleep(300_000)
        running.send(SIGINT)
        let stopped = try running.end()
        #expect(stopped.status == 130, "\(stopped.errorText)")
        #expect(stopped.seconds < 20)
        #expect(server.counts("wait-\(faults)")["requests"] <= before + 3)
    }

    /// A server that is broken ends the run with what it said, and the run goes on once it works.
    @Test func aBrokenServerEndsTheRun() throws {
        guard let server = Self.server else { return }
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(200))
        try define(space, Self.stage(server, "broken", "503x4", ", attempts: 2, in_flight: 2, batch: 8"))
        let broken = try space.sluice("run", "run.yaml", "--progress", "none")
        #expect(broken.status != 0)
        #expect(broken.errorText.contains("answered 503: try again later, 2 times"), "\(broken.errorText)")
        #expect(broken.errorText.contains("--resume"))
        #expect(try space.run(["--resume"]).count("read") == 200)
    }

    // MARK: Memory

    /// The peak stays within the smallest budget, with long records and many requests.
    @Test func theSmallestBudgetIsEnough() throws {
        guard let server = Self.server else { return }
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(1500))
        try define(space, Self.stage(server, "small", "float+slow5", ", in_flight: 64"))
        let refused = try space.sluice("check", "run.yaml", "--memory", "64MiB")
        #expect(refused.status == 4, "\(refused.errorText)")
        let words = refused.errorText.split(whereSeparator: { " ,\n".contains($0) })
        let least = try #require(words.compactMap { $0.hasSuffix("MiB") ? MemorySize.parse(String($0)) : nil }.max())
        let run = try space.run(["--memory", "\(least >> 20)MiB"])
        let peak = run.manifest["timing"]?["memory_peak"]?.integerValue ?? .max
        #expect(peak <= least)
        print("endpoint: peak \(peak >> 20) MiB of \(least >> 20) MiB, 64 requests in flight")
    }

    // MARK: Keys

    private func shell(_ space: Workspace, _ variables: [String], _ arguments: [String]) throws -> Outcome {
        try Program.run(variables + [Program.path] + arguments, program: "/usr/bin/env", in: space.path)
    }

    @Test func aKeyIsSentAndWrittenNowhere() throws {
        guard let server = Self.server else { return }
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(50))
        let key = "sk-a-secret-of-the-tests"
        try define(space, Self.stage(server, "key", "", ", key_env: TEST_KEY"))
        let run = try shell(space, ["TEST_KEY=\(key)\n"], ["run", "run.yaml", "--progress", "plain"])
        #expect(run.status == 0, "\(run.errorText)")
        #expect(server.counts("key").mentions("Bearer \(key)"))
        let found = try Program.run(["-r", "-l", "secret-of-the-tests", "."], program: "/usr/bin/grep", in: space.path)
        #expect(found.status == 1 && found.output.isEmpty, "\(found.outputText)")
        #expect(!(run.outputText + run.errorText).contains("secret"))
        // The server repeats the key in its refusal.
        try define(space, Self.stage(server, "key-2", "401", ", key_env: TEST_KEY"))
        let refused = try shell(
            space, ["TEST_KEY=\(key)"], ["run", "run.yaml", "--output", "other", "--progress", "none"])
        #expect(
            refused.errorText.contains("answered 401: Incorrect API key provided: Bearer ***"), "\(refused.errorText)")
        #expect(refused.errorText.contains("TEST_KEY") && !refused.errorText.contains("secret"))
    }

    // MARK: Mistakes

    @Test func mistakesAreNamedBeforeAnythingIsRead() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: ["{\"text\":\"a\"}"])
        func check(_ options: String, _ words: String..., variables: [String] = []) throws {
            try define(space, "embed: {model: endpoint, \(options)}", rest: [])
            let found = try shell(space, variables, ["check", "run.yaml"])
            #expect(found.status == 2, "\(options): \(found.errorText)")
            for word in words {
                #expect(found.errorText.contains(word), "«\(word)» is not in: \(found.errorText)")
            }
        }
        let good = "url: \"http://localhost:1\", name: m, dimensions: 32"
        try check("name: m, dimensions: 32", "needs the address of a server")
        try check("url: \"http://localhost:1\", dimensions: 32", "needs the model's name")
        try check("url: \"http://localhost:1\", name: m", "needs the number of components")
        try check("url: \"localhost:1\", name: m, dimensions: 32", "must begin with http:// or https://")
        try check("url: \"http://me:word@host\", name: m, dimensions: 32", "name or a password", "key_env")
        try check(good + ", key_env: TEST_NO_KEY", "TEST_NO_KEY is not set")
        try check(good + ", key_env: TEST_KEY", "no key of letters", variables: ["TEST_KEY=a b"])
        try check(good + ", long: chunk-mean", "cut or fail")
        try check(good + ", path: model", "not with `endpoint`")
        try check(good + ", batch_bytes: 5", "from 1KiB to 16MiB")
        try check(
            good, "libcurl can't be loaded", "SLUICE_LIBCURL",
            variables: ["SLUICE_LIBCURL=/nowhere/libcurl.so"])
    }
}
