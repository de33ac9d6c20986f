import SluiceCore
import SluiceIO

/// Writes the columns of one shard: each file gets its name when all rows are in it, or never.
final class ShardWriter {
    private enum Writer {
        case bytes(BytesColumnWriter)
        case vectors(NpyWriter<Int8>)
        case integers(NpyWriter<Int64>)
        case reals(NpyWriter<Double>)
    }

    private let path: (ColumnName) -> String
    private let fileSystem: FileSystem
    private var writers: [(name: ColumnName, writer: Writer)] = []
    private var rows = 0
    /// The columns of the first call; nil before it.
    private var names: Set<ColumnName>?

    init(fileSystem: FileSystem, path: @escaping (ColumnName) -> String) {
        self.path = path
        self.fileSystem = fileSystem
    }

    /// Appends the same rows to every column. Every call must name the same columns, each once.
    ///
    /// - Throws: `EngineError` with code `.fault` if the columns differ from those of the first call or have different
    /// numbers of rows; then nothing has been written.
    func append(_ columns: [(name: ColumnName, column: Column)]) throws {
        try expectSameColumns(columns.map(\.name))
        let count = columns.first?.column.count ?? 0
        for (name, column) in columns where column.count != count {
            throw EngineError(
                .fault, "column `\(name)` has \(column.count) rows, but the other columns of its block have \(count)")
        }
        rows += count
        for (name, column) in columns {
            switch (try writer(name, column), column) {
            case (.bytes(let writer), .bytes(let values)):
                for row in 0..<values.count {
                    try values[row].withUnsafeBytes { try writer.append($0) }
                }
            case (.vectors(let writer), .vectors(let vectors)): try writer.append(vectors.values)
            case (.integers(let writer), .integers(let values)): try writer.append(values)
            case (.reals(let writer), .reals(let values)): try writer.append(values)
            default:
                throw EngineError(.fault, "column `\(name)` changed its type to \(column.type) during the run")
            }
        }
    }

    private func expectSameColumns(_ names: [ColumnName]) throws(EngineError) {
        if let twice = names.firstRepeated {
            throw EngineError(.fault, "column `\(twice)` occurs twice among the kept columns")
        }
        let known = self.names
        self.names = Set(names)
        guard let known, let odd = known.symmetricDifference(names).min() else { return }
        throw EngineError(.fault, "column `\(odd)` was written for some blocks of records but not for others")
    }

    private func writer(_ name: ColumnName, _ column: Column) throws -> Writer {
        if let known = writers.first(where: { $0.name == name })?.writer {
            if case (.vectors(let writer), .vectors(let vectors)) = (known, column), writer.width != vectors.dimension {
                throw EngineError(
                    .data,
                    "column `\(name)` has vectors of \(vectors.dimension) dimensions after vectors of \(writer.width ?? 0)"
                )
            }
            return known
        }
        let writer: Writer =
            switch column {
            case .bytes: .bytes(try BytesColumnWriter(path(name), fileSystem: fileSystem))
            case .vectors(let vectors):
                .vectors(try NpyWriter(path(name), width: vectors.dimension, fileSystem: fileSystem))
            case .integers: .integers(try NpyWriter(path(name), fileSystem: fileSystem))
            case .reals: .reals(try NpyWriter(path(name), fileSystem: fileSystem))
            }
        writers.append((name, writer))
        return writer
    }

    /// Gives all files their names; returns the number of rows.
    func commit() throws(IOFailure) -> Int {
        for (_, writer) in writers {
            switch writer {
            case .bytes(let writer): try writer.finish()
            case .vectors(let writer): try writer.finish()
            case .integers(let writer): try writer.finish()
            case .reals(let writer): try writer.finish()
            }
        }
        writers = []
        return rows
    }
}
