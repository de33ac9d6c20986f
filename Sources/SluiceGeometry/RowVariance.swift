import CVectorKernels
public import SluiceCore

/// LIFT's «variety» of a row (Xu et al., arXiv 2312.11508): standardise, project on the principal components that
/// explain 95 % of the variance, and take the variance of the row's coordinates; or the row's leverage in the same
/// space.
///
/// It scores single rows: two equal rows score equal, so it does not remove duplicates (see `PairwiseFilter`).
///
/// The order of floating-point operations is fixed: a coordinate adds its products in the order of the input
/// components, and a row's score adds its coordinates in eight interleaved sums. So every machine and width gives the
/// same bits. Cost: n·d·components multiply-adds in Double.
public struct RowVariance: Sendable {
    /// How many principal components to keep.
    public struct Components: Sendable, Hashable {
        fileprivate let offset: Int
        /// As in the authors' code: the *index* of the first component whose cumulative share reaches 95 % is used as a
        /// count, so it is one too few.
        public static let paper = Components(offset: 0)
        /// The fewest components that explain 95 % of the variance.
        public static let full = Components(offset: 1)
    }

    /// The score of a row.
    public struct Measure: Sendable, Hashable {
        fileprivate let isLeverage: Bool
        /// The population variance of the row's coordinates, LIFT's score.
        public static let rowVariance = Measure(isLeverage: false)
        /// The squared length of the whitened row (Mahalanobis), divided by the number of components: 1 on average.
        public static let leverage = Measure(isLeverage: true)
    }

    public let dimension: Int
    /// How many components are kept, at least 1.
    public let components: Int
    /// All eigenvalues of the correlation matrix, descending.
    public let eigenvalues: [Double]
    private let measure: Measure
    /// `components` rounded up to a multiple of 8; the rest has weight 0.
    private let width: Int
    private let weights: Buffer<Double>
    private let offsets: Buffer<Double>

    /// - Parameters:
    ///   - moments: of all rows.
    ///   - explained: the share of variance that the components must reach.
    public init(
        moments: Moments, measure: Measure = .rowVariance, components: Components = .paper, explained: Double = 0.95,
        parallel: Parallel = .serial
    ) {
        let d = moments.dimension
        let eigen = SymmetricEigen(moments.standardizedCovariance(), dimension: d, parallel: parallel)
        self.init(eigen: eigen, moments: moments, measure: measure, components: components, explained: explained)
    }

    /// The same, given the eigenvectors of `moments.standardizedCovariance()`.
    public init(
        eigen: SymmetricEigen, moments: Moments, measure: Measure, components: Components, explained: Double = 0.95
    ) {
        let d = moments.dimension
        dimension = d
        eigenvalues = eigen.values
        self.measure = measure
        var total = 0.0
        for value in eigen.values { total += max(0, value) }
        var sum = 0.0
        var index = 0
        for (k, value) in eigen.values.enumerated() {
            sum += max(0, value)
            index = k
            if sum / total >= explained { break }
        }
        // A direction without variance can't be whitened.
        let positive = max(1, eigen.values.count { $0 > 1e-12 * eigen.values[0] })
        let kept = min(max(1, index + components.offset), measure.isLeverage ? positive : d)
        self.components = kept
        width = (kept + 7) / 8 * 8
        weights = Buffer(d * width)
        offsets = Buffer(width)
        let (means, deviations) = (moments.means, moments.deviations)
        for j in 0..<kept {
            let scale = measure.isLeverage && eigen.values[j] > 0 ? 1 / eigen.values[j].squareRoot() : 1
            var offset = 0.0
            for i in 0..<d {
                let weight = eigen.vectors[j * d + i] / deviations[i] * scale
                weights[svk_weight_index(i, j, d, width)] = weight
                offset += means[i] * weight
            }
            offsets[j] = offset
        }
    }

    /// The score of each row.
    public func scores(_ vectors: VectorView, parallel: Parallel = .serial) -> [Double] {
        precondition(vectors.dimension == dimension, "vectors of dimension \(vectors.dimension), not \(dimension)")
        let out = Buffer<Double>(vectors.count)
        parallel.pieces(of: vectors.count, size: 512) { range in
            let kernels = svk_current()
            let z = Buffer<Double>(64 * width)
            let scratch = Buffer<Double>(8 * dimension)
            for start in stride(from: range.lowerBound, to: range.upperBound, by: 64) {
                let height = min(64, range.upperBound - start)
                kernels.pointee.project(
                    vectors.row(start), height, dimension, weights.base, width, offsets.base, z.base, scratch.base)
                for r in 0..<height {
                    out.base[start + r] = figure(z.base + r * width, kernels)
                }
            }
        }
        return out.array
    }

    private func figure(_ z: UnsafeMutablePointer<Double>, _ kernels: Kernels) -> Double {
        let n = Double(components)
        if measure.isLeverage { return kernels.pointee.inner(width, z, z) / n }
        var parts = SIMD8<Double>(repeating: 0)
        for j in stride(from: 0, to: width, by: 8) {
            parts += UnsafeRawPointer(z + j).loadUnaligned(as: SIMD8<Double>.self)
        }
        let mean = pairwiseSum(parts) / n
        // Entries past the components are 0 and must not count.
        for j in 0..<components { z[j] -= mean }
        return kernels.pointee.inner(width, z, z) / n
    }

    private func pairwiseSum(_ s: SIMD8<Double>) -> Double {
        ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
    }
}

extension RowVariance: ByteCodable {
    public func write(to bytes: inout ByteWriter) {
        bytes.write(dimension)
        bytes.write(components)
        bytes.write(eigenvalues)
        bytes.write(measure.isLeverage)
        bytes.write(weights.array)
        bytes.write(offsets.array)
    }

    public init(from bytes: inout ByteReader) throws(StageError) {
        dimension = try bytes.read()
        components = try bytes.read()
        eigenvalues = try bytes.read()
        measure = try bytes.read(Bool.self) ? .leverage : .rowVariance
        let (weights, offsets) = (try bytes.read([Double].self), try bytes.read([Double].self))
        guard dimension > 0, (1...dimension).contains(components), eigenvalues.count == dimension,
            offsets.count == (components + 7) / 8 * 8, weights.count == dimension * offsets.count
        else { throw ByteReader.damaged("\(weights.count) weights are none of \(dimension) dimensions") }
        width = offsets.count
        self.weights = Buffer(weights)
        self.offsets = Buffer(offsets)
    }
}
