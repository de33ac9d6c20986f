import SluiceCore
package import SluiceIO

/// The folder that a run writes to, held by this process alone while the value lives.
package struct RunDirectory: ~Copyable {
    package let path: String
    let fileSystem: FileSystem
    private let lock: FileLock

    static let manifestName = "run.json"
    static let lockName = ".sluice.lock"
    static let workName = "work"
    static let planName = "plan.json"
    static let outputNames =
        [
            manifestName, "ledger.jsonl.zst", "quarantine.jsonl.zst", "picks.jsonl.zst",
        ] + OutputCompression.allCases.map(\.keptName)

    var workPath: String { "\(path)/\(Self.workName)" }

    /// What stands in the way, or at the beginning, of a run.
    enum Start {
        /// Nothing of an earlier run is used.
        case fresh
        /// A stopped run of the same plan goes on.
        case resumed
        /// The run is done: this is its manifest.
        case complete(Report)
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

    /// Makes the directory ready: refuses one that holds something of another plan, and clears what is of no use.
    ///
    /// - Parameters:
    ///   - identity: what makes two runs the same run; stands in the manifest.
    ///   - work: what makes work files usable; stands beside them.
    ///   - adoptsWork: whether a stopped run can go on.
    func prepare(
        identity: Report, work: Report, force: Bool, resume: Bool, adoptsWork: Bool = true
    ) throws -> Start {
        let names = try fileSystem.entries(of: path)
        if resume {
            if let start = try resumable(names, identity: identity, work: work, adoptsWork) { return start }
        } else if !force {
            try refuseOthers(names, identity)
        }
        // What vouches for the others goes first, so that a stop in the midst of this leaves nothing that seems whole.
        if names.contains(Self.manifestName) {
            try fileSystem.remove("\(path)/\(Self.manifestName)")
            try fileSystem.flushFolder(path)
        }
        if names.contains(Self.workName) {
            try fileSystem.remove("\(workPath)/\(Self.planName)")
            try fileSystem.flushFolder(workPath)
        }
        for name in names where Self.isOutput(name) { try fileSystem.remove("\(path)/\(name)") }
        if names.contains(Self.workName) { try fileSystem.removeTree(workPath) }
        try fileSystem.makeFolder(workPath)
        try fileSystem.write(Array(work.prettyJSON.utf8), to: "\(workPath)/\(Self.planName)")
        return .fresh
    }

    private func resumable(
        _ names: [String], identity: Report, work: Report, _ adoptsWork: Bool
    ) throws -> Start? {
        if names.contains(Self.manifestName), let manifest = try report("\(path)/\(Self.manifestName)") {
            let differences = Manifest.differences(identity, manifest)
            guard differences.isEmpty else { throw EngineError.otherPlan(path, "the result", differences) }
            let outputs = (manifest["outputs"]?.elements ?? []).compactMap { $0["file"]?.textValue }
            // A manifest whose files are gone speaks of nothing: the run is done again.
            return outputs.allSatisfy(names.contains) ? .complete(manifest) : nil
        }
        guard adoptsWork, names.contains(Self.workName), let plan = try report("\(workPath)/\(Self.planName)") else {
            if let foreign = names.first(where: { !Self.isOurs($0) }) { throw EngineError.foreign(path, foreign) }
            return nil
        }
        let differences = Manifest.workDifferences(work, plan)
        guard differences.isEmpty else { throw EngineError.otherPlan(path, "the unfinished run", differences) }
        return .resumed
    }

    private func refuseOthers(_ names: [String], _ identity: Report) throws {
        if names.contains(Self.manifestName) {
            let manifest = try report("\(path)/\(Self.manifestName)")
            let differences =
                manifest.map { Manifest.differences(identity, $0) } ?? ["\(Self.manifestName) can't be read"]
            guard differences.isEmpty else { throw EngineError.otherPlan(path, "the result", differences) }
        } else if let foreign = names.first(where: { !Self.isOurs($0) }) {
            throw EngineError.foreign(path, foreign)
        } else if names.contains(Self.workName) {
            throw EngineError(
                .definition,
                "\(path) holds an unfinished run; --resume goes on with it, --force starts over")
        }
    }

    /// A small JSON file; nil where it is not there or not whole.
    private func report(_ path: String) throws(IOFailure) -> Report? {
        guard try fileSystem.status(of: path) != nil else { return nil }
        return try? Report(json: try fileSystem.contents(of: path))
    }

    private static func isOurs(_ name: String) -> Bool {
        isOutput(name) || name == lockName || name == workName
    }

    private static func isOutput(_ name: String) -> Bool {
        outputNames.contains(name) || name.hasSuffix(AtomicFile.temporarySuffix)
    }

    /// Removes what only the running run needs.
    func clear(keepWork: Bool) {
        // Best effort: the result stands, and what can't be removed now the next run on this directory removes.
        if !keepWork { try? fileSystem.removeTree(workPath) }
        try? fileSystem.remove("\(path)/\(Self.lockName)")
    }

    /// Leaves a folder that the run has no business in as it was.
    func letGo() {
        try? fileSystem.remove("\(path)/\(Self.lockName)")
        // Goes where it is empty: it was made for nothing then.
        try? fileSystem.removeFolder(path)
    }

    /// Removes what a failed run leaves: no file under a final name, no work files, no folder if it was made for nothing.
    func abandon() {
        // Best effort: what can't be removed is refused or cleared by the next run.
        try? fileSystem.remove("\(path)/\(Self.manifestName)")
        try? fileSystem.remove("\(workPath)/\(Self.planName)")
        try? fileSystem.removeTree(workPath)
        for name in (try? fileSystem.entries(of: path)) ?? [] where Self.isOutput(name) {
            try? fileSystem.remove("\(path)/\(name)")
        }
        letGo()
    }
}

extension EngineError {
    static func otherPlan(_ path: String, _ what: String, _ differences: [String]) -> EngineError {
        let shown = differences.prefix(5).map { "  \($0)" }.joined(separator: "\n")
        return EngineError(
            .definition,
            "\(path) holds \(what) of another plan:\n\(shown)\nGive another output directory, or --force to replace it."
        )
    }

    static func foreign(_ path: String, _ name: String) -> EngineError {
        EngineError(
            .definition,
            "\(path) holds files that are not of a run (such as `\(name)`); give an empty or new directory, or --force to write into it."
        )
    }
}
