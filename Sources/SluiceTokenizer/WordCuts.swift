/// Where text of a model without pre-tokenizer may be cut, so that short pieces with known ids come out.
///
/// A token is made by merges, and a merge joins the last scalar of its left part to the first of its right part. Where
/// two neighbours are joined by no merge, no token crosses, so a cut there changes no id. In Llama's vocabulary that is
/// before words, around line ends and around most punctuation.
struct WordCuts: Sendable {
    /// ASCII stands for itself; then the mark that begins words; then all else together.
    private static let mark = 128
    private static let other = 129
    private static let classes = 130

    /// By the classes of two neighbours, whether some merge joins them.
    private var joins = [Bool](repeating: false, count: classes * classes)

    /// Notes a merge of two tokens, which are not empty.
    mutating func add(_ left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>) {
        var last = left.endIndex - 1
        while last > left.startIndex, left[last] & 0xC0 == 0x80 { last -= 1 }
        joins[Self.kind(left[last...]) * Self.classes + Self.kind(right)] = true
    }

    /// The class of the first scalar.
    private static func kind(_ bytes: ArraySlice<UInt8>) -> Int {
        guard let first = bytes.first else { return other }
        return first < 0x80 ? Int(first) : bytes.starts(with: [0xE2, 0x96, 0x81]) ? mark : other
    }

    /// Appends the bounds of the pieces of a text.
    func cut(_ text: UnsafePointer<UInt8>, _ count: Int, into found: inout [Int32]) {
        joins.withUnsafeBufferPointer { joins in
            found.append(0)
            var previous = -1
            var place = 0
            while place < count {
                let byte = text[place]
                var length = 1
                var kind = Int(byte)
                if byte >= 0x80 {
                    length = min(UTF8Text.length(byte), count - place)
                    let isMark = length == 3 && byte == 0xE2 && text[place + 1] == 0x96 && text[place + 2] == 0x81
                    kind = isMark ? Self.mark : Self.other
                }
                if previous >= 0, !joins[previous * Self.classes + kind] {
                    found.append(Int32(truncatingIfNeeded: place))
                    found.append(Int32(truncatingIfNeeded: place))
                }
                previous = kind
                place += length
            }
            found.append(Int32(truncatingIfNeeded: count))
        }
    }
}
