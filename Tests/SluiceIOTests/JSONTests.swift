import SluiceCore
import Testing

@testable import SluiceIO

/// Lines that are exactly one JSON object.
private let validLines: [String] = [
    "{}", " {} ", "\t{}\r", "{\"a\":1}", "{ \"a\" : 1 , \"b\" : 2 }", "{\"a\":[]}", "{\"a\":[1,2,[3,[4]]]}",
    "{\"a\":{}}",
    "{\"a\":{\"b\":{\"c\":null}}}", "{\"a\":true,\"b\":false,\"c\":null}", "{\"\":0}", "{\"a\":\"\"}", "{\"a\":0}",
    "{\"a\":-0}",
    "{\"a\":-1}", "{\"a\":0.5}", "{\"a\":-0.0}", "{\"a\":1e5}", "{\"a\":1E5}", "{\"a\":1e+5}", "{\"a\":1e-5}",
    "{\"a\":1.5e300}", "{\"a\":1e999}", "{\"a\":-1e999}", "{\"a\":1e-999}", "{\"a\":123456789012345678901234567890}",
    "{\"a\":18446744073709551616}", "{\"a\":-9223372036854775809}",
    "{\"a\":0.1234567890123456789012345678901234567890}",
    "{\"a\":10}", "{\"a\":1.0000}", "{\"a\":0e0}", "{\"a\":0E+0}", "{\"a\":\"\\\"\"}", "{\"a\":\"\\\\\"}",
    "{\"a\":\"\\/\"}",
    "{\"a\":\"\\b\\f\\n\\r\\t\"}", "{\"a\":\"\\u0041\"}", "{\"a\":\"\\u0000\"}", "{\"a\":\"\\uD83D\\uDE00\"}",
    "{\"a\":\"\\ud83d\\ude00x\"}", "{\"a\":\"\\uFFFF\"}", "{\"a\":\"\\uD7FF\\uE000\"}", "{\"a\":\"\\\\uD800\"}",
    "{\"a\":\"\\\\\\\\uDC00\"}", "{\"a\":\"é\"}", "{\"a\":\"日本語\"}", "{\"a\":\"😀\"}", "{\"é\":1}",
    "{\"a\":\"\u{2028}\u{85}\"}",
    "{\"a\":\"\u{7f}\"}", "{\"a\":\"\u{10FFFF}\"}", "{\"a\":\"{[]}:,\"}", "{\"a\":\"x\",\"a\":\"y\"}", "{\"a\":\"//\"}",
    "{\"\\u0061\":1}", "{\"a\\n\":1}", "{\"a\":[\"b\",{\"c\":[]}]}", "{\"a\":[{},{},[]]}", "{\"a\":\"\u{FEFF}\"}",
    "{\"a\" :[ true , false ] }", "{\"a\":[-1.5E-10,0,\"\\u00e9\"]}",
]

