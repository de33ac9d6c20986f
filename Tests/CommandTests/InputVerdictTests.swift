import Foundation
import SluiceCore
import Testing

/// Input that can't be what the user meant ends with a message, not with an empty result.
@Suite struct InputVerdictTests {
    static func encoded(_ text: String, _ encoding: String.Encoding) -> [UInt8] {
        text.data(using: encoding).map { Array($0) } ?? []
    }

    static let foreign: [(name: String, bytes: [UInt8], words: String)] = [
        ("CSV", Array("id,text\n1,a\n2,b\n".utf8), "It looks like CSV"),
        ("tabs", Array("id\ttext\n1\ta\n2\tb\n".utf8), "It looks like tab-separated text"),
        ("Parquet", Array("PAR1".utf8) + (0...255).map { UInt8($0) } + Array("PAR1".utf8), "It looks like Parquet"),
        ("bzip2", Array("BZh91AY&SY".utf8) + [0, 1, 2, 0x0A, 3], "bunzip2 -c"),
        ("xz", [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00, 1, 2, 3], "xz -dc"),
        ("zlib", [0x78, 0x9C, 0xAB, 0x56, 0x4A, 0x54, 0xB2, 0x32, 0x04, 0x00], "raw zlib data"),
        ("JSON over lines", Array("{\n  \"a\": 1\n}\n".utf8), "jq -c ."),
        ("joined JSON", Array("{\"a\":1}{\"a\":2}\n{\"a\":3}{\"a\":4}\n".utf8), "jq -c ."),
        ("HTML", Array("<!DOCTYPE html>\n<html><body>Sign in</body></html>\n".utf8), "an HTML page"),
        ("UTF-16", [0xFF, 0xFE] + encoded("{\"a\": 1}\n", .utf16LittleEndian), "iconv -f UTF-16"),
        ("UTF-16 without a mark", encoded("{\"a\": 1}\n{\"a\": 2}\n", .utf16LittleEndian), "iconv -f UTF-16"),
        ("Git LFS", Array("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n".utf8), "git lfs pull"),
        ("Python", Array("{'a': 1}\n{'a': 2}\n".utf8), "json.dumps"),
        ("text", Array("Some words.\nSome more.\n".utf8), "plain text"),
    ]

    /// One of several fields that no record has makes more records duplicates than meant.
    @Test func aFieldOfTheDedupeThatNoRecordHas() throws {
        let space = try Workspace()
        try space.write(
            "in.jsonl", "{\"prompt\":\"a\",\"completion\":\"x\"}\n{\"prompt\":\"b\",\"completion\":\"x\"}\n")
        try space.define(input: ["dedupe: {on: [promt, completion]}"])
        let mistyped = try space.sluice("run", "run.yaml")
        #expect(mistyped.status == 3)
        #expect(mistyped.errorText.contains("did you mean `prompt`?"), "\(mistyped.errorText)")
        #expect(space.names(in: "out") == [])
        // A similar name that is compared, too, is no mistake: schemas differ.
        try space.define(input: ["dedupe: {on: [prompts, prompt]}"])
        #expect(try space.run(into: "schemas").count("kept") == 2)
        // Without a similar name it is a warning: not every file has every field.
        try space.define(input: ["dedupe: {on: [instruction, completion]}"])
        let files = try space.run()
        #expect(files.count("kept") == 1)
        let warnings = files.manifest["warnings"]?.elements.compactMap(\.textValue) ?? []
        #expect(warnings.contains { $0.contains("no record has the field `instruction`") }, "\(warnings)")
        // A long record lacks it, too, and one record that has it is enough.
        let long = "{\"completion\":\"\(String(repeating: "y", count: 400_000))\"}\n"
        try space.write("in.jsonl", try readFile(space("in.jsonl")) + Array(long.utf8))
        #expect(try space.run(["--force"]).manifest["warnings"]?.elements.count == 1)
        try space.write("in.jsonl", try readFile(space("in.jsonl")) + Array("{\"instruction\":\"i\"}\n".utf8))
        #expect(try space.run(["--force"]).manifest["warnings"]?.elements.count == 0)
    }

