public import SluiceCore

/// Builds the text and chat messages of each record.
///
/// A record that does not fit is dropped; it never gets an empty text, and nothing of it is left out without a word:
///
/// | reason | when | measure |
/// |---|---|---|
/// | `missing-field` | a required field, or entry of a turn, is missing or null | `field` |
/// | `empty-field` | a required field contains only white space | `field` |
/// | `not-a-text` | a field or entry has an array or an object, or a content has what is no text and no part | `field` |
/// | `not-a-list`, `not-a-message`, `not-a-pair`, `not-a-call` | turns, tools, a history or a call have another shape | `field` |
/// | `not-json` | a string should spell JSON: `tools`, arguments, ShareGPT's `function_call` | `field` |
/// | `unknown-role` | ShareGPT's `from` is a speaker that no role is known for | `field` |
/// | `unlike-prompt` | the answers of a pair are conversations, and begin with another prompt than `prompt` | `field` |
/// | `name-taken` | a carried field has the name of one that is written anyway | `field` |
/// | `no-known-schema` | the template takes several schemas, and the record has the fields of none | |
/// | `empty-text` | all fields of the template are optional and missing | |
///
/// `field` is a place in the record, such as `conversations[3].from`. Numbers and booleans are copied as spelled in the
/// record. Cost: three passes over the fields' bytes (check, text, messages), and one over the record with `carry`.
public struct FormatStage: Stage, Transform {
    public static let descriptor = Descriptor(
        name: "format",
        summary: "Builds the text and chat messages of each record.",
        discussion: """
            Built-in templates:
              auto               recognises the schema of each record, in this order: `chosen` and `rejected`, turns \
            (`messages`, then `conversations`), `prompt` and `completion`, `instruction` (`input`) and `output`, \
            `question` and `answer`, `prompt` and `response`, `query` and `response`, `question` and `response`, `input` \
            and `output`, `text`, `content`. The text is the contents separated by blank lines, with no words added, so \
            that the same exchange gives the same text in any schema.
              alpaca             `instruction`, `input` (may be missing) and `output` in the prompt of Stanford Alpaca
              prompt-completion  `prompt`, a blank line, `completion`
              question-answer    `Question: …`, and on the next line `Answer: …`
              chatml             any schema that `auto` knows, as ChatML turns
              chat, preference, prompt-response, query-response, question-response, input-output, text, content  \
            that schema alone, with the text of `auto`

            A template of your own names fields in braces: `{instruction}` is required, `{input?}` is optional, \
            `{a.b}` is nested, `{{` and `}}` are literal braces. If a missing optional field is alone on its line, the \
            line is removed, together with the blank line before it (or after it, if it is the first). With `user` and \
            `assistant`, which are templates too, it also writes `messages`; `system` adds a first turn.

            `messages` is all that training needs: the turns with every entry they have (`tool_calls`, `tool_call_id`, \
            `name`, `weight`, `reasoning_content`, …) in their own bytes, `tools`, and with `carry` other fields. \
            ShareGPT's speakers become roles, its `function_call` becomes `tool_calls`, pairs stay pairs (`prompt`, \
            `chosen`, `rejected`). docs/chat.md has the rules in a table.

            A record that does not fit is dropped with its reason and the field (missing-field, empty-field, \
            not-a-text, not-a-list, not-a-message, not-a-pair, not-a-call, not-json, unknown-role, unlike-prompt, \
            name-taken, no-known-schema, empty-text); it never gets an empty text. Plain text becomes one message of the \
            assistant.
            """,
        options: [
            OptionSpec(
                "template", .text, default: "auto",
                help: "one of the names above, or a text with fields in braces",
                example: #""{instruction}\n{input?}""#),
            OptionSpec(
                "user", .text, help: "with a template of your own: the user's message, for `messages`",
                example: #""{prompt}""#),
            OptionSpec(
                "assistant", .text,
                help: "with a template of your own: the assistant's message, for `messages`",
                example: #""{completion}""#),
            OptionSpec(
                "system", .text,
                help: "with a template of your own: the system's message, left out where all its fields are missing",
                example: #""{system?}""#),
            OptionSpec(
                "carry", .either([.choice(["all"]), .list(.text)]),
                help: "fields to write beside the messages; `all` is every field that they are not made of",
                example: "[id, source, meta.lang]"),
            OptionSpec(
                "tools", .choice(ToolForm.allCases.map(\.rawValue)), default: "objects",
                help:
                    "how `messages` has `tools` and the arguments of calls: as JSON for chat templates, or as strings of it",
                example: "strings"),
        ])

    enum Layout: Sendable {
        case schemas([Schema], Style)
        case template(Template, Template.Turns?)
    }

    let layout: Layout
    let paths: [FieldPath]
    let carry: Carry?
    let toolForm: ToolForm

    public init(options: OptionValues) throws(StageError) {
        let name = try options.text("template")
        toolForm = ToolForm(rawValue: try options.text("tools")) ?? .objects
        carry = try Self.carry(options["carry"])
        var paths: [FieldPath] = []
        if let known = BuiltInTemplate.all.first(where: { $0.name == name }) {
            if let option = ["user", "assistant", "system"].first(where: { options[$0] != nil }) {
                throw .option(
                    option,
                    "template `\(name)` already defines the turns; `user`, `assistant` and `system` go with a template of your own"
                )
            }
            layout = .schemas(known.schemas, known.style)
            paths = known.schemas.flatMap { $0.fields.map(\.path) }
        } else {
            guard name.utf8.contains(where: { $0 == UInt8(ascii: "{") || $0 == UInt8(ascii: "}") }) else {
                let names = BuiltInTemplate.all.map(\.name)
                let guess = Registry.nearest(to: name, in: names).map { "did you mean `\($0)`? Known" } ?? "known"
                throw .option(
                    "template",
                    "unknown template `\(name)`; \(guess) are \(names.joined(separator: ", ")); a template of your own names its fields in braces, such as `{prompt}`"
                )
            }
            let turns = try Template.Turns(options)
            guard turns != nil || carry == nil else {
                throw .option(
                    "carry", "`carry` goes with `messages`, which this template makes only with `user` and `assistant`")
            }
            let template = try Template(name, option: "template")
            layout = .template(template, turns)
            for template in [template] + (turns?.all ?? []) { paths += template.fields.map(\.path) }
        }
        var seen: Set<FieldPath> = []
        self.paths = paths.filter { seen.insert($0).inserted }
    }

    private static func carry(_ value: OptionValue?) throws(StageError) -> Carry? {
        switch value {
        case nil: return nil
        case .list(let names):
            var paths: [FieldPath] = []
            for case .text(let name) in names {
                guard !name.isEmpty else { throw .option("carry", "`carry` has an empty name; write names of fields") }
                guard !["messages", "tools"].contains(name) else {
                    throw .option("carry", "`carry` names `\(name)`, which is always written; leave it out")
                }
                paths.append(FieldPath(name))
            }
            return paths.isEmpty ? nil : Carry(paths)
        default: return .all
        }
    }

    public var reads: [Input] { paths.map { .field($0) } + (carry == nil ? [] : [.record]) }

    public var writes: [ColumnSpec] {
        if case .template(_, nil) = layout { return [ColumnSpec(.text, .bytes)] }
        return [ColumnSpec(.text, .bytes), ColumnSpec(.messages, .bytes)]
    }

    public func memory(_ context: StageContext) -> TransformMemory {
        // Carried fields are copied once more, and JSON in a string has twice the quotes.
        let more = (carry == nil ? 0 : 1) + (toolForm == .strings ? 1 : 0)
        switch layout {
        // The text, and messages with the same contents. Escapes take as many bytes in messages as in the record.
        case .schemas: return TransformMemory(growth: 2 + more)
        case .template(let template, let turns):
            // The texts of the turns are written twice: on their own and into the messages.
            return TransformMemory(
                growth: max(1, most { template.count(of: $0) })
                    + 2 * most { path in (turns?.all ?? []).reduce(0) { $0 + $1.count(of: path) } } + more)
        }
    }

    /// The largest count of any field: fields are disjoint parts of a record, so the result is at most that many times
    /// the record.
    func most(_ count: (FieldPath) -> Int) -> Int { paths.map(count).max() ?? 0 }
}

/// `format` in a definition written in Swift.
public struct Format: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameters:
    ///   - template: the name of a built-in template, or a text with fields in braces.
    ///   - user: with a template of your own, the user's message; likewise `assistant` and `system`.
    ///   - carry: fields to write beside the messages; `["all"]` is every field that they are not made of.
    ///   - tools: `objects` or `strings`, how `messages` has `tools` and the arguments of calls.
    public init(
        template: String? = nil, user: String? = nil, assistant: String? = nil, system: String? = nil,
        carry: [String]? = nil, tools: String? = nil
    ) {
        var options = OptionValues()
        options["template"] = template.map { .text($0) }
        options["user"] = user.map { .text($0) }
        options["assistant"] = assistant.map { .text($0) }
        options["system"] = system.map { .text($0) }
        options["carry"] = carry.map { $0 == ["all"] ? .text("all") : .list($0.map { .text($0) }) }
        options["tools"] = tools.map { .text($0) }
        stageSpec = StageSpec("format", options)
    }
}
