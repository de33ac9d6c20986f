import SluiceCore

/// An answer as it stands in the log: a server's vector of a text.
///
/// It holds the numbers as the server gave them, in 32 bits of floating point, neither normalised nor rounded: the log is
/// what was paid for, and whatever makes vectors of it, today's Int8 or another form, can be made again. Four bytes a
/// dimension: 4 GB for a million texts of 1,024 dimensions.
struct EndpointAnswer {
    /// Bytes before the numbers: the form of the answer, whether the text was cut, two zeros, and how many bytes of the
    /// text were embedded.
    private static let headBytes = 8
    private static let form: UInt8 = 1

    let isCut: Bool
    private let bytes: [UInt8]

    /// Bytes of an answer in the log.
    static func size(dimension: Int) -> Int { headBytes + 4 * dimension }

    /// Makes the bytes of an answer.
    ///
    /// - Parameters:
    ///   - embedded: bytes of the text that the server saw.
    static func encode(_ vector: ArraySlice<Float>, isCut: Bool, embedded: Int) -> [UInt8] {
        var bytes: [UInt8] = [form, isCut ? 1 : 0, 0, 0]
        bytes.reserveCapacity(size(dimension: vector.count))
        withUnsafeBytes(of: UInt32(clamping: embedded).littleEndian) { bytes += $0 }
        for number in vector { withUnsafeBytes(of: number.bitPattern.littleEndian) { bytes += $0 } }
        return bytes
    }

    /// - Returns: nil if the bytes are no answer of this dimension.
    init?(_ bytes: [UInt8], dimension: Int) {
        guard bytes.count == Self.size(dimension: dimension), bytes[0] == Self.form else { return nil }
        isCut = bytes[1] != 0
        self.bytes = bytes
    }

    /// Copies the numbers.
    func read(into numbers: UnsafeMutableBufferPointer<Float>) {
        bytes.withUnsafeBytes { bytes in
            for index in numbers.indices {
                let place = Self.headBytes + 4 * index
                numbers[index] = Float(
                    bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self)))
            }
        }
    }
}
