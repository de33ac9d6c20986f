import Glibc
package import SluiceCore
package import SluiceIO

/// The input files in order, with the names used in messages, ledger and manifest.
package struct InputCatalog: Sendable {
    package struct File: Sendable, Hashable {
        /// The path to open; `-` is standard input.
        package let path: String
        /// The name of the file: its path relative to the definition, so that the ledger doesn't depend on where the
        /// definition's folder is.
        package let name: String
        package let status: InputStatus

        /// Bytes as stored; 0 for standard input.
        package var size: UInt64 { status.size }
        /// Whether it can be read only once: standard input, a pipe, a device.
        package var isStream: Bool { status.isStream }

        /// The name as messages show it.
        package var shown: String { Printable.name(name, most: Printable.longestLine) }
    }

    package private(set) var files: [File] = []
    /// Where the files are.
    package private(set) var store: any InputStore
    /// Other names of those files, which are not read.
    private var otherNames: [(path: String, name: String)] = []
    /// Warnings about the files, known before they are read.
    package private(set) var warnings: [String] = []

    /// Expands the globs of a definition and sorts all files by the bytes of their names. A file with several names,
    /// through links or spelling, is read once, under the first of them.
    ///
    /// - Throws: `EngineError` with code `.definition` if a glob matches nothing, `.data` if a file can't be read.
    package init(_ input: InputSpec, store: any InputStore) throws(EngineError) {
        self.store = store
        var known: [[UInt8]: String] = [:]
        do {
            let named = try paths(of: input).map { (path: $0, name: input.name(of: $0)) }
            for (path, name) in named.sorted(by: { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }) {
                try add(path, name, &known)
            }
        } catch {
            throw EngineError(any: error)
        }
        if let limit = input.limit { try end(after: limit, maxRecord: input.maxRecord) }
        guard files.count <= Ordinal.maximumFiles else {
            throw EngineError(
                .definition, "\(files.count) input files are too many; join them into at most \(Ordinal.maximumFiles)")
        }
    }

    /// An input that need not exist: so many stored bytes in files of a part each.
    ///
    /// - Parameter bytes: at least 1.
    init(assuming bytes: Int, store: any InputStore) {
        self.store = store
        let most = InputParts.usualBytes(for: UInt64(bytes))
        files = stride(from: 0, to: bytes, by: most).enumerated().map { number, start in
            let name = "assumed-\(number)"
            return File(
                path: name, name: name, status: InputStatus(size: UInt64(min(most, bytes - start)), version: ""))
        }
    }

    /// Ends the input after the first records.
    private mutating func end(after limit: Int, maxRecord: Int) throws(EngineError) {
        do {
            let first = try FirstRecords(limit, of: files.map(\.path), in: store, maxRecord: maxRecord)
            files = try files.map {
                File(path: $0.path, name: $0.name, status: try first.status(ofInput: $0.path) ?? $0.status)
            }
            store = first
        } catch {
            throw EngineError(any: error)
        }
    }

    /// The files that the patterns match, each once. By their bytes, since two names may be equal as texts.
    private func paths(of input: InputSpec) throws -> [String] {
        var paths: [[UInt8]: String] = [:]
        var missing: [String] = []
        for pattern in input.files {
            guard pattern != "-" || input.files.count == 1 else {
                throw EngineError(.definition, "standard input `-` can't be mixed with files; name one or the other")
            }
            let matches = try store.inputs(matching: pattern)
            if matches.isEmpty {
                missing.append(
                    "input `\(Printable.name(pattern))` \(Self.isPattern(pattern) ? "matches no file" : "does not exist")"
                )
            }
            for path in matches { paths[Array(path.utf8)] = path }
        }
        guard missing.isEmpty else {
            let list = missing.prefix(Self.named).joined(separator: "\n")
            let more = missing.count > Self.named ? "\nand \(missing.count - Self.named) more" : ""
            throw EngineError(.definition, "\(list)\(more); check the name\(missing.count == 1 ? "" : "s")")
        }
        return paths.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map(\.value)
    }

    /// Adds a file, or notes that it is a known one under another name.
    private mutating func add(
        _ path: String, _ name: String, _ known: inout [[UInt8]: String]
    ) throws(IOFailure) {
        guard let status = try store.status(ofInput: path) else {
            throw IOFailure(.cannotOpen, path: path, found: "there is no such file", advice: "Check the name.")
        }
        guard !status.isFolder else {
            throw IOFailure(
                .cannotRead, path: path, found: "it is a folder",
                advice: "Name the files in it, for instance by adding `/*.jsonl.zst` to its name.")
        }
        let identity = Array((status.identity ?? path).utf8)
        if let first = known[identity] {
            warnings.append(
                "\(Printable.name(name)) is the same file as \(Printable.name(first)); it is read once, as \(Printable.name(first))"
            )
            otherNames.append((path, name))
            return
        }
        known[identity] = name
        files.append(File(path: path, name: name, status: status))
    }

    /// Refuses inputs in the output directory, however they are named: a run must not replace its own input, nor read
    /// the output of an earlier run.
    ///
    /// - Throws: `EngineError` with code `.definition`.
    func refuseInputs(in directory: String) throws(EngineError) {
        guard let output = Place(directory) else { return }
        var known: [String: Bool] = [:]
        for (path, name) in files.map({ ($0.path, $0.name) }) + otherNames where path != "-" {
            // The folder of the name, and the folder of the file itself.
            let folders = [Path.folder(of: path), resolved(path).map(Path.folder(of:))].compactMap { $0 }
            for folder in folders {
                let isInside = known[folder] ?? output.contains(folder)
                known[folder] = isInside
                guard isInside else { continue }
                throw EngineError(
                    .definition,
                    "input \(name) is in the output directory \(directory); write to another directory, or move the input out of it"
                )
            }
        }
    }

    /// An input that can't be read twice.
    package var stream: File? { files.first { $0.isStream } }

    /// - Throws: `EngineError` with code `.definition` if stages need the input twice and a part of it can be read only
    ///   once, or if the output wants vectors that are not kept so long.
    func checkReadings(_ pieces: [StageWork], _ output: OutputSpec) throws(EngineError) {
        if output.vectors != nil, pieces.allSatisfy(\.isTransform) {
            throw EngineError(
                .definition,
                "`output.vectors` goes with a stage that learns or chooses, such as `coreset`; without one, `sluice vectors` writes the vectors of the finished run"
            )
        }
        guard let stream, let later = pieces.first(where: { !$0.isTransform }) else { return }
        throw EngineError(
            .definition,
            "stage `\(later.link.label)` needs to read the input twice, and \(stream.described) can be read only once; write it to a file first"
        )
    }
    package var totalSize: UInt64 { files.reduce(0) { $0 + $1.size } }

    /// The most missing inputs named in a message.
    private static let named = 10

    static func isPattern(_ text: String) -> Bool { text.contains { "*?[{".contains($0) } }
}

