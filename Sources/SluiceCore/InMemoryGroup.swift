/// A group whose columns are in memory.
public struct InMemoryGroup: GroupData {
    private let contentHashes: [ContentHash]
    private let columns: [ColumnName: Column]

    public init(hashes: [ContentHash], columns: [ColumnName: Column]) {
        contentHashes = hashes
        self.columns = columns
    }

    public func hashes() -> [ContentHash] { contentHashes }

    public func vectors(_ name: ColumnName) throws(StageError) -> any VectorSource {
        guard case .vectors(let column) = columns[name] else {
            throw .missingColumn(name, "vectors", found: columns[name]?.type)
        }
        return ResidentVectors(column.values, count: contentHashes.count, dimension: column.dimension)
    }

    public func values(_ name: ColumnName) throws(StageError) -> Column {
        guard let column = columns[name] else { throw .missingColumn(name, "numbers") }
        return column
    }
}

/// Vectors in memory.
public final class ResidentVectors: VectorSource, @unchecked Sendable {
    // @unchecked: the buffer is filled during initialisation and never changes.
    private let storage: UnsafeMutableBufferPointer<Int8>
    public let count: Int
    public let dimension: Int

    public convenience init(_ values: [Int8], count: Int, dimension: Int) {
        self.init(count: count, dimension: dimension) { buffer in _ = buffer.update(from: values) }
    }

    /// Lets `fill` write `count · dimension` components, row-major, initially zero.
    public init<E>(
        count: Int, dimension: Int, fill: (UnsafeMutableBufferPointer<Int8>) throws(E) -> Void
    ) throws(E) {
        self.count = count
        self.dimension = dimension
        storage = .allocate(capacity: count * dimension)
        storage.initialize(repeating: 0)
        try fill(storage)
    }

    deinit { storage.deallocate() }

    public var resident: UnsafeBufferPointer<Int8>? { UnsafeBufferPointer(storage) }

    public func forEachChunk(
        _ body: (Range<Int>, UnsafeBufferPointer<Int8>) throws(StageError) -> Void
    ) throws(StageError) {
        if count > 0 { try body(0..<count, UnsafeBufferPointer(storage)) }
    }

    public func row(_ index: Int) throws(StageError) -> [Int8] {
        // Slicing a buffer is not checked in a release build.
        guard (0..<count).contains(index) else { throw .noRow(index, of: count) }
        return Array(storage[(index * dimension)..<((index + 1) * dimension)])
    }
}
