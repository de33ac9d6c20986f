import Glibc

/// The sizes of a text, counted in one pass.
struct TextCounts: Equatable {
    var bytes = 0
    /// Unicode scalars.
    var characters = 0
    /// Runs of scalars that are not white space.
    var words = 0
    /// Runs of bytes between `\n`; one at the end begins no further line.
    var lines = 0
    /// Words with a letter.
    var wordsWithLetters = 0
    var letters = 0
    var digits = 0
    var capitals = 0
    /// Scalars of the general categories P*.
    var punctuation = 0
    var spaces = 0

    init() {}

    init(_ text: UnsafeBufferPointer<UInt8>) {
        bytes = text.count
        lines = Self.lines(of: text)
        let table = Scalars.Table()
        var place = 0
        var (isInWord, hasLetter) = (false, false)
        while place < text.count {
            let kind: ScalarClass
            if text[place] < 0x80 {
                kind = table.of(ascii: text[place])
                place += 1
            } else {
                kind = table.of(Scalars.next(text, &place))
            }
            characters += 1
            if kind.contains(.space) {
                spaces += 1
                if isInWord, hasLetter { wordsWithLetters += 1 }
                (isInWord, hasLetter) = (false, false)
                continue
            }
            if !isInWord { words += 1 }
            isInWord = true
            if kind.contains(.letter) {
                letters += 1
                hasLetter = true
                if kind.contains(.capital) { capitals += 1 }
            } else if kind.contains(.digit) {
                digits += 1
            } else if kind.contains(.punctuation) {
                punctuation += 1
            }
        }
        if isInWord, hasLetter { wordsWithLetters += 1 }
    }

    /// The number of scalars: of bytes that begin one.
    static func characters(of text: UnsafeBufferPointer<UInt8>) -> Int {
        text.reduce(0) { $0 &+ ($1 & 0xC0 == 0x80 ? 0 : 1) }
    }

    static func words(of text: UnsafeBufferPointer<UInt8>) -> Int {
        let table = Scalars.Table()
        var (place, words) = (0, 0)
        var isInWord = false
        while place < text.count {
            let byte = text[place]
            let isSpace: Bool
            if byte < 0x80 {
                place += 1
                isSpace = table.of(ascii: byte).contains(.space)
            } else {
                isSpace = table.of(Scalars.next(text, &place)).contains(.space)
            }
            if !isSpace, !isInWord { words += 1 }
            isInWord = !isSpace
        }
        return words
    }

    static func lines(of text: UnsafeBufferPointer<UInt8>) -> Int {
        guard let last = text.last else { return 0 }
        let ends = text.reduce(0) { $0 &+ ($1 == 0x0A ? 1 : 0) }
        return last == 0x0A ? ends : ends + 1
    }
}

extension UnsafeBufferPointer<UInt8> {
    /// Calls `body` with the range of every line, without its `\n`; a `\n` at the end begins no further line.
    @inline(__always)
    func forEachLine(_ body: (Range<Int>) -> Void) {
        guard let base = baseAddress else { return }
        var start = 0
        while start < count {
            var end = count
            if let found = memchr(base + start, 0x0A, count - start) {
                end = UnsafeRawPointer(found) - UnsafeRawPointer(base)
            }
            body(start..<end)
            start = end + 1
        }
    }

    /// The range without white space at its ends.
    func trimmed(_ range: Range<Int>, _ table: Scalars.Table) -> Range<Int> {
        var (start, end) = (range.lowerBound, range.upperBound)
        while start < end {
            var place = start
            guard table.of(Scalars.next(self, &place)).contains(.space) else { break }
            start = place
        }
        while start < end {
            var begin = end - 1
            while begin > start, self[begin] & 0xC0 == 0x80 { begin -= 1 }
            var place = begin
            guard table.of(Scalars.next(self, &place)).contains(.space) else { break }
            end = begin
        }
        return start..<end
    }

    /// The last scalar of a range; nil if it is empty.
    func lastScalar(_ range: Range<Int>) -> UInt32? {
        guard !range.isEmpty else { return nil }
        var begin = range.upperBound - 1
        while begin > range.lowerBound, self[begin] & 0xC0 == 0x80 { begin -= 1 }
        return Scalars.next(self, &begin)
    }

    func hasSuffix(_ suffix: StaticString, _ range: Range<Int>) -> Bool {
        suffix.utf8CodeUnitCount <= range.count
            && starts(suffix, at: range.upperBound - suffix.utf8CodeUnitCount)
    }

    func hasPrefix(_ prefix: StaticString, _ range: Range<Int>) -> Bool {
        prefix.utf8CodeUnitCount <= range.count && starts(prefix, at: range.lowerBound)
    }

    private func starts(_ word: StaticString, at place: Int) -> Bool {
        guard let base = baseAddress else { return word.utf8CodeUnitCount == 0 }
        return memcmp(base + place, word.utf8Start, word.utf8CodeUnitCount) == 0
    }
}
