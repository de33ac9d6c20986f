public import SluiceCore

/// Writes the contents of a part's candidates, compressed, by bucket.
public final class ContentWriter {
    private let shuffle: DedupeShuffle
    private let file: DedupeShuffle.File
    private let path: String
    private let scratch: ScratchFolder
    private let contents: ContentSorter
    public private(set) var count: UInt64 = 0

    fileprivate init(_ shuffle: DedupeShuffle, part: Int, path: String) throws(IOFailure) {
        self.shuffle = shuffle
        self.path = path
        file = .contents(part: part)
        scratch = shuffle.scratchFolder()
        contents = try ContentSorter(
            folder: try scratch.make(), memory: shuffle.memory, fileSystem: shuffle.fileSystem)
    }

    /// Adds a candidate. The order doesn't matter.
    ///
    /// - Parameters:
    ///   - group: the first record with the same hash (`Duplicate.kept` of the candidate).
    ///   - mark: the second hash of the content; see `ContentComparison.mark`.
    ///   - ordinal: the record's absolute ordinal (`Duplicate.ordinal` of the candidate).
    public func append(
        group: UInt64, mark: ContentHash, _ ordinal: UInt64, _ content: UnsafeRawBufferPointer
    ) throws(IOFailure) {
        let key = ContentKey(group: ContentShuffle.spread(group), mark: mark, ordinal: ordinal)
        try contents.append(key, content)
        count += 1
    }

    /// Sorts the contents and writes the file. Call it once.
    ///
    /// - Parameter isStopped: asked often.
    /// - Throws: `.stopped` if asked to stop.
    public func finish(isStopped: () -> Bool = { false }) throws(IOFailure) {
        defer { scratch.remove() }
        let output = try SectionFileWriter(path, shuffle.label(of: file), fileSystem: shuffle.fileSystem)
        var writer = ContentRunWriter(
            output, frameBytes: ContentShuffle.frameBytes,
            compressor: FrameCompressor(level: ContentShuffle.level))
        try contents.merge(isStopped: isStopped) { key, content throws(IOFailure) in
            try writer.begin(section: shuffle.bucket(of: key.group))
            try writer.append(key, content)
        }
        try writer.finish()
    }
}

/// What the files of contents have in common.
private enum ContentShuffle {
    static let level = 1
    /// Does not depend on the memory, so that equal contents give equal files.
    static let frameBytes = 16 << 10
    /// A section that is merged: an unpacked frame, two pieces, the file and what the reader needs.
    static let perSource = frameBytes + 2 * SectionLayout.pieceBytes + 8 << 10

    /// One number for each group, spread evenly over all: a bucket is a range of them, so all contents of a group are in
    /// the same one.
    static func spread(_ group: UInt64) -> UInt64 { Seed.mix(group) }
}

extension DedupeShuffle {
    /// Starts the file of the contents of a part's candidates. Nothing stands at `path` until the writer has finished.
    ///
    /// Temporary disk: the contents, compressed, unless they take less than half of `memory`.
    public func contentWriter(part: Int, path: String) throws(IOFailure) -> ContentWriter {
        precondition(part >= 0 && part < parts, "the shuffle has no such part")
        return try ContentWriter(self, part: part, path: path)
    }

    /// Compares the contents of a bucket's candidates byte by byte, like `ContentComparison`.
    ///
    /// - Parameters:
    ///   - contents: the files of all parts, in order, as written by `contentWriter`.
    ///   - ordinals: the ordinals of all parts.
    ///   - path: the file to write: 16 bytes for each duplicate or collision, by part, sorted by ordinal.
    ///   - isStopped: asked often.
    /// - Returns: the number of duplicates and collisions.
    /// - Throws: `.corruptWorkFile` for a damaged or foreign file; `.stopped`.
    @discardableResult
    public func compareContents(
        bucket: Int, contents: [String], ordinals: [PartOrdinals], to path: String,
        isStopped: () -> Bool = { false }
    ) throws(IOFailure) -> UInt64 {
        precondition(contents.count == parts && ordinals.count == parts, "each part has a file and ordinals")
        let folder = scratchFolder()
        defer { folder.remove() }
        let found = TripleSorter(
            stem: "\(try folder.make())/found", memory: memory / 3, fileSystem: fileSystem)
        let sources = contents.enumerated().map { part, path in
            ContentMerge.Source.section(path, label(of: .contents(part: part)), bucket)
        }
        let merge = ContentMerge(
            fanIn: MergeLimits.fanIn(memory: memory / 2, perSource: ContentShuffle.perSource),
            frameBytes: ContentShuffle.frameBytes, compressor: FrameCompressor(level: ContentShuffle.level),
            fileSystem: fileSystem)
        var equal = EqualContents()
        try merge(sources, newRun: { () throws(IOFailure) in try folder.newFile() }, isStopped: isStopped) {
            key, content throws(IOFailure) in
            let isFirst = ContentShuffle.spread(key.ordinal) == key.group
            if let pair = equal.take(key, isFirst: isFirst, content) {
                try found.append(Triple(a: pair.ordinal, b: pair.kept, c: 0))
            }
        }
        let file = label(of: .duplicates(bucket: bucket))
        return try PartSections.write(found, to: path, file, ordinals, fileSystem: fileSystem)
    }
}
