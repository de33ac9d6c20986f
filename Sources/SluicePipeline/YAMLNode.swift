import SluiceCore

/// The place of a node.
enum YAMLPlace: Hashable {
    case file(line: Int, column: Int)
    /// In another file, which the definition uses.
    case used(String, line: Int, column: Int)
    /// An option of the command line, as written there.
    case override(String)
}

/// A node of a definition with its place.
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

    /// Whether there is no value: nothing, `null` or `~`.
    var isNull: Bool {
        if case .scalar(let text, quoted: false) = value { ["", "~", "null"].contains(text) } else { false }
    }

    /// Whether the value is written as `null` or `~`.
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
            // A comma in braces belongs to a pattern such as `{a,b}.jsonl`.
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
