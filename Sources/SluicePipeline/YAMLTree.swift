import SluiceCore
import Yams

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
        return text.split(separator: ",").map { YAMLNode(value: .scalar(String($0), quoted: false), place: place) }
    }

    /// The entries of a map written on the command line: `{on: line}`.
    var overrideEntries: [Entry]? {
        guard isOverride, let text, text.hasPrefix("{"), case .map(let entries)? = YAMLTree.flow(text, place)?.value
        else { return nil }
        return entries
    }
}

/// Composes YAML into nodes, with the problems of the text itself.
struct YAMLTree {
    private(set) var root: YAMLNode?
    private(set) var problems: [Problem] = []
    private let path: String

    /// A key that stands twice in a map makes Yams give up, so such keys are made different and told apart again by a
    /// private-use scalar in place of their first one. Lengths stay, so places stay.
    private var renamed: [Unicode.Scalar: Unicode.Scalar] = [:]
    /// Aliases may make a small text a huge tree; a definition is never that large.
    private var nodeCount = 0
    private static let maximumNodes = 100_000

    private static let firstPrivate: UInt32 = 0xE000
    private static let privateCount: UInt32 = 0x1900

    init(text: String, path: String) {
        self.path = path
        do {
            guard let node = try compose(text), !Self.isEmpty(node) else {
                problems.append(
                    Problem("the definition is empty; it begins with `sluice: 1`", at: place(line: 1, column: 1)))
                return
            }
            let root = convert(node, fallback: .file(line: 1, column: 1))
            if nodeCount <= Self.maximumNodes { self.root = root }
        } catch {
            problems.append(problem(of: error, text))
        }
    }

    /// A flow list or map in one line, all of it at `place`.
    static func flow(_ text: String, _ place: YAMLPlace) -> YAMLNode? {
        guard let node = try? Yams.compose(yaml: text) else { return nil }
        return relocate(node, place)
    }

    private static func relocate(_ node: Node, _ place: YAMLPlace) -> YAMLNode? {
        switch node {
        case .scalar(let scalar):
            return YAMLNode(value: .scalar(scalar.string, quoted: isQuoted(scalar)), place: place)
        case .sequence(let nodes): return YAMLNode(value: .list(nodes.compactMap { relocate($0, place) }), place: place)
        case .mapping(let pairs):
            let entries = pairs.compactMap { key, value in
                relocate(value, place).map { YAMLNode.Entry(key: key.scalar?.string ?? "", keyPlace: place, value: $0) }
            }
            return YAMLNode(value: .map(entries), place: place)
        case .alias: return nil
        }
    }

    private static func isQuoted(_ scalar: Node.Scalar) -> Bool { scalar.style != .plain && scalar.style != .any }

    private static func isEmpty(_ node: Node) -> Bool {
        if case .scalar(let scalar) = node { scalar.string.isEmpty && !isQuoted(scalar) } else { false }
    }

    // MARK: Composing

