import CVectorKernels
public import SluiceCore

/// Choosing by the cosine to the centre of the group: the baselines that LTD compares with (topK, leastK, mixed; Chen et al., arXiv 2305.09246).
public struct CentreSelection: Sendable, Hashable {
    private enum Rule: Sendable, Hashable { case closest, farthest, mixed }
    private let rule: Rule
    /// The rows closest to the centre, closest first.
    public static let closest = CentreSelection(rule: .closest)
    /// The rows farthest from it, farthest first.
    public static let farthest = CentreSelection(rule: .farthest)
    /// By turns the closest and the farthest, beginning with the closest.
    public static let mixed = CentreSelection(rule: .mixed)

    /// `count` rows (all, if there are fewer) in the order of choice; ties to the lowest row.
    ///
    /// The vectors have one length but for rounding, so the cosine's order is that of the exact integer product with the exact sum of all rows.
    /// A few passes over the vectors and a sort.
    public func select(_ vectors: VectorView, count: Int, parallel: Parallel = .serial) -> [Int] {
        let count = min(max(0, count), vectors.count)
        let products = Self.productsWithCentre(vectors, parallel: parallel)
        func ranked(_ take: Int, _ sign: Int64) -> [Int] {
            var keys = products.indices.map { CentreKey(value: sign * products[$0], row: $0) }
            keys.withUnsafeMutableBufferPointer { partition($0.baseAddress!, count: $0.count, smallest: take) }
            return keys[..<take].sorted().map(\.row)
        }
        if count == 0 { return [] }
        switch rule {
        case .closest: return ranked(count, -1)
        case .farthest: return ranked(count, 1)
        case .mixed:
            let near = ranked((count + 1) / 2, -1)
            let taken = Set(near)
            // Where all rows tie, both ends are the same rows.
            let far = ranked(count, 1).filter { !taken.contains($0) }
            return (0..<count).map { $0 % 2 == 0 ? near[$0 / 2] : far[$0 / 2] }
        }
    }

    /// The exact product of each row with the sum of all rows.
    public static func productsWithCentre(_ vectors: VectorView, parallel: Parallel = .serial) -> [Int64] {
        var rest = vectors.sum(parallel)
        let total = Buffer<Int64>(vectors.count)
        let (part, dimension) = (Buffer<Int32>(vectors.count), vectors.dimension)
        // The sum in digits of base 256, each an Int8 vector for the kernel.
        var shift: Int64 = 0
        while rest.contains(where: { $0 != 0 }) {
            let digits = Buffer<Int8>(dimension)
            for j in 0..<dimension {
                let digit = Int8(truncatingIfNeeded: rest[j])
                digits[j] = digit
                rest[j] = (rest[j] - Int64(digit)) >> 8
            }
            let weight: Int64 = 1 << shift
            parallel.pieces(of: vectors.count) { range in
                svk_current().pointee.dots(
                    digits.base, vectors.row(range.lowerBound), range.count, dimension, part.base + range.lowerBound)
                for row in range { total.base[row] += weight * Int64(part.base[row]) }
            }
            shift += 8
        }
        return total.array
    }
}

private struct CentreKey: Comparable, BitwiseCopyable {
    var value: Int64
    var row: Int
    @inline(__always)
    static func < (a: CentreKey, b: CentreKey) -> Bool { a.value != b.value ? a.value < b.value : a.row < b.row }
}
