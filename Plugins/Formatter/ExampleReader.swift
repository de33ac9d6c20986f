import SluiceCore

/// Recognises the schema of a record and checks that all of it can be written.
struct ExampleReader {
    let schemas: [Schema]
    let form: ToolForm

    /// Reads a record into `example`.
    func read(_ values: FieldValues, into example: inout Example) throws(Misfit) {
        example.clear()
        let schema = try schema(of: values)
        switch schema {
        case .preference: try readPair(values, into: &example)
        case .turns(let field): try readChat(field, values, into: &example)
        case .request(let request, let context, let response):
            try readRequest(request, context, response, values, isAlpaca: schema == .alpaca, into: &example)
        case .text(let field):
            guard let text = try values.text(field) else { return }
            example.turns.append(.plain(.assistant, text))
            example.used = field.bit
        }
    }

    /// A template with one schema can name the missing field; one with several can only report that none fits, unless the
    /// record has a list of turns that can't be one.
    private func schema(of values: FieldValues) throws(Misfit) -> Schema {
        if schemas.count == 1 { return schemas[0] }
        if let schema = schemas.first(where: { fits($0, values) }) { return schema }
        for case .turns(let field) in schemas where values.isThere(field) {
            guard let list = values.list(field) else { throw Misfit("not-a-list", field.name) }
            let isEmpty = list.dropFirst().first { !JSONCursor.isBlank($0) } == UInt8(ascii: "]")
            throw isEmpty ? Misfit("empty-field", field.name) : Misfit("not-a-message", "\(field.name)[0]")
        }
        throw Misfit("no-known-schema")
    }

    private func fits(_ schema: Schema, _ values: FieldValues) -> Bool {
        if case .turns(let field) = schema { return values.list(field).map(TurnList.isLikely) ?? false }
        return schema.required.allSatisfy { values.isThere($0) }
    }

    // MARK: Schemas

    private func readChat(
        _ field: Field, _ values: FieldValues, into example: inout Example
    ) throws(Misfit) {
        guard values.isThere(field) else { throw Misfit("missing-field", field.name) }
        guard let list = values.list(field) else { throw Misfit("not-a-list", field.name) }
        var findings = TurnFindings()
        try check(list, field.name, &findings)
        guard findings.hasText || findings.hasRichParts else { throw Misfit("empty-field", field.name) }
        try addSystem(.system, values, before: list, isStrict: true, into: &example)
        example.turns.append(Segment(form: .turns, bytes: list))
        example.used |= field.bit
        example.keepsParts = findings.hasRichParts
        try addTools(values, isStrict: true, into: &example)
    }

    private func readRequest(
        _ request: Field, _ context: Field?, _ response: Field, _ values: FieldValues, isAlpaca: Bool,
        into example: inout Example
    ) throws(Misfit) {
        let isList = values.list(request) != nil || values.list(response) != nil
        var findings = TurnFindings()
        try addSystem(.system, values, isStrict: false, into: &example)
        if example.turns.isEmpty { try addSystem(.systemPrompt, values, isStrict: false, into: &example) }
        if isAlpaca { try addHistory(values, into: &example) }
        if isList, context == nil {
            example.turns.append(try segment(request, .user, values, &findings))
            example.turns.append(try segment(response, .assistant, values, &findings))
            guard findings.hasText || findings.hasRichParts else { throw Misfit("empty-field", request.name) }
            example.keepsParts = findings.hasRichParts
        } else {
            guard let text = try values.text(request) else { return }
            let more = try context.map { (field) throws(Misfit) in try values.text(field, isOptional: true) } ?? nil
            guard let answer = try values.text(response) else { return }
            example.turns.append(.plain(.user, text, more: more))
            example.turns.append(.plain(.assistant, answer))
        }
        example.used |= request.bit | response.bit | (context?.bit ?? 0)
        try addTools(values, isStrict: isList, into: &example)
    }

    private func readPair(_ values: FieldValues, into example: inout Example) throws(Misfit) {
        example.isPair = true
        var findings = TurnFindings()
        for field in [Field.chosen, .rejected] {
            // Each answer has to say something.
            var found = TurnFindings()
            let segment = try segment(field, .assistant, values, &found, allowsOne: true)
            guard found.hasText || found.hasRichParts else { throw Misfit("empty-field", field.name) }
            if field == .chosen { example.chosen.append(segment) } else { example.rejected.append(segment) }
            findings.hasRichParts = findings.hasRichParts || found.hasRichParts
            example.used |= field.bit
        }
        try addPrompt(values, &findings, into: &example)
        example.keepsParts = findings.hasRichParts
        try addTools(values, isStrict: true, into: &example)
    }

