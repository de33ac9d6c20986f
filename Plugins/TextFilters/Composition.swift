/// Puts letters and the marks that follow them together, as Unicode's normal form C does: marks of Latin, Greek and
/// Cyrillic, those of kana, and parts of Hangul syllables.
struct Composition: Sendable {
    /// Second scalar, times 2^32, and first scalar: ascending; and what they become.
    private let pairs: [UInt64]
    private let both: [UInt32]

    init(pairs: [UInt64], both: [UInt32]) {
        self.pairs = pairs
        self.both = both
    }

    /// The scalar that stands for two that follow each other.
    func of(_ first: UInt32, _ second: UInt32) -> UInt32? {
        guard second >= 0x300 else { return nil }
        if let syllable = Self.syllable(first, second) { return syllable }
        let wanted = UInt64(second) << 32 | UInt64(first)
        var (low, high) = (0, pairs.count)
        while low < high {
            let middle = (low + high) / 2
            if pairs[middle] < wanted { low = middle + 1 } else { high = middle }
        }
        return low < pairs.count && pairs[low] == wanted ? both[low] : nil
    }

    /// The arithmetic of the Unicode standard, 3.12.
    private static func syllable(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if (0x1100..<0x1113).contains(first), (0x1161..<0x1176).contains(second) {
            return 0xAC00 + ((first - 0x1100) * 21 + second - 0x1161) * 28
        }
        if (0xAC00..<0xD7A4).contains(first), (first - 0xAC00) % 28 == 0, (0x11A8..<0x11C3).contains(second) {
            return first + second - 0x11A7
        }
        return nil
    }

    /// Whether a text may have something to put together: a quick look at its bytes.
    static func mayChange(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        for place in text.indices where text[place] >= 0xCC {
            switch text[place] {
            case 0xCC, 0xCD: return true  // U+0300 to U+036F
            case 0xE1 where place + 1 < text.count && (0x85...0x87).contains(text[place + 1]): return true  // Hangul
            case 0xE3
            where place + 2 < text.count && text[place + 1] == 0x82 && (0x99...0x9A).contains(text[place + 2]):
                return true  // kana
            default: break
            }
        }
        return false
    }
}
