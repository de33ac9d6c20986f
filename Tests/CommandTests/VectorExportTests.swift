import Glibc
import SluiceCore
import SluiceGeometry
import SluiceIO
import Testing

/// `output: {vectors: …, ids: …}`: the vectors of the kept records beside them, from a run in one process, a stopped one,
/// and tasks; and `embed: {model: file}`, which reads them again.
@Suite struct VectorExportTests {
    private static let files = ["vectors.npy", "vectors.ids.jsonl", "kept.jsonl.zst"]

    private func space(_ stages: [String]? = nil, output: [String] = ["vectors: embedding", "ids: id"]) throws
        -> Workspace
    {
        let space = try Workspace()
        for file in 0..<3 {
            let lines = (0..<400).map { line -> String in
                let id = line % 5 == 0 ? "\(file * 1000 + line)" : #""r \#(file) \#(line) é""#
                return #"{"id":\#(id),"text":"stone \#(line * 7 % 61) river \#(line % 17) hill \#(file)"}"#
            }
            try space.write("in-\(file).jsonl", lines: lines)
        }
        try space.define(
            files: "in-*.jsonl", input: ["dedupe: {on: line}"],
            stages: stages ?? [
                #"format: {template: "{text}"}"#, "embed: {dimensions: 32, reservoir: 200, features: 4096}",
                "cluster: {clusters: 3}", "coreset: {keep: 10%, per: cluster}",
                "redundancy: {method: pairwise, distance: 0.001}",
            ], output: output)
        return space
    }

    private func contents(_ space: Workspace, _ folder: String) throws -> [[UInt8]] {
        try Self.files.map { try readFile(space("\(folder)/\($0)")) }
    }

    @Test func rowsAreThoseOfTheKeptRecords() throws {
        let space = try space()
        let run = try space.run()
        // The vectors that `sluice vectors` makes again, and the ids in the kept records.
        let made = try space.sluice("vectors", "out", "--output", "again.npy")
        #expect(made.status == 0, "\(made.errorText)")
        #expect(try readFile(space("again.npy")) == readFile(space("out/vectors.npy")))
        let ids = try run.keptLines.map { try JSONValue(json: Array($0))["id"]?.json ?? "none" }
        let written = split(try readFile(space("out/vectors.ids.jsonl"))).map { text($0) }
        #expect(written == ids && ids.count > 50)
        let exports = try #require(run.manifest["exports"]?.elements)
        #expect(exports.map { $0["file"]?.textValue } == ["vectors.npy", "vectors.ids.jsonl"])
        let verified = try space.sluice("verify", "out")
        #expect(verified.status == 0 && text(verified.output).contains("6 outputs"), "\(verified.errorText)")
        // Damage is found.
        var bytes = try readFile(space("out/vectors.npy"))
        bytes[500] ^= 1
        try writeFile(space("out/vectors.npy"), bytes)
        let damaged = try space.sluice("verify", "out")
        #expect(damaged.status == 3 && damaged.errorText.contains("vectors.npy differs from what was written"))
    }

    @Test func sameBytesFromTasksThreadsAndAfterStops() throws {
        let space = try space()
        _ = try space.run(["--part-bytes", "9000"])
        let expected = try contents(space, "out")
        _ = try space.run(["--threads", "1", "--memory", "200MiB", "--part-bytes", "9000"], into: "small")
        #expect(try contents(space, "small") == expected)

        let prepared = try space.sluice(
            "run", "run.yaml", "--output", "tasks", "--prepare", "--part-bytes", "9000", "--progress", "none")
        for task in try JSONValue(json: prepared.output).elements.compactMap({ $0["task"]?.textValue }) {
            let done = try space.sluice("task", "tasks", task)
            #expect(done.status == 0, "\(task): \(done.errorText)")
        }
        #expect(try contents(space, "tasks") == expected)
        // A result without vectors removes those of the result before it.
        try space.define(files: "in-*.jsonl")
        _ = try space.run(["--force"], into: "tasks")
        #expect(!space.names(in: "tasks").contains { $0.hasPrefix("vectors") })
    }

