public import SluiceCore

/// A record that repeats an earlier one, or shares its hash.
public struct Duplicate: Sendable, Equatable {
    /// The record to drop.
    public var ordinal: UInt64
    /// The first record with the same content; the record itself if it is kept.
    public var kept: UInt64
    /// Whether the record is kept: it is the first with its content, although an earlier one has the same hash. Only a
    /// comparison of contents finds this.
    public var isCollision: Bool { kept == ordinal }

    public init(ordinal: UInt64, kept: UInt64) {
        self.ordinal = ordinal
        self.kept = kept
    }
}

/// Deduplication for more records than fit in memory, with the same answer as `DedupeTable`.
///
/// Pass one appends (hash, ordinal) of all records, in any order, to partition files chosen by bits of the hash.
/// `resolve` sorts one partition at a time, keeps the lowest ordinal of every hash, and returns the others ordered by
/// ordinal, so that pass two can walk records and duplicates in step, without a table. Equal hashes always share a
/// partition. A partition larger than the budget is sorted in runs on disk.
///
/// Disk: 24 bytes per record, twice that for partitions larger than the budget, and 24 bytes per duplicate.
public final class DedupeSpill {
    private let folder: String
    private let sortMemory: Int
    private let fileSystem: FileSystem
    private let shift: UInt64
    private var writers: [PartitionWriter] = []
    private var paths: [String] = []
    public private(set) var count: UInt64 = 0

    /// - Parameters:
    ///   - folder: a folder used for these files only; created if missing.
    ///   - memory: the budget of pass one in bytes, at least 64 KiB.
    ///   - sortMemory: the budget of `resolve`, if it may have more.
    public init(
        folder: String, memory: Int, sortMemory: Int = 0, fileSystem: FileSystem = .local
    ) throws(IOFailure) {
        self.folder = folder
        let memory = max(64 << 10, memory)
        self.sortMemory = max(memory, sortMemory)
        self.fileSystem = fileSystem
        // Half the budget is for write buffers of at least 4 KiB; the number of open files must suit every system.
        var bits: UInt64 = 2
        while bits < 8, (8 << 10) << Int(bits + 1) <= memory { bits += 1 }
        shift = 64 - bits
        try fileSystem.makeFolder(folder)
        let buffer = min(256 << 10, max(1024, (memory / 2) >> Int(bits)))
        for i in 0..<(1 << Int(bits)) {
            let path = "\(folder)/part-\(i)"
            writers.append(try PartitionWriter(path, bufferBytes: buffer, fileSystem: fileSystem))
            paths.append(path)
        }
    }

    /// Adds a record. The order doesn't matter.
    public func append(_ hash: ContentHash, _ ordinal: UInt64) throws(IOFailure) {
        // Any bits of the hash would do; the top bits keep the partitions themselves in order.
        try writers[Int(truncatingIfNeeded: hash.high >> shift)].append(Triple(a: hash.high, b: hash.low, c: ordinal))
        count += 1
    }

    /// Ends pass one: completes the partition files.
    public func finish() throws(IOFailure) {
        for writer in writers { try writer.finish() }
        writers = []
    }

    /// Finds the duplicates. Call it once, after `finish`. Removes each partition file after use.
    ///
    /// - Returns: the duplicates, ordered by ordinal.
    public func resolve() throws(IOFailure) -> DuplicateStream { try resolve(to: "duplicates", withFirsts: false) }

    /// Finds the records for `ContentComparison`; call it instead of `resolve`. Returns every record that shares its
    /// hash with another, including the first one, each paired with the first one.
    public func candidates() throws(IOFailure) -> DuplicateStream { try resolve(to: "candidates", withFirsts: true) }

    private func resolve(to name: String, withFirsts: Bool) throws(IOFailure) -> DuplicateStream {
        precondition(writers.isEmpty, "call finish() before resolve()")
        let half = sortMemory / 2
        let duplicates = TripleSorter(stem: "\(folder)/duplicates", memory: half, fileSystem: fileSystem)
        for path in paths {
            let sorter = TripleSorter(stem: path, memory: half, fileSystem: fileSystem)
            let reader = try WorkFileReader(path, header: Triple.header, fileSystem: fileSystem)
            while let triple = try reader.nextTriple() { try sorter.append(triple) }
            var repeated = RepeatedHashes(withFirsts: withFirsts)
            try sorter.merge { triple throws(IOFailure) in
                try repeated.take(triple) { pair throws(IOFailure) in try duplicates.append(pair) }
            }
            try fileSystem.remove(path)
        }
        // Ordered on disk, so that reading them takes only one buffer.
        let path = "\(folder)/\(name)"
        var writer = try WorkFileWriter(path, header: Triple.header, fileSystem: fileSystem)
        try duplicates.merge { triple throws(IOFailure) in try writer.append(triple) }
        try writer.finish()
        return try DuplicateStream(path, fileSystem: fileSystem)
    }
}

/// Duplicates ordered by ordinal, read from one file, or from files of a `DedupeShuffle`, on demand.
public final class DuplicateStream {
    private enum Source {
        case file(WorkFileReader)
        case merge(RowMerge)
    }

    private let source: Source

    /// The total number of duplicates.
    public var count: UInt64 {
        switch source {
        case .file(let reader): reader.count
        case .merge(let merge): merge.count
        }
    }

    /// Opens `duplicates` or `candidates`, as written by `DedupeSpill` or `ContentComparison`.
    public init(_ path: String, fileSystem: FileSystem = .local) throws(IOFailure) {
        source = .file(try WorkFileReader(path, header: Triple.header, fileSystem: fileSystem))
    }

    init(_ merge: RowMerge) { source = .merge(merge) }

    /// - Returns: `nil` at the end, once the checksum has been verified.
    public func next() throws(IOFailure) -> Duplicate? {
        let triple =
            switch source {
            case .file(let reader): try reader.nextTriple()
            case .merge(let merge): try merge.next()
            }
        return triple.map { Duplicate(ordinal: $0.a, kept: $0.b) }
    }
}

/// A box for a writer, since an array can't hold a non-copyable value.
private final class PartitionWriter {
    private var writer: WorkFileWriter?

    init(_ path: String, bufferBytes: Int, fileSystem: FileSystem) throws(IOFailure) {
        writer = try WorkFileWriter(path, header: Triple.header, bufferBytes: bufferBytes, fileSystem: fileSystem)
    }

    func append(_ triple: Triple) throws(IOFailure) { try writer!.append(triple) }

    func finish() throws(IOFailure) {
        guard let whole = writer.take() else { return }
        try whole.finish()
    }
}
