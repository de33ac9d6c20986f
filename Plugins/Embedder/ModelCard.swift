import Glibc

/// The languages that a model was made for, as its card says: the README.md of its folder, whose head the hubs of models
/// write in YAML between two lines of `---`.
///
/// It reads the forms `language: en`, `language: [en, de]` and a list with one language a line.
enum ModelCard {
    /// - Parameter folders: where the card may be; the first that is there counts.
    /// - Returns: for example `en, de`; nil if no card names a language.
    static func languages(in folders: [String]) -> String? {
        for folder in folders {
            guard let text = head(of: "\(folder)/README.md") else { continue }
            return languages(inCard: text)
        }
        return nil
    }

    /// A line for `sluice plan`.
    static func note(_ languages: String?) -> String {
        languages.map { "languages, as the model's README.md says: \($0)" }
            ?? "languages: no README.md beside the model names them; vectors of others mean little"
    }

    static func languages(inCard text: String) -> String? {
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).map { trimmed($0) }
        guard lines.first == "---", let key = lines.firstIndex(where: { $0.hasPrefix("language:") }),
            !lines[1..<max(1, key)].contains("---")
        else { return nil }
        let value = trimmed(lines[key].dropFirst("language:".count))
        let items: [Substring]
        if value.isEmpty {
            items = lines[(key + 1)...].prefix { $0.hasPrefix("- ") }.map { $0.dropFirst(2) }
        } else if value.hasPrefix("["), value.hasSuffix("]") {
            items = value.dropFirst().dropLast().split(separator: ",")
        } else {
            items = [value]
        }
        let names = items.map { trimmed($0, and: "\"'") }.filter { !$0.isEmpty && $0 != "---" }
        return names.isEmpty ? nil : names.joined(separator: ", ")
    }

    private static func trimmed(_ text: Substring, and more: String = "") -> Substring {
        let isOuter: (Character) -> Bool = { " \t".contains($0) || more.contains($0) }
        var found = text.drop(while: isOuter)
        while let last = found.last, isOuter(last) { found.removeLast() }
        return found
    }

    /// The beginning of a file, where the languages are; nil if it can't be read or is no UTF-8.
    private static func head(of path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(file, &bytes, bytes.count)
        guard count > 0 else { return nil }
        // A character may be cut at the end.
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
