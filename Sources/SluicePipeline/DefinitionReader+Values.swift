import Glibc
import SluiceCore

/// Reads single values and reports those that are wrong.
extension DefinitionReader {
    /// The entries of a map by key. Keys that are not in `keys` are reported.
    mutating func map(_ node: YAMLNode, named name: String?, keys: [String]) -> [String: YAMLNode.Entry]? {
        let entries: [YAMLNode.Entry]
        if case .map(let found) = node.value {
            entries = found
        } else if let found = node.overrideEntries {
            entries = found
        } else {
            let subject = name.map { "`\($0)`" } ?? "a definition"
            report(
                "\(subject) must be a map with the keys \(keys.joined(separator: ", ")), not \(node.found)",
                at: node.place)
            return nil
        }
        var known: [String: YAMLNode.Entry] = [:]
        for entry in entries {
            if keys.contains(entry.key) {
                known[entry.key] = entry
            } else {
                report(Self.unknownKey(entry.key, of: name, keys), at: entry.keyPlace)
            }
        }
        return known
    }

    static func unknownKey(_ key: String, of name: String?, _ keys: [String]) -> String {
        let start = "unknown key `\(key)`" + (name.map { " of `\($0)`" } ?? "")
        if let near = Registry.nearest(to: key, in: keys) { return "\(start); did you mean `\(near)`?" }
        let homes: [(keys: [String], of: String?)] = [
            (Self.keys, nil), (inputKeys, "input"), (dedupeKeys, "input.dedupe"), (outputKeys, "output"),
            (sinkKeys, "an entry of `outputs`"),
        ]
        if let home = homes.first(where: { $0.of != name && $0.keys.contains(key) }) {
            let place = home.of.map { $0.contains("`") ? "under \($0)" : "under `\($0)`" }
            return "\(start); it belongs \(place ?? "at the top")"
        }
        return "\(start); known keys are \(keys.joined(separator: ", "))"
    }

    /// The entry if it has a value. One without a value is reported, unless it is an explicit null.
    mutating func given(_ entry: YAMLNode.Entry?) -> YAMLNode.Entry? {
        guard let entry, !entry.value.isExplicitNull else { return nil }
        guard !entry.value.isNull else {
            report("`\(entry.key)` has no value; give it one or delete it", at: entry.value.place)
            return nil
        }
        return entry
    }

    mutating func text(_ entry: YAMLNode.Entry, _ name: String) -> String? {
        if let text = entry.value.text { return text }
        report("`\(name)` must be text, not \(entry.value.found)", at: entry.value.place)
        return nil
    }

    /// A list of text, or a single text.
    mutating func texts(_ entry: YAMLNode.Entry, _ name: String) -> [YAMLNode]? {
        let nodes: [YAMLNode]
        if let found = entry.value.overrideElements {
            nodes = found
        } else if case .list(let found) = entry.value.value {
            nodes = found
        } else if entry.value.text != nil {
            nodes = [entry.value]
        } else {
            report("`\(name)` must be a list of text, not \(entry.value.found)", at: entry.value.place)
            return nil
        }
        var areTexts = true
        for node in nodes where node.text == nil || node.isNull {
            report("each entry of `\(name)` must be text, not \(node.found)", at: node.place)
            areTexts = false
        }
        return areTexts ? nodes : nil
    }

    mutating func readVersion(_ entry: YAMLNode.Entry?, _ root: YAMLNode) {
        guard let entry else {
            report("`sluice: 1` is missing; it is the version of the definition", at: root.place)
            return
        }
        if entry.value.text != "1" {
            report(
                "version \(entry.value.found) is not supported; this program reads `sluice: 1`", at: entry.value.place)
        }
    }

    mutating func condition(_ entry: YAMLNode.Entry, _ name: String) -> RecordCondition? {
        guard let text = text(entry, name) else { return nil }
        do throws(RecordCondition.Mistake) { return try RecordCondition(text) } catch {
            report("`\(name)`: `\(text)` is no condition: \(error.message)", at: entry.value.place)
            return nil
        }
    }

