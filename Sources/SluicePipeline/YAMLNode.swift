import SluiceCore

/// Where a piece of a definition stands.
enum YAMLPlace: Hashable {
    case file(line: Int, column: Int)
    /// In an option of the command line, as it was written there.
    case override(String)
}

/// A piece of a definition with its place.
struct YAMLNode {
    enum Value {
        case scalar(String, quoted: Bool)
        case list([YAMLNode])
        case map([Entry])
    }

    struct Entry {
        let key: String
        let keyPlace: YAMLPlace
        var value: YAMLNode
    }

    var value: Value
    let place: YAMLPlace

    var isOverride: Bool { if case .override = place { true } else { false } }

    /// Whether nothing stands there: no value, `null` or `~`.
    var isNull: Bool {
        if case .scalar(let text, quoted: false) = value { ["", "~", "null"].contains(text) } else { false }
    }

    /// Whether it says in so many words that nothing stands there.
    var isExplicitNull: Bool {
        if case .scalar(let text, quoted: false) = value { ["~", "null"].contains(text) } else { false }
    }

    /// What was found, for «…, not X».
    var found: String {
        switch value {
        case .scalar: isNull ? "nothing" : "`\(text ?? "")`"
        case .list: "a list"
        case .map: "a map"
        }
    }

    var text: String? { if case .scalar(let text, _) = value { text } else { nil } }

    /// The entries of a list written on the command line: `a,b` or `[a, b]`.
    var overrideElements: [YAMLNode]? {
        guard isOverride, let text else { return nil }
        if text.hasPrefix("["), case .list(let nodes)? = YAMLTree.flow(text, place)?.value { return nodes }
        var entries: [String] = [""]
        var depth = 0
        for character in text {
            // A comma in braces is one of the pattern `{a,b}.jsonl`.
            if character == "{" { depth += 1 } else if character == "}" { depth -= 1 }
            if character == ",", depth <= 0 { entries.append("") } else { entries[entries.count - 1].append(character) }
        }
        return entries.filter { !$0.isEmpty }.map { YAMLNode(value: .scalar($0, quoted: false), place: place) }
    }

    /// The entries of a map written on the command line: `{on: line}`.
    var overrideEntries: [Entry]? {
        guard isOverride, let text, text.hasPrefix("{"), case .map(let entries)? = YAMLTree.flow(text, place)?.value
        else { return nil }
        return entries
    }
}
