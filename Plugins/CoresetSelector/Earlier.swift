import SluiceCore
import SluiceGeometry
import Synchronization

/// The vectors of records chosen earlier: they count as picks from the start, but not towards the budget.
struct Earlier: Sendable {
    /// Empty where there is no memory for them: then the run is refused, and only their number counts.
    let vectors: [Int8]
    let count: Int
    let dimension: Int
    /// Digest of the vectors and their order, to identify them in `run.json`.
    let digest: UInt64

    /// What the vectors take, in bytes.
    var bytes: Int { count * dimension }

    init(vectors: [Int8], count: Int? = nil, dimension: Int) {
        self.vectors = vectors
        self.count = count ?? vectors.count / dimension
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

    var report: JSONValue {
        let digits = String(digest, radix: 16)
        return [
            "vectors": .integer(count), "digest": .text(String(repeating: "0", count: 16 - digits.utf8.count) + digits),
        ]
    }
}

/// The file of the option `already`. Its vectors are read once, however often work is made of the stage.
final class EarlierFile: Sendable {
    let path: String
    private let known = Mutex<Earlier?>(nil)

    init(_ path: String) { self.path = path }

    /// The vectors, read before anything else of a run is read.
    ///
    /// - Parameters:
    ///   - dimension: what the vectors of the run have, where that is known.
    ///   - memory: bytes that the stage may take. With less than the vectors need, only the header is read: what they need
    ///     is then part of what the refusal says.
    func read(dimension: Int?, memory: Int) throws(StageError) -> Earlier {
        let file: VectorFile
        do throws(VectorFileError) { file = try VectorFile(path) } catch { throw wrong(error.description) }
        if let dimension, file.dimension != dimension {
            throw wrong(
                "\(path): its vectors have \(file.dimension) components; `embedding` has \(dimension); create it with the same `embed` stage"
            )
        }
        guard file.count > 0 else { throw wrong("\(path): it contains no vectors; remove `already`") }
        guard 2 * file.count * file.dimension <= memory else {
            return Earlier(vectors: [], count: file.count, dimension: file.dimension)
        }
        do throws(VectorFileError) {
            return try known.withLock { (known) throws(VectorFileError) in
                if let known { return known }
                let earlier = Earlier(vectors: try file.read(), dimension: file.dimension)
                known = earlier
                return earlier
            }
        } catch {
            throw wrong(error.description)
        }
    }

    private func wrong(_ message: String) -> StageError { .option("already", "`already`: \(message)") }
}
