import CVectorKernels
public import SluiceCore

/// The largest singular values of a sparse matrix with their singular vectors, by subspace iteration from a random start
/// (Halko, Martinsson and Tropp, «Finding Structure with Randomness», SIAM Review 2011), the same bits on every machine
/// and for every width.
///
/// Works on the side of the rows: a product with `A Aᵀ` reads each column once, so nothing of the size of the columns is
/// held. Only `+ - * /` and `sqrt`, in a fixed order. With k directions (the rank and 32 more) a round takes 4 k operations
/// an entry and 4 k² a row. A matrix of lower rank gives values of 0 with zero vectors.
public struct TruncatedSVD: Sendable {
    /// Directions beyond the rank that the iteration carries along.
    public static let oversampling = 32
    /// Values below this share of the largest one are rounding, and count as 0.
    private static let least = 1e-6

    public let rank: Int
    /// Descending; `rank` of them.
    public let values: [Double]
    private let matrix: SparseColumns
    /// Row-major, `rank` wide: the left vectors, divided by their values.
    private let left: Buffer<Double>

    /// Bytes that `init` takes at most beside the matrix.
    public static func bytes(rows: Int, rank: Int) -> Int {
        let width = RowBlocks.width(for: rank + oversampling)
        return 3 * rows * width * 8 + 6 * width * width * 8
    }

    /// Bytes that stay as long as the value.
    public static func heldBytes(rows: Int, rank: Int) -> Int { rows * rank * 8 }

    /// - Parameter rounds: products with `A Aᵀ` after the first one.
    public init(
        _ matrix: SparseColumns, rank: Int, rounds: Int = 4, seed: Seed, parallel: Parallel = .serial,
        isStopped: () -> Bool = { false }
    ) {
        precondition(rank > 0, "a rank of \(rank)")
        self.rank = rank
        self.matrix = matrix
        var basis = RowBlocks(rows: matrix.rows, width: rank + Self.oversampling)
        basis.fillWithSigns(seed)
        for _ in 0..<rounds where !isStopped() {
            basis = basis.product(with: matrix, parallel).orthonormal(parallel)
        }
        basis = basis.orthonormal(parallel)
        // Of the matrix within the basis, an ordinary eigenvalue problem.
        let product = isStopped() ? basis : basis.product(with: matrix, parallel)
        let inner = basis.gram(product, parallel)
        let width = basis.width
        // Rounding leaves the two triangles a little different.
        var symmetric = inner
        for i in 0..<width {
            for j in 0..<i { symmetric[i * width + j] = (inner[i * width + j] + inner[j * width + i]) / 2 }
        }
        let eigen = SymmetricEigen(symmetric, dimension: width, parallel: parallel)
        let found = eigen.values.map { $0 > 0 ? $0.squareRoot() : 0 }
        let largest = found.first ?? 0
        values = (0..<rank).map { $0 < width && found[$0] > Self.least * largest ? found[$0] : 0 }
        left = basis.rowMajor(eigen.vectors, dividedBy: values, parallel)
    }

    /// Writes one row of the right vectors, `rank` numbers: how much column `column` of the matrix belongs to each
    /// direction.
    public func right(_ column: Int, into out: UnsafeMutablePointer<Double>) {
        let kernels = svk_current()
        out.update(repeating: 0, count: rank)
        for entry in matrix.starts[column]..<matrix.starts[column + 1] {
            let from = left.base + Int(matrix.row[entry]) * rank
            kernels.pointee.axpy(rank, Double(matrix.value[entry]), from, out)
        }
    }
}

/// A matrix of Doubles with many rows, in blocks of 32 columns that threads work on independently of each other.
private struct RowBlocks {
    static let block = 32

    let rows: Int
    let blocks: Int
    let values: Buffer<Double>

    var width: Int { blocks * Self.block }

    static func width(for columns: Int) -> Int { (columns + block - 1) / block * block }

    init(rows: Int, width: Int) {
        self.rows = rows
        blocks = Self.width(for: width) / Self.block
        values = Buffer(rows * blocks * Self.block)
    }

    private func start(_ block: Int) -> Int { block * rows * Self.block }

    func fillWithSigns(_ seed: Seed) {
        for block in 0..<blocks {
            var generator = seed.generator(UInt64(block))
            for row in 0..<rows {
                let bits = generator.next()
                for index in 0..<Self.block {
                    values[start(block) + row * Self.block + index] = bits >> UInt64(index) & 1 == 0 ? 1 : -1
                }
            }
        }
    }

