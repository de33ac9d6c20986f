extension Tokenizer {
    /// Reads a `tokenizer.json`. Cost: a pass over its bytes, and a table of its tokens.
    ///
    /// - Throws: which part is damaged, or not supported.
    public init(json bytes: UnsafeRawBufferPointer) throws(TokenizerError) {
        let document = try JSONDocument(bytes)
        let root = document.root
        guard root.kind == .object, let part = root["model"], part.kind == .object else {
            throw .wrong("it has no `model`; it is no tokenizer.json")
        }
        let vocabulary = try ModelReader.vocabulary(part)
        normalizer = Normalizer(steps: try root["normalizer"].map(NormalizerReader.steps) ?? [])
        model = try ModelReader.model(part, vocabulary)
        var steps = try root["pre_tokenizer"].map(SplitterReader.steps) ?? []
        if steps.isEmpty, case .bytePair(let pairs) = model, let cuts = pairs.cuts { steps = [.cuts(cuts)] }
        splitter = Splitter(steps: steps)
        let added = try AddedReader.tokens(root["added_tokens"], vocabulary, normalizer)
        rawTokens = AddedTokens(added.raw)
        normalizedTokens = AddedTokens(added.normalized)
        (before, after) = try TemplateReader.around(root["post_processor"])
        size = (added.raw + added.normalized).reduce(vocabulary.size) { max($0, Int($1.id) + 1) }
        medianLength = ModelReader.medianLength(vocabulary, added)
    }

    public init(json bytes: [UInt8]) throws(TokenizerError) {
        let made = bytes.withUnsafeBytes { bytes in
            Result { () throws(TokenizerError) in try Tokenizer(json: bytes) }
        }
        self = try made.get()
    }
}

/// `added_tokens`.
enum AddedReader {
    static func tokens(
        _ list: JSONItem?, _ vocabulary: Vocabulary, _ normalizer: Normalizer
    ) throws(TokenizerError) -> (raw: [AddedTokens.Token], normalized: [AddedTokens.Token]) {
        var raw: [AddedTokens.Token] = []
        var normalized: [AddedTokens.Token] = []
        var text = TextBuffer()
        var other = TextBuffer()
        for item in list?.items ?? [] {
            guard let content = item["content"]?.string, let id = item["id"]?.integer, 0..<Int(Int32.max) ~= id else {
                throw .wrong("an entry of `added_tokens` has no `content` or no `id`")
            }
            guard vocabulary.id(content) ?? Int32(id) == Int32(id) else {
                let name = String(decoding: content, as: UTF8.self)
                throw .wrong("the added token `\(name)` has the id \(id), but another one in the vocabulary")
            }
            func token(_ content: [UInt8]) -> AddedTokens.Token {
                AddedTokens.Token(
                    content: content, id: Int32(id), isWord: item["single_word"]?.flag ?? false,
                    takesLeft: item["lstrip"]?.flag ?? false, takesRight: item["rstrip"]?.flag ?? false)
            }
            guard item["normalized"]?.flag ?? true else {
                raw.append(token(Array(content)))
                continue
            }
            text.count = 0
            text.append(Array(content))
            normalizer.apply(&text, &other, Ends())
            normalized.append(token(Array(UnsafeBufferPointer(start: text.base, count: text.count))))
        }
        return (raw, normalized)
    }
}

/// `post_processor`: what it puts around the ids of a single text.
enum TemplateReader {
    static func around(_ part: JSONItem?) throws(TokenizerError) -> (before: [Int32], after: [Int32]) {
        guard let part else { return ([], []) }
        switch part["type"]?.name {
        case "TemplateProcessing": return try template(part)
        case "BertProcessing", "RobertaProcessing": return ([try pair(part["cls"])], [try pair(part["sep"])])
        case "ByteLevel": return ([], [])
        case let type: throw .unsupported("post-processor", "`\(type ?? "without a type")`")
        }
    }

    /// `["[CLS]", 101]`.
    private static func pair(_ item: JSONItem?) throws(TokenizerError) -> Int32 {
        guard let items = item?.items, items.count == 2, let id = items[1].integer, 0..<Int(Int32.max) ~= id else {
            throw .wrong("the post-processor names no token and its id")
        }
        return Int32(id)
    }

    private static func template(_ part: JSONItem) throws(TokenizerError) -> (before: [Int32], after: [Int32]) {
        var before: [Int32] = []
        var after: [Int32] = []
        var texts = 0
        for item in part["single"]?.items ?? [] {
            if let sequence = item["Sequence"] {
                guard sequence["id"]?.name == "A" else {
                    throw .unsupported("post-processor", "`TemplateProcessing` with a `single` of two texts")
                }
                texts += 1
                continue
            }
            guard let name = item["SpecialToken"]?["id"]?.name, let token = part["special_tokens"]?[name] else {
                throw .wrong("`single` of the post-processor names a token that it does not describe")
            }
            for id in token["ids"]?.items ?? [] {
                guard let id = id.integer, 0..<Int(Int32.max) ~= id else {
                    throw .wrong("the post-processor's token `\(name)` has no id")
                }
                if texts == 0 { before.append(Int32(id)) } else { after.append(Int32(id)) }
            }
        }
        guard texts == 1 else {
            throw .unsupported("post-processor", "`TemplateProcessing` without one text in `single`")
        }
        return (before, after)
    }
}
