import SluiceCore

/// A text with fields: `{instruction}` is required, `{input?}` is optional, `{a.b}` is nested, `{{` and `}}` are
/// literal braces.
///
/// If a missing optional field is alone on its line, the line is removed, together with the blank line before it, or
/// after it if it is the first.
struct Template: Sendable {
    struct Field: Sendable, Hashable {
        let path: FieldPath
        let isOptional: Bool
    }

    private enum Piece: Sendable {
        case literal([UInt8])
        case field(Int)
    }

    private enum Line: Sendable {
        case blank
        /// An optional field and nothing else.
        case lone(Int)
        case pieces([Piece])
    }

    /// The fields in order of first appearance. A field that is required once is required everywhere.
    private(set) var fields: [Field] = []
    private var lines: [Line] = []

    /// The number of times that the template names the field at `path`.
    func count(of path: FieldPath) -> Int {
        let places = lines.flatMap { line -> [Int] in
            switch line {
            case .blank: []
            case .lone(let index): [index]
            case .pieces(let pieces): pieces.compactMap { if case .field(let index) = $0 { index } else { nil } }
            }
        }
        return places.count { fields[$0].path == path }
    }

    /// - Parameter option: the option the template was given as, for messages.
    init(_ text: String, option: String) throws(StageError) {
        let tokens = try Self.tokens(of: text, option: option)
        // The required fields must be known before the first line is closed.
        for case .field(let path, let isOptional) in tokens {
            if let index = fields.firstIndex(where: { $0.path == path }) {
                fields[index] = Field(path: path, isOptional: fields[index].isOptional && isOptional)
            } else {
                fields.append(Field(path: path, isOptional: isOptional))
            }
        }
        guard !fields.isEmpty else {
            throw .option(
                option, "`\(option)` names no field, so every record would get the same text; write fields as `{name}`")
        }
        for line in tokens.split(separator: .lineEnd, omittingEmptySubsequences: false) {
            lines.append(self.line(of: line))
        }
    }

    private enum Token: Equatable {
        case literal(Unicode.Scalar)
        case lineEnd
        case field(FieldPath, isOptional: Bool)
    }

    private static func tokens(of text: String, option: String) throws(StageError) -> [Token] {
        let scalars = Array(text.unicodeScalars)
        var tokens: [Token] = []
        var place = 0
        func fail(_ message: String) -> StageError {
            .option(option, "`\(option)`, character \(place + 1): \(message)")
        }
        while place < scalars.count {
            let scalar = scalars[place]
            let isDoubled = place + 1 < scalars.count && scalars[place + 1] == scalar
            switch scalar {
            case "{" where isDoubled, "}" where isDoubled:
                tokens.append(.literal(scalar))
                place += 2
            case "}": throw fail("unmatched `}`; write `}}` for a literal brace")
            case "{":
                guard let end = scalars[place...].firstIndex(of: "}") else {
                    throw fail("`{` is never closed; write `{{` for a literal brace")
                }
                var name = String(String.UnicodeScalarView(scalars[(place + 1)..<end]))
                let isOptional = name.hasSuffix("?")
                if isOptional { name.removeLast() }
                guard !name.isEmpty, !name.unicodeScalars.contains("{") else {
                    throw fail("the braces must contain a field's name, such as `{instruction}` or `{input?}`")
                }
                tokens.append(.field(FieldPath(name), isOptional: isOptional))
                place = end + 1
            default:
                tokens.append(scalar == "\n" ? .lineEnd : .literal(scalar))
                place += 1
            }
        }
        return tokens
    }

    private func line(of tokens: ArraySlice<Token>) -> Line {
        var pieces: [Piece] = []
        var literal: [UInt8] = []
        func endLiteral() {
            if !literal.isEmpty { pieces.append(.literal(literal)) }
            literal = []
        }
        for token in tokens {
            switch token {
            case .literal(let scalar): literal.append(contentsOf: String(scalar).utf8)
            case .field(let path, _):
                endLiteral()
                if let index = fields.firstIndex(where: { $0.path == path }) { pieces.append(.field(index)) }
            case .lineEnd: break
            }
        }
        endLiteral()
        switch pieces.first {
        case nil: return .blank
        case .field(let index)? where pieces.count == 1 && fields[index].isOptional: return .lone(index)
        default: return .pieces(pieces)
        }
    }

    /// Writes the text; `values[i]` is the value of field `i`, nil if missing.
    func write(_ values: [ArraySlice<UInt8>?], to bytes: inout [UInt8]) {
        var hasLine = false
        var blanks = 0
        var skipsBlank = false
        for line in lines {
            switch line {
            case .blank:
                if skipsBlank { skipsBlank = false } else { blanks += 1 }
                continue
            case .lone(let index) where values[index] == nil:
                if blanks > 0 { blanks -= 1 } else if !hasLine { skipsBlank = true }
                continue
            case .lone(let index):
                endLines(&hasLine, &blanks, &bytes)
                bytes.append(contentsOf: values[index]!)
            case .pieces(let pieces):
                endLines(&hasLine, &blanks, &bytes)
                for piece in pieces {
                    switch piece {
                    case .literal(let literal): bytes.append(contentsOf: literal)
                    case .field(let index): if let value = values[index] { bytes.append(contentsOf: value) }
                    }
                }
            }
            skipsBlank = false
        }
        // No line follows the blank lines at the end: each is one newline after the last line.
        bytes.append(contentsOf: repeatElement(UInt8(ascii: "\n"), count: hasLine ? blanks : max(0, blanks - 1)))
    }

    private func endLines(_ hasLine: inout Bool, _ blanks: inout Int, _ bytes: inout [UInt8]) {
        bytes.append(contentsOf: repeatElement(UInt8(ascii: "\n"), count: blanks + (hasLine ? 1 : 0)))
        hasLine = true
        blanks = 0
    }
}

extension Template {
    /// The templates of the turns of a chat.
    struct Turns: Sendable {
        let system: Template?
        let user: Template
        let assistant: Template

        var all: [Template] { (system.map { [$0] } ?? []) + [user, assistant] }
        var speakers: [Speaker] { (system == nil ? [] : [.system]) + [.user, .assistant] }

        /// nil if no option names a turn.
        init?(_ options: OptionValues) throws(StageError) {
            func template(_ option: String) throws(StageError) -> Template? {
                options[option] == nil ? nil : try Template(try options.text(option), option: option)
            }
            let names = ["user", "assistant", "system"].filter { options[$0] != nil }
            guard let given = names.first else { return nil }
            guard options["user"] != nil, options["assistant"] != nil else {
                throw .option(
                    given,
                    given == "system"
                        ? "`system` goes with `user` and `assistant`; give all three"
                        : "`user` and `assistant` go together; give both or neither")
            }
            system = try template("system")
            guard let user = try template("user"), let assistant = try template("assistant") else { return nil }
            (self.user, self.assistant) = (user, assistant)
        }
    }
}
