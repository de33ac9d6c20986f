import Foundation
import SluiceCore
import Testing

/// Certificates of a coreset, through the program.
@Suite struct CertificateTests {
    private struct Group {
        let radius, bound, factor: Double

        init(_ report: JSONValue) throws {
            radius = try #require(report["radius"]?.realValue)
            bound = try #require(report["lower_bound"]?.realValue)
            factor = try #require(report["factor"]?.realValue)
        }
    }

    private func groups(_ run: RunFiles) throws -> [Group] {
        let stage = run.manifest["stages"]?.elements.first { $0["stage"]?.textValue == "coreset" }
        return try (stage?["per_group"]?.elements ?? []).map { try Group($0) }
    }

    /// The recipe of the paper on real prompts: the bound is near the radius, and costs no record.
    @Test func tightOnRealPrompts() throws {
        guard let sharedData else { return skip("../shared/data is not there") }
        let space = try Workspace()
        try space.define(
            files: "\(sharedData)/p3-*.jsonl.zst", input: ["dedupe: {on: [prompt, completion]}"],
            stages: [
                "format: {template: \"{prompt}\\n\\n{completion}\"}", "embed: {model: lexical, dimensions: 256}",
                "cluster: {clusters: 32, reservoir: 10000}", "coreset: {keep: 5%, per: cluster, certificate: tight}",
            ], seed: 42)
        let tight = try space.run()
        let quick = try space.run(["--set", "stages.coreset.certificate=quick"], into: "quick")
        #expect(tight.kept == quick.kept && tight.ledger == quick.ledger && tight.picks == quick.picks)
        let pairs = zip(try groups(tight), try groups(quick))
        for (tight, quick) in pairs {
            #expect(tight.radius == quick.radius && tight.bound >= quick.bound && tight.bound <= tight.radius)
            #expect(abs(tight.factor - tight.radius / tight.bound) < 1e-9)
        }
        let factors = try groups(tight).map(\.factor).sorted()
        #expect(factors.count == 32)
        #expect(factors[16] <= 1.15 && factors[31] < 1.6, "\(factors)")

        // Swaps lower the radius where there is room, and leave the bound.
        let swapped = try space.run(["--set", "stages.coreset.swaps=100"], into: "swapped")
        try swapped.expectClosedAccount()
        var lowered = 0
        for (before, after) in zip(try groups(tight), try groups(swapped)) {
            #expect(after.bound == before.bound && after.radius <= before.radius && after.radius >= after.bound)
            lowered += after.radius < before.radius ? 1 : 0
        }
        #expect(lowered > 16 && swapped.count("kept") == tight.count("kept"))
        let verified = try space.sluice("verify", "swapped")
        #expect(verified.status == 0, "\(verified.errorText)")

        // The same from any memory, in chunks from disk, and number of threads.
        let small = try space.run(["--memory", "140MiB", "--threads", "1"], into: "small")
        #expect(try groups(small).map(\.bound) == groups(tight).map(\.bound))
    }
}
