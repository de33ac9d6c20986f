import SluiceText

/// Counts the features of a text: its words and pairs of neighbouring words, each hashed to a number below `features`.
///
/// Words are as in `Alphabet`: folded runs of letters and digits, cut after 64. Scripts that put no spaces between words
/// give scalar 1-, 2- and 3-grams instead. Two features may share a number (Weinberger et al., «Feature Hashing for Large
/// Scale Multitask Learning», 2009).
///
/// One value serves one thread. Memory: 6 bytes a feature, for any text.
struct WordFeatures: ~Copyable {
    let features: Int
    private let counts: UnsafeMutablePointer<UInt16>
    private let numbers: UnsafeMutablePointer<UInt32>
    /// The number of different features of the text.
    private(set) var count = 0

    /// Counts stop here.
    static let mostCounted: UInt16 = 4095

    init(features: Int) {
        self.features = features
        counts = .allocate(capacity: features)
        counts.initialize(repeating: 0, count: features)
        numbers = .allocate(capacity: features)
    }

    deinit {
        counts.deallocate()
        numbers.deallocate()
    }

    static func memory(features: Int) -> Int { features * 6 }

    /// The features of the text in the order of their first occurrence.
    var found: UnsafeBufferPointer<UInt32> { UnsafeBufferPointer(start: numbers, count: count) }

    /// How often a feature occurs in the text, at most `mostCounted`.
    @inline(__always)
    func occurrences(_ feature: UInt32) -> Int { Int(counts[Int(feature)]) }

    /// Counts the features of a text and forgets those of the one before.
    mutating func read(_ text: UnsafeBufferPointer<UInt8>) {
        for feature in found { counts[Int(feature)] = 0 }
        count = 0
        scan(text, Alphabet.ascii)
    }

    @inline(__always)
    private mutating func add(_ hash: UInt64) {
        let feature = Int(truncatingIfNeeded: ((hash >> 32) &* UInt64(features)) >> 32)
        let before = counts[feature]
        if before == 0 {
            numbers[count] = UInt32(truncatingIfNeeded: feature)
            count += 1
        } else if before == Self.mostCounted {
            return
        }
        counts[feature] = before + 1
    }

    /// The words read so far.
    private struct Reading {
        /// The hash of the letters of the word, and their number.
        var hash: UInt64 = 0
        var length = 0
        /// The word before, 0 if there is none.
        var word: UInt64 = 0
        /// The two unspaced scalars before this one, 0 where there is none.
        var last: UInt64 = 0
        var beforeLast: UInt64 = 0
    }

    private mutating func scan(_ text: UnsafeBufferPointer<UInt8>, _ ascii: UnsafeBufferPointer<UInt8>) {
        var place = 0
        var reading = Reading()
        while place < text.count {
            let byte = text[place]
            if byte < 0x80 {
                place += 1
                let folded = ascii[Int(byte)]
                if folded == 0 { endWord(&reading) } else { letter(UInt32(folded), &reading) }
                continue
            }
            switch Alphabet.classify(Alphabet.scalar(text, &place)) {
            case .letter(let folded): letter(folded, &reading)
            case .unspaced(let scalar): unspaced(UInt64(scalar), &reading)
            case .end: endWord(&reading)
            case .ignored: continue
            }
        }
        endWord(&reading)
    }

    @inline(__always)
    private mutating func letter(_ folded: UInt32, _ reading: inout Reading) {
        reading.hash = (reading.hash ^ UInt64(folded)) &* LexicalModel.wordFactor
        reading.length += 1
        if reading.length == LexicalModel.longestWord { endWord(&reading) }
    }

    /// Ends a word, or a run of unspaced scalars.
    @inline(__always)
    private mutating func endWord(_ reading: inout Reading) {
        reading.last = 0
        reading.beforeLast = 0
        guard reading.length > 0 else { return }
        let word = LexicalModel.finish(reading.hash)
        add(word)
        if reading.word != 0 {
            add(LexicalModel.finish(reading.word &* LexicalModel.factors.0 &+ word &* LexicalModel.factors.1))
        }
        reading.word = word
        reading.hash = 0
        reading.length = 0
    }

    private mutating func unspaced(_ scalar: UInt64, _ reading: inout Reading) {
        let (last, beforeLast) = reading.length > 0 ? (0, 0) : (reading.last, reading.beforeLast)
        endWord(&reading)
        reading.word = 0
        let (f0, f1, f2, _, _) = LexicalModel.factors
        add(LexicalModel.finish(scalar &* f0 ^ 0x51))
        if last != 0 {
            add(LexicalModel.finish(last &* f0 &+ scalar &* f1 ^ 0x52))
            if beforeLast != 0 {
                add(LexicalModel.finish((beforeLast &* f0 &+ last &* f1 &+ scalar &* f2) ^ 0x53))
            }
        }
        reading.beforeLast = last
        reading.last = scalar
    }
}
