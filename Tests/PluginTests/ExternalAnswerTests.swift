import Glibc
import SluiceCore
import Testing

@testable import External

/// How `external` reads and writes its lines, without a program.
@Suite struct ExternalAnswerTests {
    private static let columns = [
        ExternalColumn("score", .real), ExternalColumn("n", .integer), ExternalColumn("label", .bytes),
        ExternalColumn("v", .vector(dimension: 2)),
    ]

    /// The fault of a line that answers record 7 of a batch that begins with it; nil if there is none.
    private func fault(_ line: [UInt8], _ columns: [ExternalColumn] = columns) -> String? {
        let reader = AnswerReader(
            columns, records: [0, 2], rows: 4, first: 7, growth: 1, reasons: KnownReasons())
        for _ in 0..<2 { reader.sent(bytes: 10) }
        do {
            try line.withUnsafeBytes { try reader.take($0) }
            return nil
        } catch { return (error as? AnswerFault)?.message ?? "\(error)" }
    }

    private func fault(columns: String) -> String? { fault(Array(#"{"id":7,"columns":{\#(columns)}}"#.utf8)) }

    @Test(
        arguments: [
            (#"{"id": 7"#, "is no JSON at byte 8"), ("debug 7", "is no JSON object"), ("", "is no JSON object"),
            (#"[7]"#, "is no JSON object"), (#"{"id":7}x"#, "is no JSON at byte 8"),
            (#"{"id":7,}"#, "is no JSON at byte 8"),
            (#"{"columns":{}}"#, "has no `id`; it is that of the record, here 7"),
            (#"{"id":"7"}"#, "has an `id` that is no number"), (#"{"id":7.5}"#, "has an `id` that is no record's"),
            (#"{"id":6}"#, "answers record 6 once more; 7 is due"),
            (#"{"id":8}"#, "comes where the answer to record 7 is due"),
            (#"{"id":9}"#, "answers a record that it was not asked about; 7 is due"),
            (#"{"id":7,"colums":{}}"#, "has the unknown key `colums`; did you mean `columns`?"),
            (#"{"id":7,"drop":true}"#, "has a `drop` that is no text"),
            (#"{"id":7,"drop":"too short"}"#, "drops with the reason `too short`; a reason is a word"),
            (#"{"id":7,"drop":""}"#, "a reason is a word"),
            (#"{"id":7,"drop":"x","note":[1]}"#, "has a `note` that is no object"),
            (#"{"id":7,"drop":"x","note":{"line":1}}"#, "with the name `line`, which the ledger uses itself"),
            (#"{"id":7,"drop":"x","note":{"a":[1]}}"#, "has a `note` whose `a` is no number, flag or text"),
            (#"{"id":7,"note":{"a":1}}"#, "has a `note` and no `drop`"),
            (#"{"id":7,"error":"no such word"}"#, "says of this record: no such word"),
        ])
    func namesWhatIsWrongWithAnAnswer(line: String, message: String) throws {
        let found = try #require(fault(Array(line.utf8)))
        #expect(found.contains(message), "\(found)")
        #expect(found.hasPrefix("answered `"), "\(found)")
    }

    @Test(
        arguments: [
            ("", "gives no `score`; a record that is not dropped has every column"),
            (#""score":null"#, "gives `score` null, and not a number"),
            (#""score":"1""#, "gives `score` a text, and not a number"),
            (#""score":true"#, "gives `score` true or false, and not a number"),
            (#""score":NaN"#, "gives `score` NaN, which JSON does not have (give another or drop the record)"),
            (#""score":-Infinity"#, "gives `score` -Infinity, which JSON does not have"),
            (#""score":1e999"#, "gives `score` 1e999, and not a number"),
            (#""score":01"#, "gives `score` the value `01`, which is no JSON"),
            (#""score":1,"score":2"#, "gives `score` twice"),
            (#""scores":1"#, "gives the column `scores`; did you mean `score`?"),
            (#""n":1.0"#, "gives `n` 1.0, and not a whole number of 64 bits"),
            (#""n":9223372036854775808"#, "gives `n` 9223372036854775808, and not a whole number of 64 bits"),
            (#""label":5"#, "gives `label` a number, and not a text"),
            (#""label":"\ud800""#, "has an unpaired surrogate in a text"),
            (#""label":"\x""#, "has an escape in a text"),
            (#""v":[1]"#, "gives `v` a list of 1, and not a list of 2 numbers"),
            (#""v":[1,2,3]"#, "gives `v` a longer list"),
            (#""v":[1,"2"]"#, "gives `v` a list with something else than numbers"),
            (#""v":[1,1e39]"#, "gives `v` numbers beyond those of 32 bits"), (#""v":{}"#, "gives `v` an object"),
        ])
    func namesWhatIsWrongWithAColumn(columns: String, message: String) throws {
        let found = try #require(fault(columns: columns))
        #expect(found.contains(message), "\(found)")
    }

    @Test func textsHaveALimit() throws {
        let most = 10 + AnswerReader.textSlack
        let rest = #""score":1,"n":2,"v":[0,1],"label":""#
        #expect(fault(columns: rest + String(repeating: "x", count: most) + "\"") == nil)
        let found = try #require(fault(columns: rest + String(repeating: "x", count: most + 1) + "\""))
        #expect(found.contains("gives `label` a text of \(most + 1) bytes; with `growth: 1`, it may have \(most)"))
    }

    @Test func invalidUTF8IsNamed() throws {
        let found = try #require(fault(Array(#"{"id":7,"drop":""#.utf8) + [0xC3, 0x28] + Array("\"}".utf8)))
        #expect(found.contains("which is not UTF-8"))
    }

    @Test func reasonsAreFew() throws {
        let reasons = KnownReasons()
        for number in 0..<KnownReasons.most { _ = try reasons.reason(Array("r\(number)".utf8)) }
        _ = try reasons.reason(Array("r0".utf8))
        #expect(throws: AnswerFault.self) { _ = try reasons.reason(Array("one-more".utf8)) }
    }

    /// Rows of records that were dropped before, or are now, stand empty, and the others have their values.
    @Test func answersBecomeColumns() throws {
        let reader = AnswerReader(
            Self.columns, records: [1, 2, 4], rows: 5, first: 0, growth: 1, reasons: KnownReasons())
        for (id, answer) in [
            #""columns":{"label":"\u00e9\ud83d\ude00\n\/","score":2,"n":-9223372036854775808,"v":[3,4]}"#,
            #""drop":"no""#,
            #""columns" : { "n":9223372036854775807, "v":[0,0],"score":1e-3,"label":""} "#,
        ].enumerated() {
            reader.sent(bytes: 0)
            try Array("{\"id\":\(id),\(answer)}\r".utf8).withUnsafeBytes { try reader.take($0) }
        }
        #expect(reader.isComplete)
        var block = makeBlock(count: 5)
        reader.finish(&block)
        #expect(try block.reals("score") == [0, 2, 0, 0, 0.001])
        #expect(try block.integers("n") == [0, .min, 0, 0, .max])
        let labels = try block.bytes("label")
        #expect((0..<5).map { String(decoding: labels[$0], as: UTF8.self) } == ["", "é😀\n/", "", "", ""])
        // 127 · √2 / 8 times 0.6 and 0.8.
        #expect(try block.vectors("v").values == [0, 0, 13, 18, 0, 0, 0, 0, 0, 0])
        #expect(block.live == [0, 1, 3, 4])
    }

    // MARK: Against the core's reader

    /// On random and damaged JSON: the scanner takes what the strict reader takes, and numbers are the same.
    @Test func scansAsStrictlyAsTheReaderOfTheCore() {
        var random = SplitMix64(state: 9)
        let pieces = [
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"\\u00e9\"", "\"\\n\"", "1", "-0", "1.5e3", "01", "-", "true",
            "nul",
            "null", " ", "\"", "\\", "0.", ".5", "1e", "12345678901234567890", "{\"a\":1}", "[1,2]", "\t", "\u{1}",
        ]
        for _ in 0..<20_000 {
            let line = (0..<(1 + random.next(below: 6))).map { _ in
                pieces[Int(random.next(below: UInt64(pieces.count)))]
            }
            .joined()
            let bytes = Array("{\"k\":\(line)}".utf8)
            let isStrict = (try? JSONValue(json: bytes)) != nil
            let isTaken = bytes.withUnsafeBytes { bytes -> Bool in
                var scanner = AnswerScanner(bytes)
                do throws(AnswerFault) {
                    try scanner.object { (_, scanner) throws(AnswerFault) in _ = try scanner.value() }
                    try scanner.end()
                    return true
                } catch { return false }
            }
            // What is skipped is checked for its structure; its words and escapes are checked where they are read.
            if isStrict { #expect(isTaken, "\(line)") }
        }
    }

    /// Damaged answers are refused or read, and nothing worse.
    @Test func damagedAnswersDoNoHarm() {
        var random = SplitMix64(state: 21)
        let answer = Array(
            #"{"id":7,"columns":{"label":"a\u00e9\ud83d\ude00b","score":-1.5e-3,"n":12,"v":[1,-2.5]}}"#.utf8)
        let signs = Array(#"",:{}[]0eu-. \"#.utf8)
        var taken = 0
        for _ in 0..<30_000 {
            var line = answer
            for _ in 0...random.next(below: 3) where !line.isEmpty {
                let place = Int(random.next(below: UInt64(line.count)))
                switch random.next(below: 4) {
                case 0: line.remove(at: place)
                case 1: line.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
                case 2: line[place] = signs[Int(random.next(below: UInt64(signs.count)))]
                default: line = Array(line[..<max(1, place)])
                }
            }
            if fault(line) == nil { taken += 1 }
        }
        #expect(taken < 3000)
    }

    @Test func numbersAreThoseOfTheCore() {
        var random = SplitMix64(state: 4)
        let letters = Array("0123456789.eE+-".utf8)
        for round in 0..<200_000 {
            let word: [UInt8] =
                round % 3 == 0
                ? Array("\(Double(bitPattern: random.next()))".utf8)
                : (0..<(1 + random.next(below: 21))).map { _ in letters[Int(random.next(below: UInt64(letters.count)))]
                }
            let expected = try? JSONValue(json: word)
            let found = word.withUnsafeBytes { SpelledNumber($0) }
            let name = String(decoding: word, as: UTF8.self)
            switch (expected, found) {
            case (.integer(let a)?, .integer(let b)?): #expect(a == Int(b), "\(name)")
            case (.real(let a)?, .real(let b)?): #expect(a.bitPattern == b.bitPattern, "\(name)")
            case (nil, nil), (nil, .outOfRange?), (nil, .notFinite?): break
            default: Issue.record("\(name): \(String(describing: expected)), \(String(describing: found))")
            }
        }
    }

    /// Strings of any bytes come back as they were, also if they are longer than a chunk.
    @Test func writtenTextReadsBack() throws {
        let all = (0..<0x80).map { UInt8($0) } + Array("é€😀\u{7F}\u{2028}".utf8)
        let buffer = ByteBuffer()
        buffer.append(UInt8(ascii: "\""))
        all.withUnsafeBytes { buffer.append(escaped: $0) }
        buffer.append(UInt8(ascii: "\""))
        #expect(try JSONValue(json: Array(buffer.bytes)).textValue == String(decoding: all, as: UTF8.self))
        for value in [Int64.min, -1, 0, 7, 10, .max] {
            buffer.removeAll()
            buffer.append(decimal: value)
            #expect(String(decoding: buffer.bytes, as: UTF8.self) == "\(value)")
        }
    }
}
