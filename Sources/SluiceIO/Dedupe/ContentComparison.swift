public import SluiceCore

/// Finds, among records that share a hash, those whose contents are equal, for more of them than fit in memory.
///
/// Takes the records of all groups in any order, sorts them by group, by a second hash and by ordinal, and compares
/// each byte by byte with the earlier contents of its group that share the second hash: one, in practice. Memory: the
/// budget and the contents that are compared. Disk: see `ContentSorter`; and 24 bytes a record.
public final class ContentComparison {
    private let folder: String
    private let fileSystem: FileSystem
    private let contents: ContentSorter
    private let decisions: TripleSorter

    /// - Parameters:
    ///   - folder: the folder of the result, `duplicates`, and of what is needed on the way.
    ///   - memory: bytes to work with, at least 512 KiB.
    public init(folder: String, memory: Int, fileSystem: FileSystem = .local) throws(IOFailure) {
        self.folder = folder
        self.fileSystem = fileSystem
        let runs = "\(folder)/contents"
        if try fileSystem.status(of: runs) != nil { try fileSystem.removeTree(runs) }
        contents = try ContentSorter(folder: runs, memory: memory * 3 / 4, fileSystem: fileSystem)
        decisions = TripleSorter(stem: "\(runs)/decisions", memory: max(64 << 10, memory / 4), fileSystem: fileSystem)
    }

    /// The second hash of a content.
    public static func mark(_ content: UnsafeRawBufferPointer) -> ContentHash {
        XXHash.hash128(content, seed: 0x736C_7569_6365)
    }

    /// Takes a record.
    ///
    /// - Parameters:
    ///   - group: the first record with the same hash.
    ///   - mark: the content's second hash.
    public func append(
        group: UInt64, mark: ContentHash, _ ordinal: UInt64, _ content: UnsafeRawBufferPointer
    ) throws(IOFailure) {
        try contents.append(ContentKey(group: group, mark: mark, ordinal: ordinal), content)
    }

    /// Compares; call it once, when all records are in. Leaves `duplicates` in the folder.
    ///
    /// - Parameter pause: called often; what it throws ends the work.
    /// - Returns: the duplicates and the collisions, in the order of their ordinals.
    public func resolve(_ pause: () throws -> Void = {}) throws -> DuplicateStream {
        var group: (UInt64, ContentHash)?
        var firsts = Firsts()
        try contents.merge(pause) { key, content in
            if group.map({ $0 != (key.group, key.mark) }) ?? true {
                group = (key.group, key.mark)
                firsts.removeAll()
            }
            if let kept = firsts.find(content) {
                try decisions.append(Triple(a: key.ordinal, b: kept, c: 0))
            } else {
                firsts.append(key.ordinal, content)
                if key.ordinal != key.group { try decisions.append(Triple(a: key.ordinal, b: key.ordinal, c: 0)) }
            }
        }
        let path = "\(folder)/duplicates"
        var writer = try WorkFileWriter(path, header: Triple.header, fileSystem: fileSystem)
        do throws(MergeFailure<IOFailure>) {
            try decisions.merge { triple throws(IOFailure) in try writer.append(triple) }
        } catch {
            switch error {
            case .io(let failure), .body(let failure): throw failure
            }
        }
        try writer.finish()
        try fileSystem.removeTree("\(folder)/contents")
        return try DuplicateStream(path, fileSystem: fileSystem)
    }
}

/// Different contents with one hash, each with the first record that has it.
private struct Firsts {
    private var bytes: [UInt8] = []
    private var items: [(ordinal: UInt64, range: Range<Int>)] = []

    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        items.removeAll(keepingCapacity: true)
    }

    func find(_ content: UnsafeRawBufferPointer) -> UInt64? {
        bytes.withUnsafeBytes { bytes in
            items.first { UnsafeRawBufferPointer(rebasing: bytes[$0.range]).hasSameBytes(as: content) }?.ordinal
        }
    }

    mutating func append(_ ordinal: UInt64, _ content: UnsafeRawBufferPointer) {
        let start = bytes.count
        bytes.append(contentsOf: content)
        items.append((ordinal, start..<bytes.count))
    }
}
