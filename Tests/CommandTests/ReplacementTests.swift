import Glibc
import SluiceIO
import Testing

/// A result stays until the next one is complete, and a run never reads its own output.
@Suite struct ReplacementTests {
    private static let outputs = ["kept.jsonl.zst", "ledger.jsonl.zst", "quarantine.jsonl.zst", "run.json"]

    private func space() throws -> Workspace {
        let space = try Workspace()
        try space.write("in.jsonl", lines: (0..<100).map { #"{"a": "text \#($0 % 60)", "b": \#($0)}"# })
        try space.define(input: ["dedupe: {on: a}"])
        return space
    }

    private func files(_ space: Workspace, _ folder: String = "out") throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in space.names(in: folder) { files[name] = try readFile(space("\(folder)/\(name)")) }
        return files
    }

    @Test(arguments: ["malformed", "truncated", "empty.jsonl.zst", "missing"])
    func inputThatTurnsOutBadLeavesTheOldResult(_ kind: String) throws {
        let space = try space()
        _ = try space.run()
        let before = try files(space)
        #expect(before.keys.sorted() == Self.outputs)
        let packed = zstd(joined((0..<2000).map { Array(#"{"a": \#($0)}"#.utf8) }))
        try space.write("malformed", "{\"a\": 1}\n{\n")
        try space.write("truncated", Array(packed.dropLast(100)))
        try space.write("empty.jsonl.zst", [])
        let outcome = try space.sluice(
            "run", "run.yaml", "--input", kind, "--set", "input.malformed=fail", "--force")
        #expect(outcome.status == (kind == "missing" ? 2 : 3), "\(outcome.errorText)")
        #expect(!outcome.errorText.contains("--resume"), "nothing of it is kept: \(outcome.errorText)")
        #expect(try files(space) == before)
        #expect(try space.sluice("verify", "out").status == 0)
    }

    @Test(arguments: [
        "out/k*.zst", "out/kept.jsonl.zst", "./out/../out/kept.jsonl.zst", "PATH/out/kept.jsonl.zst", "link.jsonl.zst",
        "folder/kept.jsonl.zst", "out/deep/more.jsonl", "out/elsewhere.jsonl",
    ])
    func inputsInTheOutputDirectoryAreRefused(_ input: String) throws {
        let space = try space()
        _ = try space.run()
        symlink("out/kept.jsonl.zst", space("link.jsonl.zst"))
        symlink("out", space("folder"))
        try space.write("out/deep/more.jsonl", "{\"a\": 1}\n")
        symlink("../in.jsonl", space("out/elsewhere.jsonl"))
        func state() throws -> [[UInt8]] { try Self.outputs.map { try readFile(space("out/\($0)")) } }
        let before = try state()
        for arguments in [[], ["--force"], ["--resume"]] {
            let outcome = try space.sluice(
                ["run", "run.yaml", "--input", input.replacing("PATH", with: space.path), "--input", "in.jsonl"]
                    + arguments)
            #expect(outcome.status == 2, "\(outcome.errorText)")
            #expect(outcome.errorText.contains("is in the output directory out"), "\(outcome.errorText)")
            #expect(try state() == before)
            #expect(!space.names(in: "out").contains("work"))
        }
    }

    /// A hard link to the same file elsewhere keeps its content.
    @Test func aHardLinkToTheOldResultKeepsItsContent() throws {
        let space = try space()
        let first = try space.run()
        #expect(link(space("out/kept.jsonl.zst"), space("again.jsonl.zst")) == 0)
        let second = try space.run(["--input", "again.jsonl.zst", "--force"])
        #expect(second.kept == first.kept)
        #expect(try unpacked(space("again.jsonl.zst")) == first.kept)
        #expect(try space.sluice("verify", "out", "--rerun").status == 0)
    }

    @Test(arguments: ["kept.jsonl.zst", "ledger.jsonl.zst", "quarantine.jsonl.zst", "picks.jsonl.zst"])
    func filesThatNoManifestVouchesForAreRefused(_ name: String) throws {
        let space = try space()
        try space.write("out/\(name)", "precious")
        for arguments in [[], ["--resume"]] {
            let outcome = try space.sluice(["run", "run.yaml"] + arguments)
            #expect(outcome.status == 2, "\(outcome.errorText)")
            #expect(outcome.errorText.contains(name) && outcome.errorText.contains("--force"), "\(outcome.errorText)")
            #expect(space.names(in: "out") == [name])
            #expect(try text(readFile(space("out/\(name)"))) == "precious")
        }
        _ = try space.run(["--force"])
        #expect(space.names(in: "out") == Self.outputs)
    }

    @Test func someoneElsesWorkFolderAndPartialFilesStay() throws {
        let space = try space()
        try space.write("out/work/thesis.tex", "years of work")
        let outcome = try space.sluice("run", "run.yaml", "--force")
        #expect(outcome.status == 2, "\(outcome.errorText)")
        #expect(outcome.errorText.contains("`work`"), "\(outcome.errorText)")
        #expect(try text(readFile(space("out/work/thesis.tex"))) == "years of work")

        try space.write("out2/film.partial", "half a film")
        #expect(try space.sluice("run", "run.yaml", "--output", "out2").status == 2)
        _ = try space.run(["--force"], into: "out2")
        #expect(try text(readFile(space("out2/film.partial"))) == "half a film")
    }

    /// Files that the new result lacks are removed with the old one.
    @Test func nothingOfTheOldResultIsLeftBesideTheNewOne() throws {
        let space = try space()
        try space.define(stages: [
            #"format: {template: "{a}"}"#, "embed: {model: lexical, dimensions: 16}", "coreset: {keep: 7}",
        ])
        _ = try space.run()
        #expect(space.names(in: "out").contains("picks.jsonl.zst"))
        try space.define(input: ["dedupe: {on: a}"])
        _ = try space.run(["--force"])
        #expect(space.names(in: "out") == Self.outputs)
    }
}