    /// The turns before the answers of a pair; none where the answers are whole conversations.
    private func addPrompt(
        _ values: FieldValues, _ findings: inout TurnFindings, into example: inout Example
    ) throws(Misfit) {
        if values.isThere(.prompt) {
            if values.list(.prompt) != nil {
                try addSystem(.system, values, before: values.list(.prompt), isStrict: false, into: &example)
                example.turns.append(try segment(.prompt, .user, values, &findings))
            } else if let text = try values.text(.prompt) {
                try addSystems(values, into: &example)
                try addPrompt(text, values, into: &example)
            }
            example.used |= Field.prompt.bit
            return
        }
        // Whole conversations have their own prompt.
        guard values.list(.chosen) == nil, values.list(.rejected) == nil else { return }
        for field in [Field.conversations, .messages] {
            guard let list = values.list(field) else { continue }
            try addSystem(.system, values, before: list, isStrict: true, into: &example)
            example.turns.append(try segment(field, .user, values, &findings))
            example.used |= field.bit
            return
        }
        for field in [Field.instruction, .question, .query, .input] where values.isThere(field) {
            try addSystems(values, into: &example)
            var more: ArraySlice<UInt8>?
            if field == .instruction {
                try addHistory(values, into: &example)
                more = try values.text(.input, isOptional: true)
                example.used |= Field.input.bit
            }
            if let text = try values.text(field) { example.turns.append(.plain(.user, text, more: more)) }
            example.used |= field.bit
            return
        }
    }

    /// A prompt that is a text. Where the answers are conversations that begin with it, their first turns become the
    /// prompt, which would be there twice otherwise.
    private func addPrompt(
        _ text: ArraySlice<UInt8>, _ values: FieldValues, into example: inout Example
    ) throws(Misfit) {
        func opening(_ field: Field) throws(Misfit) -> Int? {
            guard let list = values.list(field) else { return nil }
            switch Opening(of: list, prompt: text) {
            case .prompt(let turns): return turns
            case .answer: return nil
            case .another(let index): throw Misfit("unlike-prompt", "\(field.name)[\(index)]")
            }
        }
        let (first, second) = (try opening(.chosen), try opening(.rejected))
        guard let turns = first ?? second else {
            example.turns.append(.plain(.user, text))
            return
        }
        // Both answers have to begin alike, and a text of its own can't.
        guard first != nil, let chosen = values.list(.chosen) else { throw Misfit("unlike-prompt", "chosen") }
        guard second == turns, let rejected = values.list(.rejected), Opening.isEqual(chosen, rejected, turns) else {
            throw Misfit("unlike-prompt", "rejected")
        }
        for (field, list) in [(Field.chosen, chosen), (.rejected, rejected)] where !Opening.speaks(list, after: turns) {
            throw Misfit("empty-field", field.name)
        }
        example.turns.append(Segment(form: .turns, bytes: chosen, turns: 0..<turns))
        example.chosen[0].turns = turns..<Int.max
        example.rejected[0].turns = turns..<Int.max
    }

    // MARK: Pieces

    private func check(
        _ json: ArraySlice<UInt8>, _ name: String, _ findings: inout TurnFindings
    ) throws(Misfit) {
        var found = findings
        let misfit = json.withUnsafeBufferPointer { json -> Misfit? in
            do throws(Misfit) {
                try TurnList(json).check(name, parsesArguments: form == .objects, &found)
                return nil
            } catch { return error }
        }
        if let misfit { throw misfit }
        findings = found
    }

    /// A field that is a list of turns or a text.
    private func segment(
        _ field: Field, _ speaker: Speaker, _ values: FieldValues, _ findings: inout TurnFindings,
        allowsOne: Bool = false
    ) throws(Misfit) -> Segment {
        guard let json = values.list(field) ?? (allowsOne ? values.object(field) : nil) else {
            guard let text = try values.text(field) else { throw Misfit("missing-field", field.name) }
            findings.hasText = true
            return .plain(speaker, text)
        }
        try check(json, field.name, &findings)
        return Segment(form: .turns, bytes: json)
    }

    private func addSystems(_ values: FieldValues, into example: inout Example) throws(Misfit) {
        try addSystem(.system, values, isStrict: false, into: &example)
        if example.turns.isEmpty { try addSystem(.systemPrompt, values, isStrict: false, into: &example) }
    }

    /// A field beside the turns that says what the first system turn would say. One that a list repeats is left out.
    ///
    /// - Parameter isStrict: whether another value than a text is a misfit, and not just a field that means something else.
    private func addSystem(
        _ field: Field, _ values: FieldValues, before list: ArraySlice<UInt8>? = nil, isStrict: Bool,
        into example: inout Example
    ) throws(Misfit) {
        guard let text = values.string(field) else {
            if isStrict, case .json = values[field] { throw Misfit("not-a-text", field.name) }
            return
        }
        example.used |= field.bit
        if let list, Opening.isSystem(list, text) { return }
        example.turns.append(.plain(.system, text))
    }

