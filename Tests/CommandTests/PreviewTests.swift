import SluiceCore
import Testing

/// What helps to write a definition: the first records, a look at them after any stage, tests in the definition, recipes.
@Suite struct PreviewTests {
    private static func record(_ number: Int) -> String {
        let text = String(repeating: "word\(number % 7) ", count: number % 9 + 1)
        return #"{"id":\#(number),"prompt":"\#(text)","completion":"answer \#(number)","skill":"s\#(number % 5)"}"#
    }

    // MARK: The first records

    /// As if the input ended there, in each form of input; blank and malformed lines keep their places.
    @Test func aRunOfTheFirstRecords() throws {
        var lines = (0..<300).map(Self.record)
        lines[3] = ""
        lines[5] = "{broken"
        lines[120] = #"{"t":"\#(String(repeating: "x", count: 5000))"}"#
        let space = try Workspace()
        try space.write("in-0.jsonl.zst", lines: Array(lines[..<100]))
        try space.write("in-1.jsonl.gz", lines: Array(lines[100..<200]))
        try space.write("in-2.json", "[" + lines[200...].joined(separator: ",\n") + "]")
        try space.define(
            files: "in-*", input: ["dedupe: {on: line}", "max_record: 4KiB"],
            stages: [
                #"format: {template: "{prompt}"}"#, "embed: {model: lexical, dimensions: 16}",
                "coreset: {keep: 50%, method: random}",
            ])
        for (limit, ends) in [
            (1, [1, 0, 0]), (50, [51, 0, 0]), (99, [100, 0, 0]), (180, [100, 81, 0]), (250, [100, 100, 51]),
        ] {
            let run = try space.run(["--limit", "\(limit)", "--force"])
            #expect(run.count("read") == limit)
            // The same from files that end there.
            for (file, end) in ends.enumerated() {
                try space.write("cut-\(file).jsonl", lines: Array(lines[(file * 100)..<(file * 100 + end)]))
            }
            try space.write("cut.yaml", text(try readFile(space("run.yaml"))).replacing("in-*", with: "cut-*"))
            let cut = try space.sluice("run", "cut.yaml", "--output", "cut", "--force", "--progress", "none")
            #expect(cut.status == 0, "\(cut.errorText)")
            let expected = try RunFiles(space("cut"))
            #expect(expected.kept == run.kept)
            let (own, others) = (try run.drops, try expected.drops)
            #expect(own.map(\.line) == others.map(\.line) && own.map(\.reason) == others.map(\.reason))
            #expect(run.count("quarantined") == expected.count("quarantined"))
            #expect(run.count("blank_lines") == expected.count("blank_lines"))
        }
        let verified = try space.sluice("verify", "out", "--rerun")
        #expect(verified.status == 0, "\(verified.errorText)")
        let wrong = try space.sluice("run", "run.yaml", "--limit", "0")
        #expect(wrong.errorText.contains("--limit 0: `input.limit` is 0; leave it out to read all records"))
    }

    /// A stream can be read twice then, and is not read to its end.
    @Test func theFirstRecordsOfAStream() throws {
        let space = try Workspace()
        try space.define(
            stages: [
                #"format: {template: "{prompt}"}"#, "embed: {model: lexical, dimensions: 16}", "coreset: {keep: 5}",
            ])
        let lines = (0..<50).map(Self.record)
        let run = try space.run(
            ["--input", "-", "--limit", "20"], input: Array(lines.joined(separator: "\n").utf8))
        #expect(run.count("read") == 20 && run.count("kept") == 5)
    }

    // MARK: A look

