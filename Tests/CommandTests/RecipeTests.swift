import Foundation
import Glibc
import SluiceCore
import SluiceIO
import Testing

/// The recipes in `examples/` run unchanged and keep their promises.
@Suite struct RecipeTests {
    private func run(_ recipe: String, _ arguments: [String], in space: Workspace, into directory: String) throws
        -> RunFiles
    {
        let outcome = try space.sluice(
            ["run", "\(projectFolder)/examples/\(recipe)", "--output", directory, "--progress", "none"] + arguments)
        guard outcome.status == 0 else { throw Failure("exit status \(outcome.status): \(outcome.errorText)") }
        return try RunFiles(space(directory))
    }

    private static let variations = [
        ["--threads", "1"], ["--threads", "4", "--block-bytes", "4096"], ["--threads", "8", "--memory", "1GiB"],
    ]

    @Test(arguments: ["quickstart.yaml", "ltd.yaml", "lift.yaml", "doit.yaml", "everyday.yaml"])
    func runsAsItStands(_ recipe: String) throws {
        let space = try Workspace()
        let files = try run(recipe, [], in: space, into: "out")
        try files.expectClosedAccount()
        // The counts stated in examples/data/README.md.
        #expect(files.count("read") == 6575)
        #expect(files.count("blank_lines") == 1)
        #expect(files.count("quarantined") == 9)
        #expect(files.manifest["stages"]?.elements.first?["dropped"]?["duplicate"]?.integerValue == 160)
        for (number, variation) in Self.variations.enumerated() {
            let again = try run(recipe, variation, in: space, into: "out\(number)")
            #expect(again.digests == files.digests, "\(variation)")
        }
    }

    /// Every ability has the budget of the mixture, counted by another parser.
    @Test func theMixtureHasItsBudgets() throws {
        let files = try run("doit.yaml", [], in: try Workspace(), into: "out")
        try files.expectClosedAccount()
        var counts: [String: Int] = [:]
        for line in files.keptLines {
            let record = try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
            counts[record?["ability"] as? String ?? "none", default: 0] += 1
        }
        #expect(counts.removeValue(forKey: "ethics") == 6 && counts.removeValue(forKey: "role-play") == 6)
        #expect(counts.removeValue(forKey: "creative writing") == 100)
        // 888 for seven abilities.
        #expect(counts.values.sorted() == [126, 127, 127, 127, 127, 127, 127])
        #expect(files.manifest["stages"]?.elements.last?["quota_not_met"]?.elements.isEmpty == true)
    }

    /// The budget is met exactly, as a share of the records that reach the stage (rounded half to even) and as a
    /// number.
    @Test(arguments: [("5%", nil), ("300", 300), ("1", 1), ("0.5%", nil)] as [(String, Int?)])
    func ltdMeetsItsBudget(keep: String, count: Int?) throws {
        let space = try Workspace()
        let files = try run("ltd.yaml", ["--set", "stages.coreset.keep=\(keep)"], in: space, into: "out")
        let coreset = try #require(files.manifest["stages"]?.elements.last)
        #expect(coreset["stage"]?.textValue == "coreset")
        let reached = try #require(coreset["in"]?.integerValue)
        let expected =
            count ?? (keep == "5%" ? roundedHalfToEven(reached * 5, by: 100) : roundedHalfToEven(reached * 5, by: 1000))
        #expect(files.count("kept") == expected)
        #expect(files.keptLines.count == expected)
        try files.expectClosedAccount()
        // Each pick is listed, and no rank occurs twice in a cluster.
        let picks = try split(files.picks ?? []).map { try RunFiles.Entry($0) }
        #expect(picks.count == expected)
        let ranks = picks.map { "\($0.values["cluster"] ?? "") \($0.values["rank"] ?? "")" }
        #expect(Set(ranks).count == expected)
    }

    private func roundedHalfToEven(_ value: Int, by divisor: Int) -> Int {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return quotient + (remainder * 2 > divisor || (remainder * 2 == divisor && quotient % 2 == 1) ? 1 : 0)
    }

    /// The selection is the same when the same lines are split into other files.
    @Test func ltdDoesNotMoveWithTheCut() throws {
        let space = try Workspace()
        var lines: [[UInt8]] = []
        for part in 0..<3 { lines += split(try unpacked("\(projectFolder)/examples/data/demo-\(part).jsonl.zst")) }
        try space.write("one/all.jsonl", lines: lines)
        for part in 0..<10 {
            let range = (part * lines.count / 10)..<((part + 1) * lines.count / 10)
            try space.write("ten/part-\(part).jsonl.zst", lines: Array(lines[range]))
        }
        let kept = try run("ltd.yaml", [], in: space, into: "out").kept
        #expect(try run("ltd.yaml", ["--input", "one/all.jsonl"], in: space, into: "out1").kept == kept)
        #expect(try run("ltd.yaml", ["--input", "ten/*.zst", "--threads", "4"], in: space, into: "out10").kept == kept)
    }

