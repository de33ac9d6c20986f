import Foundation
import SluiceCore
import SluiceIO
import Testing

/// `outputs`: named files of the kept records, by a test, per label, in an order, as a ladder, in shards; and records by a
/// template. Each against a plain choice from the kept records.
@Suite struct SinkTests {
    private static let stages = [
        #"format: {template: "{text}"}"#, "measure: {columns: [words]}", "split: {parts: {train: 80%, valid: 20%}}",
        "embed: {model: lexical, dimensions: 32}", "cluster: {clusters: 4, reservoir: 200}",
        "coreset: {keep: 40%, per: cluster}",
    ]
    private static let output = ["annotate: [words, split, cluster, cluster_distance, rank]"]

    /// Three files; some records without a label, one with a label of its own, labels that no file can be called.
    private func space(_ stages: [String] = Self.stages, output: [String] = Self.output, sinks: [String]) throws
        -> Workspace
    {
        let space = try Workspace()
        for file in 0..<3 {
            var lines = (0..<300).map { line -> String in
                let label =
                    ["", #""lang":"en","#, #""lang":"de/at","#, #""lang":null,"#, #""lang":["a",1],"#, #""lang":"","#][
                        line * 5 % 6]
                let words = (0..<(line * 7 % 23)).map { "w\($0 * line % 13)" }.joined(separator: " ")
                return
                    #"{"id":\#(file * 1000 + line),\#(label)"text":"stone \#(line * 7 % 61) \#(words) hill \#(file)"}"#
            }
            if file == 1 { lines.append(#"{"id":5000,"lang":"\#(String(repeating: "x", count: 3000))","text":"a b"}"#) }
            try space.write("in-\(file).jsonl", lines: lines)
        }
        try define(space, stages, output: output, sinks: sinks)
        return space
    }

    private func define(_ space: Workspace, _ stages: [String] = Self.stages, output: [String], sinks: [String]) throws
    {
        try space.define(files: "in-*.jsonl", input: ["dedupe: {on: [text]}"], stages: stages, output: output)
        let yaml = text(try readFile(space("run.yaml"))) + "outputs:\n" + sinks.map { "  \($0)\n" }.joined()
        try space.write("run.yaml", yaml)
    }

    private static let sinks = [
        "few: {where: rank < 10}", "train: {where: split == train, order: shuffled}",
        "valid: {where: \"split == valid and (words > 5 or lang in [en, 'de/at'])\"}", "by-lang: {per: lang}",
        "by-cluster: {per: cluster, order: {by: cluster_distance, descending: true}, shard_records: 7}",
        "sizes: {ladder: x4}", "long: {order: {by: words, descending: true}, compression: none}",
        "tenths: {ladder: [10%, 50%], order: input}", "parts: {shard_size: 4KiB}", "none: {where: words > 1000}",
        "copy:",
    ]

    /// The kept records with their annotations, in their order.
    private func kept(_ run: RunFiles) throws -> [(line: [UInt8], record: JSONValue)] {
        try run.keptLines.map { ($0, try JSONValue(json: $0)) }
    }

    private func lines(_ space: Workspace, _ name: String, in folder: String = "out") throws -> [[UInt8]] {
        split(try unpacked(space("\(folder)/outputs/\(name).jsonl.zst")))
    }

    private func number(_ record: JSONValue, _ column: String) -> Double {
        record["_sluice"]?[column]?.realValue ?? record["_sluice"]?[column]?.integerValue.map(Double.init) ?? .nan
    }

    // MARK: What belongs where

    @Test func eachOutputIsAPlainChoiceOfTheKeptRecords() throws {
        let space = try space(sinks: Self.sinks)
        let run = try space.run()
        let kept = try kept(run)
        #expect(kept.count > 300)
        let few = kept.filter { number($0.record, "rank") < 10 }.map(\.line)
        #expect(try lines(space, "few") == few && !few.isEmpty && few.count < kept.count)
        let valid = kept.filter { record in
            let lang = record.record["lang"]?.textValue
            return record.record["_sluice"]?["split"]?.textValue == "valid"
                && (number(record.record, "words") > 5 || lang == "en" || lang == "de/at")
        }.map(\.line)
        #expect(try lines(space, "valid") == valid && valid.count > 20)
        let train = kept.filter { $0.record["_sluice"]?["split"]?.textValue == "train" }.map(\.line)
        let shuffled = try lines(space, "train")
        #expect(
            shuffled != train
                && shuffled.sorted { $0.lexicographicallyPrecedes($1) }
                    == train.sorted { $0.lexicographicallyPrecedes($1) }
        )
        #expect(try unpacked(space("out/outputs/copy.jsonl.zst")) == run.kept)
        #expect(try lines(space, "none").isEmpty)
        #expect(
            run.manifest["warnings"]?.elements.contains {
                $0.textValue
                    == "output `none` is empty: `words > 1000` holds for none of the \(kept.count) kept records"
            } == true)
        try run.expectClosedAccount()
    }

