import SluiceCore
import SluiceEngine
import SluiceIO
import Synchronization
import Testing

/// What a stage reports of itself decides whether a run is the same run. Serialised: the tests share the model's version.
@Suite(.serialized) struct IdentityTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        let input = try FileSystem.local.create("\(folder.path)/in.jsonl")
        try Array((1...20).map { "{\"n\":\($0)}\n" }.joined().utf8).withUnsafeBytes { try input.write($0) }
        Model.version.withLock { $0 = "1.2" }
    }

    private func run(
        isStopped: @escaping @Sendable () -> Bool = { false }, options change: (inout RunOptions) -> Void = { _ in }
    ) throws -> RunResult {
        let definition = Definition(
            input: InputSpec(files: ["\(folder.path)/in.jsonl"]), stages: [StageSpec("model")],
            output: OutputSpec(directory: "\(folder.path)/out"))
        var options = RunOptions(threads: 1)
        (options.blockBytes, options.checkpointSeconds, options.isStopped) = (10, 0, isStopped)
        change(&options)
        return try Run(definition, registry: Registry([Model.self]), options: options).run()
    }

    @Test func aResultOfAnotherVersionIsAnotherResult() throws {
        let first = try run()
        #expect(
            first.manifest["stage_identities"]?.json
                == #"[{"stage":"model","name":"device","value":"cpu"},{"stage":"model","name":"runtime","value":"1.2"}]"#
        )
        #expect(try run(options: { $0.resume = true }).wasComplete)
        #expect(try RunReader("\(folder.path)/out").verify().faults.isEmpty)

        Model.version.withLock { $0 = "1.3" }
        let refused = try #require(throws: EngineError.self) { _ = try run() }
        #expect(refused.message.contains("runtime of stage `model`: 1.2 → 1.3"), "\(refused)")
        let second = try run(options: { $0.force = true })
        #expect(!second.wasComplete)
        #expect(second.manifest["definition_digest"] != first.manifest["definition_digest"])
        Model.version.withLock { $0 = nil }
        let gone = try #require(throws: EngineError.self) { _ = try run() }
        #expect(gone.message.contains("runtime of stage `model`: 1.3 → none"), "\(gone)")
    }

    @Test func workOfAnotherVersionIsNotResumed() throws {
        let blocks = Atomic<Int>(0)
        let stop = try #require(throws: EngineError.self) {
            _ = try run(isStopped: { blocks.add(1, ordering: .relaxed).newValue > 30 })
        }
        #expect(stop.code == .stopped)
        Model.version.withLock { $0 = "2.0" }
        let refused = try #require(throws: EngineError.self) { _ = try run(options: { $0.resume = true }) }
        #expect(refused.message.contains("runtime of stage `model`: 1.2 → 2.0"), "\(refused)")
        Model.version.withLock { $0 = "1.2" }
        #expect(try run(options: { $0.resume = true }).kept == 20)
    }

    @Test func anErrorOfTheStageNamesIt() throws {
        Model.version.withLock { $0 = "" }
        let error = try #require(throws: EngineError.self) { _ = try run() }
        #expect(error.message == "stage `model`: there is no runtime", "\(error)")
    }
}

/// Depends on a runtime outside.
private struct Model: Stage, Transform {
    static let version = Mutex<String?>("1.2")
    static let descriptor = Descriptor(name: "model", summary: "Depends on a runtime.")
    init(options: OptionValues) {}
    let reads: [Input] = []
    let writes: [ColumnSpec] = []
    func apply(to block: inout Block) {}
    func identity() throws(StageError) -> [String: String] {
        let version = Self.version.withLock { $0 }
        if version == "" { throw StageError(.io, "there is no runtime") }
        return ["device": "cpu"].merging(version.map { ["runtime": $0] } ?? [:]) { $1 }
    }
}
