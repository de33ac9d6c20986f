import SluiceCore
import SluiceHTTP
import Testing

/// Reading and writing the JSON of requests, and waits.
@Suite struct ReplyTests {
    private func read<Result>(
        _ json: String, _ body: (inout ReplyReader) throws -> Result
    ) throws -> Result {
        try Array(json.utf8).withUnsafeBufferPointer { bytes in
            var reader = ReplyReader(bytes)
            return try body(&reader)
        }
    }

    /// Text comes back from JSON as it was, whatever it holds.
    @Test func textsAsJSON() throws {
        let alphabet: [Unicode.Scalar] = [
            "a", "\"", "\\", "\n", "\r", "\t", "\u{0}", "\u{1F}", "\u{7F}", "é", "\u{2028}", "漢", "😀", "/", "b", "f",
        ]
        for length in 0..<300 {
            let text = String(
                String.UnicodeScalarView(
                    (0..<length).map { place in
                        alphabet[Int(Seed.mix(UInt64(length * 1000 + place)) % UInt64(alphabet.count))]
                    }))
            let json = JSONValue.text(text).json
            // What a request reserves for a text.
            #expect(json.utf8.count <= 6 * text.utf8.count + 2)
            let back = try read(json) { try $0.string() }
            #expect(back == Array(text.utf8))
        }
    }

    @Test func escapes() throws {
        #expect(
            try read(#""a\u00e9\ud83d\ude00\n\/\"\\\ud800x\udc00""#) {
                String(decoding: try $0.string(), as: UTF8.self)
            }
                == "aé😀\n/\"\\\u{FFFD}x\u{FFFD}")
    }

    @Test func numbers() throws {
        for value: Float in [0, -0.0, 1, -1, 0.1, 3.4e38, 1e-38, 0.333_333_34, 16_777_216] {
            #expect(try read("\(value)") { try $0.float() }.bitPattern == value.bitPattern)
            #expect(try read(" \(Double(value)) ") { try $0.float() }.bitPattern == value.bitPattern)
        }
        #expect(try read("NaN") { try $0.float() }.isNaN)
        #expect(try read("-Infinity") { try $0.float() } == -.infinity)
        #expect(try read("1e999") { try $0.float() } == .infinity)
        for wrong in ["", "x", "1.2.3", "--1", "[1]", "\"1\"", String(repeating: "1", count: 61)] {
            #expect(throws: ReplyError.self, "\(wrong)") { try read(wrong) { try $0.float() } }
        }
    }

    /// No reply, cut off anywhere or with any byte changed, does more than throw.
    @Test func damagedReplies() throws {
        let json = Array(#"{"a":[1,2.5e3,{"b":"c\u00e9\\"}],"d":null,"e":[[],{}],"f":true}"#.utf8)
        func walk(_ bytes: [UInt8]) {
            _ = bytes.withUnsafeBufferPointer { bytes in
                var reader = ReplyReader(bytes)
                return try? reader.skip()
            }
            _ = ServerMessage(bytes)
        }
        for end in json.indices { walk(Array(json[..<end])) }
        for place in json.indices {
            for byte: UInt8 in [0, 0x22, 0x5B, 0x5C, 0x5D, 0x7B, 0x7D, 0xFF, 0x2C] {
                var damaged = json
                damaged[place] = byte
                walk(damaged)
            }
        }
        walk([UInt8](repeating: UInt8(ascii: "["), count: 100_000))
    }

    @Test(
        arguments: [
            (
                #"{"error":{"message":"too many","type":"t","code":"insufficient_quota"}}"#, "too many",
                "insufficient_quota"
            ),
            (
                #"{"message":"batch size 9 > maximum allowed batch size 8","code":413,"type":"Validation"}"#,
                "batch size 9 > maximum allowed batch size 8", "Validation"
            ),
            (#"{"error":"model \"x\" not found"}"#, #"model "x" not found"#, nil),
            (#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#, "field required", nil),
            (#"{"detail":"Not Found"}"#, "Not Found", nil), ("<html>\n  Bad\tgateway", "<html> Bad gateway", nil),
            ("", "", nil),
        ] as [(String, String, String?)])
    func whatServersSay(body: String, words: String, code: String?) {
        let message = ServerMessage(Array(body.utf8))
        #expect(message.words == words)
        #expect(message.code == code)
    }

    @Test func aLongMessageIsCut() {
        #expect(ServerMessage([UInt8](repeating: 0x61, count: 9999)).words.count == 301)
    }

    @Test func waits() throws {
        let backoff = Backoff(attempts: 12, first: 0.5, most: 30, patience: 600)
        for failures in 1..<12 {
            let limit = min(30, 0.5 * Double(1 << (failures - 1)))
            let drawn = try (0..<200).map { _ in try #require(backoff.delay(after: failures, asked: nil)) }
            #expect(drawn.allSatisfy { 0...limit ~= $0 })
            #expect((drawn.max() ?? 0) > limit * 0.8 && (drawn.min() ?? 1) < limit * 0.2)
            let asked = try #require(backoff.delay(after: failures, asked: 20))
            #expect(20...20.5 ~= asked)
        }
        #expect(backoff.delay(after: 12, asked: nil) == nil)
        #expect(backoff.delay(after: 1, asked: 601) == nil)
    }

    @Test func aStopEndsAWait() {
        let before = now()
        Backoff.wait(seconds: 60, isStopped: { now() > before + 0.2 })
        #expect(now() - before < 2)
        Backoff.wait(seconds: 0.05, isStopped: { false })
    }
}
