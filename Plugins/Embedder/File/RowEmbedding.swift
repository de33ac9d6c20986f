import SluiceCore
import SluiceGeometry
import Synchronization

/// Gives each record its row of the files of vectors.
struct RowEmbedding: WorkerTransform {
    let source: RowSource
    let columns: VectorColumns
    private let rows: SharedRows

    init(source: RowSource, columns: VectorColumns) {
        (self.source, self.columns) = (source, columns)
        rows = SharedRows(source)
    }

    var residentBytes: Int { source.ids == nil ? 0 : IdTable.bytes(source.count) }

    func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: VectorRows.Scratch.bytes(dimension: source.dimension), growth: 0)
    }

    /// What a thread needs to read rows.
    struct Worker {
        fileprivate let open: OpenRows
        fileprivate var scratch: VectorRows.Scratch
    }

    func makeWorker(_ context: StageContext) throws(StageError) -> Worker {
        Worker(open: try rows.open(), scratch: VectorRows.Scratch(dimension: source.dimension))
    }

    func apply(to block: inout Block, with worker: inout Worker) throws(StageError) {
        let dimension = source.dimension
        var places = [(file: Int, row: Int)?](repeating: nil, count: block.count)
        if let id = source.id {
            let field = block.field(id)
            for record in 0..<block.count where block.isLive(record) {
                places[record] = try worker.open.place(of: field[record])
                if places[record] == nil { try block.miss(record, source.missing, reason(field[record], id)) }
            }
        } else {
            for record in 0..<block.count where block.isLive(record) {
                let ordinal = block.ordinals[record]
                places[record] = try place(of: ordinal)
                if places[record] == nil {
                    try block.miss(record, source.missing, beyond(ordinal))
                }
            }
        }
        var values = [Int8](repeating: 0, count: block.count * dimension)
        var failure: StageError?
        values.withUnsafeMutableBufferPointer { output in
            guard let base = output.baseAddress else { return }
            do throws(StageError) { try worker.read(places, dimension, into: base) } catch { failure = error }
        }
        if let failure { throw failure }
        block.write(values, dimension: dimension, isFound: places.map { $0 != nil }, into: columns)
    }

    /// The file of the record's input, and its line in it.
    private func place(of ordinal: Ordinal) throws(StageError) -> (file: Int, row: Int)? {
        guard ordinal.file < source.files.count else {
            throw StageError(
                .invalidData,
                "`path` has \(source.files.count == 1 ? "one file" : "\(source.files.count) files") of vectors, and this is input \(ordinal.file + 1); give as many, in the order of the inputs, or use `id` and `ids`",
                ordinal: ordinal)
        }
        return ordinal.line <= source.files[ordinal.file].count ? (ordinal.file, ordinal.line - 1) : nil
    }

    private func beyond(_ ordinal: Ordinal) -> String {
        "\(source.files[ordinal.file].path) has \(source.files[ordinal.file].count) rows"
    }

    private func reason(_ value: FieldValue, _ id: FieldPath) -> String {
        switch value {
        case .string(let bytes), .json(let bytes):
            "`ids` has no `\(Printable.message(String(decoding: bytes.prefix(60), as: UTF8.self)))`"
        case .missing, .null, .chat: "its field `\(id)` is missing"
        }
    }
}

extension RowEmbedding.Worker {
    /// Reads the rows, those that follow each other at once.
    fileprivate mutating func read(
        _ places: [(file: Int, row: Int)?], _ dimension: Int, into output: UnsafeMutablePointer<Int8>
    ) throws(StageError) {
        var record = 0
        while record < places.count {
            guard let first = places[record] else {
                record += 1
                continue
            }
            var end = record + 1
            while end < places.count, let next = places[end], next.file == first.file,
                next.row == first.row + end - record
            { end += 1 }
            do throws(VectorFileError) {
                try open.readers[first.file].quantized(
                    first.row..<(first.row + end - record), into: output + record * dimension, &scratch)
            } catch {
                throw StageError(.invalidData, error.description)
            }
            record = end
        }
    }
}

/// The opened files, and the table of ids. Closed when nobody holds them.
final class OpenRows: Sendable {
    let readers: [VectorRows]
    private let table: IdTable?
    /// The first row of each file among all.
    private let starts: [Int]

    fileprivate init(_ source: RowSource) throws(StageError) {
        var readers: [VectorRows] = []
        var starts = [0]
        for file in source.files {
            do throws(VectorFileError) { readers.append(try VectorRows(file)) } catch {
                throw .option("path", "`path`: \(error.description)")
            }
            starts.append(starts[starts.count - 1] + file.count)
        }
        (self.readers, self.starts) = (readers, starts)
        guard let ids = source.ids else {
            table = nil
            return
        }
        table = try IdTable(ids, expected: source.count)
    }

    func place(of id: FieldValue) throws(StageError) -> (file: Int, row: Int)? {
        switch id {
        case .string(let bytes), .json(let bytes):
            guard let row = table?.row(of: bytes), let file = starts.lastIndex(where: { $0 <= row }) else { return nil }
            return (file, row - starts[file])
        case .missing, .null, .chat: return nil
        }
    }
}

/// What the workers of a pass share: opened for the first of them, closed after the last.
private final class SharedRows: Sendable {
    private struct State {
        weak var open: OpenRows?
    }

    private let source: RowSource
    private let state = Mutex(State())

    init(_ source: RowSource) { self.source = source }

    func open() throws(StageError) -> OpenRows {
        try state.withLock { (state) throws(StageError) in
            if let open = state.open { return open }
            let open = try OpenRows(source)
            state.open = open
            return open
        }
    }
}
