import Glibc
import SluiceCommand
import SluiceCore
import SluiceIO
import SluiceKit
import Synchronization
import Testing

@testable import SluiceEngine

/// The plan's statements, compared with the run that follows.
@Suite struct PlanTests {
    private static let registry = Registry.builtIn

    private func definition(_ folder: String, stages: [StageSpec]) -> Definition {
        Definition(
            seed: 1, input: InputSpec(files: ["\(folder)/*.jsonl*"]), stages: stages,
            output: OutputSpec(directory: "\(folder)/out"))
    }

    private func folder() throws -> String {
        var template = Array("/tmp/sluice-plan-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw EngineError(.fault, "no folder") }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Records of untypical sizes, compressed and plain, more than the plan samples.
    @Test(arguments: [(100, 84_000), (9000, 936)])
    func estimatesRecordsByTheBeginnings(length: Int, count: Int) throws {
        let folder = try folder()
        defer { try? FileSystem.local.removeTree(folder) }
        var random = UInt64(7)
        func word() -> String {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return String(random >> 40, radix: 36)
        }
        for file in 0..<12 {
            var bytes: [UInt8] = []
            for _ in 0..<(count / 12) {
                var text = ""
                while text.utf8.count < length - 10 { text += word() + " " }
                bytes += Array("{\"a\":\"\(text)\"}\n".utf8)
            }
            if file % 2 == 0 {
                try FileSystem.local.write(bytes, to: "\(folder)/\(file).jsonl")
            } else {
                var frame: [UInt8] = []
                try FrameCompressor(level: 1).compress(bytes, into: &frame)
                try FileSystem.local.write(frame, to: "\(folder)/\(file).jsonl.zst")
            }
        }
        let catalog = try InputCatalog(definition(folder, stages: []).input, store: FileSystem.local)
        let estimate = RecordEstimate(catalog, sampledBytes: 8 * 512 << 10)
        #expect(estimate.source == .sampled(files: 8))
        #expect(abs(Double(estimate.records) / Double(count) - 1) < 0.2, "\(estimate.records) of \(count)")
        #expect(abs(Double(RecordEstimate(catalog).records) / Double(count) - 1) < 0.05)
        let given = try Plan(definition(folder, stages: []), registry: Self.registry, threads: 1, records: 7)
        #expect(given.estimate == RecordEstimate(records: 7, source: .given))
    }

    /// A phase has the same number in the plan and in the progress of a run.
    @Test func phasesAreNumberedAlike() throws {
        let folder = try folder()
        defer { try? FileSystem.local.removeTree(folder) }
        let lines = (0..<200).map { "{\"a\": \"number \($0 * $0 % 197) of \($0)\"}\n" }.joined()
        try FileSystem.local.write(Array(lines.utf8), to: "\(folder)/in.jsonl")
        let stages = [
            StageSpec("format", ["template": "{a}"]), StageSpec("embed", ["model": "lexical", "dimensions": 16]),
            StageSpec("cluster", ["clusters": 3]),
            StageSpec("coreset", ["keep": .quantity(.percent(10)), "per": "cluster"]),
        ]
        let definition = definition(folder, stages: stages)
        let plan = try Plan(definition, registry: Self.registry, threads: 1)
        let planned = Set(plan.phases.map { "\($0.number) \($0.name)" })
        #expect(planned == ["1 reading", "2 cluster", "3 coreset", "4 writing"])
        #expect(plan.estimate == RecordEstimate(records: 200, source: .counted))

        let meter = ProgressMeter()
        let seen = Mutex<Set<String>>([])
        var options = RunOptions(threads: 1)
        options.isStopped = {
            let state = meter.state
            seen.withLock { _ = $0.insert("\(state.step) \(state.phase)") }
            return false
        }
        _ = try Run(definition, registry: Self.registry, options: options, progress: meter).run()
        #expect(seen.withLock { $0 } == planned)
    }
}
