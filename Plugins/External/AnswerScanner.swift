import Glibc
import SluiceCore

/// What is wrong with an answer, as the rest of a sentence that begins with the program.
struct AnswerFault: Error {
    let message: String
    init(_ message: String) { self.message = message }
}

/// Reads one line of JSON from front to back, without a copy. Strict: what RFC 8259 does not allow is a fault.
struct AnswerScanner {
    private let bytes: UnsafeRawBufferPointer
    private(set) var place = 0

    /// - Parameter bytes: valid UTF-8.
    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    enum Kind { case object, list, string, number, flag, null, none }

    /// A string between its quotes.
    struct Text {
        let bytes: UnsafeRawBufferPointer
        let hasEscapes: Bool

        func equals(_ other: [UInt8]) -> Bool {
            !hasEscapes && bytes.elementsEqual(other)
        }
    }

    var fault: AnswerFault { AnswerFault("is no JSON at byte \(place)") }

    mutating func kind() -> Kind {
        skipBlanks()
        guard place < bytes.count else { return .none }
        switch bytes[place] {
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .list
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .flag
        case UInt8(ascii: "n"): return .null
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        // What Python's library writes for numbers that JSON does not have.
        case UInt8(ascii: "N"), UInt8(ascii: "I"): return .number
        default: return .none
        }
    }

    mutating func skipBlanks() {
        while place < bytes.count, [0x20, 0x09, 0x0D].contains(bytes[place]) { place += 1 }
    }

    /// Nothing but blanks may be left.
    mutating func end() throws(AnswerFault) {
        skipBlanks()
        guard place == bytes.count else { throw fault }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        skipBlanks()
        guard place < bytes.count, bytes[place] == byte else { return false }
        place += 1
        return true
    }

    /// Reads an object: `body` gets each key and reads its value.
    mutating func object(
        _ body: (Text, inout AnswerScanner) throws(AnswerFault) -> Void
    ) throws(AnswerFault) {
        guard take(UInt8(ascii: "{")) else { throw fault }
        if take(UInt8(ascii: "}")) { return }
        repeat {
            let key = try string()
            guard take(UInt8(ascii: ":")) else { throw fault }
            try body(key, &self)
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "}")) else { throw fault }
    }

    /// Reads a list: `body` reads each entry.
    mutating func list(_ body: (inout AnswerScanner) throws(AnswerFault) -> Void) throws(AnswerFault) {
        guard take(UInt8(ascii: "[")) else { throw fault }
        if take(UInt8(ascii: "]")) { return }
        repeat { try body(&self) } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "]")) else { throw fault }
    }

    mutating func string() throws(AnswerFault) -> Text {
        guard take(UInt8(ascii: "\"")) else { throw fault }
        let start = place
        var hasEscapes = false
        while place < bytes.count {
            let byte = bytes[place]
            if byte == UInt8(ascii: "\"") {
                place += 1
                return Text(bytes: UnsafeRawBufferPointer(rebasing: bytes[start..<(place - 1)]), hasEscapes: hasEscapes)
            }
            guard byte >= 0x20 else { throw fault }
            if byte == UInt8(ascii: "\\") {
                hasEscapes = true
                place += 1
            }
            place += 1
        }
        place = bytes.count
        throw fault
    }

    /// The bytes of the next value.
    mutating func value() throws(AnswerFault) -> UnsafeRawBufferPointer {
        skipBlanks()
        let start = place
        try skip(depth: 0)
        return UnsafeRawBufferPointer(rebasing: bytes[start..<place])
    }

    private mutating func skip(depth: Int) throws(AnswerFault) {
        guard depth < 64 else { throw AnswerFault("is nested more than 64 levels deep") }
        switch kind() {
        case .object: try object { (_, scanner) throws(AnswerFault) in try scanner.skip(depth: depth + 1) }
        case .list: try list { (scanner) throws(AnswerFault) in try scanner.skip(depth: depth + 1) }
        case .string: _ = try string()
        case .number, .flag, .null: _ = try word()
        case .none: throw fault
        }
    }

    /// A number, or a word such as `true`.
    mutating func word() throws(AnswerFault) -> UnsafeRawBufferPointer {
        skipBlanks()
        let start = place
        while place < bytes.count, Self.isOfWord(bytes[place]) { place += 1 }
        guard place > start else { throw fault }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<place])
    }

    private static func isOfWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."):
            true
        default: false
        }
    }
}

