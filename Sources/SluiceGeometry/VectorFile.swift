#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Vectors in a `.npy` file, one per row: a two-dimensional array as `np.save` writes it, or a vector column as Sluice
/// writes it.
///
/// `float16`, `float32` and `float64` rows are quantised; they may have any length but no NaN or infinity. `int8` rows are
/// used unchanged in a file that Sluice wrote, and where their length is that of a quantised vector, to a tenth. Others are
/// taken as plain numbers, of which only the direction matters. C order, little-endian. `init` reads only the header.
public struct VectorFile: Sendable {
    public let path: String
    public let count: Int
    public let dimension: Int
    let type: Kind
    let start: Int
    /// Whether Sluice wrote it: then its rows are quantised vectors, whatever their length.
    let isOwn: Bool

    /// The type of the numbers, by its bytes.
    enum Kind: Int, Sendable { case int8 = 1, float16 = 2, float32 = 4, float64 = 8 }

    /// - Throws: if the file can't be opened or is not a `.npy` file, its numbers have another type, its shape is not
    ///   (rows, dimension) with a dimension of 1 to 8,192, or its length does not match the shape.
    public init(_ path: String) throws(VectorFileError) {
        var array = try NpyArray(path)
        switch array.descriptor {
        case "|i1", "<i1": type = .int8
        case "<f2": type = .float16
        case "<f4": type = .float32
        case "<f8": type = .float64
        default:
            throw VectorFileError(
                path,
                "it contains numbers of type \(array.descriptor); vectors are int8, float16, float32 or float64 (|i1, <f2, <f4, <f8)"
            )
        }
        guard array.shape.count == 2 else {
            throw VectorFileError(
                path, "it has \(array.shape.count) dimensions; vectors need an array of two, (rows, dimension)")
        }
        self.path = path
        (count, dimension, start) = (array.shape[0], array.shape[1], array.start)
        guard 1...VectorView.maximumDimension ~= dimension, 0...Int(Int32.max) ~= count else {
            throw VectorFileError(path, "its shape is (\(count), \(dimension)); vectors have 1 to 8192 components")
        }
        try array.check(item: type.rawValue)
        isOwn = array.hasFooter
    }

    /// All vectors, quantised, row after row: `count · dimension` bytes.
    ///
    /// - Throws: at the first row with a NaN or an infinity, or if the file has become shorter.
    public func read() throws(VectorFileError) -> [Int8] {
        let rows = try VectorRows(self)
        var scratch = VectorRows.Scratch(dimension: dimension)
        var vectors = [Int8](repeating: 0, count: count * dimension)
        var failure: VectorFileError?
        vectors.withUnsafeMutableBufferPointer { output in
            guard let base = output.baseAddress else { return }
            do throws(VectorFileError) { try rows.quantized(0..<count, into: base, &scratch) } catch { failure = error }
        }
        if let failure { throw failure }
        return vectors
    }
}

/// The rows of a file of vectors, read where they are asked for. Threads share it; each has a `Scratch` of its own.
///
/// Closed when nobody holds it.
public final class VectorRows: Sendable {
    public let file: VectorFile
    private let descriptor: Int32

    /// - Throws: if the file can't be opened.
    public init(_ file: VectorFile) throws(VectorFileError) {
        self.file = file
        descriptor = open(file.path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw VectorFileError(file.path, "it can't be opened; check the name") }
    }

    deinit { close(descriptor) }

    /// What a thread needs to read rows.
    public struct Scratch: Sendable {
        /// Rows read at a time.
        fileprivate let rows: Int
        fileprivate var raw: [UInt8]
        fileprivate var floats: [Float]

        /// Bytes for rows of this dimension.
        public static func bytes(dimension: Int) -> Int { rows(dimension) * dimension * 12 }

        private static func rows(_ dimension: Int) -> Int { max(1, (1 << 14) / dimension) }

        /// - Parameter dimension: of the files whose rows are read with it.
        public init(dimension: Int) {
            rows = Self.rows(dimension)
            raw = [UInt8](repeating: 0, count: rows * dimension * 8)
            floats = [Float](repeating: 0, count: rows * dimension)
        }
    }

    /// Quantised rows, `rows.count · dimension` bytes.
    ///
    /// - Throws: at the first row with a NaN or an infinity, or if the file has become shorter.
    public func quantized(
        _ rows: Range<Int>, into output: UnsafeMutablePointer<Int8>, _ scratch: inout Scratch
    ) throws(VectorFileError) {
        let quantizer = Quantizer(dimension: file.dimension)
        for first in stride(from: rows.lowerBound, to: rows.upperBound, by: scratch.rows) {
            let count = min(scratch.rows, rows.upperBound - first)
            let target = output + (first - rows.lowerBound) * file.dimension
            try read(first, count, &scratch)
            guard file.type != .int8 else {
                adopt(count, quantizer, target, &scratch)
                continue
            }
            widen(count, &scratch)
            do throws(GeometryError) {
                try quantizer.quantize(scratch.floats, count: count, into: target)
            } catch {
                throw VectorFileError(file.path, "row \(first + error.row) has a component that is NaN or infinite")
            }
        }
    }

