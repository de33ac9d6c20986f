import SluiceCore
import SluiceIO
import Testing

/// Too small a budget is refused before any data is read; the message states a budget, and that one is enough.
@Suite struct MemoryTests {
    private static let lines = (0..<40).map { #"{"prompt":"say \#($0)","completion":"what \#($0 * 7 % 11) is"}"# }

    private func space(_ stages: [String], dimensions: Int) throws -> Workspace {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines)
        // So that the stages determine the memory, and not the longest record.
        try space.define(
            input: ["max_record: 64KiB"],
            stages: ["format: {template: auto}", "embed: {model: lexical, dimensions: \(dimensions)}"] + stages)
        return space
    }

    private func smallest(_ message: String) throws -> Int {
        let rest = try #require(message.split(separator: "needs at least ").last)
        return try #require(MemorySize.parse(String(rest.prefix { $0.isLetter || $0.isNumber })))
    }

    @Test(arguments: [
        (["cluster: {clusters: 5, reservoir: 500000}"], 384, "cluster"),
        (["redundancy: {method: lift}"], 1100, "redundancy"),
        (["cluster: {clusters: 5}", "redundancy: {method: leverage}"], 1060, "redundancy"),
    ])
    func aSurveyThatDoesNotFitIsRefusedBeforeAnythingIsRead(_ stages: [String], dimensions: Int, stage: String) throws {
        let space = try space(stages, dimensions: dimensions)
        var least: Int?
        for command in ["check", "plan", "run"] {
            let outcome = try space.sluice(command, "run.yaml", "--memory", "106MiB", "--threads", "2")
            #expect(outcome.status == 4)
            for words in ["stage `\(stage)` needs ", ", but its share of `memory: 106 MiB` is ", "needs at least "] {
                #expect(outcome.errorText.contains(words), "\(outcome.errorText)")
            }
            least = try smallest(outcome.errorText)
        }
        #expect(space.names() == ["in.jsonl", "run.yaml"])
        let enough = try #require(least) >> 20
        // That number is enough, and a MiB less is not.
        let less = try space.sluice("run", "run.yaml", "--threads", "2", "--memory", "\(enough - 1)MiB")
        #expect(less.status == 4 && less.errorText.contains("needs at least \(enough)MiB"), "\(less.errorText)")
        #expect(space.names() == ["in.jsonl", "run.yaml"])
        let run = try space.run(["--threads", "2", "--memory", "\(enough)MiB"])
        #expect(try run.kept == space.run(["--threads", "1", "--memory", "4GiB"], into: "large").kept)
        let timing = try #require(run.manifest["timing"])
        #expect(timing["memory_budget"]?.integerValue == enough << 20)
        let leased = try #require(timing["memory_leased_peak"]?.integerValue)
        #expect(leased <= enough << 20 && leased > (enough - 1) << 20)
        #expect(try #require(timing["memory_program"]?.integerValue) == 28 << 20)
        #expect(try #require(timing["memory_peak"]?.integerValue) <= enough << 20)
    }