    @Test(arguments: foreign)
    func namesWhatIsNoRecords(_ foreign: (name: String, bytes: [UInt8], words: String)) throws {
        let space = try Workspace()
        try space.write("in.jsonl", foreign.bytes)
        try space.define()
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 3, "\(outcome.errorText)")
        #expect(
            outcome.errorText.contains("in.jsonl: none of its")
                || outcome.errorText.contains("its only line is not a record"),
            "\(outcome.errorText)")
        #expect(outcome.errorText.contains(foreign.words), "\(outcome.errorText)")
        #expect(space.names(in: "out") == [])
        // The same from a pipe, and compressed.
        let piped = try space.sluice(["run", "run.yaml", "--input", "-"], input: foreign.bytes)
        #expect(piped.status == 3)
        #expect(piped.errorText.contains(foreign.words.replacing("in.jsonl", with: "-")), "\(piped.errorText)")
        try space.write("in.jsonl.zst", zstd(foreign.bytes))
        let packed = try space.sluice("run", "run.yaml", "--input", "in.jsonl.zst")
        #expect(packed.status == 3 && packed.errorText.contains(foreign.words), "\(packed.errorText)")
    }

    @Test func malformedLinesAloneAreAllowedByName() throws {
        let space = try Workspace()
        try space.write("in.jsonl", "a,b\n\n1,2\n")
        try space.define(input: ["max_malformed: 100%"])
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        #expect(
            outcome.errorText.contains("warning: in.jsonl: none of its 2 lines is a record"), "\(outcome.errorText)")
        #expect(
            outcome.errorText.contains("malformed: invalid-json 1, trailing-bytes 1 (see out/quarantine.jsonl.zst)"),
            "\(outcome.errorText)")
        #expect(try RunFiles(space("out")).faults.map(\.line) == [1, 3])
    }

    /// A hundred lines, of which numbers 11, 22, … 55 are malformed.
    private func lines() -> [String] { (1...100).map { $0 % 11 == 0 && $0 < 60 ? "oops" : #"{"a": \#($0)}"# } }

    @Test(arguments: [
        ("5", true), ("4", false), ("0", false), ("5%", true), ("5 %", true), ("4.9%", false), ("0%", false),
        ("100%", true),
    ])
    func allowsSoMany(_ allowed: String, isEnough: Bool) throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: lines())
        try space.define(input: ["max_malformed: \(allowed)", "dedupe: {on: a}"])
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == (isEnough ? 0 : 3), "\(outcome.errorText)")
        #expect((space.names(in: "out") == []) == !isEnough)
        guard !isEnough else { return }
        #expect(outcome.errorText.contains("input.max_malformed"), "\(outcome.errorText)")
    }

    /// A limit is checked where it is exceeded, for any threads and block size.
    @Test(arguments: [["--threads", "1"], ["--threads", "4", "--block-bytes", "64"], ["--threads", "2"]])
    func namesTheLineThatIsTooMuch(_ arguments: [String]) throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: lines())
        try space.define(input: ["max_malformed: 3"])
        let outcome = try space.sluice(["run", "run.yaml"] + arguments)
        #expect(outcome.status == 3)
        #expect(outcome.errorText.contains("in.jsonl:44: "), "\(outcome.errorText)")
        #expect(outcome.errorText.contains("`input.max_malformed` allows 3"), "\(outcome.errorText)")
    }

    @Test func aFileWithoutRecordsAmongOthers() throws {
        let space = try Workspace()
        try space.write("a.jsonl", lines: [#"{"a": 1}"#, "", "oops"])
        try space.write("b.jsonl", "PAR1\u{1}\u{2}\n\n\u{3}PAR1")
        try space.write("c.jsonl", lines: [#"{"a": 2}"#])
        try space.define(files: "*.jsonl")
        // The counts survive a stop, too: blocks of a few bytes and a checkpoint after each.
        let outcome = try space.sluice("run", "run.yaml", "--block-bytes", "8", "--checkpoint-seconds", "0")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        let warnings = try RunFiles(space("out")).manifest["warnings"]?.elements.compactMap(\.textValue) ?? []
        #expect(warnings.count == 1)
        #expect(warnings.first?.hasPrefix("b.jsonl: none of its 2 lines is a record") == true, "\(warnings)")
        #expect(warnings.first?.contains("Parquet") == true, "\(warnings)")
    }

    @Test func contradictionsAreMistakes() throws {
        let space = try Workspace()
        try space.write("in.jsonl", "{}\n")
        try space.define(input: ["malformed: fail", "max_malformed: 3"], output: ["fail_if_empty: maybe"])
        let outcome = try space.sluice("check", "run.yaml")
        #expect(outcome.status == 2)
        #expect(outcome.errorText.contains("`input.max_malformed: 3` needs `malformed: quarantine`"))
        #expect(outcome.errorText.contains("`output.fail_if_empty` must be true or false, not `maybe`"))
    }

    // MARK: Nothing kept

    @Test(
        arguments: [("", []), ("\n \n", []), ("{\"a\": 1}\n", ["format: {template: \"{b}\"}"])] as [(String, [String])])
    func nothingKept(_ content: String, stages: [String]) throws {
        let space = try Workspace()
        try space.write("in.jsonl", content)
        try space.define(stages: stages)
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 0)
        #expect(outcome.errorText.contains("warning: "), "\(outcome.errorText)")
        let strict = try space.sluice("run", "run.yaml", "--output", "out2", "--set", "output.fail_if_empty=true")
        #expect(strict.status == 3)
        #expect(strict.errorText.contains("nothing was kept"), "\(strict.errorText)")
        if !stages.isEmpty { #expect(strict.errorText.contains("format: missing-field 1"), "\(strict.errorText)") }
        #expect(space.names(in: "out2") == [])
    }

    // MARK: Fields of the dedupe

    @Test func aFieldThatNoRecordHas() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: [#"{"prompt": "a"}"#, #"{"prompt": "b"}"#])
        try space.define(input: ["dedupe: {on: [promt]}"])
        let outcome = try space.sluice("run", "run.yaml")
        #expect(outcome.status == 3)
        #expect(
            outcome.errorText.contains("no record has the field `promt` of `input.dedupe.on`; did you mean `prompt`?"),
            "\(outcome.errorText)")
        // If one record has the field, the others are compared by their lines, with a warning.
        try space.write("in.jsonl", lines: [#"{"prompt": "a"}"#, #"{"prompt": "b"}"#, #"{"promt": "c"}"#])
        let files = try space.run()
        #expect(files.count("kept") == 3)
        let warnings = files.manifest["warnings"]?.elements.compactMap(\.textValue) ?? []
        #expect(warnings.contains { $0.contains("2 records do not have the field `promt`") }, "\(warnings)")
    }

    // MARK: The definition's own bytes

    @Test func aDefinitionWithAByteOrderMark() throws {
        let space = try Workspace()
        try space.write("in.jsonl", "{}\n")
        try space.define()
        let text = try readFile(space("run.yaml"))
        try space.write("run.yaml", [0xEF, 0xBB, 0xBF] + text)
        #expect(try space.sluice("check", "run.yaml").status == 0)
        try space.write("run.yaml", [0xFF, 0xFE] + text.flatMap { [$0, 0] })
        let wide = try space.sluice("check", "run.yaml")
        #expect(wide.status == 2 && wide.errorText.contains("UTF-16"), "\(wide.errorText)")
    }

    // MARK: Damaged streams

    /// A checksum fails at the end of a frame: bytes already read may be wrong, except those of earlier frames.
    @Test(arguments: ["zst", "gz"])
    func whatIsGoodBeforeAFailedChecksum(_ kind: String) throws {
        let space = try Workspace()
        let first = joined((0..<40).map { Array("{\"a\": \($0)}".utf8) })
        let second = joined((40..<80).map { Array("{\"a\": \($0)}".utf8) })
        func pack(_ bytes: [UInt8]) -> [UInt8] { kind == "gz" ? gzip(bytes) : zstd(bytes) }
        func damaged(_ bytes: [UInt8]) -> [UInt8] {
            var bytes = bytes
            // gzip: the checksum before the length; zstd: the last byte of the checksum.
            bytes[bytes.count - (kind == "gz" ? 6 : 1)] ^= 0x55
            return bytes
        }
        try space.define(files: "in.jsonl.\(kind)")
        try space.write("in.jsonl.\(kind)", damaged(pack(first)))
        let alone = try space.sluice("run", "run.yaml")
        #expect(alone.status == 3)
        #expect(!alone.errorText.contains("lines before it are"), "\(alone.errorText)")
        #expect(
            !alone.errorText.contains("known to be good") || alone.errorText.contains("None of"), "\(alone.errorText)")
        try space.write("in.jsonl.\(kind)", pack(first) + damaged(pack(second)))
        let behind = try space.sluice("run", "run.yaml", "--block-bytes", "64")
        #expect(behind.status == 3)
        #expect(behind.errorText.contains("first \(first.count) unpacked bytes"), "\(behind.errorText)")
    }
}
