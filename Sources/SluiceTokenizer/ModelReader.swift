/// `model`.
enum ModelReader {
    /// The tokens and their ids: an object, or for Unigram a list of tokens and scores, whose ids are their places.
    static func vocabulary(_ part: JSONItem) throws(TokenizerError) -> Vocabulary {
        guard let list = part["vocab"], list.count > 0 else { throw .wrong("`model` has no `vocab`") }
        var vocabulary = Vocabulary(capacity: list.count)
        if list.kind == .object {
            try list.forEachEntry { (token, id) throws(TokenizerError) in
                guard let id = id.integer, 0..<Int(Int32.max) ~= id else {
                    throw .wrong("the token `\(String(decoding: token, as: UTF8.self))` has no whole number as its id")
                }
                vocabulary.add(token, Int32(id))
            }
        } else {
            var id: Int32 = 0
            try list.forEach { (entry) throws(TokenizerError) in
                guard let token = entry.first?.string else {
                    throw .wrong("entry \(id) of `vocab` is no pair of a token and its score")
                }
                vocabulary.add(token, id)
                id += 1
            }
        }
        return vocabulary
    }

    static func model(_ part: JSONItem, _ vocabulary: Vocabulary) throws(TokenizerError) -> Tokenizer.Model {
        let type = part["type"]?.name
        let isList = part["vocab"]?.kind == .list
        // Old files leave the type out.
        switch type ?? (part["merges"] != nil ? "BPE" : isList ? "Unigram" : "without a type") {
        case "WordPiece" where !isList: return .wordPiece(try wordPiece(part, vocabulary))
        case "BPE" where !isList: return .bytePair(try bytePair(part, vocabulary))
        case "Unigram" where isList: return .unigram(try unigram(part, vocabulary))
        case "WordPiece", "BPE", "Unigram": throw .wrong("`vocab` of the model is of another type's form")
        case let name: throw .unsupported("model", "`\(name)`")
        }
    }

    private static func wordPiece(_ part: JSONItem, _ vocabulary: Vocabulary) throws(TokenizerError) -> WordPiece {
        guard let unknown = try unknownToken(part, vocabulary) else { throw .wrong("`model` has no `unk_token`") }
        return WordPiece(
            vocabulary: vocabulary, unknown: unknown,
            prefix: Array(part["continuing_subword_prefix"]?.string ?? []),
            mostScalars: part["max_input_chars_per_word"]?.integer ?? 100)
    }

    private static func unknownToken(
        _ part: JSONItem, _ vocabulary: Vocabulary
    ) throws(TokenizerError) -> Int32? {
        guard let token = part["unk_token"]?.string else { return nil }
        guard let id = vocabulary.id(token) else {
            throw .wrong("its `unk_token` `\(String(decoding: token, as: UTF8.self))` is not in `vocab`")
        }
        return id
    }

    // MARK: Byte pairs

