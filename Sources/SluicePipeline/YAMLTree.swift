import SluiceCore

/// Composes YAML into nodes and collects syntax errors.
struct YAMLTree {
    private(set) var root: YAMLNode?
    private(set) var problems: [Problem] = []
    private let path: String
    /// The place of all nodes, for a text that is not a file.
    private let fixedPlace: YAMLPlace?

    private var anchors: [String: YAMLNode] = [:]
    /// Bounded, since aliases can expand a small text to a huge tree.
    private var nodeCount = 0
    private static let maximumNodes = 100_000
    private static let maximumDepth = 200

    init(text: String, path: String) {
        self.init(text: text, path: path, fixedPlace: nil)
        if problems.isEmpty, root.map({ $0.isNull && !$0.isExplicitNull }) ?? true {
            root = nil
            problems.append(
                Problem(
                    "the definition is empty; start it with `sluice: 1`",
                    at: SourcePlace(file: path, line: 1, column: 1)))
        }
    }

    /// A flow list or map in one line; all its nodes are at `place`.
    static func flow(_ text: String, _ place: YAMLPlace) -> YAMLNode? {
        YAMLTree(text: text, path: "", fixedPlace: place).root
    }

    private init(text: String, path: String, fixedPlace: YAMLPlace?) {
        self.path = path
        self.fixedPlace = fixedPlace
        var parser = YAMLParser(text)
        do throws(YAMLParser.Failure) {
            root = try document(&parser)
            if nodeCount > Self.maximumNodes { root = nil }
        } catch {
            problems.append(problem(of: error, text))
            root = nil
        }
    }

    // MARK: Composing

    private mutating func document(_ parser: inout YAMLParser) throws(YAMLParser.Failure) -> YAMLNode? {
        var root: YAMLNode?
        var begin: YAMLParser.Mark?
        while true {
            let (event, mark) = try parser.next()
            switch event {
            case .streamEnd: return root
            case .documentStart where root != nil:
                throw YAMLParser.Failure(
                    message: "but found another document",
                    context: begin.map { ("expected a single document in the stream", $0) }, mark: mark, offset: nil)
            case .documentStart, .documentEnd: continue
            default:
                begin = mark
                root = try node(event, mark, &parser, fallback: place(mark), depth: 0)
            }
        }
    }

    /// - Parameter fallback: the place of an empty value, which has none of its own.
    private mutating func node(
        _ event: YAMLParser.Event, _ mark: YAMLParser.Mark, _ parser: inout YAMLParser, fallback: YAMLPlace, depth: Int
    ) throws(YAMLParser.Failure) -> YAMLNode {
        nodeCount += 1
        if nodeCount == Self.maximumNodes + 1 {
            problems.append(Problem("the definition has more than \(Self.maximumNodes) values", at: sourcePlace(mark)))
        }
        guard depth < Self.maximumDepth else {
            throw YAMLParser.Failure(message: "it is nested too deeply", context: nil, mark: mark, offset: nil)
        }
        switch event {
        case .scalar(let text, let quoted, let anchor):
            let node = YAMLNode(
                value: .scalar(text, quoted: quoted), place: text.isEmpty && !quoted ? fallback : place(mark))
            return remember(node, anchor)
        case .sequenceStart(let anchor):
            var items: [YAMLNode] = []
            while true {
                let (event, itemMark) = try parser.next()
                if case .sequenceEnd = event { break }
                items.append(try node(event, itemMark, &parser, fallback: place(itemMark), depth: depth + 1))
            }
            return remember(YAMLNode(value: .list(items), place: place(mark)), anchor)
        case .mapStart(let anchor):
            return remember(YAMLNode(value: .map(try entries(&parser, depth: depth)), place: place(mark)), anchor)
        case .alias(let name):
            guard let target = anchors[name] else {
                throw YAMLParser.Failure(
                    message: "found undefined alias", context: nil, mark: mark, offset: nil)
            }
            nodeCount += size(of: target)
            if nodeCount > Self.maximumNodes {
                throw YAMLParser.Failure(
                    message: "the definition has more than \(Self.maximumNodes) values", context: nil, mark: mark,
                    offset: nil)
            }
            return target
        default: return YAMLNode(value: .scalar("", quoted: false), place: fallback)
        }
    }

