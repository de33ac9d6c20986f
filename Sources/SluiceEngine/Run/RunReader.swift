import Glibc
public import SluiceCore
import SluiceIO

/// A finished run directory: answers what became of a record, and checks that everything is as it was written.
public struct RunReader: Sendable {
    public let path: String
    public let manifest: Report
    private let names: [String]
    private let fileSystem: FileSystem

    /// - Throws: `EngineError` with code `.definition` where the folder holds no finished run.
    public init(_ path: String) throws(EngineError) {
        self.path = path
        fileSystem = .local
        let name = RunDirectory.manifestName
        do {
            manifest = try Report(json: try fileSystem.contents(of: "\(path)/\(name)"))
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

    /// What a definition that comes from a manifest is called in messages.
    public static let definitionName = RunDirectory.manifestName

    /// Where two manifests differ, `timing` left out, in words.
    public static func differences(_ old: Report, _ new: Report) -> [String] {
        func deciding(_ manifest: Report) -> Report { .object(manifest.entries.filter { $0.key != "timing" }) }
        return Definition.differences(from: deciding(old), to: deciding(new))
    }

    // MARK: Why

    /// What became of one line of the input.
    public enum Fate: Sendable {
        /// Kept; with what the stages noted about it.
        case kept(Report?)
        /// Dropped: its line of the ledger.
        case dropped(Report)
        /// No good record: its line of the quarantine.
        case quarantined(Report)
    }

    /// Finds a line in ledger, quarantine and picks by binary search over their frames: a few milliseconds whatever
    /// the size of the run.
    ///
    /// - Parameter file: the name as in the manifest, or the end of it, whole path parts.
    public func fate(file: String, line: Int) throws(EngineError) -> Fate {
        let index = try fileIndex(file)
        let lines = manifest["inputs"]?.elements[index]["lines"]?.integerValue ?? 0
        guard line >= 1, line <= lines else {
            throw EngineError(.definition, "\(names[index]) has \(lines) lines; there is no line \(line)")
        }
        let ordinal = Ordinal(file: index, line: line)
        do {
            if let entry = try find(ordinal, in: "ledger.jsonl.zst") { return .dropped(entry) }
            if let entry = try find(ordinal, in: "quarantine.jsonl.zst") { return .quarantined(entry) }
            if try fileSystem.status(of: "\(path)/picks.jsonl.zst") != nil {
                guard let entry = try find(ordinal, in: "picks.jsonl.zst") else {
                    throw EngineError(.definition, "\(names[index]):\(line) is a blank line")
                }
                return .kept(entry)
            }
            return .kept(nil)
        } catch let error as EngineError {
            throw error
        } catch {
            throw EngineError(.data, "\(error)")
        }
    }

    private func fileIndex(_ file: String) throws(EngineError) -> Int {
        if let exact = names.firstIndex(of: file) { return exact }
        let matches = names.indices.filter { names[$0].hasSuffix("/" + file) || file.hasSuffix("/" + names[$0]) }
        guard let index = matches.first, matches.count == 1 else {
            if matches.count > 1 {
                throw EngineError(
                    .definition,
                    "`\(file)` may be \(matches.map { names[$0] }.joined(separator: " or ")); give more of the path")
            }
            let near = Registry.nearest(to: file, in: names).map { "; did you mean `\($0)`?" } ?? ""
            throw EngineError(.definition, "the run read no file `\(file)`\(near)")
        }
        return index
    }

    private func find(_ ordinal: Ordinal, in name: String) throws -> Report? {
        let reader = try ZstdSeekableReader("\(path)/\(name)", fileSystem: fileSystem)
        var frame: [UInt8] = []
        // The last frame whose first line is not past the ordinal.
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
        for line in frame.lines where try place(line) == ordinal { return try Report(json: Array(line)) }
        return nil
    }

    private func place(_ line: ArraySlice<UInt8>) throws -> Ordinal {
        let entry = try Report(json: Array(line))
        guard let file = entry["file"]?.textValue, let index = names.firstIndex(of: file),
            let line = entry["line"]?.integerValue
        else { throw EngineError(.data, "\(path): an entry names no place of the input") }
        return Ordinal(file: index, line: line)
    }

    // MARK: Verify

    /// What is not as the manifest says, in words; empty where all is well.
    ///
    /// Reads all inputs and outputs once.
    public func verify(inputFolder: String? = nil) throws -> [String] {
        var faults: [String] = []
        let folder = inputFolder ?? manifest["timing"]?["folder"]?.textValue ?? ""
        let stageFiles = (manifest["stage_files"]?.elements ?? []).filter { $0["content"] != .null }
        for input in (manifest["inputs"]?.elements ?? []) + stageFiles {
            guard let name = input["file"]?.textValue, name != "-" else { continue }
            let file = name.hasPrefix("/") || folder.isEmpty ? name : "\(folder)/\(name)"
            do throws(IOFailure) {
                let found = try fileSystem.digest(of: file).hash
                if "xxh3-128:" + hexadecimal(found) != input["content"]?.textValue {
                    faults.append("input \(name) is not the file that was read")
                }
            } catch {
                faults.append("input \(error)")
            }
        }
        for output in manifest["outputs"]?.elements ?? [] { faults += try verify(output: output) }
        return faults + account()
    }

    private func verify(output: Report) throws -> [String] {
        guard let name = output["file"]?.textValue else { return ["an output without a name"] }
        var faults: [String] = []
        do throws(IOFailure) {
            let found = try content(of: "\(path)/\(name)")
            if "xxh3-128:" + hexadecimal(found.hash) != output["content"]?.textValue {
                faults.append("\(name) is not what was written")
            }
            if found.lines != output["lines"]?.integerValue {
                faults.append("\(name) has \(found.lines) lines, and should have \(output["lines"]?.integerValue ?? 0)")
            }
        } catch {
            faults.append(error.description)
        }
        return faults
    }

    /// What the run's definition makes the file of the kept records be called.
    private var keptName: String {
        let word = manifest["definition"]?["output"]?["compression"]?.textValue
        return (word.flatMap(OutputCompression.init(rawValue:)) ?? .zstd).keptName
    }

    private func account() -> [String] {
        func count(_ key: String) -> Int { manifest["counts"]?[key]?.integerValue ?? 0 }
        func lines(_ name: String) -> Int {
            manifest["outputs"]?.elements.first { $0["file"]?.textValue == name }?["lines"]?.integerValue ?? 0
        }
        var faults: [String] = []
        if count("read") != count("kept") + count("dropped") + count("quarantined") {
            faults.append(
                "the account does not close: \(count("read")) read, \(count("kept")) kept, \(count("dropped")) dropped, \(count("quarantined")) quarantined"
            )
        }
        let pairs = [
            (keptName, "kept"), ("ledger.jsonl.zst", "dropped"), ("quarantine.jsonl.zst", "quarantined"),
        ]
        for (name, key) in pairs where lines(name) != count(key) {
            faults.append("\(name) has \(lines(name)) lines for \(count(key)) records \(key)")
        }
        return faults
    }

    private func content(of file: String) throws(IOFailure) -> (hash: ContentHash, lines: Int) {
        let source = try fileSystem.openInput(file)
        var stream = XXHashStream()
        var lines = 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        while true {
            let count = try source.read(into: buffer)
            if count == 0 { return (stream.digest128, lines) }
            let part = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            stream.update(part)
            lines += part.lineEnds
        }
    }
}

extension UnsafeRawBufferPointer {
    fileprivate var lineEnds: Int { reduce(0) { $0 + ($1 == 0x0A ? 1 : 0) } }
}

extension [UInt8] {
    /// The lines, without their ends.
    fileprivate var lines: some Sequence<ArraySlice<UInt8>> { self.split(separator: 0x0A).lazy }
}
