import SluiceCore

/// Who speaks in a turn.
enum Speaker: Sendable {
    case system, user, assistant, tool
    /// ShareGPT's `function_call`: an assistant whose content is a call.
    case call
    /// As spelled in the record.
    case named

    /// The role that chat templates know.
    var role: StaticString {
        switch self {
        case .system: "system"
        case .user: "user"
        case .assistant, .call, .named: "assistant"
        case .tool: "tool"
        }
    }
}

/// The names of a turn's two main entries.
enum TurnStyle: Sendable {
    /// `role` and `content`.
    case openAI
    /// `from` and `value`.
    case shareGPT

    var roleKey: StaticString { self == .openAI ? "role" : "from" }
    var contentKey: StaticString { self == .openAI ? "content" : "value" }
}

/// One turn, by its places in the JSON of a list of turns.
struct Turn {
    let object: Span
    var role: Span?
    /// nil if missing or null, as are the following.
    var content: Span?
    var reasoning: Span?
    var calls: Span?
    /// The call in OpenAI's older form.
    var functionCall: Span?
}

/// A list of turns, or a single turn, in JSON that the reader has checked.
struct TurnList {
    let json: UnsafeBufferPointer<UInt8>
    let style: TurnStyle

    init(_ json: UnsafeBufferPointer<UInt8>) {
        self.json = json
        style = Self.style(of: json)
    }

    private var whole: Span { Span(start: 0, end: json.count) }
    var isSingle: Bool { json.kind(whole) == .object }

    /// As the first turn has it.
    private static func style(of json: UnsafeBufferPointer<UInt8>) -> TurnStyle {
        var first = Span(start: 0, end: json.count)
        if json.kind(first) == .list {
            var cursor = JSONCursor(inside: first, of: json)
            var isFirst = true
            guard cursor.hasNext(&isFirst) else { return .openAI }
            first = cursor.value()
        }
        guard json.kind(first) == .object else { return .openAI }
        var style = TurnStyle.openAI
        var hasRole = false
        json.forEachMember(first) { key, _ in
            if json.isString(key, "role") { hasRole = true }
            if json.isString(key, "from") { style = .shareGPT }
        }
        return hasRole ? .openAI : style
    }

    /// Whether a list's first element is an object, so that it is meant as turns.
    static func isLikely(_ list: ArraySlice<UInt8>) -> Bool {
        list.dropFirst().first { !JSONCursor.isBlank($0) } == UInt8(ascii: "{")
    }

    /// Calls `body` with the index and the place of every element.
    func forEachElement<E>(_ body: (Int, Span) throws(E) -> Void) throws(E) {
        if isSingle { try body(0, whole) } else { try json.forEachElement(whole, body) }
    }

    /// Calls `body` with every turn of a list that has been checked.
    func forEach(_ body: (Int, Turn) -> Void) {
        forEachElement { index, span in if json.kind(span) == .object { body(index, turn(span)) } }
    }

    /// Of equal keys the first counts.
    func turn(_ object: Span) -> Turn {
        var turn = Turn(object: object)
        json.forEachMember(object) { key, value in
            guard json.kind(value) != .null else { return }
            if turn.role == nil, json.isString(key, style.roleKey) {
                turn.role = value
            } else if turn.content == nil, json.isString(key, style.contentKey) {
                turn.content = value
            } else if turn.reasoning == nil, json.isString(key, "reasoning_content") {
                turn.reasoning = value
            } else if turn.calls == nil, json.isString(key, "tool_calls") {
                turn.calls = value
            } else if turn.functionCall == nil, json.isString(key, "function_call") {
                turn.functionCall = value
            }
        }
        return turn
    }

    /// Who speaks; nil for one of ShareGPT's that is not known.
    func speaker(_ turn: Turn) -> Speaker? {
        guard let role = turn.role else { return nil }
        func isOne(of words: [StaticString]) -> Bool { words.contains { json.isString(role, $0) } }
        guard style == .shareGPT else { return json.isString(role, "function") ? .tool : .named }
        if json.isString(role, "human") || json.isString(role, "user") { return .user }
        if json.isString(role, "gpt") || json.isString(role, "assistant") { return .assistant }
        if json.isString(role, "system") { return .system }
        if isOne(of: ["function_call", "tool_call"]) { return .call }
        if isOne(of: ["observation", "tool", "function", "function_response", "tool_response"]) { return .tool }
        return isOne(of: ["chatgpt", "bing", "bard", "model"]) ? .assistant : nil
    }
}

// MARK: Checking

/// What was found while turns were checked.
struct TurnFindings {
    /// Whether some content is more than text: an image, or a part with entries of its own.
    var hasRichParts = false
    /// Whether any turn says anything.
    var hasText = false
}

extension TurnList {
    /// Checks that all turns can be written.
    ///
    /// - Parameters:
    ///   - name: the field, for misfits.
    ///   - parsesArguments: whether the arguments of calls must be JSON.
    func check(_ name: String, parsesArguments: Bool, _ findings: inout TurnFindings) throws(Misfit) {
        let isSingle = isSingle
        var found = findings
        try forEachElement { (index, span) throws(Misfit) in
            func place() -> String { isSingle ? name : "\(name)[\(index)]" }
            guard json.kind(span) == .object else { throw Misfit("not-a-message", place()) }
            try check(turn(span), place, parsesArguments, &found)
        }
        findings = found
    }

