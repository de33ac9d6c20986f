import CVectorKernels
public import SluiceCore

/// Exact sums and sums of products of Int8 vectors, from which means and covariances follow.
///
/// They are integers, so `merge` is associative, commutative and exact: any split of the rows gives the same bits.
/// Int64 suffices for 2^49 rows. Cost: n·d²/2 multiply-adds in the register tile. Memory: 8·d² bytes, and 4,096·2·d
/// while adding.
public struct Moments: Sendable {
    public let dimension: Int
    public private(set) var count: Int
    /// The sum of each component.
    public private(set) var sums: [Int64]
    /// The sums of products of two components, `dimension` x `dimension`; only `i <= j` is filled.
    public private(set) var products: [Int64]

    public init(dimension: Int) {
        self.dimension = dimension
        count = 0
        sums = Array(repeating: 0, count: dimension)
        products = Array(repeating: 0, count: dimension * dimension)
    }

    /// The sum of the products of components `i` and `j`.
    public func product(_ i: Int, _ j: Int) -> Int64 { products[min(i, j) * dimension + max(i, j)] }

    /// Adds the rows of a block.
    public mutating func add(_ vectors: VectorView, parallel: Parallel = .serial) {
        precondition(
            vectors.dimension == dimension, "vectors of dimension \(vectors.dimension), moments of \(dimension)")
        count += vectors.count
        let dimension = dimension
        let kernels = UncheckedPointer(svk_current())
        let width = Int(SVK_PANEL)
        let panels = (dimension + width - 1) / width
        let rows = min(vectors.count, Int(SVK_GRAM_ROWS))
        let panelBytes = svk_gram_panel_bytes(rows)
        let memory = Buffer<Int8>(panels * panelBytes)
        let parts = Buffer<Int64>(panels * width)
        let pairs = (0..<panels).flatMap { a in (a..<panels).map { (a, $0) } }
        products.withUnsafeMutableBufferPointer { products in
            let products = Shared(products.baseAddress!)
            for start in stride(from: 0, to: vectors.count, by: max(1, rows)) {
                let height = min(rows, vectors.count - start)
                parallel(panels) { panel in
                    kernels.base.pointee.interleave(
                        vectors.row(start), height, dimension, panel, memory.base + panel * panelBytes,
                        parts.base + panel * width)
                }
                parallel(pairs.count) { pair in
                    let (a, b) = pairs[pair]
                    kernels.base.pointee.gram(
                        memory.base + a * panelBytes, memory.base + b * panelBytes, height,
                        min(width, dimension - a * width), min(width, dimension - b * width),
                        products.base + a * width * dimension + b * width, dimension)
                }
            }
        }
        for j in 0..<dimension { sums[j] += parts[j] }
    }

    /// Adds the moments of other rows.
    public mutating func merge(_ other: Moments) {
        precondition(other.dimension == dimension, "moments of dimensions \(dimension) and \(other.dimension)")
        count += other.count
        for j in 0..<dimension { sums[j] += other.sums[j] }
        products.withUnsafeMutableBufferPointer { mine in
            other.products.withUnsafeBufferPointer { theirs in
                for i in 0..<mine.count { mine[i] &+= theirs[i] }
            }
        }
    }

    /// The mean of each component, in Int8 units.
    public var means: [Double] { sums.map { count == 0 ? 0 : Double($0) / Double(count) } }

    /// n · (sum of products) - (product of sums): n² times the covariance, exact.
    private func scatter(_ i: Int, _ j: Int) -> Int128 {
        Int128(count) * Int128(product(i, j)) - Int128(sums[i]) * Int128(sums[j])
    }

    /// The standard deviation of each component over all rows (divided by n), in Int8 units; 1 if it is 0, as in
    /// StandardScaler.
    public var deviations: [Double] {
        (0..<dimension).map { i in
            let square = scatter(i, i)
            return square == 0 ? 1 : Double(square).squareRoot() / Double(count)
        }
    }

    /// The covariance matrix of the standardised components (the correlation matrix), row after row, symmetric; a
    /// component that never changes has a row of zeros. Each entry is computed from exact integers by one division and
    /// a root.
    public func standardizedCovariance() -> [Double] {
        let d = dimension
        var result = [Double](repeating: 0, count: d * d)
        let roots = (0..<d).map { Double(scatter($0, $0)).squareRoot() }
        for i in 0..<d where roots[i] > 0 {
            for j in i..<d where roots[j] > 0 {
                let value = i == j ? 1 : Double(scatter(i, j)) / (roots[i] * roots[j])
                result[i * d + j] = value
                result[j * d + i] = value
            }
        }
        return result
    }

    /// The mean of products x xᵀ / (n · scale²): the basis of the effective rank of unit vectors. Row-major, symmetric.
    public func gramMatrix() -> [Double] {
        let d = dimension
        let scale = Quantizer(dimension: d).scale
        let divisor = Double(max(1, count)) * scale * scale
        var result = [Double](repeating: 0, count: d * d)
        for i in 0..<d {
            for j in i..<d {
                let value = Double(products[i * d + j]) / divisor
                result[i * d + j] = value
                result[j * d + i] = value
            }
        }
        return result
    }
}

extension Moments: ByteCodable {
    public func write(to bytes: inout ByteWriter) {
        bytes.write(dimension)
        bytes.write(count)
        bytes.write(sums)
        bytes.write(products)
    }

    public init(from bytes: inout ByteReader) throws(StageError) {
        dimension = try bytes.read()
        count = try bytes.read()
        sums = try bytes.read()
        products = try bytes.read()
        guard dimension == sums.count, dimension * dimension == products.count, count >= 0 else {
            throw ByteReader.damaged("\(products.count) sums of products are none of \(dimension) dimensions")
        }
    }
}
