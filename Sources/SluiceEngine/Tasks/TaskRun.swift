import CMalloc
import Glibc
public import SluiceCore
import SluiceIO

/// A run that is done task by task, by any number of processes that share its directory.
///
/// `prepare` writes the plan into the run directory and lists the tasks. `perform` does one of them. The result equals that
/// of `Run` byte for byte, whichever process does which task, in whatever order the inputs of tasks allow, and however often
/// tasks are stopped and done again.
public struct TaskRun {
    /// All tasks, in an order in which they can be done one after the other.
    public let tasks: TaskList
    let setup: Setup

    /// A definition and what a process needs for its tasks.
    struct Setup {
        let definition: Definition
        let chain: StageChain
        let catalog: InputCatalog
        let options: RunOptions
        let progress: ProgressMeter
        /// What the run is, and its digest: with many input files it takes a while to make them.
        let identity: JSONValue
        let planDigest: ContentHash

        /// - Parameter catalog: another input than that of the definition.
        init(
            _ definition: Definition, _ registry: Registry, _ options: RunOptions, _ progress: ProgressMeter,
            catalog other: InputCatalog? = nil
        ) throws {
            chain = try StageChain(definition, registry: registry, store: options.inputs)
            self.definition = definition
            self.options = options
            self.progress = progress
            catalog = try other ?? InputCatalog(definition.input, store: options.inputs)
            try RunDirectory.checkName(definition.output.directory)
            if let stream = catalog.stream {
                throw EngineError(
                    .definition,
                    "\(stream.described) can be read only once, so it can't be read in parts; use `run`, or write it to a file first"
                )
            }
            identity = try Manifest.identity(definition, chain, catalog, options)
            planDigest = Manifest.planDigest(identity, catalog, options)
        }

        var directory: String { definition.output.directory }

        /// Takes the leases of a process, and makes what its tasks use.
        func with<Result>(_ work: String, _ body: (TaskSite) throws -> Result) throws -> Result {
            _ = mallopt(malloc_mmap_threshold, 2 << 20)
            _ = mallopt(malloc_trim_threshold, 2 << 20)
            let pool = WorkerPool(threads: options.threads)
            defer { pool.stop() }
            let (pieces, shares) = try chain.work(
                definition, threads: options.threads, inputs: catalog.files.count, parallel: pool.parallel)
            let budget = options.makeBudget(definition.memory)
            let leases = try PhaseLeases(shares.always, of: budget, for: "the task")
            defer { leases.giveBack() }
            let plan = planDigest
            let context = RunContext(
                definition, chain, catalog, options,
                RunContext.Resources(
                    progress: progress, shares: shares, budget: budget, pool: pool, parts: try parts(work, plan),
                    outline: RunOutline(pieces), plan: plan, isShared: true), work: work)
            return try body(TaskSite(context))
        }

        /// Where parts end: as the run was prepared, since finding that out takes a while for large files.
        private func parts(_ work: String, _ plan: ContentHash) throws(EngineError) -> InputParts {
            let files = SealedFiles(fileSystem: options.fileSystem, plan: plan)
            // What is damaged or of another run is found out again.
            if let known = try? files.read(InputParts.self, from: "\(work)/\(RunDirectory.partsName)") { return known }
            return try InputParts(catalog, options.format, bytes: options.partBytes)
        }
    }

    private init(_ setup: Setup, _ tasks: TaskList) { (self.setup, self.tasks) = (setup, tasks) }

    /// Prepares the run directory, as `Run.run()` does before it reads anything, and lists the tasks.
    ///
    /// - Throws: `EngineError` for everything that a run refuses before it reads anything.
    public static func prepare(
        _ definition: Definition, registry: Registry, options: RunOptions
    ) throws -> TaskRun {
        let setup = try Setup(definition, registry, options, ProgressMeter())
        do {
            return try setup.with("\(setup.directory)/\(RunDirectory.workName)") { site in
                try setup.catalog.refuseInputs(in: setup.directory)
                let directory = try RunDirectory(setup.directory, fileSystem: options.fileSystem)
                let isComplete: Bool
                do { isComplete = try prepare(directory, site, setup) } catch {
                    directory.letGo()
                    throw error
                }
                directory.unlock()
                return TaskRun(setup, isComplete ? TaskList(completed: site.list) : site.list)
            }
        } catch {
            throw EngineError(any: error).located(in: setup.catalog)
        }
    }