/// A number as JSON spells it.
enum SpelledNumber {
    case integer(Int64)
    /// Also a whole number of more than 64 bits.
    case real(Double)
    /// NaN or an infinity, which JSON does not have.
    case notFinite
    /// More than a real can have.
    case outOfRange

    /// nil if the word is no number of JSON.
    init?(_ word: UnsafeRawBufferPointer) {
        if let value = Self.integer(word) {
            self = .integer(value)
            return
        }
        let text = String(decoding: word.prefix(400), as: UTF8.self)
        if ["NaN", "Infinity", "-Infinity"].contains(text) {
            self = .notFinite
            return
        }
        guard let isWhole = Self.form(word) else { return nil }
        if isWhole, let value = Int64(text) {
            self = .integer(value)
            return
        }
        // Correctly rounded, so the same on every machine.
        guard word.count <= 400, let value = Double(text), value.isFinite else {
            self = .outOfRange
            return
        }
        self = .real(value)
    }

    /// An integer of up to 18 digits.
    private static func integer(_ word: UnsafeRawBufferPointer) -> Int64? {
        let isNegative = word.first == UInt8(ascii: "-")
        let digits = isNegative ? word.dropFirst() : word[...]
        guard 1...18 ~= digits.count, digits.count == 1 || digits.first != UInt8(ascii: "0") else { return nil }
        var value: Int64 = 0
        for byte in digits {
            guard 48...57 ~= byte else { return nil }
            value = 10 * value + Int64(byte - 48)
        }
        // -0 is a real.
        return isNegative ? (value == 0 ? nil : -value) : value
    }

    /// Whether a number is written without point and exponent; nil if it is none.
    private static func form(_ word: UnsafeRawBufferPointer) -> Bool? {
        var place = 0
        var isWhole = true
        func peek(_ byte: UInt8) -> Bool { place < word.count && word[place] == byte }
        func digits() -> Int {
            let start = place
            while place < word.count, 48...57 ~= word[place] { place += 1 }
            return place - start
        }
        if peek(UInt8(ascii: "-")) { place += 1 }
        let leadsWithZero = peek(48)
        let count = digits()
        guard count > 0, !leadsWithZero || count == 1 else { return nil }
        if peek(UInt8(ascii: ".")) {
            isWhole = false
            place += 1
            guard digits() > 0 else { return nil }
        }
        if peek(UInt8(ascii: "e")) || peek(UInt8(ascii: "E")) {
            isWhole = false
            place += 1
            if peek(UInt8(ascii: "+")) || peek(UInt8(ascii: "-")) { place += 1 }
            guard digits() > 0 else { return nil }
        }
        guard place == word.count else { return nil }
        return isWhole && !(word.count == 2 && leadsWithZero)
    }
}

extension AnswerScanner.Text {
    /// Appends the characters, with escapes resolved.
    func append(to text: inout [UInt8]) throws(AnswerFault) {
        guard hasEscapes else {
            text.append(contentsOf: bytes)
            return
        }
        var place = 0
        while place < bytes.count {
            guard bytes[place] == UInt8(ascii: "\\") else {
                text.append(bytes[place])
                place += 1
                continue
            }
            guard place + 1 < bytes.count else { throw AnswerFault("has a broken escape in a text") }
            let letter = bytes[place + 1]
            place += 2
            switch letter {
            case UInt8(ascii: "n"): text.append(0x0A)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "r"): text.append(0x0D)
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0C)
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(letter)
            case UInt8(ascii: "u"): try appendScalar(&place, to: &text)
            default: throw AnswerFault("has an escape in a text that JSON does not have")
            }
        }
    }

    private func unit(_ place: Int) -> UInt32? {
        guard place + 4 <= bytes.count else { return nil }
        var value: UInt32 = 0
        for byte in bytes[place..<(place + 4)] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { return nil }
            value = value << 4 | UInt32(digit)
        }
        return value
    }

    private func appendScalar(_ place: inout Int, to text: inout [UInt8]) throws(AnswerFault) {
        guard var code = unit(place) else { throw AnswerFault("has a broken escape in a text") }
        place += 4
        if 0xD800...0xDBFF ~= code, place + 6 <= bytes.count, bytes[place] == UInt8(ascii: "\\"),
            bytes[place + 1] == UInt8(ascii: "u"), let low = unit(place + 2), 0xDC00...0xDFFF ~= low
        {
            code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            place += 6
        }
        guard let scalar = Unicode.Scalar(code) else {
            throw AnswerFault("has an unpaired surrogate in a text, which no UTF-8 can hold")
        }
        text.append(contentsOf: Array(String(Character(scalar)).utf8))
    }
}