    mutating func seed(_ entry: YAMLNode.Entry) -> UInt64? {
        // Quoted, too: JSON has no number that is as large as some seeds.
        if case .scalar(let text, _) = entry.value.value, text.utf8.allSatisfy({ (48...57).contains($0) }),
            let seed = UInt64(text)
        {
            return seed
        }
        report("`seed` must be a whole number from 0 to \(UInt64.max), not \(entry.value.found)", at: entry.value.place)
        return nil
    }

    mutating func size(_ entry: YAMLNode.Entry, _ name: String) -> Int? {
        if let text = entry.value.text, let bytes = MemorySize.parse(text) { return bytes }
        let hint = entry.value.text.flatMap { MemorySize.hint(for: $0) }.map { "; \($0)" } ?? ""
        report("`\(name)` must be a size such as 512MiB, not \(entry.value.found)\(hint)", at: entry.value.place)
        return nil
    }

    mutating func quantity(_ entry: YAMLNode.Entry, _ name: String) -> Quantity? {
        if let text = entry.value.text, let quantity = Quantity(text) { return quantity }
        let hint = entry.value.text.flatMap { Quantity.hint(for: $0) }.map { "; \($0)" } ?? ""
        report("`\(name)` must be a count or a percentage, not \(entry.value.found)\(hint)", at: entry.value.place)
        return nil
    }

    mutating func flag(_ entry: YAMLNode.Entry, _ name: String) -> Bool? {
        if case .scalar(let text, quoted: false) = entry.value.value, ["true", "false"].contains(text) {
            return text == "true"
        }
        let hint = entry.value.text.flatMap { OptionKind.flag.hint(for: $0) }.map { "; \($0)" } ?? ""
        report("`\(name)` must be true or false, not \(entry.value.found)\(hint)", at: entry.value.place)
        return nil
    }

    mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ entry: YAMLNode.Entry, _ name: String, _: Choice.Type
    ) -> Choice? {
        if let choice = entry.value.text.flatMap({ Choice(rawValue: $0) }) { return choice }
        let words = Choice.allCases.map(\.rawValue)
        let near =
            entry.value.text.flatMap { Registry.nearest(to: $0, in: words) }.map { "; did you mean `\($0)`?" } ?? ""
        report(
            "`\(name)` must be one of \(words.joined(separator: ", ")), not \(entry.value.found)\(near)",
            at: entry.value.place)
        return nil
    }

    mutating func broken<Value>(_ part: DefinitionPart, _ value: Value) -> Value {
        broken.insert(part)
        return value
    }

    /// The path of a file to read.
    func resolvedFile(_ text: String, at place: YAMLPlace) -> String {
        var isOverride = false
        if case .override = place { isOverride = true }
        guard let folder, text != "-", !text.isEmpty, !InputSpec.isAddress(text), isOverride || text.hasPrefix("/")
        else {
            return resolved(text, at: place)
        }
        return folder.path(text, prefix: path.lastIndex(of: "/").map { String(path[...$0]) } ?? "")
    }

    /// A word of a command: the path of a file if there is one, with a `/` so that it is no name to look up; else the word.
    func resolvedWord(_ text: String, at place: YAMLPlace) -> String {
        let path = resolvedFile(text, at: place)
        var found = stat()
        guard stat(path, &found) == 0, found.st_mode & S_IFMT == S_IFREG else { return text }
        return path.contains("/") ? path : "./\(path)"
    }

    /// A relative path in the definition, resolved against the definition's folder; other paths unchanged.
    func resolved(_ text: String, at place: YAMLPlace) -> String {
        let file: String
        switch place {
        case .file: file = path
        case .used(let other, _, _): file = other
        case .override: return text
        }
        guard text != "-", !text.isEmpty, !text.hasPrefix("/"), !InputSpec.isAddress(text),
            let slash = file.lastIndex(of: "/")
        else { return text }
        return file[...slash] + text
    }
}
