extension JSONValue {
    /// Compact JSON. Numbers read back unchanged; those that JSON can't represent (infinities, NaN) become null.
    public var json: String { text(indent: nil) }

    /// JSON indented by two spaces per level.
    public var prettyJSON: String { text(indent: 0) }

    private func text(indent: Int?) -> String {
        var bytes: [UInt8] = []
        write(to: &bytes, indent: indent)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends the value as JSON.
    ///
    /// - Parameter indent: the nesting level, to write each entry on its own line; nil for compact JSON.
    public func write(to bytes: inout [UInt8], indent: Int? = nil) {
        switch self {
        case .null: bytes.append(contentsOf: "null".utf8)
        case .flag(let value): bytes.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): bytes.append(contentsOf: String(value).utf8)
        // A Double's description is the shortest text that reads back as the same number.
        case .real(let value): bytes.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
        case .text(let value): Self.write(value, to: &bytes)
        case .list(let values):
            Self.write(values, "[", "]", to: &bytes, indent) { $0.write(to: &$1, indent: $2) }
        case .object(let entries):
            Self.write(entries, "{", "}", to: &bytes, indent) { entry, bytes, indent in
                Self.write(entry.key, to: &bytes)
                bytes.append(contentsOf: (indent == nil ? ":" : ": ").utf8)
                entry.value.write(to: &bytes, indent: indent)
            }
        }
    }

