import Formatter
import Glibc
import SluiceCore
import SluiceTesting
import Testing
import TextFilters

@Suite struct LengthTests {
    /// The sizes of a text by the standard library, whose words are those of Python's `str.split`.
    private static func sizes(_ text: String) -> [String: Int] {
        let spaces: Set<UInt32> = Set([0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000])
            .union(9...13).union(0x1C...0x20).union(0x2000...0x200A)
        let words = text.unicodeScalars.split { spaces.contains($0.value) }
        let lines = text.utf8.split(separator: 10, omittingEmptySubsequences: false)
        return [
            "characters": text.unicodeScalars.count, "bytes": text.utf8.count, "words": words.count,
            "lines": lines.last?.isEmpty == true ? lines.count - 1 : lines.count,
        ]
    }

    static let texts =
        [
            "", " ", "\n", "a", "a\n", "a\n\nb", "é\u{301}", "数学 と", "a\u{2028}b\u{85}c", "\u{1F600}\u{200B}x",
            "\u{3000}a ",
        ]
        + Everyday.texts(60, seed: 1)

    @Test(arguments: ["characters", "bytes", "words", "lines"])
    func countsAsThePlainDefinition(unit: String) throws {
        for bound in [1, 3, 40] {
            let drops = try Everyday.drops(
                LengthStage.self, ["unit": .text(unit), "min": .integer(bound), "max": .integer(3 * bound)],
                fields: Self.texts)
            for (index, text) in Self.texts.enumerated() {
                let size = Self.sizes(text)[unit] ?? -1
                let expected = size < bound ? "too-short" : size > 3 * bound ? "too-long" : nil
                #expect(drops[index]?.reason == expected, "\(unit) of \(text.debugDescription)")
                if expected != nil { #expect(drops[index]?.measures == [unit: .integer(size)]) }
            }
        }
    }

    @Test func aMissingFieldIsEmpty() throws {
        let records = [#"{"a":"long enough"}"#, #"{"a":null}"#, #"{}"#, #"{"a":12345678}"#]
        #expect(try Everyday.run([Length(min: 5, field: "a")], records).kept == [0, 3])
        #expect(try Everyday.run([Length(max: 5, field: "a")], records).kept == [1, 2])
    }

    @Test func mistakesInOptions() {
        for (options, option) in [
            ([:], "min"), (["min": 5, "max": 4], "min"), (["min": 1, "field": "a", "column": "b"], "field"),
        ] as [(OptionValues, String)] {
            #expect(stageError { _ = try LengthStage.make(options) }?.option == option)
        }
    }

    @Test func measuresAreThoseOfLength() throws {
        let run = try Everyday.run(
            [MeasureText(prefix: "t_", field: "t")], Self.texts.map { Everyday.record(("t", $0)) })
        for unit in ["characters", "bytes", "words", "lines"] {
            let expected = Self.texts.map { Int64(Self.sizes($0)[unit] ?? -1) }
            #expect(run.column(ColumnName("t_" + unit)) == .integers(expected))
        }
        let one = try Everyday.run([MeasureText(field: "t")], [Everyday.record(("t", "Ab, É 1!"))])
        #expect(one.column("letters") == .reals([0.375]))
        #expect(one.column("digits") == .reals([0.125]))
        #expect(one.column("capitals") == .reals([0.25]))
        #expect(one.column("punctuation") == .reals([0.25]))
        #expect(one.column("mean_word") == .reals([2]))
        #expect(one.column("words_with_letters") == .reals([2.0 / 3]))
    }
}

@Suite struct DistinctTests {
    /// The first of the records with each text, by a dictionary, and what the others lost to.
    private func plain(_ texts: [String]) -> [Int: Int] {
        var first: [String: Int] = [:]
        var partners: [Int: Int] = [:]
        for (index, text) in texts.enumerated() {
            if let earlier = first[text] { partners[index] = earlier } else { first[text] = index }
        }
        return partners
    }

    private func partners(_ stage: Distinct, _ records: [String]) throws -> [Int: Int] {
        let run = try Everyday.run([stage], records)
        #expect(run.losses.allSatisfy { $0.reason == "duplicate" })
        return Dictionary(run.losses.map { ($0.record, $0.partner ?? -1) }) { first, _ in first }
    }

    @Test func theFirstOfEqualTextsStays() throws {
        var numbers = Seed(5).generator()
        let texts = (0..<3000).map { _ in "text \(numbers.next(below: 900))" }
        #expect(try partners(Distinct(on: ["t"]), texts.map { Everyday.record(("t", $0)) }) == plain(texts))
    }

    @Test func normalizationIsAsDocumented() throws {
        let texts = [
            "It's  a Test.", "its a test", " ITS\nA\tTEST ", "It's a test", "ITS A TEST!", "Écoute", "écoute", "5 + 3",
            "5 3",
        ]
        let records = texts.map { Everyday.record(("t", $0)) }
        #expect(try partners(Distinct(on: ["t"]), records) == [:])
        #expect(try partners(Distinct(on: ["t"], normalize: ["space"]), records) == [:])
        #expect(try partners(Distinct(on: ["t"], normalize: ["case"]), records) == [6: 5])
        #expect(try partners(Distinct(on: ["t"], normalize: ["case", "space"]), records) == [2: 1, 6: 5])
        #expect(
            try partners(Distinct(on: ["t"], normalize: ["case", "space", "punctuation"]), records)
                == [1: 0, 2: 0, 3: 0, 4: 0, 6: 5])
    }

    @Test func severalFieldsAndMissingOnes() throws {
        let records = [
            #"{"a":"x","b":"yz"}"#, #"{"a":"xy","b":"z"}"#, #"{"a":"x"}"#, #"{"a":"x","b":null}"#, #"{"a":"x","b":""}"#,
            #"{"b":"x"}"#, #"{"c":1}"#, #"{"c":2}"#, #"{"a":3,"b":"q"}"#, #"{"a":"3","b":"q"}"#, #"{"c":1}"#,
        ]
        #expect(try partners(Distinct(on: ["a", "b"]), records) == [3: 2, 9: 8, 10: 6])
    }

    /// One exchange in two schemas has one text after `format`.
    @Test func schemasDoNotMatterAfterFormat() throws {
        let records = [
            #"{"prompt":"Why?","completion":"So."}"#, #"{"instruction":"Why?","input":"","output":"So."}"#,
            #"{"messages":[{"role":"user","content":"Why?"},{"role":"assistant","content":"So."}]}"#,
        ]
        #expect(try Everyday.run([Format(), Distinct()], records).kept == [0])
    }
}

@Suite struct DecontaminateTests {
    private static func words(_ text: String) -> [String] {
        let plain = text.lowercased().unicodeScalars.filter { !"?!.,;:'\"()-".unicodeScalars.contains($0) }
        return String(String.UnicodeScalarView(plain)).split(whereSeparator: \.isWhitespace).map(String.init)
    }

