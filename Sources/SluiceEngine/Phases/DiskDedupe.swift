import SluiceCore
import SluiceIO

/// The dedupe of a run whose table does not fit in memory: passes over the input that find the duplicates on disk.
final class DiskDedupe {
    private let run: RunContext
    /// The facts about the files when the dedupe read them; empty if it didn't.
    private(set) var files: [Int: FileFacts] = [:]

    init(_ run: RunContext) { self.run = run }

    private var folder: String { "\(run.work)/dedupe" }
    private var share: Int { run.options.dedupeBytes ?? run.shares.dedupe }

    /// The facts about the files when the dedupe read them: its result is about that content, not about the current
    /// one.
    private var factsPath: String { "\(run.work)/deduped-files" }

    /// The duplicates that a stopped run had already found, or had found in part.
    func known() throws -> DuplicateStream? {
        guard let read = try run.sealed.read([Int: FileFacts].self, from: factsPath) else { return nil }
        if let duplicates = try known("duplicates") {
            files = read
            return duplicates
        }
        guard let candidates = try known("candidates") else { return nil }
        files = read
        return try compareContents(candidates)
    }

    /// A complete intermediate result of the dedupe of a stopped run.
    private func known(_ name: String) throws -> DuplicateStream? {
        let path = "\(folder)/\(name)"
        guard run.definition.input.dedupe != nil, try run.fileSystem.status(of: path) != nil else { return nil }
        let file = try DuplicateStream(path, fileSystem: run.fileSystem)
        // Read completely, to verify the checksum before any of it is used.
        while try file.next() != nil {}
        return try DuplicateStream(path, fileSystem: run.fileSystem)
    }

    func find(after overflow: Deduper.Overflow) throws -> DuplicateStream {
        if let stream = run.catalog.stream {
            let held = run.comparesContents ? ", whose contents it holds because of `verify: bytes`" : ""
            throw EngineError(
                .resources,
                "the dedupe of \(stream.described) outgrew its \(MemorySize.describe(overflow.share)) after \(overflow.records) distinct records\(held); raise `memory`, or give a file, which can be read twice"
            )
        }
        let leases = try run.begin("dedupe", bytes: Int(run.catalog.totalSize), run.shares.spilling)
        defer { leases.giveBack() }
        if try run.fileSystem.status(of: folder) != nil { try run.fileSystem.removeTree(folder) }
        let spill = try DedupeSpill(
            folder: folder, memory: share,
            // Once the input has been read, no long record needs its memory.
            sortMemory: run.options.dedupeBytes ?? run.shares.dedupe + run.shares.long, fileSystem: run.fileSystem)
        let input = run.inputPass(InputPass.Request())
        try HashPass(run: run, input: input).process { try spill.append($0, $1) }
        files = input.readFiles
        try run.sealed.write(files, to: factsPath)
        try spill.finish()
        guard run.comparesContents else { return try spill.resolve() }
        let candidates = try spill.candidates()
        // The next pass takes its own leases.
        leases.giveBack()
        return try compareContents(candidates)
    }

    /// One more pass, for records that share only a hash.
    private func compareContents(_ candidates: DuplicateStream) throws -> DuplicateStream {
        let leases = try run.begin("comparing", bytes: Int(run.catalog.totalSize), run.shares.comparing)
        defer { leases.giveBack() }
        let input = run.inputPass(InputPass.Request(expected: files))
        let comparison = try ContentComparison(
            folder: folder, memory: share, fileSystem: run.fileSystem)
        let pass = try ContentPass(input, candidates, run.truncatedHash) { group, mark, ordinal, content in
            try comparison.append(group: group, mark: mark, ordinal, content)
        }
        try pass.run(on: run.pool, limit: run.shares.blocks, lanes: run.shares.streams, isStopped: run.isStopped)
        return try comparison.resolve { [run] in if run.isStopped() { throw EngineError.stopped } }
    }
}
