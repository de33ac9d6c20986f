import SluiceCore
import SluiceIO
import Testing

/// Promise 1: the same bytes for any threads, block limits, compression and split into files.
@Suite struct DeterminismTests {
    /// Lines of every kind found in a corpus: duplicates, malformed and blank lines, records of very different lengths.
    static let lines: [[UInt8]] = {
        var random = Seed(11).generator()
        return (0..<4000).map { number in
            switch random.next(below: 40) {
            case 0: return []
            case 1: return Array(#"{"prompt": "cut"#.utf8)
            case 2: return Array(#"{"prompt": "x", "completion": ""#.utf8) + [0xC3, 0x28] + Array(#""}"#.utf8)
            case 3: return Array("[\(number)]".utf8)
            case 4: return Array(#"{"prompt": "no answer \#(number)"}"#.utf8)
            case 5:
                let long = String(repeating: "long \(number) ", count: 1 + Int(random.next(below: 700)))
                return Array(#"{"prompt": "\#(long)", "completion": "c"}"#.utf8)
            default:
                // A third of them repeat an earlier line.
                let subject = random.next(below: 2400)
                return Array(
                    #"{"prompt": "What is \#(subject) and \#(subject % 7)?", "completion": "It is \#(subject * subject)."}"#
                        .utf8)
            }
        }
    }()

    static let stages = [
        #"format: {template: "{prompt} {completion}"}"#, "embed: {model: lexical, dimensions: 64}",
        "redundancy: {method: pairwise, distance: 0.2}", "cluster: {clusters: 8}", "coreset: {keep: 200, per: cluster}",
    ]

    /// An embedder that learns, from fewer records than there are.
    static let learning = [
        #"format: {template: "{prompt} {completion}"}"#, "embed: {dimensions: 64, reservoir: 300, features: 4096}",
        "redundancy: {method: pairwise, distance: 0.05}", "cluster: {clusters: 8}",
        "coreset: {keep: 200, per: cluster}",
    ]

    static let variations: [[String]] = [1, 2, 4, 8].flatMap { threads in
        [1, 4096, 64 << 10, 1 << 20].map { ["--threads", "\(threads)", "--block-bytes", "\($0)"] }
    }

    private static func define(_ space: Workspace, files: String, _ stages: [String], maxRecord: String = "4KiB") throws
    {
        try space.define(
            files: files, input: ["dedupe: {on: [prompt, completion]}", "max_record: \(maxRecord)"],
            stages: stages, output: stages.isEmpty ? [] : ["annotate: [cluster, rank]"])
    }

    /// Everything in the run directory except `timing` is equal.
    @Test(arguments: [[], stages, learning])
    func threadsAndBlocksLeaveNoTrace(stages: [String]) throws {
        let space = try Workspace()
        for part in 0..<3 {
            try space.write(
                "in-\(part).jsonl.zst", lines: Array(Self.lines[(part * 1300)..<min(4000, part * 1300 + 1400)]))
        }
        try Self.define(space, files: "in-*.zst", stages)
        let first = try space.run(["--threads", "2"])
        try first.expectClosedAccount()
        #expect(first.count("dropped") > 100)
        #expect(first.count("quarantined") > 100)
        for (number, variation) in Self.variations.enumerated() {
            let other = try space.run(variation, into: "out-\(number)")
            #expect(other.digests == first.digests, "\(variation)")
            // The files on disk are equal, too.
            for name in ["kept.jsonl.zst", "ledger.jsonl.zst", "quarantine.jsonl.zst"] {
                #expect(
                    try readFile(space("out-\(number)/\(name)")) == readFile(space("out/\(name)")),
                    "\(name) \(variation)")
            }
        }
    }

    /// The same lines in the same order are the same input, however they are compressed and split.
    @Test(arguments: [[], stages, learning])
    func cutsAndPackingLeaveTheKeptRecordsAlone(stages: [String]) throws {
        let space = try Workspace()
        let bytes = joined(Self.lines)
        try space.write("a/in.jsonl", bytes)
        try Self.define(space, files: "a/in.jsonl", stages)
        let kept = try space.run().kept
        #expect(!kept.isEmpty)

        try space.write("b/in.jsonl.zst", zstd(bytes))
        try space.write("c/in.jsonl.zst", zstd(bytes, frameBytes: 10_007))
        try space.write("d/in.jsonl.gz", gzip(bytes))
        try space.write("e/in.jsonl", Array(bytes.dropLast()))  // no line end after the last line
        let writer = try ZstdSeekableWriter(
            {
                try FileSystem.local.makeFolder(space("f")); return space("f/in.jsonl.zst")
            }(), frameBytes: 5000)
        for line in Self.lines { try writer.append(line + [0x0A]) }
        try writer.finish()
        let endings = [".jsonl", ".jsonl.zst", ".jsonl.gz"]
        for (part, start) in [0, 1, 2, 1000, 1001, 2500, 3999].enumerated() {
            let ends = [1, 2, 1000, 1001, 2500, 3999, 4000]
            try space.write("g/in-\(part)\(endings[part % 3])", lines: Array(Self.lines[start..<ends[part]]))
        }
        for folder in ["b", "c", "d", "e", "f", "g"] {
            try Self.define(space, files: "\(folder)/in*", stages)
            for threads in ["1", "4"] {
                let files = try space.run(["--threads", threads], into: "out-\(folder)\(threads)")
                #expect(files.kept == kept, "\(folder) with \(threads) threads")
                try files.expectClosedAccount()
            }
        }
        if stages.isEmpty {
            let piped = try space.run(["--input", "-"], into: "out-piped", input: bytes)
            #expect(piped.kept == kept)
            #expect(try piped.drops.first?.file == "-")
            let packed = try space.run(["--input", "-"], into: "out-piped-zst", input: zstd(bytes, frameBytes: 9999))
            #expect(packed.kept == kept)
        }
    }

    @Test func standardInputIsRefusedWhereItWouldBeReadTwice() throws {
        let space = try Workspace()
        try Self.define(space, files: "-", Self.stages)
        let outcome = try space.sluice(["run", "run.yaml"], input: joined(Self.lines))
        #expect(outcome.status == 2)
        #expect(outcome.errorText.contains("standard input can be read only once"), "\(outcome.errorText)")
        #expect(space.names(in: "out") == [])
    }

    /// A pipe can be read only once: contents are compared as long as they fit in memory.
    @Test func comparesContentsOfAPipe() throws {
        let space = try Workspace()
        let bytes = joined(Self.lines)
        try space.define(files: "-", input: ["dedupe: {on: [prompt, completion]}"])
        let hashed = try space.run(input: bytes)
        let compare = ["--set", "input.dedupe.verify=bytes", "--dedupe-hash-bits", "6"]
        let compared = try space.run(compare, into: "out2", input: bytes)
        #expect(compared.kept == hashed.kept && compared.ledger == hashed.ledger)
        #expect(compared.manifest["stages"]?.elements.first?["collisions"]?.integerValue ?? 0 > 100)
        let outgrown = try space.sluice(
            ["run", "run.yaml", "--output", "out3", "--dedupe-bytes", "300000"] + compare, input: bytes)
        #expect(outgrown.status == 4)
        #expect(outgrown.errorText.contains("standard input outgrew its 293 KiB"), "\(outgrown.errorText)")
        #expect(outgrown.errorText.contains("`verify: bytes`"), "\(outgrown.errorText)")
    }

    /// A top-level array, and JSON Lines in a file named `.json`.
    @Test func arraysAndLinesInJSONFiles() throws {
        let space = try Workspace()
        let records = (0..<50).map { #"{"prompt": "p\#($0 % 40)", "completion": [1, "],[", {"a": "}"}]}"# }
        try space.write("lines.json", lines: records)
        try space.write("array.json", "[\n" + records.joined(separator: ",\n  ") + "\n]\n")
        try space.write("packed.json.zst", zstd(Array(("[" + records.joined(separator: ",") + "]").utf8)))
        for file in ["lines.json", "array.json", "packed.json.zst"] {
            try space.define(files: file, input: ["dedupe: {on: prompt}"])
            let files = try space.run(into: "out-\(file)")
            #expect(files.keptLines.map { text($0) } == Array(records[..<40]), "\(file)")
            #expect(files.count("dropped") == 10, "\(file)")
        }
    }

    /// Elements of an array are selected like lines, even if all are on one line of the file.
    @Test(arguments: [",", ",\n", "\n,\n\n"])
    func arraysAreChosenFromLikeLines(separator: String) throws {
        let space = try Workspace()
        let records = (0..<400).map { #"{"prompt": "What is \#($0 % 350) times \#($0 % 7)?", "completion": "\#($0)"}"# }
        try space.write("lines/in.json", lines: records)
        try space.write("array/in.json", "[" + records.joined(separator: separator) + "]")
        func run(_ folder: String) throws -> RunFiles {
            try space.define(files: "\(folder)/in.json", input: ["dedupe: {on: prompt}"], stages: Self.stages)
            return try space.run(["--set", "stages.coreset.keep=30"], into: "out-\(folder)")
        }
        func places(_ files: RunFiles) throws -> [String] {
            try files.drops.map { "\($0.line) \($0.stage) \($0.partner?.split(separator: ":").last ?? "")" }
        }
        let lines = try run("lines"), array = try run("array")
        #expect(lines.keptLines.count == 30)
        #expect(array.kept == lines.kept)
        #expect(try places(array) == places(lines))
        try array.expectClosedAccount(["array/in.json": records.map { Array($0.utf8) }])
        for (number, record) in records.enumerated() where number % 97 == 0 {
            let why = try space.sluice("why", "out-array", "in.json:\(number + 1)")
            #expect(
                why.outputText.contains("was kept") == array.keptLines.contains(Array(record.utf8)),
                "\(why.outputText)\(why.errorText)")
        }
        #expect(try space.sluice("vectors", "out-array", "--output", "v.npy").status == 0)
    }

    // MARK: Real data

    struct Corpus: CustomTestStringConvertible {
        let files: String
        let dedupe: String
        let read: Int
        let dropped: Int
        let digest: String
        var testDescription: String { files }
    }

    static let corpora = [
        Corpus(
            files: "p3-*.jsonl.zst", dedupe: "[prompt, completion]", read: 35_570, dropped: 403,
            digest: "f3b63aaf15a420cbea0b4f185819ce8c4c653591a32bcc139d85b6ddde726d27"),
        Corpus(
            files: "abilities.jsonl.zst", dedupe: "[instruction, input, output]", read: 26_443, dropped: 26,
            digest: "c0a501f39555fd496fc8c1350ececf2c18b9ecd78de2b8087b1144525b5d19f8"),
    ]

    /// Another program computed the expected answers.
    @Test(arguments: corpora)
    func dedupesRealData(_ corpus: Corpus) throws {
        guard let sharedData else { return skip("../shared/data is not there") }
        let space = try Workspace()
        try space.define(files: "\(sharedData)/\(corpus.files)", input: ["dedupe: {on: \(corpus.dedupe)}"])
        let files = try space.run()
        #expect(files.count("read") == corpus.read)
        #expect(files.count("dropped") == corpus.dropped)
        #expect(files.count("quarantined") == 0)
        #expect(sha256(files.kept) == corpus.digest)
        try files.expectClosedAccount()
        for variation in [["--threads", "1"], ["--threads", "4", "--block-bytes", "65536"]] {
            #expect(try space.run(variation, into: "out2").digests == files.digests)
            try FileSystem.local.removeTree(space("out2"))
        }
        // Compared byte by byte, in memory and on disk.
        for variation in [[], ["--dedupe-bytes", "1"]] {
            let compared = try space.run(["--set", "input.dedupe.verify=bytes"] + variation, into: "out3")
            #expect(compared.kept == files.kept && compared.ledger == files.ledger)
            #expect(compared.manifest["stages"]?.elements.first?["collisions"] == 0)
            try FileSystem.local.removeTree(space("out3"))
        }
    }
}
