import SluiceCore
import SluiceIO

/// The columns of all groups of a selection, one file per column, with groups ordered by key.
///
/// Groups form sections: one large group, or a run of small groups that is read and sorted in memory. Columns arrive in
/// row order; a first pass over the keys counts each group, so every section has a fixed place, and rows are written to
/// it through small buffers. Memory: the table of groups, and `bufferBytes` (at least a row per section), for any
/// number of rows. Vectors that fit into a group's share are read at once; others are read again in each pass.
final class GroupStore: @unchecked Sendable {
    // Everything except the finished files is used by one thread, before any group is handed out.

    /// Groups whose rows are adjacent in the files.
    struct Section: Sendable {
        /// Indices of the groups in the table.
        let groups: Range<Int>
        let rows: Range<Int>
    }

    let table: GroupTable
    let sections: [Section]
    /// The lowest key of each section.
    private let firstKeys: [Int64]
    private let fileSystem: FileSystem
    private let folder: String
    private let types: [ColumnName: ColumnType]
    private var files: [ColumnName: GroupedFile] = [:]

    /// The engine's own columns; `ColumnName.isReserved` keeps stages from using such names.
    static let rowNumber: ColumnName = "_row"
    static let key: ColumnName = "_key"
    static let ordinal = ColumnStore.ordinal
    static let hashHigh = ColumnStore.hashHigh
    static let hashLow = ColumnStore.hashLow

    /// The columns of every store, and those that a selection reads.
    static func types(_ columns: [ColumnName: ColumnType]) -> [ColumnName: ColumnType] {
        var types = columns
        for name in [rowNumber, key, ordinal, hashHigh, hashLow] { types[name] = .integer }
        return types
    }

    /// Bytes per row in all columns.
    static func rowBytes(_ types: [ColumnName: ColumnType]) -> Int { types.values.reduce(0) { $0 + $1.width } }

    /// The size of the buffers: the wanted size, or a row per section.
    static func bufferBytes(_ wanted: Int, sections: Int, _ types: [ColumnName: ColumnType]) -> Int {
        max(wanted, sections * rowBytes(types)) + sections * types.count * GroupedFile.perSection
    }

    /// Forms sections from a table: a group of more than `bundleBytes` has its own.
    static func sections(of table: GroupTable, rowBytes: Int, bundleBytes: Int) -> [Section] {
        var sections: [Section] = []
        var (firstGroup, firstRow, row) = (0, 0, 0)
        func end(_ group: Int) {
            if group > firstGroup { sections.append(Section(groups: firstGroup..<group, rows: firstRow..<row)) }
            (firstGroup, firstRow) = (group, row)
        }
        for (group, size) in table.sizes.enumerated() {
            if (row - firstRow + size) * rowBytes > bundleBytes { end(group) }
            row += size
            if size * rowBytes > bundleBytes { end(group + 1) }
        }
        end(table.count)
        return sections
    }

    /// - Parameter types: the columns to be written; columns of bytes can't be grouped.
    init(
        table: GroupTable, sections: [Section], types: [ColumnName: ColumnType], folder: String, bufferBytes: Int,
        fileSystem: FileSystem
    ) throws(IOFailure) {
        self.table = table
        self.sections = sections
        firstKeys = table.keys.isEmpty ? [] : sections.map { table.keys[$0.groups.lowerBound] }
        self.types = types
        self.folder = folder
        self.fileSystem = fileSystem
        try fileSystem.makeFolder(folder)
        let all = max(1, Self.rowBytes(types))
        for name in types.keys.sorted() {
            guard let width = types[name]?.width, width > 0 else {
                throw IOFailure(.wrongColumn, path: folder, found: "the column \(name) has no rows of one width")
            }
            files[name] = try GroupedFile(
                path: "\(folder)/\(name.name).grouped", width: width, sections: sections.map(\.rows),
                bufferBytes: bufferBytes / all * width, fileSystem: fileSystem)
        }
    }

    /// The section for rows with a key.
    func section(of key: Int64) -> Int32 {
        var (low, high) = (0, firstKeys.count)
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if firstKeys[middle] <= key { low = middle } else { high = middle }
        }
        return Int32(low)
    }

    /// Adds rows: `sections[i]` is the section of row `i`, negative if it has none.
    func append(_ columns: [(name: ColumnName, column: Column)], sections: [Int32]) throws(IOFailure) {
        for (name, column) in columns {
            guard let file = files[name] else { continue }
            try expect(column.type, of: name)
            switch column {
            case .vectors(let vectors): try file.append(vectors.values, sections: sections)
            case .integers(let values): try file.append(values, sections: sections)
            case .reals(let values): try file.append(values, sections: sections)
            case .bytes: break
            }
        }
    }

    func finish() throws(IOFailure) {
        for name in files.keys.sorted() { try files[name]?.flush() }
    }

    /// The vectors of some rows.
    func vectors(_ name: ColumnName, _ rows: Range<Int>, residentBytes: Int) throws(IOFailure) -> any VectorSource {
        guard let file = files[name], case .vector(let dimension) = types[name] else { throw missing(name, "vectors") }
        guard rows.count * dimension <= residentBytes else {
            return StreamedVectors(file: file, rows: rows, dimension: dimension, bufferBytes: residentBytes)
        }
        return try ResidentVectors(count: rows.count, dimension: dimension) { buffer throws(IOFailure) in
            try file.read(rows, into: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    /// A column of some rows, read at once.
    func column(_ name: ColumnName, _ rows: Range<Int>) throws(IOFailure) -> Column {
        switch types[name] {
        case .vector(let dimension)?:
            guard let file = files[name] else { throw missing(name, "vectors") }
            var values = [Int8](repeating: 0, count: rows.count * dimension)
            let result = values.withUnsafeMutableBytes { buffer -> Result<Void, IOFailure> in
                do throws(IOFailure) { return .success(try file.read(rows, into: buffer)) } catch {
                    return .failure(error)
                }
            }
            try result.get()
            return .vectors(VectorColumn(dimension: dimension, values: values))
        case .real?: return .reals(try reals(name, rows))
        default: return .integers(try integers(name, rows))
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

    func remove() throws(IOFailure) { try fileSystem.removeTree(folder) }
}

extension ColumnType {
    /// Bytes per row; 0 if rows differ in length.
    var width: Int {
        switch self {
        case .bytes: 0
        case .vector(let dimension): dimension
        case .integer, .real: 8
        }
    }
}

/// Vectors that don't fit into memory, read again in each pass.
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
        // The size of a chunk depends on the memory; results must not depend on it.
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
