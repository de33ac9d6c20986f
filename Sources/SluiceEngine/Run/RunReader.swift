import Glibc
public import SluiceCore
public import SluiceIO

/// A finished run directory: reports what became of a record, and verifies the files.
///
/// Writes nothing. If a run is currently publishing its result, or was stopped while doing so, the reader reads the new
/// result, never a mixture.
public struct RunReader: Sendable {
    public let path: String
    public let manifest: JSONValue
    let names: [String]
    let fileSystem: FileSystem
    /// Has the inputs of the run.
    let store: any InputStore
    /// The manifest's bytes as read.
    private let manifestBytes: [UInt8]

    /// - Parameter store: has the inputs of the run.
    /// - Throws: `EngineError` with code `.definition` if the folder has no finished run.
    public init(_ path: String, store: any InputStore = FileSystem.local) throws(EngineError) {
        self.path = path
        self.store = store
        fileSystem = .local
        let name = ResultFile.manifest
        do {
            manifestBytes = try Self.manifestBytes(path, fileSystem)
            manifest = try JSONValue(json: manifestBytes)
        } catch let failure as IOFailure {
            let isMissing = failure.errno == ENOENT || failure.errno == ENOTDIR
            throw EngineError(
                .definition,
                "\(path) holds no finished run: \(isMissing ? "there is no \(name) in it" : failure.description)")
        } catch {
            throw EngineError(.definition, "\(path) holds no finished run: its \(name) is damaged (\(error))")
        }
        names = (manifest["inputs"]?.elements ?? []).compactMap { $0["file"]?.textValue }
    }

    private static func pendingFolder(_ path: String) -> String {
        "\(path)/\(RunDirectory.workName)/\(RunDirectory.resultName)"
    }

    private static func manifestBytes(_ path: String, _ fileSystem: FileSystem) throws(IOFailure) -> [UInt8] {
        let pending = "\(pendingFolder(path))/\(ResultFile.manifest)"
        if let bytes = try? fileSystem.contents(of: pending) { return bytes }
        return try fileSystem.contents(of: "\(path)/\(ResultFile.manifest)")
    }

    /// The current path of a file of the result.
    package func file(_ name: String) -> String {
        let pending = Self.pendingFolder(path)
        func isThere(_ file: String) -> Bool { (try? fileSystem.status(of: file)) ?? nil != nil }
        return isThere("\(pending)/\(ResultFile.manifest)") && isThere("\(pending)/\(name)")
            ? "\(pending)/\(name)" : "\(path)/\(name)"
    }

    /// Fails if the result was replaced after this reader was made: the data read since then may be of both results.
    ///
    /// - Throws: `EngineError` with code `.data`.
    package func expectSameResult() throws(EngineError) {
        guard let now = try? Self.manifestBytes(path, fileSystem), now == manifestBytes else {
            throw EngineError(.data, "\(path): its result was replaced while it was read; try again")
        }
    }

    /// The name, in messages, of a definition taken from a manifest.
    public static let definitionName = ResultFile.manifest

    /// Differences between two manifests, except `timing` and digests of the whole, as phrases.
    public static func differences(_ old: JSONValue, _ new: JSONValue) -> [String] {
        func deciding(_ manifest: JSONValue) -> JSONValue {
            .object(manifest.entries.filter { $0.key != "timing" && $0.key != "digest" })
        }
        return Definition.differences(from: deciding(old), to: deciding(new))
    }

    // MARK: Why

    /// The fate of one line of the input.
    public enum Fate: Sendable {
        /// Kept, with the stages' notes about it.
        case kept(JSONValue?)
        /// Dropped, with its line of the ledger.
        case dropped(JSONValue)
        /// Malformed, with its line of the quarantine.
        case quarantined(JSONValue)
    }

