import Glibc

/// A value in JSON text: the places of its first byte and after its last one, quotes included.
struct Span: Sendable, Hashable {
    let start: Int
    let end: Int

    var count: Int { end - start }
}

/// The kind of a JSON value, by its first byte.
enum JSONKind {
    case string, object, list, null, scalar
}

/// Walks JSON that the reader has checked: it skips and compares, and never judges. On bytes that are no JSON it ends
/// early, within them.
struct JSONCursor {
    let bytes: UnsafeBufferPointer<UInt8>
    private(set) var place: Int

    init(_ bytes: UnsafeBufferPointer<UInt8>, at place: Int = 0) {
        self.bytes = bytes
        self.place = place
    }

    /// Inside the container at `span`.
    init(inside span: Span, of bytes: UnsafeBufferPointer<UInt8>) { self.init(bytes, at: span.start + 1) }

    var isAtEnd: Bool { place >= bytes.count }
    private var next: UInt8 { place < bytes.count ? bytes[place] : 0 }

    mutating func skipBlanks() { while Self.isBlank(next) { place += 1 } }

    static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }

    /// Whether another element or member follows in the container; if not, steps out of it.
    mutating func hasNext(_ isFirst: inout Bool) -> Bool {
        skipBlanks()
        if isAtEnd { return false }
        if next == UInt8(ascii: "]") || next == UInt8(ascii: "}") {
            place += 1
            return false
        }
        if !isFirst {
            place += 1
            skipBlanks()
        }
        isFirst = false
        return !isAtEnd
    }

    /// Reads a key, and steps over the colon after it.
    mutating func key() -> Span {
        let key = string()
        skipBlanks()
        place += 1
        return key
    }

    private mutating func string() -> Span {
        let start = place
        place += 1
        while let base = bytes.baseAddress, place < bytes.count,
            let found = memchr(base + place, Int32(UInt8(ascii: "\"")), bytes.count - place)
        {
            let quote = UnsafeRawPointer(found) - UnsafeRawPointer(base)
            var slashes = 0
            while quote - 1 - slashes > start, bytes[quote - 1 - slashes] == UInt8(ascii: "\\") { slashes += 1 }
            place = quote + 1
            if slashes % 2 == 0 { return Span(start: start, end: place) }
        }
        place = max(place, bytes.count)
        return Span(start: min(start, bytes.count), end: bytes.count)
    }

    /// Reads any value.
    mutating func value() -> Span {
        skipBlanks()
        let start = min(place, bytes.count)
        var depth = 0
        repeat {
            guard !isAtEnd else { break }
            switch next {
            case UInt8(ascii: "\""): _ = string()
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                place += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                place += 1
            case UInt8(ascii: ","), UInt8(ascii: ":"), 0x20, 0x0A, 0x0D, 0x09: place += 1
            default: skipScalar()
            }
        } while depth > 0
        return Span(start: start, end: min(place, bytes.count))
    }

    private mutating func skipScalar() {
        repeat {
            place += 1
        } while !isAtEnd && !Self.isBlank(next) && next != UInt8(ascii: ",")
            && next != UInt8(ascii: "}") && next != UInt8(ascii: "]")
    }
}

extension UnsafeBufferPointer<UInt8> {
    func kind(_ span: Span) -> JSONKind {
        guard span.start < count else { return .null }
        return switch self[span.start] {
        case UInt8(ascii: "\""): .string
        case UInt8(ascii: "{"): .object
        case UInt8(ascii: "["): .list
        case UInt8(ascii: "n"): .null
        default: .scalar
        }
    }

