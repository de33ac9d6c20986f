import SluiceCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Why a file of vectors can't be used, as a sentence that names the file.
public struct VectorFileError: Error, Sendable, Hashable, CustomStringConvertible {
    public let path: String
    public let description: String

    init(_ path: String, _ found: String) {
        self.path = path
        description = "\(path): \(found)"
    }
}

/// Vectors in a `.npy` file, one per row: a two-dimensional array as `np.save` writes it, or a vector column as Sluice
/// writes it.
///
/// `int8` rows are used unchanged: they are quantised as by `Quantizer`. `float32` and `float64` rows are quantised;
/// they may have any length but no NaN or infinity. C order, little-endian. `init` reads only the header.
public struct VectorFile: Sendable {
    public let path: String
    public let count: Int
    public let dimension: Int
    private let type: Kind
    private let start: Int

    private enum Kind: Int, Sendable { case int8 = 1, float32 = 4, float64 = 8 }

    /// The footer of Sluice's own column files: rows and a checksum.
    private static let footerBytes = 32

    /// - Throws: if the file can't be opened or is not a `.npy` file, its numbers have another type, its shape is not
    ///   (rows, dimension) with a dimension of 1 to 8,192, or its length does not match the shape.
    public init(_ path: String) throws(VectorFileError) {
        self.path = path
        guard let file = fopen(path, "rb") else { throw VectorFileError(path, "it can't be opened; check the name") }
        defer { fclose(file) }
        var head = [UInt8](repeating: 0, count: 12)
        guard fread(&head, 1, 12, file) == 12, head[..<6].elementsEqual([0x93] + Array("NUMPY".utf8)),
            (1...3).contains(head[6])
        else { throw VectorFileError(path, "this is not a .npy file; np.save writes one") }
        let prefix = head[6] == 1 ? 10 : 12
        let length = Int(head[8]) | Int(head[9]) << 8 | (prefix == 12 ? Int(head[10]) << 16 | Int(head[11]) << 24 : 0)
        guard length <= 65_536 else { throw VectorFileError(path, "its header is truncated") }
        var text = [UInt8](repeating: 0, count: length)
        guard fseek(file, prefix, SEEK_SET) == 0, fread(&text, 1, length, file) == length else {
            throw VectorFileError(path, "its header is truncated")
        }
        var parser = NpyHeaderParser(text)
        guard let header = parser.parse() else { throw VectorFileError(path, "its .npy header can't be parsed") }
        switch header.descriptor {
        case "|i1", "<i1": type = .int8
        case "<f4": type = .float32
        case "<f8": type = .float64
        default:
            throw VectorFileError(
                path,
                "it contains numbers of type \(header.descriptor); vectors are int8, float32 or float64 (|i1, <f4, <f8)"
            )
        }
        let numbers = header.shape
        guard numbers.count == 2 else {
            throw VectorFileError(
                path, "it has \(numbers.count) dimensions; vectors need an array of two, (rows, dimension)")
        }
        guard !header.fortran else {
            throw VectorFileError(path, "its numbers are in Fortran order; save it with numpy.ascontiguousarray")
        }
        (count, dimension) = (numbers[0], numbers[1])
        guard 1...VectorView.maximumDimension ~= dimension, 0...Int(Int32.max) ~= count else {
            throw VectorFileError(path, "its shape is (\(count), \(dimension)); vectors have 1 to 8192 components")
        }
        start = prefix + length
        fseek(file, 0, SEEK_END)
        let (size, need) = (ftell(file) - start, count * dimension * type.rawValue)
        guard size == need || size == need + Self.footerBytes else {
            throw VectorFileError(
                path, "its shape (\(count), \(dimension)) needs \(need) bytes of numbers, but it has \(size)")
        }
    }

    /// All vectors, quantised, row after row: `count · dimension` bytes.
    ///
    /// - Throws: at the first row with a NaN or an infinity, or if the file has become shorter.
    public func read() throws(VectorFileError) -> [Int8] {
        guard let file = fopen(path, "rb"), fseek(file, start, SEEK_SET) == 0 else {
            throw VectorFileError(path, "it can't be opened; check the name")
        }
        defer { fclose(file) }
        var vectors = [Int8](repeating: 0, count: count * dimension)
        if type == .int8 {
            guard fread(&vectors, 1, vectors.count, file) == vectors.count else {
                throw VectorFileError(path, "it became shorter while it was read")
            }
            return vectors
        }
        let quantizer = Quantizer(dimension: dimension)
        let chunk = max(1, (1 << 18) / dimension)
        var floats = [Float](repeating: 0, count: chunk * dimension)
        var doubles = [Double](repeating: 0, count: type == .float64 ? floats.count : 0)
        for first in stride(from: 0, to: count, by: chunk) {
            let rows = min(chunk, count - first)
            let numbers = rows * dimension
            let got = type == .float32 ? fread(&floats, 4, numbers, file) : fread(&doubles, 8, numbers, file)
            guard got == numbers else { throw VectorFileError(path, "it became shorter while it was read") }
            if type == .float64 { Self.narrow(doubles, numbers, dimension, &floats) }
            let failure = vectors.withUnsafeMutableBufferPointer { output -> GeometryError? in
                do throws(GeometryError) {
                    try quantizer.quantize(floats, count: rows, into: output.baseAddress! + first * dimension)
                    return nil
                } catch { return error }
            }
            if let failure {
                throw VectorFileError(path, "row \(first + failure.row) has a component that is NaN or infinite")
            }
        }
        return vectors
    }

    /// Only the direction matters, so each row is scaled to a largest component of 1, and none becomes infinite as a
    /// Float.
    private static func narrow(_ doubles: [Double], _ count: Int, _ dimension: Int, _ floats: inout [Float]) {
        for start in stride(from: 0, to: count, by: dimension) {
            var largest = 0.0
            for index in start..<(start + dimension) where doubles[index].magnitude > largest {
                largest = doubles[index].magnitude
            }
            let divisor = largest > 0 ? largest : 1
            for index in start..<(start + dimension) { floats[index] = Float(doubles[index] / divisor) }
        }
    }
}
