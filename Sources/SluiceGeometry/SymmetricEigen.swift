import CVectorKernels
public import SluiceCore

/// Eigenvalues and eigenvectors of a symmetric matrix of Doubles, the same bits on every machine and for every width.
///
/// Householder tridiagonalisation, then the implicit QL method (Golub and Van Loan, «Matrix Computations», 8.3), with
/// `+ - * /` and `sqrt` alone in a fixed order. The eigenvectors are built in independent blocks of coordinates, in
/// parallel. Cost: about 8 d³ operations, 2·8·d² bytes.
public struct SymmetricEigen: Sendable {
    public let dimension: Int
    /// Descending.
    public let values: [Double]
    /// Row k is the eigenvector of `values[k]`, of length 1; its component of largest magnitude (the first of equals)
    /// is positive.
    public let vectors: [Double]

    /// - Parameter matrix: `dimension` x `dimension`, symmetric; the lower triangle is read.
    public init(_ matrix: [Double], dimension n: Int, parallel: Parallel = .serial) {
        precondition(n > 0 && matrix.count == n * n, "\(matrix.count) numbers are not a matrix of \(n) x \(n)")
        dimension = n
        var solver = EigenSolver(matrix, n)
        solver.tridiagonalise(parallel)
        solver.startVectors(parallel)
        solver.diagonalise(parallel)
        (values, vectors) = solver.sorted()
    }
}

private struct EigenSolver {
    let n: Int
    let kernels: Kernels
    /// The matrix; after tridiagonalisation row k holds the Householder vector of step k in its first k places.
    let a: Buffer<Double>
    /// Row k is the k-th vector.
    let v: Buffer<Double>
    var diagonal: [Double]
    /// `below[i]` couples i and i + 1.
    var below: [Double]
    /// 2 / |u|² of each Householder vector; 0 if the step had nothing to do.
    var weights: [Double]

    init(_ matrix: [Double], _ n: Int) {
        self.n = n
        kernels = svk_current()
        a = Buffer(n * n)
        v = Buffer(n * n)
        diagonal = Array(repeating: 0, count: n)
        below = Array(repeating: 0, count: n)
        weights = Array(repeating: 0, count: n)
        for i in 0..<n {
            for j in 0...i {
                a[i * n + j] = matrix[i * n + j]
                a[j * n + i] = matrix[i * n + j]
            }
        }
    }

    /// From the last row upward: row k loses all but its neighbour below the diagonal. The matrix stays full and
    /// symmetric, so each step reads it row by row.
    mutating func tridiagonalise(_ parallel: Parallel) {
        let p = Buffer<Double>(n)
        for k in stride(from: n - 1, to: 0, by: -1) {
            let u = a.base + k * n
            diagonal[k] = u[k]
            // u is row k without its diagonal: k numbers, to become (0, ..., 0, alpha).
            let head = u[k - 1]
            let tail = kernels.pointee.inner(k - 1, u, u)
            if tail == 0 {
                below[k - 1] = head
                continue
            }
            let length = (tail + head * head).squareRoot()
            let alpha = head > 0 ? -length : length
            below[k - 1] = alpha
            u[k - 1] = head - alpha
            let weight = 2 / (tail + u[k - 1] * u[k - 1])
            weights[k] = weight
            // p = weight A u, then A -= u qᵀ + q uᵀ with q = p - (weight/2)(uᵀp) u.
            let (kernels, a, n) = (UncheckedPointer(kernels), a, n)
            let step = Shared(u)
            // Blocks of columns run in parallel; each adds the rows in order.
            let width = k < 256 ? k : max(128, (k + 7) / 8)
            parallel.pieces(of: k, size: width) { columns in
                let to = p.base + columns.lowerBound
                to.update(repeating: 0, count: columns.count)
                for j in 0..<k {
                    kernels.base.pointee.axpy(columns.count, step.base[j], a.base + j * n + columns.lowerBound, to)
                }
            }
            for j in 0..<k { p[j] *= weight }
            let half = weight / 2 * kernels.base.pointee.inner(k, u, p.base)
            kernels.base.pointee.axpy(k, -half, u, p.base)
            parallel.pieces(of: k, size: width) { rows in
                for i in rows {
                    kernels.base.pointee.axpy2(k, -step.base[i], p.base, -p.base[i], step.base, a.base + i * n)
                }
            }
        }
        diagonal[0] = a[0]
    }

    /// The coordinates in blocks, each small enough to stay in the cache through all steps.
    private var blockWidth: Int { 64 }

    /// V = the product of all steps, by rows.
    func startVectors(_ parallel: Parallel) {
        let (n, a, v, weights) = (n, a, v, weights)
        let kernels = UncheckedPointer(kernels)
        parallel.pieces(of: n, size: blockWidth) { block in
            withUnsafeTemporaryAllocation(of: Double.self, capacity: block.count) { dots in
                let dots = dots.baseAddress!
                for i in block { v.base[i * n + i] = 1 }
                for k in stride(from: n - 1, to: 0, by: -1) where weights[k] != 0 {
                    let u = a.base + k * n
                    dots.update(repeating: 0, count: block.count)
                    for j in 0..<k {
                        kernels.base.pointee.axpy(block.count, u[j], v.base + j * n + block.lowerBound, dots)
                    }
                    for j in 0..<k {
                        kernels.base.pointee.axpy(
                            block.count, -weights[k] * u[j], dots, v.base + j * n + block.lowerBound)
                    }
                }
            }
        }
    }