    /// Finds a line in ledger, quarantine and picks by binary search over their frames: in a few milliseconds for runs
    /// of any size.
    ///
    /// - Parameter file: the name as in the manifest, or its last path components.
    /// - Throws: `EngineError`; with code `.data` if a file of the result is shorter than the manifest states, since
    ///   the line
    /// might then be missing from it.
    public func fate(file: String, line: Int) throws(EngineError) -> Fate {
        let index = try fileIndex(file)
        let lines = manifest["inputs"]?.elements[index]["lines"]?.integerValue ?? 0
        guard line >= 1, line <= lines else {
            throw EngineError(
                .definition, "\(Printable.name(names[index])) has \(lines) lines; there is no line \(line)")
        }
        do {
            let found = try fate(Ordinal(file: index, line: line))
            try expectSameResult()
            return found
        } catch let error as EngineError {
            throw error
        } catch {
            throw EngineError(.data, "\(error)")
        }
    }

    private func fate(_ ordinal: Ordinal) throws -> Fate {
        if let entry = try find(ordinal, in: ResultFile.ledger) { return .dropped(entry) }
        if let entry = try find(ordinal, in: ResultFile.quarantine) { return .quarantined(entry) }
        guard manifest.outputNames.contains(ResultFile.picks) else { return .kept(nil) }
        guard let entry = try find(ordinal, in: ResultFile.picks) else {
            throw EngineError(.definition, "\(Printable.name(names[ordinal.file])):\(ordinal.line) is a blank line")
        }
        return .kept(entry)
    }

    private func fileIndex(_ file: String) throws(EngineError) -> Int {
        if let exact = names.firstIndex(of: file) { return exact }
        let matches = names.indices.filter { names[$0].hasSuffix("/" + file) || file.hasSuffix("/" + names[$0]) }
        guard let index = matches.first, matches.count == 1 else {
            if matches.count > 1 {
                throw EngineError(
                    .definition,
                    "`\(Printable.name(file))` may be \(matches.prefix(5).map { Printable.name(names[$0]) }.joined(separator: " or ")); give more of the path"
                )
            }
            let near = Registry.nearest(to: file, in: names).map { "; did you mean `\(Printable.name($0))`?" } ?? ""
            throw EngineError(.definition, "the run did not read a file `\(Printable.name(file))`\(near)")
        }
        return index
    }

    private func find(_ ordinal: Ordinal, in name: String) throws -> JSONValue? {
        let reader = try ZstdSeekableReader(file(name), fileSystem: fileSystem)
        let written = manifest["outputs"]?.elements.first { $0["file"]?.textValue == name }?["bytes"]?.integerValue
        guard let written, reader.contentSize == written else {
            throw EngineError(
                .data,
                "\(file(name)) holds \(reader.contentSize) bytes of lines, but the run wrote \(written ?? 0): it is damaged and can't answer"
            )
        }
        var frame: [UInt8] = []
        // The last frame whose first line is not after the ordinal.
        var low = 0
        var high = reader.frameCount
        while low < high {
            let middle = (low + high) / 2
            try reader.read(frame: middle, into: &frame)
            guard let first = frame.lines.first(where: { _ in true }), try place(first) <= ordinal else {
                high = middle
                continue
            }
            low = middle + 1
        }
        guard low > 0 else { return nil }
        try reader.read(frame: low - 1, into: &frame)
        for line in frame.lines where try place(line) == ordinal { return try JSONValue(json: Array(line)) }
        return nil
    }

    private func place(_ line: ArraySlice<UInt8>) throws -> Ordinal {
        let entry = try JSONValue(json: Array(line))
        guard let file = entry["file"]?.textValue, let index = names.firstIndex(of: file),
            let line = entry["line"]?.integerValue
        else { throw EngineError(.data, "\(path): an entry has no valid position in the input") }
        return Ordinal(file: index, line: line)
    }
}

extension [UInt8] {
    /// The lines without their line ends.
    fileprivate var lines: some Sequence<ArraySlice<UInt8>> { self.split(separator: 0x0A).lazy }
}
