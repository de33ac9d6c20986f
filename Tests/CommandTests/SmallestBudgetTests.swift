import SluiceCore
import Testing

/// The smallest sufficient budget is a single number: `check`, `plan` and `run` state the same one, it works, and a MiB
/// less is refused.
@Suite struct SmallestBudgetTests {
    /// A random definition with all built-in stages and all options that affect memory.
    private struct Draw: CustomStringConvertible {
        let input: [String]
        let stages: [String]
        let output: [String]
        let threads: Int?

        init(_ random: inout SplitMix64) {
            func pick<T>(_ values: [T]) -> T { values[Int(random.next(below: UInt64(values.count)))] }
            let dedupe = pick([
                [], ["dedupe: {on: line}"], ["dedupe: {on: [prompt]}"], ["dedupe: {on: [prompt], verify: bytes}"],
            ])
            input = dedupe + pick([[], [], ["max_record: 1MiB"], ["max_record: 64MiB"], ["max_record: 100000"]])
            let format = pick(["{template: auto}", "{template: \"{prompt} {completion} {prompt} {prompt}\"}"])
            let embed = ["format: \(format)", "embed: {model: lexical, dimensions: \(pick([64, 384, 1024, 4096]))}"]
            stages = pick([
                [], ["format: \(format)"], embed,
                embed + ["cluster: {clusters: \(pick([2, 64, 500]))}"],
                embed + [
                    "cluster: {clusters: 4, reservoir: \(pick([100, 20000, 70000]))}",
                    "coreset: {keep: 5, per: cluster}",
                ],
                embed + ["redundancy: {method: lift, keep: 50%}"],
                embed + ["redundancy: {method: pairwise, distance: 0.1}"],
                embed + ["cluster: {clusters: 3}", "redundancy: {method: leverage, keep: 4}"],
                embed + ["coreset: {keep: 3}", "redundancy: {method: pairwise, distance: 0}"],
                embed + ["distinct: {normalize: [case]}", "sample: {keep: \(pick([10, 1_000_000]))}", "quality"],
                [
                    "format: \(format)", #"match: {keep: {column: text, matches: "."}}"#, "quality", "measure",
                    "language",
                    "sample: {keep: 20, per: completion}", "sample: {keep: 300000}",
                ],
                embed + ["coreset: {keep: 30}", "format: {template: \"{prompt} {prompt} {prompt} {prompt}\"}"],
            ])
            output =
                pick([[], [], ["level: 1"], ["level: 9"], ["level: 19"]])
                + (stages.isEmpty ? [] : pick([[], ["record: formatted"]]))
            threads = pick([nil, 1, 2, 3, 8, 64])
        }

        var description: String { "\(input) \(stages) \(output), threads: \(threads.map(String.init) ?? "-")" }
    }

