import Glibc
import SluiceIO
import Synchronization

/// A test's own folder, and the program run in it.
final class Workspace {
    let path: String
    private static let counter = Atomic<Int>(0)

    init() throws {
        let number = Self.counter.add(1, ordering: .relaxed).newValue
        path = "/tmp/sluice-command-tests-\(getpid())-\(number)"
        try FileSystem.local.makeFolder(path)
    }

    deinit { try? FileSystem.local.removeTree(path) }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    func write(_ name: String, _ bytes: [UInt8]) throws {
        if let slash = name.lastIndex(of: "/") { try FileSystem.local.makeFolder(self(String(name[..<slash]))) }
        try writeFile(self(name), bytes)
    }

    func write(_ name: String, _ text: String) throws { try write(name, Array(text.utf8)) }

    /// Writes lines, compressed according to the name's suffix.
    func write(_ name: String, lines: [[UInt8]]) throws {
        let bytes = joined(lines)
        if name.hasSuffix(".zst") {
            try write(name, zstd(bytes))
        } else if name.hasSuffix(".gz") {
            try write(name, gzip(bytes))
        } else {
            try write(name, bytes)
        }
    }

    func write(_ name: String, lines: [String]) throws { try write(name, lines: lines.map { Array($0.utf8) }) }

    func names(in folder: String = "") -> [String] {
        ((try? FileSystem.local.entries(of: folder.isEmpty ? path : self(folder))) ?? []).sorted()
    }

    func sluice(_ arguments: String..., input: [UInt8] = []) throws -> Outcome {
        try Program.run(arguments, in: path, input: input)
    }

    func sluice(_ arguments: [String], input: [UInt8] = []) throws -> Outcome {
        try Program.run(arguments, in: path, input: input)
    }

    /// Runs the program as a user subject to permissions: the current user, or `nobody` if that is root.
    ///
    /// - Parameter before: called after the folder's owner has been changed, to restrict parts of it.
    /// - Returns: nil if the user is root and can't become another user.
    func unprivileged(_ arguments: String..., before: () -> Void = {}) throws -> Outcome? {
        guard geteuid() == 0 else {
            before()
            return try sluice(arguments)
        }
        let setpriv = "/usr/bin/setpriv"
        guard access(setpriv, X_OK) == 0 else { return nil }
        // The program may be where only root has access. Another process copies it: a file that a test has open for
        // writing, or that children of parallel tests have inherited open, can't be executed («text file busy»).
        let copy = self("sluice")
        guard try Program.run([Program.path, copy], program: "/bin/cp", in: path).status == 0 else {
            throw Failure("\(Program.path) can't be copied")
        }
        chmod(copy, 0o755)
        chown(path, 65534, 65534)
        before()
        defer { unlink(copy) }
        return try Program.run(
            ["--reuid=65534", "--regid=65534", "--clear-groups", copy] + arguments, program: setpriv, in: path)
    }

    /// Writes a definition as `run.yaml`.
    ///
    /// - Parameters:
    ///   - input: lines under `input:`.
    ///   - stages: lines under `stages:`.
    func define(
        files: String = "in.jsonl", input: [String] = [], stages: [String] = [], output: [String] = [], seed: Int = 7
    ) throws {
        var lines = ["sluice: 1", "seed: \(seed)", "input:", "  files: [\"\(files)\"]"] + input.map { "  \($0)" }
        if !stages.isEmpty { lines += ["stages:"] + stages.map { "  - \($0)" } }
        lines += ["output:", "  directory: out"] + output.map { "  \($0)" }
        try write("run.yaml", lines.map { $0 + "\n" }.joined())
    }

    /// Runs `run.yaml`, expects success, and reads its run directory.
    func run(_ arguments: [String] = [], into directory: String = "out", input: [UInt8] = []) throws -> RunFiles {
        let outcome = try sluice(
            ["run", "run.yaml", "--output", directory, "--progress", "none"] + arguments, input: input)
        guard outcome.status == 0 else { throw Failure("exit status \(outcome.status): \(outcome.errorText)") }
        return try RunFiles(self(directory))
    }
}

/// The folder of real data next to the project, or nil.
let sharedData: String? = {
    let root = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
    let path = "/\(root)/../shared/data"
    return access(path, R_OK) == 0 ? path : nil
}()

/// The project's own folder.
let projectFolder = "/" + #filePath.split(separator: "/").dropLast(4).joined(separator: "/")

/// Prints on standard output why a test is skipped.
func skip(_ reason: String, _ test: String = #function) { print("skipped: \(test): \(reason)") }
