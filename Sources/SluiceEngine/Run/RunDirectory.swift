import Glibc
import SluiceCore
import SluiceIO

/// The folder that a run writes to, locked by this process while the value exists.
///
/// All files of an unfinished run are below `work/`; answers of models are in `answers/`, which no run removes, since they
/// have been paid for. A result under final names is only ever replaced by a complete new
/// one: see `ResultFiles`.
package struct RunDirectory: ~Copyable {
    package let path: String
    let fileSystem: FileSystem
    private let lock: FileLock

    static let lockName = ".sluice.lock"
    static let workName = "work"
    static let planName = "plan.json"
    static let resultName = "result"
    static let checkpointName = "checkpoint"
    /// Marks our work folder while it exists: a folder of that name without this file is foreign.
    static let markName = ".sluice"
    /// What programs of stages wrote to their standard error: files such as `external.1.txt`.
    static let logName = "stderr"
    /// Where the input is cut into parts, for tasks.
    static let partsName = "parts"
    /// The files below `work/` from which a stopped run can resume.
    private static let keptWork = [checkpointName, "dedupe/duplicates", "dedupe/candidates", "tasks"]

    /// The files of a stopped run from which it can resume; one of them is enough.
    package static func keptWork(in directory: String) -> [String] {
        keptWork.map { "\(directory)/\(workName)/\($0)" }
    }

    static func logs(in path: String) -> String { "\(path)/\(logName)" }

    var workPath: String { "\(path)/\(Self.workName)" }
    private var planPath: String { "\(workPath)/\(Self.planName)" }
    private var markPath: String { "\(workPath)/\(Self.markName)" }
    var result: ResultFiles {
        ResultFiles(folder: "\(workPath)/\(Self.resultName)", target: path, fileSystem: fileSystem)
    }

    /// How a run starts.
    enum Start {
        /// Uses nothing of an earlier run. States the reason if existing work can't be used.
        case fresh(because: String?)
        /// Resumes a stopped run of the same plan.
        case resumed
        /// The run is already complete: this is its manifest.
        case complete(JSONValue)
    }

    /// The identity of a run, and its options for existing files.
    struct Request {
        /// Recorded in the manifest.
        let identity: JSONValue
        /// The conditions under which work files are usable; recorded next to them.
        let work: JSONValue
        var force = false
        var resume = false
        /// Whether a stopped run can be resumed.
        var adoptsWork = true
    }

    /// Creates the folder if missing, and locks it.
    ///
    /// - Parameter isShared: whether other processes that share it, too, may hold it at the same time.
    /// - Throws: `EngineError` with code `.resources` if it can't be written or another process uses it.
    init(_ path: String, fileSystem: FileSystem, isShared: Bool = false) throws(EngineError) {
        self.path = path
        self.fileSystem = fileSystem
        do throws(IOFailure) {
            try fileSystem.makeFolder(path)
            lock = try fileSystem.lock("\(path)/\(Self.lockName)", isShared: isShared)
        } catch {
            var failure = error
            if failure.code == .locked {
                failure.path = path
                failure.advice = "Wait for it to end, stop it, or give another output directory."
            }
            throw EngineError(.resources, failure.description)
        }
    }

    // MARK: Before a run

    static func checkName(_ path: String) throws(EngineError) {
        guard Path.name(of: path) != "-" else {
            throw EngineError(
                .definition,
                "a run writes a directory of several files, not standard output; give a name other than `-`")
        }
    }

    /// Prepares the directory: publishes a result that a stopped process committed, refuses to replace anything unless
    /// requested, and creates an empty work folder or finds one to resume from. An existing result stays in place.
    func prepare(_ request: Request) throws -> Start {
        do {
            if let manifest = try result.committed() { try publish(manifest) }
        } catch let failure as IOFailure where failure.code == .corruptWorkFile && request.force {
            // It is replaced with everything else.
        }
        let names = try fileSystem.entries(of: path)
        if names.contains(Self.workName), !(try isWorkOurs()) {
            throw EngineError.foreign(path, Self.workName, remedies: [.otherDirectory])
        }
        var reason: String?
        if request.resume {
            if let start = try resumable(names, request) { return start }
            reason = try uselessWork(names, request)
        } else if !request.force {
            try refuseOthers(names, request.identity)
        }
        if names.contains(Self.workName) { try removeWork() }
        // Those of an earlier run would pass for this one's.
        try removeLogs()
        try makeWork(request.adoptsWork ? request.work : nil)
        return .fresh(because: reason)
    }

    /// - Parameter plan: nil if nothing can resume the run, since its input can be read only once.
    private func makeWork(_ plan: JSONValue?) throws(IOFailure) {
        try fileSystem.makeFolder(workPath)
        // In one step, so that a stop never leaves other files in an unmarked folder.
        _ = try fileSystem.create(markPath)
        try fileSystem.makeFolder(result.folder)
        try fileSystem.flushFolder(path)
        // This flushes the work folder, too.
        if let plan { try fileSystem.write(Array(plan.prettyJSON.utf8), to: planPath) }
    }

    /// Removes files that are named like ours; others may be somebody's.
    private func removeLogs() throws(IOFailure) {
        let folder = Self.logs(in: path)
        guard fileSystem.isRealFolder(folder) else { return }
        for name in try fileSystem.entries(of: folder) {
            let parts = name.split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count == 3, Int(parts[1]) != nil, parts[2] == "txt" else { continue }
            try fileSystem.remove("\(folder)/\(name)")
        }
        // It stays if there is something else in it.
        try? fileSystem.removeFolder(folder)
    }

    private func isWorkOurs() throws(IOFailure) -> Bool {
        guard fileSystem.isRealFolder(workPath) else { return false }
        if try fileSystem.status(of: markPath) != nil { return true }
        return try fileSystem.entries(of: workPath).isEmpty
    }

    private func resumable(_ names: [String], _ request: Request) throws -> Start? {
        let manifest = names.contains(ResultFile.manifest) ? try report("\(path)/\(ResultFile.manifest)") : nil
        let plan = request.adoptsWork ? try report(planPath) : nil
        let unfinished = plan.map { Manifest.workDifferences(request.work, $0) }
        if let unfinished, unfinished.isEmpty { return .resumed }
        if let manifest {
            let differences = Manifest.differences(request.identity, manifest)
            if differences.isEmpty {
                // A manifest whose files are missing proves nothing: the run is repeated.
                var isWhole = true
                for name in manifest.outputNames + manifest.modelNames where isWhole {
                    isWhole = try fileSystem.status(of: "\(path)/\(name)") != nil
                }
                if isWhole { return .complete(manifest) }
            } else if unfinished == nil {
                throw EngineError.otherPlan(path, "the result", differences)
            }
        }
        if let unfinished, try keptWork() != nil {
            throw EngineError.otherPlan(path, "the unfinished run", unfinished)
        }
        if manifest == nil { try refuseStrangers(names) }
        return nil
    }

    /// The reason why a resume starts over although work exists.
    private func uselessWork(_ names: [String], _ request: Request) throws(IOFailure) -> String? {
        guard names.contains(Self.workName), request.adoptsWork, try report(planPath) == nil,
            try hasCheckpoint()
        else { return nil }
        return
            "\(planPath) is missing or damaged, so the plan of the work files next to it is unknown; the run starts over"
    }

    private func refuseOthers(_ names: [String], _ identity: JSONValue) throws {
        if names.contains(ResultFile.manifest) {
            let manifest = try report("\(path)/\(ResultFile.manifest)")
            let differences =
                manifest.map { Manifest.differences(identity, $0) } ?? ["\(ResultFile.manifest) can't be read"]
            guard differences.isEmpty else { throw EngineError.otherPlan(path, "the result", differences) }
        } else {
            try refuseStrangers(names)
        }
        if try keptWork() != nil {
            throw EngineError(.definition, "\(path) holds an unfinished run.", remedies: [.resume, .restart])
        }
        if try hasCheckpoint() {
            throw EngineError(
                .definition,
                "\(path) holds an unfinished run whose plan, \(planPath), is missing or damaged; it can't be resumed.",
                remedies: [.otherDirectory, .restart])
        }
    }

    /// Whether there is work that a plan would make usable.
    private func hasCheckpoint() throws(IOFailure) -> Bool {
        for name in [Self.checkpointName, "tasks"] where try fileSystem.status(of: "\(workPath)/\(name)") != nil {
            return true
        }
        return false
    }

    /// Refuses result files without a `run.json`.
    private func refuseStrangers(_ names: [String]) throws(EngineError) {
        if let foreign = names.first(where: { !Self.isOurs($0) }) { throw EngineError.foreign(path, foreign) }
        if let orphan = names.first(where: { ResultFile.all.contains($0) }) {
            throw EngineError(
                .definition,
                "\(path) holds `\(orphan)` but no \(ResultFile.manifest), so its run is unknown.",
                remedies: [.otherDirectory, .restart])
        }
    }

    /// A small JSON file; nil if it is missing or incomplete.
    private func report(_ path: String) throws(IOFailure) -> JSONValue? {
        guard try fileSystem.status(of: path) != nil else { return nil }
        return try? JSONValue(json: try fileSystem.contents(of: path))
    }

    private static func isOurs(_ name: String) -> Bool {
        ResultFile.all.contains(name) || name == lockName || name == workName || name == AnswerBook.folderName
            || name == logName || FileSystem.isHeld(name)
    }

    // MARK: After a run

    /// Whether an error shows that somebody removes the directory: a file is gone that this run made, and so is the plan.
    /// The directory itself may go last.
    func isRemoved(_ error: any Error) throws(IOFailure) -> Bool {
        if try fileSystem.status(of: path) == nil { return true }
        guard let failure = error as? IOFailure, failure.errno == ENOENT, failure.path.hasPrefix("\(path)/") else {
            return false
        }
        return try fileSystem.status(of: planPath) == nil
    }

    /// The work from which a run that stops now, or stopped before, can resume; nil if it would start over.
    func keptWork() throws -> KeptWork? {
        guard try report(planPath) != nil else { return nil }
        let checkpoint = "\(workPath)/\(Self.checkpointName)"
        if try fileSystem.status(of: checkpoint) != nil {
            // A damaged checkpoint is reported when it is used.
            let found = try? SealedFiles(fileSystem: fileSystem, plan: nil).read(Checkpoint.self, from: checkpoint)
            return KeptWork(
                directory: path, records: found.flatMap { $0.step == .read ? $0.account.read : nil })
        }
        for name in Self.keptWork where try fileSystem.status(of: "\(workPath)/\(name)") != nil {
            return KeptWork(directory: path, records: 0)
        }
        return nil
    }

    /// Moves the run's files to their final names.
    func publish(_ manifest: JSONValue) throws(IOFailure) {
        if try !result.isCommitted() { try result.commit(manifest) }
        // The run is now finished.
        try fileSystem.remove(planPath)
        try result.publish(manifest)
    }

    /// Removes files needed only during the run.
    ///
    /// - Parameter keepWork: whether to keep the columns.
    func clear(keepWork: Bool) {
        // Best effort: the result is complete, and the next run on this directory removes any leftovers.
        if keepWork {
            try? fileSystem.remove("\(workPath)/\(Self.checkpointName)")
            try? fileSystem.removeFolder(result.folder)
        } else {
            try? removeWork()
        }
        unlock()
    }

    /// Ends the part of one of several processes in a run. Once the run is finished, the last of them removes the work
    /// files: earlier, others would make some of them again.
    func leave(keepWork: Bool) {
        guard isFinished else { return }
        // Without this folder, the work files are there to stay.
        if keepWork { try? fileSystem.removeFolder(result.folder) }
        guard takeOver() else { return }
        if (try? Self.isLeftOver(in: path, fileSystem)) ?? false { clear(keepWork: false) } else { unlock() }
    }

    /// Whether the work files of a finished run, or its lock, are there because nobody has removed them yet. The folder of
    /// the result is the last but one to go: without it, any other files are there to stay.
    static func isLeftOver(in path: String, _ fileSystem: FileSystem) throws(IOFailure) -> Bool {
        let work = "\(path)/\(workName)"
        guard fileSystem.isRealFolder(work) else { return try fileSystem.status(of: "\(path)/\(lockName)") != nil }
        let names = try fileSystem.entries(of: work)
        return names.contains(resultName) || names.allSatisfy { $0 == markName }
    }

    /// Whether a result stands under final names and no run is under way. False if that can't be known.
    var isFinished: Bool {
        for folder in [path, workPath] { fileSystem.refresh(folder) }
        do throws(IOFailure) {
            if try fileSystem.status(of: planPath) != nil { return false }
            return try fileSystem.status(of: "\(path)/\(ResultFile.manifest)") != nil
        } catch { return false }
    }

    /// Whether no other process shares the directory; from then on none can.
    func takeOver() -> Bool { (try? fileSystem.takeOver(lock)) ?? false }

    func unlock() { try? fileSystem.remove("\(path)/\(Self.lockName)") }

    /// Whether the directory has an unfinished run, of any plan, in addition to the result.
    var hasUnfinishedRun: Bool { (try? fileSystem.status(of: planPath)) ?? nil != nil }

    /// The files that others depend on are removed first, the mark of our folder last.
    private func removeWork() throws(IOFailure) {
        guard try fileSystem.status(of: workPath) != nil else { return }
        try fileSystem.remove(planPath)
        try fileSystem.flushFolder(workPath)
        var isGone = true
        for name in try fileSystem.entries(of: workPath) where name != Self.markName && name != Self.resultName {
            if try !fileSystem.clear("\(workPath)/\(name)") { isGone = false }
        }
        if isGone { isGone = try fileSystem.clearTree(workPath, last: Self.markName) }
        if !isGone {
            // Says that there is more to remove: see `isLeftOver`.
            if fileSystem.isRealFolder(result.folder) { try fileSystem.removeTree(result.folder) }
            try fileSystem.makeFolder(result.folder)
        }
    }

    /// Undoes `init`: removes the lock, and the folder if it is empty.
    func letGo() {
        unlock()
        // An empty folder was created by `init`.
        try? fileSystem.removeFolder(path)
    }

    /// Removes the leftovers of a failed run, which are all in its work folder, and the directory if the run created
    /// it.
    func abandon() {
        // Best effort: the next run refuses or clears any leftovers.
        try? removeWork()
        letGo()
    }
}

extension EngineError {
    static func otherPlan(_ path: String, _ what: String, _ differences: [String]) -> EngineError {
        let shown = differences.prefix(5).map { "  \($0)" }.joined(separator: "\n")
        return EngineError(
            .definition, "\(path) holds \(what) of another plan:\n\(shown)\n", remedies: [.otherDirectory, .restart])
    }

    static func foreign(
        _ path: String, _ name: String, remedies: [Remedy] = [.otherDirectory, .restart]
    ) -> EngineError {
        EngineError(
            .definition, "\(path) holds files that don't belong to a run (such as `\(name)`).", remedies: remedies)
    }
}
