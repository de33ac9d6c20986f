public import SluiceCore

/// How well a chosen set covers its pool. Every distance is a chord (Euclidean) distance between unit vectors, 0 to 2.
public struct Certificate: Sendable, Hashable {
    /// The largest distance of a row to its nearest centre, over all rows: the k-center objective, verified.
    public var radius: Double
    /// The same without the `trim` worst rows; equals `radius` if nothing is trimmed.
    public var trimmedRadius: Double
    /// No choice of as many centres among the rows can have a radius below this: k + 1 rows are pairwise at least twice
    /// this apart, and two of them share a centre (Gonzalez); or `DisjointBalls` has proven it.
    public private(set) var lowerBound: Double
    /// `radius / lowerBound`, an upper bound of the ratio of `radius` to the least possible radius; 1 if both are 0,
    /// nil if only the bound is 0.
    public var factor: Double? { lowerBound > 0 ? radius / lowerBound : radius == 0 ? 1 : nil }
    /// The mean distance of a row to its nearest centre.
    public var meanDistance: Double
    /// The distances that half, 90 % and 99 % of the rows don't exceed (nearest rank).
    public var median: Double
    public var quantile90: Double
    public var quantile99: Double

    /// - Parameters:
    ///   - squaredDistances: each row's squared distance to its nearest centre.
    ///   - separation: a squared distance such that k + 1 rows are pairwise at least this far apart; 0 if unknown.
    /// - Returns: nil if there are no rows.
    public init?(
        squaredDistances: [Int32], separation: Int32, trim: Int = 0, quantizer: Quantizer, parallel: Parallel = .serial
    ) {
        let count = squaredDistances.count
        guard count > 0 else { return nil }
        radius = quantizer.chord(fromSquared: squaredDistances.max()!)
        lowerBound = quantizer.chord(fromSquared: separation) / 2
        // Sums per piece, then their sum: pieces have a fixed size, so the order is fixed.
        let sums = Buffer<Double>((count + pieceRows - 1) / pieceRows)
        squaredDistances.withUnsafeBufferPointer { values in
            let values = UncheckedPointer(values.baseAddress!)
            parallel.pieces(of: count) { range in
                var sum = 0.0
                for i in range { sum += Double(values.base[i]).squareRoot() }
                sums[range.lowerBound / pieceRows] = sum
            }
        }
        var total = 0.0
        for i in 0..<sums.count { total += sums[i] }
        meanDistance = total / Double(count) / quantizer.scale
        var copy = squaredDistances
        func smallest(_ rank: Int) -> Double {
            copy.withUnsafeMutableBufferPointer { partition($0.baseAddress!, count: $0.count, smallest: rank) }
            return quantizer.chord(fromSquared: copy[..<rank].max()!)
        }
        trimmedRadius = trim == 0 ? radius : smallest(max(1, count - trim))
        median = smallest((count * 50 + 99) / 100)
        quantile90 = smallest((count * 90 + 99) / 100)
        quantile99 = smallest((count * 99 + 99) / 100)
    }

    /// The certificate of other centres, as many, over the same rows: what bounds any choice bounds them, too.
    public func covering(
        squaredDistances: [Int32], _ quantizer: Quantizer, parallel: Parallel = .serial
    ) -> Certificate? {
        var other = Certificate(
            squaredDistances: squaredDistances, separation: 0, quantizer: quantizer, parallel: parallel)
        other?.lowerBound = lowerBound
        return other
    }

    /// Takes a bound that may be higher.
    ///
    /// - Parameter squaredBound: a squared distance below which no choice of as many centres has its radius.
    public mutating func raise(_ squaredBound: Int32, _ quantizer: Quantizer) {
        lowerBound = max(lowerBound, quantizer.chord(fromSquared: squaredBound))
    }
}
