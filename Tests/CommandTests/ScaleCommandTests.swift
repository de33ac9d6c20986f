import SluiceCore
import Testing

/// `plan --workers`: its table, and what it refuses.
@Suite struct ScaleCommandTests {
    private static func space() throws -> Workspace {
        let space = try Workspace()
        try space.write(
            "in.jsonl", lines: (0..<50).map { #"{"prompt":"the stone \#($0 % 13)","completion":"river \#($0)"}"# })
        try space.define(
            input: ["dedupe: {on: line}"],
            stages: [
                "format: {template: auto}", "embed: {model: lexical, dimensions: 32}", "cluster: {clusters: 2}",
                "coreset: {keep: 20%, per: cluster}",
            ])
        return space
    }

    @Test func tablesFitTheTerminal() throws {
        let space = try Self.space()
        let requests: [[String]] = [
            [], ["--input-size", "100GB"], ["--input-size", "10PB", "--bandwidth", "1GB"],
            ["--input-size", "1PiB", "--threads", "8"], ["--records", "1000000000000"],
        ]
        for request in requests {
            let outcome = try space.sluice(["plan", "run.yaml", "--workers", "1,1000,1000000"] + request)
            #expect(outcome.status == 0, "\(outcome.errorText)")
            let lines = outcome.outputText.split(separator: "\n", omittingEmptySubsequences: false)
            for line in lines { #expect(line.count <= 80 && !line.hasSuffix(" "), "\(line)") }
            let phases = lines.compactMap { $0.split(separator: " ").first.map(String.init) }
            for phase in ["hash", "read", "learn-1", "select-2", "finish", "all"] { #expect(phases.contains(phase)) }
            #expect(outcome.outputText.contains("critical path: "))
        }
        // The input need not exist.
        let absent = try space.sluice(
            "plan", "run.yaml", "--workers", "10", "--input", "later/*.jsonl", "--input-size", "1TB")
        #expect(absent.status == 0 && absent.outputText.contains("7,451 parts"), "\(absent.errorText)")
    }

    @Test func listsSayWhatTasksTake() throws {
        let space = try Self.space()
        let plain = try space.sluice("plan", "run.yaml", "--tasks", "--threads", "1")
        let timed = try space.sluice("plan", "run.yaml", "--tasks", "--workers", "4")
        let (a, b) = (try JSONValue(json: plain.output).elements, try JSONValue(json: timed.output).elements)
        #expect(a.count == b.count && !a.isEmpty)
        for (task, other) in zip(a, b) {
            #expect(task["seconds"] == nil && other["seconds"]?.realValue ?? 0 > 0)
            #expect(task.entries.allSatisfy { other[$0.key] == $0.value })
        }
    }

    @Test func measuredRunsGiveRates() throws {
        let space = try Self.space()
        _ = try space.run()
        let outcome = try space.sluice(
            "plan", "run.yaml", "--workers", "10", "--input-size", "1TB", "--measured", "out")
        #expect(
            outcome.status == 0 && outcome.outputText.contains("scaled to the measured run"), "\(outcome.errorText)")
    }

    @Test(arguments: [
        (["--workers", "0"], "--workers 0: give up to three numbers"), (["--workers", "1,2,3,4"], "up to three"),
        (["--workers", "ten"], "--workers ten"), (["--workers", "1,,2"], "up to three"),
        (["--workers", "2000000"], "1000000"), (["--input-size", "1TB"], "--input-size goes with --workers"),
        (["--bandwidth", "1GB"], "--bandwidth goes with --workers"), (["--measured", "out"], "--measured goes with"),
        (["--workers", "5", "--input-size", "big"], "give a size, such as 500GB"),
        (["--workers", "5", "--input-size", "0"], "give a size"),
        (["--workers", "5", "--bandwidth", "-1GB"], "--bandwidth"),
        (["--workers", "5", "--measured", "nowhere"], "nowhere"),
    ])
    func nonsenseIsRefused(arguments: [String], words: String) throws {
        let outcome = try Self.space().sluice(["plan", "run.yaml"] + arguments)
        #expect(outcome.status == 2, "\(outcome.errorText)")
        #expect(outcome.errorText.contains(words), "«\(words)» is not in: \(outcome.errorText)")
    }
}
