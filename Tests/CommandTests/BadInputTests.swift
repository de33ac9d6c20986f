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

    // MARK: Streams

    struct BadStream: CustomTestStringConvertible {
        let name: String
        let file: String
        let bytes: [UInt8]
        let message: String
        var testDescription: String { name }
    }

    static let good = joined((0..<5000).map(record))

    static let badStreams: [BadStream] = {
        let frame = zstd(good)
        var corrupt = frame
        for byte in 2000..<2040 { corrupt[byte] ^= 0x5A }
        var checksum = frame
        checksum[checksum.count - 1] ^= 1
        return [
            BadStream(
                name: "truncated zst", file: "in.jsonl.zst", bytes: Array(frame.dropLast(100)),
                message: "the file ends inside"),
            BadStream(
                name: "truncated in the second frame", file: "in.jsonl.zst", bytes: frame + frame.prefix(500),
                message: "the file ends inside"),
            BadStream(name: "corrupt zst block", file: "in.jsonl.zst", bytes: corrupt, message: "corrupt zstd data"),
            BadStream(name: "wrong checksum", file: "in.jsonl.zst", bytes: checksum, message: "corrupt zstd data"),
            BadStream(
                name: "no zst at all", file: "in.jsonl.zst", bytes: good,
                message: "named .zst but starts with"),
            BadStream(
                name: "something behind the frame", file: "in.jsonl.zst", bytes: frame + Array("garbage!".utf8),
                message: "expected a zstd frame, found"),
            BadStream(
                name: "truncated gz", file: "in.jsonl.gz", bytes: Array(gzip(good).dropLast(30)),
                message: "the file ends inside"),
            BadStream(name: "no gz at all", file: "in.jsonl.gz", bytes: good, message: "named .gz but starts with"),
        ]
    }()

    /// A stream that can't be read to its end is an error for every value of `malformed`: the missing records can't be
    /// accounted for.
    @Test(arguments: badStreams, ["quarantine", "fail"])
    func refuses(_ stream: BadStream, malformed: String) throws {
        let space = try Workspace()
        try space.write(stream.file, stream.bytes)
        try space.define(files: stream.file, input: ["malformed: \(malformed)", "dedupe: {on: line}"])
        let outcome = try space.sluice("run", "run.yaml", "--progress", "none")
        #expect(outcome.status == 3)
        #expect(outcome.errorText.contains(stream.file), "names the file: \(outcome.errorText)")
        #expect(outcome.errorText.contains(stream.message), "\(outcome.errorText)")
        #expect(outcome.errorText.contains("byte"), "says where: \(outcome.errorText)")
        #expect(space.names(in: "out") == [])
    }

    /// Frames compressed with `--long` are read up to the limit; above it the message gives a remedy.
    @Test(arguments: [(27, "512MiB", true), (28, "512MiB", false), (28, "4GiB", false), (27, "200MiB", false)])
    func longWindows(log: Int, memory: String, isRead: Bool) throws {
        let space = try Workspace()
        try space.write("in.jsonl.zst", zstdFrame(Self.record(0) + [0x0A], windowLog: log))
        try space.define(files: "in.jsonl.zst")
        let outcome = try space.sluice("run", "run.yaml", "--memory", memory)
        if isRead {
            #expect(outcome.status == 0, "\(outcome.errorText)")
            #expect(try RunFiles(space("out")).kept == Self.record(0) + [0x0A])
            return
        }
        #expect(outcome.errorText.contains("in.jsonl.zst: byte 0: "), "\(outcome.errorText)")
        #expect(outcome.errorText.contains("a window of \(log == 27 ? 128 : 256) MiB"), "\(outcome.errorText)")
        // Nothing was kept, so nothing is left and `--resume` is not offered.
        #expect(!outcome.errorText.contains("--resume"), "\(outcome.errorText)")
        #expect(!space.names().contains("out"))
        guard log == 27 else {
            // No amount of memory is enough, so there is nothing to resume.
            #expect(outcome.status == 3)
            #expect(outcome.errorText.contains("Compress the file again, with `zstd --long=27` at most"))
            return
        }
        // The memory stated in the message is enough, and a MiB less is not.
        #expect(outcome.status == 4)
        let least = try #require(
            outcome.errorText.split(separator: "Raise `memory` to at least ").last?.prefix { $0.isNumber })
        let enough = try #require(Int(least))
        let less = try space.sluice("run", "run.yaml", "--memory", "\(enough - 1)MiB")
        #expect(less.status == 4 && less.errorText.contains("at least \(enough)MiB"), "\(less.errorText)")
        #expect(try space.sluice("run", "run.yaml", "--memory", "\(enough)MiB").status == 0)
    }

    /// Found by fuzzing: a header whose size and window are near 2^64 bytes.
    @Test func aFrameThatClaimsMoreThanThereCanBe() throws {
        let space = try Workspace()
        let header: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0xF4, 0, 0x4D, 0xF3] + [UInt8](repeating: 0xFF, count: 6)
        // An empty last block and a checksum.
        try space.write("in.jsonl.zst", header + [1, 0, 0] + [1, 2, 3, 4])
        try space.define(files: "in.jsonl.zst")
        let plan = try space.sluice("plan", "run.yaml")
        #expect(plan.status == 0, "\(plan.errorText)")
        let run = try space.sluice("run", "run.yaml", "--progress", "none")
        #expect([3, 4].contains(run.status), "\(run.errorText)")
        #expect(run.errorText.contains("in.jsonl.zst: byte 0: "), "\(run.errorText)")
        #expect(run.errorText.contains("17592186044416 MiB (2^64 bytes)"), "\(run.errorText)")
        #expect(run.errorText.contains("ompress the file again"), "\(run.errorText)")
    }

    static let brokenArrays: [(String, String)] = [
        (#"[{"a": 1}, {"a": 2} {"a": 3}]"#, "element 3, unpacked byte 20: found «{» where a comma"),
        (#"[{"a": 1}, {"a": 2"#, "element 2, unpacked byte 18: the file ends inside the array"),
        (#"[{"a": 1},, {"a": 2}]"#, "element 2, unpacked byte 10: found «,» where an element is expected"),
        (#"[{"a": 1}] {"a": 2}"#, "element 2, unpacked byte 11: found «{» after the end of the array"),
    ]

    /// Elements that can't be separated: no element can be quarantined.
    @Test(arguments: brokenArrays)
    func anArrayThatBreaks(_ text: String, message: String) throws {
        let space = try Workspace()
        try space.write("in.json", text)
        try space.define(files: "in.json")
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 3)
        #expect(outcome.errorText.contains("in.json: \(message)"), "\(outcome.errorText)")
        #expect(space.names(in: "out") == [])
    }

    /// Elements that aren't objects are malformed like lines; so is a line in a `.json` file without an array.
    @Test func badRecordsInJSONFiles() throws {
        let space = try Workspace()
        try space.write("array.json", #"[{"a": 1}, 7, ["x"], {"a": nul}, {"a": 2}]"#)
        try space.write("lines.json", lines: [#"{"a": 3}"#, "7", #"{"a": 4}"#])
        try space.define(files: "*.json")
        let files = try space.run()
        #expect(files.keptLines.map { text($0) } == (1...4).map { #"{"a": \#($0)}"# })
        #expect(
            try files.faults.map { "\($0.place) \($0.byte)" } == [
                "array.json:2 11", "array.json:3 14", "array.json:4 27", "lines.json:2 9",
            ])
        try files.expectClosedAccount()
    }

    @Test func badStandardInput() throws {
        let space = try Workspace()
        try space.define(files: "-")
        let lines = joined([Self.record(0), Array("{".utf8), Self.record(1)])
        let files = try space.run(input: lines)
        #expect(files.kept == joined([Self.record(0), Self.record(1)]))
        #expect(try files.faults.map(\.place) == ["-:2"])
        let cut = try space.sluice(
            ["run", "run.yaml", "--output", "out2"], input: Array(zstd(Self.good).dropLast(100)))
        #expect(cut.status == 3)
        #expect(cut.errorText.contains("standard input: byte "), "\(cut.errorText)")
        #expect(cut.errorText.contains("the file ends inside"), "\(cut.errorText)")
        #expect(space.names(in: "out2") == [])
    }

    // MARK: Files

    @Test func aFolderIsNoFile() throws {
        let space = try Workspace()
        try FileSystem.local.makeFolder(space("in.jsonl"))
        try space.define()
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 3)
        #expect(outcome.errorText.contains("in.jsonl: it is a folder"), "\(outcome.errorText)")
        #expect(space.names(in: "out") == [])
    }

    @Test func aFileThatCantBeRead() throws {
        let space = try Workspace()
        try space.write("good.jsonl", "{}\n")
        try space.write("locked.jsonl", "{}\n")
        chmod(space("locked.jsonl"), 0)
        try space.define(files: "*.jsonl")
        guard let outcome = try space.unprivileged("run", "run.yaml") else {
            return skip("root reads every file, and there is no setpriv to be somebody else with")
        }
        #expect(outcome.status == 3)
        #expect(outcome.errorText.contains("locked.jsonl: it can't be read"), "\(outcome.errorText)")
        #expect(outcome.errorText.contains("Check the permissions"), "\(outcome.errorText)")
        #expect(space.names(in: "out") == [])
    }

    @Test func aFolderThatCantBeWrittenTo() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: [Self.record(0)])
        try FileSystem.local.makeFolder(space("closed"))
        try space.define()
        guard
            let outcome = try space.unprivileged(
                "run", "run.yaml", "--output", "closed/out", before: { chmod(space("closed"), 0o555) })
        else { return skip("root writes everywhere, and there is no setpriv to be somebody else with") }
        #expect(outcome.status == 4)
        #expect(outcome.errorText.contains("closed/out"), "\(outcome.errorText)")
        #expect(outcome.errorText.contains("Permission denied"), "\(outcome.errorText)")
        #expect(space.names(in: "closed") == [])
    }

    @Test(arguments: [("no/*.jsonl", "matches no file"), ("in.jsonl", "does not exist")])
    func aGlobThatMatchesNothing(_ pattern: String, message: String) throws {
        let space = try Workspace()
        try space.define(files: pattern)
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 2)
        #expect(outcome.errorText.contains(message), "\(outcome.errorText)")
        #expect(outcome.errorText.contains(pattern), "\(outcome.errorText)")
        #expect(space.names() == ["run.yaml"])
    }

    @Test(arguments: ["out", "out/deeper/still"])
    func anOutputThatCantBeWritten(_ directory: String) throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: [Self.record(0)])
        try space.write("out", "a file is in the way")
        try space.define()
        let outcome = try space.sluice("run", "run.yaml", "--output", directory)
        #expect(outcome.status == 4)
        #expect(outcome.errorText.contains("out"), "\(outcome.errorText)")
        #expect(try text(readFile(space("out"))) == "a file is in the way")
    }

    @Test func tooLittleMemoryIsRefusedWithTheNumberThatWouldDo() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: [Self.record(0)])
        try space.define()
        let outcome = try space.sluice("run", "run.yaml", "--memory", "2MiB")
        #expect(outcome.status == 4)
        #expect(outcome.errorText.contains("it needs at least "), "\(outcome.errorText)")
        #expect(space.names(in: "out") == [])
    }
}
