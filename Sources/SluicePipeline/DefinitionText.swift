package import SluiceCore

/// Writes a definition as YAML, with everything resolved: defaults filled in, overrides applied, every part in full.
///
/// Read again, in the same folder and by a program with the same stages, it is the same definition.
package enum DefinitionText {
    package static func yaml(_ definition: Definition) -> String {
        var text = ""
        let tests: [JSONValue.Entry] =
            definition.tests.isEmpty ? [] : [.init("tests", .list(definition.tests.map(\.report)))]
        for entry in definition.report.entries + tests where entry.value != .null {
            if ["stages", "tests"].contains(entry.key) {
                text += entry.value.elements.isEmpty ? "\(entry.key): []\n" : "\(entry.key):\n"
                for one in entry.value.elements {
                    text += "  - " + flow(one, braces: entry.key == "tests") + "\n"
                }
            } else if case .object(let parts) = entry.value {
                text += "\(entry.key):\n"
                for part in parts where part.value != .null { text += "  \(scalar(part.key)): \(flow(part.value))\n" }
            } else {
                text += "\(entry.key): \(flow(entry.value))\n"
            }
        }
        return text
    }

    /// A value on one line.
    private static func flow(_ value: JSONValue, braces: Bool = true) -> String {
        switch value {
        case .text(let text): return scalar(text)
        case .list(let values): return "[\(values.map { flow($0) }.joined(separator: ", "))]"
        case .object(let entries):
            let text = entries.map { "\(scalar($0.key)): \(flow($0.value))" }.joined(separator: ", ")
            return braces ? "{\(text)}" : text
        case .null, .flag, .integer, .real: return value.json
        }
    }

    /// A text without quotes where YAML reads it as that text, otherwise as a JSON string, which YAML reads, too.
    private static func scalar(_ text: String) -> String {
        let special = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        let isPlain =
            !text.isEmpty && !special.contains(text.lowercased())
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 48...57, 65...90, 97...122, 45, 46, 47, 95: true
                default: false
                }
            } && !["-", "."].contains(String(text.prefix(1))) && !(48...57).contains(text.utf8.first ?? 0)
        if isPlain || Quantity(text)?.isShare == true { return text }
        // `${` would be a parameter.
        return JSONValue.text(text.replacing("${", with: "$${")).json
    }
}
