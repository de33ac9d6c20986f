public import SluiceCore

/// Writes the hashes of a part: 24 bytes for each record, sorted by hash and ordinal, by bucket.
public final class HashWriter {
    private let shuffle: DedupeShuffle
    private let file: DedupeShuffle.File
    private let path: String
    private let scratch: ScratchFolder
    private let sorter: TripleSorter
    public private(set) var count: UInt64 = 0

    fileprivate init(_ shuffle: DedupeShuffle, part: Int, path: String) throws(IOFailure) {
        self.shuffle = shuffle
        self.path = path
        file = .hashes(part: part)
        scratch = shuffle.scratchFolder()
        // Sorting needs half as much on top.
        sorter = TripleSorter(
            stem: "\(try scratch.make())/hashes", memory: shuffle.memory * 2 / 3, fileSystem: shuffle.fileSystem)
    }

    /// Adds a record. The order doesn't matter.
    ///
    /// - Parameter ordinal: below `UInt64.max`; may be relative to the part (see `PartOrdinals.added`).
    public func append(_ hash: ContentHash, _ ordinal: UInt64) throws(IOFailure) {
        try sorter.append(Triple(a: hash.high, b: hash.low, c: ordinal))
        count += 1
    }

    /// Sorts the hashes and writes the file. Call it once.
    ///
    /// - Parameter isStopped: asked often.
    /// - Throws: `.stopped` if asked to stop.
    public func finish(isStopped: () -> Bool = { false }) throws(IOFailure) {
        defer { scratch.remove() }
        var writer = try SectionFileWriter(path, shuffle.label(of: file), fileSystem: shuffle.fileSystem)
        try sorter.merge { row throws(IOFailure) in
            if writer.total % MergeLimits.rowsUntilCheck == 0 { try MergeLimits.check(isStopped, path) }
            try writer.begin(section: shuffle.bucket(of: row.a))
            try writer.append(row, .hash)
        }
        try writer.finish()
    }
}

extension DedupeShuffle {
    /// Starts the file of a part's hashes. Nothing stands at `path` until the writer has finished.
    ///
    /// Cost: one sort. Temporary disk: 24 bytes for each record, unless 36 bytes for each fit in `memory`.
    public func hashWriter(part: Int, path: String) throws(IOFailure) -> HashWriter {
        precondition(part >= 0 && part < parts, "the shuffle has no such part")
        return try HashWriter(self, part: part, path: path)
    }

    /// Finds the records of a bucket whose hash an earlier record has.
    ///
    /// - Parameters:
    ///   - hashes: the files of all parts, in order, as written by `hashWriter`.
    ///   - ordinals: the ordinals of all parts; a record outside of its part is refused as damage.
    ///   - path: the file to write: 16 bytes for each duplicate, by part, sorted by ordinal.
    ///   - isStopped: asked often.
    /// - Returns: the number of duplicates.
    /// - Throws: `.corruptWorkFile` for a damaged or foreign file; `.stopped`.
    @discardableResult
    public func findDuplicates(
        bucket: Int, hashes: [String], ordinals: [PartOrdinals], to path: String,
        isStopped: () -> Bool = { false }
    ) throws(IOFailure) -> UInt64 {
        try resolve(.duplicates(bucket: bucket), bucket, hashes, ordinals, path, isStopped)
    }

    /// Finds the records of a bucket that share their hash with another record; see `candidates(of:in:)`. Otherwise like
    /// `findDuplicates`.
    @discardableResult
    public func findCandidates(
        bucket: Int, hashes: [String], ordinals: [PartOrdinals], to path: String,
        isStopped: () -> Bool = { false }
    ) throws(IOFailure) -> UInt64 {
        try resolve(.candidates(bucket: bucket), bucket, hashes, ordinals, path, isStopped)
    }

    private func resolve(
        _ file: File, _ bucket: Int, _ hashes: [String], _ ordinals: [PartOrdinals], _ path: String,
        _ isStopped: () -> Bool
    ) throws(IOFailure) -> UInt64 {
        precondition(hashes.count == parts && ordinals.count == parts, "each part has a file and ordinals")
        let folder = scratchFolder()
        defer { folder.remove() }
        let found = TripleSorter(
            stem: "\(try folder.make())/found", memory: memory / 3, fileSystem: fileSystem)
        let sections = hashes.enumerated().map { part, path in
            let end = part + 1 < parts ? ordinals[part + 1].first : .max
            return RowSection(
                path: path, label: label(of: .hashes(part: part)), section: bucket, kind: .hash,
                added: ordinals[part].added, ordinals: ordinals[part].first..<max(end, ordinals[part].first))
        }
        let merge = try RowMerge(
            sections, memory: memory / 2, scratch: folder, fileSystem: fileSystem, isStopped: isStopped)
        var repeated = RepeatedHashes(withFirsts: file == .candidates(bucket: bucket))
        var count: UInt64 = 0
        while let row = try merge.next() {
            if count % MergeLimits.rowsUntilCheck == 0 { try MergeLimits.check(isStopped, path) }
            count += 1
            try repeated.take(row) { pair throws(IOFailure) in try found.append(pair) }
        }
        return try PartSections.write(found, to: path, label(of: file), ordinals, fileSystem: fileSystem)
    }
}
