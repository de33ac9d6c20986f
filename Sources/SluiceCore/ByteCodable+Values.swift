extension ByteCodable where Self: FixedWidthInteger {
    public func write(to bytes: inout ByteWriter) {
        withUnsafeBytes(of: littleEndian) { bytes.write($0) }
    }

    public init(from bytes: inout ByteReader) throws(StageError) {
        self = try Self.read(count: 1, from: &bytes)[0]
    }

    public static func write(_ values: [Self], to bytes: inout ByteWriter) {
        // Every machine that this runs on is little-endian; elsewhere the elements are turned one by one.
        if 1.littleEndian == 1 {
            values.withUnsafeBytes { bytes.write($0) }
        } else {
            for value in values { value.write(to: &bytes) }
        }
    }

    public static func read(count: Int, from bytes: inout ByteReader) throws(StageError) -> [Self] {
        var values: [Self] = []
        values.reserveCapacity(Swift.min(count, 1 << 16))
        while values.count < count {
            let start = values.count
            let size = Swift.min(count - start, 1 << 16)
            values.append(contentsOf: repeatElement(0, count: size))
            var failure: StageError?
            values.withUnsafeMutableBytes { all in
                let width = MemoryLayout<Self>.stride
                let part = UnsafeMutableRawBufferPointer(rebasing: all[(start * width)...])
                do throws(StageError) { try bytes.read(into: part) } catch { failure = error }
            }
            if let failure { throw failure }
        }
        if 1.littleEndian != 1 { for index in values.indices { values[index] = Self(littleEndian: values[index]) } }
        return values
    }
}

extension Int8: ByteCodable {}
extension UInt8: ByteCodable {}
extension Int32: ByteCodable {}
extension UInt32: ByteCodable {}
extension Int64: ByteCodable {}
extension UInt64: ByteCodable {}
extension Int: ByteCodable {}

extension Double: ByteCodable {
    public func write(to bytes: inout ByteWriter) { bytes.write(bitPattern) }
    public init(from bytes: inout ByteReader) throws(StageError) { self.init(bitPattern: try bytes.read()) }
}

extension Bool: ByteCodable {
    public func write(to bytes: inout ByteWriter) { bytes.write(UInt8(self ? 1 : 0)) }

    public init(from bytes: inout ByteReader) throws(StageError) {
        switch try bytes.read(UInt8.self) {
        case 0: self = false
        case 1: self = true
        case let other: throw ByteReader.damaged("\(other) stands where 0 or 1 is expected")
        }
    }
}

extension String: ByteCodable {
    public func write(to bytes: inout ByteWriter) { bytes.write(Array(utf8)) }

    public init(from bytes: inout ByteReader) throws(StageError) {
        let utf8 = try bytes.read([UInt8].self)
        guard let text = String(validating: utf8, as: UTF8.self) else {
            throw ByteReader.damaged("a text is not UTF-8")
        }
        self = text
    }
}

extension Optional: ByteCodable where Wrapped: ByteCodable {
    public func write(to bytes: inout ByteWriter) {
        bytes.write(self != nil)
        if let value = self { bytes.write(value) }
    }

    public init(from bytes: inout ByteReader) throws(StageError) {
        self = try bytes.read(Bool.self) ? .some(try bytes.read(Wrapped.self)) : nil
    }
}

extension Array: ByteCodable where Element: ByteCodable {
    public func write(to bytes: inout ByteWriter) {
        bytes.write(count)
        Element.write(self, to: &bytes)
    }

    public init(from bytes: inout ByteReader) throws(StageError) {
        let count = try bytes.read(Int.self)
        guard count >= 0 else { throw ByteReader.damaged("an array has \(count) elements") }
        self = try Element.read(count: count, from: &bytes)
    }
}

extension ContentHash: ByteCodable {
    public func write(to bytes: inout ByteWriter) {
        bytes.write(high)
        bytes.write(low)
    }

    public init(from bytes: inout ByteReader) throws(StageError) {
        self.init(high: try bytes.read(), low: try bytes.read())
    }
}
