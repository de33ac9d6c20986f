import Glibc

/// Counts what the rules of `quality` ask about one text, each group of counts when it is first asked for.
///
/// A fraction without a whole, such as that of lines in a text without lines, is 0 of 1 for rules with a greatest value.
/// A text with a word has a line, so that happens nowhere else.
final class QualityJudge {
    private var text = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    private let table = Scalars.Table()
    private let repetition = Repetition()

    private var wordCounts = WordCounts()
    private var lineCounts: LineCounts?
    private var c4: C4Counts?
    private var lines: Repetition.Repeats?
    private var paragraphs: Repetition.Repeats?
    private var fineLines: Repetition.Repeats?

    /// Words separated by white space.
    var words: Int { wordCounts.words }

    /// What the words of a text have.
    private struct WordCounts {
        var words = 0
        var characters = 0
        /// Words with a scalar that is not punctuation, and their scalars.
        var plainWords = 0
        var plainCharacters = 0
        var wordsWithLetters = 0
        /// A bit for each stop word found.
        var stopWords: UInt8 = 0

        @inline(__always)
        mutating func add(
            _ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ scalars: Int, _ kinds: ScalarClass, isPlain: Bool
        ) {
            words += 1
            if isPlain {
                plainWords += 1
                plainCharacters += scalars
            }
            if kinds.contains(.letter) { wordsWithLetters += 1 }
            if range.count <= StopWords.longest { stopWords |= StopWords.bit(text, range) }
        }
    }

    private struct LineCounts {
        var lines = 0
        var bullets = 0
        var ellipses = 0
        /// Lines that are not blank; those of them that end in an end mark, and those of at most 30 characters.
        var full = 0
        var ended = 0
        var short = 0
        var newlines = 0
    }

    /// Takes the text of a record. It must live until `end`, or the next text.
    func begin(_ text: UnsafeBufferPointer<UInt8>) {
        self.text = text
        (lineCounts, c4, lines, paragraphs, fineLines) = (nil, nil, nil, nil, nil)
        repetition.begin()
        wordCounts = countWords()
    }

    /// Forgets the text.
    func end() { text = UnsafeBufferPointer(start: nil, count: 0) }

    /// What a rule compares with its limit: a part of a whole, which is 1 for counts.
    func measure(_ rule: QualityRule) -> (found: Int, whole: Int) {
        switch rule {
        case .leastWords, .mostWords: (wordCounts.plainWords, 1)
        case .leastMeanWord, .mostMeanWord: (wordCounts.plainCharacters, wordCounts.plainWords)
        case .hashes: (text.reduce(0) { $0 &+ ($1 == UInt8(ascii: "#") ? 1 : 0) }, words)
        case .ellipses: (ellipses(), words)
        case .bulletLines: (lineFacts.bullets, lineFacts.lines)
        case .ellipsisLines: (lineFacts.ellipses, lineFacts.lines)
        case .lettersInWords: (wordCounts.wordsWithLetters, words)
        case .stopWords: (wordCounts.stopWords.nonzeroBitCount, 1)
        case .sentences: (c4Facts.sentences, 1)
        case .loremIpsum: (c4Facts.loremIpsum, 1)
        case .curlyBracket: (c4Facts.curlyBrackets, 1)
        case .endMarks: (lineFacts.ended, lineFacts.full)
        case .shortLines: (lineFacts.short, lineFacts.full)
        case .repeatedLines: (fineLineFacts.characters, wordCounts.characters - lineFacts.newlines)
        case .newlines: (lineFacts.newlines, words)
        case .repeatedParagraphs: (paragraphFacts.repeated, paragraphFacts.all)
        case .repeatedParagraphCharacters: (paragraphFacts.characters, wordCounts.characters)
        case .gopherRepeatedLines: (repeatedLineFacts.repeated, repeatedLineFacts.all)
        case .repeatedLineCharacters: (repeatedLineFacts.characters, wordCounts.characters)
        case .top2, .top3, .top4:
            (repetition.top(rule.gram ?? 2, of: text, table), wordCounts.characters)
        case .repeated5, .repeated6, .repeated7, .repeated8, .repeated9, .repeated10:
            (repetition.repeated(rule.gram ?? 5, of: text, table), wordCounts.characters)
        }
    }

