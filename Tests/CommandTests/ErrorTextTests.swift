import Testing

/// The whole text of the mistakes that people make most, as the program prints it.
@Suite struct ErrorTextTests {
    @Test(arguments: [
        (
            ["format: {tempalte: auto}"],
            "run.yaml:6:14: unknown option `tempalte` of stage `format`; did you mean `template`?"
        ),
        (
            ["sample: {keep: lots}"],
            "run.yaml:6:20: option `keep` of stage `sample` must be a count or percentage, not `lots`"
        ),
        (
            ["format", "embed", "coreset: {keep: 5%, per: cluster}"],
            "run.yaml:8:30: stage 3 `coreset`: `per` reads `cluster`, which no earlier stage writes; put a `cluster` stage before it"
        ),
        (["use: one.yaml"], "two.yaml:2:10: files use each other in a circle: one.yaml uses two.yaml uses one.yaml"),
        (
            ["sample: {keep: \"${keap}\"}"],
            "run.yaml:6:20: unknown parameter `keap`; there are none; write `$${keap}` for the characters themselves"
        ),
    ])
    func aMistakeInADefinition(stages: [String], message: String) throws {
        let space = try Workspace()
        try space.write("in.jsonl", "{}\n")
        try space.write("one.yaml", "stages:\n  - use: two.yaml\n")
        try space.write("two.yaml", "stages:\n  - use: one.yaml\n")
        try space.define(stages: stages)
        let outcome = try space.sluice("check", "run.yaml")
        #expect(outcome.status == 2 && outcome.output.isEmpty)
        #expect(outcome.errorText == "sluice: run.yaml: 1 mistake; nothing was read\n\(message)\n")
    }

    /// Quotas can only be judged by what is there, so these end the run, which leaves nothing.
    @Test(arguments: [
        (
            "quota: {ethics: 8, role-play: 7}",
            "`quota` gives 15 records to the groups but `keep` allows 10 in all; raise `keep` or lower the quotas"
        ),
        (
            "strict: true, quota: {ethics: 9, rest: equal}",
            "`quota` asks for 9 records of `ethics`, which has 8; lower it, or remove `strict`"
        ),
    ])
    func anImpossibleQuota(budget: String, message: String) throws {
        let space = try Workspace()
        try space.write(
            "in.jsonl", lines: (0..<16).map { #"{"id": \#($0), "ability": "\#($0 < 8 ? "ethics" : "role-play")"}"# })
        try space.define(stages: ["mixture: {keep: 10, per: ability, \(budget)}"])
        let outcome = try space.sluice("run", "run.yaml", "--progress", "none")
        #expect(outcome.status == 3)
        #expect(outcome.errorText == "sluice: stage `mixture`: \(message)\n")
        #expect(space.names() == ["in.jsonl", "run.yaml"])
    }
}
