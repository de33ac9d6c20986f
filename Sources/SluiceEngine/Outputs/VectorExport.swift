import SluiceCore
import SluiceIO

/// Writes the vectors of the kept records, or of all, in their order, and their ids.
///
/// `vectors.npy` has one row of int8 per record; `vectors.ids.jsonl` has one JSON value per line, the id of that row: so
/// `embed: {model: file}` finds them again, and so does NumPy. Both follow from the kept columns, once it is settled which
/// records stay, so a stopped run writes them anew.
struct VectorExport {
    static let vectorFile = "vectors.npy"
    static let idFile = "vectors.ids.jsonl"
    /// Bytes of vectors handled at a time.
    private static let chunkBytes = 1 << 20

    let column: ColumnName
    let ids: FieldPath?
    /// Whether dropped records count, too, as far as they were kept in columns.
    let isWhole: Bool
    let dimension: Int
    let fileSystem: FileSystem
    let isStopped: @Sendable () -> Bool

    /// nil if the definition wants no vectors.
    init?(_ run: RunContext) {
        guard let column = run.definition.output.vectors,
            case .vector(let dimension)? = run.chain.written.last(where: { $0.name == column })?.type
        else { return nil }
        (self.column, self.dimension) = (column, dimension)
        (ids, isWhole) = (run.definition.output.vectorIds, run.definition.output.writesAllVectors)
        (fileSystem, isStopped) = (run.fileSystem, run.isStopped)
    }

    /// Writes the live rows of a store into a folder.
    func write(_ rows: RowRound.Rows, to folder: String) throws {
        let writer = try NpyWriter<Int8>("\(folder)/\(Self.vectorFile)", width: dimension, fileSystem: fileSystem)
        let lines = try ids.map { _ in try LineFile("\(folder)/\(Self.idFile)", fileSystem) }
        let step = max(1, min(4096, Self.chunkBytes / dimension))
        for shard in rows.store.shards {
            for start in stride(from: shard.rows.lowerBound, to: shard.rows.upperBound, by: step) {
                if isStopped() { throw EngineError.stopped }
                let range = start..<min(start + step, shard.rows.upperBound)
                let chosen = isWhole ? Array(0..<range.count) : rows.live.local(range)
                guard !chosen.isEmpty else { continue }
                for (name, column) in try rows.store.load(names, range, chosen) {
                    switch column {
                    case .vectors(let vectors) where name == self.column: try writer.append(vectors.values)
                    case .bytes(let values): try lines?.append(values)
                    default: break
                    }
                }
            }
        }
        try writer.finish()
        try lines?.finish()
    }

    private var names: [ColumnName] { [column] + (ids.map { [FieldColumns.name($0)] } ?? []) }

    /// Joins what was written for each part of the input.
    func join(_ parts: [String], in folder: String) throws {
        let writer = try NpyWriter<Int8>("\(folder)/\(Self.vectorFile)", width: dimension, fileSystem: fileSystem)
        let lines = try ids.map { _ in try LineFile("\(folder)/\(Self.idFile)", fileSystem) }
        for part in parts {
            if isStopped() { throw EngineError.stopped }
            let reader = try NpyReader<Int8>("\(part)/\(Self.vectorFile)", width: dimension, fileSystem: fileSystem)
            try reader.forEachChunk(of: max(1, Self.chunkBytes / dimension)) { _, rows throws(IOFailure) in
                try writer.append(rows)
            }
            try lines?.append(contentsOf: "\(part)/\(Self.idFile)")
        }
        try writer.finish()
        try lines?.finish()
    }

    /// The entries of the manifest: `file`, `column` or `field`, `bytes` and `content`.
    func report(in folder: String) throws -> [JSONValue] {
        func entry(_ name: String, _ source: JSONValue.Entry) throws -> JSONValue {
            let facts = try fileSystem.digest(of: "\(folder)/\(name)")
            return .object([
                .init("file", .text(name)), source, .init("bytes", .integer(facts.bytes)),
                .init("content", .text(StageFiles.spelled(facts.hash))),
            ])
        }
        return try [entry(Self.vectorFile, .init("column", .text(column.name)))]
            + (ids.map { [try entry(Self.idFile, .init("field", .text($0.description)))] } ?? [])
    }
}

/// A file of ids that is being written.
private final class LineFile {
    private var file: AtomicFile?
    private let fileSystem: FileSystem
    private var buffer: [UInt8] = []

    init(_ path: String, _ fileSystem: FileSystem) throws(IOFailure) {
        self.fileSystem = fileSystem
        file = try AtomicFile(path, fileSystem: fileSystem)
    }

    /// Adds a line for each row of a kept field: see `FieldColumns`.
    func append(_ values: BytesColumn) throws(IOFailure) {
        for row in 0..<values.count {
            let value = values[row]
            switch value.first.flatMap(FieldKind.init(rawValue:)) {
            case .string: value.dropFirst().withUnsafeBytes { buffer.appendJSONString($0) }
            case .json: buffer.append(contentsOf: value.dropFirst())
            case .missing, .null, .chat, nil: buffer.append(contentsOf: Array("null".utf8))
            }
            buffer.append(0x0A)
        }
        if buffer.count > 128 << 10 { try drain() }
    }

    func append(contentsOf path: String) throws(IOFailure) {
        let source = try fileSystem.openInput(path)
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)
        defer { chunk.deallocate() }
        while case let count = try source.read(into: chunk), count > 0 {
            buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: chunk[..<count]))
            try drain()
        }
    }

    private func drain() throws(IOFailure) {
        try file?.write(buffer)
        buffer.removeAll(keepingCapacity: true)
    }

    func finish() throws(IOFailure) {
        try drain()
        guard let whole = file.take() else { return }
        try whole.commit()
    }
}