    /// `A (Aᵀ self)`, a column of A after the other.
    func product(with matrix: SparseColumns, _ parallel: Parallel) -> RowBlocks {
        let out = RowBlocks(rows: rows, width: width)
        let kernels = UncheckedPointer(svk_current())
        let (from, to, size) = (values, out.values, rows * Self.block)
        parallel(blocks) { block in
            let (from, to) = (from.base + block * size, to.base + block * size)
            withUnsafeTemporaryAllocation(of: Double.self, capacity: Self.block) { sum in
                let sum = sum.baseAddress!
                for column in 0..<matrix.columns {
                    let entries = matrix.starts[column]..<matrix.starts[column + 1]
                    if entries.isEmpty { continue }
                    sum.update(repeating: 0, count: Self.block)
                    for entry in entries {
                        let row = from + Int(matrix.row[entry]) * Self.block
                        kernels.base.pointee.axpy(Self.block, Double(matrix.value[entry]), row, sum)
                    }
                    for entry in entries {
                        let row = to + Int(matrix.row[entry]) * Self.block
                        kernels.base.pointee.axpy(Self.block, Double(matrix.value[entry]), sum, row)
                    }
                }
            }
        }
        return out
    }

    /// `selfᵀ other`, row-major.
    func gram(_ other: RowBlocks, _ parallel: Parallel) -> [Double] {
        let out = Buffer<Double>(width * width)
        let kernels = UncheckedPointer(svk_current())
        let (blocks, width, rows, size) = (blocks, width, rows, rows * Self.block)
        let (mine, theirs) = (values, other.values)
        parallel(blocks * blocks) { pair in
            let (a, b) = (pair / blocks, pair % blocks)
            withUnsafeTemporaryAllocation(of: Double.self, capacity: Self.block * Self.block) { part in
                let part = part.baseAddress!
                part.update(repeating: 0, count: Self.block * Self.block)
                for row in 0..<rows {
                    let x = mine.base + a * size + row * Self.block
                    let y = theirs.base + b * size + row * Self.block
                    for i in 0..<Self.block {
                        kernels.base.pointee.axpy(Self.block, x[i], y, part + i * Self.block)
                    }
                }
                for i in 0..<Self.block {
                    (out.base + (a * Self.block + i) * width + b * Self.block).update(
                        from: part + i * Self.block, count: Self.block)
                }
            }
        }
        return out.array
    }

    /// `self · weights`, where row `k` of `weights` holds what column k of the result is made of.
    private func combined(_ weights: [Double], _ parallel: Parallel) -> RowBlocks {
        let out = RowBlocks(rows: rows, width: width)
        let kernels = UncheckedPointer(svk_current())
        let (blocks, width, rows, size) = (blocks, width, rows, rows * Self.block)
        let (from, to) = (values, out.values)
        // Turned, so that a row holds what each column of the result takes of one column here.
        let turned = Buffer<Double>(width * width)
        for k in 0..<width { for i in 0..<width { turned[i * width + k] = weights[k * width + i] } }
        parallel(blocks) { block in
            for row in 0..<rows {
                let sum = to.base + block * size + row * Self.block
                for other in 0..<blocks {
                    let x = from.base + other * size + row * Self.block
                    for i in 0..<Self.block {
                        let weight = turned.base + (other * Self.block + i) * width + block * Self.block
                        kernels.base.pointee.axpy(Self.block, x[i], weight, sum)
                    }
                }
            }
        }
        return out
    }

    /// A basis of the same columns, by the eigenvectors of their products. Directions that the columns lack are zero.
    func orthonormal(_ parallel: Parallel) -> RowBlocks {
        let eigen = SymmetricEigen(gram(self, parallel), dimension: width, parallel: parallel)
        let largest = max(0, eigen.values[0])
        var weights = eigen.vectors
        for k in 0..<width {
            let value = eigen.values[k]
            let factor = value > 1e-13 * largest && value > 0 ? 1 / value.squareRoot() : 0
            for i in 0..<width { weights[k * width + i] *= factor }
        }
        return combined(weights, parallel)
    }

    /// `self · vectors / values`, row-major, as wide as there are values; 0 where a value is 0.
    func rowMajor(_ vectors: [Double], dividedBy values: [Double], _ parallel: Parallel) -> Buffer<Double> {
        var weights = vectors
        for k in 0..<width {
            let factor = k < values.count && values[k] > 0 ? 1 / values[k] : 0
            for i in 0..<width { weights[k * width + i] *= factor }
        }
        let mixed = combined(weights, parallel)
        let out = Buffer<Double>(rows * values.count)
        for row in 0..<rows {
            for index in 0..<values.count {
                out[row * values.count + index] =
                    mixed.values[mixed.start(index / Self.block) + row * Self.block + index % Self.block]
            }
        }
        return out
    }
}
