import CMalloc
import Glibc
public import SluiceCore
public import SluiceIO

/// Options of a run. But for `format`, they don't affect the kept records.
public struct RunOptions: Sendable {
    /// Worker threads; at least 1.
    public var threads: Int
    /// Replaces any result in the output directory once the new one is complete.
    public var force = false
    /// Resumes the stopped run in the output directory.
    public var resume = false
    /// Keeps the work files.
    public var keepWork = false
    /// Where blocks end. For tests: results don't depend on it.
    public var blockBytes = 512 << 10
    /// Where shards of columns end, and the seconds between checkpoints. For tests.
    public var segmentBytes = 256 << 20
    public var checkpointSeconds = 10.0
    /// Where parts of the input end: the stored bytes of their files. For tests. Changes where frames of the outputs end,
    /// not their content.
    package var partBytes = InputParts.usualBytes
    /// Memory of the dedupe's table instead of its share, in bytes. For tests.
    public var dedupeBytes: Int?
    /// Bits of the dedupe's hash, 1 to 64, instead of 128, so that different contents share hashes. For tests. Changes
    /// results unless contents are compared.
    package var dedupeHashBits: Int?
    public var fileSystem = FileSystem.local
    /// Where inputs are listed and read, if not in `fileSystem`.
    public var store: (any InputStore)?
    /// How inputs hold records.
    public var format: any RecordFormat = JSONRecords()
    /// Makes the budget from which the run takes all leases. For tests, which may refuse some.
    public var makeBudget: @Sendable (_ total: Int) -> MemoryBudget = { MemoryBudget(total: $0) }
    /// Called with messages that a person should see before the run ends.
    public var notice: @Sendable (String) -> Void = { _ in }
    /// Called often; if it returns true, the run ends with `EngineError.Code.stopped`.
    public var isStopped: @Sendable () -> Bool = { false }

    public init(threads: Int) { self.threads = max(1, threads) }

    var inputs: any InputStore { store ?? fileSystem }