/// Malformed lines, with the fault and its position.
private let invalidLines: [(String, JSONFault.Code, Int)] = [
    ("", .empty, 0), ("   ", .empty, 3), ("[]", .isArray, 0), ("[{\"a\":1}]", .isArray, 0), ("1", .isScalar, 0),
    ("\"a\"", .isScalar, 0), ("null", .isScalar, 0), (" true", .isScalar, 1), ("-1.5e3", .isScalar, 0),
    ("{} {}", .secondValue, 3), ("{\"a\":1}{\"b\":2}", .secondValue, 7), ("{}[]", .secondValue, 2),
    ("{}\"a\"", .secondValue, 2), ("{}x", .trailing, 2), ("{},", .trailing, 2), ("{}}", .trailing, 2),
    ("{}]", .trailing, 2),
    ("{} 1", .trailing, 3), ("{}#", .trailing, 2), ("{", .unterminated, 1), ("{\"a\"", .unterminated, 4),
    ("{\"a\":", .unterminated, 5), ("{\"a\":1", .unterminated, 6), ("{\"a\":1,", .unterminated, 7),
    ("{\"a\":\"b", .unterminated, 5), ("{\"a", .unterminated, 1), ("{\"a\":[", .unterminated, 6),
    ("{\"a\":[1", .unterminated, 7), ("{\"a\":[1,", .unterminated, 8), ("{\"a\":{", .unterminated, 6),
    ("[1,2", .unterminated, 4), ("{\"a\":\"\\\"}", .unterminated, 5), ("{,}", .unexpected, 1), ("{:1}", .unexpected, 1),
    ("{1:2}", .unexpected, 1), ("{a:1}", .unexpected, 1), ("{'a':1}", .unexpected, 1), ("{\"a\" 1}", .unexpected, 5),
    ("{\"a\"::1}", .unexpected, 5), ("{\"a\":1,}", .unexpected, 7), ("{\"a\":1 \"b\":2}", .unexpected, 7),
    ("{\"a\":1,,\"b\":2}", .unexpected, 7), ("{\"a\":[1,]}", .unexpected, 8), ("{\"a\":[,1]}", .unexpected, 6),
    ("{\"a\":[1 2]}", .unexpected, 8), ("{\"a\":[1}}", .unexpected, 7), ("{\"a\":{\"b\":1]}", .unexpected, 11),
    ("{\"a\":}", .unexpected, 5), ("{\"a\":\"b\"c}", .unexpected, 8), ("{\"a\"b:1}", .unexpected, 4),
    ("{\"a\":\"b\"\"c\"}", .unexpected, 8), ("{null:1}", .unexpected, 1), ("{{}}", .unexpected, 1),
    ("{[]}", .unexpected, 1),
    ("}", .unexpected, 0), ("]", .unexpected, 0), ("x", .unexpected, 0), ("\u{FEFF}{}", .unexpected, 0),
    ("{\"a\":'b'}", .unexpected, 5), ("{\"a\":b}", .unexpected, 5), ("{\"a\":\\u0031}", .unexpected, 5),
    ("/*c*/{}", .unexpected, 0),
    ("{\"a\":1/*c*/}", .unexpected, 6), ("{\"a\":\u{c}1}", .unexpected, 5), ("{\u{0}\"a\":1}", .unexpected, 1),
    ("{\"a\":\u{1a}1}", .unexpected, 5), ("{\"a\":NaN}", .unexpected, 5), ("{\"a\":Infinity}", .unexpected, 5),
    ("{\"a\":-Infinity}", .badNumber, 6), ("{\"a\":+1}", .unexpected, 5), ("{\"a\":.5}", .unexpected, 5),
    ("{\"a\":01}", .badNumber, 6),
    ("{\"a\":-01}", .badNumber, 7), ("{\"a\":1.}", .badNumber, 7), ("{\"a\":1.e5}", .badNumber, 7),
    ("{\"a\":1e}", .badNumber, 7),
    ("{\"a\":1e+}", .badNumber, 8), ("{\"a\":-}", .badNumber, 6), ("{\"a\":1.5.5}", .unexpected, 8),
    ("{\"a\":1x}", .unexpected, 6),
    ("{\"a\":0x1F}", .unexpected, 6), ("{\"a\":1_000}", .unexpected, 6), ("{\"a\":1\"b\"}", .unexpected, 6),
    ("{\"a\":--1}", .badNumber, 6),
    ("{\"a\":1e5.5}", .unexpected, 8), ("{\"a\":tru}", .badLiteral, 5), ("{\"a\":truee}", .unexpected, 9),
    ("{\"a\":True}", .unexpected, 5), ("{\"a\":nul}", .badLiteral, 5), ("{\"a\":null\"b\"}", .unexpected, 9),
    ("{\"a\":falsetrue}", .unexpected, 10), ("{\"a\":nulll}", .unexpected, 9), ("{\"a\":\"\\x41\"}", .badEscape, 6),
    ("{\"a\":\"\\u12\"}", .badEscape, 6),
    ("{\"a\":\"\\u12G4\"}", .badEscape, 6), ("{\"a\":\"\\'\"}", .badEscape, 6), ("{\"a\":\"\\0\"}", .badEscape, 6),
    ("{\"a\":\"\\U0041\"}", .badEscape, 6), ("{\"\\q\":1}", .badEscape, 2), ("{\"a\":\"\\u-123\"}", .badEscape, 6),
    ("{\"a\":\"\\ud800\"}", .loneSurrogate, 6), ("{\"a\":\"\\uDC00\"}", .loneSurrogate, 6),
    ("{\"a\":\"\\ud800x\"}", .loneSurrogate, 6), ("{\"a\":\"\\ud800\\n\"}", .loneSurrogate, 6),
    ("{\"a\":\"\\ud800\\ud800\"}", .loneSurrogate, 6), ("{\"a\":\"\\ud800\\u0041\"}", .loneSurrogate, 6),
    ("{\"a\":\"\\ude00\\ud83d\"}", .loneSurrogate, 6), ("{\"a\":\"x\\\\\\udfff\"}", .loneSurrogate, 9),
    ("{\"\\ud800\":1}", .loneSurrogate, 2), ("{\"z\":[{\"q\":\"\\uDBFF\"}]}", .loneSurrogate, 12),
    ("{\"a\":\"\\ud83d\\ude00\\ud83d\"}", .loneSurrogate, 18), ("{\"a\":\"\u{1}\"}", .controlCharacter, 6),
    ("{\"a\":\"\u{0}\"}", .controlCharacter, 6), ("{\"a\":\"x\ty\"}", .controlCharacter, 7),
    ("{\"a\":\"\u{1f}\"}", .controlCharacter, 6),
    ("{\"a\":\"\n\"}", .controlCharacter, 6), ("{\"\u{2}\":1}", .controlCharacter, 2),
]

