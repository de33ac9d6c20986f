import SluiceCore

/// The number type of a column.
public struct NpyType: Sendable, Hashable, CustomStringConvertible {
    /// NumPy's name of the type, little-endian.
    public let descriptor: String
    /// Bytes per number.
    public let size: Int
    let isFloat: Bool

    public var description: String { descriptor }

    public static let int8 = NpyType(descriptor: "|i1", size: 1, isFloat: false)
    public static let int32 = NpyType(descriptor: "<i4", size: 4, isFloat: false)
    public static let int64 = NpyType(descriptor: "<i8", size: 8, isFloat: false)
    public static let uint64 = NpyType(descriptor: "<u8", size: 8, isFloat: false)
    public static let float32 = NpyType(descriptor: "<f4", size: 4, isFloat: true)
    public static let float64 = NpyType(descriptor: "<f8", size: 8, isFloat: true)

    static let all: [NpyType] = [.int8, .int32, .int64, .uint64, .float32, .float64]
}

/// A number type that a column can hold.
public protocol NpyElement: BitwiseCopyable, Sendable {
    static var npyType: NpyType { get }
}

extension Int8: NpyElement { public static var npyType: NpyType { .int8 } }
extension Int32: NpyElement { public static var npyType: NpyType { .int32 } }
extension Int64: NpyElement { public static var npyType: NpyType { .int64 } }
extension UInt64: NpyElement { public static var npyType: NpyType { .uint64 } }
extension Float: NpyElement { public static var npyType: NpyType { .float32 } }
extension Double: NpyElement { public static var npyType: NpyType { .float64 } }

/// Header size of our files: NumPy's format 1.0, padded with spaces so that the shape can be filled in at the end.
let npyHeaderSize = 128

func npyHeader(_ type: NpyType, rows: UInt64, width: Int?) -> [UInt8] {
    let shape = width.map { "(\(rows), \($0))" } ?? "(\(rows),)"
    var header: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(npyHeaderSize - 10), 0]
    header += Array("{'descr': '\(type.descriptor)', 'fortran_order': False, 'shape': \(shape), }".utf8)
    header += Array(repeating: 0x20, count: npyHeaderSize - 1 - header.count)
    return header + [0x0A]
}

/// Writes a column row by row as a `.npy` file that `np.load` can open directly, memory-mapped or not.
///
/// A 32-byte footer (row count and checksum) follows the array; NumPy ignores it. `finish()` gives the file its name.
public final class NpyWriter<Element: NpyElement> {
    private var file: AtomicFile?
    private var buffer: [UInt8] = []
    private var hash = XXHashStream()
    /// Numbers per row; `nil` for an array of one dimension.
    public let width: Int?
    public private(set) var rows: UInt64 = 0
    public let path: String
    private let bufferBytes: Int

    /// - Parameter width: numbers per row of an array of two dimensions; `nil` for an array of one dimension.
    public init(
        _ path: String, width: Int? = nil, bufferBytes: Int = 128 << 10, fileSystem: FileSystem = .local
    ) throws(IOFailure) {
        self.path = path
        self.width = width
        self.bufferBytes = bufferBytes
        let made = try AtomicFile(path, fileSystem: fileSystem)
        try made.write(npyHeader(Element.npyType, rows: 0, width: width))
        file = consume made
    }

    /// Adds complete rows, one after another.
    public func append(_ numbers: UnsafeBufferPointer<Element>) throws(IOFailure) {
        let width = width ?? 1
        precondition(numbers.count % max(width, 1) == 0, "only whole rows can be written")
        rows += width == 0 ? 0 : UInt64(numbers.count / width)
        let bytes = UnsafeRawBufferPointer(numbers)
        if buffer.count + bytes.count > bufferBytes { try drain() }
        if bytes.count > bufferBytes {
            hash.update(bytes)
            try file!.write(bytes)
        } else {
            buffer.append(contentsOf: bytes)
        }
    }

    /// Adds complete rows, one after another.
    public func append(_ numbers: [Element]) throws(IOFailure) {
        let result = numbers.withUnsafeBufferPointer { pointer -> Result<Void, IOFailure> in
            do throws(IOFailure) { return .success(try append(pointer)) } catch { return .failure(error) }
        }
        try result.get()
    }

