import SluiceCore
import SluiceIO

/// The folder of the definition's outputs in the run directory: a file for each, or a folder of files.
enum SinkFolder {
    static let name = "outputs"

    /// Whether a name in a manifest is that of a file in the folder.
    static func owns(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        return 2...3 ~= parts.count && parts[0] == Self.name && parts.allSatisfy { !["", ".", ".."].contains($0) }
    }

    /// Moves the files of a result to the directory of their final names, and removes those of the result before it. Other
    /// files in the folder are left alone.
    static func publish(
        _ manifest: JSONValue, after earlier: JSONValue?, from result: String, to target: String,
        _ fileSystem: FileSystem
    ) throws(IOFailure) {
        let names = manifest.outputNames.filter(owns)
        let old = (earlier?.outputNames ?? []).filter(owns)
        let new = Set(names)
        for folder in folders(of: names) { try fileSystem.makeFolder("\(target)/\(folder)") }
        for name in names where try fileSystem.status(of: "\(result)/\(name)") != nil {
            try fileSystem.rename("\(result)/\(name)", to: "\(target)/\(name)")
        }
        for name in old where !new.contains(name) { try fileSystem.remove("\(target)/\(name)") }
        let used = folders(of: names)
        for folder in used.reversed() { try fileSystem.flushFolder("\(target)/\(folder)") }
        for folder in folders(of: old).reversed()
        where !used.contains(folder) && fileSystem.isRealFolder("\(target)/\(folder)") {
            let isEmpty = try fileSystem.entries(of: "\(target)/\(folder)").isEmpty
            // Otherwise it holds files of others.
            if isEmpty { try fileSystem.removeFolder("\(target)/\(folder)") }
        }
    }

    /// The folders of files, outer ones first, each once.
    private static func folders(of names: [String]) -> [String] {
        var found: [String] = names.isEmpty ? [] : [name]
        for name in names {
            let folder = Path.folder(of: name)
            if found.last != folder, !found.contains(folder) { found.append(folder) }
        }
        return found
    }
}
