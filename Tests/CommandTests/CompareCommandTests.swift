import Glibc
import SluiceCore
import SluiceIO
import Testing

/// `compare` and `vectors` against plain floating-point sums over the same vectors.
@Suite struct CompareCommandTests {
    /// A run that keeps everything, so that its vectors are the pool, and a run that selects from it.
    private func runs(in space: Workspace, records: Int, dimensions: Int, keep: Int) throws {
        try space.write(
            "in.jsonl",
            lines: (0..<records).map {
                #"{"text": "item \#($0 * $0 % 997) of shelf \#($0 % 13), \#($0 % 5 == 0 ? "blue" : "red") no. \#($0)", "kind": "k\#($0 % 40)"}"#
            })
        // So that the vectors determine the memory, and not the longest record.
        try space.define(
            input: ["max_record: 64KiB"],
            stages: [
                #"format: {template: "{text}"}"#, "embed: {model: lexical, dimensions: \(dimensions)}",
                "coreset: {keep: 100%, method: random}",
            ])
        _ = try space.run(into: "all")
        _ = try space.run(["--set", "stages.coreset.keep=\(keep)"], into: "some")
    }

    private func vectors(_ space: Workspace, of run: String) throws -> [[Double]] {
        let outcome = try space.sluice("vectors", run, "--output", "\(run).npy")
        guard outcome.status == 0 else { throw Failure(outcome.errorText) }
        let file = try NpyReader<Int8>(space("\(run).npy"))
        let values = try file.read(rows: 0..<file.rows)
        return stride(from: 0, to: values.count, by: file.width).map { start in
            values[start..<(start + file.width)].map { Double($0) }
        }
    }

    private func compare(_ space: Workspace, _ arguments: String...) throws -> JSONValue {
        let outcome = try space.sluice(["compare", "--json"] + arguments)
        guard outcome.status == 0 else { throw Failure(outcome.errorText) }
        return try JSONValue(json: outcome.output)
    }

    private func isClose(_ a: Double?, _ b: Double) -> Bool { a.map { abs($0 - b) <= 1e-9 * max(1, abs(b)) } ?? false }

    @Test(arguments: [(300, 24, 30), (120, 48, 7), (90, 16, 2)])
    func figuresAreThoseOfAPlainReference(records: Int, dimensions: Int, keep: Int) throws {
        let space = try Workspace()
        try runs(in: space, records: records, dimensions: dimensions, keep: keep)
        let pool = try vectors(space, of: "all"), chosen = try vectors(space, of: "some")
        #expect(pool.count == records && chosen.count == keep)
        let found = try compare(space, "some", "all", "--pool-sample", "0", "--label", "kind")
        #expect(found["same_pool_and_embedding"] == .flag(true))
        let run = try #require(found["runs"]?.elements.first)
        #expect(run["records"]?.integerValue == records && run["pool_sample"]?.integerValue == records)
        #expect(run["kept"]?.integerValue == keep)

        // Distances between unit vectors: components are in units of 8 / (127 √d).
        let unit = 8 / (127 * Double(dimensions).squareRoot())
        func squared(_ a: [Double], _ b: [Double]) -> Double {
            zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } * unit * unit
        }
        let nearest = pool.map { row in chosen.map { squared(row, $0) }.min()!.squareRoot() }.sorted()
        func within(_ percent: Int) -> Double { nearest[(records * percent + 99) / 100 - 1] }
        #expect(isClose(run["radius"]?.realValue, nearest[records - 1]))
        #expect(isClose(run["mean_distance"]?.realValue, nearest.reduce(0, +) / Double(records)))
        #expect(isClose(run["median_distance"]?.realValue, within(50)))
        #expect(isClose(run["distance_90"]?.realValue, within(90)))
        #expect(isClose(run["distance_99"]?.realValue, within(99)))
        #expect(isClose(run["effective_rank"]?.realValue, effectiveRank(chosen)))

