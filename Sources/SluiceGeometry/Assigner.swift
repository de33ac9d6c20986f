import CVectorKernels
public import SluiceCore

/// Assigns blocks of vectors to the nearest of k fixed centres: label and squared distance, ties to the lowest centre.
///
/// Cost: n·k·d multiply-adds in a register tile. Made once (k·d bytes) and shared by all threads.
public struct Assigner: Sendable {
    public let dimension: Int
    public let count: Int
    private let packed: Packed

    /// - Parameter centres: at least one vector; they are copied.
    public init(centres: VectorView) {
        precondition(centres.count > 0, "an assigner needs a centre")
        dimension = centres.dimension
        count = centres.count
        let norms = centres.normBuffer(.serial)
        packed = Packed(centres.base, count: centres.count, dimension: centres.dimension, norms: norms.base)
    }

    /// Writes each row's nearest centre and the squared distance to it.
    public func assign(
        _ vectors: VectorView, labels: UnsafeMutablePointer<UInt32>, squaredDistances: UnsafeMutablePointer<Int32>,
        parallel: Parallel = .serial
    ) {
        precondition(
            vectors.dimension == dimension, "vectors of dimension \(vectors.dimension), centres of \(dimension)")
        let (labels, values) = (Shared(labels), Shared(squaredDistances))
        let packed = packed
        parallel.pieces(of: vectors.count) { range in
            let start = range.lowerBound
            withUnsafeTemporaryAllocation(of: Int32.self, capacity: range.count) { norms in
                packed.kernels.pointee.norms(vectors.row(start), range.count, vectors.dimension, norms.baseAddress!)
                packed.nearest(
                    vectors.row(start), count: range.count, index: labels.base + start, value: values.base + start)
                for i in 0..<range.count { values.base[start + i] += norms[i] }
            }
        }
    }

    /// Each row's nearest centre and the squared distance to it.
    public func assign(_ vectors: VectorView, parallel: Parallel = .serial) -> (
        labels: [UInt32], squaredDistances: [Int32]
    ) {
        let labels = Buffer<UInt32>(vectors.count)
        let distances = Buffer<Int32>(vectors.count)
        assign(vectors, labels: labels.base, squaredDistances: distances.base, parallel: parallel)
        return (labels.array, distances.array)
    }
}
