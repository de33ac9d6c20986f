import Glibc
import SluiceCore
import SluiceIO

/// The files of a result, by their names in the run directory: the one list of them.
package enum ResultFile {
    package static let manifest = "run.json"
    package static let ledger = "ledger.jsonl.zst"
    package static let quarantine = "quarantine.jsonl.zst"
    package static let picks = "picks.jsonl.zst"

    /// All of them; a result may lack some.
    package static let all = [manifest, ledger, quarantine, picks] + OutputCompression.allCases.map(\.keptName)
}

/// A result on its way to its final names.
///
/// A run writes its files into a folder of their own, below `work/`, so an earlier result stays untouched beside them. When all
/// are whole and on the disk, `run.json` appears in that folder: this is the commit. From then on the new result counts,
/// wherever each of its files stands, and `publish` moves them to their final names, `run.json` last. A stop in the
/// midst of that leaves files of both results under final names, and `run.json` in this folder to tell: readers go by
/// it (`RunReader`), and the next run on the directory publishes the rest before anything else.
struct ResultFiles {
    /// Where the run writes its files.
    let folder: String
    /// Where their final names are.
    let target: String
    let fileSystem: FileSystem

    private var manifestPath: String { "\(folder)/\(ResultFile.manifest)" }

    /// Whether a whole result waits here to be published.
    func isCommitted() throws(IOFailure) -> Bool { try fileSystem.status(of: manifestPath) != nil }

    /// Makes the new result count. All other files stand in the folder, whole and flushed.
    func commit(_ manifest: Report) throws(IOFailure) {
        try fileSystem.write(Array(manifest.prettyJSON.utf8), to: manifestPath)
    }

    /// Moves a committed result to its final names; files of an earlier one go. Does the rest where it was stopped before.
    func publish(_ manifest: Report) throws(IOFailure) {
        let names = manifest.outputNames
        for name in names where try fileSystem.status(of: "\(folder)/\(name)") != nil {
            try fileSystem.rename("\(folder)/\(name)", to: "\(target)/\(name)")
        }
        for name in ResultFile.all where name != ResultFile.manifest && !names.contains(name) {
            try fileSystem.remove("\(target)/\(name)")
        }
        // The files before what vouches for them.
        try fileSystem.flushFolder(target)
        try fileSystem.rename(manifestPath, to: "\(target)/\(ResultFile.manifest)")
        try fileSystem.flushFolder(target)
    }

    /// What a stopped process committed and did not publish, checked byte for byte; nil where there is nothing of the kind.
    ///
    /// - Throws: `IOFailure` with code `.corruptWorkFile` where a file of it is not what was written.
    func committed() throws -> Report? {
        guard try isCommitted() else { return nil }
        guard let manifest = try? Report(json: try fileSystem.contents(of: manifestPath)),
            Manifest.sealFaults(manifest).isEmpty
        else { throw IOFailure(.corruptWorkFile, path: manifestPath, found: "the result's account is damaged") }
        for output in manifest["outputs"]?.elements ?? [] {
            let name = output["file"]?.textValue ?? ""
            let waits = try fileSystem.status(of: "\(folder)/\(name)") != nil
            let path = waits ? "\(folder)/\(name)" : "\(target)/\(name)"
            let found = try? ContentFacts(of: path, fileSystem: fileSystem)
            guard let found, found.digest == output["content"]?.textValue else {
                throw IOFailure(.corruptWorkFile, path: path, found: "it is not what was written")
            }
        }
        return manifest
    }
}

extension Report {
    /// The files that a manifest speaks of, without itself.
    var outputNames: [String] { (self["outputs"]?.elements ?? []).compactMap { $0["file"]?.textValue } }
}

/// Digest and lines of what a file holds, unpacked.
struct ContentFacts {
    private(set) var lines = 0
    private(set) var bytes = 0
    /// As manifests write it.
    let digest: String

    /// Reads the file once.
    init(of path: String, fileSystem: FileSystem) throws(IOFailure) {
        let source = try fileSystem.openInput(path)
        var stream = XXHashStream()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        while case let count = try source.read(into: buffer), count > 0 {
            let part = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            stream.update(part)
            bytes += count
            lines += part.lineEnds
        }
        digest = "xxh3-128:" + hexadecimal(stream.digest128)
    }
}

extension UnsafeRawBufferPointer {
    fileprivate var lineEnds: Int { reduce(0) { $0 + ($1 == 0x0A ? 1 : 0) } }
}
