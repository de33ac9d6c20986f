/// WordPiece: the longest token that begins the word, then the longest continuation, to its end (Wu et al. 2016).
struct WordPiece: Sendable {
    let vocabulary: Vocabulary
    let unknown: Int32
    /// What continuations carry before them in the vocabulary: `##`.
    let prefix: [UInt8]
    /// Longer words, in scalars, are unknown as a whole.
    let mostScalars: Int

    /// Appends the ids of a word; the unknown id alone if no tokens make it up.
    func encode(
        _ word: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout TextBuffer, into ids: inout IDBuffer
    ) {
        let first = ids.count
        var scalars = 0
        for index in 0..<count where word[index] & 0xC0 != 0x80 { scalars += 1 }
        guard scalars <= mostScalars else { return ids.append(unknown) }
        scratch.count = 0
        scratch.append(prefix)
        scratch.append(word, count)
        var start = 0
        while start < count {
            guard let (id, end) = longest(word, start, count, &scratch) else {
                ids.count = first
                return ids.append(unknown)
            }
            ids.append(id)
            start = end
        }
    }

    /// The longest token at a place, and where it ends. For a continuation the prefix is written over what is done.
    private func longest(
        _ word: UnsafePointer<UInt8>, _ start: Int, _ count: Int, _ scratch: inout TextBuffer
    ) -> (id: Int32, end: Int)? {
        let before = start > 0 ? prefix.count : 0
        let base = scratch.base + prefix.count + start - before
        if start > 0 { for index in 0..<before { base[index] = prefix[index] } }
        var end = min(count, start + vocabulary.longest)
        while end > start {
            if end == count || word[end] & 0xC0 != 0x80, let id = vocabulary.id(base, end - start + before) {
                return (id, end)
            }
            end -= 1
        }
        return nil
    }
}
