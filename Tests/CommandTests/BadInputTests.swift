import Glibc
import SluiceCore
import SluiceIO
import Testing

/// Bad input: the exit status, the message, and that everything else is unaffected.
@Suite struct BadInputTests {
    /// A malformed line and the message about it.
    struct BadLine: CustomTestStringConvertible {
        let name: String
        let bytes: [UInt8]
        let error: String
        let code: String
        /// The offset in the line.
        let byte: Int

        var testDescription: String { name }

        init(_ name: String, _ bytes: [UInt8], _ error: String, _ code: String, at byte: Int) {
            (self.name, self.bytes, self.error, self.code, self.byte) = (name, bytes, error, code, byte)
        }

        init(_ name: String, _ line: String, _ error: String, _ code: String, at byte: Int) {
            self.init(name, Array(line.utf8), error, code, at: byte)
        }
    }

    static let badLines = [
        BadLine(
            "invalid UTF-8", Array(#"{"a": "x"#.utf8) + [0xFF, 0xFE] + Array(#"", "b": "y"}"#.utf8), "not valid UTF-8",
            "invalid-utf8", at: 8),
        BadLine(
            "a character cut in two", Array(#"{"a": ""#.utf8) + [0xE4, 0xBD] + Array(#""}"#.utf8), "not valid UTF-8",
            "invalid-utf8", at: 7),
        BadLine("a comma too many", #"{"a": "x",}"#, "an unexpected character", "invalid-json", at: 10),
        BadLine(
            "malformed in a field that nobody reads", #"{"a": "x", "b": "y", "other": {"deep": [1, 2, nul]}}"#,
            "an unknown word", "invalid-json", at: 46),
        BadLine("a number that is none", #"{"a": "x", "n": 01}"#, "not a valid JSON number", "invalid-json", at: 17),
        BadLine("two objects", #"{"a": "x"} {"a": "y"}"#, "a second JSON value on one line", "two-values", at: 11),
        BadLine("something behind", #"{"a": "x"} ok"#, "something follows the object", "trailing-bytes", at: 11),
        BadLine(
            "a lone surrogate", #"{"a": "\ud800", "b": "y"}"#, "half of a surrogate pair", "lone-surrogate", at: 7),
        BadLine("a low surrogate first", #"{"a": "\udc00\ud800"}"#, "half of a surrogate", "lone-surrogate", at: 7),
        BadLine("an array", #"["a", "b"]"#, "the line is an array, not an object", "not-an-object", at: 0),
        BadLine("a number", "42", "the line is a single string, number or word", "not-an-object", at: 0),
        BadLine("a string", #""a""#, "the line is a single string, number or word", "not-an-object", at: 0),
        BadLine("cut short", #"{"a": "x", "b": "#, "the line ends inside the object", "cut-short", at: 16),
        BadLine("a raw control character", "{\"a\": \"x\u{1}\"}", "a control character", "invalid-json", at: 8),
        BadLine("a wrong escape", #"{"a": "\x41"}"#, "an unknown or incomplete escape", "invalid-json", at: 7),
        BadLine("no JSON at all", "instruction,output", "an unexpected character", "invalid-json", at: 0),
        BadLine(
            "nested too deep", String(repeating: #"{"a":"#, count: 2000), "nested deeper than 1024 levels", "too-deep",
            at: -1),
    ]

    static func record(_ number: Int) -> [UInt8] { Array(#"{"a": "record \#(number)", "b": \#(number)}"#.utf8) }

    /// The good records around a malformed line stay byte for byte, and the quarantine locates the malformed line.
    @Test(arguments: badLines, ["line", "[a, b]", nil])
    func quarantines(_ bad: BadLine, dedupe: String?) throws {
        let space = try Workspace()
        let before = (0..<20).map(Self.record), after = (20..<40).map(Self.record)
        let lines = before + [bad.bytes] + after
        try space.write("in.jsonl", lines: lines)
        try space.define(input: dedupe.map { ["dedupe: {on: \($0)}"] } ?? [])
        let files = try space.run()

        #expect(files.kept == joined(before + after))
        try files.expectClosedAccount(["in.jsonl": lines])
        let faults = try files.faults
        try #require(faults.count == 1)
        #expect(faults[0].place == "in.jsonl:21")
        #expect(faults[0].error.contains(bad.error), "\(faults[0].error)")
        if bad.byte >= 0 { #expect(faults[0].byte == joined(before).count + bad.byte) }
        if String(validating: bad.bytes, as: UTF8.self) != nil {
            #expect(faults[0].raw.map { Array($0.utf8) } == bad.bytes)
            #expect(faults[0].base64 == nil)
        } else {
            #expect(faults[0].base64 == bad.bytes)
            #expect(faults[0].raw == nil)
        }
        #expect(files.manifest["quarantine"]?.entries.map(\.key) == [bad.code])
    }

    /// With `malformed: fail` the run ends with an error that locates the line, and leaves no file under a final name.
    @Test(arguments: badLines)
    func fails(_ bad: BadLine) throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: (0..<20).map(Self.record) + [bad.bytes] + (20..<40).map(Self.record))
        try space.define(input: ["malformed: fail"])
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 3)
        #expect(outcome.errorText.contains("in.jsonl:21: \(bad.error)"), "\(outcome.errorText)")
        #expect(outcome.errorText.contains("malformed: quarantine"), "says what to do")
        #expect(space.names(in: "out") == [])
    }

    /// The error names the first of several malformed lines, for any number of threads and any block size.
    @Test func namesTheFirstBadLine() throws {
        let space = try Workspace()
        var lines = (0..<3000).map(Self.record)
        for number in [700, 701, 1500, 2999] { lines[number] = Array("{".utf8) }
        try space.write("in.jsonl", lines: lines)
        try space.define(input: ["malformed: fail"])
        for _ in 0..<5 {
            for arguments in [["--threads", "1"], ["--threads", "4", "--block-bytes", "256"], ["--threads", "8"]] {
                let outcome = try space.sluice(["run", "run.yaml"] + arguments)
                #expect(outcome.status == 3)
                #expect(outcome.errorText.contains("in.jsonl:701:"), "\(arguments) \(outcome.errorText)")
            }
        }
    }

    @Test func countsBlankLinesAndNumbersThem() throws {
        let space = try Workspace()
        let lines = [Self.record(0), [], Array("  \t ".utf8), Self.record(1), [0x0D], Array("{".utf8), Self.record(2)]
        try space.write("in.jsonl", lines: lines)
        try space.define()
        let files = try space.run()
        #expect(files.kept == joined([Self.record(0), Self.record(1), Self.record(2)]))
        #expect(files.count("read") == 4)
        #expect(files.count("blank_lines") == 3)
        #expect(try files.faults.map(\.place) == ["in.jsonl:6"])
    }

    @Test func leavesFieldsThatAreMissingToTheStages() throws {
        let space = try Workspace()
        let lines = [
            #"{"a": "x", "b": "1"}"#, #"{"b": "2"}"#, #"{"a": null, "b": "3"}"#, #"{"a": " ", "b": "4"}"#,
            #"{"a": [], "b": "5"}"#,
        ]
        try space.write("in.jsonl", lines: lines)
        try space.define(stages: [#"format: {template: "{a}{b}"}"#])
        let files = try space.run()
        #expect(files.keptLines.map { text($0) } == [lines[0]])
        #expect(
            try files.drops.map { "\($0.line) \($0.stage) \($0.reason)" } == [
                "2 format missing-field", "3 format missing-field", "4 format empty-field", "5 format not-a-text",
            ])
        #expect(try files.drops.allSatisfy { $0.values["field"] as? String == "a" })
        try files.expectClosedAccount(["in.jsonl": lines.map { Array($0.utf8) }])
    }

    @Test func aFieldThatIsMissingIsADedupeValueOfItsOwn() throws {
        let space = try Workspace()
        let lines = [
            #"{"b": "1"}"#, #"{"a": null, "b": "1"}"#, #"{"a": "", "b": "1"}"#, #"{"b": "1", "c": 2}"#,
            #"{"a": "null", "b": "1"}"#,
        ]
        try space.write("in.jsonl", lines: lines)
        try space.define(input: ["dedupe: {on: [a, b]}"])
        let files = try space.run()
        #expect(files.keptLines.map { text($0) } == [lines[0], lines[1], lines[2], lines[4]])
        #expect(try files.drops.map { "\($0.line) \($0.partner ?? "")" } == ["4 in.jsonl:1"])
    }

    /// Records that lack all dedupe fields are not duplicates of each other; only equal lines are.
    @Test func recordsWithoutTheDedupeFieldsAreComparedWhole() throws {
        let space = try Workspace()
        let lines = [#"{"b": 1}"#, #"{"b": 2}"#, #"{"b": 1}"#, #"{}"#, #"{"x": 1}"#]
        try space.write("in.jsonl", lines: lines)
        try space.define(input: ["dedupe: {on: [x, y]}"])
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 0)
        #expect(outcome.errorText.contains("warning: "), "\(outcome.errorText)")
        let files = try RunFiles(space("out"))
        #expect(files.keptLines.map { text($0) } == [lines[0], lines[1], lines[3], lines[4]])
        #expect(try files.drops.map(\.place) == ["in.jsonl:3"])
    }

    @Test func dedupeFieldsDontRunTogether() throws {
        let space = try Workspace()
        let lines = [
            #"{"a": "ab", "b": "c"}"#, #"{"a": "a", "b": "bc"}"#, #"{"b": "c", "a": "ab"}"#,
            #"{"a": "\u0061b", "b": "c"}"#,
        ]
        try space.write("in.jsonl", lines: lines)
        try space.define(input: ["dedupe: {on: [a, b]}"])
        let files = try space.run()
        #expect(files.keptLines.map { text($0) } == Array(lines[..<2]))
        #expect(try files.drops.map { "\($0.line) \($0.partner ?? "")" } == ["3 in.jsonl:1", "4 in.jsonl:1"])
    }

    @Test(arguments: ["in.jsonl", "in.json"])
    func anEmptyFileIsAnEmptyInput(_ name: String) throws {
        let space = try Workspace()
        try space.write(name, "")
        try space.define(files: name, input: ["dedupe: {on: line}"])
        let files = try space.run()
        #expect(files.kept == [])
        #expect(files.count("read") == 0)
        try files.expectClosedAccount()
    }

    /// Like a failed download: `zstd -t` and `gzip -t` reject it, too.
    @Test(arguments: ["in.jsonl.zst", "in.jsonl.gz", "in.json.zst", "in.zstd"])
    func anEmptyPackedFileIsAFailedDownload(_ name: String) throws {
        let space = try Workspace()
        try space.write(name, "")
        try space.define(files: name, input: ["dedupe: {on: line}"])
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 3)
        #expect(outcome.errorText.contains("\(name): byte 0: the file is empty"), "\(outcome.errorText)")
        #expect(outcome.errorText.contains("failed download"), "\(outcome.errorText)")
        #expect(!space.names().contains("out"))
    }

    @Test func anEmptyFileAmongOthersChangesNothing() throws {
        let space = try Workspace()
        try space.write("1.jsonl", lines: (0..<5).map(Self.record))
        try space.write("2.jsonl", "")
        try space.write("3.jsonl.zst", zstd([]))
        try space.write("4.jsonl", lines: (5..<9).map(Self.record))
        try space.define(files: "*.jsonl*")
        #expect(try space.run().kept == joined((0..<9).map(Self.record)))
    }

    @Test func aLineOverMaxRecordIsPutAside() throws {
        let space = try Workspace()
        let long = Array((#"{"a": ""# + String(repeating: "x", count: 5000) + #""}"#).utf8)
        let lines = [Self.record(0), long, Self.record(1)]
        try space.write("in.jsonl", lines: lines)
        try space.define(input: ["max_record: 4KiB"])
        let files = try space.run()
        #expect(files.kept == joined([Self.record(0), Self.record(1)]))
        let faults = try files.faults
        try #require(faults.count == 1)
        #expect(faults[0].place == "in.jsonl:2")
        #expect(faults[0].error.contains("5009 bytes, more than `max_record` allows (4 KiB)"), "\(faults[0].error)")
        #expect(faults[0].raw.map { Array($0.utf8) } == long)
        #expect(files.manifest["quarantine"]?["line-too-long"]?.integerValue == 1)
        try files.expectClosedAccount()

        try space.define(input: ["max_record: 4KiB", "malformed: fail"])
        let outcome = try space.sluice("run", "run.yaml", "--output", "out2")
        #expect(outcome.status == 3)
        #expect(outcome.errorText.contains("in.jsonl:2: the line has 5009 bytes"), "\(outcome.errorText)")
        #expect(space.names(in: "out2") == [])
        // The longest line allowed.
        try space.define(input: ["max_record: \(long.count)"])
        #expect(try space.run(into: "out3").kept == joined(lines))
    }

}