    /// - Returns: whether the run is complete already.
    private static func prepare(
        _ directory: borrowing RunDirectory, _ site: TaskSite, _ setup: Setup
    ) throws -> Bool {
        let identity = setup.identity
        let start = try directory.prepare(
            RunDirectory.Request(
                identity: identity, work: Manifest.taskPlan(identity, setup), force: setup.options.force,
                resume: setup.options.resume))
        if case .fresh(let reason?) = start { setup.options.notice(reason) }
        if case .complete = start { return true }
        try site.run.sealed.write(site.parts, to: "\(site.run.work)/\(RunDirectory.partsName)")
        try site.files.makeFolders()
        try site.files.removeBadMarks(of: site.list)
        return false
    }

    /// The tasks that a definition has, without preparing anything.
    public static func list(
        _ definition: Definition, registry: Registry, options: RunOptions
    ) throws -> TaskList {
        let setup = try Setup(definition, registry, options, ProgressMeter())
        return try setup.with("\(setup.directory)/\(RunDirectory.workName)") { $0.list }
    }

    /// Opens a run directory that `prepare` has prepared.
    ///
    /// - Parameter definition: that of the plan; see `plan(in:)`.
    /// - Throws: `EngineError` with code `.definition` if the directory has no such plan, or the input or a file of a stage
    ///   has changed.
    public init(_ definition: Definition, registry: Registry, options: RunOptions) throws {
        try self.init(definition, registry: registry, options: options, progress: ProgressMeter())
    }

    package init(
        _ definition: Definition, registry: Registry, options: RunOptions, progress: ProgressMeter
    ) throws {
        let setup = try Setup(definition, registry, options, progress)
        let plan = try Self.plan(in: setup.directory)
        let now = Manifest.taskPlan(setup.identity, setup)
        let differences = now == plan.report ? [] : Manifest.workDifferences(now, plan.report)
        guard differences.isEmpty else {
            throw EngineError.otherPlan(setup.directory, "the tasks", differences)
        }
        self.init(setup, try setup.with("\(setup.directory)/\(RunDirectory.workName)") { $0.list })
    }

    // MARK: The plan

    /// The plan in a run directory.
    public struct Plan: Sendable {
        let report: JSONValue
        /// The definition as JSON, without memory, output directory and folder of answers.
        public var definition: JSONValue { report["definition"] ?? .null }
        /// The folder to which its relative paths refer.
        public var folder: String { report["folder"]?.textValue ?? "." }
        /// `Definition.answers`, as it was given; nil for the run's own log.
        public var answers: String? { report["answers"]?.textValue }
        public var memory: Int { report["memory"]?.integerValue ?? Definition.defaultMemory }

        /// Takes over where blocks, shards and parts end: the same in every process of a run.
        public func setLimits(of options: inout RunOptions) {
            options.blockBytes = report["block_bytes"]?.integerValue ?? options.blockBytes
            options.segmentBytes = report["segment_bytes"]?.integerValue ?? options.segmentBytes
            options.partBytes = report["part_bytes"]?.integerValue ?? options.partBytes
            options.dedupeHashBits = report["dedupe_hash_bits"]?.integerValue
        }
    }

    /// - Throws: `EngineError` with code `.definition` if there is none.
    public static func plan(in directory: String) throws -> Plan {
        let work = "\(directory)/\(RunDirectory.workName)"
        for folder in [Path.folder(of: directory), directory, work] { FileSystem.local.refresh(folder) }
        let path = "\(work)/\(RunDirectory.planName)"
        let isDone = (try? FileSystem.local.status(of: "\(directory)/\(ResultFile.manifest)")) ?? nil != nil
        guard let bytes = try? FileSystem.local.contents(of: path), let report = try? JSONValue(json: bytes) else {
            throw EngineError(
                .definition,
                isDone
                    ? "\(directory) holds a finished run: there are no tasks left"
                    : "\(directory) has no tasks: prepare it with `run --prepare`")
        }
        guard report["tasks"] == .flag(true) else {
            throw EngineError(
                .definition, "\(directory) holds the unfinished run of one process; `run --resume` continues it")
        }
        return Plan(report: report)
    }

