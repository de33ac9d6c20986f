import Glibc
package import SluiceCore
package import SluiceIO

/// The input files in order, under the names that messages, ledger and manifest use.
package struct InputCatalog: Sendable {
    package struct File: Sendable, Hashable {
        /// What to open; `-` is standard input.
        package let path: String
        /// How the file is called: its path relative to the definition, so that a run gives the same ledger wherever
        /// the definition's folder lies.
        package let name: String
        /// Bytes on disk; 0 for standard input.
        package let size: UInt64
    }

    package let files: [File]

    /// Expands the globs of a definition and sorts all files by the bytes of their names.
    ///
    /// - Throws: `EngineError` with code `.definition` where a glob matches nothing, `.data` where a file can't be read.
    package init(_ input: InputSpec, fileSystem: FileSystem) throws(EngineError) {
        if input.files == ["-"] {
            files = [File(path: "-", name: "-", size: 0)]
            return
        }
        var names: Set<String> = []
        for pattern in input.files {
            guard pattern != "-" else {
                throw EngineError(.definition, "standard input `-` can't be mixed with files; name one or the other")
            }
            let matches = Self.expand(pattern, in: input.folder)
            guard !matches.isEmpty else {
                let what = Self.isPattern(pattern) ? "matches no file" : "does not exist"
                let place = input.folder.isEmpty ? "" : " (looked in \(input.folder))"
                throw EngineError(.definition, "input `\(pattern)` \(what)\(place); check the name")
            }
            names.formUnion(matches)
        }
        var files: [File] = []
        for name in names.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
            let path = Self.join(input.folder, name)
            do throws(IOFailure) {
                guard let status = try fileSystem.status(of: path) else {
                    throw IOFailure(.cannotOpen, path: path, found: "there is no such file", advice: "Check the name.")
                }
                guard !status.isFolder else {
                    throw IOFailure(
                        .cannotRead, path: path, found: "it is a folder",
                        advice: "Name the files in it, for instance `\(name)/*.jsonl.zst`.")
                }
                guard access(path, R_OK) == 0 else {
                    throw IOFailure(
                        .cannotOpen, path: path, found: "it can't be read", advice: "Check the permissions.")
                }
                files.append(File(path: path, name: name, size: status.isRegularFile ? status.size : 0))
            } catch {
                throw EngineError(error)
            }
        }
        guard files.count <= Ordinal.maximumFiles else {
            throw EngineError(
                .definition, "\(files.count) input files are too many; join them to \(Ordinal.maximumFiles) or fewer")
        }
        self.files = files
    }

    package var isStandardInput: Bool { files.first?.path == "-" }
    package var totalSize: UInt64 { files.reduce(0) { $0 + $1.size } }

    static func join(_ folder: String, _ path: String) -> String {
        folder.isEmpty || path.hasPrefix("/") ? path : (folder.hasSuffix("/") ? folder + path : folder + "/" + path)
    }

    private static func isPattern(_ text: String) -> Bool { text.contains { "*?[{".contains($0) } }

    private static func expand(_ pattern: String, in folder: String) -> [String] {
        // A file whose own name has brackets or stars in it is taken by its name.
        let full = join(folder, pattern)
        if access(full, F_OK) == 0 { return [pattern] }
        var found = glob_t()
        defer { globfree(&found) }
        let prefix = full.utf8.count - pattern.utf8.count
        guard glob(escaped(full, first: prefix), GLOB_BRACE | GLOB_NOSORT, nil, &found) == 0 else { return [] }
        var names: [String] = []
        for index in 0..<Int(found.gl_pathc) {
            guard let name = found.gl_pathv[index] else { continue }
            names.append(String(decoding: String(cString: name).utf8.dropFirst(prefix), as: UTF8.self))
        }
        return names
    }

    /// The folder's part of a pattern stands for itself.
    private static func escaped(_ pattern: String, first count: Int) -> String {
        var result = ""
        for (index, scalar) in pattern.unicodeScalars.enumerated() {
            // The prefix is counted in bytes; scalars are at most as many, so at worst too few are escaped.
            if index < count, "*?[]{}\\".unicodeScalars.contains(scalar) { result += "\\" }
            result.unicodeScalars.append(scalar)
        }
        return result
    }
}

extension EngineError {
    /// A failure of a file: data where an input is at fault, resources where the disk is.
    init(_ failure: IOFailure) {
        switch failure.code {
        case .diskFull, .cannotWrite: self.init(.resources, failure.description)
        default: self.init(.data, failure.description)
        }
    }
}
