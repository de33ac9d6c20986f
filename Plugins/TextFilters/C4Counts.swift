/// What C4 counts: sentences in the lines that it keeps, and lines for which it drops a page.
///
/// As datatrove's `C4QualityFilter`, which follows `c4_utils.py` of TensorFlow Datasets, a line counts for nothing once a
/// rule has removed it.
struct C4Counts {
    private(set) var sentences = 0
    private(set) var loremIpsum = 0
    private(set) var curlyBrackets = 0

    static let longestWord = 1000
    static let fewestWords = 3

    init(_ text: UnsafeBufferPointer<UInt8>, _ table: Scalars.Table) {
        let hasPhrases = Self.mayHavePhrases(text)
        text.forEachLine { range in
            let line = text.trimmed(range, table)
            guard !line.isEmpty else { return }
            let end = Self.withoutCitation(text, line)
            guard Self.isEnded(text, line.lowerBound..<end),
                Self.hasWords(text, line, table)
            else { return }
            if hasPhrases, text.contains("lorem ipsum", line) {
                loremIpsum += 1
                return
            }
            if hasPhrases, text.contains("javascript", line) { return }
            if text[line].contains(UInt8(ascii: "{")) {
                curlyBrackets += 1
                return
            }
            if hasPhrases, Self.policies.contains(where: { text.contains($0, line) }) { return }
            sentences += Self.sentences(text, line.lowerBound..<end, table)
        }
    }

    private static let policies: [StaticString] = [
        "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies",
    ]

    /// Whether the text has the beginning of a word of every phrase that is looked for: most texts have none.
    private static func mayHavePhrases(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        guard text.count >= 4 else { return false }
        for place in 0..<(text.count - 3) {
            let first = text[place] | 0x20
            guard first == 0x6C || first == 0x6A || first == 0x63 || first == 0x70 || first == 0x74 else { continue }
            let word =
                UInt32(first) << 24 | UInt32(text[place + 1] | 0x20) << 16 | UInt32(text[place + 2] | 0x20) << 8
                | UInt32(text[place + 3] | 0x20)
            switch word {
            // lore, java, cook, poli, term
            case 0x6C6F_7265, 0x6A61_7661, 0x636F_6F6B, 0x706F_6C69, 0x7465_726D: return true
            default: continue
            }
        }
        return false
    }

    /// The end of the line without citations such as `[12]`, `[edit]` and `[citation needed]` there.
    private static func withoutCitation(_ text: UnsafeBufferPointer<UInt8>, _ line: Range<Int>) -> Int {
        var end = line.upperBound
        while end > line.lowerBound, text[end - 1] == UInt8(ascii: "]") {
            if text.hasSuffix("[edit]", line.lowerBound..<end) {
                end -= 6
            } else if text.hasSuffix("[citation needed]", line.lowerBound..<end) {
                end -= 17
            } else {
                var start = end - 1
                while start > line.lowerBound, (48...57).contains(text[start - 1]) { start -= 1 }
                guard start > line.lowerBound, text[start - 1] == UInt8(ascii: "[") else { return end }
                end = start - 1
            }
        }
        return end
    }

    /// The end of the citation that begins at `start`; nil if none does.
    private static func citation(_ text: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int) -> Int? {
        if text.hasPrefix("[edit]", start..<end) { return start + 6 }
        if text.hasPrefix("[citation needed]", start..<end) { return start + 17 }
        var place = start + 1
        while place < end, (48...57).contains(text[place]) { place += 1 }
        return place < end && text[place] == UInt8(ascii: "]") ? place + 1 : nil
    }

    private static func isEnded(_ text: UnsafeBufferPointer<UInt8>, _ line: Range<Int>) -> Bool {
        guard let last = text[line].last, ".?!\"'".utf8.contains(last) else { return false }
        return !text.hasSuffix("...", line)
    }

    /// Whether the line has at least three words, none of them too long.
    private static func hasWords(
        _ text: UnsafeBufferPointer<UInt8>, _ line: Range<Int>, _ table: Scalars.Table
    ) -> Bool {
        var (place, words, length) = (line.lowerBound, 0, 0)
        while place < line.upperBound {
            if table.of(Scalars.next(text, &place)).contains(.space) {
                length = 0
            } else {
                if length == 0 { words += 1 }
                length += 1
                if length > longestWord { return false }
            }
        }
        return words >= fewestWords
    }

    /// Runs of `.`, `?` and `!`, with the quotation marks and brackets that close after them, before white space or the
    /// end; text after the last one is a sentence, too.
    private static func sentences(
        _ text: UnsafeBufferPointer<UInt8>, _ line: Range<Int>, _ table: Scalars.Table
    ) -> Int {
        var count = 0
        var place = line.lowerBound
        var (isOpen, isEnding) = (false, false)
        while place < line.upperBound {
            let scalar = Scalars.next(text, &place)
            switch scalar {
            case 0x2E, 0x3F, 0x21:
                isEnding = true
                isOpen = true
            case 0x22, 0x27, 0x29, 0x5D, 0x2019, 0x201D: isOpen = true
            case 0x5B where citation(text, place - 1, line.upperBound) != nil:
                place = citation(text, place - 1, line.upperBound) ?? place
            case _ where table.of(scalar).contains(.space):
                if isEnding { count += 1 }
                if isEnding { isOpen = false }
                isEnding = false
            default: (isOpen, isEnding) = (true, false)
            }
        }
        return count + (isOpen ? 1 : 0)
    }
}

extension UnsafeBufferPointer<UInt8> {
    /// Whether a range contains a word of lower-case ASCII in any case.
    func contains(_ word: StaticString, _ range: Range<Int>) -> Bool {
        let length = word.utf8CodeUnitCount
        guard range.count >= length, length > 0 else { return false }
        let first = word.utf8Start[0]
        for start in range.lowerBound...(range.upperBound - length) where lower(self[start]) == first {
            if (1..<length).allSatisfy({ lower(self[start + $0]) == word.utf8Start[$0] }) { return true }
        }
        return false
    }

    private func lower(_ byte: UInt8) -> UInt8 { (65...90).contains(byte) ? byte + 32 : byte }
}
