import CVectorKernels
public import SluiceCore

/// A borrowed block of vectors: `count` rows of `dimension` Int8 components, row after row without padding, any
/// alignment.
///
/// The view owns nothing: the memory must not change while the view is in use. `count` is at most 2^31 - 1 and
/// `dimension` 1 to 8,192, so that every product and squared distance fits an Int32.
///
/// @unchecked: it only reads.
public struct VectorView: @unchecked Sendable {
    public let base: UnsafePointer<Int8>
    public let count: Int
    public let dimension: Int

    /// The largest dimension: squared distances of larger vectors might not fit an Int32.
    public static let maximumDimension = Int(SVK_MAX_DIMENSION)

    public init(_ base: UnsafePointer<Int8>, count: Int, dimension: Int) {
        precondition(1...Self.maximumDimension ~= dimension, "a dimension of \(dimension) is not in 1...8192")
        precondition(0...Int(Int32.max) ~= count, "\(count) vectors are not in 0..<2^31")
        self.base = base
        self.count = count
        self.dimension = dimension
    }

    /// The rows in `range`, numbered from 0.
    public subscript(range: Range<Int>) -> VectorView {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "rows \(range) are not in 0..<\(count)")
        return VectorView(base + range.lowerBound * dimension, count: range.count, dimension: dimension)
    }

    /// The start of row `index`.
    public func row(_ index: Int) -> UnsafePointer<Int8> { base + index * dimension }

    /// The rows' squared lengths. One pass over the memory.
    public func squaredNorms(_ parallel: Parallel = .serial) -> [Int32] { normBuffer(parallel).array }

    /// The product of a vector of this dimension with every row. One pass over the memory.
    public func products(with vector: UnsafePointer<Int8>, _ parallel: Parallel = .serial) -> [Int32] {
        let out = Buffer<Int32>(count)
        let vector = UncheckedPointer(vector)
        parallel.pieces(of: count) { range in
            svk_current().pointee.dots(
                vector.base, row(range.lowerBound), nil, range.count, dimension, out.base + range.lowerBound)
        }
        return out.array
    }

    func normBuffer(_ parallel: Parallel) -> Buffer<Int32> {
        let out = Buffer<Int32>(count)
        parallel.pieces(of: count) { range in
            svk_current().pointee.norms(row(range.lowerBound), range.count, dimension, out.base + range.lowerBound)
        }
        return out
    }

    /// The exact sum of all rows, component by component.
    public func sum(_ parallel: Parallel = .serial) -> [Int64] {
        let size = 65_536
        let pieces = (count + size - 1) / size
        let parts = Buffer<Int64>(pieces * dimension)
        parallel.pieces(of: count, size: size) { range in
            svk_current().pointee.sums(
                row(range.lowerBound), nil, range.count, dimension, parts.base + range.lowerBound / size * dimension)
        }
        var total = [Int64](repeating: 0, count: dimension)
        for piece in 0..<pieces {
            for j in 0..<dimension { total[j] += parts[piece * dimension + j] }
        }
        return total
    }
}

/// A pointer to read from in pieces of parallel work.
struct UncheckedPointer<Element>: @unchecked Sendable {
    let base: UnsafePointer<Element>
    init(_ base: UnsafePointer<Element>) { self.base = base }
}

extension [Int8] {
    /// Lends the array as vectors of `dimension` components.
    public func withVectors<Result, Failure: Error>(
        dimension: Int, _ body: (VectorView) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(count % dimension == 0, "\(count) components are not whole vectors of \(dimension)")
        let empty = Buffer<Int8>(1)
        defer { _ = empty }
        var result: Swift.Result<Result, Failure>?
        withUnsafeBufferPointer { buffer in
            let view = VectorView(
                buffer.baseAddress ?? UnsafePointer(empty.base), count: buffer.count / dimension, dimension: dimension)
            do throws(Failure) { result = .success(try body(view)) } catch { result = .failure(error) }
        }
        return try result!.get()
    }
}
