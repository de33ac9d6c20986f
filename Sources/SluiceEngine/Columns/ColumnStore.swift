import SluiceCore
import SluiceIO

/// The columns, on disk, of all records still in after the first pass.
///
/// Rows are in input order. They are split into shards, runs of rows that end where a segment of the input ends. Each
/// column of a shard is a file, complete under its name or missing; NumPy can open those of fixed width. Reading a
/// range of rows takes memory for that range only.
final class ColumnStore: @unchecked Sendable {
    // Written by one thread at a time; read by many only while nobody writes.

    /// Columns of every store: each row's ordinal and content hash. `ColumnName.isReserved` keeps stages from using
    /// such names.
    static let ordinal: ColumnName = "_ordinal"
    static let hashHigh: ColumnName = "_hash_high"
    static let hashLow: ColumnName = "_hash_low"

    struct Shard: Sendable {
        let number: Int
        let rows: Range<Int>
    }

    let folder: String
    private let fileSystem: FileSystem
    private(set) var types: [ColumnName: ColumnType] = [:]
    private(set) var shards: [Shard] = []
    /// Columns written by the first pass. They never change: a resumed run starts from them again.
    private var firstColumns: Set<ColumnName> = []
    /// Those of them that a later pass rewrote, in files of their own.
    private var replaced: Set<ColumnName> = []
    private let opened = Monitor()
    private var readers: [String: any Sendable] = [:]
    /// Well below 1,024, the default limit of open files per process.
    private static let openFiles = 128

    init(folder: String, fileSystem: FileSystem) throws(IOFailure) {
        self.folder = folder
        self.fileSystem = fileSystem
        try fileSystem.makeFolder(folder)
    }

    /// The shards as a checkpoint records them.
    var checkpoint: [Checkpoint.Shard] { shards.map { Checkpoint.Shard(rows: $0.rows.count, types: types) } }

    var rows: Int { shards.last?.rows.upperBound ?? 0 }

    /// A writer for the next shard, or for new columns of shard `number`.
    func writer(shard number: Int) -> ShardWriter {
        let kept = number < shards.count ? firstColumns : []
        return ShardWriter(fileSystem: fileSystem) { [self] name in path(name, number, isLater: kept.contains(name)) }
    }

    /// Adds a finished shard.
    func add(shard number: Int, rows count: Int, types: [ColumnName: ColumnType]) {
        if number == shards.count {
            shards.append(Shard(number: number, rows: rows..<(rows + count)))
            firstColumns.formUnion(types.keys)
        } else {
            replaced.formUnion(firstColumns.intersection(types.keys))
        }
        self.types.merge(types) { _, new in new }
        // An open file may be an old column that the new one has replaced.
        opened.locked { readers = [:] }
    }

    /// - Parameter isLater: whether a later pass rewrites a column of the first pass. No stage's column has a `+` in
    ///   its name.
    private func path(_ name: ColumnName, _ shard: Int, isLater: Bool) -> String {
        let digits = String(shard)
        let padded = String(repeating: "0", count: max(0, 5 - digits.utf8.count)) + digits
        return "\(folder)/\(name.name)\(isLater ? "+" : "").\(padded).npy"
    }

    /// Columns of a range of rows within one shard.
    ///
    /// - Parameter chosen: the wanted rows, counted from the start of the range, ascending; nil for all.
    func load(
        _ names: [ColumnName], _ rows: Range<Int>, _ chosen: [Int]? = nil
    ) throws(IOFailure) -> [(name: ColumnName, column: Column)] {
        guard let shard = shards.first(where: { $0.rows.contains(rows.lowerBound) }) else { return [] }
        let local = (rows.lowerBound - shard.rows.lowerBound)..<(rows.upperBound - shard.rows.lowerBound)
        var result: [(name: ColumnName, column: Column)] = []
        for name in names {
            guard let type = types[name] else { continue }
            let path = path(name, shard.number, isLater: replaced.contains(name))
            result.append((name, try load(path, type, local, chosen, of: shard.rows.count)))
        }
        return result
    }

    private func load(
        _ path: String, _ type: ColumnType, _ rows: Range<Int>, _ chosen: [Int]?, of count: Int
    ) throws(IOFailure) -> Column {
        if let chosen, type != .bytes { return try load(path, type, rows, nil, of: count).gathered(chosen) }
        switch type {
        case .bytes:
            let file = try bytesColumn(path, of: count)
            var column = BytesColumn()
            let bytes = file.bytes(before: rows.upperBound) - file.bytes(before: rows.lowerBound)
            if let chosen {
                column.reserve(rows: chosen.count, bytes: bytes / max(1, rows.count) * chosen.count)
                try file.forEach(chosen.lazy.map { rows.lowerBound + $0 }) { column.append($0) }
            } else {
                column.reserve(rows: rows.count, bytes: bytes)
                try file.forEach(rows) { column.append($0) }
            }
            return .bytes(column)
        case .vector(let dimension):
            return .vectors(
                VectorColumn(dimension: dimension, values: try numbers(path, rows, of: count, width: dimension)))
        case .integer: return .integers(try numbers(path, rows, of: count, width: 1))
        case .real: return .reals(try numbers(path, rows, of: count, width: 1))
        }
    }

    private func bytesColumn(_ path: String, of count: Int) throws(IOFailure) -> BytesColumnFile {
        let file: BytesColumnFile = try open(path) { path throws(IOFailure) in
            try BytesColumnFile(path, fileSystem: fileSystem)
        }
        guard file.rows == count else {
            throw IOFailure(.wrongColumn, path: path, found: "it has \(file.rows) rows, expected \(count)")
        }
        return file
    }

    /// The files of bytes columns, for those names that the store has.
    func bytesColumns(_ names: [ColumnName], _ shard: Shard) throws(IOFailure) -> [BytesColumnFile] {
        var files: [BytesColumnFile] = []
        for name in names where types[name] == .bytes {
            let path = path(name, shard.number, isLater: replaced.contains(name))
            files.append(try bytesColumn(path, of: shard.rows.count))
        }
        return files
    }

    private func numbers<Element: NpyElement>(
        _ path: String, _ rows: Range<Int>, of count: Int, width: Int
    ) throws(IOFailure) -> [Element] {
        let file: NpyReader<Element> = try open(path) { path throws(IOFailure) in
            try NpyReader<Element>(path, width: width, rows: count, fileSystem: fileSystem)
        }
        return try file.read(rows: rows)
    }

    /// Files stay open while their shard is in use; a checksum is verified once, when its file is opened.
    private func open<Reader: Sendable>(
        _ path: String, _ make: (String) throws(IOFailure) -> Reader
    ) throws(IOFailure) -> Reader {
        if let reader = opened.locked({ readers[path] as? Reader }) { return reader }
        let reader = try make(path)
        opened.locked {
            if readers.count >= Self.openFiles { readers = [:] }
            readers[path] = reader
        }
        return reader
    }

    func integers(_ name: ColumnName, _ rows: Range<Int>) throws(IOFailure) -> [Int64] {
        if rows.isEmpty { return [] }
        guard case .integers(let values) = try load([name], rows).first?.column else {
            let found = types[name].map { "it holds \($0.words), not integers" } ?? "there is no column of this name"
            throw IOFailure(.wrongColumn, path: "\(folder)/\(name)", found: found)
        }
        return values
    }
}