        // NovelSum as in its paper: cosine distances to all selected records, by rank, times the sparseness in the
        // pool.
        let terms = chosen.map { row -> Double in
            let ranked = chosen.map { squared(row, $0) / 2 }.sorted()
            let weights = ranked.indices.map { 1 / Double($0 + 1) }
            let spread = zip(ranked, weights).reduce(0) { $0 + $1.0 * $1.1 } / weights.reduce(0, +)
            let around = pool.map { squared(row, $0) }.sorted().dropFirst().prefix(10)
            return spread / (around.reduce(0, +) / Double(around.count) + 1e-9).squareRoot()
        }
        #expect(isClose(run["novel_sum"]?.realValue, terms.reduce(0, +) / Double(keep)))

        let kinds = Set(
            try RunFiles(space("some")).keptLines.map { try RunFiles.Entry($0).values["kind"] as? String ?? "" })
        #expect(run["labels"]?.integerValue == 40)
        #expect(run["labels_reached"]?.integerValue == kinds.count)

        let all = try #require(found["runs"]?.elements.last)
        #expect(all["radius"]?.realValue == 0 && all["distance_99"]?.realValue == 0)
        #expect(isClose(all["effective_rank"]?.realValue, all["effective_rank_of_pool"]?.realValue ?? 0))
    }

    /// The pool is what the dedupe kept; picks of an earlier run count as covering; an unknown label is an error.
    @Test func poolAlreadyAndLabels() throws {
        let space = try Workspace()
        let texts = (0..<60).map { "item \($0 * $0 % 59) of shelf \($0 % 7)" }
        try space.write("in.jsonl", lines: (texts + texts[..<20]).map { #"{"text": "\#($0)", "kind": "k"}"# })
        try space.define(
            input: ["dedupe: {on: [text]}"],
            stages: [#"format: {template: "{text}"}"#, "embed: {model: lexical, dimensions: 16}", "coreset: {keep: 5}"])
        _ = try space.run(into: "one")
        let distinct = try RunFiles(space("one")).manifest["stages"]?.elements.first?["distinct"]?.integerValue
        #expect(try space.sluice("vectors", "one", "--output", "one.npy").status == 0)
        _ = try space.run(["--set", "stages.coreset.already=one.npy", "--set", "stages.coreset.per=all"], into: "two")
        let found = try compare(space, "one", "two", "--pool-sample", "0")["runs"]?.elements ?? []
        try #require(found.count == 2)
        #expect(found[0]["records"]?.integerValue == distinct && distinct ?? 80 < 80)
        #expect(found[0]["choice"] == "coreset farthest-first")
        #expect(found[1]["choice"] == "coreset farthest-first already one.npy")
        #expect(found[1]["already"]?.integerValue == 5)
        // If the earlier picks cover, too, the radius is the one that the run itself certifies.
        let report = try RunFiles(space("two")).manifest["stages"]?.elements.last
        let certified = try #require(report?["radius"]?.realValue)
        #expect(isClose(found[1]["radius"]?.realValue, certified))
        #expect(found[1]["radius"]?.realValue ?? 2 < found[0]["radius"]?.realValue ?? 0)

        let slip = try space.sluice("compare", "one", "--label", "kin")
        #expect(slip.status == 2)
        #expect(slip.errorText.contains("no record has a value of `kin`"), "\(slip.errorText)")
        #expect(slip.errorText.contains("did you mean `kind`?"), "\(slip.errorText)")
        try space.write("one.npy", Array("something else".utf8))
        let changed = try space.sluice("compare", "two")
        #expect(changed.status == 3 && changed.errorText.contains("has changed since the run"), "\(changed.errorText)")
    }

    /// Stages before the embedding that choose among all records are not repeated: the ledger has what they dropped.
    @Test func vectorsAfterAChoiceAmongAllRecords() throws {
        let space = try Workspace()
        try space.write(
            "in.jsonl",
            lines: (0..<300).map {
                #"{"text": "item \#($0 * $0 % 97) of shelf \#($0 % 13) and \#($0 % 3)", "kind": "k\#($0 % 4)"}"#
            })
        let choices = [
            "distinct: {on: [text]}", "sample: {keep: 70%}", "mixture: {keep: 60%, per: kind, shares: equal}",
        ]
        func define(_ embed: String) throws {
            try space.define(
                stages: choices + [#"format: {template: "{text}"}"#, embed, "coreset: {keep: 20}"],
                output: ["vectors: embedding"])
        }
        try define("embed: {model: lsa, dimensions: 16}")
        _ = try space.run()
        #expect(try space.sluice("vectors", "out", "--output", "again.npy").status == 0)
        #expect(try readFile(space("again.npy")) == readFile(space("out/vectors.npy")))
        let run = try RunFiles(space("out")).manifest
        let reached = run["stages"]?.elements.last?["in"]?.integerValue
        let found = try compare(space, "out", "--pool-sample", "0")["runs"]?.elements.first
        #expect(found?["records"]?.integerValue == reached && reached ?? 300 < 200)
        #expect(isClose(found?["radius"]?.realValue, run["stages"]?.elements.last?["radius"]?.realValue ?? -1))

        try define(#"embed: {model: lexical, dimensions: 16, when: "rank < 20"}"#)
        _ = try space.run(into: "ranked")
        let refused = try space.sluice("compare", "ranked")
        #expect(refused.status == 2)
        #expect(refused.errorText.contains("`embed` reads `rank`, which `mixture` wrote"), "\(refused.errorText)")
    }

    /// Uses the matrix of products of all rows with all rows; Jacobi rotations give its eigenvalues.
    private func effectiveRank(_ rows: [[Double]]) -> Double {
        let n = rows.count
        var a = rows.map { row in rows.map { zip(row, $0).reduce(0) { $0 + $1.0 * $1.1 } } }
        for _ in 0..<60 {
            for p in 0..<n {
                for q in (p + 1)..<max(n, p + 1) where a[p][q] != 0 {
                    let angle = 0.5 * atan2(2 * a[p][q], a[p][p] - a[q][q])
                    let (c, s) = (cos(angle), sin(angle))
                    for k in 0..<n { (a[k][p], a[k][q]) = (c * a[k][p] + s * a[k][q], c * a[k][q] - s * a[k][p]) }
                    for k in 0..<n { (a[p][k], a[q][k]) = (c * a[p][k] + s * a[q][k], c * a[q][k] - s * a[p][k]) }
                }
            }
        }
        let values = (0..<n).map { max(0, a[$0][$0]) }
        let total = values.reduce(0, +)
        return exp(-values.filter { $0 > 0 }.reduce(0) { $0 + $1 / total * log($1 / total) })
    }

    /// Too little memory is refused before anything is read, with a number that is enough. Since vectors are on disk, it is
    /// less than they take, and the figures are the same with any memory.
    @Test func staysWithinItsMemory() throws {
        let space = try Workspace()
        try runs(in: space, records: 20_000, dimensions: 384, keep: 6000)
        let refused = try space.sluice("compare", "some", "--memory", "40MiB", "--threads", "2")
        #expect(refused.status == 4)
        let advice = try #require(refused.errorText.firstRange(of: "give --memory "), "\(refused.errorText)")
        let needed = String(refused.errorText[advice.upperBound...].prefix { $0 != "," && !$0.isWhitespace })
        let found = try compare(space, "some", "--memory", needed, "--threads", "2")
        #expect(found["runs"]?.elements.first?["pool_sample"]?.integerValue == 20_000)
        if Program.isRelease {
            let (peak, budget) = (found["memory_peak"]?.integerValue ?? .max, found["memory_budget"]?.integerValue ?? 0)
            #expect(peak <= budget, "\(peak >> 20) MiB of \(needed)")
        }
        let more = try compare(space, "some", "--memory", "1GiB", "--threads", "1")
        #expect(more["runs"] == found["runs"])
        let wrong = try space.sluice("compare", "some", "--memory", "lots")
        #expect(wrong.status == 2)
        #expect(wrong.errorText.contains("--memory lots: `memory` must be a size"), "\(wrong.errorText)")
    }

    /// What a run of the same stages needs counts, too: long records and the memory of workers; so does the matrix from
    /// which the effective rank is computed.
    @Test(arguments: [
        (4, 15_000_000, "{text} {text} {text} {text}", 64, 16), (300, 20_000, "{text}", 1024, 1),
    ])
    func everythingCountsTowardsItsMemory(
        _ count: Int, bytes: Int, template: String, dimensions: Int, longest: Int
    ) throws {
        guard Program.isRelease else { return skip("a debug build takes minutes") }
        let space = try Workspace()
        try BudgetShape.write(space, count) { BudgetShape.record("text", BudgetShape.noise(bytes, seed: $0)) }
        try space.define(
            input: ["max_record: \(longest)MiB"],
            stages: [
                "format: {template: \"\(template)\"}", "embed: {model: lexical, dimensions: \(dimensions)}",
                "coreset: {keep: 3}",
            ])
        _ = try space.run(["--memory", "1GiB"], into: "some")
        for threads in ["1", "2"] {
            let refused = try space.sluice("compare", "some", "--memory", "2MiB", "--threads", threads)
            let advice = try #require(refused.errorText.firstRange(of: "give --memory "), "\(refused.errorText)")
            let needed = String(refused.errorText[advice.upperBound...].prefix { $0 != "," && !$0.isWhitespace })
            let found = try compare(space, "some", "--memory", needed, "--threads", threads)
            let (peak, budget) = (found["memory_peak"]?.integerValue ?? .max, found["memory_budget"]?.integerValue ?? 0)
            #expect(peak <= budget, "\(peak >> 20) MiB of \(needed)")
        }
        // Without a number of threads, as many work as there is memory for.
        let refused = try space.sluice("compare", "some", "--memory", "2MiB", "--threads", "1")
        let advice = try #require(refused.errorText.firstRange(of: "give --memory "), "\(refused.errorText)")
        let least = String(refused.errorText[advice.upperBound...].prefix { $0 != "," && !$0.isWhitespace })
        #expect(try space.sluice("vectors", "some", "--output", "v.npy", "--memory", least).status == 0)
    }

    /// Random sets of the size of the run: none is better than a run that keeps everything, and a run that covers its pool
    /// by intent is better than all of them.
    @Test func runsAreHeldAgainstRandomSets() throws {
        let space = try Workspace()
        try runs(in: space, records: 400, dimensions: 24, keep: 40)
        _ = try space.run(
            ["--set", "stages.coreset.keep=40", "--set", "stages.coreset.method=medoids"], into: "medoids")
        let found = try compare(space, "some", "all", "medoids", "--pool-sample", "0")["runs"]?.elements ?? []
        for run in found {
            let random = try #require(run["random"])
            #expect(random["draws"]?.integerValue == 19 && random["records"] == run["kept"])
            for key in ["radius", "mean_distance"] {
                let figure = try #require(random[key])
                #expect(figure["run"] == run[key], "measured on the whole sample")
                let (least, mean) = (figure["least"]?.realValue ?? 3, figure["mean"]?.realValue ?? 0)
                #expect(least <= mean + 1e-12 && mean <= (figure["most"]?.realValue ?? 0) + 1e-12)
                let steps = (figure["p"]?.realValue ?? 0) * 20
                #expect(abs(steps - steps.rounded()) < 1e-9 && steps >= 1)
            }
        }
        #expect(found[0]["random"]?["mean_distance"]?["p"]?.realValue ?? 0 > 0.05, "a random run is one of many")
        #expect(found[1]["random"]?["radius"]?["p"] == 1.0 && found[1]["random"]?["radius"]?["most"] == 0.0)
        #expect(found[2]["random"]?["mean_distance"]?["p"] == 0.05)
    }

    @Test func figuresOfOtherPoolsAreNotHeldAgainstEachOther() throws {
        let space = try Workspace()
        try runs(in: space, records: 60, dimensions: 16, keep: 5)
        _ = try space.run(["--set", "stages.embed.dimensions=24"], into: "other")
        let outcome = try space.sluice("compare", "some", "other")
        #expect(outcome.status == 0)
        #expect(outcome.outputText.contains("their figures can't be compared"), "\(outcome.outputText)")
        #expect(try compare(space, "some", "other")["same_pool_and_embedding"] == .flag(false))
        try space.write("in.jsonl", "{\"text\": \"another\"}\n")
        let changed = try space.sluice("compare", "some")
        #expect(changed.status == 3)
        #expect(changed.errorText.contains("in.jsonl is not the file that was read"), "\(changed.errorText)")
        let nothing = try space.sluice("compare", "nowhere")
        #expect(nothing.status == 2)
        #expect(nothing.errorText.contains("nowhere holds no finished run"), "\(nothing.errorText)")
    }
}
