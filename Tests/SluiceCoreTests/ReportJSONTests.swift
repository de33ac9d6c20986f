import SluiceCore
import Testing

@Suite struct ReportJSONTests {
    private static let sample: JSONValue = [
        "text": "a \"quoted\" \\ line\n\tend\u{1}\u{7f} é 😀 /", "whole": -42, "real": 0.1, "flag": true,
        "nothing": .null,
        "list": [1, [], [:], ["x": 2.5]], "empty": "",
    ]

    @Test func compactFormIsStable() {
        #expect(
            Self.sample.json
                == #"{"text":"a \"quoted\" \\ line\n\tend\u0001"# + "\u{7f}"
                + #" é 😀 /","whole":-42,"real":0.1,"flag":true,"nothing":null,"list":[1,[],{},{"x":2.5}],"empty":""}"#)
    }

    @Test func prettyFormIndentsByTwo() {
        let report: JSONValue = ["a": [1, 2], "b": [:], "c": ["d": "e"]]
        #expect(
            report.prettyJSON == """
                {
                  "a": [
                    1,
                    2
                  ],
                  "b": {},
                  "c": {
                    "d": "e"
                  }
                }
                """)
    }

    @Test func readsBackWhatItWrites() throws {
        #expect(try JSONValue(json: Self.sample.json) == Self.sample)
        #expect(try JSONValue(json: Self.sample.prettyJSON) == Self.sample)
    }

    @Test func realsReadBackBitForBit() throws {
        var generator = SplitMix64(state: 1)
        for _ in 0..<2_000 {
            let value = Double(bitPattern: generator.next())
            guard value.isFinite else { continue }
            #expect(try JSONValue(json: JSONValue.real(value).json).realValue?.bitPattern == value.bitPattern)
        }
        for value in [0.0, -0.0, 1, 1e300, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 1e16, 1e-5] {
            #expect(try JSONValue(json: JSONValue.real(value).json) == .real(value))
        }
    }

    @Test func whatIsNotFiniteIsNull() {
        #expect(JSONValue.list([.real(.infinity), .real(-.infinity), .real(.nan)]).json == "[null,null,null]")
    }

    @Test func integersKeepAllDigits() throws {
        #expect(try JSONValue(json: "\(Int.max)") == .integer(.max))
        #expect(try JSONValue(json: "\(Int.min)") == .integer(.min))
        #expect(try JSONValue(json: "9223372036854775808") == .real(9_223_372_036_854_775_808))
    }

    @Test func escapesAreRead() throws {
        #expect(
            try JSONValue(json: #""\u0041\u00e9\ud83d\ude00\/\b\f\n\r\t\"\\""#) == .text("Aé😀/\u{8}\u{c}\n\r\t\"\\"))
    }

    @Test(arguments: [
        "", " ", "{", "}", "[1,]", "[1 2]", "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "{\"a\":}", "01", "-", "1.", ".5", "+1",
        "1e", "0x1",
        "NaN", "Infinity", "nul", "truth", "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"a\nb\"", "1 2", "{} x", "1e999", "'a'", "[1]]",
    ])
    func refusesWhatIsNoJSON(text: String) {
        #expect(throws: JSONError.self) { try JSONValue(json: text) }
    }

    @Test func errorsNameTheByte() {
        do throws(JSONError) {
            _ = try JSONValue(json: #"{"a": 1, "b": tru}"#)
            Issue.record("no error")
        } catch {
            #expect(error.offset == 14)
        }
    }

    @Test func refusesInvalidUTF8() {
        #expect(throws: JSONError.self) { try JSONValue(json: [0x22, 0xFF, 0x22]) }
        #expect(throws: JSONError.self) { try JSONValue(json: [0x22, 0xED, 0xA0, 0x80, 0x22]) }
    }

    @Test func refusesBottomlessNesting() {
        #expect(throws: JSONError.self) { try JSONValue(json: String(repeating: "[", count: 100_000)) }
    }

    @Test func readsBackRandomReports() throws {
        var generator = SplitMix64(state: 99)
        for _ in 0..<200 {
            let report = Self.random(&generator, depth: 4)
            #expect(try JSONValue(json: report.json) == report)
            #expect(try JSONValue(json: report.prettyJSON) == report)
        }
    }

    private static func random(_ generator: inout SplitMix64, depth: Int) -> JSONValue {
        func text() -> String {
            var text = ""
            for _ in 0..<generator.next(below: 8) {
                text.unicodeScalars.append(Unicode.Scalar(UInt32(generator.next(below: 0xD7FF))) ?? "x")
            }
            return text
        }
        switch generator.next(below: depth > 0 ? 7 : 5) {
        case 0: return .null
        case 1: return .flag(generator.next(below: 2) == 0)
        case 2: return .integer(Int(truncatingIfNeeded: generator.next()))
        case 3: return .real(Double(Int64(truncatingIfNeeded: generator.next())) / 1e6)
        case 4: return .text(text())
        case 5: return .list((0..<generator.next(below: 5)).map { _ in random(&generator, depth: depth - 1) })
        default:
            return .object(
                (0..<generator.next(below: 5)).map { _ in .init(text(), random(&generator, depth: depth - 1)) })
        }
    }
}

@Suite struct DefinitionReportTests {
    private static let definition = Definition(
        seed: 7, memory: 1 << 30, input: InputSpec(files: ["a.zst"], dedupe: .fields(["prompt", "completion"])),
        stages: [
            StageSpec("embed", ["model": "lexical", "dimensions": 64]),
            StageSpec("coreset", ["keep": .quantity(Quantity("5%")!)]),
        ], output: OutputSpec(directory: "out", annotate: [.cluster]))

    @Test func saysEverythingInAFixedOrder() {
        #expect(
            Self.definition.report.json
                == #"{"sluice":1,"seed":7,"memory":1073741824,"input":{"files":["a.zst"],"dedupe":{"on":["prompt","completion"],"verify":"hash"},"#
                + #""malformed":"quarantine","max_record":16777216},"stages":[{"embed":{"dimensions":64,"model":"lexical"}},"#
                + #"{"coreset":{"keep":"5%"}}],"output":{"directory":"out","record":"original","annotate":["cluster"],"#
                + #""compression":"zstd","level":3}}"#
        )
    }

    @Test func memoryAndDirectoryDecideNothing() {
        var other = Self.definition
        other.memory = 1 << 20
        other.output.directory = "elsewhere"
        #expect(other.decidingReport == Self.definition.decidingReport)
        other.output.level = 4
        #expect(other.decidingReport != Self.definition.decidingReport)
        // Without compression the level has no effect and is left out.
        other.output.compression = .uncompressed
        let one = other.decidingReport
        other.output.level = 5
        #expect(other.decidingReport == one)
        #expect(one["output"]?["compression"] == "none" && one["output"]?["level"] == nil)
    }

    @Test func differencesNameThePath() {
        var other = Self.definition
        other.seed = .max
        other.input.dedupe = nil
        other.input.files.append("b.zst")
        other.stages[1].options["keep"] = .quantity(Quantity("1%")!)
        other.stages.append(StageSpec("redundancy"))
        #expect(
            Definition.differences(from: Self.definition.report, to: other.report) == [
                "seed: 7 → 18446744073709551615", "input.files[2]: none → b.zst",
                #"input.dedupe: {"on":["prompt","completion"],"verify":"hash"} → none"#,
                "stages[2].coreset.keep: 5% → 1%", "stages[3]: none → `redundancy`",
            ])
        #expect(Definition.differences(from: other.report, to: other.report).isEmpty)
    }

    @Test func anotherStageIsOneDifference() {
        var other = Self.definition
        other.stages[0] = StageSpec("external", ["command": "x"])
        #expect(
            Definition.differences(from: Self.definition.report, to: other.report) == [
                "stages[1]: `embed` → `external`"
            ])
    }
}
