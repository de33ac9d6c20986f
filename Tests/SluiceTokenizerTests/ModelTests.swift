import Testing

@testable import SluiceTokenizer

/// Each model against a plain definition of it, on random vocabularies and words.
@Suite struct ModelTests {
    private static let letters = ["a", "b", "c", "é", "中"]

    private static func word(_ draws: inout Draws, _ most: Int) -> [String] {
        (0..<(1 + draws.below(most))).map { _ in draws.pick(letters) }
    }

    @Test func bytePairsMergeTheLowestRankFirst() throws {
        for seed in 0..<60 {
            var draws = Draws(state: UInt64(seed))
            var tokens = Self.letters
            var merges: [(String, String)] = []
            for _ in 0..<30 {
                let pair = (draws.pick(tokens), draws.pick(tokens))
                guard !merges.contains(where: { $0 == pair }) else { continue }
                merges.append(pair)
                if !tokens.contains(pair.0 + pair.1) { tokens.append(pair.0 + pair.1) }
            }
            let asPairs = seed % 2 == 0
            let list = merges.map {
                asPairs ? "[\(quoted($0.0)), \(quoted($0.1))]" : quoted("\($0.0) \($0.1)")
            }.joined(separator: ", ")
            let tokenizer = try Tokenizer(
                tokenizerFile(model: #"{"type": "BPE", "vocab": \#(vocabulary(tokens)), "merges": [\#(list)]}"#))
            for _ in 0..<40 {
                let word = Self.word(&draws, 14)
                let expected = Self.merge(word, merges).map { Int32(tokens.firstIndex(of: $0)!) }
                // Tokens that can be made in two ways: the library may take the second earlier than its rank.
                guard Self.isPlain(merges) || expected == tokenizer.ids(word.joined()) else { continue }
                #expect(tokenizer.ids(word.joined()) == expected, "\(word) \(merges)")
            }
        }
    }

    /// With byte fallback and no pre-tokenizer, text is cut where no merge joins two neighbours.
    @Test func cutsChangeNoID() throws {
        let bytes = (0...255).map { String(decoding: UTF8Text.byteName(UInt8($0)), as: UTF8.self) }
        let scalars = ["a", "b", "c", "▁", ",", "é", "中"]
        for seed in 100..<160 {
            var draws = Draws(state: UInt64(seed))
            var made = scalars
            var merges: [(String, String)] = []
            for _ in 0..<12 {
                let pair = (draws.pick(made), draws.pick(made))
                guard !made.contains(pair.0 + pair.1) else { continue }
                merges.append(pair)
                made.append(pair.0 + pair.1)
            }
            let tokens = bytes + made
            let list = merges.map { quoted("\($0.0) \($0.1)") }.joined(separator: ", ")
            let tokenizer = try Tokenizer(
                tokenizerFile(
                    model:
                        #"{"type": "BPE", "byte_fallback": true, "vocab": \#(vocabulary(tokens)), "merges": [\#(list)]}"#
                ))
            #expect(tokenizer.splitter.steps.count == 1)
            for _ in 0..<30 {
                let text = (0..<(1 + draws.below(30))).map { _ in draws.pick(scalars + ["\n", "x", "▁a"]) }.joined()
                let parts = text.unicodeScalars.map(String.init)
                let expected = Self.merge(parts, merges).flatMap { part -> [Int32] in
                    tokens.firstIndex(of: part).map { [Int32($0)] } ?? part.utf8.map { Int32($0) }
                }
                #expect(tokenizer.ids(text) == expected, "\(text) \(merges)")
            }
        }
    }

    private static func isPlain(_ merges: [(String, String)]) -> Bool {
        Set(merges.map { $0.0 + $0.1 }).count == merges.count
    }

    private static func merge(_ word: [String], _ merges: [(String, String)]) -> [String] {
        var parts = word
        while true {
            var best: (rank: Int, place: Int)?
            for place in 0..<max(0, parts.count - 1) {
                guard let rank = merges.firstIndex(where: { $0 == (parts[place], parts[place + 1]) }) else { continue }
                if best == nil || rank < best!.rank { best = (rank, place) }
            }
            guard let best else { return parts }
            parts[best.place...(best.place + 1)] = [parts[best.place] + parts[best.place + 1]]
        }
    }

    @Test func wordPieceTakesTheLongestToken() throws {
        for seed in 0..<60 {
            var draws = Draws(state: UInt64(seed))
            var tokens = ["[UNK]"]
            for _ in 0..<25 {
                let token = (draws.below(2) == 0 ? "##" : "") + Self.word(&draws, 4).joined()
                if !tokens.contains(token) { tokens.append(token) }
            }
            let tokenizer = try Tokenizer(
                tokenizerFile(
                    model:
                        #"{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": \#(continuation), "max_input_chars_per_word": 9, "vocab": \#(vocabulary(tokens))}"#
                ))
            for _ in 0..<60 {
                let word = Self.word(&draws, 11)
                #expect(tokenizer.ids(word.joined()) == Self.pieces(word, tokens), "\(word) \(tokens)")
            }
        }
    }

    private static func pieces(_ word: [String], _ tokens: [String]) -> [Int32] {
        guard word.count <= 9 else { return [0] }
        var ids: [Int32] = []
        var start = 0
        while start < word.count {
            let prefix = start > 0 ? "##" : ""
            let end = (start + 1...word.count).last { tokens.contains(prefix + word[start..<$0].joined()) }
            guard let end else { return [0] }
            ids.append(Int32(tokens.firstIndex(of: prefix + word[start..<end].joined())!))
            start = end
        }
        return ids
    }

    /// The best of all ways to cut a word, tried one by one. Scores are sums of powers of two, so that no sum rounds and
    /// equal sums are rare.
    @Test func unigramFindsTheBestWay() throws {
        for seed in 0..<60 {
            var draws = Draws(state: UInt64(seed))
            var tokens = [("<unk>", -1000.0)]
            for _ in 0..<14 {
                let token = Self.word(&draws, 3).joined()
                if !tokens.contains(where: { $0.0 == token }) {
                    tokens.append((token, -Double(1 + draws.below(1 << 20)) / 1024))
                }
            }
            let list = tokens.map { "[\(quoted($0.0)), \($0.1)]" }.joined(separator: ", ")
            let tokenizer = try Tokenizer(
                tokenizerFile(model: #"{"type": "Unigram", "unk_id": 0, "vocab": [\#(list)]}"#))
            for _ in 0..<40 {
                let word = Self.word(&draws, 8)
                let ways = Self.ways(word[...], tokens)
                let best = ways.map(\.score).max() ?? 0
                let found = ways.filter { $0.score == best }.map { Self.fuse($0.ids) }
                #expect(found.contains(tokenizer.ids(word.joined())), "\(word) \(tokens)")
            }
        }
    }

    private static func ways(_ word: ArraySlice<String>, _ tokens: [(String, Double)]) -> [(
        score: Double, ids: [Int32]
    )] {
        guard let first = word.first else { return [(0, [])] }
        var all: [(score: Double, ids: [Int32])] = []
        for length in 1...word.count {
            let piece = word.prefix(length).joined()
            guard let id = tokens.firstIndex(where: { $0.0 == piece }) else { continue }
            all += ways(word.dropFirst(length), tokens).map { (tokens[id].1 + $0.score, [Int32(id)] + $0.ids) }
        }
        if !tokens.contains(where: { $0.0 == first }) {
            let unknown = (tokens.map(\.1).min() ?? 0) - 10
            all += ways(word.dropFirst(1), tokens).map { (unknown + $0.score, [0] + $0.ids) }
        }
        return all
    }

    private static func fuse(_ ids: [Int32]) -> [Int32] {
        ids.enumerated().filter { $0.offset == 0 || $0.element != 0 || ids[$0.offset - 1] != 0 }.map(\.element)
    }

    @Test func scalarsWithoutATokenBecomeBytes() throws {
        let bytes = (0...255).map { UTF8Text.byteName(UInt8($0)) }.map { String(decoding: $0, as: UTF8.self) }
        let tokenizer = try Tokenizer(
            tokenizerFile(
                model:
                    #"{"type": "BPE", "byte_fallback": true, "vocab": \#(vocabulary(bytes + ["a"])), "merges": []}"#))
        #expect(tokenizer.ids("aé😀\0") == [256, 0xC3, 0xA9, 0xF0, 0x9F, 0x98, 0x80, 0])
        let unknown = try Tokenizer(
            tokenizerFile(
                model:
                    #"{"type": "BPE", "unk_token": "a", "fuse_unk": true, "vocab": {"a": 3, "b": 5}, "merges": []}"#))
        #expect(unknown.ids("xyb中") == [3, 5, 3])
    }
}
