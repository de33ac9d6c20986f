import Testing

@testable import SluiceTokenizer

/// Normalizers, pre-tokenizers and added tokens, beside what the library `tokenizers` 0.23 gives for the same file.
@Suite struct PartTests {
    private static let bert =
        #"{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}"#

    private static func added(_ id: Int, _ content: String, _ flags: String...) -> String {
        let all = ["single_word", "lstrip", "rstrip", "normalized"].map { #""\#($0)": \#(flags.contains($0))"# }
        return #"{"id": \#(id), "content": \#(quoted(content)), \#(all.joined(separator: ", "))}"#
    }

    @Test(
        arguments: [
            ("a <m> b", [1, 12, 2]), ("a  <n>  b", [1, 13, 2]), ("<m><n>b", [17, 2]), ("<mm>a", [14, 1]),
            ("wo two wo. wow", [15, 0, 15, 9, 0]), ("a éx EX b", [1, 16, 16, 2]), ("a<m> <n> a", [1, 12, 13, 1]),
            ("<m> <m>", [12, 12]), (" wo", [15]), ("ab.b中é", [4, 9, 2, 10, 8]), ("abcab", [4, 5, 11, 3]),
            ("abcabc", [0]), ("<n> <m>a", [13, 12, 1]),
        ] as [(String, [Int32])])
    func addedTokens(text: String, expected: [Int32]) throws {
        let words = ["[UNK]", "a", "b", "##b", "ab", "##c", "x", "é", "e", ".", "中", "##a"]
        let list = [
            Self.added(12, "<m>", "lstrip"), Self.added(13, "<n>", "rstrip"), Self.added(14, "<mm>"),
            Self.added(15, "wo", "single_word"), Self.added(16, "ÉX", "normalized"), Self.added(17, "<m><n>"),
        ]
        let tokenizer = try Tokenizer(
            tokenizerFile(
                model:
                    #"{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": \#(continuation), "max_input_chars_per_word": 5, "vocab": \#(vocabulary(words))}"#,
                normalizer: Self.bert, splitter: #"{"type": "BertPreTokenizer"}"#,
                added: "[\(list.joined(separator: ", "))]"))
        #expect(tokenizer.ids(text) == expected)
        #expect(tokenizer.size == 18)
    }

    private static func unigram(
        normalizer: String = "null", splitter: String, bytes: Bool = false
    ) throws -> Tokenizer {
        let tokens: [(String, Double)] = [
            ("<unk>", 0), ("▁", -2), ("a", -1), ("b", -1.5), ("▁a", -1.2), ("ab", -1.7), ("▁ab", -3), ("<0x63>", -9),
            ("c▁", -2.5), ("ba", -2.2), ("▁▁", -2.1),
        ]
        let list = tokens.map { "[\(quoted($0.0)), \($0.1)]" }.joined(separator: ", ")
        return try Tokenizer(
            tokenizerFile(
                model: #"{"type": "Unigram", "unk_id": 0, "vocab": [\#(list)], "byte_fallback": \#(bytes)}"#,
                normalizer: normalizer, splitter: splitter, added: "[\(added(0, "<unk>"))]"))
    }

    private static let spaced = ["ab aba", "  a", "<unk>a b", " ", "xx a", "aab▁ba"]
    private static let metaspace: [(String, Bool, [[Int32]])] = [
        ("always", true, [[4, 3, 4, 9], [1, 4], [0, 4, 1, 3], [1], [1, 0, 4], [4, 5, 1, 9]]),
        ("always", false, [[4, 3, 4, 9], [10, 2], [0, 4, 1, 3], [1], [1, 0, 4], [4, 5, 1, 9]]),
        ("first", true, [[4, 3, 4, 9], [1, 4], [0, 2, 1, 3], [1], [1, 0, 4], [4, 5, 1, 9]]),
        ("first", false, [[4, 3, 4, 9], [10, 2], [0, 2, 1, 3], [1], [1, 0, 4], [4, 5, 1, 9]]),
        ("never", true, [[5, 4, 9], [1, 4], [0, 2, 1, 3], [1], [0, 4], [2, 5, 1, 9]]),
        ("never", false, [[5, 4, 9], [10, 2], [0, 2, 1, 3], [1], [0, 4], [2, 5, 1, 9]]),
    ]

    @Test(arguments: metaspace)
    func spacesBecomeMarks(scheme: String, splits: Bool, expected: [[Int32]]) throws {
        let tokenizer = try Self.unigram(
            splitter:
                #"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "\#(scheme)", "split": \#(splits)}"#)
        #expect(Self.spaced.map { tokenizer.ids($0) } == expected)
    }

    @Test func wordsGetMarks() throws {
        let tokenizer = try Self.unigram(
            splitter:
                #"{"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}]}"#,
            bytes: true)
        let texts = ["ab \n aba", "  a", "<unk>a b", " ", "xx a", "aab▁ba", "c cxc"]
        #expect(
            texts.map { tokenizer.ids($0) } == [
                [4, 3, 4, 9], [4], [0, 4, 1, 3], [], [1, 0, 4], [4, 5, 1, 9], [1, 7, 1, 0],
            ])
    }

    @Test func normalizersInOrder() throws {
        let tokenizer = try Self.unigram(
            normalizer:
                #"{"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "."}, "content": " . "}, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Strip", "strip_left": true, "strip_right": true}, {"type": "Lowercase"}]}"#,
            splitter: #"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}"#)
        #expect(
            ["  AB.ab  ", "a\u{3000}\u{2003}b\n", " . "].map { tokenizer.ids($0) } == [
                [4, 3, 1, 0, 4, 3], [4, 1, 3], [1, 0],
            ])
    }

    /// A long text is read in windows: cut at a space, each word has the ids that it has alone.
    @Test func windowsChangeNoID() throws {
        for scheme in ["always", "never"] {
            let tokenizer = try Self.unigram(
                splitter: #"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "\#(scheme)", "split": true}"#)
            let words = (0..<14_000).map { ["ab", "aba", "b", "bab", "a"][$0 * 7 % 5] }
            var expected: [Int32] = []
            for (index, word) in words.enumerated() { expected += tokenizer.ids(index == 0 ? word : " " + word) }
            #expect(tokenizer.ids(words.joined(separator: " ")) == expected)
            #expect(tokenizer.ids(words.joined(separator: " "), most: 15_001) == Array(expected.prefix(15_001)))
        }
    }

    /// What came before must not matter, and bytes that are no UTF-8 must do no harm.
    @Test func aUsedScratchGivesTheSame() throws {
        let tokenizer = try Self.unigram(
            normalizer: Self.bert,
            splitter: #"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}"#)
        var scratch = Tokenizer.Scratch()
        var draws = Draws(state: 5)
        let pieces: [[UInt8]] =
            ["a", "b", " ", "ab", "É", "中", "c", "😀", "\r\n"].map { Array($0.utf8) } + [[0xFF], [0xE2], [0x80]]
        for _ in 0..<500 {
            let text = (0..<draws.below(40)).flatMap { _ in draws.pick(pieces) }
            #expect(tokenizer.ids(text, &scratch) == tokenizer.ids(text))
        }
    }
}
