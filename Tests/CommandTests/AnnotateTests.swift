import SluiceCore
import Testing

/// `output.annotate` on records that an earlier run annotated, and of columns that hold JSON.
@Suite struct AnnotateTests {
    private static let new = #""_sluice":{"empty_text":0}"#

    /// A record before and after: each old entry is removed with one comma, all other bytes stay.
    static let records: [(String, String)] = [
        (#"{"a":"x"}"#, #"{"a":"x",\#(new)}"#),
        (#"{"a":"x","_sluice":{"cluster":0}}"#, #"{"a":"x",\#(new)}"#),
        (#"{"_sluice":{"cluster":0},"a":"x"}"#, #"{"a":"x",\#(new)}"#),
        (#"{ "_sluice" : null , "a" : "x" }"#, #"{ "a" : "x",\#(new)}"#),
        (#"{"a": "x", "_sluice": [1, {"b": "}]"}], "c": 2}"#, #"{"a": "x", "c": 2,\#(new)}"#),
        (#"{"a":"x","\u005fsluic\u0065":1,"b":2}"#, #"{"a":"x","b":2,\#(new)}"#),
        (#"{"_sluice":1,"_sluice":2,"a":"x","_sluice":3}"#, #"{"a":"x",\#(new)}"#),
        // The same name at a deeper level, as a value, and as part of another name.
        (
            #"{"a":"x","n":{"_sluice":1},"l":[{"_sluice":2}]}"#,
            #"{"a":"x","n":{"_sluice":1},"l":[{"_sluice":2}],\#(new)}"#
        ),
        (#"{"a":"_sluice","b":"\u00e9","__sluice":1}"#, #"{"a":"_sluice","b":"\u00e9","__sluice":1,\#(new)}"#),
        (#"{"a":"\"_sluice\": {","b":"\\"}"#, #"{"a":"\"_sluice\": {","b":"\\",\#(new)}"#),
    ]

    @Test(arguments: [false, true])
    func oneKeyAndNoByteMore(selects: Bool) throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.records.map(\.0))
        let stages =
            [#"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 16}"]
            + (selects ? ["coreset: {keep: 100%}"] : [])
        try space.define(stages: stages, output: ["annotate: [empty_text]"])
        let files = try space.run()
        #expect(files.keptLines.map { text($0) } == Self.records.map(\.1))
        // Annotating repeatedly gives the same as annotating once.
        try writeFile(space("in.jsonl"), files.kept)
        #expect(try space.run(into: "again").kept == files.kept)
    }

    @Test func messagesAreJSON() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: [#"{"prompt": "p \"1\"", "completion": "é"}"#])
        try space.define(stages: ["format"], output: ["annotate: [messages, text]"])
        #expect(
            try space.run().keptLines.map { text($0) } == [
                #"{"prompt": "p \"1\"", "completion": "é","_sluice":{"messages":[{"role":"user","content":"p \"1\""},{"role":"assistant","content":"é"}],"text":"p \"1\"\n\né"}}"#
            ])
    }

    /// `distance` is always the chord distance; a figure comparable with an option in cosine distance has that name.
    @Test func distancesBearTheNameOfTheirMeasure() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: [#"{"a": "red apples on a table"}"#, #"{"a": "green apples on a chair"}"#])
        let stages = [#"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 64}"]
        try space.define(stages: stages + ["coreset: {keep: 1}"])
        let chord = try #require(try space.run(into: "one").drops.first?.values["distance"] as? Double)
        try space.define(stages: stages + ["redundancy: {distance: 2, confirm: none}"])
        let files = try space.run(into: "two")
        let drop = try #require(try files.drops.first)
        #expect(drop.values["distance"] == nil)
        let cosine = try #require(drop.values["cosine_distance"] as? Double)
        #expect(chord > 0.1 && abs(chord * chord / 2 - cosine) < 1e-6, "\(chord) \(cosine)")
        let report = files.manifest["stages"]?.elements.last
        #expect(report?["cosine_distance"]?.realValue == 2 && report?["distance"] == nil)
    }
}
