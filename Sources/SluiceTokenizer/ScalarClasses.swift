/// What normalizers and pre-tokenizers ask about scalars, as bits.
struct ScalarClass: OptionSet, Sendable {
    let rawValue: UInt8

    /// White space by Unicode.
    static let space = ScalarClass(rawValue: 1)
    /// Control, format, private use or surrogate.
    static let other = ScalarClass(rawValue: 2)
    /// ASCII that is neither letter, digit, blank nor control, or punctuation by Unicode.
    static let punctuation = ScalarClass(rawValue: 4)
    /// A Chinese character, as BERT's authors define the ranges.
    static let chinese = ScalarClass(rawValue: 8)
    /// A nonspacing mark.
    static let mark = ScalarClass(rawValue: 16)
    /// Differs in lower case.
    static let cased = ScalarClass(rawValue: 32)

    /// The classes of a scalar. Cost: a load below U+10000, a few look-ups in Unicode's tables beyond.
    @inline(__always)
    static func of(_ scalar: UInt32, _ table: UnsafeBufferPointer<UInt8>) -> ScalarClass {
        scalar < 0x10000 ? ScalarClass(rawValue: table[Int(scalar)]) : compute(scalar)
    }

    /// Calls `body` with the classes of all scalars below U+10000, which are computed once per process.
    @inline(__always)
    static func withTable<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        table.withUnsafeBufferPointer(body)
    }

    /// Bytes of the table.
    static let tableBytes = 0x10000

    private static let table: [UInt8] = (0..<UInt32(0x10000)).map { compute($0).rawValue }

    @inline(never)
    private static func compute(_ value: UInt32) -> ScalarClass {
        guard let scalar = Unicode.Scalar(value) else { return .other }
        let properties = scalar.properties
        var found: ScalarClass = []
        if properties.isWhitespace { found.insert(.space) }
        switch properties.generalCategory {
        case .control, .format, .privateUse, .surrogate: found.insert(.other)
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            found.insert(.punctuation)
        case .nonspacingMark: found.insert(.mark)
        default: break
        }
        if isASCIIPunctuation(value) { found.insert(.punctuation) }
        if isChinese(value) { found.insert(.chinese) }
        let lower = properties.lowercaseMapping.unicodeScalars
        if lower.count != 1 || lower.first != scalar { found.insert(.cased) }
        return found
    }

    private static func isASCIIPunctuation(_ value: UInt32) -> Bool {
        switch value {
        case 33...47, 58...64, 91...96, 123...126: true
        default: false
        }
    }

    private static func isChinese(_ value: UInt32) -> Bool {
        switch value {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
            0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}
