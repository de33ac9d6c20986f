/// A tokenizer as a `tokenizer.json` of Hugging Face's `tokenizers` describes it: from UTF-8 to ids.
///
/// Models: WordPiece (BERT), byte-pair encoding with byte fallback (Llama) and Unigram (SentencePiece), with the
/// normalizers and pre-tokenizers that go with them. A file with any other part is refused by name. The ids are those of
/// the library, for all text of up to 32 KiB (8 KiB with a charsmap); a longer text is read in windows of that size, cut
/// before a space between ASCII letters or digits (which changes no id with these models) or, where there is none in
/// half a window, between two scalars.
///
/// `truncation` and `padding` of the file are not applied: callers have limits of their own.
///
/// A value that any number of threads may use at a time, each with a scratch of its own. Deterministic; Unicode's
/// properties are those of the Swift standard library.
public struct Tokenizer: Sendable {
    enum Model: Sendable {
        case wordPiece(WordPiece)
        case bytePair(BytePair)
        case unigram(Unigram)
    }

    /// The longest piece of a text that is read at a time: less where normalising may make it much longer.
    var window: Int { normalizer.growth > 4 ? 8 << 10 : 32 << 10 }

    let model: Model
    let normalizer: Normalizer
    let splitter: Splitter
    /// Cut out before text is normalised, and after.
    let rawTokens: AddedTokens
    let normalizedTokens: AddedTokens
    /// What the post-processor puts around the ids of a text.
    public let before: [Int32]
    public let after: [Int32]

    /// One more than the largest id.
    public let size: Int
    /// What stands for text that has no token.
    public var unknown: Int32? {
        switch model {
        case .wordPiece(let model): model.unknown
        case .bytePair(let model): model.unknown
        case .unigram(let model): model.unknown
        }
    }

    /// The median length of the vocabulary's tokens in scalars, rounded down, as model2vec computes it.
    public let medianLength: Int

    /// Bytes that the tokenizer holds, shared by all threads.
    public var bytes: Int {
        let own =
            switch model {
            case .wordPiece(let model): model.vocabulary.bytes
            case .bytePair(let model): model.vocabulary.bytes + model.merges.bytes
            case .unigram(let model): model.bytes
            }
        return own + normalizer.bytes + ScalarClass.tableBytes
    }

    /// Bytes that a scratch takes at most, for texts of any length.
    public var scratchBytes: Int {
        let scalars = window * normalizer.growth
        // A space becomes a mark of three bytes. Buffers double when they grow.
        let text = scalars * 3
        let own =
            switch model {
            case .wordPiece: 0
            case .bytePair: BytePair.scratchBytes(scalars)
            case .unigram: Unigram.scratchBytes(text)
            }
        return WordCache.bytes + text * 3 * 2 + scalars * 4 * 2 + window * 8 * 2 + own
    }

    /// What encoding keeps from text to text: buffers, and the ids of words that came before. It serves one tokenizer and
    /// one thread at a time, and changes no result.
    public struct Scratch: ~Copyable {
        var text = TextBuffer()
        var other = TextBuffer()
        var piece = TextBuffer()
        var bounds: [Int32] = []
        var spare: [Int32] = []
        var parts: [AddedTokens.Part] = []
        var innerParts: [AddedTokens.Part] = []
        var cache = WordCache()
        var bytePair = BytePair.Scratch()
        var unigram = Unigram.Scratch()
        var ids = IDBuffer()

        public init() {}
    }

    /// The ids of a text, without those that the post-processor adds.
    ///
    /// - Parameters:
    ///   - text: UTF-8. Bytes that are none read as U+FFFD.
    ///   - ids: gets the ids after those that it has.
    ///   - most: ids at most; the rest of the text is not read.
    public func encode(
        _ text: UnsafeRawBufferPointer, into ids: inout [Int32], most: Int = .max, with scratch: inout Scratch
    ) {
        forEachRun(text, most: most, with: &scratch) { ids.append(contentsOf: $0) }
    }

    /// The number of ids of a text, at most `most`. Costs as much as `encode`, without a copy.
    public func count(_ text: UnsafeRawBufferPointer, most: Int = .max, with scratch: inout Scratch) -> Int {
        var count = 0
        forEachRun(text, most: most, with: &scratch) { count += $0.count }
        return count
    }

