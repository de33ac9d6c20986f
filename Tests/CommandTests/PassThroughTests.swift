import SluiceCore
import Testing

/// Kept records are the input's own bytes.
@Suite struct PassThroughTests {
    static let records = [
        #"{"a":"x"}"#,
        #"  {  "a" : "spaces stay" ,"b":  [ 1 , 2 ] }  "#,
        "\t{\"a\": \"tab in front\"}\t",
        #"{"z": 1, "a": "key order stays", "b": {"d": 1, "c": 2}}"#,
        #"{"a": "numbers", "n": [1e999, -0, -0.0, 1.0, 1.50, 1E+2, 123456789012345678901234567890, 0.1e-400]}"#,
        #"{"a": "escapes \u0041 \/ \\ \" \n \u00e9 é \ud83d\ude00 😀 \u2028"}"#,
        "{\"a\": \"separators \u{2028} \u{2029} \u{85} \u{7f} stay\"}",
        #"{"a": "a key twice", "a": "second"}"#,
        #"{"": "an empty key", "a": ""}"#,
        #"{"a": null, "b": true, "c": {}, "d": [], "e": [[[]]], "f": "\u0000"}"#,
        #"{}"#,
        #"{"a": "\#(String(repeating: "long ", count: 30_000))"}"#,
    ]

    @Test(arguments: [[], ["dedupe: {on: line}"], ["dedupe: {on: z}"]])
    func keepsEveryByte(_ input: [String]) throws {
        let space = try Workspace()
        let lines = Self.records.map { Array($0.utf8) }
        try space.write("in.jsonl", lines: lines)
        try space.define(input: input)
        let files = try space.run()
        // Records that lack the dedupe field are not duplicates of each other.
        #expect(text(files.kept) == text(joined(lines)))
        try files.expectClosedAccount(["in.jsonl": lines])
    }

    /// The same after stages that read the records again at the end.
    @Test func keepsEveryByteThroughASelection() throws {
        let space = try Workspace()
        let lines = Self.records.map { Array($0.utf8) }
        try space.write("in.jsonl", lines: lines)
        try space.define(
            stages: [
                #"format: {template: "{a?}{z?}{n?} text"}"#, "embed: {model: lexical, dimensions: 32}",
                "coreset: {keep: 100%}",
            ])
        let files = try space.run()
        try files.expectClosedAccount(["in.jsonl": lines])
        let drops = try files.drops.map { "\($0.line) \($0.reason)" }
        #expect(files.keptLines.count >= 8, "\(drops)")
    }

    /// A carriage return before the line end is not content.
    @Test func carriageReturns() throws {
        let space = try Workspace()
        let text = "{\"a\": \"1\"}\r\n{\"a\": \"2\\r\"}\n\r\n{\"a\": \"1\"}\n{\"a\": \"3\"}\r\n"
        try space.write("in.jsonl", text)
        try space.define(input: ["dedupe: {on: line}"])
        let files = try space.run()
        #expect(
            files.keptLines.map { String(decoding: $0, as: UTF8.self) } == [
                #"{"a": "1"}"#, #"{"a": "2\r"}"#, #"{"a": "3"}"#,
            ])
        #expect(try files.drops.map { "\($0.line) \($0.partner ?? "")" } == ["4 in.jsonl:1"])
        #expect(files.count("blank_lines") == 1)
    }

    @Test func formattedRecordsAndMessages() throws {
        let space = try Workspace()
        try space.write(
            "in.jsonl",
            lines: [
                #"{"prompt": "p \"1\"", "completion": "c\n1"}"#,
                #"{"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "é"}]}"#,
                #"{"id": 7, "conversations": [{"from": "human", "value": "h"}, {"from": "gpt", "value": "g"}]}"#,
            ])
        try space.define(stages: ["format"], output: ["record: messages"])
        #expect(
            try space.run().keptLines.map { text($0) } == [
                #"{"messages":[{"role":"user","content":"p \"1\""},{"role":"assistant","content":"c\n1"}]}"#,
                #"{"messages":[{"role":"user","content":"u"},{"role":"assistant","content":"é"}]}"#,
                #"{"messages":[{"role":"user","content":"h"},{"role":"assistant","content":"g"}]}"#,
            ])
        try space.define(stages: ["format"], output: ["record: formatted"])
        #expect(
            try space.run(into: "out2").keptLines.map { text($0) } == [
                #"{"text":"p \"1\"\n\nc\n1"}"#, #"{"text":"u\n\né"}"#, #"{"text":"h\n\ng"}"#,
            ])
        try space.define(
            stages: ["format", "embed: {model: lexical, dimensions: 16}"], output: ["annotate: [text, empty_text]"])
        #expect(
            try space.run(into: "out3").keptLines.first.map { text($0) }
                == #"{"prompt": "p \"1\"", "completion": "c\n1","_sluice":{"text":"p \"1\"\n\nc\n1","empty_text":0}}"#)
    }
}
