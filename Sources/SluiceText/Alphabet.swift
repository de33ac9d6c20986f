/// The role of a Unicode scalar in a text that is read as words.
///
/// A table of our own instead of Unicode properties, whose versions differ, so that the same text gives the same words
/// with every build. Case is folded for Latin, Greek, Cyrillic and Armenian, and accents are removed, so that composed
/// and decomposed spellings agree. Arabic and full-width digits become ASCII digits.
public enum Alphabet {
    public enum Class: Sendable {
        /// Part of a word, after folding.
        case letter(UInt32)
        /// A scalar of a script without spaces between words, or a symbol that is a word by itself.
        case unspaced(UInt32)
        /// Ends a word: space, punctuation.
        case end
        /// Skipped: combining marks, zero-width scalars.
        case ignored
    }

    /// For every ASCII byte the folded letter or digit, or 0 if the byte ends a word.
    ///
    /// Memory that is never freed, not an array: threads that share an array's count of owners wait for each other.
    public nonisolated(unsafe) static let ascii: UnsafeBufferPointer<UInt8> = {
        let table = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 128)
        _ = table.initialize(from: folded)
        return UnsafeBufferPointer(table)
    }()

    private static let folded: [UInt8] = (0..<128).map { (byte: UInt8) -> UInt8 in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): byte
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte + 32
        default: 0
        }
    }

    /// The base letters of U+00C0 to U+017F; a dot marks a letter that is its own base.
    private static let latin = Array(
        ("aaaaaa.ceeeeiiii" + ".nooooo ouuuuy.." + "aaaaaa.ceeeeiiii" + ".nooooo ouuuuy.y"
            + "aaaaaaccccccccdd" + "ddeeeeeeeeeegggg" + "gggghhhhiiiiiiii" + "ii..jjkk.lllllll"
            + "lllnnnnnn...oooo" + "oo..rrrrrrssssss" + "ssttttttuuuuuuuu" + "uuuuwwyyyzzzzzz.").utf8)

    /// The base letters of U+1E00 to U+1EFF.
    private static let latinAdditional = Array(
        ("aabbbbbbccdddddd" + "ddddeeeeeeeeeeff" + "gghhhhhhhhhhiiii" + "kkkkkkllllllllmm"
            + "mmmmnnnnnnnnoooo" + "oooopppprrrrrrrr" + "sssssssssstttttt" + "ttuuuuuuuuuuvvvv"
            + "wwwwwwwwwwxxxxyy" + "zzzzzzhtwy......" + "aaaaaaaaaaaaaaaa" + "aaaaaaaaeeeeeeee"
            + "eeeeeeeeiiiioooo" + "oooooooooooooooo" + "oooouuuuuuuuuuuu" + "uuyyyyyyyy......").utf8)

    public static func classify(_ scalar: UInt32) -> Class {
        switch scalar {
        case 0..<0x80:
            let folded = ascii[Int(scalar)]
            return folded == 0 ? .end : .letter(UInt32(folded))
        case 0xB2, 0xB3: return .letter(scalar - 0x80)  // superscript 2 and 3
        case 0xB9: return .letter(0x31)
        case 0xAD: return .ignored  // soft hyphen
        case 0x80..<0xC0, 0xD7, 0xF7: return .end
        case 0xC0..<0x180: return base(scalar, latin[Int(scalar - 0xC0)])
        case 0x180..<0x2B0: return .letter(scalar)
        case 0x2B0..<0x370: return .ignored
        case 0x37E, 0x387: return .end
        case 0x370..<0x400: return .letter(greek(scalar))
        case 0x482: return .end
        case 0x483...0x489: return .ignored
        case 0x400..<0x530: return .letter(cyrillic(scalar))
        case 0x531...0x556: return .letter(scalar + 48)
        case 0x55A...0x55F, 0x589, 0x58A: return .end
        case 0x5BE, 0x5C0, 0x5C3, 0x5C6, 0x5F3, 0x5F4: return .end
        case 0x591...0x5C7: return .ignored
        case 0x60C, 0x60D, 0x61B...0x61F, 0x66A...0x66D, 0x6D4: return .end
        case 0x610...0x61A, 0x640, 0x64B...0x65F, 0x670, 0x6D6...0x6DC, 0x6DF...0x6E4, 0x6EA...0x6ED: return .ignored
        case 0x660...0x669: return .letter(scalar - 0x660 + 0x30)
        case 0x6F0...0x6F9: return .letter(scalar - 0x6F0 + 0x30)
        case 0x964, 0x965, 0x970: return .end
        case 0xE2F, 0xE4F, 0xE5A, 0xE5B: return .end
        case 0xE00..<0xF00: return .unspaced(scalar)  // Thai, Lao
        case 0xF0B...0xF14, 0x104A...0x104F: return .end
        case 0x1000..<0x10A0, 0x1100..<0x1200: return .unspaced(scalar)  // Myanmar, Hangul jamo
        case 0x1361...0x1368, 0x17D4...0x17DA: return .end
        case 0x1780..<0x1800: return .unspaced(scalar)  // Khmer
        case 0x1E00..<0x1F00: return base(scalar, latinAdditional[Int(scalar - 0x1E00)])
        case 0x200B...0x200F, 0x202A...0x202E, 0x2060...0x206F: return .ignored
        case 0x2000..<0x20A0: return .end
        case 0x20D0..<0x2100: return .ignored
        case 0x2500..<0x2580: return .end  // box drawing
        case 0x20A0..<0x2C00: return .unspaced(scalar)  // currency, arrows, operators, symbols
        case 0x2E00..<0x2E80, 0x3000...0x3004, 0x3008...0x3020, 0x3030, 0x303D, 0x30FB: return .end
        case 0x2E80..<0xA4D0: return .unspaced(scalar)  // Han, kana, Bopomofo, Yi
        case 0xAC00..<0xD7FC: return .unspaced(scalar)  // Hangul syllables
        case 0xE000..<0xF900: return .end
        case 0xF900..<0xFB00: return .unspaced(scalar)
        case 0xFE00...0xFE0F, 0xFEFF: return .ignored
        case 0xFE10..<0xFE70: return .end
        case 0xFF01...0xFF5E: return classify(scalar - 0xFEE0)
        case 0xFF66..<0xFFE0: return .unspaced(scalar)
        case 0xFF00..<0x10000: return .end
        case 0x1F3FB...0x1F3FF: return .ignored  // skin tones
        case 0x1F000..<0x1FB00, 0x20000..<0x40000: return .unspaced(scalar)
        case 0xE0000...: return .ignored
        default: return .letter(scalar)
        }
    }

    /// Decodes one scalar of valid UTF-8 and moves `place` past it.
    @inlinable
    public static func scalar(_ text: UnsafeBufferPointer<UInt8>, _ place: inout Int) -> UInt32 {
        func next() -> UInt32 {
            guard place < text.count else { return 0 }
            defer { place += 1 }
            return UInt32(text[place] & 0x3F)
        }
        let first = UInt32(text[place])
        place += 1
        if first < 0xE0 { return (first & 0x1F) << 6 | next() }
        if first < 0xF0 {
            let second = next()
            return (first & 0x0F) << 12 | second << 6 | next()
        }
        let second = next()
        let third = next()
        return (first & 0x07) << 18 | second << 12 | third << 6 | next()
    }

    private static func base(_ scalar: UInt32, _ letter: UInt8) -> Class {
        guard letter == UInt8(ascii: ".") else { return .letter(UInt32(letter)) }
        switch scalar {
        case 0xC6, 0xD0, 0xDE: return .letter(scalar + 32)  // Æ, Ð, Þ
        case 0x132, 0x14A, 0x152: return .letter(scalar + 1)
        case 0x1EFA, 0x1EFC, 0x1EFE: return .letter(scalar + 1)
        case 0x1E9E: return .letter(0xDF)
        default: return .letter(scalar)
        }
    }

    private static func greek(_ scalar: UInt32) -> UInt32 {
        switch scalar {
        case 0x386, 0x3AC: 0x3B1
        case 0x388, 0x3AD: 0x3B5
        case 0x389, 0x3AE: 0x3B7
        case 0x38A, 0x390, 0x3AA, 0x3AF, 0x3CA: 0x3B9
        case 0x38C, 0x3CC: 0x3BF
        case 0x38E, 0x3AB, 0x3B0, 0x3CB, 0x3CD: 0x3C5
        case 0x38F, 0x3CE: 0x3C9
        case 0x3C2: 0x3C3
        case 0x391...0x3A9: scalar + 32
        default: scalar
        }
    }

    private static func cyrillic(_ scalar: UInt32) -> UInt32 {
        let small =
            switch scalar {
            case 0x410...0x42F: scalar + 32
            case 0x400...0x40F: scalar + 80
            case 0x460...0x481, 0x48A...0x4BF, 0x4D0...0x52F: scalar | 1
            default: scalar
            }
        return switch small {
        case 0x439: 0x438
        case 0x450, 0x451: 0x435
        case 0x453: 0x433
        case 0x457: 0x456
        case 0x45C: 0x43A
        case 0x45D: 0x438
        case 0x45E: 0x443
        default: small
        }
    }
}
