public import SluiceCore

/// A dedupe in tasks that share nothing but files, with the answer of `DedupeTable`: the lowest ordinal stays.
///
/// The input is cut into *parts*, the hashes into *buckets* by their top bits. A file has a section for each task that
/// will read it, so each task writes one file and reads one section of many:
///
/// | task | reads | writes |
/// |---|---|---|
/// | `hashWriter`, per part | its input | hashes and ordinals, by bucket |
/// | `findDuplicates`, per bucket | its section of all hashes | duplicates, by part |
/// | `duplicates(of:)`, per part | its section of all duplicates | |
///
/// To compare contents byte by byte, with the answer of `ContentComparison`:
///
/// | task | reads | writes |
/// |---|---|---|
/// | `hashWriter`, per part | its input | hashes and ordinals, by bucket |
/// | `findCandidates`, per bucket | its section of all hashes | records that share a hash, by part |
/// | `contentWriter`, per part | its input, `candidates(of:)` | contents of these records, by bucket |
/// | `compareContents`, per bucket | its section of all contents | duplicates and collisions, by part |
/// | `duplicates(of:)`, per part | its section of all duplicates | |
///
/// **Files.** A file stands complete under its name or not at all, and equal inputs give equal files; so a task may be
/// repeated, or run twice at a time. A file of another plan, part or bucket and any damage are refused with
/// `.corruptWorkFile`, before a byte of the damaged piece is used. The answer depends on the records and ordinals alone,
/// not on parts, buckets, memory, or the order of tasks.
///
/// **Memory.** Each task stays within `memory`, apart from 24 bytes for each bucket or part that it writes a section
/// for, 16 KiB, and single contents that are larger than that. A task has at most 256 files open.
public struct DedupeShuffle: Sendable {
    /// A digest of all that decides what the files hold, like the definition and the list of the input's parts.
    public let plan: ContentHash
    public let parts: Int
    public let buckets: Int
    /// The budget of a task, in bytes.
    public let memory: Int
    /// A folder for temporary files, best on a local disk. Any number of tasks may share it. A killed task may leave
    /// folders with the suffix of temporary files in it.
    public let scratch: String
    let fileSystem: FileSystem

    /// - Parameters:
    ///   - parts: at least 1.
    ///   - buckets: at least 1. A bucket is read by one task, whatever its size; so their number decides how many tasks
    ///     can work at a time.
    ///   - memory: at least 512 KiB.
    public init(
        plan: ContentHash, parts: Int, buckets: Int, memory: Int, scratch: String, fileSystem: FileSystem = .local
    ) {
        precondition(parts > 0 && buckets > 0, "a shuffle has parts and buckets")
        self.plan = plan
        self.parts = parts
        self.buckets = buckets
        self.memory = max(512 << 10, memory)
        self.scratch = scratch
        self.fileSystem = fileSystem
    }

    /// A file of the shuffle, by the task that writes it.
    public enum File: Sendable, Hashable {
        case hashes(part: Int)
        case candidates(bucket: Int)
        case contents(part: Int)
        case duplicates(bucket: Int)
    }

    /// Whether a file of this plan stands complete at `path`: then its task needn't run. Reads 72 bytes; damage to a
    /// section is found when it is read.
    public func isComplete(_ file: File, at path: String) throws(IOFailure) -> Bool {
        try SectionReader.isComplete(path, label(of: file), fileSystem: fileSystem)
    }

    func label(of file: File) -> SectionLabel {
        switch file {
        case .hashes(let part): SectionLabel(kind: "SLUICEh1", plan: plan, number: part, sections: buckets)
        case .candidates(let bucket): SectionLabel(kind: "SLUICEa1", plan: plan, number: bucket, sections: parts)
        case .contents(let part): SectionLabel(kind: "SLUICEk1", plan: plan, number: part, sections: buckets)
        case .duplicates(let bucket): SectionLabel(kind: "SLUICEd1", plan: plan, number: bucket, sections: parts)
        }
    }

    /// The bucket of a number whose values are spread evenly: monotone, so that a sorted file is sorted by bucket, too.
    func bucket(of number: UInt64) -> Int {
        Int(truncatingIfNeeded: number.multipliedFullWidth(by: UInt64(buckets)).high)
    }

    func scratchFolder() -> ScratchFolder { ScratchFolder(in: scratch, fileSystem: fileSystem) }

    // MARK: The result, part by part

    /// The duplicates of a part, and with `compareContents` the collisions.
    ///
    /// - Parameter files: the files of all buckets, in order.
    public func duplicates(of part: Int, in files: [String]) throws(IOFailure) -> DuplicateStream {
        try stream(part, files.enumerated().map { ($1, .duplicates(bucket: $0)) })
    }

    /// The candidates of a part: its records that share a hash with another record, each with the first of these, which
    /// is a candidate, too.
    ///
    /// - Parameter files: the files of all buckets, in order.
    public func candidates(of part: Int, in files: [String]) throws(IOFailure) -> DuplicateStream {
        try stream(part, files.enumerated().map { ($1, .candidates(bucket: $0)) })
    }

    private func stream(_ part: Int, _ files: [(path: String, file: File)]) throws(IOFailure) -> DuplicateStream {
        precondition(files.count == buckets, "each bucket has a file")
        let sections = files.map {
            RowSection(path: $0.path, label: label(of: $0.file), section: part, kind: .pair)
        }
        return DuplicateStream(
            try RowMerge(sections, memory: memory, scratch: scratchFolder(), fileSystem: fileSystem))
    }
}

/// Where the records of a part stand in the input.
public struct PartOrdinals: Sendable, Hashable {
    /// The first ordinal of the part: at most that of its first record, and above those of all earlier parts.
    public var first: UInt64
    /// Added to the ordinals in the part's file of hashes: 0 if they are absolute.
    public var added: UInt64

    public init(first: UInt64, added: UInt64 = 0) {
        self.first = first
        self.added = added
    }
}

/// Writes pairs that come ordered by ordinal into a section for each part.
struct PartSections: ~Copyable {
    private var writer: SectionFileWriter
    private let path: String
    private let ordinals: [PartOrdinals]
    private var part = 0
    private(set) var count: UInt64 = 0

    init(
        _ path: String, _ label: SectionLabel, _ ordinals: [PartOrdinals], fileSystem: FileSystem
    ) throws(IOFailure) {
        precondition(ordinals.count == label.sections, "each part has a first ordinal")
        precondition(zip(ordinals, ordinals.dropFirst()).allSatisfy { $0.first <= $1.first }, "parts are in order")
        writer = try SectionFileWriter(path, label, fileSystem: fileSystem)
        self.path = path
        self.ordinals = ordinals
    }

    mutating func append(_ pair: Triple) throws(IOFailure) {
        guard pair.a >= ordinals[0].first else {
            throw WorkFooter.broken(path, 0, "a record stands before the first part")
        }
        while part + 1 < ordinals.count, ordinals[part + 1].first <= pair.a { part += 1 }
        try writer.begin(section: part)
        try writer.append(pair, .pair)
        count += 1
    }

    consuming func finish() throws(IOFailure) { try writer.finish() }

    /// Writes the pairs of a sorter.
    static func write(
        _ sorter: TripleSorter, to path: String, _ label: SectionLabel, _ ordinals: [PartOrdinals],
        fileSystem: FileSystem
    ) throws(IOFailure) -> UInt64 {
        var sections = try PartSections(path, label, ordinals, fileSystem: fileSystem)
        try sorter.merge { pair throws(IOFailure) in try sections.append(pair) }
        let count = sections.count
        try sections.finish()
        return count
    }
}
