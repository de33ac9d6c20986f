import CSimdJSON

/// Whether the bytes are valid UTF-8 (no overlong forms, no surrogates).
public func isValidUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let base = bytes.baseAddress else { return true }
    return sluice_utf8_valid(base.assumingMemoryBound(to: UInt8.self), bytes.count) != 0
}

private let hexDigits: [UInt8] = Array("0123456789abcdef".utf8)

/// The size of valid UTF-8 as a JSON string, quotes included.
public func jsonStringSize(_ text: UnsafeRawBufferPointer) -> Int {
    var size = text.count + 2
    for byte in text {
        switch byte {
        case 0x22, 0x5C, 0x08, 0x09, 0x0A, 0x0C, 0x0D: size += 1
        case 0..<0x20: size += 5
        default: break
        }
    }
    return size
}

extension [UInt8] {
    /// Appends valid UTF-8 as a JSON string, quotes included. Escapes only what JSON requires.
    public mutating func appendJSONString(_ text: UnsafeRawBufferPointer) {
        reserveCapacity(count + text.count + 2)
        append(UInt8(ascii: "\""))
        var start = 0
        for at in text.indices {
            let c = text[at]
            if c >= 0x20 && c != 0x22 && c != 0x5C { continue }
            append(contentsOf: UnsafeRawBufferPointer(rebasing: text[start..<at]))
            start = at + 1
            append(UInt8(ascii: "\\"))
            switch c {
            case 0x22, 0x5C: append(c)
            case 0x08: append(UInt8(ascii: "b"))
            case 0x09: append(UInt8(ascii: "t"))
            case 0x0A: append(UInt8(ascii: "n"))
            case 0x0C: append(UInt8(ascii: "f"))
            case 0x0D: append(UInt8(ascii: "r"))
            default:
                append(contentsOf: [UInt8(ascii: "u"), UInt8(ascii: "0"), UInt8(ascii: "0")])
                append(hexDigits[Int(c >> 4)])
                append(hexDigits[Int(c & 15)])
            }
        }
        append(contentsOf: UnsafeRawBufferPointer(rebasing: text[start...]))
        append(UInt8(ascii: "\""))
    }

    /// Appends a string as a JSON string, quotes included.
    public mutating func appendJSONString(_ text: String) {
        var text = text
        text.withUTF8 { appendJSONString(UnsafeRawBufferPointer($0)) }
    }

    /// Appends the bytes in base64 (RFC 4648, padded), without quotes.
    public mutating func appendBase64(_ bytes: UnsafeRawBufferPointer) {
        reserveCapacity(count + (bytes.count + 2) / 3 * 4)
        var at = 0
        while at < bytes.count {
            let left = Swift.min(3, bytes.count - at)
            var group: UInt32 = 0
            for i in 0..<3 { group = group << 8 | (i < left ? UInt32(bytes[at + i]) : 0) }
            for i in 0..<4 {
                append(i <= left ? base64Digits[Int(group >> UInt32(18 - 6 * i) & 63)] : UInt8(ascii: "="))
            }
            at += 3
        }
    }
}

private let base64Digits: [UInt8] = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
