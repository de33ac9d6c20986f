import SluiceCore

/// HTML in which text from data can't be anything but text.
enum HTML {
    /// Text for an element or a quoted attribute. Control characters and those that change the reading direction are spelled
    /// out, since they could show something else than what is there.
    static func text(_ text: String) -> String {
        var result = ""
        let scalars = text.unicodeScalars
        for (index, scalar) in zip(scalars.indices, scalars) {
            switch scalar {
            // Half of a line end.
            case "\r" where scalars[scalars.index(after: index)...].first == "\n": continue
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            case "\n", "\t": result.unicodeScalars.append(scalar)
            default:
                switch scalar.value {
                case 0..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF, 0xFFFE...0xFFFF:
                    result += "\\u{\(String(scalar.value, radix: 16))}"
                default: result.unicodeScalars.append(scalar)
                }
            }
        }
        return result
    }

    /// A table with a caption. Cells are HTML.
    ///
    /// - Parameter numbers: the columns that hold numbers.
    static func table(
        _ caption: String, head: [String], numbers: Range<Int>, _ rows: [[String]]
    ) -> String {
        func cell(_ tag: String, _ index: Int, _ content: String) -> String {
            let scope = tag == "th" ? " scope=\"col\"" : ""
            let isWide = tag == "td" && !numbers.contains(index) && content.utf8.count > 24
            let kind = numbers.contains(index) ? " class=\"n\"" : isWide ? " class=\"w\"" : ""
            return "<\(tag)\(scope)\(kind)>\(content)</\(tag)>"
        }
        let body = rows.map { row in
            "<tr>" + row.enumerated().map { cell("td", $0, $1) }.joined() + "</tr>\n"
        }.joined()
        return """
            <div class="scroll" tabindex="0" role="region" aria-label="\(text(caption))"><table><caption>\(text(caption))</caption>
            <thead><tr>\(head.enumerated().map { cell("th", $0, $1) }.joined())</tr></thead>
            <tbody>
            \(body)</tbody></table></div>

            """
    }

    /// An image with its name for those who can't see it.
    static func figure(_ name: String, width: Int, height: Int, _ content: String) -> String {
        """
        <div class="scroll" tabindex="0" role="region" aria-label="\(text(name))"><svg role="img" viewBox="0 0 \(width) \(height)" style="min-width:\(min(width, width > height + 100 ? 480 : 300))px;max-width:\(width)px" aria-label="\(text(name))">\(content)</svg></div>

        """
    }

    /// A text in an image.
    static func label(_ x: Double, _ y: Double, _ content: String, anchor: String = "middle", of kind: String = "")
        -> String
    {
        "<text x=\"\(short(x))\" y=\"\(short(y))\" text-anchor=\"\(anchor)\"\(kind.isEmpty ? "" : " class=\"\(kind)\"")>\(text(content))</text>"
    }

    /// A number with at most one decimal, for places in images.
    static func short(_ value: Double) -> String {
        let text = Format.decimal(value, digits: 1)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
}
