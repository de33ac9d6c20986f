import SluiceCore
import SluiceGeometry

/// The vectors of records chosen earlier: they count as picks from the start, but not towards the budget.
struct Earlier: Sendable {
    let vectors: [Int8]
    let dimension: Int
    /// Digest of the vectors and their order, to identify them in `run.json`.
    let digest: UInt64

    var count: Int { vectors.count / dimension }

    init(vectors: [Int8], dimension: Int) {
        self.vectors = vectors
        self.dimension = dimension
        var state = Seed.mix(UInt64(dimension))
        for start in stride(from: 0, to: vectors.count, by: 8) {
            var word: UInt64 = 0
            for value in vectors[start..<min(vectors.count, start + 8)] {
                word = word << 8 | UInt64(UInt8(bitPattern: value))
            }
            state = Seed.mix(state ^ word)
        }
        digest = state
    }

    /// Reads the file, before anything else of a run is read.
    ///
    /// - Parameter dimension: the dimension of the run's vectors; nil if unknown.
    static func read(_ path: String, dimension: Int?, memory: Int) throws(StageError) -> Earlier {
        func wrong(_ message: String) -> StageError { .option("already", "`already`: \(message)") }
        let file: VectorFile
        do throws(VectorFileError) { file = try VectorFile(path) } catch { throw wrong(error.description) }
        if let dimension, file.dimension != dimension {
            throw wrong(
                "\(path): its vectors have \(file.dimension) components; `embedding` has \(dimension); create it with the same `embed` stage"
            )
        }
        guard file.count > 0 else { throw wrong("\(path): it contains no vectors; remove `already`") }
        let need = 2 * file.count * file.dimension
        guard need <= memory else {
            throw StageError(
                .memory,
                "`already`: \(path) needs \(MemorySize.describe(need)); the stage's share is \(MemorySize.describe(memory)); raise `memory`"
            )
        }
        do throws(VectorFileError) {
            return Earlier(vectors: try file.read(), dimension: file.dimension)
        } catch {
            throw wrong(error.description)
        }
    }

    var report: Report {
        let digits = String(digest, radix: 16)
        return [
            "vectors": .integer(count), "digest": .text(String(repeating: "0", count: 16 - digits.utf8.count) + digits),
        ]
    }
}
