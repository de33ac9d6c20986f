/// Text as JSON.
public enum JSONText {
    /// Appends a text in quotes.
    ///
    /// Bytes that are no UTF-8 become U+FFFD, since servers refuse the whole request for them. At most six bytes for
    /// each of the text's, and two.
    public static func append(_ text: some Collection<UInt8>, to json: inout [UInt8]) {
        json.append(UInt8(ascii: "\""))
        // Most texts are copied as they are.
        if !(text.withContiguousStorageIfAvailable { appendValid($0, to: &json) } ?? false) {
            var valid = String(decoding: text, as: UTF8.self)
            valid.withUTF8 { _ = appendEscaped($0, to: &json) }
        }
        json.append(UInt8(ascii: "\""))
    }

    /// Appends the text; returns false, and appends nothing, if it is no UTF-8.
    private static func appendValid(_ text: UnsafeBufferPointer<UInt8>, to json: inout [UInt8]) -> Bool {
        guard text.allSatisfy({ $0 < 0x80 }) || String(validating: text, as: UTF8.self) != nil else { return false }
        return appendEscaped(text, to: &json)
    }

    private static func appendEscaped(_ text: UnsafeBufferPointer<UInt8>, to json: inout [UInt8]) -> Bool {
        var start = 0
        for index in text.indices {
            let byte = text[index]
            guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte == 0x7F else {
                continue
            }
            json += text[start..<index]
            start = index + 1
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): json += [UInt8(ascii: "\\"), byte]
            case 0x0A: json += Array("\\n".utf8)
            case 0x0D: json += Array("\\r".utf8)
            case 0x09: json += Array("\\t".utf8)
            default:
                let digits = Array("0123456789abcdef".utf8)
                json += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        json += text[start...]
        return true
    }
}
