/// Numerals beyond ASCII.
enum Numerals {
    /// The zeros of the decimal digits (general category Nd) of the scripts of Unicode's basic plane, without those that
    /// `Alphabet` folds.
    private static let zeros: [UInt32] = [
        0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20, 0x1040,
        0x1090,
        0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0,
        0xA9F0, 0xAA50, 0xABF0,
    ]

    /// The ASCII digit of a decimal digit; nil for other scalars, and those of `Alphabet`.
    static func digit(_ scalar: UInt32) -> UInt32? {
        guard scalar >= 0x7C0 else { return nil }
        if (0x1D7CE...0x1D7FF).contains(scalar) { return 0x30 + (scalar - 0x1D7CE) % 10 }
        guard scalar < 0x1C5A || (0xA620..<0xABFA).contains(scalar) else { return nil }
        return zeros.first { ($0..<($0 + 10)).contains(scalar) }.map { 0x30 + scalar - $0 }
    }

    /// Whether a scalar is a number by itself: a fraction, a circled or a bracketed number, a Roman numeral.
    static func isNumber(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0xBC...0xBE, 0x2150...0x2188, 0x2460...0x249B, 0x24EA...0x24FF, 0x2776...0x2793, 0x3220...0x3229,
            0x3248...0x324F, 0x3251...0x325F, 0x3280...0x3289, 0x32B1...0x32BF:
            true
        default: false
        }
    }
}
