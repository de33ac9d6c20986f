import SluiceCore
import Testing

/// The dedupe's table uses the memory for long records until one comes.
@Suite struct LongRecordBudgetTests {
    /// Short records, of which many are equal, with a long one after each part.
    private static func lines(_ random: inout SplitMix64, parts: [Int], long: [Int]) -> [String] {
        var lines: [String] = []
        for (number, count) in parts.enumerated() {
            for _ in 0..<count { lines.append("{\"prompt\":\"\(random.next(below: UInt64(count) * 3))\"}") }
            if number < long.count {
                lines.append("{\"prompt\":\"\(String(repeating: "long ", count: long[number] / 5))\(number % 2)\"}")
            }
        }
        return lines
    }

    /// Whatever the memory and wherever the long records are, the result is the same.
    @Test(arguments: [
        [], [300_000], [0, 400_000, 300_000, 300_000], [14_000_000], [2_000_000, 5_000_000], [9_000_000, 9_000_000],
    ])
    func theResultIsTheSame(long: [Int]) throws {
        var random = SplitMix64(state: UInt64(long.count))
        let space = try Workspace()
        let count = Program.isRelease ? 60_000 : 3_000
        try space.write("in.jsonl", lines: Self.lines(&random, parts: [count, count / 2, 10, 10, 10], long: long))
        for verify in ["hash", "bytes"] {
            try space.define(input: ["dedupe: {on: [prompt], verify: \(verify)}"])
            let refused = try space.sluice("check", "run.yaml", "--memory", "2MiB", "--threads", "1")
            let least = try #require(BudgetShape.smallest(in: refused.errorText))
            var all: Set<[UInt8]> = []
            for (threads, memory) in [(1, 1024), (1, least), (1, least + 3), (2, least + 16), (3, 1024)] {
                let run = try space.run(
                    ["--threads", "\(threads)", "--memory", "\(memory)MiB"], into: "\(verify)-\(threads)-\(memory)")
                let peak = try #require(run.manifest["timing"]?["memory_peak"]?.integerValue)
                #expect(peak <= memory << 20, "\(verify), \(threads) threads, \(memory) MiB")
                all.insert(run.kept)
            }
            #expect(all.count == 1)
        }
    }

    /// A table that fits beside the memory of ordinary records needs no second reading, even in the smallest budget.
    @Test func theTableUsesTheMemoryOfLongRecords() throws {
        guard Program.isRelease else { return skip("a debug build takes long") }
        var random = SplitMix64(state: 7)
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(&random, parts: [200_000], long: []))
        try space.define(input: ["dedupe: {on: [prompt]}"])
        let refused = try space.sluice("check", "run.yaml", "--memory", "2MiB", "--threads", "1")
        let least = try #require(BudgetShape.smallest(in: refused.errorText))
        // Standard input can be read only once, so the run fails if the table doesn't fit.
        let lines = try readFile(space("in.jsonl"))
        let arguments = [
            "run", "run.yaml", "--input", "-", "--threads", "1", "--memory", "\(least)MiB", "--progress", "none",
        ]
        let run = try Program.run(arguments, in: space.path, input: lines)
        #expect(run.status == 0, "\(run.errorText)")
        // A long record after them takes the memory back.
        let long = Array("{\"prompt\":\"\(String(repeating: "x", count: 15 << 20))\"}\n".utf8)
        let refusal = try Program.run(arguments + ["--force"], in: space.path, input: lines + long)
        #expect(refusal.status == 4)
        #expect(refusal.errorText.contains("raise `memory`"), "\(refusal.errorText)")
    }
}