/// Invalid UTF-8: the bytes in a string, and the fault's offset from the first of them.
private let invalidUTF8: [([UInt8], Int)] = [
    ([0x80], 0), ([0xBF], 0), ([0xC0, 0x80], 0), ([0xC1, 0xBF], 0), ([0xC2], 0), ([0xC3, 0x28], 0),
    ([0xE0, 0x80, 0x80], 0),
    ([0xE0, 0x9F, 0xBF], 0), ([0xE2, 0x82], 0), ([0xED, 0xA0, 0x80], 0), ([0xED, 0xBF, 0xBF], 0),
    ([0xF0, 0x80, 0x80, 0x80], 0),
    ([0xF0, 0x8F, 0xBF, 0xBF], 0), ([0xF4, 0x90, 0x80, 0x80], 0), ([0xF5, 0x80, 0x80, 0x80], 0), ([0xFF], 0),
    ([0xFE], 0),
    ([0x61, 0x62, 0xE9], 2), ([0xC3, 0xA9, 0xC3], 2), ([0xF0, 0x9F, 0x98], 0),
]

private func check(_ bytes: [UInt8], _ way: JSONExtractor.Way = .auto) -> JSONFault? {
    let extractor = JSONExtractor([])
    extractor.way = way
    return bytes.withUnsafeBytes { extractor.extract($0, into: FieldArena(width: 0)) }
}

/// The fields of a line as text: kind and value.
private func fields(_ line: String, _ paths: [FieldPath], _ way: JSONExtractor.Way = .auto) -> [String] {
    let extractor = JSONExtractor(paths)
    extractor.way = way
    let arena = FieldArena(width: paths.count)
    let fault = Array(line.utf8).withUnsafeBytes { extractor.extract($0, into: arena) }
    if let fault { return ["\(fault)"] }
    return paths.indices.map { i in
        switch arena.kind(0, i) {
        case .missing: "missing"
        case .null: "null"
        case .string: "string " + utf8(arena.value(0, i))
        case .json: "other " + utf8(arena.value(0, i))
        case .chat:
            ChatTurns(encoded: Array(arena.value(0, i))[...]).map { turn in
                let (role, content) = (
                    String(decoding: turn.role, as: UTF8.self), String(decoding: turn.content, as: UTF8.self)
                )
                return "<\(role)>\(content)"
            }.joined()
        }
    }
}

@Suite struct JSONTests {
    @Test func validLinesPass() {
        for line in validLines {
            for way in [JSONExtractor.Way.auto, .fast, .slow] {
                #expect(check(Array(line.utf8), way) == nil, "\(line) \(way)")
            }
        }
    }

    @Test func invalidLinesSayWhatAndWhere() {
        for (line, code, position) in invalidLines {
            for way in [JSONExtractor.Way.auto, .fast, .slow] {
                #expect(check(Array(line.utf8), way) == JSONFault(code, at: position), "\(line) \(way)")
            }
        }
        #expect("\(JSONFault(.secondValue, at: 7))" == "a second JSON value on one line, at byte 7 of the line")
    }

    @Test func invalidUTF8IsFoundInEveryField() {
        for (bytes, at) in invalidUTF8 {
            for (before, after) in [
                ("{\"a\":\"", "\"}"), ("{\"", "\":1}"), ("{\"x\":[[\"", "\"]]}"),
                ("{\"a\":\"\(String(repeating: "y", count: 200))", "\"}"),
            ] {
                let line = Array(before.utf8) + bytes + Array(after.utf8)
                #expect(check(line) == JSONFault(.invalidUTF8, at: before.utf8.count + at), "\(bytes)")
                #expect(!line.withUnsafeBytes { isValidUTF8($0) })
            }
        }
        #expect(check(Array("{\"a\":1}".utf8) + [0xFF])?.code == .invalidUTF8)
    }

