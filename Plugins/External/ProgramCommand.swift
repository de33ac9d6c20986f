import CProcess
import Glibc
import SluiceCore

/// The command of a program: its words, and how to start it.
struct ProgramCommand: Sendable {
    let words: [String]

    /// As a person would type it, for messages; not too long.
    var shown: String { Printable.name(words.joined(separator: " "), most: 80) }

    /// The file that the first word names: a path if it has a `/`, else looked up in PATH.
    ///
    /// - Throws: `StageError` of the option, with where it was looked for.
    func executable() throws(StageError) -> String {
        let word = words[0]
        guard !word.utf8.contains(UInt8(ascii: "/")) else {
            guard access(word, F_OK) == 0 else {
                throw Self.error("there is no file `\(Printable.name(word))`, which `command` names")
            }
            guard !Self.isFolder(word) else { throw Self.error("`\(Printable.name(word))` is a folder") }
            guard access(word, X_OK) == 0 else {
                throw Self.error(
                    "`\(Printable.name(word))` is not executable; `chmod +x` makes it so, or name what runs it, such as [python3, \(Printable.name(word))]"
                )
            }
            return word
        }
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
        for folder in path.split(separator: ":", omittingEmptySubsequences: false) {
            let file = "\(folder.isEmpty ? "." : folder)/\(word)"
            if access(file, X_OK) == 0, !Self.isFolder(file) { return file }
        }
        let parts = word.split(separator: " ")
        guard words.count > 1 || parts.count < 2 else {
            throw Self.error(
                "there is no program `\(Printable.name(word))`; write its words as a list: [\(Printable.name(parts.joined(separator: ", ")))]"
            )
        }
        throw Self.error(
            "there is no program `\(Printable.name(word))` in PATH (\(Printable.name(path))), and no file of that name next to the definition"
        )
    }

    /// Starts the program.
    ///
    /// - Parameter memory: the limit of its address space in bytes; 0 for none.
    func start(memory: Int) throws(StageError) -> sluice_child {
        let path = try executable()
        var child = sluice_child()
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        let error = sluice_child_start(path, arguments, UInt64(max(0, memory)), 256 << 10, &child)
        guard error == 0 else {
            let reason =
                error == ENOEXEC
                ? "the system can't execute it; a script needs a first line such as `#!/usr/bin/env python3`, or name what runs it"
                : String(cString: strerror(error))
            throw Self.error("`\(shown)` can't be started: \(Printable.name(path)): \(reason)")
        }
        return child
    }

    private static func error(_ message: String) -> StageError { .option("command", message) }

    private static func isFolder(_ path: String) -> Bool {
        var found = stat()
        return stat(path, &found) == 0 && found.st_mode & S_IFMT == S_IFDIR
    }
}
