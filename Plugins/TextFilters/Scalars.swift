/// What a Unicode scalar is, as far as the stages ask: a set of classes.
struct ScalarClass: OptionSet, Sendable {
    let rawValue: UInt8

    static let space = ScalarClass(rawValue: 1)
    static let letter = ScalarClass(rawValue: 2)
    static let digit = ScalarClass(rawValue: 4)
    static let capital = ScalarClass(rawValue: 8)
    /// The general categories P*.
    static let punctuation = ScalarClass(rawValue: 16)
    /// What datatrove counts as punctuation, marks that end a sentence included.
    static let symbol = ScalarClass(rawValue: 32)
    /// Ends a sentence in its script.
    static let end = ScalarClass(rawValue: 64)
}

/// Looks up scalars in `UnicodeTables`: 64 KiB for the basic plane, made once, and a search for the others.
enum Scalars {
    private static let sets: [([UInt32], ScalarClass)] = [
        (UnicodeTables.spaces, .space), (UnicodeTables.letters, .letter), (UnicodeTables.numbers, .digit),
        (UnicodeTables.capitals, .capital), (UnicodeTables.marks, .punctuation), (UnicodeTables.symbols, .symbol),
        (UnicodeTables.ends, [.symbol, .end]),
    ]

    /// One entry a scalar below U+10000. Never freed.
    nonisolated(unsafe) private static let basic: UnsafePointer<UInt8> = {
        let table = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 16)
        table.initialize(repeating: 0, count: 1 << 16)
        for (ranges, kind) in sets {
            for index in stride(from: 0, to: ranges.count, by: 2) where ranges[index] < 1 << 16 {
                for scalar in ranges[index]...min(ranges[index + 1], 0xFFFF) { table[Int(scalar)] |= kind.rawValue }
            }
        }
        return UnsafePointer(table)
    }()

    /// The table of the basic plane, for loops over texts.
    struct Table {
        private let basic = Scalars.basic

        @inline(__always)
        func of(ascii byte: UInt8) -> ScalarClass { ScalarClass(rawValue: basic[Int(byte)]) }

        @inline(__always)
        func of(_ scalar: UInt32) -> ScalarClass {
            scalar < 1 << 16 ? ScalarClass(rawValue: basic[Int(scalar)]) : Scalars.searched(scalar)
        }
    }

    private static func searched(_ scalar: UInt32) -> ScalarClass {
        var kinds: ScalarClass = []
        for (ranges, kind) in sets where contains(ranges, scalar) { kinds.formUnion(kind) }
        return kinds
    }

    private static func contains(_ ranges: [UInt32], _ scalar: UInt32) -> Bool {
        var (low, high) = (0, ranges.count / 2)
        while low < high {
            let middle = (low + high) / 2
            if ranges[2 * middle + 1] < scalar { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count / 2 && ranges[2 * low] <= scalar
    }

    /// The scalar in lower case, if that is one scalar.
    static func lowerCase(_ scalar: UInt32) -> UInt32 {
        if scalar < 0x80 { return (0x41...0x5A).contains(scalar) ? scalar + 32 : scalar }
        let runs = UnicodeTables.lowerCase
        let wanted = Int32(scalar)
        var (low, high) = (0, runs.count / 4)
        while low < high {
            let middle = (low + high) / 2
            if runs[4 * middle + 1] < wanted { low = middle + 1 } else { high = middle }
        }
        guard low < runs.count / 4, runs[4 * low] <= wanted, (wanted - runs[4 * low]) % runs[4 * low + 2] == 0
        else { return scalar }
        return UInt32(wanted + runs[4 * low + 3])
    }

    /// The scalar at `place`, which moves behind it. Bytes that are no UTF-8 count as U+FFFD, one each.
    @inline(__always)
    static func next(_ text: UnsafeBufferPointer<UInt8>, _ place: inout Int) -> UInt32 {
        let first = UInt32(text[place])
        place += 1
        if first < 0x80 { return first }
        let more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1
        guard first >= 0xC2, first < 0xF5, place + more <= text.count else { return 0xFFFD }
        var scalar = first & (0x3F >> UInt32(more))
        for offset in 0..<more {
            let byte = UInt32(text[place + offset])
            guard byte & 0xC0 == 0x80 else { return 0xFFFD }
            scalar = scalar << 6 | byte & 0x3F
        }
        place += more
        return scalar
    }

    /// Appends the UTF-8 of a scalar.
    static func append(_ scalar: UInt32, to bytes: inout [UInt8]) {
        if scalar < 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: scalar))
        } else if scalar < 0x800 {
            bytes.append(UInt8(truncatingIfNeeded: 0xC0 | scalar >> 6))
            bytes.append(UInt8(truncatingIfNeeded: 0x80 | scalar & 0x3F))
        } else if scalar < 0x10000 {
            bytes.append(UInt8(truncatingIfNeeded: 0xE0 | scalar >> 12))
            bytes.append(UInt8(truncatingIfNeeded: 0x80 | scalar >> 6 & 0x3F))
            bytes.append(UInt8(truncatingIfNeeded: 0x80 | scalar & 0x3F))
        } else {
            bytes.append(UInt8(truncatingIfNeeded: 0xF0 | scalar >> 18))
            bytes.append(UInt8(truncatingIfNeeded: 0x80 | scalar >> 12 & 0x3F))
            bytes.append(UInt8(truncatingIfNeeded: 0x80 | scalar >> 6 & 0x3F))
            bytes.append(UInt8(truncatingIfNeeded: 0x80 | scalar & 0x3F))
        }
    }
}