    @Test func nestingEndsAt1024() {
        func nested(_ depth: Int) -> [UInt8] {
            Array("{\"a\":".utf8) + Array(repeating: UInt8(ascii: "["), count: depth - 1)
                + Array(repeating: UInt8(ascii: "]"), count: depth - 1) + Array("}".utf8)
        }
        for way in [JSONExtractor.Way.auto, .slow] {
            #expect(check(nested(1024), way) == nil)
            #expect(check(nested(1025), way) == JSONFault(.tooDeep, at: 5 + 1023))
        }
    }

    /// Both implementations agree on every mutation of valid and invalid lines, and on the fields.
    @Test func bothWaysAgreeOnMutations() {
        var random = SplitMix64(state: 2024)
        let seeds =
            validLines + invalidLines.map(\.0) + [
                #"{"messages":[{"role":"user","content":"hi\n"},{"role":"assistant","content":[{"type":"text","text":"yo"}]}],"a":{"b":"c\u00e9"},"n":-12.5e3}"#,
                #"{"conversations":[{"from":"human","value":"x\\y"},{"from":"gpt","value":""}],"a":{"b":{"c":[1,"\uD83D\uDE00"]}}}"#,
            ]
        let alphabet =
            Array("{}[]:,\"\\ \t\n\r0123456789-+.eEtrufalsn/bxdDC8\u{1}é".utf8) + [0x80, 0xFF, 0xED, 0xC3, 0x0C, 0x1A]
        let paths = [
            FieldPath("a"), FieldPath("a.b"), FieldPath("a.b.c"), FieldPath("n"), .chat, FieldPath("messages"),
        ]
        let fast = JSONExtractor(paths)
        let slow = JSONExtractor(paths)
        fast.way = .fast
        slow.way = .slow
        let one = FieldArena(width: paths.count)
        let two = FieldArena(width: paths.count)
        var accepted = 0
        for _ in 0..<30_000 {
            var bytes = Array(seeds[random.below(seeds.count)].utf8)
            for _ in 0..<(1 + random.below(3)) {
                let at = random.below(bytes.count + 1)
                switch random.below(4) {
                case 0: bytes.insert(alphabet[random.below(alphabet.count)], at: at)
                case 1: if at < bytes.count { bytes.remove(at: at) }
                case 2: if at < bytes.count { bytes[at] = alphabet[random.below(alphabet.count)] }
                default:
                    let from = random.below(bytes.count + 1)
                    let end = min(bytes.count, from + random.below(8))
                    bytes.insert(contentsOf: Array(bytes[from..<end]), at: at)
                }
            }
            one.removeAll()
            two.removeAll()
            let a = bytes.withUnsafeBytes { fast.extract($0, into: one) }
            let b = bytes.withUnsafeBytes { slow.extract($0, into: two) }
            #expect(a == b, "\(String(decoding: bytes, as: UTF8.self).debugDescription) \(bytes)")
            guard a == nil, b == nil else { continue }
            accepted += 1
            for i in paths.indices {
                #expect(one.kind(0, i) == two.kind(0, i))
                #expect(one.value(0, i).elementsEqual(two.value(0, i)))
            }
        }
        #expect(accepted > 1000)
    }

    // MARK: Fields

