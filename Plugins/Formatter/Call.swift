import SluiceCore

/// A call of a tool in a turn: `{"type": "function", "function": {"name": …, "arguments": …}}`, or only the inner object.
struct Call {
    let json: UnsafeBufferPointer<UInt8>

    init(_ json: UnsafeBufferPointer<UInt8>) { self.json = json }

    /// Calls `body` with the JSON of a content that is a call or a list of calls, in a string or as it is.
    ///
    /// - Returns: nil if the string has no JSON.
    static func withCalls<Value>(
        in content: Span, of json: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>, Span) -> Value
    ) -> Value? {
        guard json.kind(content) == .string else { return body(json, content) }
        var text: [UInt8] = []
        json.spelling(content).appendUnescaped(to: &text)
        var inner: [UInt8] = []
        guard text.withUnsafeBufferPointer({ EmbeddedJSON.append($0, to: &inner) }) else { return nil }
        return inner.withUnsafeBufferPointer { body($0, Span(start: 0, end: $0.count)) }
    }

    /// Name and arguments of a call; nil where they are missing or null.
    private func parts(_ call: Span) -> (inner: Span?, name: Span?, arguments: Span?) {
        var (inner, name, arguments) = (Span?.none, Span?.none, Span?.none)
        json.forEachMember(call) { key, value in
            guard json.kind(value) != .null else { return }
            if inner == nil, json.isString(key, "function"), json.kind(value) == .object { inner = value }
            if name == nil, json.isString(key, "name") { name = value }
            if arguments == nil, json.isString(key, "arguments") { arguments = value }
        }
        return (inner, name, arguments)
    }

    private func innermost(_ call: Span) -> (name: Span?, arguments: Span?) {
        let outer = parts(call)
        guard let inner = outer.inner else { return (outer.name, outer.arguments) }
        let found = parts(inner)
        return (found.name, found.arguments)
    }

    func check(_ call: Span, _ place: @autoclosure () -> String, _ parsesArguments: Bool) throws(Misfit) {
        guard json.kind(call) == .object else { throw Misfit("not-a-call", place()) }
        let (name, arguments) = innermost(call)
        guard let name, json.kind(name) == .string, !isBlank(json.spelling(name)) else {
            throw Misfit("not-a-call", place())
        }
        guard parsesArguments, let arguments, json.kind(arguments) == .string else { return }
        var made: [UInt8] = []
        guard appendCompact(arguments, to: &made) else {
            let path = parts(call).inner == nil ? "arguments" : "function.arguments"
            throw Misfit("not-json", "\(place()).\(path)")
        }
    }

    /// Appends arguments without white space outside strings; those in a string as the JSON that it spells, none as `{}`.
    ///
    /// - Returns: whether they are JSON; if not, nothing is appended.
    private func appendCompact(_ arguments: Span, to bytes: inout [UInt8]) -> Bool {
        guard json.kind(arguments) == .string else { return EmbeddedJSON.append(json[arguments], to: &bytes) }
        var text: [UInt8] = []
        json.spelling(arguments).appendUnescaped(to: &text)
        guard !isBlank(text) else {
            bytes.append(contentsOf: "{}".utf8)
            return true
        }
        return text.withUnsafeBufferPointer { EmbeddedJSON.append($0, to: &bytes) }
    }

    // MARK: Writing

    /// Appends the call as an element of `tool_calls`.
    func write(_ call: Span, _ form: ToolForm, to bytes: inout [UInt8]) {
        write(call, form, isInner: false, to: &bytes)
    }

    /// Appends a call that has no wrapping object, such as ShareGPT's, with one around it.
    func writeWrapped(_ call: Span, _ form: ToolForm, to bytes: inout [UInt8]) {
        guard parts(call).inner == nil else { return write(call, form, to: &bytes) }
        bytes.append(contentsOf: #"{"type":"function","function":"#.utf8)
        write(call, form, isInner: true, to: &bytes)
        bytes.append(UInt8(ascii: "}"))
    }

    private func write(_ call: Span, _ form: ToolForm, isInner: Bool, to bytes: inout [UInt8]) {
        let found = parts(call)
        bytes.append(UInt8(ascii: "{"))
        var isFirst = true
        var hasArguments = false
        json.forEachMember(call) { key, value in
            let isArguments = json.isString(key, "arguments")
            // Of equal keys the first counts, and no arguments are the same as none.
            if isArguments, found.arguments != value { return }
            if !isFirst { bytes.append(UInt8(ascii: ",")) }
            isFirst = false
            bytes.append(contentsOf: json[key])
            bytes.append(UInt8(ascii: ":"))
            if isArguments {
                hasArguments = true
                writeArguments(value, form, to: &bytes)
            } else if !isInner, value == found.inner {
                write(value, form, isInner: true, to: &bytes)
            } else {
                bytes.append(contentsOf: json[value])
            }
        }
        if !hasArguments, isInner || found.inner == nil {
            bytes.append(contentsOf: (form == .objects ? #","arguments":{}"# : #","arguments":"{}""#).utf8)
        }
        bytes.append(UInt8(ascii: "}"))
    }

    private func writeArguments(_ arguments: Span, _ form: ToolForm, to bytes: inout [UInt8]) {
        let isString = json.kind(arguments) == .string
        switch form {
        case .objects where isString: _ = appendCompact(arguments, to: &bytes)
        case .strings where !isString:
            bytes.append(UInt8(ascii: "\""))
            json[arguments].appendEscaped(to: &bytes)
            bytes.append(UInt8(ascii: "\""))
        default: bytes.append(contentsOf: json[arguments])
        }
    }

    /// Appends the call as text: `{"name":"add","arguments":{"a":1}}`.
    func writeText(_ call: Span, to bytes: inout [UInt8]) {
        let (name, arguments) = innermost(call)
        bytes.append(contentsOf: #"{"name":"#.utf8)
        if let name { bytes.append(contentsOf: json[name]) }
        bytes.append(contentsOf: #","arguments":"#.utf8)
        if let arguments {
            if !appendCompact(arguments, to: &bytes) { bytes.append(contentsOf: json[arguments]) }
        } else {
            bytes.append(contentsOf: "{}".utf8)
        }
        bytes.append(UInt8(ascii: "}"))
    }
}

/// How `tools` and the arguments of calls are written.
enum ToolForm: String, Sendable, CaseIterable {
    /// As JSON, which chat templates read.
    case objects
    /// As strings of JSON, all of one type for a loader with columns.
    case strings
}