    /// Alpaca's `history`, a list of pairs of texts.
    private func addHistory(_ values: FieldValues, into example: inout Example) throws(Misfit) {
        guard let list = values.list(.history) else { return }
        let misfit = list.withUnsafeBufferPointer { json -> Misfit? in
            var misfit: Misfit?
            json.forEachElement(Span(start: 0, end: json.count)) { index, pair in
                var count = json.kind(pair) == .list ? 0 : -1
                if count == 0 { json.forEachElement(pair) { _, text in count += json.kind(text) == .string ? 1 : 3 } }
                if count != 2, misfit == nil { misfit = Misfit("not-a-pair", "history[\(index)]") }
            }
            return misfit
        }
        if let misfit { throw misfit }
        example.used |= Field.history.bit
        example.turns.append(Segment(form: .history, bytes: list))
    }

    /// `tools` and `parallel_tool_calls`.
    ///
    /// - Parameter isStrict: whether `tools` must be a list; beside plain texts the name may mean something else.
    private func addTools(_ values: FieldValues, isStrict: Bool, into example: inout Example) throws(Misfit) {
        if case .json(let value) = values[.parallelToolCalls], isStrict || values.list(.tools) != nil {
            example.parallelToolCalls = value
            example.used |= Field.parallelToolCalls.bit
        }
        switch values[.tools] {
        case .json where values.list(.tools) != nil: example.tools = values[.tools]
        case .string(let text):
            guard !isBlank(text) else { return }
            var made: [UInt8] = []
            let isJSON = text.withUnsafeBufferPointer { EmbeddedJSON.append($0, to: &made) }
            if isJSON, made.first == UInt8(ascii: "[") {
                example.tools = values[.tools]
            } else if isStrict {
                throw Misfit(isJSON ? "not-a-list" : "not-json", Field.tools.name)
            } else {
                return
            }
        case .json: if isStrict { throw Misfit("not-a-list", Field.tools.name) } else { return }
        case .missing, .null, .chat: return
        }
        example.used |= Field.tools.bit
    }
}

/// What a list of turns, which has been checked, begins with.
private enum Opening {
    /// The given prompt: the number of turns up to and with it.
    case prompt(Int)
    /// No user's turn, so that the list continues a prompt.
    case answer
    /// Another user's turn.
    case another(Int)

    init(of list: ArraySlice<UInt8>, prompt: ArraySlice<UInt8>) {
        var found: Opening?
        list.withUnsafeBufferPointer { json in
            let turns = TurnList(json)
            turns.forEach { index, turn in
                guard found == nil else { return }
                var role: [UInt8] = []
                turns.appendRole(turn, to: &role)
                if role.elementsEqual("system".utf8) || role.elementsEqual("developer".utf8) { return }
                guard role.elementsEqual("user".utf8) else { return found = .answer }
                found = turns.says(turn, prompt) ? .prompt(index + 1) : .another(index)
            }
        }
        self = found ?? .answer
    }

    /// Whether two lists have the same first turns, byte for byte.
    static func isEqual(_ a: ArraySlice<UInt8>, _ b: ArraySlice<UInt8>, _ turns: Int) -> Bool {
        func first(_ list: ArraySlice<UInt8>) -> [UInt8] {
            var bytes: [UInt8] = []
            list.withUnsafeBufferPointer { json in
                let list = TurnList(json)
                list.forEach { index, turn in
                    if index < turns { list.write(turn, .strings, joinsParts: true, to: &bytes) }
                }
            }
            return bytes
        }
        return first(a) == first(b)
    }

    /// Whether any turn after the first ones says something, or shows it.
    static func speaks(_ list: ArraySlice<UInt8>, after turns: Int) -> Bool {
        var findings = TurnFindings()
        list.withUnsafeBufferPointer { json in
            TurnList(json).forEach { index, turn in
                if index >= turns { TurnList(json).find(turn, &findings) }
            }
        }
        return findings.hasText || findings.hasRichParts
    }

    /// Whether the first turn of a list is the system's and says this.
    static func isSystem(_ list: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        var isSystem = false
        list.withUnsafeBufferPointer { json in
            let turns = TurnList(json)
            turns.forEach { index, turn in
                guard index == 0 else { return }
                var role: [UInt8] = []
                turns.appendRole(turn, to: &role)
                isSystem = role.elementsEqual("system".utf8) && turns.says(turn, text)
            }
        }
        return isSystem
    }
}

extension TurnList {
    fileprivate func find(_ turn: Turn, _ findings: inout TurnFindings) {
        guard !findings.hasText else { return }
        forEachPiece(turn) { write in
            var piece: [UInt8] = []
            write(&piece)
            if !isBlank(piece) { findings.hasText = true }
        }
        guard let content = turn.content, json.kind(content) == .list else { return }
        json.forEachElement(content) { _, part in if !self.part(part).isText { findings.hasRichParts = true } }
    }

    /// Whether the turn's content is this text and nothing else.
    fileprivate func says(_ turn: Turn, _ text: ArraySlice<UInt8>) -> Bool {
        var pieces: [UInt8] = []
        forEachPiece(turn) { $0(&pieces) }
        return pieces.elementsEqual(text)
    }
}