    /// Where the system gives less memory than the budget, the run ends with a message and not with a crash.
    @Test func aCompressorWithoutMemoryIsAnError() throws {
        guard Program.isRelease else { return skip("a debug build takes more address space") }
        let space = try Workspace()
        let text = String(repeating: "x", count: 10_000)
        try space.write("in.jsonl", lines: (0..<300).map { #"{"a":"\#($0)\#(text)"}"# })
        try space.define(output: ["level: 19"])
        let command = #"ulimit -v 64000; exec "$0" run run.yaml --threads 1 --progress none"#
        let outcome = try Program.run(["-c", command, Program.path], program: "/bin/sh", in: space.path)
        #expect(outcome.status == 4, "\(outcome.errorText)")
        #expect(outcome.errorText.hasPrefix("sluice: there is no memory to compress with."), "\(outcome.errorText)")
    }

    /// Actual use stays within the declaration: in the smallest budget, a reservoir fills up without exceeding it.
    @Test(arguments: [(1, 384), (2, 4096), (3, 2048)])
    func thePeakStaysBelowTheSmallestBudget(_ threads: Int, dimensions: Int) throws {
        guard Program.isRelease else { return skip("a debug build takes minutes") }
        let space = try Workspace()
        let words = "the of stone river answer below explain why winter sort numbers".split(separator: " ")
        try space.write(
            "in.jsonl.zst",
            lines: (0..<14_000).map { number in
                let text = (0..<90).map { words[(number * 7 + $0 * $0 * (number % 13 + 1)) % words.count] }
                return #"{"prompt":"\#(text.joined(separator: " "))","completion":"\#(number)"}"#
            })
        try space.define(
            files: "in.jsonl.zst", input: ["dedupe: {on: line}"],
            stages: [
                "format: {template: auto}", "embed: {model: lexical, dimensions: \(dimensions)}",
                "cluster: {clusters: 8}",
                "coreset: {keep: 2%, per: cluster}",
            ])
        let plan = try space.sluice("plan", "run.yaml", "--threads", "\(threads)", "--memory", "8GiB")
        let enough = try smallest(plan.outputText) >> 20
        let run = try space.run(["--threads", "\(threads)", "--memory", "\(enough)MiB"])
        let peak = try #require(run.manifest["timing"]?["memory_peak"]?.integerValue)
        #expect(peak <= enough << 20, "\(peak >> 20) MiB of \(enough) MiB")
        print(
            "  \(threads) threads, \(dimensions) dimensions: peak \(peak >> 20) MiB in the smallest budget, \(enough) MiB"
        )
    }

    @Test func theAdvisedReservoirFits() throws {
        let space = try space(["cluster: {clusters: 5, reservoir: 3000000}"], dimensions: 384)
        let outcome = try space.sluice("plan", "run.yaml", "--memory", "200MiB")
        let advice = try #require(outcome.errorText.split(separator: "set `reservoir` to at most ").last)
        let size = try #require(Int(advice.prefix { $0.isNumber }))
        let plan = try space.sluice(
            "plan", "run.yaml", "--memory", "200MiB", "--set", "stages.cluster.reservoir=\(size)")
        #expect(plan.status == 0, "\(plan.errorText)")
    }

    /// The size of a group becomes known only during the run: the work so far is kept, and more memory continues it.
    @Test func aGroupThatDoesNotFitIsRefusedWithTheNumberThatWouldDo() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: (0..<60_000).map { #"{"n":\#($0)}"# })
        try space.define(
            input: ["max_record: 64KiB"],
            stages: [
                "format: {template: \"{n}\"}", "embed: {model: lexical, dimensions: 512}",
                "redundancy: {method: pairwise, distance: 0}",
            ])
        let outcome = try space.sluice("run", "run.yaml", "--threads", "1", "--memory", "100MiB")
        #expect(outcome.status == 4)
        #expect(outcome.errorText.contains("stage `redundancy` needs "), "\(outcome.errorText)")
        #expect(outcome.errorText.contains("for a group of 60000 records"), "\(outcome.errorText)")
        let enough = try smallest(outcome.errorText) >> 20
        let less = try space.sluice(
            "run", "run.yaml", "--threads", "1", "--memory", "\(enough - 1)MiB", "--resume")
        #expect(less.status == 4 && less.errorText.contains("needs at least \(enough)MiB"), "\(less.errorText)")
        let run = try space.run(["--threads", "1", "--memory", "\(enough)MiB", "--resume"])
        #expect(run.manifest["counts"]?["read"]?.integerValue == 60_000)
    }

    @Test func planShowsSharesSpillsAndDisk() throws {
        let space = try space(
            ["cluster: {clusters: 64}", "coreset: {keep: 5%, per: cluster}"], dimensions: 384)
        let outcome = try space.sluice("plan", "run.yaml", "--threads", "2", "--records", "2000000")
        #expect(outcome.status == 0)
        let unwrapped = outcome.outputText.split { $0.isWhitespace }.joined(separator: " ")
        for words in [
            "estimates are for 2,000,000 records (from --records)", "read twice",
            "memory: 512 MiB in all; this plan needs at least ", "always ", "the program",
            "2 summaries and the result", "groups in work",
            "s ≥ ln(k/δ)/p = 11218 with k = 64, p = 1/1280 = 0.00078, δ = 0.01",
            "`coreset`: a group of more than ", "columns: 424 bytes a record", "of work files until the end",
        ] {
            #expect(unwrapped.contains(words), "\(words) is not in:\n\(outcome.outputText)")
        }
        // Each phase's shares and the permanent ones fit into the budget.
        var sums: [Int] = []
        for line in outcome.outputText.split(separator: "\n").drop(while: { !$0.hasPrefix("memory:") }).dropFirst() {
            guard line.hasPrefix("  "), let size = line.split(separator: " ").firstIndex(where: { $0.hasSuffix("iB") })
            else { break }
            let words = line.split(separator: " ")
            let bytes = try #require(MemorySize.parse("\(words[size - 1])\(words[size])"))
            if line.hasPrefix("   ") { sums[sums.count - 1] += bytes } else { sums.append(bytes) }
        }
        #expect(sums.count == 5)
        let always = try #require(sums.first)
        // Sizes are printed with one decimal.
        for sum in sums.dropFirst() { #expect(always + sum <= (512 << 20) + (1 << 19)) }
    }
}
