import SluiceCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Why a `.npy` file can't be used, as a sentence that names the file.
public struct VectorFileError: Error, Sendable, Hashable, CustomStringConvertible {
    public let path: String
    public let description: String

    public init(_ path: String, _ found: String) {
        self.path = path
        description = "\(path): \(found)"
    }
}

/// The header of a `.npy` file: what its array holds, and where. Little-endian, C order.
public struct NpyArray: Sendable, Hashable {
    public let path: String
    /// NumPy's name of the type of its numbers, such as `<f4`.
    public let descriptor: String
    /// Outermost first.
    public let shape: [Int]
    /// Where the array begins, in bytes.
    public let start: Int
    /// Bytes from there to the end of the file.
    public let size: Int
    /// Whether the file ends as Sluice's own column files do; known once its size was checked.
    public private(set) var hasFooter = false

    /// Sluice's own column files end with the number of rows and a checksum, which NumPy ignores.
    static let footerBytes = 32

    /// Reads the header.
    ///
    /// - Throws: if the file can't be opened or is not a `.npy` file in C order.
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
        guard !header.fortran || header.shape.count < 2 else {
            throw VectorFileError(path, "its numbers are in Fortran order; save it with numpy.ascontiguousarray")
        }
        (descriptor, shape, start) = (header.descriptor, header.shape, prefix + length)
        fseek(file, 0, SEEK_END)
        size = ftell(file) - start
    }

    /// Checks that the file has as many bytes as its shape says.
    ///
    /// - Parameter item: bytes of a number.
    public mutating func check(item: Int) throws(VectorFileError) {
        var need = item
        for count in shape {
            let (product, isTooLarge) = need.multipliedReportingOverflow(by: count)
            need = isTooLarge ? .max : product
        }
        hasFooter = size != need
        guard size == need || hasFooter && size - Self.footerBytes == need else {
            let shape = "(\(shape.map(String.init).joined(separator: ", "))\(shape.count == 1 ? "," : ""))"
            throw VectorFileError(path, "its shape \(shape) needs \(need) bytes of numbers, but it has \(size)")
        }
    }
}
