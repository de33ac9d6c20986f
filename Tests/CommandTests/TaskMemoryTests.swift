import SluiceCore
import SluiceIO
import Testing

/// No task takes more memory than the run may.
@Suite struct TaskMemoryTests {
    @Test(arguments: [["dedupe: {on: [prompt, completion], verify: bytes}"], ["dedupe: {on: line}"]])
    func everyTaskStaysWithinTheBudget(_ input: [String]) throws {
        guard Program.isRelease else { return skip("a debug build takes minutes") }
        let space = try Workspace()
        let words = "the of stone river answer below explain why winter sort numbers".split(separator: " ")
        for file in 0..<2 {
            let lines = (0..<15_000).map { number in
                let text = (0..<60).map { words[(number * 7 + $0 * $0 * (number % 13 + 1)) % words.count] }
                return #"{"prompt":"\#(text.joined(separator: " "))","completion":"\#(number / 2) \#(file)"}"#
            }
            try space.write("in-\(file).jsonl", lines: lines)
        }
        // A long record in each part: its copies are part of the budget.
        let long = #"{"prompt":"\#(String(repeating: "long words ", count: 300_000))","completion":"one"}"#
        try space.write("in-2.jsonl", lines: [long, long])
        try space.define(
            files: "in-*.jsonl", input: input + ["max_record: 4MiB"],
            stages: [
                "format: {template: auto}", "embed: {model: lexical, dimensions: 256}",
                "cluster: {clusters: 8, reservoir: 20000}",
                "coreset: {keep: 2%, per: cluster}",
            ])
        let limits = ["--part-bytes", "5000000", "--progress", "none"]
        let plan = try space.sluice("plan", "run.yaml", "--threads", "1", "--memory", "8GiB")
        let memory = try #require(BudgetShape.smallest(in: plan.outputText))
        let prepared = try space.sluice(["run", "run.yaml", "--prepare", "--memory", "\(memory)MiB"] + limits)
        #expect(prepared.status == 0, "\(prepared.errorText)")
        for task in try JSONValue(json: prepared.output).elements {
            let id = try #require(task["task"]?.textValue)
            let run = try Program.measure(
                ["task", "out", id, "--memory", "\(memory)MiB", "--threads", "1", "--progress", "none"], in: space.path)
            #expect(run.outcome.status == 0, "\(id): \(run.outcome.errorText)")
            #expect(run.peak <= memory << 20, "\(id) took \(run.peak >> 20) MiB of \(memory)")
        }
        let whole = try space.run(["--part-bytes", "5000000"], into: "whole")
        #expect(try RunFiles(space("out")).digests == whole.digests)
    }
}