    /// The numbers of rows as they are, `rows.count · dimension` floats. Rows of float64 are scaled to a largest component
    /// of 1. NaN and infinity are passed on.
    ///
    /// - Throws: if the file has become shorter.
    public func numbers(
        _ rows: Range<Int>, into output: UnsafeMutablePointer<Float>, _ scratch: inout Scratch
    ) throws(VectorFileError) {
        for first in stride(from: rows.lowerBound, to: rows.upperBound, by: scratch.rows) {
            let count = min(scratch.rows, rows.upperBound - first)
            try read(first, count, &scratch)
            widen(count, &scratch)
            scratch.floats.withUnsafeBufferPointer { floats in
                guard let base = floats.baseAddress else { return }
                (output + (first - rows.lowerBound) * file.dimension).update(from: base, count: count * file.dimension)
            }
        }
    }

    private func read(_ first: Int, _ count: Int, _ scratch: inout Scratch) throws(VectorFileError) {
        let row = file.dimension * file.type.rawValue
        precondition(first >= 0 && first + count <= file.count, "rows \(first) to \(first + count) of \(file.count)")
        let isWhole = scratch.raw.withUnsafeMutableBytes { raw in
            var done = 0
            while done < count * row {
                let got = pread(
                    descriptor, raw.baseAddress.map { $0 + done }, count * row - done, file.start + first * row + done)
                if got < 0, errno == EINTR { continue }
                guard got > 0 else { return false }
                done += got
            }
            return true
        }
        guard isWhole else { throw VectorFileError(file.path, "it became shorter while it was read") }
    }

    /// Turns the bytes that were read into floats.
    private func widen(_ count: Int, _ scratch: inout Scratch) {
        let (dimension, type) = (file.dimension, file.type)
        let numbers = count * dimension
        scratch.raw.withUnsafeBytes { raw in
            scratch.floats.withUnsafeMutableBufferPointer { floats in
                switch type {
                case .int8: for index in 0..<numbers { floats[index] = Float(Int8(bitPattern: raw[index])) }
                case .float16:
                    let halves = raw.bindMemory(to: UInt16.self)
                    for index in 0..<numbers {
                        floats[index] = Float(Float16(bitPattern: UInt16(littleEndian: halves[index])))
                    }
                case .float32:
                    let words = raw.bindMemory(to: UInt32.self)
                    for index in 0..<numbers { floats[index] = Float(bitPattern: UInt32(littleEndian: words[index])) }
                case .float64:
                    let words = raw.bindMemory(to: UInt64.self)
                    for row in 0..<count { Self.narrow(words, row * dimension, dimension, floats) }
                }
            }
        }
    }

    /// Only the direction matters, so a row is scaled to a largest component of 1, and none becomes infinite as a Float.
    private static func narrow(
        _ words: UnsafeBufferPointer<UInt64>, _ start: Int, _ dimension: Int,
        _ floats: UnsafeMutableBufferPointer<Float>
    ) {
        func value(_ index: Int) -> Double { Double(bitPattern: UInt64(littleEndian: words[index])) }
        var largest = 0.0
        for index in start..<(start + dimension) where value(index).magnitude > largest {
            largest = value(index).magnitude
        }
        let divisor = largest > 0 ? largest : 1
        for index in start..<(start + dimension) { floats[index] = Float(value(index) / divisor) }
    }

    /// Rows of int8: unchanged if they are quantised vectors, otherwise quantised as numbers.
    private func adopt(
        _ count: Int, _ quantizer: Quantizer, _ output: UnsafeMutablePointer<Int8>, _ scratch: inout Scratch
    ) {
        let dimension = file.dimension
        let usual = quantizer.scale * quantizer.scale
        scratch.raw.withUnsafeBytes { raw in
            let rows = raw.bindMemory(to: Int8.self)
            withUnsafeTemporaryAllocation(of: Int32.self, capacity: dimension) { sums in
                guard let base = sums.baseAddress else { return }
                for row in 0..<count {
                    var squared = 0
                    for index in 0..<dimension {
                        let value = Int(rows[row * dimension + index])
                        squared += value * value
                        (base + index).initialize(to: Int32(value))
                    }
                    let target = output + row * dimension
                    if file.isOwn || squared == 0 || (0.81 * usual...1.21 * usual).contains(Double(squared)) {
                        for index in 0..<dimension { target[index] = Int8(truncatingIfNeeded: base[index]) }
                    } else {
                        quantizer.quantize(sums: base, count: 1, into: target)
                    }
                }
            }
        }
    }
}
