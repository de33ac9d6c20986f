import SluiceCore
import SluiceIO

/// The columns of all groups of a selection, each group's rows together, in one file a column.
///
/// Columns come in row order and leave in group order: a first look at the keys says how long each group is, so every
/// group has its place, and rows are written there through small buffers. Memory: `bufferBytes`, whatever the number of
/// rows. Vectors that fit a group's share are read whole; others are read again from the file on each pass.
final class GroupStore: @unchecked Sendable {
    // Everything but the finished files is touched by one thread, before any group is handed out.

    /// The rows of one group in the grouped files.
    struct Extent: Sendable {
        let key: Int?
        let rows: Range<Int>
    }

    let extents: [Extent]
    private let fileSystem: FileSystem
    private let folder: String
    private let types: [ColumnName: ColumnType]
    private var files: [ColumnName: GroupedFile] = [:]

    /// The engine's own columns; `ColumnName.isReserved` keeps stages away from such names.
    static let rowNumber: ColumnName = "_row"
    static let ordinal = ColumnStore.ordinal
    static let hashHigh = ColumnStore.hashHigh
    static let hashLow = ColumnStore.hashLow

    /// - Parameters:
    ///   - sizes: rows of each group, by ascending key.
    ///   - types: the columns that will be written; columns of bytes can't be grouped.
    init(
        sizes: [(key: Int?, rows: Int)], types: [ColumnName: ColumnType], folder: String, bufferBytes: Int,
        fileSystem: FileSystem
    ) throws(IOFailure) {
        var extents: [Extent] = []
        var start = 0
        for (key, rows) in sizes {
            extents.append(Extent(key: key, rows: start..<(start + rows)))
            start += rows
        }
        self.extents = extents
        self.types = types
        self.folder = folder
        self.fileSystem = fileSystem
        try fileSystem.makeFolder(folder)
        let share = bufferBytes / max(1, types.count)
        for name in types.keys.sorted() {
            guard let width = types[name]?.width, width > 0 else {
                throw IOFailure(.wrongColumn, path: folder, found: "the column \(name) has no rows of one width")
            }
            files[name] = try GroupedFile(
                path: "\(folder)/\(name.name).grouped", width: width, extents: extents.map(\.rows),
                bufferBytes: share, fileSystem: fileSystem)
        }
    }

    /// Adds rows: `groups[i]` says where row `i` of the columns belongs, or is negative where it does not.
    func append(_ columns: [(name: ColumnName, column: Column)], groups: [Int]) throws(IOFailure) {
        for (name, column) in columns {
            guard let file = files[name] else { continue }
            try expect(column.type, of: name)
            switch column {
            case .vectors(let vectors): try file.append(vectors.values, groups: groups)
            case .integers(let values): try file.append(values, groups: groups)
            case .reals(let values): try file.append(values, groups: groups)
            case .bytes: break
            }
        }
    }

    func finish() throws(IOFailure) {
        for name in files.keys.sorted() { try files[name]?.flush() }
    }

    /// Bytes that the columns of a group take when they are in memory.
    func bytes(of extent: Extent, columns: [ColumnName]) -> Int {
        columns.reduce(0) { $0 + (types[$1]?.width ?? 0) } * extent.rows.count
    }

