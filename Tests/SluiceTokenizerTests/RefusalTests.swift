import Testing

@testable import SluiceTokenizer

/// What a file may not have, and that no file does harm.
@Suite struct RefusalTests {
    private static let model = #"{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}"#

    private static let refused: [(String, String)] = [
        (tokenizerFile(model: #"{"type": "WordLevel", "vocab": {"a": 0}}"#), "model `WordLevel`"),
        (tokenizerFile(model: model, normalizer: #"{"type": "NFKC"}"#), "normalizer `NFKC`"),
        (
            tokenizerFile(
                model: model,
                normalizer: #"{"type": "Sequence", "normalizers": [{"type": "Lowercase"}, {"type": "Nmt"}]}"#),
            "normalizer `Nmt`"
        ),
        (
            tokenizerFile(
                model: model, normalizer: #"{"type": "Replace", "pattern": {"Regex": "[a-z]"}, "content": ""}"#),
            "regular expression `[a-z]`"
        ),
        (tokenizerFile(model: model, splitter: #"{"type": "ByteLevel"}"#), "pre-tokenizer `ByteLevel`"),
        (
            tokenizerFile(
                model: model,
                splitter: #"{"type": "Metaspace", "replacement": "▁", "add_prefix_space": false}"#),
            "add_prefix_space: false"
        ),
        (tokenizerFile(model: model, processor: #"{"type": "Other"}"#), "post-processor `Other`"),
        (tokenizerFile(model: #"{"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}"#), "`dropout`"),
        (
            tokenizerFile(model: #"{"type": "BPE", "vocab": {"a": 0}, "merges": [], "end_of_word_suffix": "</w>"}"#),
            "`end_of_word_suffix`"
        ),
        (tokenizerFile(model: #"{"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}"#), "merge 0"),
        (tokenizerFile(model: #"{"type": "BPE", "vocab": {"a": -1}, "merges": []}"#), "the token `a`"),
        (tokenizerFile(model: #"{"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1}"#), "`unk_id` 1"),
        (tokenizerFile(model: #"{"type": "Unigram", "vocab": [["a"]], "unk_id": 0}"#), "entry 0"),
        (tokenizerFile(model: model, added: #"[{"id": 2, "content": "a"}]"#), "the added token `a`"),
        (#"{"model": null}"#, "no `model`"), ("[1, 2", "at byte 5"), ("", "ends early"),
        (String(repeating: "[", count: 100_000), "64 levels"), ("{\"a\": \"\u{1}\"}", "control character"),
    ]

    @Test(arguments: refused)
    func aPartThatIsUnknownIsNamed(file: String, words: String) {
        let error = #expect(throws: TokenizerError.self) { try Tokenizer(file) }
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
        #expect(error?.message.contains("tokenizer.json") == true)
    }

    /// Random changes of bytes: read or refused, and what is read encodes any text.
    @Test func damagedFilesAreReadOrRefused() {
        let charsmap = "AwAAAAAEAAAAAAAAAAAAAGEAYgA="
        let files = [
            tokenizerFile(
                model: Self.model,
                normalizer:
                    #"{"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}"#,
                added: #"[{"id": 0, "content": "a", "normalized": false, "lstrip": true}]"#,
                processor:
                    #"{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "a"}}, {"Sequence": {"id": "A"}}], "special_tokens": {"a": {"ids": [0]}}}"#
            ),
            tokenizerFile(
                model:
                    #"{"type": "WordPiece", "unk_token": "a", "continuing_subword_prefix": \#(continuation), "vocab": {"a": 0, "b": 1}}"#,
                normalizer: #"{"type": "BertNormalizer"}"#, splitter: #"{"type": "BertPreTokenizer"}"#),
            tokenizerFile(
                model: #"{"type": "Unigram", "vocab": [["<unk>", 0], ["▁a", -1.5], ["b", -2]], "unk_id": 0}"#,
                normalizer: #"{"type": "Precompiled", "precompiled_charsmap": "\#(charsmap)"}"#,
                splitter: #"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}"#),
        ].map { Array($0.utf8) }
        let text = Array("a b  ab é 中 😀 <a>\u{301}b".utf8) + [0xFF, 0xE2]
        var read = 0
        var draws = Draws(state: 1)
        for round in 0..<3000 {
            var file = files[round % 3]
            for _ in 0..<(1 + draws.below(3)) {
                switch draws.below(3) {
                case 0: file[draws.below(file.count)] = UInt8(truncatingIfNeeded: draws.next())
                case 1: file.remove(at: draws.below(file.count))
                default: file.insert(draws.pick(Array("0123456789\"[]{},\\e-.".utf8)), at: draws.below(file.count))
                }
            }
            guard let tokenizer = try? Tokenizer(json: file) else { continue }
            read += 1
            for id in tokenizer.ids(text) { #expect(id >= 0 && id < tokenizer.size) }
        }
        #expect(read > 250)
    }

    /// Units of a charsmap that point anywhere.
    @Test func hostileCharsmapsAreReadWithinTheirBounds() throws {
        var draws = Draws(state: 2)
        for _ in 0..<1000 {
            let units = 1 + draws.below(64)
            var blob: [UInt8] = (0..<4).map { UInt8(truncatingIfNeeded: (units * 4) >> (8 * $0)) }
            for _ in 0..<units {
                // Labels of letters, small offsets and leaves, so that look-ups go on.
                let unit = UInt32(97 + draws.below(4)) | UInt32(draws.below(2)) << 8 | UInt32(draws.below(64)) << 10
                let value = draws.below(8) == 0 ? UInt32(truncatingIfNeeded: draws.next()) : unit
                blob += (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
            }
            blob += (0..<draws.below(20)).map { _ in UInt8(draws.below(2) * 97) }
            let map = try Charsmap(blob)
            var text = TextBuffer()
            var output = TextBuffer()
            text.append(Array("abcd aé\r\ndcba".utf8))
            map.apply(text, &output)
            #expect(output.count < 100_000)
        }
    }
}
