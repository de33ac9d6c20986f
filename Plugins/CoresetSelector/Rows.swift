import SluiceCore
import SluiceGeometry

/// The vectors of a group, in one chunk where they are in memory, else in those of the source: the same result either way.
struct Rows {
    let source: any VectorSource

    var count: Int { source.count }
    var dimension: Int { source.dimension }

    func forEach(_ body: (Range<Int>, VectorView) throws(StageError) -> Void) throws(StageError) {
        guard count > 0 else { return }
        if let resident = source.resident {
            try body(0..<count, VectorView(resident.baseAddress!, count: count, dimension: dimension))
        } else {
            try source.forEachChunk { (range, values) throws(StageError) in
                try body(range, VectorView(values.baseAddress!, count: range.count, dimension: dimension))
            }
        }
    }

    /// All vectors in memory: those of the source, or a copy.
    ///
    /// - Throws: code `.memory` where a copy does not fit in `memory`.
    func withAll<Result>(
        memory: Int, for purpose: String, _ body: (VectorView) throws(StageError) -> Result
    ) throws(StageError) -> Result {
        if let resident = source.resident, let base = resident.baseAddress {
            return try body(VectorView(base, count: count, dimension: dimension))
        }
        let need = count * dimension
        guard need <= memory else {
            throw StageError(
                .memory,
                "\(purpose) needs the \(MemorySize.describe(need)) of a group of \(count) vectors in memory and the stage's share is \(MemorySize.describe(memory)); raise `memory`, make more clusters, or choose `farthest-first`, which can read them in passes")
        }
        var all: [Int8] = []
        all.reserveCapacity(need)
        try source.forEachChunk { (_, values) throws(StageError) in all += values }
        return try all.withVectors(dimension: dimension, body)
    }

    /// The vectors of some rows, in that order.
    func gather(_ rows: [Int]) throws(StageError) -> [Int8] {
        var gathered: [Int8] = []
        gathered.reserveCapacity(rows.count * dimension)
        if let resident = source.resident {
            for row in rows { gathered += resident[(row * dimension)..<((row + 1) * dimension)] }
        } else {
            for row in rows { gathered += try source.row(row) }
        }
        return gathered
    }
}