    @Test func labelsHaveFilesOfTheirOwn() throws {
        let space = try space(sinks: Self.sinks)
        let run = try space.run()
        let kept = try kept(run)
        let names = [
            "_missing": nil, "en": "\"en\"", "de%2Fat": "\"de/at\"", "%5B%22a%22%2C1%5D": "[\"a\",1]", "%": "\"\"",
        ]
        var found = 0
        for (file, label) in names {
            let own = kept.filter { record in
                let value = record.record["lang"]
                return label == nil ? value == nil || value == .null : value?.json == label
            }.map(\.line)
            #expect(try lines(space, "by-lang/\(file)") == own, "\(file)")
            found += own.count
        }
        #expect(kept.count - found <= 1 && space.names(in: "out/outputs/by-lang").count <= 6)
        let entries = run.manifest["outputs"]?.elements.filter { $0["output"] == "by-lang" } ?? []
        #expect(entries.first?["label"] == .null && entries.contains { $0["label"] == "de/at" })
        for cluster in 0..<4 {
            let own = kept.filter { number($0.record, "cluster") == Double(cluster) }.enumerated().sorted { a, b in
                let (x, y) = (
                    number(a.element.record, "cluster_distance"), number(b.element.record, "cluster_distance")
                )
                return x == y ? a.offset < b.offset : x > y
            }.map(\.element.line)
            var read: [[UInt8]] = []
            for shard in 0..<((own.count + 6) / 7) {
                let part = try lines(space, "by-cluster/\(cluster)-0000\(shard)")
                #expect(part.count == min(7, own.count - read.count) || shard > 9)
                read += part
                if shard == 9 { break }
            }
            #expect(read == Array(own.prefix(read.count)) && read.count >= min(own.count, 70))
        }
    }

    @Test func laddersAreBeginnings() throws {
        let space = try space(sinks: Self.sinks)
        let run = try space.run()
        let kept = try kept(run)
        let byRank = kept.enumerated().sorted { a, b in
            let (x, y) = (number(a.element.record, "rank"), number(b.element.record, "rank"))
            return x == y ? a.offset < b.offset : x < y
        }.map(\.element.line)
        var sizes = [10, 40, 160]
        if kept.count > 640 { sizes.append(640) }
        sizes.append(kept.count)
        #expect(space.names(in: "out/outputs/sizes").sorted() == sizes.map { "\($0).jsonl.zst" }.sorted())
        for size in sizes { #expect(try lines(space, "sizes/\(size)") == Array(byRank.prefix(size)), "\(size)") }
        let half = try #require(Quantity("50%")).resolve(of: kept.count)
        #expect(try lines(space, "tenths/\(half)") == kept.prefix(half).map(\.line))
        let long = kept.enumerated().sorted { a, b in
            let (x, y) = (number(a.element.record, "words"), number(b.element.record, "words"))
            return x == y ? a.offset < b.offset : x > y
        }.map(\.element.line)
        #expect(split(try readFile(space("out/outputs/long.jsonl"))) == long)
        var read: [UInt8] = []
        for name in space.names(in: "out/outputs/parts").sorted() {
            let part = try unpacked(space("out/outputs/parts/\(name)"))
            let last = split(part).last?.count ?? 0
            #expect(part.count - last - 1 < 4096)
            read += part
        }
        #expect(read == run.kept)
    }

    // MARK: However it is made

    @Test func sameFilesFromThreadsMemoryTasksAndStops() throws {
        let space = try space(sinks: Self.sinks)
        let parts = ["--part-bytes", "9000"]
        let run = try space.run(parts)
        let expected = try files(space, "out")
        #expect(expected.count > 40)
        let other = try space.run(parts + ["--threads", "1", "--memory", "190MiB"], into: "small")
        #expect(other.digests == run.digests)
        #expect(try files(space, "small") == expected)
        let prepared = try space.sluice(
            ["run", "run.yaml", "--output", "tasks", "--prepare", "--progress", "none"] + parts)
        for task in try JSONValue(json: prepared.output).elements.compactMap({ $0["task"]?.textValue }) {
            let done = try space.sluice("task", "tasks", task)
            #expect(done.status == 0, "\(task): \(done.errorText)")
        }
        #expect(try files(space, "tasks") == expected)
        #expect(try RunFiles(space("tasks")).digests == run.digests)
        let verified = try space.sluice("verify", "out", "--rerun")
        #expect(verified.status == 0, "\(verified.errorText)")
        // Damage is found, and a missing file makes the run repeat.
        var bytes = try readFile(space("out/outputs/few.jsonl.zst"))
        bytes[20] ^= 1
        try writeFile(space("out/outputs/few.jsonl.zst"), bytes)
        #expect(try space.sluice("verify", "out").status == 3)
        unlink(space("out/outputs/by-lang/en.jsonl.zst"))
        _ = try space.run(parts + ["--resume"])
        #expect(try files(space, "out") == expected)
        // A result with other outputs removes the files of the one before, and nothing else.
        try space.write("out/outputs/mine.txt", "mine")
        try define(space, output: [], sinks: ["few: {where: rank < 3}"])
        _ = try space.run(["--force"])
        #expect(Set(space.names(in: "out/outputs")) == ["few.jsonl.zst", "mine.txt"])
    }

    private func files(_ space: Workspace, _ folder: String) throws -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        let all = FileManager.default.enumerator(atPath: space("\(folder)/outputs"))?.compactMap { $0 as? String } ?? []
        for name in all where name.contains(".jsonl") { found[name] = try readFile(space("\(folder)/outputs/\(name)")) }
        return found
    }

