/// Text from data or from a user, made fit for a terminal, a warning or `run.json`: what would move a cursor, ring a bell or
/// reverse the reading direction stands as an escape, and what is too long loses its middle.
package enum Printable {
    /// The most characters of one name.
    package static let longestName = 200
    /// The most characters of one line of a message; a path may have 4,096 bytes.
    package static let longestLine = 6000

    /// A name on one line: `a\nb` for a name with a line end.
    package static func name(_ text: String, most: Int = longestName) -> String {
        cut(escaped(text[...], keepsLines: false), to: most)
    }

    /// A message of one line or several.
    package static func message(_ text: String) -> String {
        // Most messages are fine as they are; this looks at each byte once.
        guard text.utf8.count > longestLine || text.unicodeScalars.contains(where: isUnfit) else { return text }
        return text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { cut(escaped($0, keepsLines: true), to: longestLine) }.joined(separator: "\n")
    }

    private static func cut(_ text: String, to limit: Int) -> String {
        // Scalars, since one character may be made of millions of them.
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

    /// Control characters, line and paragraph separators, and what changes the reading direction.
    private static func isUnfit(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF: true
        default: false
        }
    }
}
