import SluiceCore

extension TurnList {
    // MARK: Messages

    /// Appends the turn as a message: `role`, `content`, then its other entries in their order, in their own bytes.
    ///
    /// - Parameter joinsParts: whether a content of text parts becomes one string.
    func write(_ turn: Turn, _ form: ToolForm, joinsParts: Bool, to bytes: inout [UInt8]) {
        let speaker = speaker(turn) ?? .named
        bytes.append(contentsOf: #"{"role":"#.utf8)
        if speaker == .named, let role = turn.role {
            bytes.append(contentsOf: json[role])
        } else {
            bytes.append(UInt8(ascii: "\""))
            bytes.append(speaker.role)
            bytes.append(UInt8(ascii: "\""))
        }
        bytes.append(contentsOf: #","content":"#.utf8)
        writeContent(speaker == .call ? nil : turn.content, joinsParts, to: &bytes)
        if speaker == .call, let content = turn.content {
            bytes.append(contentsOf: #","tool_calls":["#.utf8)
            writeCalls(content, form, to: &bytes)
            bytes.append(UInt8(ascii: "]"))
        }
        writeOthers(turn, form, to: &bytes)
        bytes.append(UInt8(ascii: "}"))
    }

    /// A missing content becomes an empty one: templates join it to strings.
    private func writeContent(_ content: Span?, _ joinsParts: Bool, to bytes: inout [UInt8]) {
        guard let content else {
            bytes.append(contentsOf: #""""#.utf8)
            return
        }
        guard joinsParts, json.kind(content) == .list else {
            bytes.append(contentsOf: json[content])
            return
        }
        bytes.append(UInt8(ascii: "\""))
        json.forEachElement(content) { _, part in
            if let text = self.part(part).text { bytes.append(contentsOf: json.spelling(text)) }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private func writeCalls(_ content: Span, _ form: ToolForm, to bytes: inout [UInt8]) {
        Call.withCalls(in: content, of: json) { json, span in
            guard json.kind(span) == .list else { return Call(json).writeWrapped(span, form, to: &bytes) }
            json.forEachElement(span) { index, call in
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                Call(json).writeWrapped(call, form, to: &bytes)
            }
        }
    }

    private func writeOthers(_ turn: Turn, _ form: ToolForm, to bytes: inout [UInt8]) {
        var keys = KeySet()
        json.forEachMember(turn.object) { key, value in
            if json.isString(key, style.roleKey) || json.isString(key, style.contentKey) { return }
            // Templates would take `"tool_calls": null` for calls.
            guard json.kind(value) != .null, keys.insert(json.spelling(key)) else { return }
            bytes.append(UInt8(ascii: ","))
            if value == turn.functionCall {
                bytes.append(contentsOf: #""tool_calls":["#.utf8)
                Call(json).writeWrapped(value, form, to: &bytes)
                bytes.append(UInt8(ascii: "]"))
            } else if value == turn.calls {
                bytes.append(contentsOf: #""tool_calls":["#.utf8)
                json.forEachElement(value) { index, call in
                    if index > 0 { bytes.append(UInt8(ascii: ",")) }
                    Call(json).write(call, form, to: &bytes)
                }
                bytes.append(UInt8(ascii: "]"))
            } else {
                bytes.append(contentsOf: json[key])
                bytes.append(UInt8(ascii: ":"))
                bytes.append(contentsOf: json[value])
            }
        }
    }

    // MARK: Text

    /// Calls `add` with a writer of each piece of the turn's text: reasoning, content, calls.
    func forEachPiece(_ turn: Turn, _ add: ((inout [UInt8]) -> Void) -> Void) {
        if let reasoning = turn.reasoning { add { json.spelling(reasoning).appendUnescaped(to: &$0) } }
        if let content = turn.content {
            if speaker(turn) == .call {
                Call.withCalls(in: content, of: json) { json, span in
                    guard json.kind(span) == .list else { return add { Call(json).writeText(span, to: &$0) } }
                    json.forEachElement(span) { _, call in add { Call(json).writeText(call, to: &$0) } }
                }
            } else {
                add { appendText(content, to: &$0) }
            }
        }
        if let calls = turn.calls, json.kind(calls) == .list {
            json.forEachElement(calls) { _, call in add { Call(json).writeText(call, to: &$0) } }
        }
        if let call = turn.functionCall { add { Call(json).writeText(call, to: &$0) } }
    }

    /// The characters of a content: of its text parts, one after the other, if it has parts.
    private func appendText(_ content: Span, to bytes: inout [UInt8]) {
        guard json.kind(content) == .list else { return json.spelling(content).appendUnescaped(to: &bytes) }
        json.forEachElement(content) { _, span in
            let part = part(span)
            if part.isText, let text = part.text { json.spelling(text).appendUnescaped(to: &bytes) }
        }
    }

    /// Appends the name of who speaks, for ChatML.
    func appendRole(_ turn: Turn, to bytes: inout [UInt8]) {
        let speaker = speaker(turn) ?? .named
        if speaker == .named, let role = turn.role {
            json.spelling(role).appendUnescaped(to: &bytes)
        } else {
            bytes.append(speaker.role)
        }
    }
}

/// The keys of an object that have been seen, by what they spell.
struct KeySet {
    private static let few = 32

    private var keys: [[UInt8]] = []
    private var many: Set<[UInt8]> = []

    /// Whether the key is new.
    mutating func insert(_ spelling: UnsafeBufferPointer<UInt8>) -> Bool {
        var key: [UInt8] = []
        spelling.appendUnescaped(to: &key)
        if keys.count < Self.few {
            guard !keys.contains(key) else { return false }
            keys.append(key)
            if keys.count == Self.few { many = Set(keys) }
            return true
        }
        return many.insert(key).inserted
    }
}

extension [UInt8] {
    mutating func append(_ word: StaticString) {
        append(contentsOf: UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount))
    }
}
