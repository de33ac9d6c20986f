import Formatter
import SluiceCore
import Testing

@Suite struct FormatterTests {
    /// Text, messages and drop of each record.
    private func format(
        _ options: OptionValues, _ records: [[FieldPath: TestField]]
    ) throws -> [(text: String, messages: String, dropped: String?)] {
        let stage = try FormatStage.make(options)
        var block = makeBlock(records, paths: stage.fieldPaths)
        try stage.apply(to: &block)
        let written = block.strings(.text)
        let texts = try #require(written)
        let messages = block.strings(.messages)
        return (0..<block.count).map { record in
            let drop = block.drops.first { $0.record == record }
            let field = drop?.measures.first { $0.name == "field" }?.value.textValue
            return (
                texts[record], messages?[record] ?? "-",
                drop.map { $0.reason.name + (field.map { " \($0)" } ?? "") }
            )
        }
    }

    /// Turns of a role and a content.
    private func chat(_ turns: (String, String)...) -> TestField {
        .json("[\(turns.map { #"{"role":"\#($0)","content":"\#($1)"}"# }.joined(separator: ","))]")
    }

    private func text(_ template: String, _ record: [FieldPath: TestField]) throws -> String {
        try #require(try format(["template": .text(template)], [record]).first).text
    }

    @Test func alpacaUsesTheWordingOfStanfordAlpaca() throws {
        let made = try format(
            ["template": "alpaca"],
            [
                ["instruction": "Add.", "input": "1 and 2", "output": "3"],
                ["instruction": "Say \"hi\".", "output": "hi\t\u{1}"],
                ["instruction": "Say hi.", "input": "", "output": "hi"],
            ])
        #expect(
            made[0].text == """
                Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.

                ### Instruction:
                Add.

                ### Input:
                1 and 2

                ### Response:
                3
                """)
        #expect(
            made[0].messages
                == #"[{"role":"user","content":"Add.\n\n1 and 2"},{"role":"assistant","content":"3"}]"#)
        #expect(
            made[1].text == """
                Below is an instruction that describes a task. Write a response that appropriately completes the request.

                ### Instruction:
                Say "hi".

                ### Response:
                hi\t\u{1}
                """)
        #expect(
            made[1].messages
                == #"[{"role":"user","content":"Say \"hi\"."},{"role":"assistant","content":"hi\t\u0001"}]"#)
        #expect(made[2].text.contains("describes a task. Write"))
    }

    @Test func builtInTemplates() throws {
        #expect(try text("prompt-completion", ["prompt": "p", "completion": "c"]) == "p\n\nc")
        #expect(try text("question-answer", ["question": "q?", "answer": .json("4")]) == "Question: q?\nAnswer: 4")
        #expect(
            try text("chatml", ["messages": chat(("system", "s"), ("user", "u"), ("assistant", "a"))])
                == "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"
        )
        #expect(
            try text("chatml", ["instruction": "i", "input": "x", "output": "o"])
                == "<|im_start|>user\ni\n\nx<|im_end|>\n<|im_start|>assistant\no<|im_end|>\n")
    }

    @Test func autoGivesTheSameTextForTheSameExchangeInEverySchema() throws {
        let made = try format(
            [:],
            [
                ["messages": chat(("user", "hello"), ("assistant", "world"))],
                ["prompt": "hello", "completion": "world"],
                ["instruction": "hello", "input": "", "output": "world"],
                ["question": "hello", "answer": "world"],
                ["text": "hello\n\nworld"],
            ])
        for one in made {
            #expect(one.text == "hello\n\nworld")
            #expect(one.dropped == nil)
        }
        #expect(Set(made.prefix(4).map(\.messages)).count == 1)
        #expect(made[4].messages == #"[{"role":"assistant","content":"hello\n\nworld"}]"#)
    }

    @Test func autoPrefersTheFirstSchemaOfItsOrder() throws {
        let everything: [FieldPath: TestField] = [
            "messages": chat(("user", "chat")), "prompt": "prompt", "completion": "c", "instruction": "instruction",
            "output": "o", "question": "question", "answer": "a", "text": "text",
        ]
        var record = everything
        for (gone, expected) in [
            (nil, "chat"), (FieldPath("messages"), "prompt\n\nc"), ("completion", "instruction\n\no"),
            ("output", "question\n\na"), ("answer", "text"),
        ] {
            if let gone { record[gone] = nil }
            #expect(try text("auto", record) == expected)
        }
    }

    @Test func recordsThatDoNotFitAreDroppedWithTheField() throws {
        let alpaca = try format(
            ["template": "alpaca"],
            [
                ["instruction": "i"], ["instruction": "i", "output": .null], ["instruction": "i", "output": " \n"],
                ["instruction": .json("[1]"), "output": "o"], ["instruction": "i", "output": .json("true")],
                ["instruction": "i", "input": .json("{}"), "output": "o"],
            ])
        #expect(
            alpaca.map(\.dropped) == [
                "missing-field output", "missing-field output", "empty-field output", "not-a-text instruction", nil,
                "not-a-text input",
            ])
        #expect(alpaca.allSatisfy { ($0.dropped == nil) == !$0.text.isEmpty })
        let auto = try format(
            [:],
            [
                [:], ["title": "t"], ["prompt": "p"], ["text": ""], ["prompt": "", "completion": "c", "text": "t"],
                ["messages": chat(("user", ""))], ["messages": chat()],
            ])
        #expect(
            auto.map(\.dropped) == [
                "no-known-schema", "no-known-schema", "no-known-schema", "empty-field text", "empty-field prompt",
                "empty-field messages", "empty-field messages",
            ])
    }

    @Test func ownTemplates() throws {
        #expect(try text("{a}-{b.c}{{x}}", ["a": "é", "b.c": .json("1.50")]) == "é-1.50{x}")
        #expect(try text("{a} {b?}.", ["a": "x"]) == "x .")
        let lines: [(template: String, with: String, without: String)] = [
            ("{a}\n{b?}", "A\nB", "A"),
            ("{a}\n{b?}\n{c}", "A\nB\nC", "A\nC"),
            ("{a}\n\n{b?}\n\n{c}", "A\n\nB\n\nC", "A\n\nC"),
            ("{b?}\n\n{a}", "B\n\nA", "A"),
            ("{b?}\n{a}\n", "B\nA\n", "A\n"),
            ("{a}\n\n{b?}\n", "A\n\nB\n", "A\n"),
            ("{a}\nInput: {b?}\n{c}", "A\nInput: B\nC", "A\nInput: \nC"),
            ("{b?}", "B", ""),
            ("{b?}{b}", "BB", ""),
        ]
        for (template, with, without) in lines {
            #expect(try text(template, ["a": "A", "b": "B", "c": "C"]) == with, "\(template)")
            #expect(try text(template, ["a": "A", "c": "C"]) == without, "\(template)")
            #expect(try text(template, ["a": "A", "b": .string(""), "c": "C"]) == without, "\(template)")
        }
        #expect(try format(["template": "{b?}"], [["a": "A"]])[0].dropped == "empty-text")
    }

    @Test func ownTemplatesGiveMessagesWhereUserAndAssistantAreNamed() throws {
        let made = try format(
            ["template": "{q}\n{a}", "user": "{q}\n{hint?}", "assistant": "{a}"], [["q": "Q", "a": "A"]])
        #expect(made[0].messages == #"[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}]"#)
        #expect(try FormatStage.make(["template": "{q}"]).writes.map(\.name) == [.text])
        #expect(try format(["template": "{q}"], [["q": "Q"]])[0].messages == "-")
    }

    @Test func mistakesInATemplateSayWhere() throws {
        let mistakes = [
            ("{a", "`template`, character 1: `{` is never closed; write `{{` for a literal brace"),
            ("é{a}}", "`template`, character 5: unmatched `}`; write `}}` for a literal brace"),
            (
                "ab {}",
                "`template`, character 4: the braces must contain a field's name, such as `{instruction}` or `{input?}`"
            ),
            (
                "{?}",
                "`template`, character 1: the braces must contain a field's name, such as `{instruction}` or `{input?}`"
            ),
            ("{{a}}", "`template` names no field, so every record would get the same text; write fields as `{name}`"),
            (
                "alpcaa",
                "unknown template `alpcaa`; did you mean `alpaca`? Known are auto, alpaca, prompt-completion, question-answer, chatml, chat, preference, prompt-response, query-response, question-response, input-output, text, content; a template of your own names its fields in braces, such as `{prompt}`"
            ),
        ]
        for (template, message) in mistakes {
            let error = stageError { _ = try FormatStage.make(["template": .text(template)]) }
            #expect(error?.message == message)
            #expect(error?.option == "template")
        }
        #expect(stageError { _ = try FormatStage.make(["template": "{a}", "user": "{a}"]) }?.option == "user")
        #expect(stageError { _ = try FormatStage.make(["user": "{a}"]) }?.option == "user")
    }

    @Test func unwantedMessagesAreNotMade() throws {
        let stage = try FormatStage.make()
        var block = makeBlock([["prompt": "p", "completion": "c"]], paths: stage.fieldPaths, wanted: [.text])
        try stage.apply(to: &block)
        let (texts, messages) = (block.strings(.text), block.strings(.messages))
        #expect(texts == ["p\n\nc"])
        #expect(messages == nil)
    }

    @Test func swiftSpellingGivesOnlyWhatWasSet() {
        #expect(Format().stageSpec == StageSpec("format"))
        #expect(Format(template: "alpaca").stageSpec == StageSpec("format", ["template": "alpaca"]))
    }
}
