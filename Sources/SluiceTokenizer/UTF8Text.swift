/// UTF-8 in buffers: checks and steps over scalars.
package enum UTF8Text {
    /// Whether bytes are UTF-8 as the standard defines it: shortest forms, no surrogates, nothing beyond U+10FFFF.
    package static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        var place = 0
        let end = bytes.count
        while place < end {
            if end - place >= 8,
                base.loadUnaligned(fromByteOffset: place, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
            {
                place += 8
                continue
            }
            let byte = bytes[place]
            if byte < 0x80 {
                place += 1
                continue
            }
            let length = length(byte)
            guard length > 1, end - place >= length else { return false }
            for next in 1..<length where bytes[place + next] & 0xC0 != 0x80 { return false }
            let second = bytes[place + 1]
            switch byte {
            case 0xC0, 0xC1: return false
            case 0xE0: if second < 0xA0 { return false }
            case 0xED: if second > 0x9F { return false }
            case 0xF0: if second < 0x90 { return false }
            case 0xF4: if second > 0x8F { return false }
            default: break
            }
            place += length
        }
        return true
    }

    /// The number of scalars.
    static func count(_ bytes: some Sequence<UInt8>) -> Int { bytes.reduce(0) { $0 + ($1 & 0xC0 != 0x80 ? 1 : 0) } }

    /// The bytes of the scalar that begins with `byte`; 1 for a byte that begins none.
    @inline(__always)
    static func length(_ byte: UInt8) -> Int {
        byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : byte < 0xF5 ? 4 : 1
    }

    /// The scalar at the start of `bytes`, and its length. Bytes that are no UTF-8 read as U+FFFD, one at a time.
    @inline(__always)
    static func scalar(_ bytes: UnsafePointer<UInt8>, _ room: Int) -> (value: UInt32, length: Int) {
        let first = UInt32(bytes[0])
        if first < 0x80 { return (first, 1) }
        let length = length(bytes[0])
        guard length > 1, room >= length else { return (0xFFFD, 1) }
        var value = first & (0x7F >> UInt32(length))
        for next in 1..<length { value = value << 6 | UInt32(bytes[next] & 0x3F) }
        return value < 0x110000 && value & 0xFFFF_F800 != 0xD800 ? (value, length) : (0xFFFD, 1)
    }

    static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 65...70: byte - 55
        case 97...102: byte - 87
        default: nil
        }
    }

    /// Whether a token is the name of a byte.
    static func isByteName(_ token: some Collection<UInt8>) -> Bool {
        token.count == 6 && token.starts(with: "<0x".utf8)
    }

    /// The name of a byte in a vocabulary with byte fallback: `<0x0A>`.
    static func byteName(_ byte: UInt8) -> [UInt8] {
        let digits = Array("0123456789ABCDEF".utf8)
        return Array("<0x".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)], UInt8(ascii: ">")]
    }
}