/// A folder identified by device and inode: equal for all of its names.
private struct Place {
    private let device: dev_t
    private let inode: ino_t

    /// Nil if it doesn't exist.
    init?(_ path: String) {
        var status = Glibc.stat()
        guard fstatat(AT_FDCWD, path, &status, 0) == 0 else { return nil }
        (device, inode) = (status.st_dev, status.st_ino)
    }

    /// Whether `folder` is this folder or inside it.
    func contains(_ folder: String) -> Bool {
        guard var path = resolved(folder) else { return false }
        while true {
            if let place = Place(path), place.device == device, place.inode == inode { return true }
            if path == "/" { return false }
            path = Path.folder(of: path)
        }
    }
}

/// The absolute path without links; nil if it doesn't exist.
private func resolved(_ path: String) -> String? {
    guard let found = realpath(path, nil) else { return nil }
    defer { free(found) }
    return String(cString: found)
}

extension InputCatalog.File {
    /// Its name in messages.
    var described: String { path == "-" ? "standard input" : "\(Printable.name(name)), which is not a regular file," }
}

extension EngineError {
    /// A failure of a file: data if an input is at fault, resources if the disk or the system is.
    ///
    /// - Parameter message: replaces the failure's description.
    init(_ failure: IOFailure, message: String? = nil) {
        if failure.code == .stopped {
            self = .stopped
            return
        }
        var failure = failure
        let isDamaged = failure.code == .corruptWorkFile || failure.code == .wrongColumn
        if isDamaged { failure.advice = "" }
        let isPassing = failure.errno.map { [EMFILE, ENFILE, ENOMEM, ESTALE].contains($0) } ?? false
        let code: Code =
            switch failure.code {
            case .diskFull, .cannotWrite, .windowTooLarge, .tooManyAnswers: .resources
            case .stopped: .stopped
            default: isPassing ? .resources : .data
            }
        // A refused system call may succeed the next time; damaged work files are left for inspection.
        self.init(
            code, message ?? (failure.code == .stopped ? EngineError.stopped.message : failure.description),
            leavesWork: code == .resources || code == .stopped || failure.errno != nil || isDamaged
                || failure.code == .damagedAnswers,
            remedies: isDamaged || failure.code == .changed ? [.restart] : [])
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