    /// Calls `body` with the ids of a text in runs, one for each window, at most `most` in all.
    public func forEachRun(
        _ text: UnsafeRawBufferPointer, most: Int = .max, with scratch: inout Scratch,
        _ body: (UnsafeBufferPointer<Int32>) -> Void
    ) {
        guard let raw = text.baseAddress else { return }
        let base = raw.assumingMemoryBound(to: UInt8.self)
        var start = 0
        var left = most
        var ends = Ends()
        while start < text.count, left > 0 {
            let end = windowEnd(base, start, text.count)
            ends.isEnd = end == text.count
            scratch.ids.count = 0
            encode(base + start, end - start, ends, isFirst: start == 0, &scratch)
            let ids = scratch.ids.ids
            body(UnsafeBufferPointer(rebasing: ids[..<min(ids.count, left)]))
            left -= min(ids.count, left)
            start = end
            ends.isStart = false
        }
    }

    // MARK: Windows

    private func windowEnd(_ text: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int {
        guard count - start > window else { return count }
        func isPlain(_ byte: UInt8) -> Bool { byte | 0x20 &- 97 < 26 || byte &- 48 < 10 }
        for place in stride(from: start + window, to: start + window / 2, by: -1)
        where text[place] == 0x20 && isPlain(text[place - 1]) && isPlain(text[place + 1]) {
            return place
        }
        var end = start + window
        while end > start + window - 4, text[end] & 0xC0 == 0x80 { end -= 1 }
        return end
    }

    private func encode(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ ends: Ends, isFirst: Bool, _ scratch: inout Scratch
    ) {
        guard !rawTokens.isEmpty else {
            return encodeSegment(text, count, ends, isFirst: isFirst, &scratch)
        }
        rawTokens.split(text, count, into: &scratch.parts)
        for index in scratch.parts.indices {
            let part = scratch.parts[index]
            guard part.id < 0 else {
                scratch.ids.append(part.id)
                continue
            }
            let outer = Ends(
                isStart: part.start > 0 || ends.isStart, isEnd: part.end < count || ends.isEnd)
            encodeSegment(
                text + part.start, part.end - part.start, outer, isFirst: isFirst && part.start == 0, &scratch)
        }
    }

    /// Normalises what lies between the added tokens, and cuts out those that are found only then.
    private func encodeSegment(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ ends: Ends, isFirst: Bool, _ scratch: inout Scratch
    ) {
        scratch.text.count = 0
        scratch.text.append(text, count)
        normalizer.apply(&scratch.text, &scratch.other, ends)
        guard scratch.text.count > 0 else { return }
        guard !normalizedTokens.isEmpty else {
            return encodeWords(isFirst: isFirst, continues: !ends.isStart, &scratch)
        }
        normalizedTokens.split(scratch.text.base, scratch.text.count, into: &scratch.innerParts)
        if scratch.innerParts.count == 1, scratch.innerParts[0].id < 0 {
            return encodeWords(isFirst: isFirst, continues: !ends.isStart, &scratch)
        }
        swap(&scratch.text, &scratch.piece)
        for index in scratch.innerParts.indices {
            let part = scratch.innerParts[index]
            guard part.id < 0 else {
                scratch.ids.append(part.id)
                continue
            }
            scratch.text.count = 0
            scratch.text.append(scratch.piece.base + part.start, part.end - part.start)
            encodeWords(
                isFirst: isFirst && part.start == 0, continues: !ends.isStart && part.start == 0, &scratch)
        }
    }

    // MARK: Words

    private func encodeWords(isFirst: Bool, continues: Bool, _ scratch: inout Scratch) {
        splitter.apply(
            &scratch.text, &scratch.other, bounds: &scratch.bounds, spare: &scratch.spare, isFirst: isFirst,
            continues: continues)
        let base = scratch.text.base
        let words = scratch.bounds.count
        scratch.bounds.append(0)
        for index in stride(from: 0, to: words, by: 2) {
            let start = Int(scratch.bounds[index])
            let length = Int(scratch.bounds[index + 1]) - start
            guard length > 0 else { continue }
            guard length <= WordCache.longest else {
                encodeWord(base + start, length, &scratch)
                continue
            }
            let key = WordCache.Key(base + start, length)
            if scratch.cache.append(key, to: &scratch.ids) { continue }
            let first = scratch.ids.count
            encodeWord(base + start, length, &scratch)
            scratch.cache.store(key, UnsafeBufferPointer(rebasing: scratch.ids.ids[first...]))
        }
    }

    @inline(never)
    private func encodeWord(_ word: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout Scratch) {
        switch model {
        case .wordPiece(let model): model.encode(word, count, &scratch.other, into: &scratch.ids)
        case .bytePair(let model): model.encode(word, count, &scratch.bytePair, into: &scratch.ids)
        case .unigram(let model): model.encode(word, count, &scratch.unigram, into: &scratch.ids)
        }
    }
}
