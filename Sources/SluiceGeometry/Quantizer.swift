import CVectorKernels

/// A vector that can't be quantised: it has a NaN, an infinity, or a wrong dimension.
public struct GeometryError: Error, Sendable, Hashable, CustomStringConvertible {
    public struct Code: Sendable, Hashable {
        private enum Value { case notFinite, dimension }
        private let value: Value
        /// A component is NaN or infinite.
        public static let notFinite = Code(value: .notFinite)
        /// The number of components is wrong.
        public static let dimension = Code(value: .dimension)
    }

    public let code: Code
    /// The refused row, from 0 within the given block.
    public let row: Int
    public let description: String

    init(_ code: Code, row: Int, _ description: String) {
        self.code = code
        self.row = row
        self.description = description
    }
}

/// Turns vectors into Int8: the unit vector `x` becomes `clip(round(x · 127·√d/8), ±127)`, rounded half to even.
///
/// A component of a unit vector in `d` dimensions is about `1/√d`, so the scale leaves room for 8 times that. Only the
/// direction matters: input vectors may have any length. A zero vector stays zero. Only `+ - * /` and `sqrt` are used,
/// in an order that is part of the definition (the squares in eight interleaved sums), so every machine gives the same
/// bytes.
public struct Quantizer: Sendable, Hashable {
    public let dimension: Int
    /// `127·√d/8`: the length, in Int8 units, of a unit vector.
    public let scale: Double

    /// - Parameter dimension: 1...8192.
    public init(dimension: Int) {
        precondition(1...VectorView.maximumDimension ~= dimension, "a dimension of \(dimension) is not in 1...8192")
        self.dimension = dimension
        scale = 127 * Double(dimension).squareRoot() / 8
    }

    /// Quantises `count` rows of `dimension` floats into `output`, `count · dimension` bytes.
    /// - Throws: `GeometryError` of code `notFinite` with the first row that has a NaN or an infinity; this and later
    ///   rows are not written.
    public func quantize(
        _ input: UnsafePointer<Float>, count: Int, into output: UnsafeMutablePointer<Int8>
    ) throws(GeometryError) {
        let done = svk_quantise(input, count, dimension, scale, output)
        if done < count {
            throw GeometryError(
                .notFinite, row: done, "the vector of row \(done) has a component that is NaN or infinite")
        }
    }

    /// Quantises whole rows.
    /// - Throws: `GeometryError` if a component is not finite or the floats are not whole rows.
    public func quantize(_ input: [Float]) throws(GeometryError) -> [Int8] {
        let (count, rest) = input.count.quotientAndRemainder(dividingBy: dimension)
        if rest != 0 {
            throw GeometryError(
                .dimension, row: count, "the vector of row \(count) has \(rest) components, not \(dimension)")
        }
        var output = [Int8](repeating: 0, count: input.count)
        let done = input.withUnsafeBufferPointer { from in
            output.withUnsafeMutableBufferPointer { to in
                count == 0 ? 0 : svk_quantise(from.baseAddress!, count, dimension, scale, to.baseAddress!)
            }
        }
        if done < count {
            throw GeometryError(
                .notFinite, row: done, "the vector of row \(done) has a component that is NaN or infinite")
        }
        return output
    }

    /// Quantises `count` rows of integers (sums of token vectors, say). Squares of integers up to 2^31 may round in
    /// Double, so the order of the sum determines the last bit; the order is fixed.
    public func quantize(sums input: UnsafePointer<Int32>, count: Int, into output: UnsafeMutablePointer<Int8>) {
        _ = svk_quantise_integers(input, count, dimension, scale, output)
    }

    /// Quantises whole rows of integers.
    public func quantize(sums input: [Int32]) -> [Int8] {
        precondition(input.count % dimension == 0, "\(input.count) components are not whole vectors of \(dimension)")
        var output = [Int8](repeating: 0, count: input.count)
        if input.isEmpty { return output }
        input.withUnsafeBufferPointer { from in
            output.withUnsafeMutableBufferPointer { to in
                quantize(sums: from.baseAddress!, count: input.count / dimension, into: to.baseAddress!)
            }
        }
        return output
    }

    /// The chord (Euclidean) distance of two unit vectors whose quantised squared distance is `squared`.
    public func chord(fromSquared squared: Int32) -> Double { Double(squared).squareRoot() / scale }

    /// The largest squared distance within `chord`: two vectors are at most `chord` apart if and only if their squared
    /// distance is at most this.
    public func squaredLimit(chord: Double) -> Int32 {
        let length = chord * scale
        let squared = length * length
        return chord <= 0 ? 0 : squared >= 2_147_483_647 ? .max : Int32(squared)
    }

    /// The same for vectors whose cosine is at least `cosine`: `|x - y|² = 2 (1 - cos)`.
    public func squaredLimit(cosine: Double) -> Int32 {
        let squared = 2 * (1 - cosine) * scale * scale
        return squared <= 0 ? 0 : squared >= 2_147_483_647 ? .max : Int32(squared)
    }
}
