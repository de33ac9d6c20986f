/// Rewrites paths relative to the definition's folder, so that a command run from another directory finds the same
/// files.
public struct DefinitionFolder: Sendable {
    private let folder: String
    private let working: String

    /// - Parameters:
    ///   - folder: the folder of the definition.
    ///   - working: the working directory of the command.
    ///
    /// Both must be absolute, with links resolved and no `/` at the end.
    public init(folder: String, working: String) {
        self.folder = folder
        self.working = working
    }

    /// A path that opens the file from the working directory.
    ///
    /// - Parameters:
    ///   - text: absolute, or relative to the working directory.
    ///   - prefix: the folder as the definition's path spells it, with its `/`; empty for the working directory.
    func path(_ text: String, prefix: String) -> String {
        let isAbsolute = text.hasPrefix("/")
        if !isAbsolute, prefix.isEmpty || text.hasPrefix(prefix) { return text }
        let full = isAbsolute ? text : "\(working)/\(text)"
        if full.hasPrefix(folder + "/") { return prefix + full.dropFirst(folder.utf8.count + 1) }
        let parts = prefix.split(separator: "/").filter { $0 != "." }
        // `..` works only if no link on the way leads somewhere else.
        guard !isAbsolute, !prefix.hasPrefix("/"), folder == "\(working)/\(parts.joined(separator: "/"))" else {
            return full
        }
        return prefix + String(repeating: "../", count: parts.count) + text
    }
}