    @Test func aLookAfterEachStage() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: (0..<200).map(Self.record) + ["{broken"])
        try space.define(
            stages: [
                #"format: {template: "{prompt}"}"#, "length: {min: 20}", "measure: {columns: [words]}",
                "embed: {model: lexical, dimensions: 16}", "cluster: {clusters: 3}", "length: {max: 50}",
            ],
            output: [#"record: {q: "{prompt}"}"#, "annotate: [cluster]"])
        func look(_ options: String...) throws -> [JSONValue] {
            let shown = try space.sluice(["show", "run.yaml", "--json"] + options)
            #expect(shown.status == 0, "\(shown.errorText)")
            return try split(shown.output).map { try JSONValue(json: $0) }
        }
        let first = try look("--after", "format", "--count", "7")
        #expect(first.count == 7 && first[6]["line"] == 7)
        #expect(
            first.allSatisfy { $0["columns"]?["text"] == $0["record"]?["prompt"] && $0["columns"]?["words"] == nil })
        let all = try look("--after", "cluster", "--count", "1000", "--limit", "100")
        #expect(all.allSatisfy { $0["columns"]?["words"] != nil && $0["columns"]?["cluster"]?.integerValue != nil })
        let short = (0..<100).filter { Self.record($0).count > 0 && "word0 ".count * ($0 % 9 + 1) < 20 }
        #expect(all.count == 100 - short.count)
        let dropped = try look("--after", "length#2", "--dropped", "--count", "1000")
        #expect(dropped.contains { $0["error"] != nil && $0["line"] == 201 })
        #expect(dropped.contains { $0["stage"] == "length#2" } && dropped.contains { $0["reason"] == "too-short" })
        // For a person: the record, then what stages have written.
        let shown = try space.sluice("show", "run.yaml", "--after", "measure", "--count", "1", "--limit", "50")
        #expect(
            shown.outputText.hasPrefix("── in.jsonl:4\n  id          3\n  prompt      word3 ")
                && shown.outputText.contains("\n+ words       4\n"), "\(shown.outputText)")
        #expect(shown.errorText.contains("of 50 records are kept after `measure`"))
        #expect(space.names() == ["in.jsonl", "run.yaml"])
        let unknown = try space.sluice("show", "run.yaml", "--after", "lenth")
        #expect(unknown.status == 2 && unknown.errorText.contains("its stages are format, length, measure"))
    }

    // MARK: Tests

    private static let tests = """
        tests:
          - name: length
            after: length
            records:
              - {given: {prompt: Hi}, expect: dropped, by: length, reason: too-short}
              - {given: {prompt: long enough to stay}, columns: {text: long enough to stay}}
          - name: all of it
            records:
              - {given: {prompt: one two three four five, n: 1.50, tag: "007"}, columns: {words: 5}, record: {q: one two three four five, n: 1.5, t: "007"}}
              - {given: {prompt: one two three four five, n: 1.50, tag: "007"}, expect: dropped, by: dedupe}
              - {given: "{broken", expect: malformed}
              - {given: {prompt: Hi}, expect: dropped}

        """

    @Test func testsOfADefinition() throws {
        let space = try Workspace()
        let output = [#"record: {q: "{prompt}", n: "{n}", t: "{tag}"}"#]
        try space.define(
            files: "none.jsonl", input: ["dedupe: {on: line}"],
            stages: [#"format: {template: "{prompt}"}"#, "length: {min: 10}", "measure: {columns: [words]}"],
            output: output)
        let definition = text(try readFile(space("run.yaml")))
        try space.write("run.yaml", definition + Self.tests)
        let passed = try space.sluice("check", "--tests", "run.yaml")
        #expect(passed.status == 0 && passed.outputText == "run.yaml: 2 tests passed\n", "\(passed.errorText)")
        let failing = [
            (
                "reason: too-short", "reason: too-long",
                "test `length`, record 1: expected dropped by `length`: too-long; `length` drops it: too-short"
            ),
            ("words: 5", "words: 6", "test `all of it`, record 1: expected the column `words` to be 6; it is 5"),
            (
                "n: 1.5,", "n: 1.6,",
                #"test `all of it`, record 1: expected the record {"q":"one two three four five","n":1.6,"t":"007"}; it is written as {"q":"one two three four five","n":1.50,"t":"007"}"#
            ),
            (
                "\"{broken\", expect: malformed", "\"{broken\", expect: kept",
                "test `all of it`, record 3: expected kept; it is malformed: "
            ),
            (
                "text: long", "txt: long",
                "test `length`, it expects the column `txt`, which no stage writes; did you mean `text`?"
            ),
        ]
        for (old, new, message) in failing {
            try space.write("run.yaml", definition + Self.tests.replacing(old, with: new))
            let failed = try space.sluice("check", "--tests", "run.yaml")
            #expect(failed.status == 3 && failed.errorText.contains("1 of 2 tests failed"), "\(failed.errorText)")
            #expect(failed.outputText.contains(message.replacing("1.50", with: "1.5")), "\(failed.outputText)")
        }
        let mistakes = [
            (
                "after: length", "after: lenth",
                "test `length` ends after the stage `lenth`, which the definition does not have"
            ),
            ("expect: malformed", "expect: broken", "`expect` must be one of kept, dropped, malformed, not `broken`"),
            ("expect: malformed", "expect: kept, by: length", "`by` goes with `expect: dropped`"),
            ("columns: {words: 5}, ", "expect: dropped, columns: {words: 5}, ", "`columns` goes with `expect: kept`"),
            (
                "given: {prompt: Hi}, expect: dropped}", "expect: dropped}",
                "a record of test `all of it` needs `given`, the record itself"
            ),
            ("- name: all of it\n    records:", "- records:", "a test needs a `name` and `records`"),
        ]
        for (old, new, message) in mistakes {
            try space.write("run.yaml", definition + Self.tests.replacing(old, with: new))
            let failed = try space.sluice("check", "run.yaml")
            #expect(failed.status == 2 && failed.errorText.contains(message), "\(failed.errorText)")
        }
        try space.write("run.yaml", definition)
        let none = try space.sluice("check", "--tests", "run.yaml")
        #expect(none.status == 2 && none.errorText.contains("run.yaml has no `tests`"))
    }

    // MARK: Recipes

    @Test(arguments: ["select", "balance", "clean", "dedupe", "ltd", "chat"])
    func recipesRunOnTheUsersOwnFile(_ recipe: String) throws {
        let forms: [(name: String, line: (Int) -> String)] = [
            ("pairs", { Self.record($0) }),
            (
                "texts",
                { #"{"id":"x\#($0)","body.text":"\#(String(repeating: "tree\($0 % 11) ", count: $0 % 13 + 3))"}"# }
            ),
            (
                "chat",
                {
                    #"{"messages":[{"role":"user","content":"What is \#($0)?"},{"role":"assistant","content":"It is \#($0 * $0)."}],"source":"s\#($0 % 3)","score":\#($0 % 10)}"#
                }
            ),
        ]
        let space = try Workspace()
        for (name, line) in forms {
            try space.write("data/\(name).jsonl", lines: (0..<400).map(line))
            let made = try space.sluice("init", recipe, "data/\(name).jsonl", "--to", "\(name).yaml")
            #expect(made.status == 0, "\(made.errorText)")
            if recipe == "balance", name == "texts" { continue }
            let checked = try space.sluice("check", "\(name).yaml")
            #expect(checked.status == 0 && !checked.errorText.contains("warning"), "\(name): \(checked.errorText)")
            let run = try space.sluice("run", "\(name).yaml", "--output", "out-\(name)", "--progress", "none")
            #expect(run.status == 0, "\(name): \(run.errorText)")
            let result = try RunFiles(space("out-\(name)"))
            #expect(result.count("kept") > 0 && result.count("read") == 400, "\(name): \(run.errorText)")
            if recipe == "chat" {
                #expect(space.names(in: "out-\(name)/outputs") == ["train.jsonl.zst", "valid.jsonl.zst"])
            }
        }
        let again = try space.sluice("init", recipe, "data/chat.jsonl", "--to", "chat.yaml")
        #expect(again.status == 2 && again.errorText.contains("chat.yaml is there already"))
    }

    @Test func whatInitRefuses() throws {
        let space = try Workspace()
        try space.write("text.txt", "no JSON\nat all\n")
        for (arguments, message) in [
            (["selct", "text.txt"], "there is no recipe `selct`; did you mean `select`?"),
            (["select"], "name the files with your records"),
            (["select", "none.jsonl"], "input `none.jsonl` does not exist"),
            (["select", "text.txt"], "text.txt: none of the first lines is a record. It looks like plain text"),
        ] {
            let refused = try space.sluice(["init"] + arguments)
            #expect(refused.status != 0 && refused.errorText.contains(message), "\(refused.errorText)")
        }
        #expect(space.names() == ["text.txt"])
    }
}
