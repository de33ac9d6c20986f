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

    /// The name of a shard: the part of the input that it comes from, and its number within that part.
    struct ShardID: Sendable, Hashable {
        let part: Int
        let index: Int

        var name: String { "\(part)-\(index)" }
    }

    struct Shard: Sendable {
        let id: ShardID
        /// Its index in the store.
        let number: Int
        let rows: Range<Int>
        fileprivate(set) var columns: [ColumnName: Stored]
    }

    /// A column of a shard.
    struct Stored: Sendable {
        let type: ColumnType
        /// The round of work that wrote it; 0 is the reading of the input. Each round writes files of its own, so that one
        /// that is stopped and done again finds what it read.
        let round: Int
    }

    let folder: String
    private let fileSystem: FileSystem
    private(set) var types: [ColumnName: ColumnType] = [:]
    private(set) var shards: [Shard] = []
    private var replaced: [String] = []
    private let isShared: Bool
    private let opened = Monitor()
    private var readers: [String: any Sendable] = [:]
    /// Well below 1,024, the default limit of open files per process.
    private static let openFiles = 128

    /// - Parameter isShared: whether other processes may be reading the columns. Then none are removed.
    init(folder: String, fileSystem: FileSystem, isShared: Bool = false) throws(IOFailure) {
        self.folder = folder
        self.isShared = isShared
        self.fileSystem = fileSystem
        try fileSystem.makeFolder(folder)
    }

    /// The shards as a checkpoint records them.
    var checkpoint: [Checkpoint.Shard] {
        shards.map { Checkpoint.Shard(part: $0.id.part, rows: $0.rows.count, types: types) }
    }

    var rows: Int { shards.last?.rows.upperBound ?? 0 }

    /// The next shard of a part.
    func next(of part: Int) -> ShardID {
        ShardID(part: part, index: shards.last.map { $0.id.part == part ? $0.id.index + 1 : 0 } ?? 0)
    }

    /// A writer for a new shard, or for columns that a later round adds to one.
    func writer(_ shard: ShardID, round: Int = 0) -> ShardWriter {
        ShardWriter(fileSystem: fileSystem) { [self] name in path(name, shard, round) }
    }

    /// Adds a finished shard.
    func add(_ id: ShardID, rows count: Int, types: [ColumnName: ColumnType]) {
        shards.append(Shard(id: id, number: shards.count, rows: rows..<(rows + count), columns: [:]))
        add(types, to: shards.count - 1, round: 0)
    }

    /// Adds columns to a shard, or replaces those of these names.
    func add(_ types: [ColumnName: ColumnType], to shard: Int, round: Int) {
        for (name, type) in types {
            // What the reading wrote stays: work that goes on from the end of the reading starts with it.
            if let old = shards[shard].columns[name], old.round > 0, old.round != round {
                replaced.append(path(name, shards[shard].id, old.round))
            }
            shards[shard].columns[name] = Stored(type: type, round: round)
        }
        self.types.merge(types) { _, new in new }
    }

    /// Removes the files of columns that later rounds have replaced.
    func removeReplaced() throws(IOFailure) {
        guard !isShared else { return }
        for path in replaced { try fileSystem.remove(path) }
        replaced = []
    }

    /// - Parameter round: no stage's column has a `+` in its name.
    private func path(_ name: ColumnName, _ shard: ShardID, _ round: Int) -> String {
        "\(folder)/\(name.name)\(round > 0 ? "+\(round)" : "").\(shard.name).npy"
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
            guard let stored = shard.columns[name] else { continue }
            let path = path(name, shard.id, stored.round)
            result.append((name, try load(path, stored.type, local, chosen, of: shard.rows.count)))
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
        for name in names {
            guard let stored = shard.columns[name], stored.type == .bytes else { continue }
            files.append(try bytesColumn(path(name, shard.id, stored.round), of: shard.rows.count))
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
