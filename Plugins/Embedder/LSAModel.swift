import SluiceCore

/// What `lsa` learned from a corpus: for each feature a weight and a vector of Int8. The vector of a text is the weighted
/// sum of those of its features, in exact integers.
///
/// A feature that no text of the sample has takes two bytes; its vector is zero.
struct LSAModel: Sendable {
    let shape: Shape
    /// By feature; 0 for one without a vector.
    let weights: [UInt16]
    /// The vectors of the features with a weight, in the order of the features.
    let vectors: [Int8]
    /// Identifies all of it.
    let digest: UInt64

    /// The numbers at the beginning of the file.
    struct Shape: Sendable, Hashable {
        let dimension: Int
        let features: Int
        /// The features with a vector.
        let rows: Int
        /// The records that the sample was taken from, and those in it.
        let records: Int
        let sampled: Int
    }

    /// Weights go up to this number: with the largest factor for repeated words, a product then fits Int16.
    static let mostWeight = 3516

    init(shape: Shape, weights: [UInt16], vectors: [Int8]) {
        (self.shape, self.weights, self.vectors) = (shape, weights, vectors)
        digest = Self.digest(shape, weights, vectors)
    }

    /// Bytes that a model holds at most once it is in use: vectors, weights, and the row of each feature.
    static func bytes(rows: Int, features: Int, dimension: Int) -> Int { rows * dimension + features * 6 + (64 << 10) }

    private static func digest(_ shape: Shape, _ weights: [UInt16], _ vectors: [Int8]) -> UInt64 {
        var state = version
        for number in shape.numbers { state = Seed.mix(state ^ UInt64(truncatingIfNeeded: number)) }
        for weight in weights { state = Seed.mix(state ^ UInt64(weight)) }
        vectors.withUnsafeBytes { bytes in
            let words = bytes.count / 8
            for word in 0..<words {
                state = Seed.mix(
                    state ^ UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: word * 8, as: UInt64.self)))
            }
            for index in (words * 8)..<bytes.count { state = Seed.mix(state ^ UInt64(bytes[index])) }
        }
        return state
    }

    /// The digest as text.
    var identity: String {
        let digits = String(digest, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
}

extension LSAModel.Shape {
    fileprivate var numbers: [Int] { [dimension, features, rows, records, sampled] }

    /// What is wrong with the numbers of a file; nil if nothing is.
    fileprivate var fault: String? {
        guard LSAEmbedding.dimensionRange ~= dimension, LSAEmbedding.featureRange ~= features, 0...features ~= rows,
            sampled >= 0, records >= sampled
        else { return "it states \(rows) of \(features) features in \(dimension) dimensions" }
        return nil
    }
}

// MARK: The file

extension LSAModel: ByteCodable {
    /// The first bytes of a file.
    private static let magic = Array("sluice-lsa\n".utf8)
    /// Changes with the features of a text, the meaning of weights and vectors, or the layout.
    private static let version: UInt64 = 1
    /// Bytes before the weights.
    static let headerBytes = 8 * (2 + 6)

    func write(to bytes: inout ByteWriter) {
        // Two words.
        (Self.magic + [UInt8](repeating: 0, count: 16 - Self.magic.count)).withUnsafeBytes { bytes.write($0) }
        bytes.write(Self.version)
        for number in shape.numbers { bytes.write(number) }
        weights.map(\.littleEndian).withUnsafeBytes { bytes.write($0) }
        vectors.withUnsafeBytes { bytes.write($0) }
        bytes.write(digest)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        let shape = try Self.shape(from: &bytes)
        var weights = [UInt16](repeating: 0, count: shape.features)
        try Self.fill(&weights, from: &bytes)
        weights = weights.map { UInt16(littleEndian: $0) }
        guard weights.count(where: { $0 != 0 }) == shape.rows, weights.allSatisfy({ $0 <= Self.mostWeight }) else {
            throw ByteReader.damaged("its weights do not fit its numbers")
        }
        var vectors = [Int8](repeating: 0, count: shape.rows * shape.dimension)
        try Self.fill(&vectors, from: &bytes)
        self.init(shape: shape, weights: weights, vectors: vectors)
        guard try bytes.read(UInt64.self) == digest else { throw ByteReader.damaged("its checksum does not fit") }
    }

    private static func fill<Number: BitwiseCopyable>(
        _ numbers: inout [Number], from bytes: inout ByteReader
    ) throws(StageError) {
        var failure: StageError?
        numbers.withUnsafeMutableBytes { all in
            do throws(StageError) { try bytes.read(into: all) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Reads the header of a file.
    static func shape(from bytes: inout ByteReader) throws(StageError) -> Shape {
        var name = [UInt8](repeating: 0, count: 16)
        try fill(&name, from: &bytes)
        guard name.starts(with: magic) else { throw ByteReader.damaged("it is no fitted model of `embed`") }
        let found = try bytes.read(UInt64.self)
        guard found == version else {
            throw ByteReader.damaged(
                "it is of version \(found), and this program reads version \(version); fit the model again")
        }
        let shape = Shape(
            dimension: try bytes.read(), features: try bytes.read(), rows: try bytes.read(), records: try bytes.read(),
            sampled: try bytes.read())
        if let fault = shape.fault { throw ByteReader.damaged(fault) }
        return shape
    }
}
