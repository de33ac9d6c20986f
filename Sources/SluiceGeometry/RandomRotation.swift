public import SluiceCore

/// A rotation that spreads the length of any vector evenly over its components, so that few of them are clipped when it
/// is quantised: three rounds of random signs and a Walsh-Hadamard transform (Ailon and Chazelle, «The Fast
/// Johnson-Lindenstrauss Transform», 2009).
///
/// Lengths and angles stay the same, up to rounding. A transform covers a power of two of components; where the dimension
/// is none, the rounds take the first and the last ones in turn. Only `+ - *` and one division, in a fixed order. Cost:
/// 3 d log₂ d additions.
public struct RandomRotation: Sendable {
    public let dimension: Int
    /// The largest power of two that is at most the dimension.
    private let width: Int
    private let scale: Double
    /// The signs of the three rounds.
    private let signs: [Double]

    public init(dimension: Int, seed: Seed) {
        precondition(dimension > 0, "a dimension of \(dimension)")
        self.dimension = dimension
        width = 1 << (Int.bitWidth - 1 - dimension.leadingZeroBitCount)
        scale = 1 / Double(width).squareRoot()
        var generator = seed.generator()
        signs = (0..<(3 * dimension)).map { _ in generator.next() & 1 == 0 ? 1 : -1 }
    }

    /// Rotates a vector in place.
    public func apply(to vector: UnsafeMutablePointer<Double>) {
        for round in 0..<3 {
            for index in 0..<dimension { vector[index] *= signs[round * dimension + index] }
            transform(vector + (round == 1 ? dimension - width : 0))
        }
    }

    private func transform(_ values: UnsafeMutablePointer<Double>) {
        var half = 1
        while half < width {
            for start in stride(from: 0, to: width, by: 2 * half) {
                for index in start..<(start + half) {
                    let (a, b) = (values[index], values[index + half])
                    values[index] = a + b
                    values[index + half] = a - b
                }
            }
            half *= 2
        }
        for index in 0..<width { values[index] *= scale }
    }
}
