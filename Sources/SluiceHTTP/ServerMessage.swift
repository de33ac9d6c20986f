/// What a server says about a request that it refused.
public struct ServerMessage: Sendable, Hashable {
    /// Its words, in one line of at most 300 characters; empty if it has none.
    public let words: String
    /// The name of the error, such as `insufficient_quota`, if it has one.
    public let code: String?

    private static let longest = 300

    /// Reads the forms that servers use: `{"error": {"message", "code"}}`, `{"error": "words"}`, `{"message"}`,
    /// `{"detail"}`, or any text.
    public init(_ body: [UInt8]) {
        var found: [String: String] = [:]
        body.withUnsafeBufferPointer { bytes in
            var reader = ReplyReader(bytes)
            try? Self.read(&reader, into: &found)
        }
        code = found["code"] ?? found["type"] ?? found["error_type"]
        let words = found["message"] ?? found["error"] ?? found["detail"] ?? found["msg"]
        self.words = Self.line(words ?? String(decoding: body.prefix(4 * Self.longest), as: UTF8.self))
    }

    /// Collects texts by their keys; the first of a key counts.
    private static func read(_ reader: inout ReplyReader, into found: inout [String: String]) throws(ReplyError) {
        switch try reader.kind() {
        case .object:
            try reader.object { (key, reader) throws(ReplyError) in
                if try reader.kind() == .string {
                    let text = String(decoding: try reader.string(), as: UTF8.self)
                    if found[key] == nil, !text.isEmpty { found[key] = text }
                } else {
                    try read(&reader, into: &found)
                }
            }
        case .list: try reader.list { (reader) throws(ReplyError) in try read(&reader, into: &found) }
        default: try reader.skip()
        }
    }

    private static func line(_ text: String) -> String {
        let words = text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : Character($0) }
        let line = String(words).split(separator: " ").joined(separator: " ")
        return line.count <= longest ? line : line.prefix(longest) + "…"
    }
}
