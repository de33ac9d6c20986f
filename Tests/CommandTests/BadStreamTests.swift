import Glibc
import SluiceCore
import SluiceIO
import Testing

/// Streams that can't be read to their end, arrays that are broken, and files that can't be opened.
extension BadInputTests {
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
