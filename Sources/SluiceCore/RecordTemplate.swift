/// What a kept record is made of: JSON whose texts name columns and fields in braces.
///
/// A text that is one name, `"{score}"`, stands for that value: a number, a list, whatever the record has, or null if it
/// has none. In other texts, `"p3/{template}"`, a name stands for the value's text, which is empty if there is none. `{{`
/// and `}}` stand for braces.
public indirect enum RecordTemplate: Sendable, Hashable {
    case object([Entry])
    case list([RecordTemplate])
    /// The value of a name.
    case value(String)
    /// A text of several pieces.
    case text([Piece])
    /// A number, a flag or null.
    case constant(JSONValue)

    public struct Entry: Sendable, Hashable {
        public let key: String
        public let value: RecordTemplate

        public init(_ key: String, _ value: RecordTemplate) {
            self.key = key
            self.value = value
        }
    }

    /// A part of a text.
    public enum Piece: Sendable, Hashable {
        case literal(String)
        case name(String)
    }

    /// Why a text is no template, as a phrase.
    public struct Mistake: Error, Hashable {
        public let message: String

        package init(message: String) { self.message = message }
    }

    /// - Throws: which brace has no other one.
    public init(text: String) throws(Mistake) {
        var pieces: [Piece] = []
        var literal = ""
        var rest = Substring(text)
        while let next = rest.popFirst() {
            switch next {
            case "{" where rest.first == "{", "}" where rest.first == "}":
                literal.append(next)
                rest.removeFirst()
            case "{":
                guard let end = rest.firstIndex(of: "}") else {
                    throw Mistake(message: "the `{` before `\(rest.prefix(20))` has no `}`; write `{{` for a brace")
                }
                let name = rest[..<end]
                guard !name.isEmpty else { throw Mistake(message: "`{}` has no name; write `{{}}` for two braces") }
                if !literal.isEmpty { pieces.append(.literal(literal)) }
                literal = ""
                pieces.append(.name(String(name)))
                rest = rest[rest.index(after: end)...]
            case "}": throw Mistake(message: "a `}` has no `{` before it; write `}}` for a brace")
            default: literal.append(next)
            }
        }
        if !literal.isEmpty { pieces.append(.literal(literal)) }
        if pieces.count == 1, case .name(let name) = pieces[0] { self = .value(name) } else { self = .text(pieces) }
    }

    /// All names, each once, in their order.
    public var names: [String] {
        var found: [String] = []
        addNames(to: &found)
        return found
    }

    private func addNames(to found: inout [String]) {
        switch self {
        case .object(let entries): for entry in entries { entry.value.addNames(to: &found) }
        case .list(let values): for value in values { value.addNames(to: &found) }
        case .value(let name): if !found.contains(name) { found.append(name) }
        case .text(let pieces):
            for case .name(let name) in pieces where !found.contains(name) { found.append(name) }
        case .constant: break
        }
    }

    /// How often each name occurs; twice for each time within a text, where JSON needs more escapes.
    package var mentions: [String: Int] {
        var counts: [String: Int] = [:]
        count(in: &counts)
        return counts
    }

    private func count(in counts: inout [String: Int]) {
        switch self {
        case .object(let entries): for entry in entries { entry.value.count(in: &counts) }
        case .list(let values): for value in values { value.count(in: &counts) }
        case .value(let name): counts[name, default: 0] += 1
        case .text(let pieces): for case .name(let name) in pieces { counts[name, default: 0] += 2 }
        case .constant: break
        }
    }

    /// Its form in a definition.
    var report: JSONValue {
        switch self {
        case .object(let entries): .object(entries.map { .init($0.key, $0.value.report) })
        case .list(let values): .list(values.map(\.report))
        case .value(let name): .text("{\(name)}")
        case .text(let pieces): .text(pieces.map(\.report).joined())
        case .constant(let value): value
        }
    }
}

extension RecordTemplate.Piece {
    fileprivate var report: String {
        switch self {
        case .name(let name): "{\(name)}"
        case .literal(let text):
            text.map { $0 == "{" ? "{{" : $0 == "}" ? "}}" : "\($0)" }.joined()
        }
    }
}