    // MARK: Tasks

    /// Whether a task is done, as far as that shows without reading what it wrote.
    public func isDone(_ task: RunTask) throws -> Bool {
        try setup.options.fileSystem.status(of: "\(setup.directory)/\(task.outputs[0])") != nil
    }

    /// Does a task whose inputs exist; nothing if it is done already.
    ///
    /// - Returns: the result of the run if this was its last task.
    /// - Throws: `EngineError`; with code `.definition` if a task that this one needs is not done.
    @discardableResult public func perform(_ task: RunTask) throws -> RunResult? {
        let began = monotonicSeconds()
        do {
            let directory = try RunDirectory(
                setup.directory, fileSystem: setup.options.fileSystem, isShared: true)
            do {
                let result = try perform(task, in: directory, began)
                directory.leave(keepWork: setup.options.keepWork)
                return result
            } catch {
                // Another process may have done the task meanwhile, or the whole run, and removed what this one used.
                let isOver = isOver(task, directory)
                directory.leave(keepWork: false)
                guard isOver, (error as? EngineError)?.code != .stopped else { throw error }
                return task.kind == .finish ? try finished() : nil
            }
        } catch {
            throw explained(error)
        }
    }

    private func isOver(_ task: RunTask, _ directory: borrowing RunDirectory) -> Bool {
        directory.isFinished || task.kind != .finish && (try? isDone(task)) ?? false
    }

    private func perform(
        _ task: RunTask, in directory: borrowing RunDirectory, _ began: Double
    ) throws -> RunResult? {
        if directory.isFinished { return task.kind == .finish ? try finished() : nil }
        for name in ["tasks", "data"] {
            setup.options.fileSystem.refresh("\(setup.directory)/\(RunDirectory.workName)/\(name)")
        }
        if try task.kind == .finish || !isDone(task) { try expectInputs(of: task) }
        return try setup.with("\(setup.directory)/\(RunDirectory.workName)") { site in
            guard task.kind == .finish else {
                try TaskRunner(site: site).perform(task.kind)
                return nil
            }
            return try finish(site, in: directory, began)
        }
    }

    /// - Throws: `EngineError` with code `.definition` if tasks that this one needs are not done.
    private func expectInputs(of task: RunTask) throws {
        var missing: [String] = []
        for need in task.needs {
            for kind in tasks.tasks(of: need)
            where try setup.options.fileSystem.status(of: "\(setup.directory)/\(TaskFiles.mark(of: kind))") == nil {
                missing.append(kind.id)
            }
        }
        guard !missing.isEmpty else { return }
        let names = missing.prefix(3).map { "`\($0)`" }.joined(separator: ", ")
        let more = missing.count > 3 ? " and \(missing.count - 3) more" : ""
        throw EngineError(
            .definition,
            "the task `\(task.id)` reads what \(names)\(more) must write first; do \(missing.count == 1 ? "that one" : "those") before it, or all that are left with `run --resume`",
            leavesWork: true)
    }

    /// An error of a task, as a person who knows the run directory should read it.
    private func explained(_ error: any Error) -> EngineError {
        guard var failure = error as? IOFailure, failure.path.hasPrefix("\(setup.directory)/\(RunDirectory.workName)/")
        else { return EngineError(any: error).located(in: setup.catalog) }
        if failure.errno == ENOENT {
            if !setup.options.fileSystem.isRealFolder(setup.directory) {
                return EngineError(
                    .resources, "\(setup.directory): the output directory was removed during the run", leavesWork: false
                )
            }
            failure = IOFailure(.corruptWorkFile, path: failure.path, found: "this work file is missing")
        } else if [.corruptStream, .truncatedStream].contains(failure.code) {
            // It is no file that could be copied again.
            failure.code = .corruptWorkFile
            failure.advice = ""
        }
        return EngineError(any: failure)
    }
}
