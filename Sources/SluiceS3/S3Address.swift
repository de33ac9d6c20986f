import SluiceIO

/// An object, or a pattern of objects, of an S3-compatible store: `s3://bucket/key`.
struct S3Address: Sendable {
    static let scheme = "s3://"

    let bucket: String
    /// As the store names it, with nothing encoded.
    let key: String

    /// - Throws: `IOFailure` if it names no bucket, or nothing in it.
    init(_ path: String) throws(IOFailure) {
        let rest = path.utf8.dropFirst(Self.scheme.utf8.count)
        let end = rest.firstIndex(of: UInt8(ascii: "/")) ?? rest.endIndex
        bucket = String(rest[..<end]) ?? ""
        key = String(rest[end...].dropFirst()) ?? ""
        guard !bucket.isEmpty, !S3Pattern.isPattern(bucket) else {
            throw IOFailure(
                .cannotOpen, path: path, found: "it does not name one bucket",
                advice: "Write s3://BUCKET/KEY; patterns go into the key.")
        }
        guard !key.isEmpty else {
            throw IOFailure(
                .cannotOpen, path: path, found: "it names a bucket and no object",
                advice: "Name the objects in it, such as s3://\(bucket)/*.jsonl.zst.")
        }
    }

    init(bucket: String, key: String) { (self.bucket, self.key) = (bucket, key) }

    var path: String { Self.scheme + bucket + "/" + key }
}

/// Percent-encoding as request signatures have it: all bytes but unreserved characters (RFC 3986).
enum PercentEncoding {
    /// - Parameter keepsSlashes: whether `/` stays as it is, as in a path.
    static func encode(_ text: String, keepsSlashes: Bool) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var encoded: [UInt8] = []
        for byte in text.utf8 {
            if isUnreserved(byte) || (keepsSlashes && byte == UInt8(ascii: "/")) {
                encoded.append(byte)
            } else {
                encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }

    /// Decodes a name in a list of objects, where `+` is a blank. What is no code stays.
    static func decode(_ text: String) -> String {
        let bytes = Array(text.utf8)
        var decoded: [UInt8] = []
        var place = 0
        while place < bytes.count {
            if bytes[place] == UInt8(ascii: "%"), place + 2 < bytes.count,
                let code = UInt8(String(decoding: bytes[(place + 1)...(place + 2)], as: UTF8.self), radix: 16)
            {
                decoded.append(code)
                place += 3
            } else {
                decoded.append(bytes[place] == UInt8(ascii: "+") ? 0x20 : bytes[place])
                place += 1
            }
        }
        return String(decoding: decoded, as: UTF8.self)
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
