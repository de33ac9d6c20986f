import CMalloc
public import SluiceCore
public import SluiceIO

/// How a run is done, as against what is done: nothing here changes a kept record.
public struct RunOptions: Sendable {
    /// Threads that work; at least 1.
    public var threads: Int
    /// Replaces whatever result is in the output directory, when the new one is whole.
    public var force = false
    /// Goes on with the stopped run in the output directory.
    public var resume = false
    /// Leaves the work files.
    public var keepWork = false
    /// Where blocks end; for tests, since no result may show it.
    public var blockBytes = 512 << 10
    /// Where shards of columns end, and how often checkpoints are written; for tests likewise.
    public var segmentBytes = 256 << 20
    public var checkpointSeconds = 10.0
    /// Memory of the dedupe's table in place of its share; for tests likewise.
    public var dedupeBytes: Int?
    /// Bits of the hash that the dedupe goes by, 1 to 64, in place of 128, so that contents share hashes; for tests
    /// likewise. Changes results unless contents are compared.
    package var dedupeHashBits: Int?
    public var fileSystem = FileSystem.local
    /// Makes the budget that all leases of the run are taken from, of so many bytes; for tests, which may refuse some.
    public var makeBudget: @Sendable (_ total: Int) -> MemoryBudget = { MemoryBudget(total: $0) }
    /// Is told what a person should know before the run ends.
    public var notice: @Sendable (String) -> Void = { _ in }
    /// Asked often; where it says yes the run ends with `EngineError.Code.stopped`.
    public var isStopped: @Sendable () -> Bool = { false }

    public init(threads: Int) { self.threads = max(1, threads) }
}

/// What a run did.
public struct RunResult: Sendable {
    /// `run.json`.
    public let manifest: Report
    /// Whether the run was complete already, so that nothing was done.
    public let wasComplete: Bool

    public var warnings: [String] { (manifest["warnings"]?.elements ?? []).compactMap(\.textValue) }
    public var read: Int { count("read") }
    public var kept: Int { count("kept") }
    public var dropped: Int { count("dropped") }
    public var quarantined: Int { count("quarantined") }

    private func count(_ key: String) -> Int { manifest["counts"]?[key]?.integerValue ?? 0 }
}

/// One run of a definition: reads the input, does what the stages say, and writes the run directory.
public final class Run {
    private let definition: Definition
    private let registry: Registry
    private let chain: StageChain
    private let catalog: InputCatalog
    private let options: RunOptions
    private let progress: ProgressMeter

    /// Makes the stages and looks at the input files; reads nothing.
    ///
    /// - Throws: `EngineError` with code `.definition` or `.resources`.
    public convenience init(_ definition: Definition, registry: Registry, options: RunOptions) throws {
        try self.init(definition, registry: registry, options: options, progress: ProgressMeter())
    }

    package init(
        _ definition: Definition, registry: Registry, options: RunOptions, progress: ProgressMeter
    ) throws {
        chain = try StageChain(definition, registry: registry)
        self.definition = definition
        self.registry = registry
        self.options = options
        self.progress = progress
        catalog = try InputCatalog(definition.input, fileSystem: options.fileSystem)
        guard Path.name(of: definition.output.directory) != "-" else {
            throw EngineError(
                .definition,
                "a run writes a directory of several files, not standard output: `-` can't be its name; give another")
        }
    }

    /// Runs to the end.
    ///
    /// - Throws: `EngineError`. What stood in the output directory before stands there still, and nothing new under a
    ///   final name, unless the run was already putting its whole result there: then the next run on the directory
    ///   finishes that. `EngineError.kept` says what of the work is left for `RunOptions.resume`.
    public func run() throws -> RunResult {
        let began = monotonicSeconds()
        // Else the C library keeps buffers of up to 32 MiB for itself after the first one that is freed.
        _ = mallopt(malloc_mmap_threshold, 2 << 20)
        _ = mallopt(malloc_trim_threshold, 2 << 20)
        let pool = WorkerPool(threads: options.threads)
        defer { pool.stop() }
        let (pieces, shares) = try chain.work(
            definition, threads: options.threads, inputs: catalog.files.count, parallel: pool.parallel)
        try catalog.checkReadings(pieces)
        let budget = options.makeBudget(definition.memory)
        let leases = try PhaseLeases(shares.always, of: budget, for: "the run")
        defer { leases.giveBack() }
        try catalog.refuseInputs(in: definition.output.directory)
        let directory = try RunDirectory(definition.output.directory, fileSystem: options.fileSystem)
        let identity = Manifest.identity(definition, chain, catalog, options.fileSystem)
        let start = try prepare(directory, identity)
        if case .complete(let manifest) = start {
            directory.clear(keepWork: options.keepWork || directory.hasUnfinishedRun)
            return RunResult(manifest: manifest, wasComplete: true)
        }
        do {
            let execution = Execution(
                definition, chain: chain, pieces: pieces, catalog: catalog, options: options, progress: progress,
                shares: shares, budget: budget, pool: pool, work: directory.workPath, output: directory.result.folder)
            let outputs = try execution.process()
            let manifest = Manifest.make(
                identity: identity, catalog: catalog, chain: chain, outputs: outputs, execution: execution,
                definition: definition, threads: options.threads, budget: budget, seconds: monotonicSeconds() - began)
            try directory.publish(manifest)
            directory.clear(keepWork: options.keepWork)
            return RunResult(manifest: manifest, wasComplete: false)
        } catch {
            throw failed(EngineError(any: error).located(in: catalog), start, directory)
        }
    }

    private func prepare(_ directory: borrowing RunDirectory, _ identity: Report) throws -> RunDirectory.Start {
        do {
            let start = try directory.prepare(
                RunDirectory.Request(
                    identity: identity, work: Manifest.workIdentity(identity, catalog, options), force: options.force,
                    // What a pipe gave once it does not give again: a stopped run on one starts over.
                    resume: options.resume, adoptsWork: catalog.stream == nil))
            if case .fresh(let reason?) = start { options.notice(reason) }
            return start
        } catch {
            directory.letGo()
            throw EngineError(any: error)
        }
    }

    /// What to say of a run that failed, when what is of no use to the next one has been removed.
    private func failed(
        _ failure: EngineError, _ start: RunDirectory.Start, _ directory: borrowing RunDirectory
    ) -> EngineError {
        do {
            guard try options.fileSystem.status(of: directory.path) != nil else {
                return EngineError(
                    .resources, "\(directory.path): the output directory was removed while the run went on")
            }
            if try directory.result.isCommitted() {
                return failure.keeping(KeptWork(directory: directory.path, records: nil))
            }
            if failure.remedies.contains(.restart), case .resumed = start {
                // Work files that were damaged before this run are left for who wants to look.
                directory.unlock()
                return failure
            }
            guard failure.leavesWork, !failure.remedies.contains(.restart), let kept = try directory.keptWork() else {
                directory.abandon()
                return failure.leavingNothing()
            }
            directory.unlock()
            return failure.keeping(kept)
        } catch {
            // Nobody can tell what is there, so nothing is touched.
            return failure
        }
    }
}
