import Formatter
import SluiceCore
import SluiceTesting
import Testing

/// What `format` can't write is dropped with the true reason and its place; hostile records do no harm.
@Suite struct ChatMisfitTests {
    private static func messages(_ turn: String) -> String {
        #"{"messages":[{"role":"user","content":"u"},\#(turn)]}"#
    }

    private static func conversations(_ turn: String) -> String {
        #"{"conversations":[{"from":"human","value":"u"},\#(turn)]}"#
    }

    @Test(arguments: [
        (messages(#""x""#), "not-a-message messages[1]"),
        (messages(#"{"content":"c"}"#), "missing-field messages[1].role"),
        (messages(#"{"role":null,"content":"c"}"#), "missing-field messages[1].role"),
        (messages(#"{"role":1,"content":"c"}"#), "not-a-text messages[1].role"),
        (messages(#"{"role":" ","content":"c"}"#), "empty-field messages[1].role"),
        (messages(#"{"role":"user"}"#), "missing-field messages[1].content"),
        (messages(#"{"role":"user","content":null}"#), "missing-field messages[1].content"),
        (messages(#"{"role":"user","content":4}"#), "not-a-text messages[1].content"),
        (messages(#"{"role":"tool","content":{"a":1}}"#), "not-a-text messages[1].content"),
        (messages(#"{"role":"user","content":["x"]}"#), "not-a-text messages[1].content[0]"),
        (messages(#"{"role":"user","content":[{"text":"x"}]}"#), "missing-field messages[1].content[0].type"),
        (messages(#"{"role":"user","content":[{"type":"text"}]}"#), "missing-field messages[1].content[0].text"),
        (messages(#"{"role":"user","content":[{"type":"text","text":1}]}"#), "not-a-text messages[1].content[0].text"),
        (messages(#"{"role":"assistant","reasoning_content":[]}"#), "not-a-text messages[1].reasoning_content"),
        (messages(#"{"role":"assistant","tool_calls":{}}"#), "not-a-list messages[1].tool_calls"),
        (messages(#"{"role":"assistant","tool_calls":[1]}"#), "not-a-call messages[1].tool_calls[0]"),
        (messages(#"{"role":"assistant","tool_calls":[{"function":{}}]}"#), "not-a-call messages[1].tool_calls[0]"),
        (
            messages(#"{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{a}"}}]}"#),
            "not-json messages[1].tool_calls[0].function.arguments"
        ),
        (
            messages(#"{"role":"assistant","tool_calls":[{"name":"f","arguments":"\"\\ud800\""}]}"#),
            "not-json messages[1].tool_calls[0].arguments"
        ),
        (messages(#"{"role":"assistant","function_call":"f"}"#), "not-a-call messages[1].function_call"),
        (
            messages(#"{"role":"assistant","function_call":{"name":"f"},"tool_calls":[]}"#),
            "name-taken messages[1].tool_calls"
        ),
        (conversations(#"{"from":"narrator","value":"v"}"#), "unknown-role conversations[1].from"),
        (conversations(#"{"from":"gpt"}"#), "missing-field conversations[1].value"),
        (conversations(#"{"from":"gpt","value":"v","role":"x"}"#), "name-taken conversations[1].role"),
        (conversations(#"{"from":"function_call","value":"f(1)"}"#), "not-json conversations[1].value"),
        (conversations(#"{"from":"function_call","value":"[]"}"#), "not-a-call conversations[1].value"),
        (
            conversations(#"{"from":"function_call","value":"[{\"name\":\"f\"},7]"}"#),
            "not-a-call conversations[1].value[1]"
        ),
        (conversations(#"{"from":"function_call","value":"7"}"#), "not-a-call conversations[1].value"),
        (#"{"messages":[{"role":"user","content":"u"}],"tools":"none"}"#, "not-json tools"),
        (#"{"messages":[{"role":"user","content":"u"}],"tools":"{}"}"#, "not-a-list tools"),
        (#"{"messages":[{"role":"user","content":"u"}],"tools":{}}"#, "not-a-list tools"),
        (#"{"messages":[{"role":"user","content":"u"}],"system":["s"]}"#, "not-a-text system"),
        (#"{"messages":[{"role":"user","content":" \n"},{"role":"assistant","content":""}]}"#, "empty-field messages"),
        (#"{"messages":[{"role":"user","content":"\u0020\u000a"}]}"#, "empty-field messages"),
        (#"{"messages":[]}"#, "empty-field messages"), (#"{"messages":["x"]}"#, "not-a-message messages[0]"),
        (#"{"messages":"x"}"#, "not-a-list messages"), (#"{"conversations":{}}"#, "not-a-list conversations"),
        (#"{"instruction":"i","output":"o","history":[["a"]]}"#, "not-a-pair history[0]"),
        (#"{"instruction":"i","output":"o","history":[["a","b"],["a",null]]}"#, "not-a-pair history[1]"),
        (#"{"prompt":[{"role":"user","content":1}],"completion":"c"}"#, "not-a-text prompt[0].content"),
        (#"{"prompt":["p"],"completion":"c"}"#, "not-a-message prompt[0]"),
        (#"{"prompt":{"role":"user"},"completion":"c"}"#, "not-a-text prompt"),
        (#"{"prompt":"p","chosen":"","rejected":"r"}"#, "empty-field chosen"),
        (#"{"prompt":"p","chosen":"c","rejected":[]}"#, "empty-field rejected"),
        (
            #"{"conversations":[{"from":"human","value":"p"}],"chosen":{"from":"gpt"},"rejected":"r"}"#,
            "missing-field chosen.value"
        ),
        (
            #"{"prompt":"p","chosen":[{"role":"user","content":"q"}],"rejected":[{"role":"user","content":"q"}]}"#,
            "unlike-prompt chosen[0]"
        ),
        (
            #"{"prompt":"p","chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":"r"}"#,
            "unlike-prompt rejected"
        ),
        (
            #"{"prompt":"p","chosen":"c","rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}"#,
            "unlike-prompt chosen"
        ),
        (
            #"{"prompt":"p","chosen":[{"role":"user","content":"p"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}"#,
            "empty-field chosen"
        ),
        (
            #"{"prompt":"p","chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":" "}]}"#,
            "empty-field rejected"
        ),
        (#"{"a":1}"#, "no-known-schema"),
    ])
    func reasonsNameTheCauseAndTheField(record: String, reason: String) throws {
        let made = try chat(record)
        #expect(made.dropped == reason)
        #expect(made.text.isEmpty && made.messages.isEmpty)
    }

    /// Turns whose calls have arguments that are no JSON are kept where strings are written.
    @Test func argumentsInStringsNeedNoJSON() throws {
        let record = Self.messages(#"{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{a}"}}]}"#)
        let made = try chat(record, ["tools": "strings"])
        #expect(made.dropped == nil)
        #expect(made.messages.contains(#""arguments":"{a}""#))
        #expect(made.text == "u\n\n" + #"{"name":"f","arguments":"{a}"}"#)
    }

    /// Embedded JSON is accepted if and only if the strict reader of `run.json` accepts it, and means the same.
    @Test func embeddedJSONIsReadStrictly() throws {
        var texts = [
            "[]", "[1]", " [ 1 , 2 ] ", "[1,]", "[,1]", "[1 2]", "[", "]", "[]]", "[}", "{\"a\":1}", "[{\"a\":1,}]",
            "[{\"a\"}]", "[{\"a\":}]", "[{a:1}]", "[01]", "[-0]", "[1.]", "[.5]", "[1e]", "[1E+2]", "[-]", "[+1]",
            "[nul]",
            "[null,true,false]", "[nulls]", "[\"\\u00e9\"]", "[\"\\ud83d\\ude00\"]", "[\"\\ude00\"]", "[\"\\ud83d\"]",
            "[\"\\ud83dx\"]", "[\"\\x\"]", "[\"\u{1}\"]", "[\"", "[\"\\", "[\"\\u12", "[{\"a\":{\"b\":[[]]}}]", "[NaN]",
            "[1]x",
            "{\"a\":1 \"b\":2}", "{,}", "{\"a\":1,\"a\":2}", "[[[[[[[[]]]]]]]]", "",
            String(repeating: "[", count: 400) + String(repeating: "]", count: 400),
        ]
        var generator = Draws(seed: 11)
        for text in texts where text.utf8.count < 100 {
            for _ in 0..<20 where !text.isEmpty {
                var bytes = Array(text.utf8)
                bytes[generator.below(bytes.count)] = UInt8(
                    ascii: #"[]{},:"1e.-\ntu 0"#.unicodeScalars.map { $0 }[generator.below(17)])
                texts.append(String(decoding: bytes, as: UTF8.self))
            }
        }
        for text in texts where !isBlankText(text) {
            let line = #"{"messages":[{"role":"user","content":"u"}],"tools":\#(JSONValue.text(text).json)}"#
            let value = try? JSONValue(json: text)
            let isList = if case .list = value { true } else { false }
            let made = try chat(line)
            #expect((made.dropped == nil) == isList, "\(text)")
            if value == nil { #expect(made.dropped == "not-json tools", "\(text)") }
            if isList { #expect(try JSONValue(json: made.messages)["tools"] == value, "\(text)") }
        }
    }

    private func isBlankText(_ text: String) -> Bool {
        text.utf8.allSatisfy { $0 == 0x20 || (0x09...0x0D).contains($0) }
    }

    @Test func deepAndLongRecordsAreWritten() throws {
        let deep = String(repeating: #"{"a":["#, count: 200) + String(repeating: "]}", count: 200)
        let made = try chat(#"{"messages":[{"role":"user","content":"u","x":\#(deep)}]}"#)
        #expect(made.messages == #"[{"role":"user","content":"u","x":\#(deep)}]"#)
        let tooDeep = String(repeating: "[", count: 513) + String(repeating: "]", count: 513)
        #expect(
            try chat(#"{"messages":[{"role":"user","content":"u"}],"tools":"\#(tooDeep)"}"#).dropped == "not-json tools"
        )

        let turns = (0..<10_000).map {
            #"{"from":"\#($0 % 2 == 0 ? "human" : "gpt")","value":"turn \#($0) \#(String(repeating: "é\\n", count: 50))"}"#
        }
        let long = try chat(#"{"conversations":[\#(turns.joined(separator: ","))]}"#)
        let value = try JSONValue(json: long.messages)
        #expect(value.elements.count == 10_000)
        #expect(value.elements.last?["role"]?.textValue == "assistant")
        #expect(long.text.hasPrefix("turn 0 é\n"))
    }

    /// Records damaged at random are dropped with a reason, or written as JSON that is read again and written the same.
    @Test func damagedRecordsAreDroppedOrWritten() throws {
        var draws = Draws(seed: 99)
        let pieces = [
            "{", "}", "[", "]", ",", ":", "\"", "\\", "null", "1", " ", "\"a\"", "{}", "[]", "\"role\"", "\"tools\"",
            "\"from\"",
            "\"content\"", "\"value\"", "\"messages\"", "\"tool_calls\"", "\"arguments\":\"{}\"", "\\u00e9", "\"gpt\"",
        ].map { Array($0.utf8) }
        var (kept, dropped) = (0, 0)
        for round in 0..<6_000 {
            var bytes = Array(ChatPropertyTests.records[round % ChatPropertyTests.records.count].utf8)
            for _ in 0...draws.below(3) {
                let place = draws.below(bytes.count)
                switch draws.below(4) {
                case 0: bytes.remove(at: place)
                case 1: bytes.insert(contentsOf: pieces[draws.below(pieces.count)], at: place)
                case 2:
                    bytes.replaceSubrange(
                        place..<min(place + 1 + draws.below(6), bytes.count), with: pieces[draws.below(pieces.count)])
                default: bytes.swapAt(place, draws.below(bytes.count))
                }
            }
            let line = String(decoding: bytes, as: UTF8.self)
            guard case .object? = try? JSONValue(json: line) else { continue }
            let made = try chat(line, ["carry": ["id", "meta"]])
            guard made.dropped == nil else {
                dropped += 1
                continue
            }
            kept += 1
            let object = try? JSONValue(json: made.messages)
            try #require(object != nil, "\(line) gives \(made.messages)")
            #expect(try chat(made.messages, ["carry": ["id", "meta"]]).messages == made.messages, "\(line)")
        }
        #expect(kept > 200 && dropped > 200, "\(kept) \(dropped)")
    }

    /// Bytes that are no JSON can't come from a reader; a stage that gets them stays within them.
    @Test func damagedJSONIsNeverReadBeyondItsEnd() throws {
        let whole =
            #"[{"role":"assistant","content":[{"type":"text","text":"a\u00e9\""}],"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}}]}]"#
        let stage = try FormatStage.make(["carry": "all"])
        let records: [[FieldPath: TestField]] = (0...whole.utf8.count).map { length in
            ["messages": .json(String(decoding: whole.utf8.prefix(length), as: UTF8.self))]
        }
        var block = makeBlock(records, paths: stage.fieldPaths)
        try stage.apply(to: &block)
        #expect(block.live.last == whole.utf8.count)
    }
}
