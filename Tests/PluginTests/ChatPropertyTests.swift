import Formatter
import SluiceCore
import SluiceTesting
import Testing

/// Random draws that every run repeats.
struct Draws {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return Seed.mix(state)
    }

    mutating func below(_ count: Int) -> Int { Int(next() % UInt64(count)) }
    mutating func chance(_ share: Int) -> Bool { below(100) < share }
}

/// A conversation made up, and its spelling in each schema.
private struct Conversation {
    struct Turn {
        var role: String
        var content: String
        /// Name and arguments of each call.
        var calls: [(String, JSONValue)] = []
    }

    var turns: [Turn] = []

    static func text(_ draws: inout Draws) -> String {
        let pieces = ["a", "B c", "é", "\"", "\\", "\n", "\t", "😀", "\u{1}", "/", "{\"x\":1}", "</s>", "数", "\u{7F}"]
        return "t" + (0..<draws.below(8)).map { _ in pieces[draws.below(pieces.count)] }.joined()
    }

    static func value(_ draws: inout Draws, _ depth: Int = 0) -> JSONValue {
        switch draws.below(depth > 2 ? 5 : 7) {
        case 0: .null
        case 1: .flag(draws.chance(50))
        case 2: .integer(draws.below(1000) - 500)
        case 3: .real(Double(draws.below(1000)) / 8)
        case 4: .text(text(&draws))
        case 5: .list((0..<draws.below(4)).map { _ in value(&draws, depth + 1) })
        default: .object((0..<draws.below(4)).map { .init("k\($0)", value(&draws, depth + 1)) })
        }
    }

    /// - Parameter hasCalls: whether turns may call tools.
    init(_ draws: inout Draws, hasCalls: Bool) {
        if draws.chance(40) { turns.append(Turn(role: "system", content: Self.text(&draws))) }
        for _ in 0...draws.below(4) {
            turns.append(Turn(role: "user", content: Self.text(&draws)))
            if hasCalls, draws.chance(50) {
                let calls = (0...draws.below(3)).map { index in
                    let entries = (0..<draws.below(3)).map {
                        JSONValue.Entry("a\($0)", Self.value(&draws))
                    }
                    return ("f\(index)", JSONValue.object(entries))
                }
                turns.append(Turn(role: "assistant", content: "", calls: calls))
                for _ in calls { turns.append(Turn(role: "tool", content: Self.text(&draws))) }
            }
            turns.append(Turn(role: "assistant", content: Self.text(&draws)))
        }
    }

    /// What `messages` has to be.
    var expected: JSONValue {
        .list(
            turns.map { turn in
                var entries = [
                    JSONValue.Entry("role", .text(turn.role)), JSONValue.Entry("content", .text(turn.content)),
                ]
                if !turn.calls.isEmpty {
                    entries.append(
                        .init(
                            "tool_calls",
                            .list(
                                turn.calls.map {
                                    .object([
                                        .init("type", "function"),
                                        .init(
                                            "function", .object([.init("name", .text($0.0)), .init("arguments", $0.1)])),
                                    ])
                                })))
                }
                return .object(entries)
            })
    }

    /// A string with some characters escaped that need not be.
    static func spelled(_ text: String, _ draws: inout Draws) -> String {
        var spelled = "\""
        for unit in text.utf16 {
            if draws.chance(15) {
                let digits = String(unit, radix: 16)
                spelled += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                continue
            }
            guard let scalar = Unicode.Scalar(unit) else {
                let digits = String(unit, radix: 16)
                spelled += "\\u" + digits
                continue
            }
            spelled += String(JSONValue.text(String(scalar)).json.dropFirst().dropLast())
        }
        return spelled + "\""
    }

