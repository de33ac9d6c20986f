import SluiceText

/// What a near duplicate must have in common with the record that it loses to, apart from its words: its numbers and its
/// operators, each as a hash of their sequence.
///
/// Words are as in `Alphabet`: folded runs of letters and digits; in scripts without spaces each scalar is one.
///
/// - **Numbers** are runs of digits of any script, with `.` or `,` between digits as part of them: `1.50` is not `1.5`.
///   Fractions and circled numbers of one character are numbers, too.
/// - **Operators** are `+ * / % = < > ^ | & ~ $ \`, other currency and mathematical signs, and arrows; `-` and dashes, but
///   not between two letters; `!` before a letter, a digit, `(` or `=`; brackets next to a digit or an operator; raised
///   digits. Signs that are spelled in two ways, such as `−` and `-`, are one.
struct TextTraits {
    private(set) var numbers: UInt64 = 0
    private(set) var operators: UInt64 = 0

    /// Reads a text, and gives `pair` a hash of each pair of neighbouring words; the first and the last word have a
    /// neighbour that is none. A text without a word has no pair.
    mutating func read(_ text: UnsafeBufferPointer<UInt8>, pair: (UInt32) -> Void) {
        var scan = Scan(text)
        scan.run(pair)
        numbers = scan.numbers
        operators = scan.operators
    }

    /// Mixes a value into the hash of a sequence.
    @inline(__always)
    fileprivate static func mixed(_ hash: UInt64, _ value: UInt64) -> UInt64 {
        let mixed = (hash ^ value ^ 0x9E37_79B9_7F4A_7C15) &* 0xD6E8_FEB8_6659_FD93
        return mixed ^ (mixed >> 32)
    }
}

/// One reading of a text.
private struct Scan {
    private enum Kind {
        case letter, digit, sign, other
    }

    let text: UnsafeBufferPointer<UInt8>
    var numbers: UInt64 = 0
    var operators: UInt64 = 0
    private var place = 0
    /// The hashes of the word that is being read, and of the one before it.
    private var word: UInt64 = 0
    private var before: UInt64 = 1
    private var hasWords = false
    /// The hash of the number that is being read; 0 if there is none.
    private var number: UInt64 = 0
    /// What the scalar before this one is.
    private var last = Kind.other

    init(_ text: UnsafeBufferPointer<UInt8>) { self.text = text }

    mutating func run(_ pair: (UInt32) -> Void) {
        while place < text.count {
            let scalar = next()
            if let sign = sign(scalar) {
                endWord(pair)
                endNumber()
                operators = TextTraits.mixed(operators, UInt64(sign))
                last = .sign
                continue
            }
            if let digit = Numerals.digit(scalar) {
                letter(digit)
                continue
            }
            if Numerals.isNumber(scalar) {
                endNumber()
                number = TextTraits.mixed(0, UInt64(scalar))
                endNumber()
            }
            switch Alphabet.classify(scalar) {
            case .letter(let folded): letter(folded)
            case .unspaced(let symbol):
                endWord(pair)
                endNumber()
                word = TextTraits.mixed(0, UInt64(symbol))
                endWord(pair)
                last = .letter
            case .end:
                endWord(pair)
                // A point or comma between digits belongs to the number.
                let isInside = (scalar == 0x2E || scalar == 0x2C) && last == .digit && kind(at: place) == .digit
                if isInside { number = TextTraits.mixed(number, UInt64(scalar)) } else { endNumber() }
                last = isInside ? .digit : .other
            case .ignored: continue
            }
        }
        endWord(pair)
        endNumber()
        if hasWords { pair(Self.pair(before, 1)) }
    }

    private mutating func letter(_ folded: UInt32) {
        word = TextTraits.mixed(word, UInt64(folded))
        if (0x30...0x39).contains(folded) {
            number = TextTraits.mixed(number, UInt64(folded))
            last = .digit
        } else {
            endNumber()
            last = .letter
        }
    }

    private mutating func endWord(_ pair: (UInt32) -> Void) {
        guard word != 0 else { return }
        pair(Self.pair(before, word))
        before = word
        word = 0
        hasWords = true
    }

    private mutating func endNumber() {
        guard number != 0 else { return }
        numbers = TextTraits.mixed(numbers, number)
        number = 0
    }

    private static func pair(_ first: UInt64, _ second: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: TextTraits.mixed(first &* 0x9FB2_1C65_1E98_DF25, second) >> 16)
    }

    private mutating func next() -> UInt32 {
        let byte = text[place]
        guard byte >= 0x80 else {
            place += 1
            return UInt32(byte)
        }
        return Alphabet.scalar(text, &place)
    }

    /// What the scalar at a place is, as far as a sign before it depends on that.
    private func kind(at place: Int) -> Kind {
        guard place < text.count else { return .other }
        let byte = text[place]
        switch byte {
        case 0x30...0x39: return .digit
        case 0x80...: return .letter
        default: return Alphabet.ascii[Int(byte)] != 0 ? .letter : Self.isSign(byte) ? .sign : .other
        }
    }

    /// Whether an ASCII character is an operator wherever it stands.
    private static func isSign(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "+"), UInt8(ascii: "*"), UInt8(ascii: "/"), UInt8(ascii: "%"), UInt8(ascii: "="),
            UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "^"), UInt8(ascii: "|"), UInt8(ascii: "&"),
            UInt8(ascii: "~"), UInt8(ascii: "$"), UInt8(ascii: "\\"):
            true
        default: false
        }
    }

    /// The operator that a scalar is, which has just been read; nil if it is none here.
    private func sign(_ scalar: UInt32) -> UInt32? {
        switch scalar {
        case 0x2D, 0x2010...0x2015, 0x2212, 0xFE63, 0xFF0D:
            return last == .letter && kind(at: place) == .letter ? nil : 0x2D
        case 0x21, 0xFF01:
            let after = place < text.count ? text[place] : 0
            return after == 0x28 || after == 0x3D || [.letter, .digit].contains(kind(at: place)) ? 0x21 : nil
        case 0x28, 0x29, 0x5B, 0x5D, 0x7B, 0x7D:
            let isNext = [.digit, .sign].contains(last) || [.digit, .sign].contains(kind(at: place))
            return isNext ? scalar : nil
        case 0..<0x80: return Self.isSign(UInt8(scalar)) ? scalar : nil
        case 0xD7, 0x2A2F: return 0xD7  // ×
        case 0xF7: return 0xF7  // ÷
        case 0xA2...0xA5, 0xAC, 0xB0, 0xB1, 0xB2, 0xB3, 0xB9: return scalar
        case 0x2044, 0x2215: return 0x2F  // fraction slash, division slash
        case 0x2217: return 0x2A
        case 0x2223: return 0x7C
        case 0x2070...0x208E, 0x20A0...0x20CF, 0x2190...0x22FF, 0x27C0...0x27EF, 0x2900...0x2AFF: return scalar
        case 0xFF04, 0xFF05, 0xFF06, 0xFF0A, 0xFF0B, 0xFF0F, 0xFF1C...0xFF1E, 0xFF3C, 0xFF3E, 0xFF5C, 0xFF5E:
            return scalar - 0xFEE0
        default: return nil
        }
    }
}
