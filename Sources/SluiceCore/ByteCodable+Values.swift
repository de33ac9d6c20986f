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

/// In the order of the keys, so that equal dictionaries are equal bytes.
extension Dictionary: ByteCodable where Key: ByteCodable & Comparable, Value: ByteCodable {
    public func write(to bytes: inout ByteWriter) {
        bytes.write(count)
        for (key, value) in sorted(by: { $0.key < $1.key }) {
            bytes.write(key)
            bytes.write(value)
        }
    }

    public init(from bytes: inout ByteReader) throws(StageError) {
        self.init()
        let count = try bytes.read(Int.self)
        guard count >= 0 else { throw ByteReader.damaged("a dictionary has \(count) entries") }
        for _ in 0..<count {
            let key = try bytes.read(Key.self)
            guard updateValue(try bytes.read(), forKey: key) == nil else {
                throw ByteReader.damaged("a key occurs twice")
            }
        }
    }
}

/// As JSON text.
extension JSONValue: ByteCodable {
    public func write(to bytes: inout ByteWriter) { bytes.write(json) }

    public init(from bytes: inout ByteReader) throws(StageError) {
        let text = Array(try bytes.read(String.self).utf8)
        do {
            self = try JSONValue(json: text)
        } catch {
            throw ByteReader.damaged("a report is no JSON")
        }
    }
}

extension ColumnName: ByteCodable {
    public func write(to bytes: inout ByteWriter) { bytes.write(name) }
    public init(from bytes: inout ByteReader) throws(StageError) { self.init(try bytes.read(String.self)) }
}

extension Reason: ByteCodable {
    public func write(to bytes: inout ByteWriter) { bytes.write(name) }
    public init(from bytes: inout ByteReader) throws(StageError) { self.init(try bytes.read(String.self)) }
}

extension ColumnType: ByteCodable {
    public func write(to bytes: inout ByteWriter) {
        switch self {
        case .bytes: bytes.write(0)
        case .integer: bytes.write(1)
        case .real: bytes.write(2)
        case .vector(let dimension):
            bytes.write(3)
            bytes.write(dimension)
        }
    }

    public init(from bytes: inout ByteReader) throws(StageError) {
        switch try bytes.read(Int.self) {
        case 0: self = .bytes
        case 1: self = .integer
        case 2: self = .real
        case 3: self = .vector(dimension: try bytes.read())
        case let other: throw ByteReader.damaged("\(other) is no type of a column")
        }
    }
}

extension ColumnSpec: ByteCodable {
    public func write(to bytes: inout ByteWriter) {
        bytes.write(name)
        bytes.write(type)
    }

    public init(from bytes: inout ByteReader) throws(StageError) {
        self.init(try bytes.read(), try bytes.read())
    }
}