    /// Rotations not yet applied to the vectors, by sweep.
    private struct Rotations {
        private(set) var cosines: [Double] = []
        private(set) var sines: [Double] = []
        private(set) var sweeps: [Sweep] = []

        /// A run of rotations: they mix the rows first, first - 1, ... with the rows below them.
        struct Sweep {
            let first: Int
            let start: Int
            let count: Int
        }

        var count: Int { cosines.count }

        mutating func append(_ cosine: Double, _ sine: Double) {
            cosines.append(cosine)
            sines.append(sine)
        }

        mutating func endSweep(first: Int, start: Int) {
            sweeps.append(Sweep(first: first, start: start, count: count - start))
        }

        mutating func removeAll() {
            cosines.removeAll(keepingCapacity: true)
            sines.removeAll(keepingCapacity: true)
            sweeps.removeAll(keepingCapacity: true)
        }
    }

    /// Implicit QL on (diagonal, below); the rotations are gathered, and applied to the vectors some sweeps at a time.
    mutating func diagonalise(_ parallel: Parallel) {
        let n = n
        var rotations = Rotations()
        below[n - 1] = 0
        for l in 0..<n {
            // Far more than any matrix needs (two or three is usual); any remainder is rounding.
            for _ in 0..<200 {
                var m = l
                while m < n - 1 {
                    let size = diagonal[m].magnitude + diagonal[m + 1].magnitude
                    if size + below[m].magnitude == size { break }
                    m += 1
                }
                if m == l { break }
                var g = (diagonal[l + 1] - diagonal[l]) / (2 * below[l])
                var r = (g * g + 1).squareRoot()
                g = diagonal[m] - diagonal[l] + below[l] / (g + (g >= 0 ? r : -r))
                var s = 1.0
                var c = 1.0
                var p = 0.0
                let sweep = rotations.count
                var i = m - 1
                var vanished = false
                while i >= l {
                    let f = s * below[i]
                    let b = c * below[i]
                    r = Self.length(f, g)
                    below[i + 1] = r
                    if r == 0 {
                        diagonal[i + 1] -= p
                        below[m] = 0
                        vanished = true
                        break
                    }
                    s = f / r
                    c = g / r
                    g = diagonal[i + 1] - p
                    r = (diagonal[i] - g) * s + 2 * c * b
                    p = s * r
                    diagonal[i + 1] = g + p
                    g = c * r - b
                    rotations.append(c, s)
                    i -= 1
                }
                rotations.endSweep(first: m - 1, start: sweep)
                if rotations.count > 32 * n { apply(&rotations, parallel) }
                if vanished { continue }
                diagonal[l] -= p
                below[l] = g
                below[m] = 0
            }
        }
        apply(&rotations, parallel)
    }

    /// Applies the rotations to the vectors, and forgets them.
    private func apply(_ rotations: inout Rotations, _ parallel: Parallel) {
        let (n, v, kernels, sweeps) = (n, v, UncheckedPointer(kernels), rotations.sweeps)
        rotations.cosines.withUnsafeBufferPointer { cosines in
            rotations.sines.withUnsafeBufferPointer { sines in
                guard let cosines = cosines.baseAddress, let sines = sines.baseAddress, !sweeps.isEmpty else { return }
                let (c, s) = (UncheckedPointer(cosines), UncheckedPointer(sines))
                parallel.pieces(of: n, size: blockWidth) { block in
                    for sweep in sweeps {
                        kernels.base.pointee.rotate(
                            v.base + block.lowerBound, n, block.count, sweep.first, sweep.count, c.base + sweep.start,
                            s.base + sweep.start)
                    }
                }
            }
        }
        rotations.removeAll()
    }

    /// √(a² + b²) without overflow.
    private static func length(_ a: Double, _ b: Double) -> Double {
        let (x, y) = (max(a.magnitude, b.magnitude), min(a.magnitude, b.magnitude))
        if x == 0 { return 0 }
        let ratio = y / x
        return x * (1 + ratio * ratio).squareRoot()
    }

    func sorted() -> (values: [Double], vectors: [Double]) {
        let order = diagonal.indices.sorted { diagonal[$0] != diagonal[$1] ? diagonal[$0] > diagonal[$1] : $0 < $1 }
        let n = n
        let vectors = [Double](unsafeUninitializedCapacity: n * n) { out, count in
            for (to, from) in order.enumerated() {
                let row = v.base + from * n
                var largest = 0
                for j in 0..<n where row[j].magnitude > row[largest].magnitude { largest = j }
                let sign = row[largest] < 0 ? -1.0 : 1.0
                for j in 0..<n { out[to * n + j] = sign * row[j] }
            }
            count = n * n
        }
        return (order.map { diagonal[$0] }, vectors)
    }
}
