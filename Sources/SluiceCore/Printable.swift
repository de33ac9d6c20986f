/// Makes text from data or users safe for a terminal, a warning or `run.json`: escapes characters that would move the
/// cursor, ring a bell or reverse the reading direction, and cuts the middle out of long text.
package enum Printable {
    /// The longest name, in characters.
    package static let longestName = 200
    /// The longest line of a message, in characters; a path may have 4,096 bytes.
    package static let longestLine = 6000

    /// A name on one line: `a\nb` for a name that contains a newline.
    package static func name(_ text: String, most: Int = longestName) -> String {
        cut(escaped(text[...], keepsLines: false), to: most)
    }

    /// A message of one line or several.
    package static func message(_ text: String) -> String {
        // Most messages need no change; this reads each byte once.
        guard text.utf8.count > longestLine || text.unicodeScalars.contains(where: isUnfit) else { return text }
        return text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { cut(escaped($0, keepsLines: true), to: longestLine) }.joined(separator: "\n")
    }

    private static func cut(_ text: String, to limit: Int) -> String {
        // Counted in scalars, since one character may consist of millions of them.
        let scalars = text.unicodeScalars
        guard text.utf8.count > limit, scalars.count > limit else { return text }
        let half = limit / 2
        return "\(String(scalars.prefix(half)))…\(String(scalars.suffix(limit - half - 1)))"
    }

    private static func escaped(_ text: Substring, keepsLines: Bool) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            guard isUnfit(scalar), !(keepsLines && scalar == "\n") else {
                result.unicodeScalars.append(scalar)
                continue
            }
            switch scalar {
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default: result += "\\u{\(String(scalar.value, radix: 16))}"
            }
        }
        return result
    }

    /// Whether the scalar is a control character, a line or paragraph separator, or changes the reading direction.
    private static func isUnfit(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF: true
        default: false
        }
    }
}
