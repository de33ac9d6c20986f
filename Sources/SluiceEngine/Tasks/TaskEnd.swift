import Glibc
import SluiceCore
import SluiceIO

/// The end of a run that is done task by task.
extension TaskRun {
    /// Whether a directory holds a finished run, so that no task is left.
    ///
    /// Completes what a process that was killed at its very end has left to do: moving the result to its final names, and
    /// removing the work files.
    ///
    /// - Throws: `EngineError` if that can't be done.
    public static func isFinished(_ directory: String) throws -> Bool {
        let files = FileSystem.local
        let work = "\(directory)/\(RunDirectory.workName)"
        let result = ResultFiles(folder: "\(work)/\(RunDirectory.resultName)", target: directory, fileSystem: files)
        do {
            guard try files.status(of: "\(work)/\(RunDirectory.planName)") == nil,
                try result.isCommitted() || files.status(of: "\(directory)/\(ResultFile.manifest)") != nil
            else { return false }
            if try RunDirectory.isLeftOver(in: directory, files) { try end(directory) }
            return true
        } catch {
            throw EngineError(any: error)
        }
    }

    private static func end(_ path: String) throws {
        let directory: RunDirectory
        // If another process holds the directory, that one does it.
        do { directory = try RunDirectory(path, fileSystem: .local, isShared: true) } catch { return }
        guard directory.takeOver() else { return }
        if let manifest = try directory.result.committed() { try directory.publish(manifest) }
        directory.clear(keepWork: false)
    }

    /// Joins the outputs of the parts, and publishes the result.
    func finish(
        _ site: TaskSite, in directory: borrowing RunDirectory, _ began: Double
    ) throws -> RunResult {
        // Two processes may do any other task at the same time.
        let lock = try waiting(for: "\(site.run.work)/finish", site.run)
        defer { extendLifetime(lock) }
        if directory.isFinished { return try finished() }
        let end = TaskFinish(site: site)
        // Empty, so it may not have come along when the directory was copied.
        try site.fileSystem.makeFolder(directory.result.folder)
        var findings = try end.findings()
        let outputs = try end.join(in: directory.result.folder)
        try findings.close(outputs)
        try findings.makeSinks(in: directory.result.folder)
        let manifest = try Manifest.make(
            identity: setup.identity, site.run, findings, outputs, seconds: monotonicSeconds() - began)
        try directory.publish(manifest)
        return RunResult(manifest: manifest, wasComplete: false)
    }

    /// A lock, once no other process has it.
    private func waiting(for path: String, _ run: RunContext) throws -> FileLock {
        while true {
            do throws(IOFailure) {
                return try run.fileSystem.lock(path)
            } catch {
                guard error.errno == EWOULDBLOCK else { throw error }
            }
            if run.isStopped() { throw EngineError.stopped }
            usleep(20_000)
        }
    }

    /// The result that another process has published.
    func finished() throws -> RunResult {
        let path = "\(setup.directory)/\(ResultFile.manifest)"
        let manifest = try? JSONValue(json: try setup.options.fileSystem.contents(of: path))
        guard let manifest else { throw IOFailure(.corruptWorkFile, path: path, found: "it is missing or damaged") }
        return RunResult(manifest: manifest, wasComplete: true)
    }
}