    private static func bytePair(_ part: JSONItem, _ vocabulary: Vocabulary) throws(TokenizerError) -> BytePair {
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] where part[key]?.string?.isEmpty == false {
            throw .unsupported("model", "`BPE` with `\(key)`")
        }
        if let dropout = part["dropout"]?.number, dropout != 0 { throw .unsupported("model", "`BPE` with `dropout`") }
        let unknown = try unknownToken(part, vocabulary)
        let (merges, cuts) = try merges(part["merges"], vocabulary)
        let byteIDs = part["byte_fallback"]?.flag == true ? byteIDs(vocabulary) : []
        let ignoresMerges = part["ignore_merges"]?.flag ?? false
        // Unknown text may reach over a cut.
        let isWhole = byteIDs.count == 256 && !byteIDs.contains(-1) && !ignoresMerges
        return BytePair(
            vocabulary: vocabulary, merges: merges, unknown: unknown, fusesUnknown: part["fuse_unk"]?.flag ?? false,
            ignoresMerges: ignoresMerges, byteIDs: byteIDs, cuts: isWhole ? cuts : nil)
    }

    /// A merge is a text with a space between its parts, or a list of both.
    ///
    /// - Returns: the merges, and where text may be cut; nil for that if the bytes of unknown scalars are merged.
    private static func merges(
        _ list: JSONItem?, _ vocabulary: Vocabulary
    ) throws(TokenizerError) -> (table: PairTable, cuts: WordCuts?) {
        var cuts: WordCuts? = WordCuts()
        var table = PairTable(capacity: list?.count ?? 0)
        var rank: Int32 = 0
        var joined: [UInt8] = []
        try list?.forEach { (item) throws(TokenizerError) in
            var left: ArraySlice<UInt8> = []
            var right: ArraySlice<UInt8> = []
            if let text = item.string, let space = text.firstIndex(of: 0x20) {
                (left, right) = (text[..<space], text[(space + 1)...])
            } else if let pair = Optional(item.items), pair.count == 2, let a = pair[0].string, let b = pair[1].string {
                (left, right) = (a, b)
            } else {
                throw .wrong("merge \(rank) is no pair of tokens")
            }
            joined.removeAll(keepingCapacity: true)
            joined.append(contentsOf: left)
            joined.append(contentsOf: right)
            guard let a = vocabulary.id(left), let b = vocabulary.id(right), let both = vocabulary.id(joined) else {
                throw .wrong("merge \(rank) has a token that is not in `vocab`")
            }
            table.set(a, b, PairTable.Merge(rank: rank, id: both))
            rank += 1
            if UTF8Text.isByteName(left) || UTF8Text.isByteName(right) || left.isEmpty || right.isEmpty { cuts = nil }
            cuts?.add(left, right)
        }
        return (table, cuts)
    }

    /// The ids of `<0x00>` to `<0xFF>`, -1 for those that are missing.
    private static func byteIDs(_ vocabulary: Vocabulary) -> [Int32] {
        (0...255).map { vocabulary.id(UTF8Text.byteName(UInt8($0))) ?? -1 }
    }

    // MARK: Unigram

    private static func unigram(_ part: JSONItem, _ vocabulary: Vocabulary) throws(TokenizerError) -> Unigram {
        var scores: [Double] = []
        try part["vocab"]?.forEach { (entry) throws(TokenizerError) in
            guard let score = entry.second?.number, score.isFinite else {
                throw .wrong("entry \(scores.count) of `vocab` is no pair of a token and its score")
            }
            scores.append(score)
        }
        let unknown = part["unk_id"]?.integer
        if let unknown, !scores.indices.contains(unknown) { throw .wrong("its `unk_id` \(unknown) is not in `vocab`") }
        let fallback = part["byte_fallback"]?.flag == true
        return Unigram(
            vocabulary: vocabulary, scores: scores, unknown: unknown.map(Int32.init),
            byteIDs: fallback ? byteIDs(vocabulary) : [])
    }

    // MARK: Lengths

    /// Of the tokens of the vocabulary and those added to it.
    static func medianLength(
        _ vocabulary: Vocabulary, _ added: (raw: [AddedTokens.Token], normalized: [AddedTokens.Token])
    ) -> Int {
        var lengths: [Int] = []
        vocabulary.forEach { token in lengths.append(UTF8Text.count(token)) }
        for token in added.raw + added.normalized where vocabulary.id(token.content) == nil {
            lengths.append(UTF8Text.count(token.content))
        }
        lengths.sort()
        guard let last = lengths.last else { return 0 }
        let half = lengths.count / 2
        return lengths.count % 2 == 1 ? lengths[half] : (lengths[max(0, half - 1)] + min(last, lengths[half])) / 2
    }
}

extension JSONItem {
    /// The first two values of a list.
    fileprivate var first: JSONItem? {
        kind == .list && count > 0 ? JSONItem(document: document, index: index + 1) : nil
    }
    fileprivate var second: JSONItem? {
        guard let first, count > 1 else { return nil }
        return JSONItem(document: document, index: Int(document.nodes[first.index].end))
    }
}