    @Test func withoutStagesAndFromOnePass() throws {
        // Of a copy, each output is made from fields alone, with records of a megabyte, in little memory.
        let space = try Workspace()
        let long = String(repeating: "z", count: 1_000_000)
        let lines = (0..<60).map {
            #"{"n":\#($0 * 37 % 60),"s":"\#($0 % 2 == 0 ? "even" : "odd")","t":"\#($0 % 5 == 0 ? long : "")"}"#
        }
        try space.write("in.jsonl", lines: lines)
        try space.define(input: ["max_record: 2MiB"])
        let yaml = text(try readFile(space("run.yaml")))
        try space.write(
            "run.yaml",
            yaml + "memory: 120MiB\noutputs:\n  up: {order: {by: n}, where: t exists}\n  s: {per: s, order: shuffled}\n"
        )
        let run = try space.run(["--threads", "1"])
        let sorted = (0..<60).sorted { $0 * 37 % 60 < $1 * 37 % 60 }.map { Array(lines[$0].utf8) }
        #expect(try self.lines(space, "up") == sorted)
        let (even, odd) = (try self.lines(space, "s/even"), try self.lines(space, "s/odd"))
        #expect(even.count == 30 && Set(even + odd) == Set(run.keptLines))
        let peak = run.manifest["timing"]?["memory_peak"]?.integerValue ?? .max
        #expect(peak <= 120 << 20)
    }

    @Test func theSummaryCountsTheRecordsOfEachOutput() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: (0..<40).map { #"{"n":\#($0),"s":\#($0 % 9)}"# })
        try space.define()
        let yaml = text(try readFile(space("run.yaml")))
        try space.write(
            "run.yaml",
            yaml + "outputs:\n  one: {where: n < 1}\n  sizes: {ladder: x2, order: {by: n}}\n  by: {per: s}\n")
        let run = try space.sluice("run", "run.yaml", "--progress", "none")
        #expect(run.status == 0)
        for line in [
            "  output one: 1 record\n", "  output sizes: 3 files of 10, 20 and 40 records\n",
            "  output by: 9 files of 4 to 5 records\n",
        ] {
            #expect(run.errorText.contains(line), "\(run.errorText)")
        }
    }

