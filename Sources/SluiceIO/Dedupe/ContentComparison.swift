public import SluiceCore

/// Finds records with equal contents among those that share a hash, even if they don't fit in memory.
///
/// Takes the records of all groups in any order and sorts them by group, second hash and ordinal. Then it compares each
/// record byte by byte with the earlier contents of its group that share the second hash: in practice, one. Memory: the
/// budget and the contents being compared. Disk: that of `ContentSorter` and 24 bytes per record.
public final class ContentComparison {
    private let folder: String
    private let fileSystem: FileSystem
    private let contents: ContentSorter
    private let decisions: TripleSorter

    /// - Parameters:
    ///   - folder: the folder for the result, `duplicates`, and for temporary files.
    ///   - memory: the budget in bytes, at least 512 KiB.
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

    /// Adds a record.
    ///
    /// - Parameters:
    ///   - group: the first record with the same hash.
    ///   - mark: the content's second hash.
    public func append(
        group: UInt64, mark: ContentHash, _ ordinal: UInt64, _ content: UnsafeRawBufferPointer
    ) throws(IOFailure) {
        try contents.append(ContentKey(group: group, mark: mark, ordinal: ordinal), content)
    }

    /// Compares the contents. Call it once, after the last `append`. Leaves `duplicates` in the folder.
    ///
    /// - Parameter pause: called often; an error that it throws ends the comparison.
    /// - Returns: the duplicates and the collisions, ordered by ordinal.
    public func resolve(_ pause: () throws -> Void = {}) throws -> DuplicateStream {
        var ending: (any Error)?
        do throws(IOFailure) {
            return try resolve(isStopped: {
                do { try pause() } catch { ending = error }
                return ending != nil
            })
        } catch { throw ending ?? error }
    }

    private func resolve(isStopped: () -> Bool) throws(IOFailure) -> DuplicateStream {
        var equal = EqualContents()
        try contents.merge(isStopped: isStopped) { key, content throws(IOFailure) in
            if let found = equal.take(key, isFirst: key.ordinal == key.group, content) {
                try decisions.append(Triple(a: found.ordinal, b: found.kept, c: 0))
            }
        }
        let path = "\(folder)/duplicates"
        var writer = try WorkFileWriter(path, header: Triple.header, fileSystem: fileSystem)
        try decisions.merge { triple throws(IOFailure) in try writer.append(triple) }
        try writer.finish()
        try fileSystem.removeTree("\(folder)/contents")
        return try DuplicateStream(path, fileSystem: fileSystem)
    }
}

/// Compares contents that come ordered by key, each with the earlier ones of its group that share the second hash.
struct EqualContents {
    private var group: (UInt64, ContentHash)?
    private var firsts = Firsts()

    /// Takes the next content.
    ///
    /// - Parameter isFirst: whether it is the first record of its group.
    /// - Returns: a duplicate of an earlier record, or a collision; nil for the first record of the group.
    mutating func take(_ key: ContentKey, isFirst: Bool, _ content: UnsafeRawBufferPointer) -> Duplicate? {
        if group.map({ $0 != (key.group, key.mark) }) ?? true {
            group = (key.group, key.mark)
            firsts.removeAll()
        }
        if let kept = firsts.find(content) { return Duplicate(ordinal: key.ordinal, kept: kept) }
        firsts.append(key.ordinal, content)
        return isFirst ? nil : Duplicate(ordinal: key.ordinal, kept: key.ordinal)
    }
}

/// Different contents with the same hash, each with its first record.
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