    /// As OpenAI has it.
    func openAI(_ draws: inout Draws) -> String {
        var made: [String] = []
        for turn in turns {
            var entries = [#""role": "# + Self.spelled(turn.role, &draws)]
            if turn.calls.isEmpty || draws.chance(30) {
                entries.append(#""content":"# + Self.spelled(turn.content, &draws))
            } else if draws.chance(50) {
                entries.append(#""content" : null"#)
            }
            if draws.chance(30) { entries.swapAt(0, entries.count - 1) }
            if !turn.calls.isEmpty {
                let calls = turn.calls.map { name, arguments in
                    let spelled =
                        draws.chance(50) ? arguments.json : Self.spelled(arguments.prettyJSON, &draws)
                    return #"{"type":"function","function":{"name":"\#(name)", "arguments":\#(spelled)}}"#
                }
                entries.append(#""tool_calls":[\#(calls.joined(separator: " , "))]"#)
            }
            made.append("{" + entries.joined(separator: draws.chance(50) ? "," : " ,\t") + "}")
        }
        return #"{"messages":[\#(made.joined(separator: ","))]}"#
    }

    /// As ShareGPT has it.
    func shareGPT(_ draws: inout Draws) -> String {
        let names = ["system": "system", "user": "human", "assistant": "gpt", "tool": "observation"]
        var made: [String] = []
        var system = ""
        for turn in turns {
            if turn.role == "system", draws.chance(50) {
                system = #""system":"# + Self.spelled(turn.content, &draws) + ","
                continue
            }
            guard turn.calls.isEmpty else {
                let calls = turn.calls.map { #"{"name": "\#($0.0)", "arguments": \#($0.1.json)}"# }
                let text = calls.count == 1 ? calls[0] : "[\(calls.joined(separator: ",\n"))]"
                made.append(#"{"from":"function_call","value":\#(Self.spelled(text, &draws))}"#)
                continue
            }
            let from = names[turn.role] ?? turn.role
            made.append(#"{"from":\#(Self.spelled(from, &draws)),"value":\#(Self.spelled(turn.content, &draws))}"#)
        }
        return "{" + system + #""conversations":[\#(made.joined(separator: ","))]}"#
    }

    /// As Alpaca has it, for turns of user and assistant by turns.
    func alpaca(_ draws: inout Draws) -> String {
        var rest = turns[...]
        var entries: [String] = []
        if rest.first?.role == "system" {
            entries.append(#""system":"# + Self.spelled(rest.removeFirst().content, &draws))
        }
        let last = rest.suffix(2)
        var history: [String] = []
        rest = rest.dropLast(2)
        while rest.count >= 2 {
            history.append(
                "[\(Self.spelled(rest.removeFirst().content, &draws)),\(Self.spelled(rest.removeFirst().content, &draws))]"
            )
        }
        if !history.isEmpty { entries.append(#""history":[\#(history.joined(separator: ","))]"#) }
        if let request = last.first, let response = last.last {
            entries.append(#""instruction":"# + Self.spelled(request.content, &draws))
            entries.append(#""output":"# + Self.spelled(response.content, &draws))
        }
        return "{" + entries.joined(separator: ",") + "}"
    }

    /// As TRL has it.
    func promptCompletion(_ draws: inout Draws) -> String {
        var last = Conversation(turns: [turns[turns.count - 1]])
        var first = Conversation(turns: Array(turns.dropLast()))
        let prompt = first.list(&draws)
        let completion = last.list(&draws)
        return #"{"prompt":\#(prompt),"completion":\#(completion)}"#
    }

    private init(turns: [Turn]) { self.turns = turns }

    private mutating func list(_ draws: inout Draws) -> String {
        String(openAI(&draws).dropFirst(#"{"messages":"#.count).dropLast())
    }
}

private enum BuiltInNames {
    static let all = [
        "auto", "chatml", "preference", "chat", "prompt-completion", "alpaca", "question-answer", "prompt-response",
        "query-response", "question-response", "input-output", "text", "content",
    ]
}

extension String {
    /// What stands between two words, at their first places.
    fileprivate func components(after start: String, before end: String) -> String? {
        guard let from = firstRange(of: start)?.upperBound, let to = self[from...].firstRange(of: end)?.lowerBound
        else {
            return nil
        }
        return String(self[from..<to])
    }
}

/// Random conversations, written in each schema, give the same turns again.
@Suite struct ChatPropertyTests {
    @Test func everySchemaGivesTheTurnsBack() throws {
        var draws = Draws(seed: 2026)
        var texts = 0
        for round in 0..<400 {
            let conversation = Conversation(&draws, hasCalls: round % 2 == 0)
            var records = [
                conversation.openAI(&draws), conversation.shareGPT(&draws), conversation.promptCompletion(&draws),
            ]
            if round % 2 == 1 { records.append(conversation.alpaca(&draws)) }
            var first: String?
            for record in records {
                let made = try chat(record)
                try #require(made.dropped == nil, "\(made.dropped ?? "") \(record)")
                #expect(try JSONValue(json: made.messages) == conversation.expected, "\(record)")
                // The same exchange gives the same text in any schema.
                if let first { #expect(made.text == first, "\(record)") } else { first = made.text }
                texts += made.text.utf8.count
            }
            // What is written is read again, and written the same.
            let again = try chat(records[0])
            let object = again.messages.hasPrefix("[") ? #"{"messages":\#(again.messages)}"# : again.messages
            #expect(try chat(object).messages == again.messages)
        }
        #expect(texts > 100_000)
    }

    /// Pairs read again are the same pairs, and carried fields survive.
    @Test func pairsGiveThemselvesBack() throws {
        var draws = Draws(seed: 7)
        for _ in 0..<200 {
            let conversation = Conversation(&draws, hasCalls: false)
            let (chosen, rejected) = (Conversation.text(&draws), Conversation.text(&draws))
            let prompt = conversation.openAI(&draws).dropFirst(#"{"messages":"#.count).dropLast()
            let record =
                #"{"id":\#(draws.below(100)),"prompt":\#(prompt),"chosen":\#(Conversation.spelled(chosen, &draws)),"rejected":[{"role":"assistant","content":\#(Conversation.spelled(rejected, &draws))}]}"#
            let made = try chat(record, ["carry": "all"])
            let value = try JSONValue(json: made.messages)
            #expect(value["prompt"] == conversation.expected)
            #expect(value["chosen"]?.elements.first?["content"]?.textValue == chosen)
            #expect(value["rejected"]?.elements.first?["content"]?.textValue == rejected)
            #expect(value["id"]?.integerValue != nil)
            #expect(try chat(made.messages, ["carry": "all"]).messages == made.messages)
        }
    }

    /// The examples of docs/chat.md: a record, then what becomes of it.
    @Test func examplesOfThePageAreTrue() throws {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let page = try #require(textFile("/\(root)/docs/chat.md"))
        let block = try #require(page.components(after: "```jsonl\n", before: "\n```"))
        let lines = block.split(separator: "\n").map(String.init)
        #expect(lines.count >= 12 && lines.count % 2 == 0)
        for index in stride(from: 0, to: lines.count, by: 2) {
            #expect(try chat(lines[index], ["carry": ["id"]]).messages == lines[index + 1])
        }
        for name in BuiltInNames.all { #expect(page.contains("`\(name)`"), "\(name)") }
    }

    static let records = [
        #"{"id":1,"messages":[{"role":"user","content":"u","weight":0},{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}],"tools":"[]"}"#,
        #"{"id":2,"conversations":[{"from":"human","value":"h"},{"from":"function_call","value":"{\"name\":\"f\"}"},{"from":"observation","value":"o"}],"system":"s"}"#,
        #"{"instruction":"i","input":"x","output":"o","history":[["a","b"]],"id":3}"#,
        #"{"prompt":[{"role":"user","content":"p"}],"completion":[{"role":"assistant","content":"c"}],"id":4}"#,
        #"{"prompt":"p","chosen":"c","rejected":"r","id":5}"#, #"{"query":"q","response":"r","system_prompt":"s"}"#,
        #"{"question":"q","response":"r"}"#, #"{"input":"q","output":"r"}"#, #"{"content":"c","id":6}"#,
        #"{"text":"c"}"#,
        #"{"conversations":[{"from":"nobody","value":"h"}]}"#, #"{"messages":"x"}"#, #"{"x":1}"#,
        #"{"prompt":"p","chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}],"meta":{"lang":"de"}}"#,
    ]

    @Test(
        arguments: [
            ["carry": "all"], ["carry": ["id", "meta.lang"], "tools": "strings"], ["template": "chatml"],
            ["template": "preference"], ["template": "chat", "carry": ["id"]], ["template": "alpaca", "carry": "all"],
            ["template": "input-output"], ["template": "content"],
            [
                "template": "{id?}{prompt?}", "system": "{system?}", "user": "{prompt}", "assistant": "{chosen}",
                "carry": "all",
            ],
        ] as [OptionValues])
    func chatKeepsTheContract(options: OptionValues) {
        let records = (0..<4).flatMap { _ in Self.records }
        #expect(StageContract.check(FormatStage.self, options: options, records: records) == [])
    }
}
