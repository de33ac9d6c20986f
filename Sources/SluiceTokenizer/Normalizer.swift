@_spi(_Unicode) import Swift

/// A step from text to text, as the `normalizer` of tokenizer.json names it.
enum NormalizerStep: Sendable {
    /// `Prepend`: text before a segment that is not empty.
    case prepend([UInt8])
    /// `Replace` of a string.
    case replace([UInt8], with: [UInt8])
    /// `Replace` of the pattern `\s+`: runs of white space.
    case replaceBlanks(with: [UInt8])
    /// `Replace` of the pattern ` {2,}`: two spaces or more.
    case replaceSpaces(with: [UInt8])
    /// `Strip`: white space at the ends.
    case strip(left: Bool, right: Bool)
    /// `Lowercase`, scalar by scalar.
    case lowercase
    /// `NFD`.
    case decompose
    /// `BertNormalizer`.
    case bert(BertNormalizer)
    /// `Precompiled`.
    case charsmap(Charsmap)

    var bytes: Int {
        if case .charsmap(let map) = self { return map.bytes }
        return 0
    }

    /// How many scalars one becomes at most, but for what is put before a text.
    var growth: Int {
        switch self {
        case .prepend, .replaceSpaces, .replaceBlanks, .strip: 1
        case .replace(let pattern, let content):
            max(1, (UTF8Text.count(content) + UTF8Text.count(pattern) - 1) / UTF8Text.count(pattern))
        case .lowercase: 3
        case .decompose: 4
        case .bert: 4
        // The longest of NFKC.
        case .charsmap: 18
        }
    }
}

/// Which ends of a text a segment has: a long text is cut into windows.
struct Ends: Sendable {
    /// The segment is not the continuation of the one before.
    var isStart = true
    /// No continuation follows.
    var isEnd = true
}

/// All steps of a normalizer, in order.
struct Normalizer: Sendable {
    let steps: [NormalizerStep]

    var bytes: Int { steps.reduce(0) { $0 + $1.bytes } }

    /// How many scalars one becomes at most. Steps that replace one mark each don't add up.
    var growth: Int { min(18, steps.reduce(1) { $0 * $1.growth }) }

    /// Normalises `text`. Cost: a pass over the bytes per step. `other` is scratch space, and is exchanged with `text`.
    func apply(_ text: inout TextBuffer, _ other: inout TextBuffer, _ ends: Ends) {
        for step in steps {
            guard text.count > 0 else { return }
            other.count = 0
            switch step {
            case .prepend(let before):
                guard ends.isStart else { continue }
                other.append(before)
                other.append(text.base, text.count)
            case .replace(let pattern, let content): Self.replace(pattern, content, text, &other)
            case .replaceBlanks(let content): Self.replaceRuns(of: nil, content, text, &other)
            case .replaceSpaces(let content): Self.replaceRuns(of: 0x20, content, text, &other)
            case .strip(let left, let right):
                Self.strip(left && ends.isStart, right && ends.isEnd, text, &other)
            case .lowercase: Self.lowercase(text, &other)
            case .decompose: Self.decompose(text, &other)
            case .bert(let normalizer): normalizer.apply(text, &other)
            case .charsmap(let map): map.apply(text, &other)
            }
            swap(&text, &other)
        }
    }

    private static func replace(
        _ pattern: [UInt8], _ content: [UInt8], _ text: borrowing TextBuffer, _ output: inout TextBuffer
    ) {
        output.reserve(text.count * max(1, content.count))
        let count = text.count
        let from = text.base
        pattern.withUnsafeBufferPointer { pattern in
            content.withUnsafeBufferPointer { content in
                let first = pattern[0]
                var place = 0
                while place < count {
                    let byte = from[place]
                    guard byte == first, count - place >= pattern.count,
                        (1..<pattern.count).allSatisfy({ from[place + $0] == pattern[$0] })
                    else {
                        output.put(byte)
                        place += 1
                        continue
                    }
                    for byte in content { output.put(byte) }
                    place += pattern.count
                }
            }
        }
    }

    /// Replaces runs of white space, or of two or more of one byte.
    private static func replaceRuns(
        of byte: UInt8?, _ content: [UInt8], _ text: borrowing TextBuffer, _ output: inout TextBuffer
    ) {
        let count = text.count
        let from = text.base
        output.reserve(count * max(1, content.count))
        ScalarClass.withTable { table in
            var place = 0
            while place < count {
                var end = place
                if let byte {
                    while end < count, from[end] == byte { end += 1 }
                    if end - place < 2 { end = place }
                } else {
                    while end < count {
                        let (scalar, length) = UTF8Text.scalar(from + end, count - end)
                        guard ScalarClass.of(scalar, table).contains(.space) else { break }
                        end += length
                    }
                }
                if end > place {
                    for byte in content { output.put(byte) }
                    place = end
                } else {
                    output.put(from[place])
                    place += 1
                }
            }
        }
    }