    private mutating func entries(
        _ parser: inout YAMLParser, depth: Int
    ) throws(YAMLParser.Failure) -> [YAMLNode.Entry] {
        var entries: [YAMLNode.Entry] = []
        while true {
            let (keyEvent, keyMark) = try parser.next()
            if case .mapEnd = keyEvent { return entries }
            let key = try node(keyEvent, keyMark, &parser, fallback: place(keyMark), depth: depth + 1)
            let (event, mark) = try parser.next()
            let value = try node(event, mark, &parser, fallback: place(keyMark), depth: depth + 1)
            guard let name = key.text else {
                problems.append(
                    Problem(
                        "a key must be a word; put a text with braces in quotes",
                        at: sourcePlace(keyMark)))
                continue
            }
            if entries.contains(where: { $0.key == name }) {
                problems.append(Problem("duplicate key `\(name)`; remove one", at: sourcePlace(keyMark)))
            } else {
                entries.append(YAMLNode.Entry(key: name, keyPlace: place(keyMark), value: value))
            }
        }
    }

    private mutating func remember(_ node: YAMLNode, _ anchor: String?) -> YAMLNode {
        if let anchor { anchors[anchor] = node }
        return node
    }

    private func size(of node: YAMLNode) -> Int {
        switch node.value {
        case .scalar: 1
        case .list(let nodes): nodes.reduce(1) { $0 + size(of: $1) }
        case .map(let entries): entries.reduce(1) { $0 + 1 + size(of: $1.value) }
        }
    }

    // MARK: Places and errors

    private func place(_ mark: YAMLParser.Mark) -> YAMLPlace {
        fixedPlace ?? .file(line: mark.line, column: mark.column)
    }

    private func sourcePlace(_ mark: YAMLParser.Mark) -> SourcePlace? {
        fixedPlace == nil ? SourcePlace(file: path, line: mark.line, column: mark.column) : nil
    }

    private func problem(of failure: YAMLParser.Failure, _ text: String) -> Problem {
        guard let mark = failure.mark else {
            let before = text.utf8.prefix(failure.offset ?? 0)
            let line = before.count { $0 == 0x0A } + 1
            let lastLine = before.suffix(
                from: before.lastIndex(of: 0x0A).map { before.index(after: $0) } ?? before.startIndex)
            let column = String(decoding: lastLine, as: UTF8.self).unicodeScalars.count + 1
            return Problem(
                "this is not YAML: \(failure.message)", at: SourcePlace(file: path, line: line, column: column))
        }
        var sentence = "this is not YAML: \(failure.message)"
        if let context = failure.context {
            sentence += ", \(context.text) from line \(context.mark.line), column \(context.mark.column)"
        }
        if let hint = Self.hint(failure.message, at: mark, text) { sentence += "; \(hint)" }
        return Problem(sentence, at: sourcePlace(mark))
    }

    private static func hint(_ message: String, at mark: YAMLParser.Mark, _ text: String) -> String? {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let line = mark.line <= lines.count ? lines[mark.line - 1].unicodeScalars.dropFirst(mark.column - 1) : nil
        if message.contains("cannot start any token") {
            return line?.first == "\t" ? "indent with spaces, not tabs" : "put a text that begins like this in quotes"
        }
        if message.contains("mapping values are not allowed") {
            return "check the indentation, or put a text with a colon in quotes"
        }
        if message.contains("tab character") { return "indent with spaces, not tabs" }
        if message.contains("expected key") || message.contains("expected '-' indicator") {
            return
                "check the indentation of this line and of the one before it, and that quotes and brackets are closed"
        }
        if message.contains("',' or") {
            return "close the bracket, put a comma between the entries, or quotes around a text with brackets or commas"
        }
        if message.contains("end of stream") || message.contains("document indicator") {
            return "a quote is not closed"
        }
        if message.contains("another document") { return "one file holds one definition" }
        return nil
    }
}
