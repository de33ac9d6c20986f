import SluiceCore
import SluiceIO

/// The files by which the tasks of a run know of each other.
///
/// Each task writes a mark once all its other files are on disk: what later tasks need to know, with a checksum.
struct TaskFiles: Sendable {
    /// The run directory's folder of work files.
    let work: String
    let fileSystem: FileSystem
    /// The name of this attempt at a task: two processes that do the same task don't write to the same file.
    let attempt: String

    private let sealed: SealedFiles

    init(_ run: RunContext) {
        (work, fileSystem, sealed) = (run.work, run.fileSystem, run.sealed)
        attempt = AtomicFile.uniqueText()
    }

    /// Relative to the run directory.
    static func mark(of kind: RunTask.Kind) -> String { "\(RunDirectory.workName)/tasks/\(kind.id)" }

    /// The marks of all tasks of a phase with several, relative to the run directory.
    static func marks(of phase: String) -> String { "\(RunDirectory.workName)/tasks/\(phase).*" }

    private func path(_ kind: RunTask.Kind) -> String { "\(work)/tasks/\(kind.id)" }

    /// A file of a task's results beside its mark.
    func data(_ kind: RunTask.Kind) -> String { "\(work)/data/\(kind.id)" }

    func makeFolders() throws(IOFailure) {
        // The last one says that the run is prepared.
        for name in ["data", "scratch", "tasks"] { try fileSystem.makeFolder("\(work)/\(name)") }
    }

    /// A name for files of this attempt alone.
    func scratch(_ name: String) -> String { "\(work)/scratch/\(name).\(attempt)" }

    // MARK: Marks

    /// Whether the task is done: its mark is there, of this run, and as it was written.
    func isDone(_ kind: RunTask.Kind) throws(IOFailure) -> Bool { try sealed.isWhole(path(kind)) }

    /// Removes marks that are damaged or of another run, so that nobody takes these tasks for done.
    func removeBadMarks(of tasks: some Sequence<RunTask>) throws(IOFailure) {
        let names = Set(try fileSystem.entries(of: "\(work)/tasks"))
        for task in tasks where names.contains(task.id) {
            if try !isDone(task.kind) { try fileSystem.remove(path(task.kind)) }
        }
    }

    func finish(_ kind: RunTask.Kind, _ result: some ByteCodable) throws(IOFailure) {
        try sealed.write(result, to: path(kind))
    }

    /// The result of a task that must be done.
    ///
    /// - Throws: `EngineError` if its mark is missing, `IOFailure` if it is damaged.
    func result<Value: ByteCodable>(of kind: RunTask.Kind, as type: Value.Type = Value.self) throws -> Value {
        guard let value = try sealed.read(type, from: path(kind)) else { throw Self.notDone(kind) }
        return value
    }

    /// A task is only begun when those before it are done.
    static func notDone(_ kind: RunTask.Kind) -> EngineError {
        EngineError(
            .data, "files that the task `\(kind.id)` wrote are missing", leavesWork: true, remedies: [.restart])
    }

    // MARK: Outputs of a part

    /// The folder of a part's outputs, once the task is done.
    func outputs(_ kind: RunTask.Kind) -> String { "\(work)/data/\(kind.id)" }

    /// Gives a folder of this attempt its final name, or drops it if another attempt was first.
    func publish(_ folder: String, as final: String) throws(IOFailure) {
        guard try fileSystem.status(of: final) == nil else {
            try fileSystem.removeTree(folder)
            return
        }
        do throws(IOFailure) {
            try fileSystem.rename(folder, to: final)
        } catch {
            guard try fileSystem.status(of: final) != nil else { throw error }
            // It is gone if a server of NFS went down between renaming it and saying so.
            if try fileSystem.status(of: folder) != nil { try fileSystem.removeTree(folder) }
            return
        }
        try fileSystem.flushFolder(Path.folder(of: final))
    }
}