    @Test func theKeptVectorsAreFoundAgainById() throws {
        let space = try space()
        _ = try space.run()
        try space.define(
            files: "in-*.jsonl", input: ["dedupe: {on: line}"],
            stages: [
                "embed: {model: file, path: out/vectors.npy, id: id, ids: out/vectors.ids.jsonl, missing: drop, as: mine}",
                "coreset: {keep: 100%, vectors: mine}",
            ], output: ["vectors: mine", "ids: id"])
        let again = try space.run(into: "again")
        #expect(try contents(space, "again").prefix(2) == contents(space, "out").prefix(2))
        #expect(again.manifest["stages"]?.elements.contains { $0["dropped"]?["no-vector"] != nil } == true)
        #expect(again.manifest["stage_files"]?.elements.count == 2)
    }

    @Test func largeFilesAreKnownByTheirPages() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: (0..<10).map { #"{"a":\#($0)}"# })
        // 300,000 rows of 64 floats, of which the system stores only the first page.
        let header = Array("{'descr': '<f4', 'fortran_order': False, 'shape': (300000, 64), }".utf8)
        let start = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.count), 0] + header
        var numbers: [Float] = (0..<640).map { Float($0 % 7) - 3 }
        try space.write("v.npy", start + numbers.withUnsafeBytes { Array($0) })
        #expect(truncate(space("v.npy"), start.count + 300_000 * 256) == 0)
        try space.define(stages: ["embed: {model: file, path: v.npy}", "coreset: {keep: 3}"])
        let first = try space.run()
        let file = try #require(first.manifest["stage_files"]?.elements.first)
        #expect(file["content"]?.textValue?.hasPrefix("xxh3-128-of-pages:") == true)
        let verified = try space.sluice("verify", "out")
        #expect(verified.status == 0 && text(verified.output).contains("v.npy beyond a sample of its pages"))
        #expect(try space.run().digests == first.digests)
        numbers[3] = 99
        let handle = try #require(fopen(space("v.npy"), "r+b"))
        fseek(handle, start.count, SEEK_SET)
        fwrite(numbers, 4, numbers.count, handle)
        fclose(handle)
        let refused = try space.sluice("run", "run.yaml")
        #expect(refused.status == 2 && refused.errorText.contains("v.npy"), "\(refused.errorText)")
    }

    /// The vectors of all records stand in for the model: the rest of the run is repeated with them.
    @Test(arguments: ["{dimensions: 32, reservoir: 200, features: 4096}", "{model: lexical, dimensions: 32}"])
    func runsAreRepeatedFromStoredVectors(embed: String) throws {
        let stages = [
            #"format: {template: "{text}"}"#, "length: {unit: words, min: 3}", "embed: \(embed)",
            "redundancy: {method: pairwise}", "cluster: {clusters: 3}", "coreset: {keep: 10%, per: cluster}",
        ]
        let space = try space(stages, output: ["vectors: embedding", "ids: id", "vectors_of: all"])
        let run = try space.run()
        let rows = try NpyHeader(of: space("out/vectors.npy")).rows
        #expect(rows > 2 * run.keptLines.count && rows <= 1200)
        let verified = try space.sluice("verify", "out", "--rerun", "--stored-vectors")
        #expect(verified.status == 0, "\(verified.errorText)")
        #expect(text(verified.output).contains("repeated with its stored vectors, it gives the same results"))

        try space.define(files: "in-*.jsonl", stages: stages, output: ["vectors: embedding", "ids: id"])
        _ = try space.run(into: "kept")
        let refused = try space.sluice("verify", "kept", "--rerun", "--stored-vectors")
        #expect(refused.status == 2 && refused.errorText.contains("vectors_of: all"), "\(refused.errorText)")
        #expect(try space.sluice("verify", "out", "--stored-vectors").status == 2)
    }

    @Test func whatIsRefused() throws {
        let space = try space(output: ["vectors: text"])
        func message() throws -> String { try space.sluice("check", "run.yaml").errorText }
        #expect(try message().contains("`output.vectors` names `text`, which holds bytes; it must hold vectors"))
        try space.define(
            files: "in-*.jsonl", stages: ["embed: {model: file, field: v, dimensions: 16}"],
            output: ["vectors: embedding"])
        #expect(try message().contains("`output.vectors` goes with a stage that learns or chooses"))
        try space.define(files: "in-*.jsonl", output: ["ids: id"])
        #expect(try message().contains("`output.ids` is the field of the ids beside `vectors.npy`"))
        for (output, words) in [("some", "is `kept` or `all`, not `some`"), ("all", "needs `vectors`, and `ids`")] {
            try space.define(files: "in-*.jsonl", output: ["vectors_of: \(output)"])
            #expect(try message().contains(words))
        }
    }
}