    /// The first place in `text` that has n words of an item, by comparing lists of words.
    private static func plain(_ text: String, _ items: [String], n: Int, shortest: Int) -> [String: JSONValue]? {
        let words = words(text)
        for start in words.indices {
            for (line, item) in items.enumerated() {
                let item = self.words(item)
                guard item.count >= shortest else { continue }
                let length = min(n, item.count)
                guard start + length <= words.count else { continue }
                for place in 0...(item.count - length)
                where item[place..<(place + length)] == words[start..<(start + length)] {
                    return ["benchmark_line": .integer(line + 1), "word": .integer(start + 1)]
                }
            }
        }
        return nil
    }

    private func file(_ name: String, _ text: String) throws -> String {
        let path = "/tmp/sluice-plugin-tests-\(getpid())-\(name)"
        try write(path, text)
        return path
    }

    private func decontaminate(_ options: OptionValues, _ texts: [String]) throws -> [Int: [String: JSONValue]] {
        let stage = try DecontaminateStage.make(options)
        guard case .transform(let filter) = try stage.body(StageContext(name: "d", seed: Seed(1), memory: 1 << 30))
        else {
            throw StageError(.fault, "no transform")
        }
        return try drops(filter, texts)
    }

    private func drops<Filter: WorkerTransform>(_ filter: Filter, _ texts: [String]) throws -> [Int: [String:
        JSONValue]]
    {
        var block = makeBlock(texts.map { ["t": .string($0)] }, paths: ["t"])
        var worker = try filter.makeWorker(StageContext(name: "d", seed: Seed(1), memory: 1 << 30))
        try filter.apply(to: &block, with: &worker)
        #expect(block.drops.allSatisfy { $0.reason == "contaminated" })
        return Dictionary(
            block.drops.map { ($0.record, Dictionary($0.measures.map { ($0.name, $0.value) }) { a, _ in a }) }
        ) { a, _ in a }
    }

