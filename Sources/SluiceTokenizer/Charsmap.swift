/// The normalizer `Precompiled`: replacements in a double-array trie, as SentencePiece writes it.
///
/// Layout: the size of the trie in bytes (UInt32, little-endian), its units (UInt32), then texts that end with a NUL. A
/// unit has the value of a leaf, or a label, an offset and whether a leaf follows (Darts-clone). What is replaced, and
/// that the shortest key decides, follows the library that writes tokenizer.json, quirks included: a grapheme of fewer
/// than 6 bytes is replaced as a whole if a key begins it, otherwise scalar by scalar.
struct Charsmap: Sendable {
    private let units: [UInt32]
    private let texts: [UInt8]
    /// By ASCII byte, whether it stays as it is.
    private var stays = [Bool](repeating: false, count: 128)

    var bytes: Int { units.count * 4 + texts.count }

    /// - Throws: if the bytes are no such map.
    init(_ blob: [UInt8]) throws(TokenizerError) {
        func word(_ place: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(blob[place + $1]) << (8 * UInt32($1)) }
        }
        guard blob.count >= 4, case let size = Int(word(0)), size % 4 == 0, size > 0, size <= blob.count - 4 else {
            throw .wrong("the `precompiled_charsmap` of its normalizer is damaged")
        }
        units = (0..<(size / 4)).map { word(4 + $0 * 4) }
        texts = Array(blob[(4 + size)...])
        for byte in 0..<UInt8(128) { stays[Int(byte)] = withUnsafePointer(to: byte) { replacement($0, 1) == nil } }
    }

    /// The replacement of the shortest key that begins the bytes.
    @inline(__always)
    private func replacement(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Range<Int>? {
        guard let root = units.first else { return nil }
        var place = Self.offset(root)
        for index in 0..<count {
            let label = bytes[index]
            if label == 0 { return nil }
            place ^= Int(label)
            guard place < units.count, case let unit = units[place], unit & 0x8000_00FF == UInt32(label) else {
                return nil
            }
            place ^= Self.offset(unit)
            guard unit >> 8 & 1 == 1 else { continue }
            guard place < units.count, case let start = Int(units[place] & 0x7FFF_FFFF), start <= texts.count else {
                return nil
            }
            return start..<(texts[start...].firstIndex(of: 0) ?? texts.count)
        }
        return nil
    }

    private static func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & 0x200) >> 6)) }

    func apply(_ text: borrowing TextBuffer, _ output: inout TextBuffer) {
        let count = text.count
        let from = text.base
        var place = 0
        while place < count {
            // An ASCII byte before another one is a grapheme, but for CR LF.
            let byte = from[place]
            let next = place + 1 < count ? from[place + 1] : 0
            if byte < 0x80, next < 0x80, byte != 13 || next != 10 {
                place += 1
                if stays[Int(byte)] {
                    output.reserve(1)
                    output.put(byte)
                } else {
                    append(from + place - 1, 1, &output)
                }
                continue
            }
            var end = place + 1
            while end < count, from[end] >= 0x80 || from[end] == 10 && from[end - 1] == 13 { end += 1 }
            graphemes(UnsafeBufferPointer(start: from + place, count: end - place), &output)
            place = end
        }
    }

    private func graphemes(_ bytes: UnsafeBufferPointer<UInt8>, _ output: inout TextBuffer) {
        for grapheme in String(decoding: bytes, as: UTF8.self) {
            var grapheme = String(grapheme)
            grapheme.withUTF8 { bytes in
                guard let start = bytes.baseAddress else { return }
                if bytes.count < 6, let found = replacement(start, bytes.count) {
                    return append(found, &output)
                }
                var place = 0
                while place < bytes.count {
                    let length = UTF8Text.scalar(start + place, bytes.count - place).length
                    append(start + place, length, &output)
                    place += length
                }
            }
        }
    }

    /// Appends a scalar's replacement, or the scalar.
    private func append(_ scalar: UnsafePointer<UInt8>, _ length: Int, _ output: inout TextBuffer) {
        if let found = replacement(scalar, length) {
            append(found, &output)
        } else {
            output.append(scalar, length)
        }
    }

    private func append(_ range: Range<Int>, _ output: inout TextBuffer) {
        texts.withUnsafeBufferPointer { texts in
            guard let start = texts.baseAddress else { return }
            output.append(start + range.lowerBound, range.count)
        }
    }
}
