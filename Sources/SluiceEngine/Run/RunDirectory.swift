import Glibc
import SluiceCore
import SluiceIO

/// The folder that a run writes to, held by this process alone while the value lives.
///
/// Everything of an unfinished run lies below `work/`. A result under final names is replaced by a whole new one and by
/// nothing else: see `ResultFiles`.
package struct RunDirectory: ~Copyable {
    package let path: String
    let fileSystem: FileSystem
    private let lock: FileLock

    static let lockName = ".sluice.lock"
    static let workName = "work"
    static let planName = "plan.json"
    static let resultName = "result"
    static let checkpointName = "checkpoint"
    /// Stands in a work folder of ours, from its beginning to its end: a folder of that name without it is someone else's.
    static let markName = ".sluice"
    /// What below `work/` a stopped run can go on from.
    private static let keptWork = [checkpointName, "dedupe/duplicates", "dedupe/candidates"]

    /// The files of a stopped run that it can go on from; one of them is enough.
    package static func keptWork(in directory: String) -> [String] {
        keptWork.map { "\(directory)/\(workName)/\($0)" }
    }

    var workPath: String { "\(path)/\(Self.workName)" }
    private var planPath: String { "\(workPath)/\(Self.planName)" }
    private var markPath: String { "\(workPath)/\(Self.markName)" }
    var result: ResultFiles {
        ResultFiles(folder: "\(workPath)/\(Self.resultName)", target: path, fileSystem: fileSystem)
    }

    /// What stands in the way, or at the beginning, of a run.
    enum Start {
        /// Nothing of an earlier run is used. Where work that was there is of no use, why.
        case fresh(because: String?)
        /// A stopped run of the same plan goes on.
        case resumed
        /// The run is done: this is its manifest.
        case complete(Report)
    }

    /// What makes two runs the same run, and what a run wants done with what it finds.
    struct Request {
        /// Stands in the manifest.
        let identity: Report
        /// What makes work files usable; stands beside them.
        let work: Report
        var force = false
        var resume = false
        /// Whether a stopped run can go on.
        var adoptsWork = true
    }

    /// Makes the folder where there is none, and takes its lock.
    ///
    /// - Throws: `EngineError` with code `.resources` where it can't be written or another process works on it.
    init(_ path: String, fileSystem: FileSystem) throws(EngineError) {
        self.path = path
        self.fileSystem = fileSystem
        do throws(IOFailure) {
            try fileSystem.makeFolder(path)
            lock = try fileSystem.lock("\(path)/\(Self.lockName)")
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

    /// Makes the directory ready: finishes what a stopped process had committed, refuses to replace anything that was not
    /// asked to be replaced, and makes an empty work folder or finds one to go on with. A result stays where it is.
    func prepare(_ request: Request) throws -> Start {
        do {
            if let manifest = try result.committed() { try publish(manifest) }
        } catch let failure as IOFailure where failure.code == .corruptWorkFile && request.force {
            // Replaced with everything else.
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
        try makeWork(request.work)
        return .fresh(because: reason)
    }

    private func makeWork(_ plan: Report) throws(IOFailure) {
        try fileSystem.makeFolder(workPath)
        // In one step, so that no stop leaves anything else in an unmarked folder.
        _ = try fileSystem.create(markPath)
        try fileSystem.makeFolder(result.folder)
        try fileSystem.flushFolder(path)
        // Flushes the work folder, too.
        try fileSystem.write(Array(plan.prettyJSON.utf8), to: planPath)
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
                // A manifest whose files are gone speaks of nothing: the run is done again.
                if manifest.outputNames.allSatisfy(names.contains) { return .complete(manifest) }
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

    /// Why a resume begins anew all the same, where there was work.
    private func uselessWork(_ names: [String], _ request: Request) throws(IOFailure) -> String? {
        guard names.contains(Self.workName), request.adoptsWork, try report(planPath) == nil,
            try fileSystem.status(of: "\(workPath)/\(Self.checkpointName)") != nil
        else { return nil }
        return "\(planPath) is missing or damaged, so nothing tells what the work beside it is of; the run begins anew"
    }

    private func refuseOthers(_ names: [String], _ identity: Report) throws {
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
    }

    /// Refuses files that no `run.json` vouches for.
    private func refuseStrangers(_ names: [String]) throws(EngineError) {
        if let foreign = names.first(where: { !Self.isOurs($0) }) { throw EngineError.foreign(path, foreign) }
        if let orphan = names.first(where: { ResultFile.all.contains($0) }) {
            throw EngineError(
                .definition,
                "\(path) holds `\(orphan)` and no \(ResultFile.manifest), so nothing tells which run it is of.",
                remedies: [.otherDirectory, .restart])
        }
    }

    /// A small JSON file; nil where it is not there or not whole.
    private func report(_ path: String) throws(IOFailure) -> Report? {
        guard try fileSystem.status(of: path) != nil else { return nil }
        return try? Report(json: try fileSystem.contents(of: path))
    }

    private static func isOurs(_ name: String) -> Bool {
        ResultFile.all.contains(name) || name == lockName || name == workName
    }

    // MARK: After a run

    /// What a run that stops now, or stopped before, can go on from; nil where it would begin anew.
    func keptWork() throws -> KeptWork? {
        guard let plan = try report(planPath),
            // What standard input gave once it does not give again.
            plan["inputs"]?.elements.first?["file"]?.textValue != "-"
        else { return nil }
        let checkpoint = CheckpointFile(path: "\(workPath)/\(Self.checkpointName)", fileSystem: fileSystem)
        if try fileSystem.status(of: checkpoint.path) != nil {
            // A damaged one is found when it is used.
            let found = try? checkpoint.read()
            return KeptWork(
                directory: path, records: found.flatMap { $0.phase == .reading ? $0.account.read : nil })
        }
        for name in Self.keptWork where try fileSystem.status(of: "\(workPath)/\(name)") != nil {
            return KeptWork(directory: path, records: 0)
        }
        return nil
    }

    /// Makes the files that the run wrote its result, under their final names.
    func publish(_ manifest: Report) throws(IOFailure) {
        if try !result.isCommitted() { try result.commit(manifest) }
        // The run is not unfinished any more.
        try fileSystem.remove(planPath)
        try result.publish(manifest)
    }

    /// Removes what only the running run needs.
    ///
    /// - Parameter keepWork: leaves the columns.
    func clear(keepWork: Bool) {
        // Best effort: the result stands, and what can't be removed now the next run on this directory removes.
        if keepWork {
            try? fileSystem.remove("\(workPath)/\(Self.checkpointName)")
            try? fileSystem.removeFolder(result.folder)
        } else {
            try? removeWork()
        }
        unlock()
    }

    func unlock() { try? fileSystem.remove("\(path)/\(Self.lockName)") }

    /// Whether an unfinished run, of whatever plan, stands beside the result.
    var hasUnfinishedRun: Bool { (try? fileSystem.status(of: planPath)) ?? nil != nil }

    /// What vouches for the rest goes first, and what says that the folder is ours last.
    private func removeWork() throws(IOFailure) {
        guard try fileSystem.status(of: workPath) != nil else { return }
        try fileSystem.remove(planPath)
        try fileSystem.flushFolder(workPath)
        try fileSystem.removeTree(workPath, last: Self.markName)
    }

    /// Leaves a folder that the run has no business in as it was.
    func letGo() {
        unlock()
        // Goes where it is empty: it was made for nothing then.
        try? fileSystem.removeFolder(path)
    }

    /// Removes what a failed run leaves, which all lies in its work folder, and the directory if it was made for nothing.
    func abandon() {
        // Best effort: what can't be removed is refused or cleared by the next run.
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
        EngineError(.definition, "\(path) holds files that are not of a run (such as `\(name)`).", remedies: remedies)
    }
}