    func vectors(_ name: ColumnName, _ extent: Extent, residentBytes: Int) throws(IOFailure) -> any VectorSource {
        guard let file = files[name], case .vector(let dimension) = types[name] else { throw missing(name, "vectors") }
        let count = extent.rows.count
        guard count * dimension <= residentBytes else {
            return StreamedVectors(file: file, rows: extent.rows, dimension: dimension, bufferBytes: residentBytes)
        }
        return try ResidentVectors(count: count, dimension: dimension) { buffer throws(IOFailure) in
            try file.read(extent.rows, into: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    func integers(_ name: ColumnName, _ rows: Range<Int>) throws(IOFailure) -> [Int64] {
        try values(name, .integer, rows, zero: Int64(0))
    }

    func reals(_ name: ColumnName, _ rows: Range<Int>) throws(IOFailure) -> [Double] {
        try values(name, .real, rows, zero: Double(0))
    }

    func type(of name: ColumnName) -> ColumnType? { types[name] }

    private func expect(_ type: ColumnType, of name: ColumnName) throws(IOFailure) {
        guard types[name] == type else { throw missing(name, type.words) }
    }

    private func missing(_ name: ColumnName, _ what: String) -> IOFailure {
        let found = types[name].map { "the column \(name) holds \($0.words), not \(what)" }
        return IOFailure(.wrongColumn, path: folder, found: found ?? "there is no column \(name)")
    }

    private func values<T: BitwiseCopyable>(
        _ name: ColumnName, _ type: ColumnType, _ rows: Range<Int>, zero: T
    ) throws(IOFailure) -> [T] {
        try expect(type, of: name)
        guard let file = files[name] else { throw missing(name, type.words) }
        var values = [T](repeating: zero, count: rows.count)
        let result = values.withUnsafeMutableBytes { buffer -> Result<Void, IOFailure> in
            do throws(IOFailure) { return .success(try file.read(rows, into: buffer)) } catch { return .failure(error) }
        }
        try result.get()
        return values
    }

    /// Removes the files.
    func remove() throws(IOFailure) { try fileSystem.removeTree(folder) }
}

extension ColumnType {
    /// Bytes of a row; 0 where rows differ in length.
    var width: Int {
        switch self {
        case .bytes: 0
        case .vector(let dimension): dimension
        case .integer, .real: 8
        }
    }
}

/// Rows of one width, each group's together.
final class GroupedFile: @unchecked Sendable {
    // Written by one thread; afterwards only read, and reading at a place is safe from every thread.
    private let file: OpenFile
    private let width: Int
    private var buffers: [[UInt8]]
    /// Where the next flushed row of each group goes, in bytes.
    private var cursors: [UInt64]
    private let bufferRows: Int

    init(path: String, width: Int, extents: [Range<Int>], bufferBytes: Int, fileSystem: FileSystem) throws(IOFailure) {
        self.width = width
        file = try fileSystem.create(path)
        buffers = Array(repeating: [], count: extents.count)
        cursors = extents.map { UInt64($0.lowerBound * width) }
        bufferRows = max(1, bufferBytes / max(1, extents.count) / max(1, width))
    }

    func append<T: BitwiseCopyable>(_ values: [T], groups: [Int]) throws(IOFailure) {
        guard values.count * MemoryLayout<T>.stride == groups.count * width else {
            throw IOFailure(
                .wrongColumn, path: file.path,
                found:
                    "\(values.count) values of \(MemoryLayout<T>.stride) bytes are not \(groups.count) rows of \(width)"
            )
        }
        for (row, group) in groups.enumerated() where group >= 0 {
            values.withUnsafeBytes { bytes in
                buffers[group].append(
                    contentsOf: UnsafeRawBufferPointer(rebasing: bytes[(row * width)..<((row + 1) * width)]))
            }
            if buffers[group].count >= bufferRows * width { try flush(group) }
        }
    }

    private func flush(_ group: Int) throws(IOFailure) {
        let result = buffers[group].withUnsafeBytes { bytes -> Result<Void, IOFailure> in
            do throws(IOFailure) { return .success(try file.write(bytes, at: cursors[group])) } catch {
                return .failure(error)
            }
        }
        try result.get()
        cursors[group] += UInt64(buffers[group].count)
        buffers[group].removeAll(keepingCapacity: true)
    }

    func flush() throws(IOFailure) {
        for group in buffers.indices where !buffers[group].isEmpty { try flush(group) }
        buffers = []
    }

    func read(_ rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) {
        let bytes = rows.count * width
        guard bytes > 0 else { return }
        // Slicing a raw buffer is not checked in a release build; a column of another width must not write past its end.
        guard bytes <= buffer.count else {
            throw IOFailure(
                .wrongColumn, path: file.path, found: "\(bytes) bytes were asked for with room for \(buffer.count)")
        }
        let got = try file.read(
            into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<bytes]), at: UInt64(rows.lowerBound * width))
        guard got == bytes else {
            throw IOFailure(
                .corruptWorkFile, path: file.path, found: "it ends after \(got) of \(bytes) bytes")
        }
    }
}

/// Vectors that don't fit in memory, read again on each pass.
private final class StreamedVectors: VectorSource {
    private let file: GroupedFile
    private let rows: Range<Int>
    let dimension: Int
    private let chunkRows: Int

    var count: Int { rows.count }
    var resident: UnsafeBufferPointer<Int8>? { nil }

    init(file: GroupedFile, rows: Range<Int>, dimension: Int, bufferBytes: Int) {
        self.file = file
        self.rows = rows
        self.dimension = dimension
        // A chunk follows from the share of memory; no result may show where it ends.
        chunkRows = max(64, bufferBytes / max(1, dimension) / 2)
    }

    func forEachChunk(
        _ body: (Range<Int>, UnsafeBufferPointer<Int8>) throws(StageError) -> Void
    ) throws(StageError) {
        let buffer = UnsafeMutableBufferPointer<Int8>.allocate(capacity: min(chunkRows, count) * dimension)
        defer { buffer.deallocate() }
        var start = 0
        while start < count {
            let end = min(count, start + chunkRows)
            try read(start..<end, into: buffer)
            try body(start..<end, UnsafeBufferPointer(rebasing: buffer[..<((end - start) * dimension)]))
            start = end
        }
    }

    func row(_ index: Int) throws(StageError) -> [Int8] {
        guard (0..<count).contains(index) else { throw .noRow(index, of: count) }
        var row = [Int8](repeating: 0, count: dimension)
        let result = row.withUnsafeMutableBufferPointer { buffer -> Result<Void, StageError> in
            do throws(StageError) { return .success(try read(index..<(index + 1), into: buffer)) } catch {
                return .failure(error)
            }
        }
        try result.get()
        return row
    }

    private func read(_ range: Range<Int>, into buffer: UnsafeMutableBufferPointer<Int8>) throws(StageError) {
        do throws(IOFailure) {
            try file.read(
                (rows.lowerBound + range.lowerBound)..<(rows.lowerBound + range.upperBound),
                into: UnsafeMutableRawBufferPointer(buffer))
        } catch {
            throw StageError(.io, error.description)
        }
    }
}