    private let lines = (0..<40).map { #"{"prompt":"say \#($0)","completion":"what \#($0 * 7 % 11) is"}"# }

    @Test func checkPlanAndRunNameTheSameNumberAndItWorks() throws {
        var random = SplitMix64(state: 11)
        for number in 0..<(Program.isRelease ? 40 : 6) {
            let draw = Draw(&random)
            let space = try Workspace()
            try space.write("in.jsonl", lines: lines)
            try space.define(input: draw.input, stages: draw.stages, output: draw.output)
            let threads = draw.threads.map { ["--threads", "\($0)"] } ?? []
            func ask(_ command: String, _ memory: Int) throws -> Outcome {
                try space.sluice([command, "run.yaml", "--memory", "\(memory)MiB"] + threads)
            }
            let refused = try ask("check", 2)
            #expect(refused.status == 4)
            let least = try #require(BudgetShape.smallest(in: refused.errorText), "\(draw): \(refused.errorText)")
            for memory in [5, 60, 100, least - 1] where memory < least {
                for command in ["check", "plan", "run"] {
                    let outcome = try ask(command, memory)
                    #expect(outcome.status == 4, "\(draw), \(command) with \(memory) MiB")
                    #expect(BudgetShape.smallest(in: outcome.errorText) == least, "\(draw): \(outcome.errorText)")
                    #expect(!outcome.errorText.contains("1 threads"))
                }
            }
            for memory in [least, least + 1, least * 3] {
                let plan = try ask("plan", memory)
                #expect(plan.status == 0, "\(draw), \(memory) MiB: \(plan.errorText)")
                #expect(BudgetShape.smallest(in: plan.outputText) == least, "\(draw), \(memory) MiB")
                #expect(try ask("check", memory).status == 0)
            }
            guard number % 4 == 0 else { continue }
            let run = try ask("run", least)
            #expect(run.status == 0, "\(draw): \(run.errorText)")
        }
    }

    /// The memory for the longest record is known before anything is read.
    @Test func aLongRecordIsPartOfTheBudget() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: lines)
        try space.define(input: ["max_record: 128MiB"])
        let check = try space.sluice("check", "run.yaml", "--memory", "128MiB")
        #expect(check.status == 4)
        #expect(check.errorText.contains("records of up to `max_record: 128MiB` take "), "\(check.errorText)")
        let least = try #require(BudgetShape.smallest(in: check.errorText))
        let plan = try space.sluice("plan", "run.yaml", "--memory", "\(least)MiB")
        #expect(plan.outputText.contains("a record of up to 128 MiB, one at a time"), "\(plan.outputText)")
    }

    /// The vectors in the file of `already` are part of the budget, and `plan` finds the smallest one with them.
    @Test func vectorsChosenEarlierArePartOfTheBudget() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: lines)
        let before = ["format: {template: auto}", "embed: {model: lexical, dimensions: 64}"]
        try space.define(stages: before + ["coreset: {keep: 20}"])
        let least = try #require(
            BudgetShape.smallest(in: try space.sluice("plan", "run.yaml", "--threads", "1").outputText))

        let count = 500_000
        let header = "{'descr': '|i1', 'fortran_order': False, 'shape': (\(count), 64), }"
        let padded = header + String(repeating: " ", count: 117 - header.utf8.count) + "\n"
        let vectors = [UInt8](repeating: 5, count: count * 64)
        try space.write("earlier.npy", [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0] + Array(padded.utf8) + vectors)
        try space.define(stages: before + ["coreset: {keep: 20, already: earlier.npy}"])
        let refused = try space.sluice("check", "run.yaml", "--threads", "1", "--memory", "50MiB")
        #expect(refused.status == 4)
        let more = try #require(BudgetShape.smallest(in: refused.errorText), "\(refused.errorText)")
        #expect(more >= least + vectors.count >> 20)
        for memory in [more, 2 * more] {
            let plan = try space.sluice("plan", "run.yaml", "--threads", "1", "--memory", "\(memory)MiB")
            #expect(plan.status == 0, "\(plan.errorText)")
            #expect(BudgetShape.smallest(in: plan.outputText) == more)
        }
        let run = try space.sluice("run", "run.yaml", "--threads", "1", "--memory", "\(more)MiB")
        #expect(run.status == 0, "\(run.errorText)")
        let short = try space.sluice("run", "run.yaml", "--threads", "1", "--force", "--memory", "\(more - 1)MiB")
        #expect(short.status == 4 && BudgetShape.smallest(in: short.errorText) == more, "\(short.errorText)")
    }

    /// The README's recipe with an embedder that learns nothing, with the memory it needed before long records were
    /// counted. Learning must fit beside that in the default budget of the recipe.
    @Test func theRecipesNeedNoMoreThanTheyDid() throws {
        let lexical = ["--set", "stages.embed.model=lexical", "--set", "stages.embed.dimensions=384"]
        for (threads, arguments, most) in [(1, lexical, 145), (2, lexical, 152), (1, [], 256), (2, [], 256)] {
            let plan = try Program.run(
                ["plan", "examples/ltd.yaml", "--threads", "\(threads)"] + arguments, in: projectFolder)
            let least = try #require(BudgetShape.smallest(in: plan.outputText), "\(plan.errorText)")
            #expect(least <= most)
        }
    }
}