    private static func strip(
        _ left: Bool, _ right: Bool, _ text: borrowing TextBuffer, _ output: inout TextBuffer
    ) {
        var start = 0
        var end = text.count
        ScalarClass.withTable { table in
            while left, start < end {
                let (scalar, length) = UTF8Text.scalar(text.base + start, end - start)
                guard ScalarClass.of(scalar, table).contains(.space) else { break }
                start += length
            }
            while right, end > start {
                var first = end - 1
                while first > start, text.base[first] & 0xC0 == 0x80 { first -= 1 }
                let (scalar, length) = UTF8Text.scalar(text.base + first, end - first)
                guard first + length == end, ScalarClass.of(scalar, table).contains(.space) else { break }
                end = first
            }
        }
        output.append(text.base + start, end - start)
    }

    private static func lowercase(_ text: borrowing TextBuffer, _ output: inout TextBuffer) {
        let count = text.count
        let from = text.base
        ScalarClass.withTable { table in
            var place = 0
            while place < count {
                let (scalar, length) = UTF8Text.scalar(from + place, count - place)
                appendLower(scalar, table, &output)
                place += length
            }
        }
    }

    @inline(__always)
    static func appendLower(_ scalar: UInt32, _ table: UnsafeBufferPointer<UInt8>, _ output: inout TextBuffer) {
        if scalar < 0x80 {
            output.append(scalar: scalar &- 65 < 26 ? scalar + 32 : scalar)
        } else if ScalarClass.of(scalar, table).contains(.cased), let scalar = Unicode.Scalar(scalar) {
            for lower in scalar.properties.lowercaseMapping.unicodeScalars { output.append(scalar: lower.value) }
        } else {
            output.append(scalar: scalar)
        }
    }

    private static func decompose(_ text: borrowing TextBuffer, _ output: inout TextBuffer) {
        let bytes = UnsafeBufferPointer(start: text.base, count: text.count)
        if bytes.allSatisfy({ $0 < 0x80 }) { return output.append(text.base, text.count) }
        for scalar in String(decoding: bytes, as: UTF8.self)._nfd { output.append(scalar: scalar.value) }
    }
}

/// BERT's normalizer: clean, pad Chinese, strip accents, lower case.
struct BertNormalizer: Sendable {
    let cleans: Bool
    let padsChinese: Bool
    let stripsAccents: Bool
    let lowercases: Bool

    func apply(_ text: borrowing TextBuffer, _ output: inout TextBuffer) {
        let count = text.count
        let from = text.base
        output.reserve(count)
        ScalarClass.withTable { table in
            var place = 0
            while place < count {
                if from[place] < 0x80 {
                    output.reserve(count - place)
                    place = ascii(from, place, count, &output)
                    continue
                }
                // Marks join what is before them: a run is what lies between two ASCII bytes.
                var end = place
                while end < count, from[end] >= 0x80 { end += 1 }
                other(UnsafeBufferPointer(start: from + place, count: end - place), table, &output)
                place = end
            }
        }
    }

    /// Reads ASCII up to the next other byte. Returns where that is.
    @inline(__always)
    private func ascii(
        _ from: UnsafePointer<UInt8>, _ start: Int, _ count: Int, _ output: inout TextBuffer
    ) -> Int {
        var place = start
        let out = output.base
        var written = output.count
        while place < count, case let byte = from[place], byte < 0x80 {
            place += 1
            if byte < 0x20 || byte == 0x7F, cleans {
                guard byte == 9 || byte == 10 || byte == 13 else { continue }
                out[written] = 0x20
            } else {
                out[written] = lowercases && byte &- 65 < 26 ? byte + 32 : byte
            }
            written += 1
        }
        output.count = written
        return place
    }

    private func other(
        _ bytes: UnsafeBufferPointer<UInt8>, _ table: UnsafeBufferPointer<UInt8>, _ output: inout TextBuffer
    ) {
        guard let from = bytes.baseAddress else { return }
        var cleaned = ""
        var place = 0
        while place < bytes.count {
            var (scalar, length) = UTF8Text.scalar(from + place, bytes.count - place)
            place += length
            let kind = ScalarClass.of(scalar, table)
            if cleans {
                if scalar == 0xFFFD || kind.contains(.other) { continue }
                if kind.contains(.space) { scalar = 0x20 }
            }
            let isPadded = padsChinese && kind.contains(.chinese)
            if stripsAccents {
                if isPadded { cleaned.unicodeScalars.append(" ") }
                cleaned.unicodeScalars.append(Unicode.Scalar(scalar) ?? " ")
                if isPadded { cleaned.unicodeScalars.append(" ") }
            } else {
                if isPadded { output.append(scalar: 0x20) }
                append(scalar, table, &output)
                if isPadded { output.append(scalar: 0x20) }
            }
        }
        guard stripsAccents else { return }
        for scalar in cleaned._nfd where !ScalarClass.of(scalar.value, table).contains(.mark) {
            append(scalar.value, table, &output)
        }
    }

    @inline(__always)
    private func append(_ scalar: UInt32, _ table: UnsafeBufferPointer<UInt8>, _ output: inout TextBuffer) {
        if lowercases {
            Normalizer.appendLower(scalar, table, &output)
        } else {
            output.append(scalar: scalar)
        }
    }
}
