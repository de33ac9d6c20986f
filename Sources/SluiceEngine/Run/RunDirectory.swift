import SluiceCore
package import SluiceIO

/// The folder that a run writes to, held by this process alone while the value lives.
package struct RunDirectory: ~Copyable {
    package let path: String
    let fileSystem: FileSystem
    private let lock: FileLock

    static let manifestName = "run.json"
    static let lockName = ".sluice.lock"
    static let outputNames = [
        manifestName, "kept.jsonl.zst", "ledger.jsonl.zst", "quarantine.jsonl.zst", "picks.jsonl.zst",
    ]

    var workPath: String { "\(path)/work" }

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

    /// Makes the directory ready for a run: refuses one that holds the result of another plan, clears the rest.
    ///
    /// - Parameter isSamePlan: whether a manifest that is there came from the same definition, input and seed.
    func prepare(force: Bool, isSamePlan: (Report) -> [String]) throws(EngineError) {
        do {
            let names = try fileSystem.entries(of: path)
            if names.contains(Self.manifestName), !force {
                let bytes = try fileSystem.contents(of: "\(path)/\(Self.manifestName)")
                let manifest = try? Report(json: bytes)
                let differences = manifest.map(isSamePlan) ?? ["\(Self.manifestName) can't be read"]
                guard differences.isEmpty else {
                    throw EngineError.otherPlan(path, differences)
                }
            } else if !force, let foreign = names.first(where: { !Self.isOurs($0) }) {
                throw EngineError.foreign(path, foreign)
            }
            for name in names where Self.outputNames.contains(name) || name.hasSuffix(AtomicFile.temporarySuffix) {
                try fileSystem.remove("\(path)/\(name)")
            }
            if names.contains("work") { try fileSystem.removeTree(workPath) }
        } catch let error as IOFailure {
            throw EngineError(error)
        } catch let error as EngineError {
            throw error
        } catch {
            throw EngineError(.fault, "\(error)")
        }
    }

    private static func isOurs(_ name: String) -> Bool {
        outputNames.contains(name) || name == lockName || name == "work"
            || name.hasSuffix(AtomicFile.temporarySuffix)
    }

    /// Removes what only the running run needs.
    func clear(keepWork: Bool) throws(IOFailure) {
        if !keepWork, try fileSystem.status(of: workPath) != nil { try fileSystem.removeTree(workPath) }
        try fileSystem.remove("\(path)/\(Self.lockName)")
    }
}

extension EngineError {
    static func otherPlan(_ path: String, _ differences: [String]) -> EngineError {
        let shown = differences.prefix(5).map { "  \($0)" }.joined(separator: "\n")
        return EngineError(
            .definition,
            "\(path) holds the result of another plan:\n\(shown)\nGive another output directory, or --force to replace it.")
    }

    static func foreign(_ path: String, _ name: String) -> EngineError {
        EngineError(
            .definition,
            "\(path) holds files that are not of a run (such as `\(name)`); give an empty or new directory, or --force to write into it.")
    }
}
