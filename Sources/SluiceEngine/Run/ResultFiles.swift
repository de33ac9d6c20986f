import Glibc
import SluiceCore
import SluiceIO

/// The names of a result's files in the run directory: the only list of them.
package enum ResultFile {
    package static let manifest = "run.json"
    package static let ledger = "ledger.jsonl.zst"
    package static let quarantine = "quarantine.jsonl.zst"
    package static let picks = "picks.jsonl.zst"

    /// All of them; a result may lack some.
    package static let all =
        [manifest, ledger, quarantine, picks, VectorExport.vectorFile, VectorExport.idFile]
        + OutputCompression.allCases.map(\.keptName)
}

/// A result before its files have their final names.
///
/// A run writes its files into a separate folder below `work/`, so an earlier result stays unchanged. Once all files
/// are complete and on disk, `run.json` is written to that folder: this is the commit. From then on the new result is
/// the valid one, wherever each of its files is, and `publish` moves them to their final names, `run.json` last. If the
/// run stops in between, final names have files of both results, and `run.json` in this folder shows that: readers
/// follow it (`RunReader`), and the next run on the directory first publishes the rest.
struct ResultFiles {
    /// The folder where the run writes its files.
    let folder: String
    /// The folder of their final names.
    let target: String
    let fileSystem: FileSystem

    private var manifestPath: String { "\(folder)/\(ResultFile.manifest)" }

    /// Whether a complete result is waiting to be published.
    func isCommitted() throws(IOFailure) -> Bool { try fileSystem.status(of: manifestPath) != nil }

    /// Makes the new result the valid one. All other files must be in the folder, complete and flushed.
    func commit(_ manifest: JSONValue) throws(IOFailure) {
        try fileSystem.write(Array(manifest.prettyJSON.utf8), to: manifestPath)
    }

    /// Moves a committed result to its final names and removes files of the earlier one. Also completes a stopped move.
    func publish(_ manifest: JSONValue) throws(IOFailure) {
        let names = manifest.outputNames
        try fileSystem.remove("\(folder)/\(SinkRows.fileName)")
        for name in names.filter({ !SinkFolder.owns($0) }) where try fileSystem.status(of: "\(folder)/\(name)") != nil {
            try fileSystem.rename("\(folder)/\(name)", to: "\(target)/\(name)")
        }
        for name in ResultFile.all where name != ResultFile.manifest && !names.contains(name) {
            try fileSystem.remove("\(target)/\(name)")
        }
        let earlier = try earlier()
        try KeptModels.publish(manifest, after: earlier, from: folder, to: target, fileSystem)
        try SinkFolder.publish(manifest, after: earlier, from: folder, to: target, fileSystem)
        // Flush the files before the manifest that lists them.
        try fileSystem.flushFolder(target)
        try fileSystem.rename(manifestPath, to: "\(target)/\(ResultFile.manifest)")
        try fileSystem.flushFolder(target)
    }

    /// The manifest of the result before; nil if there is none that can be understood.
    private func earlier() throws(IOFailure) -> JSONValue? {
        let path = "\(target)/\(ResultFile.manifest)"
        guard try fileSystem.status(of: path) != nil else { return nil }
        let bytes = try fileSystem.contents(of: path)
        return try? JSONValue(json: bytes)
    }

    /// A result that a stopped process committed but did not publish, verified byte for byte; nil if there is none.
    ///
    /// - Throws: `IOFailure` with code `.corruptWorkFile` if one of its files is not as written.
    func committed() throws -> JSONValue? {
        guard try isCommitted() else { return nil }
        guard let manifest = try? JSONValue(json: try fileSystem.contents(of: manifestPath)),
            Manifest.sealFaults(manifest).isEmpty
        else { throw IOFailure(.corruptWorkFile, path: manifestPath, found: "the result's manifest is damaged") }
        for output in manifest["outputs"]?.elements ?? [] {
            let name = output["file"]?.textValue ?? ""
            let waits = try fileSystem.status(of: "\(folder)/\(name)") != nil
            let path = waits ? "\(folder)/\(name)" : "\(target)/\(name)"
            let found = try? ContentFacts(of: path, fileSystem: fileSystem)
            guard let found, found.digest == output["content"]?.textValue else {
                throw IOFailure(.corruptWorkFile, path: path, found: "it differs from what was written")
            }
        }
        for model in (manifest["models"]?.elements ?? []) + (manifest["exports"]?.elements ?? []) {
            let name = model["file"]?.textValue ?? ""
            let waits = try fileSystem.status(of: "\(folder)/\(name)") != nil
            let path = waits ? "\(folder)/\(name)" : "\(target)/\(name)"
            let found = try? fileSystem.digest(of: path).hash
            guard let found, "xxh3-128:" + hexadecimal(found) == model["content"]?.textValue else {
                throw IOFailure(.corruptWorkFile, path: path, found: "it differs from what was written")
            }
        }
        return manifest
    }
}

extension JSONValue {
    /// The files listed in a manifest, without the manifest itself.
    var outputNames: [String] {
        ((self["outputs"]?.elements ?? []) + (self["exports"]?.elements ?? [])).compactMap { $0["file"]?.textValue }
    }
}

/// Digest, lines and bytes of a file's unpacked content.
struct ContentFacts {
    private(set) var lines = 0
    private(set) var bytes = 0
    let hash: String

    /// In the form used in manifests.
    var digest: String { "xxh3-128:" + hash }

    /// Reads the file once.
    ///
    /// - Parameter seen: called with each piece of the content.
    init(
        of path: String, fileSystem: FileSystem, seen: (UnsafeRawBufferPointer) -> Void = { _ in }
    ) throws(IOFailure) {
        let source = try fileSystem.openInput(path)
        var stream = XXHashStream()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        while case let count = try source.read(into: buffer), count > 0 {
            let part = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            stream.update(part)
            seen(part)
            bytes += count
            lines += part.lineEnds
        }
        hash = hexadecimal(stream.digest128)
    }
}

extension UnsafeRawBufferPointer {
    fileprivate var lineEnds: Int { reduce(0) { $0 + ($1 == 0x0A ? 1 : 0) } }
}