    private func drain() throws(IOFailure) {
        buffer.withUnsafeBytes { hash.update($0) }
        try file!.write(buffer)
        buffer.removeAll(keepingCapacity: true)
    }

    /// Completes the file and renames it to its final name.
    public func finish() throws(IOFailure) {
        try drain()
        guard let whole = file.take() else { return }
        let footer = WorkFooter(count: rows, checksum: hash.digest64)
        try footer.withBytes { bytes throws(IOFailure) in try whole.write(bytes) }
        let header = npyHeader(Element.npyType, rows: rows, width: width)
        let result = header.withUnsafeBytes { bytes -> Result<Void, IOFailure> in
            do throws(IOFailure) { return .success(try whole.write(bytes, at: 0)) } catch { return .failure(error) }
        }
        try result.get()
        try whole.commit()
    }
}

/// Reads rows of a `.npy` file (C order, little-endian). If the file is ours, its footer is checked.
///
/// Uses `pread`: nothing is mapped, and several threads may read at the same time.
public final class NpyReader<Element: NpyElement>: Sendable {
    private let file: OpenFile
    private let dataStart: UInt64
    public let path: String
    public let rows: Int
    /// Numbers per row; 1 for an array of one dimension.
    public let width: Int
    /// Whether the file is ours, with a footer.
    public let hasFooter: Bool
    private let checksum: UInt64

    /// - Parameters:
    ///   - width: the expected numbers per row, if known.
    ///   - rows: the expected number of rows, if known.
    ///   - verify: whether to read the whole file and check its checksum.
    public init(
        _ path: String, width: Int? = nil, rows: Int? = nil, verify: Bool = true, fileSystem: FileSystem = .local
    ) throws(IOFailure) {
        self.path = path
        file = try fileSystem.openForReading(path)
        let size = try file.status().size
        let header = try NpyHeader(file, size: size)
        guard header.type == Element.npyType else {
            throw IOFailure(
                .wrongColumn, path: path,
                found: "its numbers have type \(header.descriptor), expected \(Element.npyType)")
        }
        dataStart = header.dataStart
        self.rows = header.rows
        self.width = header.width
        if let width, width != header.width {
            throw IOFailure(
                .wrongColumn, path: path, found: "its rows have \(header.width) numbers, expected \(width)")
        }
        if let rows, rows != header.rows {
            throw IOFailure(.wrongColumn, path: path, found: "it has \(header.rows) rows, expected \(rows)")
        }
        let dataSize = UInt64(header.rows) * UInt64(header.width) * UInt64(Element.npyType.size)
        guard size >= dataStart + dataSize else {
            throw WorkFooter.broken(
                path, size, "its header states \(dataSize) bytes of numbers, but there are \(size - dataStart)")
        }
        if size == dataStart + dataSize {
            hasFooter = false
            checksum = 0
        } else {
            guard size == dataStart + dataSize + UInt64(WorkFooter.size) else {
                throw WorkFooter.broken(path, dataStart + dataSize, "extra bytes after its numbers")
            }
            let footer = try WorkFooter.read(file, size: size)
            guard footer.count == UInt64(header.rows) else {
                throw WorkFooter.broken(
                    path, size, "its header states \(header.rows) rows, its footer \(footer.count)")
            }
            hasFooter = true
            checksum = footer.checksum
        }
        if verify && hasFooter { try self.verify() }
    }

    /// Reads the whole file and verifies its checksum. Foreign files have none and pass.
    public func verify() throws(IOFailure) {
        guard hasFooter else { return }
        var hash = XXHashStream()
        var chunk = [UInt8](repeating: 0, count: 256 << 10)
        var at: UInt64 = 0
        let end = UInt64(rows) * UInt64(width) * UInt64(Element.npyType.size)
        while at < end {
            let got = try file.read(into: &chunk, at: dataStart + at)
            if got == 0 { break }
            let count = Int(min(UInt64(got), end - at))
            chunk.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            at += UInt64(count)
        }
        guard hash.digest64 == checksum else { throw WorkFooter.broken(path, dataStart, "its checksum is wrong") }
    }

