import Glibc

/// A pattern of keys, read as the file system's patterns are: `*` and `?` don't match `/`, nor a leading dot.
struct S3Pattern {
    /// What the names of all matches begin with.
    let prefix: String
    /// Whether all matches are directly in the folder of `prefix`, so that no others need to be listed.
    let isInOneFolder: Bool
    private let pattern: String

    /// - Parameter pattern: without `{…,…}`; see `alternatives(of:)`.
    init(_ pattern: String) {
        self.pattern = pattern
        let bytes = Array(pattern.utf8)
        let end = bytes.firstIndex { Self.special.contains($0) } ?? bytes.count
        prefix = String(decoding: bytes[..<end], as: UTF8.self)
        isInOneFolder = !bytes[end...].contains(UInt8(ascii: "/"))
    }

    private static let special = Array(#"*?[\"#.utf8)

    static func isPattern(_ text: String) -> Bool { text.utf8.contains { special.contains($0) || $0 == 0x7B } }

    /// A name that ends in `/` is how some programs note an empty folder.
    func matches(_ key: String) -> Bool {
        guard key.utf8.last != UInt8(ascii: "/") else { return false }
        return fnmatch(pattern, key, FNM_PATHNAME | FNM_PERIOD) == 0
    }

    /// The patterns that `{a,b}` stands for, as `glob` of the C library has it: nested ones too; an unpaired one stays.
    static func alternatives(of text: String) -> [String] {
        alternatives(of: Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
    }

    private static func alternatives(of text: [UInt8]) -> [[UInt8]] {
        var start = 0
        while let open = text[start...].firstIndex(of: UInt8(ascii: "{")) {
            start = open + 1
            guard let (parts, end) = parts(of: text, after: open) else { continue }
            return parts.flatMap { alternatives(of: text[..<open] + $0 + text[end...]) }
        }
        return [text]
    }

    /// The parts between commas of the braces that open at `open`, and the place after them; nil if nothing closes them.
    private static func parts(of text: [UInt8], after open: Int) -> ([[UInt8]], Int)? {
        var parts: [[UInt8]] = []
        var (depth, begin) = (0, open + 1)
        for place in (open + 1)..<text.count {
            switch text[place] {
            case UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: "}") where depth > 0: depth -= 1
            case UInt8(ascii: "}"): return (parts + [Array(text[begin..<place])], place + 1)
            case UInt8(ascii: ",") where depth == 0:
                parts.append(Array(text[begin..<place]))
                begin = place + 1
            default: break
            }
        }
        return nil
    }
}
