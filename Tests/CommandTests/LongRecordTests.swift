import SluiceCore
import Testing

/// The size of a batch of rows is bounded: long records in every phase after the first stay within the budget.
@Suite(.serialized) struct LongRecordTests {
    /// Records of `bytes` bytes each, with a few words that distinguish them.
    private func space(_ count: Int, bytes: Int, stages: [String]) throws -> Workspace {
        let space = try Workspace()
        let filler = String(repeating: "stone river winter answer sort below the of ", count: bytes / 44)
        try space.write(
            "in.jsonl.zst",
            lines: (0..<count).map { number in
                #"{"prompt":"record \#(number * 7919) \#(String(number, radix: 3)) \#(filler)","completion":"\#(number)"}"#
            })
        try space.define(files: "in.jsonl.zst", stages: stages)
        return space
    }

    private static let template = #"format: {template: "{prompt} {completion}"}"#

    /// A transform after a selection, one after a survey, and a survey whose own transforms read bytes.
    private static let phases: [[String]] = [
        [template, "embed: {dimensions: 64}", "coreset: {keep: 90%}", template],
        [
            template, "embed: {dimensions: 64}", "cluster: {clusters: 3, reservoir: 64}", template,
            "embed: {dimensions: 32}",
        ],
        [
            template, "embed: {dimensions: 64}", "coreset: {keep: 90%}", template, "embed: {dimensions: 32}",
            "cluster: {clusters: 3, reservoir: 64}", "coreset: {keep: 50%, per: cluster}",
        ],
    ]

    @Test(arguments: phases.indices, [(600, 135_000, 152), (12, 1_000_000, 152), (5, 12_000_000, 260)])
    func longRecordsStayInTheBudget(_ phase: Int, _ shape: (count: Int, bytes: Int, memory: Int)) throws {
        guard Program.isRelease else { return skip("a debug build takes minutes") }
        let space = try space(shape.count, bytes: shape.bytes, stages: Self.phases[phase])
        for threads in [1, 2] {
            let run = try space.run(
                ["--threads", "\(threads)", "--memory", "\(shape.memory)MiB"], into: "out\(threads)")
            let peak = try #require(run.manifest["timing"]?["memory_peak"]?.integerValue)
            #expect(peak <= shape.memory << 20, "\(peak >> 20) MiB of \(shape.memory) MiB")
            print(
                "  phase \(phase), \(shape.count) records of \(shape.bytes) bytes, \(threads) threads: \(peak >> 20) MiB"
            )
            #expect(run.kept.count > 0)
        }
    }

    /// The memory for one record is known before the pass starts: too little is refused, with the sufficient amount.
    @Test func aRecordThatDoesNotFitIsRefusedWithTheNumberThatDoes() throws {
        let space = try space(3, bytes: 12_000_000, stages: Self.phases[0])
        let refused = try space.sluice("run", "run.yaml", "--threads", "2", "--memory", "110MiB")
        guard refused.status == 4 else {
            let run = try space.run(["--threads", "2", "--memory", "110MiB"])
            let peak = try #require(run.manifest["timing"]?["memory_peak"]?.integerValue)
            #expect(peak <= 110 << 20)
            return
        }
        let rest = try #require(refused.errorText.split(separator: "needs at least ").last)
        let enough = String(rest.prefix { $0.isLetter || $0.isNumber })
        #expect(try space.run(["--threads", "2", "--memory", enough]).kept.count > 0)
    }
}
