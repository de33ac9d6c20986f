import SluiceCore
import SluiceGeometry

/// Gives each record its row of the files of vectors.
struct RowEmbedding: WorkerTransform {
    let source: RowSource
    let columns: VectorColumns
    private let shared = Shared<OpenRows>()

    init(source: RowSource, columns: VectorColumns) { (self.source, self.columns) = (source, columns) }

    var residentBytes: Int { source.finder.bytes(rows: source.count) }

    func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: VectorRows.Scratch.bytes(dimension: source.dimension), growth: 0)
    }

    /// What a thread needs to read rows.
    struct Worker {
        fileprivate let open: OpenRows
        fileprivate var scratch: VectorRows.Scratch
    }

    func makeWorker(_ context: StageContext) throws(StageError) -> Worker {
        let open = try shared.value { () throws(StageError) in try OpenRows(source) }
        return Worker(open: open, scratch: VectorRows.Scratch(dimension: source.dimension))
    }

    func apply(to block: inout Block, with worker: inout Worker) throws(StageError) {
        let dimension = source.dimension
        let places = try worker.open.places.find(in: &block)
        var values = [Int8](repeating: 0, count: block.count * dimension)
        var failure: StageError?
        values.withUnsafeMutableBufferPointer { output in
            guard let base = output.baseAddress else { return }
            do throws(StageError) { try worker.read(places, dimension, into: base) } catch { failure = error }
        }
        if let failure { throw failure }
        block.write(values, dimension: dimension, into: columns)
    }
}

extension RowEmbedding.Worker {
    /// Reads the rows, those that follow each other at once.
    fileprivate mutating func read(
        _ places: [RowPlaces.Place?], _ dimension: Int, into output: UnsafeMutablePointer<Int8>
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
    fileprivate let readers: [VectorRows]
    fileprivate let places: RowPlaces

    fileprivate init(_ source: RowSource) throws(StageError) {
        readers = try source.files.map { (file) throws(StageError) in
            do throws(VectorFileError) { return try VectorRows(file) } catch {
                throw .option("path", "`path`: \(error.description)")
            }
        }
        places = try source.finder.open(files: source.files)
    }
}