    // MARK: Words

    private func countWords() -> WordCounts {
        var counts = WordCounts()
        let (text, table) = (self.text, self.table)
        var (place, start, characters) = (0, -1, 0)
        var kinds: ScalarClass = []
        var isPlain = false
        while place < text.count {
            let begin = place
            let byte = text[place]
            let kind: ScalarClass
            if byte < 0x80 {
                kind = table.of(ascii: byte)
                place += 1
            } else {
                kind = table.of(Scalars.next(text, &place))
            }
            counts.characters += 1
            if kind.contains(.space) {
                if start >= 0 { counts.add(text, start..<begin, characters, kinds, isPlain: isPlain) }
                start = -1
                continue
            }
            if start < 0 { (start, characters, kinds, isPlain) = (begin, 0, [], false) }
            characters += 1
            kinds.formUnion(kind)
            if !kind.contains(.symbol) { isPlain = true }
        }
        if start >= 0 { counts.add(text, start..<text.count, characters, kinds, isPlain: isPlain) }
        return counts
    }

    private func ellipses() -> Int {
        let text = text
        var count = 0
        var place = 0
        while place + 2 < text.count {
            if text[place] == 0x2E, text[place + 1] == 0x2E, text[place + 2] == 0x2E {
                count += 1
                place += 3
            } else if text[place] == 0xE2, text[place + 1] == 0x80, text[place + 2] == 0xA6 {
                count += 1
                place += 3
            } else {
                place += 1
            }
        }
        return count
    }

    // MARK: Lines

    private var lineFacts: LineCounts {
        if let lineCounts { return lineCounts }
        let counts = countLines()
        lineCounts = counts
        return counts
    }

    private func countLines() -> LineCounts {
        var counts = LineCounts()
        let (text, table) = (self.text, self.table)
        text.forEachLine { line in
            counts.lines += 1
            let inner = text.trimmed(line, table)
            guard !inner.isEmpty else { return }
            if text.hasPrefix("•", inner) || text.hasPrefix("-", inner) { counts.bullets += 1 }
            if text.hasSuffix("...", inner) || text.hasSuffix("…", inner) { counts.ellipses += 1 }
            counts.full += 1
            if let last = text.lastScalar(line), table.of(last).contains(.end) { counts.ended += 1 }
            // A scalar takes one to four bytes, so most lines need no count.
            if line.count <= 30
                || line.count <= 120 && TextCounts.characters(of: UnsafeBufferPointer(rebasing: text[line])) <= 30
            {
                counts.short += 1
            }
        }
        counts.newlines = text.reduce(0) { $0 &+ ($1 == 0x0A ? 1 : 0) }
        return counts
    }

    private var c4Facts: C4Counts {
        if let c4 { return c4 }
        let counts = C4Counts(text, table)
        c4 = counts
        return counts
    }

    private var fineLineFacts: Repetition.Repeats {
        if let fineLines { return fineLines }
        let found = repetition.lines(of: text) { !text.trimmed($0, table).isEmpty }
        fineLines = found
        return found
    }

    private var repeatedLineFacts: Repetition.Repeats {
        if let lines { return lines }
        let found = repetition.lines(of: text) { !$0.isEmpty }
        lines = found
        return found
    }

    private var paragraphFacts: Repetition.Repeats {
        if let paragraphs { return paragraphs }
        let found = repetition.paragraphs(of: text, within: text.trimmed(0..<text.count, table))
        paragraphs = found
        return found
    }
}

/// The stop words of the Gopher rules, of which a text needs two.
enum StopWords {
    static let longest = 4

    /// The bit of the word in this range of at most four bytes; 0 if it is none.
    @inline(__always)
    static func bit(_ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> UInt8 {
        var word: UInt32 = 0
        for place in range { word = word << 8 | UInt32(text[place]) }
        return switch word {
        case 0x74_6865: 1  // the
        case 0x6265: 2  // be
        case 0x746F: 4  // to
        case 0x6F66: 8  // of
        case 0x61_6E64: 16  // and
        case 0x7468_6174: 32  // that
        case 0x6861_7665: 64  // have
        case 0x7769_7468: 128  // with
        default: 0
        }
    }
}
