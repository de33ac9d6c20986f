extension RecordCondition {
    /// Why a text is no condition, as a phrase that continues «is no condition: ».
    public struct Mistake: Error, Hashable {
        public let message: String

        package init(message: String) { self.message = message }
    }

    /// Reads `NAME < NUMBER` (also `<=`, `>`, `>=`), `NAME == VALUE`, `NAME != VALUE`, `NAME in [VALUE, …]`,
    /// `NAME not in […]` and `NAME exists`, joined by `and`, `or`, `not` and parentheses. `and` binds closer than `or`.
    ///
    /// A name with blanks or signs stands in backquotes, a value with them in double or single quotes.
    public init(_ text: String) throws(Mistake) {
        var parser = try ConditionParser(text)
        self = try parser.condition()
    }
}

/// A recursive descent over the words of a condition.
struct ConditionParser {
    private typealias Mistake = RecordCondition.Mistake

    private enum Token: Equatable {
        case word(String)
        case name(String)
        case quoted(String)
        case sign(String)

        var shown: String {
            switch self {
            case .word(let text), .sign(let text): "`\(text)`"
            case .name(let text): "the name `\(text)`"
            case .quoted(let text): "\"\(text)\""
            }
        }
    }

    private static let signs = ["<=", ">=", "==", "!=", "<", ">", "(", ")", "[", "]", ","]
    private static let deepest = 32
    private static let relations = "<, <=, >, >=, ==, !=, in, not in or exists"

    private var tokens: [Token]
    private var place = 0
    private var depth = 0

    /// Whether a name needs no backquotes.
    static func isPlain(_ name: String) -> Bool {
        !name.isEmpty && !["and", "or", "not", "in", "exists"].contains(name) && name.allSatisfy(isWord)
    }

    private static func isWord(_ character: Character) -> Bool {
        !character.isWhitespace && !"<>=!()[],\"'`".contains(character)
    }

    init(_ text: String) throws(RecordCondition.Mistake) {
        tokens = []
        var rest = Substring(text)
        while let first = rest.first {
            if first.isWhitespace {
                rest.removeFirst()
            } else if let sign = Self.signs.first(where: { rest.hasPrefix($0) }) {
                tokens.append(.sign(sign))
                rest.removeFirst(sign.count)
            } else if first == "\"" || first == "'" || first == "`" {
                let content = try Self.quoted(&rest, by: first)
                tokens.append(first == "`" ? .name(content) : .quoted(content))
            } else if Self.isWord(first) {
                let word = rest.prefix(while: Self.isWord)
                tokens.append(.word(String(word)))
                rest = rest[word.endIndex...]
            } else {
                throw Mistake(
                    message: first == "="
                        ? "`=` is written `==`" : "`\(first)` means nothing here; a comparison is \(Self.relations)")
            }
        }
    }

    private static func quoted(_ rest: inout Substring, by quote: Character) throws(RecordCondition.Mistake) -> String {
        rest.removeFirst()
        var content = ""
        while let next = rest.popFirst() {
            if next == quote { return content }
            if next == "\\", quote == "\"", let escaped = rest.popFirst() {
                content.append(escaped)
            } else {
                content.append(next)
            }
        }
        throw Mistake(message: "the closing \(quote) is missing")
    }

    private var next: Token? { place < tokens.count ? tokens[place] : nil }

    private mutating func take(_ token: Token) -> Bool {
        guard next == token else { return false }
        place += 1
        return true
    }

    mutating func condition() throws(RecordCondition.Mistake) -> RecordCondition {
        let found = try alternatives()
        guard let next else { return found }
        throw Mistake(message: "\(next.shown) is left over; join two tests by `and` or `or`")
    }

    private mutating func alternatives() throws(RecordCondition.Mistake) -> RecordCondition {
        var parts = [try conjunction()]
        while take(.word("or")) { parts.append(try conjunction()) }
        return parts.count == 1 ? parts[0] : .any(parts)
    }

    private mutating func conjunction() throws(RecordCondition.Mistake) -> RecordCondition {
        var parts = [try factor()]
        while take(.word("and")) { parts.append(try factor()) }
        return parts.count == 1 ? parts[0] : .all(parts)
    }

    private mutating func factor() throws(RecordCondition.Mistake) -> RecordCondition {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.deepest else { throw Mistake(message: "it is nested more than \(Self.deepest) deep") }
        if take(.word("not")) { return .not(try factor()) }
        guard take(.sign("(")) else { return try test() }
        let inner = try alternatives()
        guard take(.sign(")")) else { throw Mistake(message: "a `)` is missing") }
        return inner
    }

    private mutating func test() throws(RecordCondition.Mistake) -> RecordCondition {
        let name: String
        switch next {
        case .word(let text)? where Self.isPlain(text): name = text
        case .name(let text)?: name = text
        case .quoted(let text)?:
            throw Mistake(message: "\"\(text)\" is a text; a name with blanks stands in backquotes: `\(text)`")
        case let other?: throw Mistake(message: "\(other.shown) stands where a column or field should")
        case nil:
            throw Mistake(message: tokens.isEmpty ? "it is empty" : "a column or field is missing at its end")
        }
        place += 1
        return .test(name: name, try relation(of: name))
    }

    private mutating func relation(of name: String) throws(RecordCondition.Mistake) -> RecordCondition.Relation {
        if take(.word("exists")) { return .exists }
        if take(.word("in")) { return .among(try list()) }
        if take(.word("not")) {
            guard take(.word("in")) else { throw Mistake(message: "`not` after `\(name)` needs `in`") }
            return .notAmong(try list())
        }
        guard case .sign(let sign)? = next, !"()[],".contains(sign) else {
            throw Mistake(message: "after `\(name)` comes \(Self.relations)")
        }
        place += 1
        let literal = try literal(after: sign)
        switch sign {
        case "==": return .among([literal])
        case "!=": return .notAmong([literal])
        default: break
        }
        guard let number = literal.number else {
            throw Mistake(message: "`\(sign)` compares numbers, and \(literal) is none")
        }
        return switch sign {
        case "<": .less(number)
        case "<=": .atMost(number)
        case ">": .more(number)
        default: .atLeast(number)
        }
    }

    private mutating func literal(after sign: String) throws(RecordCondition.Mistake) -> RecordCondition.Literal {
        defer { place += 1 }
        switch next {
        case .word(let text)?: return RecordCondition.Literal(text)
        case .quoted(let text)?: return RecordCondition.Literal(text, isQuoted: true)
        case let other?: throw Mistake(message: "\(other.shown) stands where a value should, after `\(sign)`")
        case nil: throw Mistake(message: "a value is missing after `\(sign)`")
        }
    }

    private mutating func list() throws(RecordCondition.Mistake) -> [RecordCondition.Literal] {
        guard take(.sign("[")) else { throw Mistake(message: "`in` needs a list, such as `in [en, de]`") }
        var found: [RecordCondition.Literal] = []
        repeat { found.append(try literal(after: found.isEmpty ? "[" : ",")) } while take(.sign(","))
        guard take(.sign("]")) else { throw Mistake(message: "a `]` is missing") }
        return found
    }
}
