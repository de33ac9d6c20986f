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
        /// When it was last written to, in nanoseconds since 1970; 0 for standard input.
        package let modified: Int64
        /// Whether it gives its bytes once only: standard input, a pipe, a device.
        package let isStream: Bool
    }

    package let files: [File]
    /// What somebody should know about the files before they are read.
    package private(set) var warnings: [String] = []

    /// Expands the globs of a definition and sorts all files by the bytes of their names. A file that has several names, by links or
    /// by spelling, is taken once, under the first of them.
    ///
    /// - Throws: `EngineError` with code `.definition` where a glob matches nothing, `.data` where a file can't be read.
    package init(_ input: InputSpec, fileSystem: FileSystem) throws(EngineError) {
        if input.files == ["-"] {
            files = [File(path: "-", name: "-", size: 0, modified: 0, isStream: true)]
            return
        }
        var paths: Set<String> = []
        for pattern in input.files {
            guard pattern != "-" else {
                throw EngineError(.definition, "standard input `-` can't be mixed with files; name one or the other")
            }
            let matches = Self.expand(pattern)
            guard !matches.isEmpty else {
                let what = Self.isPattern(pattern) ? "matches no file" : "does not exist"
                throw EngineError(.definition, "input `\(Printable.name(pattern))` \(what); check the name")
            }
            paths.formUnion(matches)
        }
        var files: [File] = []
        var known: [FileIdentity: String] = [:]
        let named = paths.map { (path: $0, name: input.name(of: $0)) }
        for (path, name) in named.sorted(by: { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }) {
            do throws(IOFailure) {
                guard let status = try fileSystem.status(of: path) else {
                    throw IOFailure(.cannotOpen, path: path, found: "there is no such file", advice: "Check the name.")
                }
                guard !status.isFolder else {
                    throw IOFailure(
                        .cannotRead, path: path, found: "it is a folder",
                        advice: "Name the files in it: put `/*.jsonl.zst`, or a pattern like it, behind its name.")
                }
                let identity = FileIdentity(device: status.device, inode: status.inode)
                if let first = known[identity] {
                    warnings.append(
                        "\(Printable.name(name)) is the same file as \(Printable.name(first)); it is read once, as \(Printable.name(first))"
                    )
                    continue
                }
                known[identity] = name
                guard access(path, R_OK) == 0 else {
                    throw IOFailure(
                        .cannotOpen, path: path, found: "it can't be read", advice: "Check the permissions.")
                }
                files.append(
                    File(
                        path: path, name: name, size: status.isRegularFile ? status.size : 0, modified: status.modified,
                        isStream: !status.isRegularFile)
                )
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

    /// Refuses inputs that lie in the output directory, by whatever way they are named: a run must not replace what it
    /// reads, nor read what an earlier one wrote.
    ///
    /// - Throws: `EngineError` with code `.definition`.
    func refuseInputs(in directory: String) throws(EngineError) {
        guard let output = Place(directory) else { return }
        var known: [String: Bool] = [:]
        for file in files where file.path != "-" {
            // The folder that the name stands in, and the one that the file itself lies in.
            let folders = [Path.folder(of: file.path), resolved(file.path).map(Path.folder(of:))].compactMap { $0 }
            for folder in folders {
                let isInside = known[folder] ?? output.contains(folder)
                known[folder] = isInside
                guard isInside else { continue }
                throw EngineError(
                    .definition,
                    "input \(file.name) lies in the output directory \(directory); write to another directory, or move the input out of it"
                )
            }
        }
    }

    private struct FileIdentity: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    /// An input that can't be read a second time.
    package var stream: File? { files.first { $0.isStream } }

    /// - Throws: `EngineError` with code `.definition` where stages need the input twice and a part of it comes only once.
    func checkReadings(_ pieces: [StageWork]) throws(EngineError) {
        guard let stream, let later = pieces.first(where: { !$0.isTransform }) else { return }
        throw EngineError(
            .definition,
            "stage `\(later.link.label)` needs to read the input twice, and \(stream.described) can be read only once; write it to a file first"
        )
    }
    package var totalSize: UInt64 { files.reduce(0) { $0 + $1.size } }

    static func isPattern(_ text: String) -> Bool { text.contains { "*?[{".contains($0) } }

    private static func expand(_ pattern: String) -> [String] {
        // A file whose own name has brackets or stars in it is taken by its name.
        if access(pattern, F_OK) == 0 { return [pattern] }
        var found = glob_t()
        defer { globfree(&found) }
        guard glob(pattern, GLOB_BRACE | GLOB_NOSORT, nil, &found) == 0 else { return [] }
        return (0..<Int(found.gl_pathc)).compactMap { found.gl_pathv[$0].map { String(cString: $0) } }
    }
}

/// A folder by device and inode: the same by every name it has.
private struct Place {
    private let device: dev_t
    private let inode: ino_t

    /// Nil where there is none.
    init?(_ path: String) {
        var status = Glibc.stat()
        guard fstatat(AT_FDCWD, path, &status, 0) == 0 else { return nil }
        (device, inode) = (status.st_dev, status.st_ino)
    }

    /// Whether `folder` is this one or lies in it.
    func contains(_ folder: String) -> Bool {
        guard var path = resolved(folder) else { return false }
        while true {
            if let place = Place(path), place.device == device, place.inode == inode { return true }
            if path == "/" { return false }
            path = Path.folder(of: path)
        }
    }
}

/// The absolute path without links; nil where there is nothing of that name.
private func resolved(_ path: String) -> String? {
    guard let found = realpath(path, nil) else { return nil }
    defer { free(found) }
    return String(cString: found)
}

extension InputCatalog.File {
    /// For messages.
    var described: String { path == "-" ? "standard input" : "\(Printable.name(name)), which is no regular file," }
}

extension EngineError {
    /// A failure of a file: data where an input is at fault, resources where the disk or the system is.
    ///
    /// - Parameter message: what to say in place of the failure's own words.
    init(_ failure: IOFailure, message: String? = nil) {
        var failure = failure
        let isDamaged = failure.code == .corruptWorkFile || failure.code == .wrongColumn
        if isDamaged { failure.advice = "" }
        let isShort = failure.errno.map { [EMFILE, ENFILE, ENOMEM].contains($0) } ?? false
        let code: Code =
            switch failure.code {
            case .diskFull, .cannotWrite, .windowTooLarge: .resources
            default: isShort ? .resources : .data
            }
        // What the system refused once it may grant the next time; damaged work files are left for who wants to look.
        self.init(
            code, message ?? failure.description, leavesWork: code == .resources || failure.errno != nil || isDamaged,
            remedies: isDamaged ? [.restart] : [])
    }

    /// Any error of a run.
    init(any error: any Error) {
        switch error {
        case let error as EngineError: self = error
        case let error as IOFailure: self.init(error)
        default: self.init(.fault, "\(error); please report this with the definition")
        }
    }
}
