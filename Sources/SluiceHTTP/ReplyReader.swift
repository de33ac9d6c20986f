import Glibc

/// What is wrong with a reply, as a part of a sentence.
public struct ReplyError: Error, Sendable, Hashable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// Reads a server's JSON from front to back, without a copy of it: long lists of numbers, long texts.
///
/// Takes JSON, and the `NaN` and `Infinity` that Python's library writes, as numbers: a reader can then say what is wrong.
/// What is skipped is only checked for its ends.
public struct ReplyReader {
    public enum Kind: Sendable { case object, list, string, number, flag, null }

    private static let mostLevels = 64

    private let bytes: UnsafeBufferPointer<UInt8>
    private var offset = 0
    private var level = 0

    public init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    /// The kind of the next value.
    public mutating func kind() throws(ReplyError) -> Kind {
        switch try next() {
        case UInt8(ascii: "{"): .object
        case UInt8(ascii: "["): .list
        case UInt8(ascii: "\""): .string
        case UInt8(ascii: "t"), UInt8(ascii: "f"): .flag
        case UInt8(ascii: "n"): .null
        default: .number
        }
    }

    /// Reads an object: `body` gets each key and must read or skip its value.
    public mutating func object(
        _ body: (_ key: String, inout ReplyReader) throws(ReplyError) -> Void
    ) throws(ReplyError) {
        try entries(from: UInt8(ascii: "{"), to: UInt8(ascii: "}")) { (reader) throws(ReplyError) in
            let key = try reader.string()
            guard try reader.next() == UInt8(ascii: ":") else { throw reader.broken }
            reader.offset += 1
            try body(String(decoding: key, as: UTF8.self), &reader)
        }
    }

    /// Reads a list: `body` must read or skip each entry.
    public mutating func list(_ body: (inout ReplyReader) throws(ReplyError) -> Void) throws(ReplyError) {
        try entries(from: UInt8(ascii: "["), to: UInt8(ascii: "]"), body)
    }

    /// Reads a string. Escapes are resolved; an unpaired surrogate becomes U+FFFD.
    public mutating func string() throws(ReplyError) -> [UInt8] {
        let raw = try rawString()
        guard raw.contains(UInt8(ascii: "\\")) else { return Array(raw) }
        var text: [UInt8] = []
        var place = raw.startIndex
        while place < raw.endIndex {
            guard raw[place] == UInt8(ascii: "\\"), place + 1 < raw.endIndex else {
                text.append(raw[place])
                place += 1
                continue
            }
            let letter = raw[place + 1]
            place += 2
            switch letter {
            case UInt8(ascii: "n"): text.append(0x0A)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "r"): text.append(0x0D)
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0C)
            case UInt8(ascii: "u"): text += Self.scalar(raw, &place)
            default: text.append(letter)
            }
        }
        return text
    }

    /// Reads a string without resolving escapes: valid until the reply's bytes go.
    public mutating func rawString() throws(ReplyError) -> Slice<UnsafeBufferPointer<UInt8>> {
        guard try next() == UInt8(ascii: "\"") else { throw broken }
        let start = offset + 1
        // Vectors are long strings without escapes.
        guard var end = place(of: UInt8(ascii: "\""), from: start, to: bytes.count) else {
            throw ReplyError("it ends early")
        }
        if let escape = place(of: UInt8(ascii: "\\"), from: start, to: end) {
            end = escape
            while end < bytes.count, bytes[end] != UInt8(ascii: "\"") {
                end += bytes[end] == UInt8(ascii: "\\") ? 2 : 1
            }
        }
        guard end < bytes.count else { throw ReplyError("it ends early") }
        offset = end + 1
        return bytes[start..<end]
    }

    /// Reads a number, rounded to the nearest that 32 bits have; NaN and infinities too.
    public mutating func float() throws(ReplyError) -> Float {
        _ = try next()
        let start = offset
        while offset < bytes.count, Self.isOfNumber(bytes[offset]) { offset += 1 }
        let count = offset - start
        guard 1...60 ~= count else { throw broken }
        return try withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { (word) throws(ReplyError) in
            word.copyMemory(from: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[start..<offset]))
            word[count] = 0
            guard let text = word.baseAddress?.assumingMemoryBound(to: CChar.self) else { throw broken }
            var end: UnsafeMutablePointer<CChar>?
            let value = strtof(text, &end)
            guard end == UnsafeMutablePointer(mutating: text) + count else { throw broken }
            return value
        }
    }

    /// Reads an integer.
    public mutating func integer() throws(ReplyError) -> Int {
        _ = try next()
        let start = offset
        while offset < bytes.count, Self.isOfNumber(bytes[offset]) { offset += 1 }
        guard let value = Int(String(decoding: bytes[start..<offset], as: UTF8.self)) else { throw broken }
        return value
    }

    public mutating func skip() throws(ReplyError) {
        switch try kind() {
        case .object: try object { (_, reader) throws(ReplyError) in try reader.skip() }
        case .list: try list { (reader) throws(ReplyError) in try reader.skip() }
        case .string: _ = try rawString()
        case .flag, .null, .number:
            let start = offset
            while offset < bytes.count, Self.isOfNumber(bytes[offset]) { offset += 1 }
            guard offset > start else { throw broken }
        }
    }

    // MARK: Bytes

    /// Where a byte is first in a range; nil if it is not.
    private func place(of byte: UInt8, from start: Int, to end: Int) -> Int? {
        guard start < end, let base = bytes.baseAddress, let found = memchr(base + start, Int32(byte), end - start)
        else { return nil }
        return UnsafeRawPointer(found) - UnsafeRawPointer(base)
    }

    private var broken: ReplyError {
        ReplyError(offset < bytes.count ? "it is no JSON at byte \(offset)" : "it ends early")
    }

    /// The next byte that is no blank.
    private mutating func next() throws(ReplyError) -> UInt8 {
        while offset < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[offset]) { offset += 1 }
        guard offset < bytes.count else { throw broken }
        return bytes[offset]
    }

    private mutating func entries(
        from open: UInt8, to close: UInt8, _ body: (inout ReplyReader) throws(ReplyError) -> Void
    ) throws(ReplyError) {
        guard try next() == open, level < Self.mostLevels else { throw broken }
        offset += 1
        level += 1
        defer { level -= 1 }
        if try next() == close {
            offset += 1
            return
        }
        while true {
            try body(&self)
            let byte = try next()
            guard byte == close || byte == UInt8(ascii: ",") else { throw broken }
            offset += 1
            if byte == close { return }
        }
    }

    /// Letters too: of exponents, `true`, `null`, `NaN` and `Infinity`.
    private static func isOfNumber(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    /// The scalar of `\uXXXX`, or of two of them; `place` is after the `u`.
    private static func scalar(_ raw: Slice<UnsafeBufferPointer<UInt8>>, _ place: inout Int) -> [UInt8] {
        func unit(at place: Int) -> UInt32? {
            guard place + 4 <= raw.endIndex else { return nil }
            return UInt32(String(decoding: raw[place..<(place + 4)], as: UTF8.self), radix: 16)
        }
        let high = unit(at: place) ?? 0xFFFD
        place = min(place + 4, raw.endIndex)
        var code = high
        if 0xD800...0xDBFF ~= high, place + 6 <= raw.endIndex, raw[place] == UInt8(ascii: "\\"),
            let low = unit(at: place + 2), 0xDC00...0xDFFF ~= low
        {
            code = 0x10000 + (high - 0xD800) << 10 + (low - 0xDC00)
            place += 6
        }
        return Array(String(Character(Unicode.Scalar(code) ?? "\u{FFFD}")).utf8)
    }
}