    private func check(
        _ turn: Turn, _ place: () -> String, _ parsesArguments: Bool, _ findings: inout TurnFindings
    ) throws(Misfit) {
        func at(_ key: StaticString) -> String { "\(place()).\(key)" }
        guard let role = turn.role else { throw Misfit("missing-field", at(style.roleKey)) }
        guard json.kind(role) == .string else { throw Misfit("not-a-text", at(style.roleKey)) }
        guard !isBlank(json.spelling(role)) else { throw Misfit("empty-field", at(style.roleKey)) }
        guard let speaker = speaker(turn) else { throw Misfit("unknown-role", at(style.roleKey)) }
        if let content = turn.content {
            if speaker == .call {
                try checkCallContent(content, at(style.contentKey), parsesArguments)
                findings.hasText = true
            } else {
                try checkContent(content, at(style.contentKey), &findings)
            }
        } else if turn.calls == nil, turn.functionCall == nil, turn.reasoning == nil || speaker == .call {
            throw Misfit("missing-field", at(style.contentKey))
        }
        if let reasoning = turn.reasoning {
            guard json.kind(reasoning) == .string else { throw Misfit("not-a-text", at("reasoning_content")) }
            if !isBlank(json.spelling(reasoning)) { findings.hasText = true }
        }
        if let calls = turn.calls {
            guard json.kind(calls) == .list else { throw Misfit("not-a-list", at("tool_calls")) }
            try json.forEachElement(calls) { (index, call) throws(Misfit) in
                try Call(json).check(call, "\(at("tool_calls"))[\(index)]", parsesArguments)
                findings.hasText = true
            }
        }
        if let call = turn.functionCall {
            try Call(json).check(call, at("function_call"), parsesArguments)
            findings.hasText = true
        }
        // One of the two calls would have to go.
        if turn.calls != nil, turn.functionCall != nil || speaker == .call {
            throw Misfit("name-taken", at("tool_calls"))
        }
        if turn.functionCall != nil, speaker == .call { throw Misfit("name-taken", at("function_call")) }
        if style == .shareGPT { try checkNames(turn, place) }
    }

    /// A turn of ShareGPT that has entries of the names that its own get.
    private func checkNames(_ turn: Turn, _ place: () -> String) throws(Misfit) {
        try json.forEachMember(turn.object) { (key, value) throws(Misfit) in
            guard json.kind(value) != .null, json.isString(key, "role") || json.isString(key, "content") else { return }
            throw Misfit("name-taken", "\(place()).\(json.isString(key, "role") ? "role" : "content")")
        }
    }

    private func checkContent(_ content: Span, _ place: String, _ findings: inout TurnFindings) throws(Misfit) {
        switch json.kind(content) {
        case .string: if !findings.hasText, !isBlankString(content) { findings.hasText = true }
        case .list:
            var found = findings
            try json.forEachElement(content) { (index, part) throws(Misfit) in
                guard json.kind(part) == .object else { throw Misfit("not-a-text", "\(place)[\(index)]") }
                let made = self.part(part)
                guard let type = made.type, json.kind(type) == .string else {
                    throw Misfit("missing-field", "\(place)[\(index)].type")
                }
                if made.hasMore || !made.isText { found.hasRichParts = true }
                guard made.isText else { return }
                guard let text = made.text else { throw Misfit("missing-field", "\(place)[\(index)].text") }
                guard json.kind(text) == .string else { throw Misfit("not-a-text", "\(place)[\(index)].text") }
                if !found.hasText, !isBlankString(text) { found.hasText = true }
            }
            findings = found
        default: throw Misfit("not-a-text", place)
        }
    }

    private func isBlankString(_ span: Span) -> Bool {
        let spelling = json.spelling(span)
        if isBlank(spelling) { return true }
        guard spelling.first == UInt8(ascii: "\\") || JSONCursor.isBlank(spelling[0]) else { return false }
        var plain: [UInt8] = []
        spelling.appendUnescaped(to: &plain)
        return isBlank(plain)
    }

    /// A part of a content: `{"type": "text", "text": …}`, or something else.
    struct Part {
        var type: Span?
        var text: Span?
        var isText = false
        /// Whether it has other entries.
        var hasMore = false
    }

    func part(_ span: Span) -> Part {
        var part = Part()
        json.forEachMember(span) { key, value in
            if part.type == nil, json.isString(key, "type") {
                part.type = value
            } else if part.text == nil, json.isString(key, "text") {
                part.text = value
            } else if json.kind(value) != .null {
                part.hasMore = true
            }
        }
        part.isText = part.type.map { json.isString($0, "text") } ?? false
        return part
    }

    /// The content of ShareGPT's `function_call`: a call or a list of calls, as JSON in a string or as it is.
    private func checkCallContent(_ content: Span, _ place: String, _ parsesArguments: Bool) throws(Misfit) {
        let isWhole = Call.withCalls(in: content, of: json) { json, span in
            Result { () throws(Misfit) in
                switch json.kind(span) {
                case .object: try Call(json).check(span, place, parsesArguments)
                case .list:
                    var count = 0
                    try json.forEachElement(span) { (index, call) throws(Misfit) in
                        try Call(json).check(call, "\(place)[\(index)]", parsesArguments)
                        count += 1
                    }
                    if count == 0 { throw Misfit("not-a-call", place) }
                default: throw Misfit("not-a-call", place)
                }
            }
        }
        guard let isWhole else { throw Misfit("not-json", place) }
        try isWhole.get()
    }
}