    @Test func fieldsAreTakenAsTheyAre() {
        let paths = ["a", "a.b", "n", "t", "s", "x", "l"].map { FieldPath($0) }
        for way in [JSONExtractor.Way.fast, .slow] {
            #expect(
                fields(
                    #" {"n": 1.50e+2 ,"a" : { "b":"q\"\u00e9\ud83d\ude00\n" , "z":[ ] } ,"t":true,"s":null,"l":[1, "2"]} "#,
                    paths, way)
                    == [
                        "other { \"b\":\"q\\\"\\u00e9\\ud83d\\ude00\\n\" , \"z\":[ ] }", "string q\"é😀\n",
                        "other 1.50e+2",
                        "other true", "null", "missing", "other [1, \"2\"]",
                    ])
            #expect(
                fields(#"{"n":123456789012345678901234567890,"a":-1e999}"#, paths, way)[2]
                    == "other 123456789012345678901234567890")
        }
    }

    @Test func theFirstOfEqualKeysCounts() {
        #expect(fields(#"{"a":1,"a":2}"#, [FieldPath("a")]) == ["other 1"])
        #expect(fields(#"{"a":{"x":1},"a":{"b":2}}"#, [FieldPath("a.b")]) == ["missing"])
        #expect(fields(#"{"\u0061":"first","a":"second"}"#, [FieldPath("a")]) == ["string first"])
    }

    @Test func pathsMayHoldDotsAndRepeat() {
        #expect(FieldPath(#"a\.b.c"#).keys == ["a.b", "c"])
        #expect(FieldPath(#"a\\.b"#).keys == [#"a\"#, "b"])
        #expect(
            fields(#"{"a.b":{"c":"x"},"a":{"b":"y"}}"#, [FieldPath(#"a\.b.c"#), FieldPath("a.b"), FieldPath("a.b")])
                == [
                    "string x", "string y", "string y",
                ])
        #expect(fields(#"{"":{"":"x"}}"#, [FieldPath(".")]) == ["string x"])
        // Values in an array, or deeper than the path, don't count.
        #expect(
            fields(#"{"x":{"a":1},"l":[{"a":2}],"a":"yes"}"#, [FieldPath("a"), FieldPath("l.a"), FieldPath("a.b")]) == [
                "string yes", "missing", "missing",
            ])
    }

    @Test func chatTurnsAreRecognised() {
        for way in [JSONExtractor.Way.fast, .slow] {
            func chat(_ line: String) -> String { fields(line, [.chat], way)[0] }
            #expect(
                chat(#"{"messages":[{"role":"user","content":"Hi\n"},{"content":"Yo","role":"assistant"}]}"#)
                    == "<user>Hi\n<assistant>Yo")
            #expect(
                chat(
                    #"{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"\u00e9"},{"from":"tool","value":"t"}]}"#
                ) == "<user>Hi<assistant>é<tool>t")
            #expect(
                chat(#"{"messages":[{"role":"human","content":"a"},{"role":"gpt","content":"b"}]}"#) == "<human>a<gpt>b"
            )
            #expect(
                chat(
                    #"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image","url":[1]},{"text":"b","type":"text"}]}]}"#
                ) == "<user>ab")
            #expect(chat(#"{"messages":[ { "role" : "user" , "x":[{}] , "content" : "" } ]}"#) == "<user>")
            #expect(chat(#"{"messages":"no","conversations":[{"from":"a","value":"b"}]}"#) == "<a>b")
            for bad in [
                #"{}"#, #"{"messages":[]}"#, #"{"messages":[{"role":"user"}]}"#,
                #"{"messages":[{"role":"user","content":null}]}"#,
                #"{"messages":[{"role":1,"content":"x"}]}"#, #"{"messages":["x"]}"#,
                #"{"messages":{"role":"user","content":"x"}}"#,
                #"{"messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
                #"{"x":{"messages":[{"role":"user","content":"x"}]}}"#,
            ] { #expect(chat(bad) == "missing", "\(bad)") }
        }
    }

    @Test func giantLinesTakeTheOtherWay() {
        let text = String(repeating: "text \\n é ", count: 150_000)
        let line = "{\"a\":\"\(text)\",\"b\":1}"
        let got = fields(line, [FieldPath("a"), FieldPath("b")])
        #expect(got[0].utf8.count == 7 + 150_000 * 10)
        #expect(got[1] == "other 1")
        #expect(check(Array((line + "x").utf8))?.code == .trailing)
    }

    @Test func rowsFollowOneAnother() {
        let paths = [FieldPath("a"), FieldPath("b")]
        let extractor = JSONExtractor(paths)
        let arena = FieldArena(width: 2)
        for i in 0..<500 {
            let line = Array("{\"a\":\"v\(i)\",\"b\":\(i)}".utf8)
            #expect(line.withUnsafeBytes { extractor.extract($0, into: arena) } == nil)
            #expect(Array("{\"a\":\"bad".utf8).withUnsafeBytes { extractor.extract($0, into: arena) } != nil)
        }
        #expect(arena.rows == 500)
        #expect((0..<500).allSatisfy { utf8(arena.value($0, 0)) == "v\($0)" && utf8(arena.value($0, 1)) == "\($0)" })
        arena.removeLastRow()
        #expect(arena.rows == 499)
    }

    // MARK: Writing

    @Test func stringsSurviveWritingAndReading() {
        for text in ["", "plain", "q\"b\\s/", "\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}", "é😀\u{2028}"] {
            var line = Array("{\"a\":".utf8)
            line.appendJSONString(text)
            line.append(UInt8(ascii: "}"))
            #expect(fields(String(decoding: line, as: UTF8.self), [FieldPath("a")]) == ["string " + text])
        }
        var bytes: [UInt8] = []
        bytes.appendJSONString("a\u{1}\n")
        #expect(bytes == Array(#""a\u0001\n""#.utf8))
    }

    @Test func base64KnowsItsVectors() {
        for (plain, coded) in [
            ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy"),
        ] {
            var bytes: [UInt8] = []
            Array(plain.utf8).withUnsafeBytes { bytes.appendBase64($0) }
            #expect(bytes == Array(coded.utf8))
        }
    }
}
