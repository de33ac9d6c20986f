import SluiceCore

/// The fields of the known schemas.
enum Field: UInt8, CaseIterable, Sendable {
    case messages, conversations
    case prompt, completion, instruction, input, output, question, answer, response, query
    case text, content
    case chosen, rejected
    case system, systemPrompt, history
    case tools, parallelToolCalls

    var name: String {
        switch self {
        case .systemPrompt: "system_prompt"
        case .parallelToolCalls: "parallel_tool_calls"
        default: "\(self)"
        }
    }

    var path: FieldPath { FieldPath(name) }
    var index: Int { Int(rawValue) }

    /// The field in a set of fields.
    var bit: UInt32 { 1 << UInt32(rawValue) }
}

/// The fields in which a record stores an exchange.
enum Schema: Sendable, Hashable {
    /// A prompt with an answer that was chosen and one that was rejected.
    case preference
    /// A list of turns: `messages` of role and content, or ShareGPT's `conversations` of from and value.
    case turns(Field)
    /// A request, perhaps with a context, and a response. Either may also be a list of turns.
    case request(Field, context: Field?, response: Field)
    /// Plain text.
    case text(Field)

    static let alpaca = Schema.request(.instruction, context: .input, response: .output)
    static let promptCompletion = Schema.request(.prompt, context: nil, response: .completion)
    static let questionAnswer = Schema.request(.question, context: nil, response: .answer)
    static let promptResponse = Schema.request(.prompt, context: nil, response: .response)
    static let queryResponse = Schema.request(.query, context: nil, response: .response)
    static let questionResponse = Schema.request(.question, context: nil, response: .response)
    static let inputOutput = Schema.request(.input, context: nil, response: .output)

    static let chat: [Schema] = [.turns(.messages), .turns(.conversations)]

    /// In the order in which `auto` looks for them: what says most about a record comes first.
    static let all: [Schema] =
        [.preference] + chat + [
            promptCompletion, alpaca, questionAnswer, promptResponse, queryResponse, questionResponse, inputOutput,
            .text(.text), .text(.content),
        ]

    /// The fields that a record of this schema must have.
    var required: [Field] {
        switch self {
        case .preference: [.chosen, .rejected]
        case .turns(let list): [list]
        case .request(let request, _, let response): [request, response]
        case .text(let text): [text]
        }
    }

    /// The fields that it may have, too.
    var optional: [Field] {
        switch self {
        case .preference:
            [
                .prompt, .messages, .conversations, .instruction, .input, .question, .query, .system, .systemPrompt,
                .history,
                .tools, .parallelToolCalls,
            ]
        case .turns: [.system, .tools, .parallelToolCalls]
        case .request(_, let context, _):
            [context, self == .alpaca ? .history : nil].compactMap { $0 } + [
                .system, .systemPrompt, .tools, .parallelToolCalls,
            ]
        case .text: []
        }
    }

    var fields: [Field] { required + optional }
}

/// How an exchange is written as text.
enum Style: Sendable {
    /// The contents separated by blank lines, with no words added.
    case plain
    case alpaca
    case questionAnswer
    case chatML
}

/// A built-in template: the schemas that it reads, and the text that it makes of them.
struct BuiltInTemplate: Sendable {
    let name: String
    let schemas: [Schema]
    let style: Style

    static let all = [
        BuiltInTemplate("auto", Schema.all, .plain),
        BuiltInTemplate("alpaca", [.alpaca], .alpaca),
        BuiltInTemplate("prompt-completion", [.promptCompletion], .plain),
        BuiltInTemplate("question-answer", [.questionAnswer], .questionAnswer),
        BuiltInTemplate("chatml", Schema.all, .chatML),
        BuiltInTemplate("chat", Schema.chat, .plain),
        BuiltInTemplate("preference", [.preference], .plain),
        BuiltInTemplate("prompt-response", [.promptResponse], .plain),
        BuiltInTemplate("query-response", [.queryResponse], .plain),
        BuiltInTemplate("question-response", [.questionResponse], .plain),
        BuiltInTemplate("input-output", [.inputOutput], .plain),
        BuiltInTemplate("text", [.text(.text)], .plain),
        BuiltInTemplate("content", [.text(.content)], .plain),
    ]

    private init(_ name: String, _ schemas: [Schema], _ style: Style) {
        self.name = name
        self.schemas = schemas
        self.style = style
    }
}

/// Why a record does not fit, and the field that shows it.
struct Misfit: Error {
    let reason: Reason
    let field: String?

    init(_ reason: Reason, _ field: String? = nil) {
        self.reason = reason
        self.field = field
    }

    var measures: [Measure] { field.map { [Measure("field", .text($0))] } ?? [] }
}

/// The fields of a record, as a template reads them.
struct FieldValues {
    private let columns: [FieldColumn?]
    var record = 0

    init(_ fields: [Field], of block: borrowing Block) {
        var columns = [FieldColumn?](repeating: nil, count: Field.allCases.count)
        for field in fields { columns[field.index] = block.field(field.path) }
        self.columns = columns
    }

    subscript(field: Field) -> FieldValue { columns[field.index]?[record] ?? .missing }

    func isThere(_ field: Field) -> Bool {
        switch self[field] {
        case .missing, .null: false
        default: true
        }
    }

    /// The bytes of a list; nil if the field has something else.
    func list(_ field: Field) -> ArraySlice<UInt8>? {
        if case .json(let bytes) = self[field], bytes.first == UInt8(ascii: "[") { bytes } else { nil }
    }

    /// The bytes of an object; nil if the field has something else.
    func object(_ field: Field) -> ArraySlice<UInt8>? {
        if case .json(let bytes) = self[field], bytes.first == UInt8(ascii: "{") { bytes } else { nil }
    }

    /// A string that is not blank; nil if the field has something else.
    func string(_ field: Field) -> ArraySlice<UInt8>? { self[field].string.flatMap { isBlank($0) ? nil : $0 } }

    /// The characters of a text; nil if it is optional and has none. Numbers and booleans are copied as spelled.
    func text(_ field: Field, isOptional: Bool = false) throws(Misfit) -> ArraySlice<UInt8>? {
        try Self.text(self[field], field.name, isOptional: isOptional)
    }

    static func text(
        _ value: FieldValue, _ name: @autoclosure () -> String, isOptional: Bool
    ) throws(Misfit) -> ArraySlice<UInt8>? {
        switch value {
        case .missing, .null:
            if isOptional { return nil }
            throw Misfit("missing-field", name())
        case .string(let bytes):
            if !isBlank(bytes) { return bytes }
            if isOptional { return nil }
            throw Misfit("empty-field", name())
        case .json(let bytes):
            guard bytes.first != UInt8(ascii: "["), bytes.first != UInt8(ascii: "{") else {
                throw Misfit("not-a-text", name())
            }
            return bytes
        case .chat: throw Misfit("not-a-text", name())
        }
    }
}