    @Test func recordsByATemplate() throws {
        let record =
            #"record: {q: "{text}", meta: {who: "{lang}/{id}", rank: "{rank}", none: "{nope}", n: 3, f: [true, null, 1.5, "a {{b}}"]}}"#
        let space = try space(output: [record], sinks: ["train: {where: split == train}"])
        let run = try space.run()
        let inputs = try (0..<3).flatMap { try split(readFile(space("in-\($0).jsonl"))) }.map {
            try JSONValue(json: $0)
        }
        let byText = Dictionary(
            inputs.map { ($0["text"]?.textValue ?? "", $0) }, uniquingKeysWith: { first, _ in first })
        let picks = try split(try #require(run.picks)).map { try JSONValue(json: $0) }
        for (line, pick) in zip(run.keptLines, picks) {
            let made = try JSONValue(json: line)
            let from = try #require(byText[made["q"]?.textValue ?? ""])
            let lang = from["lang"].map { $0.textValue ?? ($0 == .null ? "" : $0.json) } ?? ""
            let expected: JSONValue = [
                "q": from["text"] ?? .null,
                "meta": [
                    "who": .text("\(lang)/\(from["id"]?.json ?? "")"), "rank": pick["rank"] ?? .null, "none": .null,
                    "n": .integer(3), "f": [.flag(true), .null, .real(1.5), "a {b}"],
                ],
            ]
            #expect(made == expected)
        }
        #expect(run.keptLines.count == picks.count)
    }

    /// A record stays in its part when others are added, and all records of a key are in one.
    @Test func splitsStayAsDataGrow() throws {
        let stages = ["split: {parts: {train: 70%, valid: 20%, test: 10%}, on: [key]}"]
        let space = try Workspace()
        let lines = (0..<900).map { #"{"key":\#($0 / 3),"n":\#($0)}"# }
        try space.write("in.jsonl", lines: Array(lines.prefix(300)))
        try space.define(stages: stages, output: ["annotate: [split]"])
        func parts(_ run: RunFiles) throws -> [Int: String] {
            Dictionary(
                uniqueKeysWithValues: try kept(run).map {
                    ($0.record["n"]?.integerValue ?? -1, $0.record["_sluice"]?["split"]?.textValue ?? "")
                })
        }
        let few = try parts(try space.run())
        try space.write("in.jsonl", lines: lines.reversed())
        let all = try parts(try space.run(["--force"]))
        #expect(few.allSatisfy { all[$0.key] == $0.value })
        for key in 0..<300 { #expect(all[3 * key] == all[3 * key + 1] && all[3 * key] == all[3 * key + 2]) }
        let counts = Dictionary(grouping: all.values) { $0 }.mapValues(\.count)
        #expect(abs((counts["train"] ?? 0) - 630) < 80 && abs((counts["test"] ?? 0) - 90) < 50, "\(counts)")
    }

    // MARK: Mistakes

    @Test func mistakesHaveTheirPlace() throws {
        let mistakes: [(sink: String, message: String)] = [
            (
                "a: {where: rank <}",
                "run.yaml:16:14: `outputs.a.where`: `rank <` is no condition: a value is missing after `<`"
            ),
            (
                "a: {order: up}",
                "run.yaml:16:14: `outputs.a.order` is `input`, `shuffled`, or by a column or field such as `{by: score, descending: true}`, not `up`"
            ),
            (
                "a: {ladder: 4}",
                "run.yaml:16:15: `outputs.a.ladder` is a factor such as `x4`, `{from: 100, times: 10}`, or a list of sizes such as [100, 1000, 10%], not `4`"
            ),
            ("a: {ladder: x1}", "run.yaml:16:3: the ladder of output `a` must grow at least twofold, not x1"),
            (
                "a: {ladder: x2, per: lang}",
                "run.yaml:16:3: output `a` has a `ladder` and `per`; make an output for each label by `where`"
            ),
            ("a: {shard_records: 0}", "run.yaml:16:3: the files of output `a` must have a size of at least 1"),
            (
                "a: {per: embedding}",
                "run.yaml:16:3: output `a` reads `embedding`, which holds vectors; it can read numbers and texts"
            ),
            ("a: {wher: x}", "run.yaml:16:7: unknown key `wher` of `outputs.a`; did you mean `where`?"),
            ("a/b: {}", "run.yaml:16:3: the name of output `a/b` may have letters, digits, `-`, `_` and `.`"),
            ("..: {}", "run.yaml:16:3: the name of output `..` may not begin with a dot"),
        ]
        for (sink, message) in mistakes {
            let space = try space(output: [], sinks: [sink])
            let checked = try space.sluice("check", "run.yaml")
            #expect(checked.status == 2 && checked.errorText.contains(message), "\(sink): \(checked.errorText)")
        }
        let space = try space(output: [#"record: {a: "{b"}"#], sinks: ["a:"])
        let checked = try space.sluice("check", "run.yaml")
        #expect(checked.errorText.contains("`output.record.a`: the `{` before `b` has no `}`"), "\(checked.errorText)")
        let absent = try self.space(output: [], sinks: ["a: {where: langg == en}"])
        let run = try absent.run()
        #expect(
            run.manifest["warnings"]?.elements.contains {
                $0.textValue == "no kept record has the field `langg`, which output `a` reads"
            } == true)
    }
}