    /// Reads `numbers.count / width` rows, starting at `row`.
    public func read(row: Int, into numbers: UnsafeMutableBufferPointer<Element>) throws(IOFailure) {
        precondition(width > 0 && numbers.count % width == 0, "only whole rows can be read")
        precondition(row >= 0 && row + numbers.count / width <= rows, "row out of range")
        let at = dataStart + UInt64(row) * UInt64(width) * UInt64(Element.npyType.size)
        let bytes = UnsafeMutableRawBufferPointer(numbers)
        guard try file.read(into: bytes, at: at) == bytes.count else {
            throw WorkFooter.broken(path, at, "it was truncated while being read")
        }
    }

    /// Reads rows into an array.
    public func read(rows range: Range<Int>) throws(IOFailure) -> [Element] {
        var failure: IOFailure?
        let numbers = [Element](unsafeUninitializedCapacity: range.count * width) { buffer, count in
            count = range.count * width
            do throws(IOFailure) {
                try read(row: range.lowerBound, into: UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
            } catch { failure = error }
        }
        if let failure { throw failure }
        return numbers
    }

    /// Passes all rows to `body` in order, `chunkRows` at a time; the last chunk may be smaller.
    public func forEachChunk(
        of chunkRows: Int, _ body: (_ firstRow: Int, _ numbers: UnsafeBufferPointer<Element>) throws(IOFailure) -> Void
    ) throws(IOFailure) {
        let size = max(1, chunkRows)
        let buffer = UnsafeMutableBufferPointer<Element>.allocate(capacity: max(1, min(size, rows) * width))
        defer { buffer.deallocate() }
        var row = 0
        while row < rows {
            let count = min(size, rows - row)
            let part = UnsafeMutableBufferPointer(rebasing: buffer[..<(count * width)])
            try read(row: row, into: part)
            try body(row, UnsafeBufferPointer(part))
            row += count
        }
    }
}

/// The header of a `.npy` file, ours or foreign.
public struct NpyHeader: Sendable, Equatable {
    /// The type as written in the file.
    public var descriptor: String
    /// The type; `nil` if it is not supported.
    public var type: NpyType?
    public var rows: Int
    /// Numbers per row; 1 for an array of one dimension.
    public var width: Int
    var dataStart: UInt64

    /// Reads the header of a file.
    public init(of path: String, fileSystem: FileSystem = .local) throws(IOFailure) {
        let file = try fileSystem.openForReading(path)
        try self.init(file, size: try file.status().size)
    }

    init(_ file: borrowing OpenFile, size: UInt64) throws(IOFailure) {
        func wrong(_ what: String) -> IOFailure { IOFailure(.wrongColumn, path: file.path, found: what) }
        var start = [UInt8](repeating: 0, count: 12)
        let got = try file.read(into: &start, at: 0)
        guard got >= 10, start[..<6].elementsEqual([0x93] + Array("NUMPY".utf8)), (1...3).contains(start[6]) else {
            throw wrong("this is not a .npy file")
        }
        let prefix = start[6] == 1 ? 10 : 12
        var length = Int(start[8]) | Int(start[9]) << 8
        if prefix == 12 { length |= Int(start[10]) << 16 | Int(start[11]) << 24 }
        guard length <= 65536, UInt64(prefix + length) <= size else {
            throw WorkFooter.broken(file.path, 8, "its header extends past the end of the file")
        }
        var text = [UInt8](repeating: 0, count: length)
        guard try file.read(into: &text, at: UInt64(prefix)) == length else {
            throw WorkFooter.broken(file.path, 8, "its header is cut off")
        }
        var parser = NpyHeaderParser(text)
        guard let fields = parser.parse() else { throw wrong("its .npy header can't be parsed") }
        if fields.fortran && fields.shape.count > 1 {
            throw IOFailure(
                .wrongColumn, path: file.path, found: "its numbers are in Fortran order",
                advice: "Save it with numpy.ascontiguousarray.")
        }
        guard (1...2).contains(fields.shape.count) else {
            throw wrong("it has \(fields.shape.count) dimensions, expected 1 or 2")
        }
        descriptor = fields.descriptor
        type = NpyType.all.first { $0.descriptor == fields.descriptor }
        if fields.descriptor == "<i1" { type = .int8 }
        rows = fields.shape[0]
        width = fields.shape.count == 2 ? fields.shape[1] : 1
        dataStart = UInt64(prefix + length)
        guard rows.multipliedReportingOverflow(by: max(1, width)).partialValue < 1 << 48, rows < 1 << 48,
            width < 1 << 32
        else { throw wrong("its shape (\(rows), \(width)) is too large") }
    }
}
