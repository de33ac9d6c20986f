/// Reads one JSON value into the arrays of a `JSONDocument`.
struct JSONReader {
    private static let mostLevels = 64

    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func document(
        into nodes: inout [JSONDocument.Node], _ text: inout [UInt8]
    ) throws(TokenizerError) {
        try value(into: &nodes, &text, level: 0)
        skipBlanks()
        guard offset == bytes.count else { throw error("unexpected bytes after the value") }
    }

    // MARK: Values

    private mutating func value(
        into nodes: inout [JSONDocument.Node], _ text: inout [UInt8], level: Int
    ) throws(TokenizerError) {
        guard level < Self.mostLevels else { throw error("more than \(Self.mostLevels) levels") }
        skipBlanks()
        switch peek {
        case UInt8(ascii: "{"), UInt8(ascii: "["): try entries(into: &nodes, &text, level: level)
        case UInt8(ascii: "\""): try string(into: &nodes, &text)
        case UInt8(ascii: "t"): try word("true", .flag, 1, &nodes)
        case UInt8(ascii: "f"): try word("false", .flag, 0, &nodes)
        case UInt8(ascii: "n"): try word("null", .null, 0, &nodes)
        case nil: throw error("it ends early")
        default: try number(into: &nodes, &text)
        }
    }

    private mutating func entries(
        into nodes: inout [JSONDocument.Node], _ text: inout [UInt8], level: Int
    ) throws(TokenizerError) {
        let isObject = peek == UInt8(ascii: "{")
        let close = UInt8(ascii: isObject ? "}" : "]")
        let place = nodes.count
        nodes.append(JSONDocument.Node(kind: isObject ? .object : .list, start: 0, count: 0, end: 0))
        offset += 1
        skipBlanks()
        var count: Int32 = 0
        if peek == close {
            offset += 1
        } else {
            while true {
                if isObject {
                    skipBlanks()
                    guard peek == UInt8(ascii: "\"") else { throw error("a key is missing") }
                    try string(into: &nodes, &text)
                    skipBlanks()
                    guard peek == UInt8(ascii: ":") else { throw error("a colon is missing") }
                    offset += 1
                }
                try value(into: &nodes, &text, level: level + 1)
                count += 1
                skipBlanks()
                let byte = peek
                offset += 1
                if byte == close { break }
                guard byte == UInt8(ascii: ",") else {
                    offset -= 1
                    throw error("a comma or the end of a list is missing")
                }
            }
        }
        nodes[place].count = count
        nodes[place].end = Int32(nodes.count)
    }

    private mutating func word(
        _ word: StaticString, _ kind: JSONDocument.Kind, _ value: Int32, _ nodes: inout [JSONDocument.Node]
    ) throws(TokenizerError) {
        let count = word.utf8CodeUnitCount
        guard bytes.count - offset >= count,
            (0..<count).allSatisfy({ bytes[offset + $0] == word.utf8Start[$0] })
        else { throw error("no value begins like this") }
        offset += count
        nodes.append(JSONDocument.Node(kind: kind, start: 0, count: value, end: Int32(nodes.count + 1)))
    }

    private mutating func number(
        into nodes: inout [JSONDocument.Node], _ text: inout [UInt8]
    ) throws(TokenizerError) {
        let start = offset
        if peek == UInt8(ascii: "-") { offset += 1 }
        if peek == UInt8(ascii: "0") { offset += 1 } else { try digits() }
        if peek == UInt8(ascii: ".") {
            offset += 1
            try digits()
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            offset += 1
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { offset += 1 }
            try digits()
        }
        append(.number, from: text.count, UnsafeRawBufferPointer(rebasing: bytes[start..<offset]), &nodes, &text)
    }

    private mutating func digits() throws(TokenizerError) {
        let start = offset
        while let byte = peek, (48...57).contains(byte) { offset += 1 }
        guard offset > start else { throw error("no value begins like this") }
    }

    // MARK: Strings

    private mutating func string(
        into nodes: inout [JSONDocument.Node], _ text: inout [UInt8]
    ) throws(TokenizerError) {
        offset += 1
        let first = text.count
        while true {
            let start = offset
            while offset < bytes.count, case let byte = bytes[offset], byte != 0x22, byte != 0x5C, byte >= 0x20 {
                offset += 1
            }
            text.append(contentsOf: bytes[start..<offset])
            switch peek {
            case UInt8(ascii: "\""):
                offset += 1
                let count = text.count - first
                guard text[first...].withUnsafeBytes({ UTF8Text.isValid($0) }) else {
                    throw error("a string is not UTF-8")
                }
                nodes.append(
                    JSONDocument.Node(
                        kind: .string, start: Int32(first), count: Int32(count), end: Int32(nodes.count + 1)))
                return
            case UInt8(ascii: "\\"):
                offset += 1
                try escape(into: &text)
            case nil: throw error("a string has no end")
            default: throw error("a string has a control character")
            }
        }
    }

    private mutating func escape(into text: inout [UInt8]) throws(TokenizerError) {
        guard let byte = peek else { throw error("a string has no end") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var code = try fourDigits()
            if (0xD800..<0xDC00).contains(code), peek == UInt8(ascii: "\\") {
                offset += 1
                guard peek == UInt8(ascii: "u") else { throw error("an unpaired surrogate") }
                offset += 1
                let low = try fourDigits()
                guard (0xDC00..<0xE000).contains(low) else { throw error("an unpaired surrogate") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw error("an unpaired surrogate") }
            text.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        default: throw error("no such escape")
        }
    }

    private mutating func fourDigits() throws(TokenizerError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = UTF8Text.hexDigit(byte) else {
                throw error("an escape has fewer than four digits")
            }
            code = code << 4 | UInt32(digit)
            offset += 1
        }
        return code
    }

    // MARK: Pieces

    private var peek: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private func error(_ message: String) -> TokenizerError { .wrong("\(message), at byte \(offset)") }

    private mutating func skipBlanks() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { offset += 1 }
    }

    private func append(
        _ kind: JSONDocument.Kind, from first: Int, _ piece: UnsafeRawBufferPointer,
        _ nodes: inout [JSONDocument.Node], _ text: inout [UInt8]
    ) {
        text.append(contentsOf: piece)
        nodes.append(
            JSONDocument.Node(
                kind: kind, start: Int32(first), count: Int32(piece.count), end: Int32(nodes.count + 1)))
    }
}
