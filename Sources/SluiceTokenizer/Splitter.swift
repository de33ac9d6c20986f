/// A step that cuts text into words, as the `pre_tokenizer` of tokenizer.json names it.
enum SplitterStep: Sendable {
    /// `BertPreTokenizer`: at white space, and around every punctuation mark.
    case bert
    /// `WhitespaceSplit`.
    case blanks
    /// `Metaspace`: spaces become `mark`, which may be put before the text; words begin with it.
    case metaspace(Metaspace)
    /// Of no pre-tokenizer: where no token crosses. It saves work and changes no id.
    case cuts(WordCuts)
}

/// The options of `Metaspace`.
struct Metaspace: Sendable {
    enum Prepend: Sendable { case always, first, never }

    let mark: [UInt8]
    let prepend: Prepend
    let splits: Bool
}

/// All steps of a pre-tokenizer, in order.
struct Splitter: Sendable {
    let steps: [SplitterStep]

    /// Cuts `text` into the words between `bounds`, pairs of start and end. `other` and `spare` are scratch space.
    ///
    /// - Parameters:
    ///   - isFirst: whether the text begins where the whole text does.
    ///   - continues: whether it continues what was cut in windows.
    func apply(
        _ text: inout TextBuffer, _ other: inout TextBuffer, bounds: inout [Int32], spare: inout [Int32],
        isFirst: Bool, continues: Bool
    ) {
        bounds.removeAll(keepingCapacity: true)
        bounds.append(0)
        bounds.append(Int32(text.count))
        for step in steps {
            spare.removeAll(keepingCapacity: true)
            switch step {
            case .bert: ScalarClass.withTable { Self.cut(text, bounds, into: &spare, marksToo: true, $0) }
            case .blanks: ScalarClass.withTable { Self.cut(text, bounds, into: &spare, marksToo: false, $0) }
            case .metaspace(let way):
                let puts = way.prepend == .always || way.prepend == .first && isFirst
                Self.mark(text, &other, bounds, way, puts: puts, continues: continues, into: &spare)
                swap(&text, &other)
            case .cuts(let cuts): cuts.cut(text.base, text.count, into: &spare)
            }
            swap(&bounds, &spare)
        }
    }

    /// Cuts at white space and, with `marksToo`, around punctuation.
    private static func cut(
        _ text: borrowing TextBuffer, _ bounds: [Int32], into found: inout [Int32], marksToo: Bool,
        _ table: UnsafeBufferPointer<UInt8>
    ) {
        for word in stride(from: 0, to: bounds.count, by: 2) {
            let end = Int(bounds[word + 1])
            var start = Int(bounds[word])
            var place = start
            func close(_ found: inout [Int32]) {
                if place > start {
                    found.append(Int32(start))
                    found.append(Int32(place))
                }
            }
            while place < end {
                let byte = text.base[place]
                let (scalar, length) =
                    byte < 0x80 ? (UInt32(byte), 1) : UTF8Text.scalar(text.base + place, end - place)
                let kind = ScalarClass.of(scalar, table)
                if kind.contains(.space) {
                    close(&found)
                    start = place + length
                } else if marksToo, kind.contains(.punctuation) {
                    close(&found)
                    start = place + length
                    found.append(Int32(place))
                    found.append(Int32(start))
                }
                place += length
            }
            close(&found)
        }
    }

    /// Writes each word with its spaces replaced and, with `puts`, a mark before it if it begins with none; and the
    /// bounds of the words that this gives.
    private static func mark(
        _ text: borrowing TextBuffer, _ output: inout TextBuffer, _ bounds: [Int32], _ way: Metaspace,
        puts: Bool, continues: Bool, into found: inout [Int32]
    ) {
        output.count = 0
        let mark = way.mark
        for word in stride(from: 0, to: bounds.count, by: 2) {
            let end = Int(bounds[word + 1])
            var place = Int(bounds[word])
            var start = output.count
            output.reserve((end - place + 1) * mark.count)
            if puts, place > 0 || !continues, text.base[place] != 0x20, !begins(text, place, end, mark) {
                for byte in mark { output.put(byte) }
            }
            while place < end {
                let isSpace = text.base[place] == 0x20
                guard isSpace || begins(text, place, end, mark) else {
                    output.put(text.base[place])
                    place += 1
                    continue
                }
                if way.splits, output.count > start {
                    found.append(Int32(start))
                    found.append(Int32(output.count))
                    start = output.count
                }
                for byte in mark { output.put(byte) }
                place += isSpace ? 1 : mark.count
            }
            found.append(Int32(start))
            found.append(Int32(output.count))
        }
    }

    @inline(__always)
    private static func begins(_ text: borrowing TextBuffer, _ start: Int, _ end: Int, _ mark: [UInt8]) -> Bool {
        guard end - start >= mark.count else { return false }
        for index in 0..<mark.count where text.base[start + index] != mark[index] { return false }
        return true
    }
}
