/// Where a definition lies and where the command is given: by this a file goes by its way from the definition's folder
/// however it is written, so that a later command, given from elsewhere, finds it again.
public struct DefinitionFolder: Sendable {
    /// Both are absolute, with links resolved and no `/` at the end.
    private let folder: String
    private let working: String

    public init(folder: String, working: String) {
        self.folder = folder
        self.working = working
    }

    /// A path that can be opened from the working directory.
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
        // Up from the definition's folder, where no link on the way leads up to somewhere else.
        guard !isAbsolute, !prefix.hasPrefix("/"), folder == "\(working)/\(parts.joined(separator: "/"))" else {
            return full
        }
        return prefix + String(repeating: "../", count: parts.count) + text
    }
}
