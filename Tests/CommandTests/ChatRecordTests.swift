import SluiceCore
import Testing

/// Chat records through the real program: what `record: messages` and `annotate` write of them.
@Suite struct ChatRecordTests {
    private static let records = [
        #"{"id": 1, "messages": [{"role": "user", "content": "warm?"}, {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": "{\"a\": 1}"}}]}], "tools": "[]"}"#,
        #"{"id": 2, "_sluice": {"cluster": 7}, "conversations": [{"from": "human", "value": "old roles"}, {"from": "gpt", "value": "new roles"}]}"#,
        #"{"id": 3, "prompt": "choose one", "chosen": "good", "rejected": "bad"}"#,
        #"{"id": 4, "conversations": [{"from": "human", "value": "a"}, {"from": "narrator", "value": "b"}]}"#,
        #"{"prompt": "plain question", "completion": "plain answer", "id": 5}"#,
    ]

    private static let written = [
        #""messages":[{"role":"user","content":"warm?"},{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}],"tools":[]"#,
        #""messages":[{"role":"user","content":"old roles"},{"role":"assistant","content":"new roles"}]"#,
        #""prompt":[{"role":"user","content":"choose one"}],"chosen":[{"role":"assistant","content":"good"}],"rejected":[{"role":"assistant","content":"bad"}]"#,
        #""messages":[{"role":"user","content":"plain question"},{"role":"assistant","content":"plain answer"}]"#,
    ]

    private static let selection = ["embed: {model: lexical, dimensions: 32}", "coreset: {keep: 100%}"]

    /// Where `format` stands and what follows it changes nothing.
    @Test(arguments: [
        ["format: {carry: all}"], ["format: {carry: all}"] + selection,
        ["format"] + selection + ["format: {carry: all}"],
    ])
    func recordsAreWhole(stages: [String]) throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.records)
        try space.define(stages: stages, output: ["record: messages"])
        let files = try space.run()
        let ids = [#","id":1"#, #","id":2,"_sluice":{"cluster": 7}"#, #","id":3"#, #","id":5"#]
        #expect(files.keptLines.map { text($0) } == zip(Self.written, ids).map { "{\($0)\($1)}" })
        let drop = try #require(files.drops.first)
        #expect(drop.reason == "unknown-role" && drop.values["field"] as? String == "conversations[1].from")
        #expect(files.count("quarantined") == 0)
        // What is written is read again, and written the same.
        try writeFile(space("in.jsonl"), files.kept)
        #expect(try space.run(into: "again").kept == files.kept)
    }

    /// Annotations of an earlier run make way for new ones, and `messages` is a list in all of them.
    @Test func annotationsHaveTheEntries() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.records)
        try space.define(
            stages: ["format: {carry: all}", "embed: {model: lexical, dimensions: 32}"],
            output: ["record: messages", "annotate: [empty_text]"])
        #expect(
            try space.run().keptLines.map { text($0) }
                == zip(Self.written, [1, 2, 3, 5]).map { #"{\#($0),"id":\#($1),"_sluice":{"empty_text":0}}"# })
        try space.define(
            stages: ["format: {carry: [id]}", "measure: {columns: [bytes]}"], output: ["annotate: [bytes, messages]"])
        let annotated = try space.run(into: "annotated").keptLines.map { text($0) }
        let rest = [
            String(Self.records[0].dropLast()),
            #"{"id": 2, "conversations": [{"from": "human", "value": "old roles"}, {"from": "gpt", "value": "new roles"}]"#,
            String(Self.records[2].dropLast()), String(Self.records[4].dropLast()),
        ]
        for (index, line) in annotated.enumerated() {
            #expect(line.hasPrefix(rest[index] + #","_sluice":{"bytes":"#))
            #expect(line.hasSuffix(#",\#(Self.written[index]),"id":\#([1, 2, 3, 5][index])}}"#))
        }
    }

    @Test func mistakesAreFoundBeforeDataIsRead() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.records)
        for (stage, message) in [
            ("format: {carry: [messages]}", "`carry` names `messages`, which is always written; leave it out"),
            (#"format: {template: "{a}", carry: all}"#, "`carry` goes with `messages`"),
            ("format: {carry: some}", "carry"), ("format: {tools: text}", "objects, strings"),
        ] {
            try space.define(stages: [stage], output: ["record: messages"])
            let outcome = try space.sluice("check", "run.yaml")
            #expect(outcome.status == 2 && outcome.errorText.contains(message), "\(outcome.errorText)")
        }
    }
}