    private mutating func compose(_ original: String) throws -> Node? {
        var text = original
        while true {
            do {
                return try Yams.compose(yaml: text)
            } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
                guard let changed = rename(at: context.mark, in: text) else {
                    problems.append(
                        Problem("key `\(keys.first ?? "")` stands twice", at: place(of: context.mark)))
                    return nil
                }
                text = changed
            }
        }
    }

    private mutating func rename(at mark: Mark, in text: String) -> String? {
        guard renamed.count < Int(Self.privateCount), let stand = Unicode.Scalar(Self.firstPrivate + UInt32(renamed.count))
        else { return nil }
        var scalars = Array(text.unicodeScalars)
        var line = 1
        var index = 0
        while line < mark.line, index < scalars.count {
            if scalars[index] == "\n" { line += 1 }
            index += 1
        }
        index += mark.column - 1
        guard index < scalars.count else { return nil }
        if scalars[index] == "\"" || scalars[index] == "'" { index += 1 }
        guard index < scalars.count, scalars[index].properties.isAlphabetic || scalars[index] == "_" else { return nil }
        renamed[stand] = scalars[index]
        scalars[index] = stand
        var changed = String.UnicodeScalarView()
        changed.append(contentsOf: scalars)
        return String(changed)
    }

    private func original(_ key: String) -> String {
        guard let first = key.unicodeScalars.first, let stand = renamed[first] else { return key }
        return String(stand) + String(key.unicodeScalars.dropFirst())
    }

    // MARK: Converting

    /// - Parameter fallback: where an empty value stands, which has no place of its own.
    private mutating func convert(_ node: Node, fallback: YAMLPlace) -> YAMLNode {
        let place = node.mark.map { YAMLPlace.file(line: $0.line, column: $0.column) } ?? fallback
        nodeCount += 1
        guard nodeCount <= Self.maximumNodes else {
            if nodeCount == Self.maximumNodes + 1 {
                problems.append(Problem("the definition has more than \(Self.maximumNodes) values", at: sourcePlace(place)))
            }
            return YAMLNode(value: .scalar("", quoted: false), place: place)
        }
        switch node {
        case .scalar(let scalar):
            let isEmpty = Self.isEmpty(node)
            return YAMLNode(
                value: .scalar(scalar.string, quoted: Self.isQuoted(scalar)), place: isEmpty ? fallback : place)
        case .sequence(let nodes):
            let items = nodes.prefix(max(0, Self.maximumNodes + 1 - nodeCount)).map { item in
                convert(item, fallback: item.mark.map { .file(line: $0.line, column: $0.column) } ?? place)
            }
            return YAMLNode(value: .list(items), place: place)
        case .mapping(let pairs):
            var entries: [YAMLNode.Entry] = []
            for (key, value) in pairs where nodeCount <= Self.maximumNodes {
                let keyPlace = key.mark.map { YAMLPlace.file(line: $0.line, column: $0.column) } ?? place
                guard let scalar = key.scalar else {
                    problems.append(
                        Problem(
                            "a key must be a word; where this is a text with braces, put it in quotes",
                            at: sourcePlace(keyPlace)))
                    continue
                }
                let name = original(scalar.string)
                let value = convert(value, fallback: keyPlace)
                if entries.contains(where: { $0.key == name }) {
                    problems.append(Problem("key `\(name)` stands twice in this map; delete one", at: sourcePlace(keyPlace)))
                } else {
                    entries.append(YAMLNode.Entry(key: name, keyPlace: keyPlace, value: value))
                }
            }
            return YAMLNode(value: .map(entries), place: place)
        case .alias: return YAMLNode(value: .scalar("", quoted: false), place: place)
        }
    }

    // MARK: Places and errors

    private func place(line: Int, column: Int) -> SourcePlace { SourcePlace(file: path, line: line, column: column) }

    private func place(of mark: Mark) -> SourcePlace { place(line: mark.line, column: mark.column) }

    private func sourcePlace(_ place: YAMLPlace) -> SourcePlace? {
        if case .file(let line, let column) = place { self.place(line: line, column: column) } else { nil }
    }

    private func problem(of error: any Error, _ text: String) -> Problem {
        switch error {
        case YamlError.scanner(let context, let message, let mark, _),
            YamlError.parser(let context, let message, let mark, _),
            YamlError.composer(let context, let message, let mark, _):
            var sentence = "this is not YAML: \(message)"
            if let context { sentence += ", \(context.text) from line \(context.mark.line), column \(context.mark.column)" }
            if let hint = Self.hint(message, at: mark, text) { sentence += "; \(hint)" }
            return Problem(sentence, at: place(of: mark))
        case YamlError.reader(let message, let offset, _, _):
            let before = text.prefix(offset ?? 0)
            let line = before.count { $0.isNewline } + 1
            let column = before.reversed().prefix { !$0.isNewline }.reduce(1) { $0 + $1.unicodeScalars.count }
            return Problem("this is not YAML: \(message)", at: place(line: line, column: column))
        default: return Problem("this is not YAML: \(error)", at: place(line: 1, column: 1))
        }
    }

    private static func hint(_ message: String, at mark: Mark, _ text: String) -> String? {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let line = mark.line <= lines.count ? lines[mark.line - 1].unicodeScalars.dropFirst(mark.column - 1) : nil
        if message.contains("cannot start any token") {
            return line?.first == "\t" ? "indent with blanks, not tabs" : "put a text that begins like this in quotes"
        }
        if message.contains("mapping values are not allowed") {
            return "check the indentation, or put a text with a colon in quotes"
        }
        if message.contains("tab character") { return "indent with blanks, not tabs" }
        if message.contains("another document") { return "one file holds one definition" }
        return nil
    }
}