    private static func write<Item>(
        _ items: [Item], _ open: Unicode.Scalar, _ close: Unicode.Scalar, to bytes: inout [UInt8], _ indent: Int?,
        _ writeItem: (Item, inout [UInt8], Int?) -> Void
    ) {
        func newLine(_ level: Int, _ bytes: inout [UInt8]) {
            bytes.append(UInt8(ascii: "\n"))
            bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * level))
        }
        bytes.append(UInt8(ascii: open))
        for (index, item) in items.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            if let indent { newLine(indent + 1, &bytes) }
            writeItem(item, &bytes, indent.map { $0 + 1 })
        }
        if let indent, !items.isEmpty { newLine(indent, &bytes) }
        bytes.append(UInt8(ascii: close))
    }

    private static let hexDigits = Array("0123456789abcdef".utf8)

    /// Appends `text` as a JSON string, with only the escapes that JSON requires.
    package static func write(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes.append(contentsOf: #"\""#.utf8)
            case UInt8(ascii: "\\"): bytes.append(contentsOf: #"\\"#.utf8)
            case 0x08: bytes.append(contentsOf: #"\b"#.utf8)
            case 0x09: bytes.append(contentsOf: #"\t"#.utf8)
            case 0x0A: bytes.append(contentsOf: #"\n"#.utf8)
            case 0x0C: bytes.append(contentsOf: #"\f"#.utf8)
            case 0x0D: bytes.append(contentsOf: #"\r"#.utf8)
            case 0..<0x20:
                bytes.append(contentsOf: #"\u00"#.utf8)
                bytes.append(hexDigits[Int(byte >> 4)])
                bytes.append(hexDigits[Int(byte & 15)])
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    /// Reads one JSON value (strictly RFC 8259).
    ///
    /// A number without point or exponent that fits `Int` becomes an integer, any other a real. Keys keep their order
    /// and may repeat. At most 512 levels deep.
    public init(json text: String) throws(JSONError) { try self.init(json: Array(text.utf8)) }

    public init(json bytes: [UInt8]) throws(JSONError) {
        var scanner = JSONScanner(bytes)
        self = try scanner.document()
    }
}

/// Why some bytes are not a JSON value.
public struct JSONError: Error, Sendable, Hashable, CustomStringConvertible {
    public let message: String
    /// The offset of the error in bytes, from 0.
    public let offset: Int

    public var description: String { "\(message) at byte \(offset)" }
}

/// A strict JSON reader for small inputs: `run.json`, tests, definitions. Records have their own.
package struct JSONScanner {
    package static let maximumDepth = 512

    private let bytes: [UInt8]
    /// The next byte to read.
    package private(set) var offset = 0

    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The value, with nothing after it.
    package mutating func document() throws(JSONError) -> JSONValue {
        let value = try value(depth: 0)
        skipBlanks()
        guard offset == bytes.count else { throw error("unexpected text after the value") }
        return value
    }

    /// Calls `body` with each key of an object and the range of its value's bytes.
    package mutating func forEachEntry(_ body: (String, Range<Int>) -> Void) throws(JSONError) {
        skipBlanks()
        guard peek == UInt8(ascii: "{") else { throw error("not an object") }
        _ = try entries { scanner throws(JSONError) in
            let key = try scanner.key()
            scanner.skipBlanks()
            let start = scanner.offset
            _ = try scanner.value(depth: 1)
            body(key, start..<scanner.offset)
        }
    }

    package mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        skipBlanks()
        guard depth <= Self.maximumDepth else { throw error("more than \(Self.maximumDepth) levels") }
        switch peek {
        case UInt8(ascii: "{"):
            var found: [JSONValue.Entry] = []
            try entries { scanner throws(JSONError) in
                let key = try scanner.key()
                found.append(JSONValue.Entry(key, try scanner.value(depth: depth + 1)))
            }
            return .object(found)
        case UInt8(ascii: "["):
            var found: [JSONValue] = []
            try entries { scanner throws(JSONError) in found.append(try scanner.value(depth: depth + 1)) }
            return .list(found)
        case UInt8(ascii: "\""): return .text(try string())
        case UInt8(ascii: "t"): return try word("true", .flag(true))
        case UInt8(ascii: "f"): return try word("false", .flag(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case nil: throw error("the value is missing")
        case let byte? where byte == UInt8(ascii: "-") || (48...57).contains(byte): return try number()
        default: throw error("no value begins with this byte")
        }
    }

    // MARK: Pieces

    private var peek: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private func error(_ message: String) -> JSONError { JSONError(message: message, offset: offset) }

    private mutating func skipBlanks() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { offset += 1 }
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: scalar) else { return false }
        offset += 1
        return true
    }

    private mutating func key() throws(JSONError) -> String {
        skipBlanks()
        guard peek == UInt8(ascii: "\"") else { throw error("a key is missing") }
        let key = try string()
        skipBlanks()
        guard take(":") else { throw error("a colon is missing") }
        return key
    }

    /// Reads the entries between brackets.
    private mutating func entries(_ entry: (inout JSONScanner) throws(JSONError) -> Void) throws(JSONError) {
        let close: Unicode.Scalar = take("{") ? "}" : "]"
        if close == "]" { offset += 1 }
        skipBlanks()
        if take(close) { return }
        while true {
            try entry(&self)
            skipBlanks()
            if take(close) { return }
            guard take(",") else { throw error("a comma or `\(close)` is missing") }
        }
    }

    private mutating func word(_ word: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
        guard bytes[offset...].starts(with: word.utf8) else { throw error("no value begins like this") }
        offset += word.utf8.count
        return value
    }

    private mutating func digits() throws(JSONError) {
        let start = offset
        while let byte = peek, (48...57).contains(byte) { offset += 1 }
        guard offset > start else { throw error("a digit is missing") }
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = offset
        _ = take("-")
        if !take("0") { try digits() }
        var isWhole = true
        if take(".") {
            isWhole = false
            try digits()
        }
        if take("e") || take("E") {
            isWhole = false
            if !take("+") { _ = take("-") }
            try digits()
        }
        let text = String(decoding: bytes[start..<offset], as: UTF8.self)
        if isWhole, text != "-0", let value = Int(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else { throw error("the number is out of range") }
        return .real(value)
    }

    private mutating func string() throws(JSONError) -> String {
        offset += 1
        var content: [UInt8] = []
        while true {
            guard let byte = peek else { throw error("unterminated string") }
            switch byte {
            case UInt8(ascii: "\""):
                offset += 1
                guard let text = String(validating: content, as: UTF8.self) else {
                    throw error("the string is not UTF-8")
                }
                return text
            case UInt8(ascii: "\\"):
                offset += 1
                try escape(into: &content)
            case 0..<0x20: throw error("a string contains a control character")
            default:
                content.append(byte)
                offset += 1
            }
        }
    }

    private mutating func escape(into content: inout [UInt8]) throws(JSONError) {
        guard let byte = peek else { throw error("unterminated string") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(byte)
        case UInt8(ascii: "b"): content.append(0x08)
        case UInt8(ascii: "f"): content.append(0x0C)
        case UInt8(ascii: "n"): content.append(0x0A)
        case UInt8(ascii: "r"): content.append(0x0D)
        case UInt8(ascii: "t"): content.append(0x09)
        case UInt8(ascii: "u"):
            var code = try fourHexDigits()
            if (0xD800..<0xDC00).contains(code) {
                guard take("\\"), take("u") else { throw error("unpaired surrogate") }
                let low = try fourHexDigits()
                guard (0xDC00..<0xE000).contains(low) else { throw error("unpaired surrogate") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw error("unpaired surrogate") }
            content.append(contentsOf: UTF8.encode(scalar)!)
        default: throw error("no such escape")
        }
    }

    private mutating func fourHexDigits() throws(JSONError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw error("four hexadecimal digits are missing")
            }
            code = code << 4 | UInt32(digit)
            offset += 1
        }
        return code
    }
}