    /// The cores of this machine, at most 64.
    public static var coreCount: Int { max(1, min(64, sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }
}

/// The result of a run.
public struct RunResult: Sendable {
    /// `run.json`.
    public let manifest: JSONValue
    /// Whether the run was already complete, so that nothing was done.
    public let wasComplete: Bool

    public var warnings: [String] { (manifest["warnings"]?.elements ?? []).compactMap(\.textValue) }
    public var read: Int { count("read") }
    public var kept: Int { count("kept") }
    public var dropped: Int { count("dropped") }
    public var quarantined: Int { count("quarantined") }

    private func count(_ key: String) -> Int { manifest["counts"]?[key]?.integerValue ?? 0 }
}

/// A run of a definition: reads the input, applies the stages, and writes the run directory.
public final class Run {
    private let definition: Definition
    private let registry: Registry
    private let chain: StageChain
    private let catalog: InputCatalog
    private let options: RunOptions
    private let progress: ProgressMeter

    /// Makes the stages and looks up the input files; reads nothing.
    ///
    /// - Throws: `EngineError` with code `.definition` or `.resources`.
    public convenience init(_ definition: Definition, registry: Registry, options: RunOptions) throws {
        try self.init(definition, registry: registry, options: options, progress: ProgressMeter())
    }

    package init(
        _ definition: Definition, registry: Registry, options: RunOptions, progress: ProgressMeter
    ) throws {
        chain = try StageChain(definition, registry: registry, store: options.inputs)
        self.definition = definition
        self.registry = registry
        self.options = options
        self.progress = progress
        catalog = try InputCatalog(definition.input, store: options.inputs)
        try RunDirectory.checkName(definition.output.directory)
    }

    /// Runs to the end.
    ///
    /// - Throws: `EngineError`. The previous content of the output directory is then unchanged, with nothing new under
    ///   a final name, unless the run was already publishing its complete result: then the next run on the directory
    ///   finishes that. `EngineError.kept` describes the work left for `RunOptions.resume`.
    public func run() throws -> RunResult {
        if options.resume, (try? TaskRun.plan(in: definition.output.directory)) != nil { return try runTasks() }
        let began = monotonicSeconds()
        // Otherwise the C library keeps buffers of up to 32 MiB after the first one is freed.
        _ = mallopt(malloc_mmap_threshold, 2 << 20)
        _ = mallopt(malloc_trim_threshold, 2 << 20)
        let pool = WorkerPool(threads: options.threads)
        defer { pool.stop() }
        let (pieces, shares) = try chain.work(
            definition, threads: options.threads, inputs: catalog.files.count, parallel: pool.parallel)
        try catalog.checkReadings(pieces, definition.output)
        let budget = options.makeBudget(definition.memory)
        let leases = try PhaseLeases(shares.always, of: budget, for: "the run")
        defer { leases.giveBack() }
        try catalog.refuseInputs(in: definition.output.directory)
        // A stage that can't be used must leave no directory behind.
        let identity = try Manifest.identity(definition, chain, catalog, options)
        let directory = try RunDirectory(definition.output.directory, fileSystem: options.fileSystem)
        let start = try prepare(directory, identity)
        if case .complete(let manifest) = start {
            directory.clear(keepWork: options.keepWork || directory.hasUnfinishedRun)
            return RunResult(manifest: manifest, wasComplete: true)
        }
        do {
            let context = RunContext(
                definition, chain, catalog, options,
                RunContext.Resources(
                    progress: progress, shares: shares, budget: budget, pool: pool,
                    parts: try InputParts(catalog, options.format, bytes: options.partBytes),
                    outline: RunOutline(pieces), plan: Manifest.planDigest(identity, catalog, options)),
                work: directory.workPath)
            let execution = Execution(context, output: directory.result.folder)
            let outputs = try execution.process()
            let manifest = try Manifest.make(
                identity: identity, context, execution.findings, outputs, seconds: monotonicSeconds() - began)
            try directory.publish(manifest)
            directory.clear(keepWork: options.keepWork)
            return RunResult(manifest: manifest, wasComplete: false)
        } catch {
            throw failed(error, start, directory)
        }
    }

    /// Does the tasks that are left of a run that was begun task by task.
    private func runTasks() throws -> RunResult {
        let run = try TaskRun(definition, registry: registry, options: options, progress: progress)
        var result: RunResult?
        do {
            for task in run.tasks { result = try run.perform(task) ?? result }
        } catch let error as EngineError where error.leavesWork && !error.remedies.contains(.restart) {
            throw error.keeping(KeptWork(directory: definition.output.directory, records: nil))
        }
        guard let result else { throw EngineError(.fault, "the tasks ended without a result") }
        return result
    }

    private func prepare(_ directory: borrowing RunDirectory, _ identity: JSONValue) throws -> RunDirectory.Start {
        do {
            let start = try directory.prepare(
                RunDirectory.Request(
                    identity: identity, work: Manifest.workIdentity(identity, catalog, options), force: options.force,
                    // Standard input can't be read twice: a stopped run on it starts over.
                    resume: options.resume, adoptsWork: catalog.stream == nil))
            if case .fresh(let reason?) = start { options.notice(reason) }
            return start
        } catch {
            let isRemoved = (try? directory.isRemoved(error)) ?? false
            directory.letGo()
            throw isRemoved ? Self.removed(directory.path) : EngineError(any: error)
        }
    }

    private static func removed(_ directory: String) -> EngineError {
        EngineError(.resources, "\(directory): the output directory was removed during the run")
    }

    /// The error of a failed run, after work that the next run can't use has been removed.
    private func failed(
        _ error: any Error, _ start: RunDirectory.Start, _ directory: borrowing RunDirectory
    ) -> EngineError {
        let failure = EngineError(any: error).located(in: catalog)
        do {
            if try directory.isRemoved(error) { return Self.removed(directory.path) }
            if try directory.result.isCommitted() {
                return failure.keeping(KeptWork(directory: directory.path, records: nil))
            }
            if failure.remedies.contains(.restart), case .resumed = start {
                // Work files that were damaged before this run are left for inspection.
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
            // The state of the directory is unknown, so nothing is touched.
            return failure
        }
    }
}
