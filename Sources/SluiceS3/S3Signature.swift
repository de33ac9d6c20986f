import Glibc
import SluiceIO

/// Credentials of a store. Never printed.
struct S3Credentials: Sendable, Hashable {
    var id: String
    var secret: String
    /// Of temporary credentials.
    var token: String?
}

/// Signs requests by AWS Signature Version 4, header form (Amazon S3 API Reference, «Authenticating Requests»).
///
/// libcurl can sign, too, but before 8.3 neither sorts nor encodes queries as the standard has it.
struct S3Signature {
    let credentials: S3Credentials
    let region: String
    /// As `20130524T000000Z`.
    let time: String

    /// A request without a body.
    struct Request {
        var method: String
        /// Encoded.
        var path: String
        /// Encoded names and values.
        var query: [(name: String, value: String)]
        var host: String
        /// Names in lower case; all of them are signed.
        var headers: [(name: String, value: String)]
    }

    private static let service = "s3"
    /// The digest of an empty body.
    static let emptyBody = hexadecimal(sha256([]))

    /// The headers to send: those of the request and those of the signature.
    func headers(for request: Request) -> [(name: String, value: String)] {
        var sent = request.headers + [("x-amz-content-sha256", Self.emptyBody), ("x-amz-date", time)]
        if let token = credentials.token { sent.append(("x-amz-security-token", token)) }
        let signed = (sent + [("host", request.host)]).sorted { $0.name < $1.name }
        let names = signed.map(\.name).joined(separator: ";")
        let canonical = [
            request.method, request.path, Self.query(request.query),
            signed.map { "\($0.name):\($0.value)\n" }.joined(), names, Self.emptyBody,
        ].joined(separator: "\n")
        let day = String(time.prefix(8))
        let scope = "\(day)/\(region)/\(Self.service)/aws4_request"
        let text = ["AWS4-HMAC-SHA256", time, scope, hexadecimal(Self.sha256(Array(canonical.utf8)))]
            .joined(separator: "\n")
        var key = Array("AWS4\(credentials.secret)".utf8)
        for part in [day, region, Self.service, "aws4_request", text] { key = Self.hmac(Array(part.utf8), key: key) }
        let authorization =
            "AWS4-HMAC-SHA256 Credential=\(credentials.id)/\(scope), SignedHeaders=\(names), Signature=\(hexadecimal(key))"
        return sent + [("authorization", authorization)]
    }

    /// The query of a URL and of the signed text: sorted by the bytes of the encoded names.
    static func query(_ entries: [(name: String, value: String)]) -> String {
        entries.sorted { ($0.name, $0.value) < ($1.name, $1.value) }.map { "\($0.name)=\($0.value)" }
            .joined(separator: "&")
    }

    /// Now, as signatures spell it.
    static func now() -> String {
        var seconds = Glibc.time(nil)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func digits(_ number: Int32, _ count: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        return digits(parts.tm_year + 1900, 4) + digits(parts.tm_mon + 1, 2) + digits(parts.tm_mday, 2) + "T"
            + digits(parts.tm_hour, 2) + digits(parts.tm_min, 2) + digits(parts.tm_sec, 2) + "Z"
    }

    private static func sha256(_ bytes: [UInt8]) -> [UInt8] { bytes.withUnsafeBytes { SHA256.hash($0) } }

    /// HMAC-SHA-256 (RFC 2104).
    private static func hmac(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
        var key = key.count > 64 ? sha256(key) : key
        key += [UInt8](repeating: 0, count: 64 - key.count)
        return sha256(key.map { $0 ^ 0x5C } + sha256(key.map { $0 ^ 0x36 } + message))
    }
}
