import SluiceCore
import SluiceGeometry

/// The vectors of a group: one chunk if in memory, otherwise the chunks of the source. The result is the same.
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

    /// Calls `body` with parts of `size` rows in order, the last one perhaps shorter. Boundaries depend on `size`
    /// alone.
    func forEachPart(of size: Int, _ body: (Range<Int>, VectorView) throws(StageError) -> Void) throws(StageError) {
        var part: [Int8] = []
        var start = 0
        func handOver() throws(StageError) {
            let range = start..<(start + part.count / dimension)
            try part.withVectors(dimension: dimension) { (view) throws(StageError) in try body(range, view) }
            start = range.upperBound
            part.removeAll(keepingCapacity: true)
        }
        try forEach { (range, view) throws(StageError) in
            guard range.count < count else {
                for start in stride(from: 0, to: count, by: size) {
                    let range = start..<min(count, start + size)
                    try body(range, view[range])
                }
                return
            }
            part.reserveCapacity(min(size, count) * dimension)
            var row = 0
            while row < view.count {
                let take = min(view.count - row, size - part.count / dimension)
                part += UnsafeBufferPointer(start: view.row(row), count: take * dimension)
                row += take
                if part.count == size * dimension { try handOver() }
            }
        }
        if !part.isEmpty { try handOver() }
    }

    /// Calls `body` with all vectors in memory: those of the source, or a copy.
    ///
    /// - Throws: code `.memory` if a copy does not fit in `memory`.
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
                "\(purpose) needs the \(MemorySize.describe(need)) of a group of \(count) vectors in memory; the stage's share is \(MemorySize.describe(memory)); raise `memory`, make more clusters, set `reservoir`, or choose `farthest-first`, which can read them in passes"
            )
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

    /// The vectors of several lists of rows, each ascending, in one pass if they are not in memory.
    func gather(_ lists: [[Int]]) throws(StageError) -> [[Int8]] {
        var gathered = lists.map { rows in
            var vectors: [Int8] = []
            vectors.reserveCapacity(rows.count * dimension)
            return vectors
        }
        var next = [Int](repeating: 0, count: lists.count)
        try forEach { (range, view) throws(StageError) in
            for (number, list) in lists.enumerated() {
                while next[number] < list.count, list[next[number]] < range.upperBound {
                    let row = list[next[number]] - range.lowerBound
                    gathered[number] += UnsafeBufferPointer(start: view.row(row), count: dimension)
                    next[number] += 1
                }
            }
        }
        return gathered
    }
}