    /// The recipe on real P3 data, varying everything that must not affect the result.
    @Test func ltdOnP3() throws {
        guard let sharedData else { return skip("../shared/data is not there") }
        let space = try Workspace()
        let arguments = [
            "--set", "input.dedupe.on=[prompt,completion]", "--set", "stages.format.template=prompt-completion",
            "--set", "stages.coreset.keep=5%",
        ]
        let p3 = ["--input", "\(sharedData)/p3-*.jsonl.zst"]
        let files = try run("ltd.yaml", arguments + p3, in: space, into: "out")
        #expect(files.count("read") == 35_570)
        #expect(files.manifest["stages"]?.elements.first?["dropped"]?["duplicate"]?.integerValue == 403)
        let reached = try #require(files.manifest["stages"]?.elements.last?["in"]?.integerValue)
        #expect(files.count("kept") == roundedHalfToEven(reached * 5, by: 100))
        try files.expectClosedAccount()
        for (number, variation) in [["--threads", "1"], ["--threads", "4", "--block-bytes", "65536"]].enumerated() {
            let again = try run("ltd.yaml", arguments + p3 + variation, in: space, into: "out\(number)")
            #expect(again.digests == files.digests, "\(variation)")
        }
        var lines: [[UInt8]] = []
        for part in 0..<4 { lines += split(try unpacked("\(sharedData)/p3-0\(part).jsonl.zst")) }
        try space.write("cut/a.jsonl", lines: Array(lines[..<100]))
        try space.write("cut/b.jsonl.zst", lines: Array(lines[100..<20_001]))
        try space.write("cut/c.jsonl.zst", lines: Array(lines[20_001...]))
        let cut = try run("ltd.yaml", arguments + ["--input", "cut/*"], in: space, into: "cut-out")
        #expect(cut.kept == files.kept)
        #expect(cut.count("dropped") == files.count("dropped"))
    }

    /// Farthest-first on more than 5,000 vectors of real records, against the plain algorithm.
    @Test(arguments: ["demo", "p3"])
    func picksAreThoseOfThePlainAlgorithm(_ data: String) throws {
        guard data == "demo" || sharedData != nil else { return skip("../shared/data is not there") }
        let files = data == "demo" ? "\(projectFolder)/examples/data/demo-*.zst" : "\(sharedData ?? "")/p3-01.jsonl.zst"
        let space = try Workspace()
        try space.define(
            files: files, input: ["dedupe: {on: line}"],
            stages: [
                "format: {template: auto}", "embed: {model: lexical, dimensions: 64}",
                "coreset: {keep: 100%, method: random}",
            ])
        let all = try space.run(into: "all")
        let some = try space.run(
            ["--set", "stages.coreset.keep=90", "--set", "stages.coreset.method=farthest-first"], into: "some")
        #expect(try space.sluice("vectors", "all", "--output", "all.npy").status == 0)
        let file = try NpyReader<Int8>(space("all.npy"))
        let (rows, width) = (try file.read(rows: 0..<file.rows), file.width)
        #expect(file.rows >= 5000, "\(file.rows)")

        let places = try split(all.picks ?? []).map { try RunFiles.Entry($0).place }
        let rowOf = Dictionary(uniqueKeysWithValues: zip(places, 0...))
        let picks = try split(some.picks ?? []).map { try RunFiles.Entry($0) }
            .sorted { ($0.values["rank"] as? Int ?? -1) < ($1.values["rank"] as? Int ?? -1) }
            .compactMap { rowOf[$0.place] }
        try #require(picks.count == 90)

        // Farthest from all picks, the first on ties; the first pick is unchanged.
        var least = [Int](repeating: .max, count: file.rows)
        var plain = [picks[0]]
        rows.withUnsafeBufferPointer { rows in
            while plain.count < picks.count {
                let last = plain[plain.count - 1] * width
                var farthest = 0
                for row in least.indices {
                    var squared = 0
                    for i in 0..<width {
                        let difference = Int(rows[row * width + i]) - Int(rows[last + i])
                        squared += difference * difference
                    }
                    if squared < least[row] { least[row] = squared }
                    if least[row] > least[farthest] { farthest = row }
                }
                plain.append(farthest)
            }
        }
        #expect(picks == plain)
    }

    /// README.md shows the program's output; only time and memory differ.
    @Test func theReadmeShowsWhatIsPrinted() throws {
        guard let sharedData else { return skip("../shared/data is not there") }
        let readme = split(try readFile("\(projectFolder)/README.md")).map { text($0) }
        func block(_ kind: String) throws -> [String] {
            let start = try #require(readme.firstIndex(of: "```\(kind)"))
            return Array(readme[(start + 1)...].prefix { $0 != "```" })
        }
        let space = try Workspace()
        try space.write("select.yaml", lines: try block("yaml"))
        symlink(sharedData, space("data"))
        var printed: [String] = []
        for line in try block("console") where line.hasPrefix("$ sluice ") {
            let outcome = try space.sluice(line.dropFirst("$ sluice ".count).split(separator: " ").map(String.init))
            #expect(outcome.status == 0, "\(outcome.errorText)")
            printed += [line] + split(outcome.output + outcome.error).map { text($0) }.filter { !$0.hasPrefix("step ") }
        }
        func lasting(_ line: String) -> String { line.contains("peak memory") ? "out:" : line }
        #expect(printed.map(lasting) == (try block("console").map(lasting)))
    }
}