    @Test(arguments: [(3, 2), (5, 3), (8, 8)])
    func findsWhatComparingListsOfWordsFinds(n: Int, shortest: Int) throws {
        let vocabulary = n > 5 ? ["the", "Of"] : ["the", "Of", "river,", "stone", "Why?", "sort"]
        var numbers = Seed(UInt64(n)).generator()
        func text(_ most: UInt64) -> String {
            (0..<Int(numbers.next(below: most))).map { _ in
                vocabulary[Int(numbers.next(below: UInt64(vocabulary.count)))]
            }.joined(separator: " ")
        }
        let items = (0..<12).map { _ in text(14) }
        let texts = (0..<400).map { _ in text(60) }
        let path = try file("items-\(n).txt", items.joined(separator: "\n") + "\n")
        defer { unlink(path) }
        let found = try decontaminate(
            ["against": [.text(path)], "ngram": .integer(n), "shortest": .integer(shortest), "field": "t"], texts)
        var contaminated = 0
        for (index, text) in texts.enumerated() {
            let expected = Self.plain(text, items, n: n, shortest: shortest)
            contaminated += expected == nil ? 0 : 1
            #expect(found[index]?["word"] == expected?["word"], "\(text)")
            // Where n-grams of several lengths begin at one place, any of them may be named.
            if shortest == n { #expect(found[index]?["benchmark_line"] == expected?["benchmark_line"]) }
        }
        #expect(contaminated > 5 && contaminated < 395, "\(contaminated)")
    }

    /// Far into a long text, across the limits of what is looked at together.
    @Test func longTextsAreReadToTheEnd() throws {
        let path = try file(
            "long.jsonl",
            #"{"id":"q1","question":"Which needle is in this haystack","choices":["of hay","of straw"]}"# + "\n")
        defer { unlink(path) }
        let needle = "which needle is IN this haystack? Of hay; of straw"
        for count in [0, 65_520, 65_530, 65_536, 65_540, 200_000] {
            let text = String(repeating: "hay ", count: count) + needle + " end"
            let found = try decontaminate(
                ["against": [.text(path)], "ngram": 9, "fields": ["question", "choices"], "field": "t"], [text])
            #expect(found[0]?["word"] == .integer(count + 1))
            #expect(found[0]?["benchmark"]?.textValue?.hasSuffix("long.jsonl") == true)
        }
    }

    @Test func mistakesInFiles() throws {
        let files = [
            try file("bad.jsonl", "{\"a\": 1}\n{\"a\":\n"), try file("short.txt", "too short\n"),
            try file("empty.txt", ""), try file("packed.zst", "\u{28}\u{B5}"),
            try file("fields.jsonl", "{\"a\":\"b\"}\n"),
        ]
        defer { for path in files { unlink(path) } }
        func message(_ path: String, _ more: OptionValues = [:]) -> String? {
            var options = more
            options["against"] = [.text(path)]
            return stageError {
                _ = try DecontaminateStage.make(options).body(StageContext(name: "d", seed: Seed(1), memory: 1 << 30))
            }?.message
        }
        #expect(message(files[0])?.contains("bad.jsonl:2: ") == true)
        #expect(message(files[1])?.contains("has 8 words") == true)
        #expect(message(files[2])?.contains("no words") == true)
        #expect(message(files[4], ["fields": ["q"]])?.contains("has no field `q`") == true)
        #expect(message("/no/such/file")?.contains("can't be opened") == true)
    }
}
