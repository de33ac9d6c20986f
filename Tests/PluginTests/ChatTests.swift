import Formatter
import SluiceCore
import SluiceTesting
import Testing

/// Chat records as `format` writes them, schema by schema.
@Suite struct ChatTests {
    // MARK: Turns of OpenAI

    static let weather =
        #"{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}"#

    @Test func turnsKeepEverythingTheyHave() throws {
        let made = try chat(
            #"""
            {"messages": [{"role": "system", "content": "s", "name": "n\u00e9"}, {"content": "u", "role": "user", "weight": 0.50},
            {"role": "assistant", "content": null, "reasoning_content": "I \"think\"", "tool_calls": [{"id": "c1", "type": "function",
            "function": {"name": "weather", "arguments": {"city": "Köln", "x": [1.0, {}]}}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "12 °C"}, {"role": "assistant", "content": "Cold.", "extra": {"b": [null]}}],
            "tools": [{"a": 1e2}], "parallel_tool_calls": false, "id": 7}
            """#)
        #expect(
            made.messages == #"{"messages":[{"role":"system","content":"s","name":"n\u00e9"},"#
                + #"{"role":"user","content":"u","weight":0.50},"#
                + #"{"role":"assistant","content":"","reasoning_content":"I \"think\"","#
                + #""tool_calls":[{"id":"c1","type":"function","function":{"name":"weather","#
                + #""arguments":{"city": "Köln", "x": [1.0, {}]}}}]},"#
                + #"{"role":"tool","content":"12 °C","tool_call_id":"c1"},"#
                + #"{"role":"assistant","content":"Cold.","extra":{"b": [null]}}],"#
                + #""tools":[{"a": 1e2}],"parallel_tool_calls":false}"#)
        #expect(
            made.text == "s\n\nu\n\nI \"think\"\n\n"
                + #"{"name":"weather","arguments":{"city":"Köln","x":[1.0,{}]}}"# + "\n\n12 °C\n\nCold.")
    }

    @Test func parallelCallsNeedNoTools() throws {
        #expect(
            try chat(#"{"messages":[{"role":"user","content":"u"}],"parallel_tool_calls":true}"#).messages
                == #"{"messages":[{"role":"user","content":"u"}],"parallel_tool_calls":true}"#)
        #expect(try chat(#"{"text":"u","parallel_tool_calls":true}"#).messages.hasPrefix("["))
    }

    @Test func argumentsAndToolsInStringsBecomeJSON() throws {
        let record =
            #"{"messages":[{"role":"assistant","tool_calls":[{"function":{"arguments":"{\"b\": 1.50, \n \"a\":\"\\u00e9\"}","name":"f"}},"#
            + #"{"function":{"name":"g","arguments":""}},{"name":"h","arguments":{"x":"1"}}]}],"tools":" [{\"name\": \"f\"}]\n"}"#
        let objects = try chat(record)
        #expect(
            objects.messages
                == #"{"messages":[{"role":"assistant","content":"","tool_calls":[{"function":{"arguments":{"b":1.50,"a":"\u00e9"},"name":"f"}},"#
                + #"{"function":{"name":"g","arguments":{}}},{"name":"h","arguments":{"x":"1"}}]}],"tools":[{"name":"f"}]}"#
        )
        let strings = try chat(record, ["tools": "strings"])
        #expect(
            strings.messages
                == #"{"messages":[{"role":"assistant","content":"","tool_calls":[{"function":{"arguments":"{\"b\": 1.50, \n \"a\":\"\\u00e9\"}","name":"f"}},"#
                + #"{"function":{"name":"g","arguments":""}},{"name":"h","arguments":"{\"x\":\"1\"}"}]}],"tools":" [{\"name\": \"f\"}]\n"}"#
        )
        #expect(objects.text == strings.text)
        let list = try chat(
            #"{"messages":[{"role":"user","content":"u"}],"tools":[{"d":"say \"x\""}]}"#, ["tools": "strings"])
        #expect(
            list.messages == #"{"messages":[{"role":"user","content":"u"}],"tools":"[{\"d\":\"say \\\"x\\\"\"}]"}"#)
    }

    @Test func partsBecomeOneTextUnlessSomePartIsMore() throws {
        let text = try chat(
            #"{"messages":[{"role":"user","content":[{"type":"text","text":"a\n"},{"text":"\u00e9","type":"text"}]}]}"#)
        #expect(text.messages == #"[{"role":"user","content":"a\n\u00e9"}]"#)
        #expect(text.text == "a\né")
        let image =
            #"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x.png"}}, {"type":"text","text":"What?"}]},{"role":"assistant","content":[{"type":"text","text":"A cat."}]}]"#
        let rich = try chat(#"{"messages":"# + image + "}")
        #expect(rich.messages == image)
        #expect(rich.text == "What?\n\nA cat.")
        #expect(
            try chat(#"{"messages":[{"role":"user","content":[{"type":"text","text":"a","cache":true}]}]}"#).messages
                == #"[{"role":"user","content":[{"type":"text","text":"a","cache":true}]}]"#)
    }

    @Test func theOldFunctionCallBecomesAToolCall() throws {
        #expect(
            try chat(
                #"{"messages":[{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"1"}]}"#
            ).messages
                == #"[{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"f","arguments":{}}}]},{"role":"tool","content":"1","name":"f"}]"#
        )
    }

    @Test func equalKeysAreWrittenOnceAndNullsNotAtAll() throws {
        #expect(
            try chat(
                #"{"messages":[{"role":"user","content":"a","n":1,"tool_calls":null,"\u006e":2,"content":"b","n":3}]}"#
            ).messages == #"[{"role":"user","content":"a","n":1}]"#)
        let many = (0..<100).map { #","k\#($0)":\#($0)"# }.joined()
        #expect(
            try chat(#"{"messages":[{"role":"user","content":"a"\#(many)\#(many)}]}"#).messages
                == #"[{"role":"user","content":"a"\#(many)}]"#)
    }

    // MARK: ShareGPT

    @Test func shareGPTGetsTheRolesOfTemplates() throws {
        let made = try chat(
            #"{"system":"S","conversations":[{"from":"human","value":"h","weight":1},{"from":"function_call","value":"{\"name\": \"f\", \"arguments\": {\"a\": 1.0}}"},"#
                + #"{"from":"observation","value":"o"},{"value":"g","from":"gpt"}],"tools":"[]"}"#)
        #expect(
            made.messages
                == #"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"h","weight":1},"#
                + #"{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"f","arguments":{"a":1.0}}}]},"#
                + #"{"role":"tool","content":"o"},{"role":"assistant","content":"g"}],"tools":[]}"#)
        #expect(made.text == "S\n\nh\n\n" + #"{"name":"f","arguments":{"a":1.0}}"# + "\n\no\n\ng")
        #expect(
            try chat(
                #"{"conversations":[{"from":"function_call","value":"[{\"name\":\"f\"},{\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]"}]}"#
            ).messages
                == #"[{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"f","arguments":{}}},{"type":"function","function":{"name":"g","arguments":{}}}]}]"#
        )
        // The names of the entries decide, not that of the list.
        #expect(
            try chat(#"{"conversations":[{"role":"critic","content":"c"}]}"#).messages
                == #"[{"role":"critic","content":"c"}]"#)
        #expect(
            try chat(#"{"messages":[{"from":"human","value":"c"}]}"#).messages == #"[{"role":"user","content":"c"}]"#)
    }

    @Test func aSystemThatTheTurnsRepeatIsWrittenOnce() throws {
        let repeated =
            #"{"system":"S\n","messages":[{"role":"system","content":"S\u000a"},{"role":"user","content":"u"}]}"#
        #expect(
            try chat(repeated).messages == #"[{"role":"system","content":"S\u000a"},{"role":"user","content":"u"}]"#)
        #expect(
            try chat(#"{"system":"S","messages":[{"role":"system","content":"T"}]}"#).messages
                == #"[{"role":"system","content":"S"},{"role":"system","content":"T"}]"#)
        #expect(try chat(#"{"system":" ","messages":[{"role":"user","content":"T"}]}"#).text == "T")
    }

    // MARK: Requests

    @Test func alpacaHasASystemAndAHistory() throws {
        let record =
            #"{"instruction":"i","input":"x","output":"o","system":"s","history":[["a","b\n"],["\u00e9","d"]],"tools":"hammer"}"#
        let made = try chat(record)
        #expect(
            made.messages
                == #"[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b\n"},"#
                + #"{"role":"user","content":"\u00e9"},{"role":"assistant","content":"d"},"#
                + #"{"role":"user","content":"i\n\nx"},{"role":"assistant","content":"o"}]"#)
        #expect(made.text == "s\n\na\n\nb\n\n\né\n\nd\n\ni\n\nx\n\no")
        let alpaca = try chat(record, ["template": "alpaca"]).text
        #expect(alpaca.hasPrefix("s\n\na\n\nb\n\n\né\n\nd\n\nBelow is an instruction that"))
        #expect(alpaca.hasSuffix("### Input:\nx\n\n### Response:\no"))
        #expect(
            try chat(record, ["template": "chatml"]).text.hasPrefix(
                "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb\n<|im_end|>\n"
            ))
    }

    @Test(
        arguments: [
            ("prompt", "completion"), ("prompt", "response"), ("query", "response"), ("question", "answer"),
            ("question", "response"), ("input", "output"),
        ])
    func pairsOfFieldsAreRequestAndResponse(request: String, response: String) throws {
        let made = try chat(#"{"\#(request)":"q","\#(response)":"r \u00e9","system_prompt":"s"}"#)
        #expect(
            made.messages
                == #"[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"r é"}]"#
        )
        #expect(made.text == "s\n\nq\n\nr é")
        let named = try chat(
            #"{"\#(request)":"q","\#(response)":"r","text":"t"}"#, ["template": .text("\(request)-\(response)")])
        #expect(named.messages == #"[{"role":"user","content":"q"},{"role":"assistant","content":"r"}]"#)
    }

    @Test func promptAndCompletionMayBeTurns() throws {
        let expected =
            #"[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"a","weight":1}]"#
        #expect(
            try chat(
                #"{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"u"}],"completion":[{"role":"assistant","content":"a","weight":1}]}"#
            ).messages == expected)
        #expect(
            try chat(#"{"system":"s","prompt":"u","completion":[{"role":"assistant","content":"a","weight":1}]}"#)
                .messages == expected)
        #expect(
            try chat(#"{"content":"plain"}"#).messages == #"[{"role":"assistant","content":"plain"}]"#)
    }

    // MARK: Pairs

    @Test(arguments: [
        (
            #"{"prompt":"p","chosen":"c","rejected":"r","score":1}"#,
            #"{"prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}"#,
            "p\n\nc"
        ),
        (
            #"{"chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}"#,
            #"{"chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}"#,
            "p\n\nc"
        ),
        (
            // As ultrafeedback_binarized has it.
            #"{"prompt":"p","messages":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}"#,
            #"{"prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}"#,
            "p\n\nc"
        ),
        (
            // As LLaMA-Factory has it.
            #"{"system":"s","conversations":[{"from":"human","value":"p"}],"chosen":{"from":"gpt","value":"c"},"rejected":{"from":"gpt","value":"r"}}"#,
            #"{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}"#,
            "s\n\np\n\nc"
        ),
        (
            #"{"instruction":"p","input":"x","chosen":"c","rejected":"r"}"#,
            #"{"prompt":[{"role":"user","content":"p\n\nx"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}"#,
            "p\n\nx\n\nc"
        ),
        (
            #"{"system":"s","question":"p","chosen":"c","rejected":"r","tools":[]}"#,
            #"{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}],"tools":[]}"#,
            "s\n\np\n\nc"
        ),
        (
            #"{"prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}"#,
            #"{"prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}"#,
            "p\n\nc"
        ),
        (
            #"{"chosen":"c","rejected":"r"}"#,
            #"{"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}"#, "c"
        ),
    ])
    func pairsStayPairs(record: String, messages: String, text: String) throws {
        for template in ["auto", "preference"] {
            let made = try chat(record, ["template": .text(template)])
            #expect(made.messages == messages)
            #expect(made.text == text)
        }
    }

    // MARK: Which schema

    /// The order of `auto`: each field that goes lets the next schema win.
    @Test func autoLooksForSchemasInItsOrder() throws {
        var fields = [
            "chosen": #""chosen""#, "rejected": #""r""#, "messages": #"[{"role":"user","content":"messages"}]"#,
            "conversations": #"[{"from":"human","value":"conversations"}]"#, "completion": #""completion""#,
            "instruction": #""instruction""#, "answer": #""answer""#, "prompt": #""prompt""#, "query": #""query""#,
            "question": #""question""#, "response": #""response""#, "input": #""input""#, "output": #""output""#,
            "text": #""text""#, "content": #""content""#,
        ]
        for (gone, expected) in [
            (nil, "prompt\n\nchosen"), ("rejected", "messages"), ("messages", "conversations"),
            ("conversations", "prompt\n\ncompletion"), ("completion", "instruction\n\ninput\n\noutput"),
            ("instruction", "question\n\nanswer"), ("answer", "prompt\n\nresponse"), ("prompt", "query\n\nresponse"),
            ("query", "question\n\nresponse"), ("question", "input\n\noutput"), ("output", "text"), ("text", "content"),
        ] {
            if let gone { fields[gone] = nil }
            let record =
                "{" + fields.sorted { $0.key < $1.key }.map { #""\#($0)":\#($1)"# }.joined(separator: ",") + "}"
            #expect(try chat(record).text == expected)
        }
    }

    // MARK: What is carried

    @Test func carryKeepsOtherFieldsInTheirOwnBytes() throws {
        let record =
            #"{"id": 1.0, "meta" : {"lang": "d\u0065", "n": {"a": [1, 2], "b": 0}, "lang":"x"}, "prompt": "p", "source": null, "completion": "c", "id":2}"#
        let messages = #""messages":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}]"#
        for (carry, expected) in [
            ([], ""), (["id"], #","id":1.0"#), (["source", "id"], #","id":1.0,"source":null"#),
            (["meta.lang"], #","meta":{"lang":"d\u0065"}"#),
            (["meta.n.a", "meta.lang", "none.x"], #","meta":{"lang":"d\u0065","n":{"a":[1, 2]}}"#),
            (["meta.none", "meta.n.a.x", "none"], ""), (["prompt"], #","prompt":"p""#),
            (["meta"], #","meta":{"lang": "d\u0065", "n": {"a": [1, 2], "b": 0}, "lang":"x"}"#),
        ] {
            let made = try chat(record, ["carry": .list(carry.map { .text($0) })])
            #expect(made.messages == (carry.isEmpty ? String(messages.dropFirst(11)) : "{\(messages)\(expected)}"))
        }
        #expect(
            try chat(record, ["carry": "all"]).messages
                == "{\(messages)"
                + #","id":1.0,"meta":{"lang": "d\u0065", "n": {"a": [1, 2], "b": 0}, "lang":"x"},"source":null}"#)
        #expect(
            try chat(
                record,
                [
                    "template": "{prompt}", "user": "{prompt}", "assistant": "{completion}", "system": "{s?}",
                    "carry": "all",
                ]
            ).messages
                == "{\(messages)"
                + #","id":1.0,"meta":{"lang": "d\u0065", "n": {"a": [1, 2], "b": 0}, "lang":"x"},"source":null}"#)
    }

    @Test func aTakenNameIsAReason() throws {
        #expect(
            try chat(#"{"prompt":"p","completion":"c","messages":"x"}"#, ["carry": "all"]).dropped
                == "name-taken messages")
        #expect(
            try chat(#"{"prompt":"p","chosen":"c","rejected":"r"}"#, ["carry": ["prompt"]]).dropped
                == "name-taken prompt")
        #expect(
            try chat(#"{"prompt":"p","completion":"c","tools":"x"}"#, ["carry": "all"]).dropped == "name-taken tools")
        #expect(try chat(#"{"prompt":"p","completion":"c","tools":[]}"#, ["carry": "all"]).dropped == nil)
        for name in ["messages", "tools", ""] {
            #expect(stageError { _ = try FormatStage.make(["carry": .list([.text(name)])]) }?.option == "carry")
        }
        #expect(stageError { _ = try FormatStage.make(["template": "{a}", "carry": "all"]) }?.option == "carry")
        #expect(stageError { _ = try FormatStage.make(["template": "{a}", "system": "{a}"]) }?.option == "system")
        #expect(stageError { _ = try FormatStage.make(["system": "{a}"]) }?.option == "system")
    }

    @Test func aSystemOfAnOwnTemplateIsOptional() throws {
        let options: OptionValues = ["template": "{q}", "system": "{s?}", "user": "{q}", "assistant": "{a}"]
        #expect(
            try chat(#"{"q":"q","a":"a","s":"s"}"#, options).messages
                == #"[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"a"}]"#
        )
        #expect(
            try chat(#"{"q":"q","a":"a","s":" "}"#, options).messages
                == #"[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]"#)
    }
}

/// Text, messages and drop of one record.
func chat(
    _ record: String, _ options: OptionValues = [:]
) throws -> (text: String, messages: String, dropped: String?) {
    let stage = try FormatStage.make(options)
    let line = record.split(separator: "\n").joined(separator: " ")
    var block = try InMemoryRecords([line]).block(fields: stage.fieldPaths, lines: options["carry"] != nil)
    try stage.apply(to: &block)
    let (texts, messages) = (block.strings(.text), block.strings(.messages))
    let drop = block.drops.first
    let field = drop?.measures.first { $0.name == "field" }?.value.textValue
    return (
        try #require(texts)[0], messages?[0] ?? "-", drop.map { $0.reason.name + (field.map { " \($0)" } ?? "") }
    )
}