    subscript(span: Span) -> UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(rebasing: self[span.start..<span.end]) }

    /// The characters of a string, as they are spelled between its quotes.
    func spelling(_ span: Span) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(
            rebasing: self[Swift.min(span.start + 1, span.end)..<Swift.max(span.start + 1, span.end - 1)])
    }

    /// Whether the string at `span` is `word`, however it is spelled.
    func isString(_ span: Span, _ word: StaticString) -> Bool {
        guard kind(span) == .string, span.count >= 2 else { return false }
        let spelling = spelling(span)
        let length = word.utf8CodeUnitCount
        // Nearly all strings are another word, spelled without escapes.
        guard length > 0, let first = spelling.first else { return length == spelling.count }
        guard first == word.utf8Start.pointee || first == UInt8(ascii: "\\") else { return false }
        if spelling.count == length {
            guard let base = spelling.baseAddress else { return true }
            return memcmp(base, word.utf8Start, length) == 0
        }
        // An escape takes six bytes at most for one.
        guard spelling.count > length, spelling.count <= 6 * length, spelling.contains(UInt8(ascii: "\\")) else {
            return false
        }
        var plain: [UInt8] = []
        spelling.appendUnescaped(to: &plain)
        return plain.elementsEqual(UnsafeBufferPointer(start: word.utf8Start, count: length))
    }

    /// Calls `body` with the key and value of each member of the object at `span`.
    func forEachMember<E>(_ span: Span, _ body: (_ key: Span, _ value: Span) throws(E) -> Void) throws(E) {
        var cursor = JSONCursor(inside: span, of: self)
        var isFirst = true
        while cursor.hasNext(&isFirst) {
            let key = cursor.key()
            try body(key, cursor.value())
        }
    }

    /// Calls `body` with each element of the list at `span`.
    func forEachElement<E>(_ span: Span, _ body: (_ index: Int, _ value: Span) throws(E) -> Void) throws(E) {
        var cursor = JSONCursor(inside: span, of: self)
        var isFirst = true
        var index = 0
        while cursor.hasNext(&isFirst) {
            try body(index, cursor.value())
            index += 1
        }
    }

    /// Appends the characters that this text between quotes spells.
    func appendUnescaped(to bytes: inout [UInt8]) {
        var place = 0
        while place < count, let base = baseAddress {
            let left = count - place
            let slash =
                memchr(base + place, Int32(UInt8(ascii: "\\")), left)
                .map { UnsafeRawPointer($0) - UnsafeRawPointer(base) } ?? count
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: self[place..<slash]))
            guard slash + 1 < count else { return }
            place = slash + 2
            switch self[slash + 1] {
            case UInt8(ascii: "b"): bytes.append(0x08)
            case UInt8(ascii: "f"): bytes.append(0x0C)
            case UInt8(ascii: "n"): bytes.append(0x0A)
            case UInt8(ascii: "r"): bytes.append(0x0D)
            case UInt8(ascii: "t"): bytes.append(0x09)
            case UInt8(ascii: "u"):
                var code = hexadecimal(at: place)
                place += 4
                if (0xD800..<0xDC00).contains(code), place + 6 <= count, self[place + 1] == UInt8(ascii: "u") {
                    code = 0x10000 + (code - 0xD800) << 10 + (hexadecimal(at: place + 2) & 0x3FF)
                    place += 6
                }
                // The reader has refused unpaired surrogates.
                let scalar = Unicode.Scalar(code) ?? "\u{FFFD}"
                bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
            case let byte: bytes.append(byte)
            }
        }
    }

    private func hexadecimal(at place: Int) -> UInt32 {
        var code: UInt32 = 0
        for index in place..<Swift.min(place + 4, count) { code = code << 4 | UInt32(hexDigit(self[index]) ?? 0) }
        return code
    }

    /// Appends this text as the characters of a JSON string, escaping only what must be escaped.
    func appendEscaped(to bytes: inout [UInt8]) {
        var start = 0
        for place in 0..<count {
            let byte = self[place]
            guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else { continue }
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: self[start..<place]))
            start = place + 1
            bytes.append(UInt8(ascii: "\\"))
            switch byte {
            case 0x0A: bytes.append(UInt8(ascii: "n"))
            case 0x09: bytes.append(UInt8(ascii: "t"))
            case 0x0D: bytes.append(UInt8(ascii: "r"))
            case 0x20...: bytes.append(byte)
            default:
                bytes.append(contentsOf: "u00".utf8)
                bytes.append(byte < 0x10 ? UInt8(ascii: "0") : UInt8(ascii: "1"))
                bytes.append(Self.hexDigits[Int(byte & 15)])
            }
        }
        bytes.append(contentsOf: UnsafeBufferPointer(rebasing: self[start...]))
    }

    private static var hexDigits: [UInt8] { Digits.hexadecimal }
}

private enum Digits {
    static let hexadecimal = Array("0123456789abcdef".utf8)
}

/// The value of a hexadecimal digit.
func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
}

/// Appends the contents of a JSON string, escaping only what must be escaped.
func appendEscaped(_ text: ArraySlice<UInt8>, to bytes: inout [UInt8]) {
    text.withUnsafeBufferPointer { $0.appendEscaped(to: &bytes) }
}

/// Nothing but ASCII white space.
func isBlank(_ bytes: some Sequence<UInt8>) -> Bool {
    bytes.allSatisfy { $0 == 0x20 || (0x09...0x0D).contains($0) }
}
