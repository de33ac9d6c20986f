public import SluiceCore

/// Builds the text and chat messages of each record.
///
/// A record that does not fit is dropped; it never gets an empty text:
///
/// | reason | when | measure |
/// |---|---|---|
/// | `missing-field` | a required field is missing or null | `field` |
/// | `empty-field` | a required field contains only white space | `field` |
/// | `not-a-text` | a field contains an array or an object | `field` |
/// | `no-known-schema` | `auto` and `chatml`: the record has the fields of no known schema | |
/// | `empty-text` | all fields of the template are optional and missing | |
///
/// Numbers and booleans are copied as spelled in the record. Cost: one copy of the fields' bytes.
public struct FormatStage: Stage, Transform {
    public static let descriptor = Descriptor(
        name: "format",
        summary: "Builds the text and chat messages of each record.",
        discussion: """
            Built-in templates:
              auto               recognises the schema of each record, in this order: chat (`messages` or \
            `conversations`), `prompt` and `completion`, `instruction` (`input`) and `output`, `question` and \
            `answer`, `text`. The text is the contents separated by blank lines, with no words added, so that the same \
            exchange gives the same text in any schema.
              alpaca             `instruction`, `input` (may be missing) and `output` in the prompt of Stanford Alpaca
              prompt-completion  `prompt`, a blank line, `completion`
              question-answer    `Question: …`, and on the next line `Answer: …`
              chatml             any schema that `auto` knows, as ChatML turns

            A template of your own names fields in braces: `{instruction}` is required, `{input?}` is optional, \
            `{a.b}` is nested, `{{` and `}}` are literal braces. If a missing optional field is alone on its line, the \
            line is removed, together with the blank line before it (or after it, if it is the first). With `user` and \
            `assistant`, which are templates too, it also writes `messages`.

            A record that does not fit is dropped (missing-field, empty-field, not-a-text, no-known-schema, \
            empty-text); it never gets an empty text. Plain text becomes one message of the assistant. \
            `messages` has the role and the text of each turn and nothing else: tool calls, names, weights, images and \
            other fields of a turn or a record are left out.
            """,
        options: [
            OptionSpec(
                "template", .text, default: "auto",
                help: "auto, alpaca, prompt-completion, question-answer, chatml, or a text with fields in braces",
                example: #""{instruction}\n{input?}""#),
            OptionSpec(
                "user", .text, help: "with a template of your own: the user's message, for `messages`",
                example: #""{prompt}""#),
            OptionSpec(
                "assistant", .text,
                help: "with a template of your own: the assistant's message, for `messages`",
                example: #""{completion}""#),
        ])

    static let builtIn: [(name: String, schemas: [Schema], style: Style)] = [
        ("auto", Schema.all, .plain),
        ("alpaca", [.alpaca], .alpaca),
        ("prompt-completion", [.promptCompletion], .plain),
        ("question-answer", [.questionAnswer], .questionAnswer),
        ("chatml", Schema.all, .chatML),
    ]

    private enum Layout: Sendable {
        case schemas([Schema], Style)
        case template(Template, user: Template?, assistant: Template?)
    }

    private let layout: Layout
    private let paths: [FieldPath]

    public init(options: OptionValues) throws(StageError) {
        let name = try options.text("template")
        let user = options["user"] == nil ? nil : try options.text("user")
        let assistant = options["assistant"] == nil ? nil : try options.text("assistant")
        var paths: [FieldPath] = []
        if let known = Self.builtIn.first(where: { $0.name == name }) {
            guard user == nil, assistant == nil else {
                throw .option(
                    user == nil ? "assistant" : "user",
                    "template `\(name)` already defines the turns; `user` and `assistant` go with a template of your own"
                )
            }
            layout = .schemas(known.schemas, known.style)
            paths = known.schemas.flatMap(\.paths)
        } else {
            guard name.utf8.contains(where: { $0 == UInt8(ascii: "{") || $0 == UInt8(ascii: "}") }) else {
                let names = Self.builtIn.map(\.name)
                let guess = Registry.nearest(to: name, in: names).map { "did you mean `\($0)`? Known" } ?? "known"
                throw .option(
                    "template",
                    "unknown template `\(name)`; \(guess) are \(names.joined(separator: ", ")); a template of your own names its fields in braces, such as `{prompt}`"
                )
            }
            guard (user == nil) == (assistant == nil) else {
                throw .option(
                    user == nil ? "assistant" : "user", "`user` and `assistant` go together; give both or neither")
            }
            let template = try Template(name, option: "template")
            let userTemplate = try user.map { (text) throws(StageError) in try Template(text, option: "user") }
            let assistantTemplate = try assistant.map { (text) throws(StageError) in
                try Template(text, option: "assistant")
            }
            layout = .template(template, user: userTemplate, assistant: assistantTemplate)
            for template in [template, userTemplate, assistantTemplate] {
                paths += template?.fields.map(\.path) ?? []
            }
        }
        var seen: Set<FieldPath> = []
        self.paths = paths.filter { seen.insert($0).inserted }
    }

    public var reads: [Input] { paths.map { .field($0) } }

    public var writes: [ColumnSpec] {
        if case .template(_, user: nil, assistant: _) = layout { return [ColumnSpec(.text, .bytes)] }
        return [ColumnSpec(.text, .bytes), ColumnSpec(.messages, .bytes)]
    }

    public func memory(_ context: StageContext) -> TransformMemory {
        switch layout {
        // The text, and messages with the same contents. Escapes take as many bytes in messages as in the record.
        case .schemas: TransformMemory(growth: 2)
        case .template(let template, let user, let assistant):
            // The texts of user and assistant are written twice: on their own and into the messages.
            TransformMemory(
                growth: max(1, most { template.count(of: $0) })
                    + 2 * most { (user?.count(of: $0) ?? 0) + (assistant?.count(of: $0) ?? 0) })
        }
    }

    /// The largest count of any field: fields are disjoint parts of a record, so the result is at most that many times
    /// the record.
    private func most(_ count: (FieldPath) -> Int) -> Int { paths.map(count).max() ?? 0 }

    public func apply(to block: inout Block) throws(StageError) {
        let columns = paths.map { block.field($0) }
        var made = Made(messages: writes.count > 1 && block.isWanted(.messages) ? BytesColumn() : nil)
        made.text.reserve(rows: block.count, bytes: room(for: block, columns))
        if block.count == 1 { made.messages?.reserve(rows: 1, bytes: room(for: block, columns)) }
        switch layout {
        case .schemas(let schemas, let style): apply(schemas, style, to: &block, columns, &made)
        case .template(let template, let user, let assistant):
            apply(template, user: user, assistant: assistant, to: &block, columns, &made)
        }
        block.write(.text, .bytes(made.text))
        if let messages = made.messages { block.write(.messages, .bytes(messages)) }
    }

    /// The columns of a block as they are made.
    private struct Made {
        var text = BytesColumn()
        var messages: BytesColumn?

        init(messages: BytesColumn?) { self.messages = messages }

        /// The row of a record that has been dropped.
        mutating func skip() {
            text.append([])
            messages?.append([])
        }
    }

    private func apply(
        _ schemas: [Schema], _ style: Style, to block: inout Block, _ columns: [FieldColumn], _ made: inout Made
    ) {
        let places = schemas.map { schema in schema.paths.compactMap { paths.firstIndex(of: $0) } }
        for record in 0..<block.count {
            guard block.isLive(record) else {
                made.skip()
                continue
            }
            switch exchange(record, columns, schemas, places) {
            case .success(let exchange):
                made.text.appendRow { exchange.write(style, to: &$0) }
                made.messages?.appendRow { exchange.writeMessages(to: &$0) }
            case .failure(let misfit):
                made.skip()
                block.drop(record, reason: misfit.reason, measures: misfit.measures)
            }
        }
    }

    private func apply(
        _ template: Template, user: Template?, assistant: Template?, to block: inout Block, _ columns: [FieldColumn],
        _ made: inout Made
    ) {
        let parts = [template, user, assistant].compactMap { $0 }
        let places = parts.map { part in part.fields.compactMap { paths.firstIndex(of: $0.path) } }
        var values = parts.map { [ArraySlice<UInt8>?](repeating: nil, count: $0.fields.count) }
        for record in 0..<block.count {
            if block.isLive(record), let misfit = Self.fill(&values, of: parts, record, columns, places) {
                block.drop(record, reason: misfit.reason, measures: misfit.measures)
            }
            guard block.isLive(record) else {
                made.skip()
                continue
            }
            made.text.appendRow { template.write(values[0], to: &$0) }
            if made.messages != nil, let user, let assistant {
                var request: [UInt8] = [], response: [UInt8] = []
                user.write(values[1], to: &request)
                assistant.write(values[2], to: &response)
                made.messages?.appendRow {
                    Exchange.request(request[...], context: nil, response: response[...]).writeMessages(to: &$0)
                }
            }
        }
    }

    /// Looks up the fields of every part of a template; returns why the record does not fit, or nil.
    private static func fill(
        _ values: inout [[ArraySlice<UInt8>?]], of parts: [Template], _ record: Int, _ columns: [FieldColumn],
        _ places: [[Int]]
    ) -> Misfit? {
        for part in parts.indices {
            for (index, field) in parts[part].fields.enumerated() {
                switch value(columns[places[part][index]][record], field) {
                case .success(let value): values[part][index] = value
                case .failure(let found): return found
                }
            }
        }
        return values.contains { $0.allSatisfy { $0 == nil } } ? Misfit("empty-text") : nil
    }

    /// Bytes to reserve for the texts of a block. A record alone in its block may be very long: reserve room for its
    /// largest result at once, since a growing array briefly exists twice and unfilled pages take no memory.
    private func room(for block: borrowing Block, _ columns: [FieldColumn]) -> Int {
        guard block.count == 1 else { return block.count * 512 }
        let fields = columns.reduce(0) { sum, column in
            switch column[0] {
            case .missing, .null: sum
            case .string(let bytes), .json(let bytes): sum + bytes.count
            case .chat(let turns): sum + turns.encoded.count
            }
        }
        // JSON escapes turn one byte into two. A control character takes six, but it took as many in the record, so a record
        // full of them has short fields.
        var repeats = 2
        if case .template(let template, _, _) = layout { repeats = max(repeats, most { template.count(of: $0) }) }
        return 4096 + repeats * fields
    }

    /// Why a record does not fit.
    private struct Misfit: Error {
        let reason: Reason
        let measures: [Measure]

        init(_ reason: Reason, _ field: FieldPath? = nil) {
            self.reason = reason
            let name = field == .chat ? "messages" : field?.description
            measures = name.map { [Measure("field", .text($0))] } ?? []
        }
    }

    /// The contents of a field; nil if it is optional and has none.
    private static func value(
        _ value: FieldValue, _ field: Template.Field
    ) -> Result<ArraySlice<UInt8>?, Misfit> {
        switch value {
        case .missing, .null:
            field.isOptional ? .success(nil) : .failure(Misfit("missing-field", field.path))
        case .string(let bytes):
            if !isBlank(bytes) {
                .success(bytes)
            } else {
                field.isOptional ? .success(nil) : .failure(Misfit("empty-field", field.path))
            }
        case .json(let bytes):
            switch bytes.first {
            case UInt8(ascii: "["), UInt8(ascii: "{"): .failure(Misfit("not-a-text", field.path))
            default: .success(bytes)
            }
        case .chat: .failure(Misfit("not-a-text", field.path))
        }
    }

    private func exchange(
        _ record: Int, _ columns: [FieldColumn], _ schemas: [Schema], _ places: [[Int]]
    ) -> Result<Exchange, Misfit> {
        func isThere(_ place: Int) -> Bool {
            switch columns[place][record] {
            case .missing, .null: false
            default: true
            }
        }
        func fits(_ index: Int) -> Bool {
            switch schemas[index] {
            case .chat: if case .chat = columns[places[index][0]][record] { true } else { false }
            case .request: isThere(places[index].first!) && isThere(places[index].last!)
            case .text: isThere(places[index][0])
            }
        }
        // A template with one schema can name the missing field; one with several can only report that none fits.
        let index: Int
        if schemas.count == 1 {
            index = 0
        } else {
            guard let fitting = schemas.indices.first(where: fits) else {
                return .failure(Misfit("no-known-schema"))
            }
            index = fitting
        }

        func text(_ path: FieldPath, _ place: Int, isOptional: Bool = false) throws(Misfit) -> ArraySlice<UInt8>? {
            try Self.value(columns[place][record], Template.Field(path: path, isOptional: isOptional)).get()
        }
        let place = places[index]
        return Result { () throws(Misfit) -> Exchange in
            switch schemas[index] {
            case .chat:
                guard case .chat(let turns) = columns[place[0]][record] else { throw Misfit("missing-field", .chat) }
                guard turns.contains(where: { !isBlank($0.content) }) else { throw Misfit("empty-field", .chat) }
                return .turns(turns)
            case .request(let request, let context, let response):
                let requestText = try text(request, place.first!)!
                var contextText: ArraySlice<UInt8>?
                if let context { contextText = try text(context, place[1], isOptional: true) }
                return .request(requestText, context: contextText, response: try text(response, place.last!)!)
            case .text(let path):
                return .text(try text(path, place[0])!)
            }
        }
    }
}

/// `format` in a definition written in Swift.
public struct Format: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameter template: the name of a built-in template, or a text with fields in braces.
    public init(template: String? = nil, user: String? = nil, assistant: String? = nil) {
        var options = OptionValues()
        options["template"] = template.map { .text($0) }
        options["user"] = user.map { .text($0) }
        options["assistant"] = assistant.map { .text($0) }
        stageSpec = StageSpec("format", options)
    }
}
