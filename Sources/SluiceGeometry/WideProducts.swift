import CVectorKernels
public import SluiceCore

extension VectorView {
    /// The exact product of every row with a vector of wide components: the sum of many rows, say.
    ///
    /// The vector is split into digits of base 256, each an Int8 vector for the kernel: one pass over the memory for
    /// every 8 bits of the largest component.
    /// - Parameter vector: `dimension` components so small that no product overflows; the sum of up to 2^31 rows is.
    public func products(with vector: [Int64], _ parallel: Parallel = .serial) -> [Int64] {
        precondition(
            vector.count == dimension, "a vector of \(vector.count) components with vectors of \(dimension)")
        var rest = vector
        let (total, part) = (Buffer<Int64>(count), Buffer<Int32>(count))
        var shift: Int64 = 0
        while rest.contains(where: { $0 != 0 }) {
            let digits = Buffer<Int8>(dimension)
            for j in 0..<dimension {
                let digit = Int8(truncatingIfNeeded: rest[j])
                digits[j] = digit
                rest[j] = (rest[j] - Int64(digit)) >> 8
            }
            let weight: Int64 = 1 << shift
            parallel.pieces(of: count) { range in
                svk_current().pointee.dots(
                    digits.base, row(range.lowerBound), nil, range.count, dimension, part.base + range.lowerBound)
                for row in range { total.base[row] += weight * Int64(part.base[row]) }
            }
            shift += 8
        }
        return total.array
    }
}
