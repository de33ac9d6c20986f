import SluiceCore
import SluiceEngine
import SluiceText

/// The bytes of a record, or their beginning.
struct RecordText {
    let ordinal: Ordinal
    private let bytes: [UInt8]
    private let isWhole: Bool

    /// The most bytes that are held of a record.
    static let mostBytes = 16 << 10
    /// The most characters of a field that are shown.
    static let mostShown = 1200
    private static let mostFields = 20
    private static let mostShownOfRecord = 4000

    init(_ record: RunRecord, most: Int = mostBytes) {
        ordinal = record.ordinal
        isWhole = !record.line.isEmpty && record.line.count <= most
        bytes = Array(record.line.prefix(most))
    }

    func shown(_ names: [String]) -> RunReport.ShownRecord {
        RunReport.ShownRecord(place: "\(names[ordinal.file]):\(ordinal.line)", fields: fields)
    }

    private var fields: [RunReport.ShownRecord.Field] {
        guard !bytes.isEmpty else { return [.init(name: "", text: "(a long record, which the report does not show)")] }
        guard isWhole, let record = try? JSONValue(json: bytes) else {
            return [.init(name: "", text: Self.cut(String(decoding: bytes, as: UTF8.self)))]
        }
        var left = Self.mostShownOfRecord
        return record.entries.prefix(Self.mostFields).map { entry in
            let text = Self.cut(entry.value.textValue ?? entry.value.json, to: min(Self.mostShown, left))
            left -= min(left, text.unicodeScalars.count)
            return .init(name: Self.cut(entry.key, to: 100), text: text)
        }
    }

    static func cut(_ text: String, to most: Int = mostShown) -> String {
        let scalars = text.unicodeScalars
        guard let end = scalars.index(scalars.startIndex, offsetBy: most, limitedBy: scalars.endIndex),
            end < scalars.endIndex
        else { return text }
        return String(scalars[..<end]) + "…"
    }

    /// The different words of its texts: of the fields with these names, or of all if it has none of them, or if only its
    /// beginning is held.
    func words(of names: Set<String>) -> Set<String> {
        var words: Set<String> = []
        guard isWhole, let record = try? JSONValue(json: bytes) else {
            Self.add(Self.withoutEscapes(bytes), to: &words)
            return words
        }
        let named = record.entries.filter { names.contains($0.key) }
        for entry in named.isEmpty ? record.entries : named { Self.add(entry.value, to: &words) }
        return words
    }

    /// JSON with a space for each escape, so that `\n` doesn't add a letter to a word.
    private static func withoutEscapes(_ bytes: [UInt8]) -> String {
        var plain: [UInt8] = []
        var isEscape = false
        for byte in bytes {
            plain.append(isEscape || byte == UInt8(ascii: "\\") ? UInt8(ascii: " ") : byte)
            isEscape = !isEscape && byte == UInt8(ascii: "\\")
        }
        return String(decoding: plain, as: UTF8.self)
    }

    private static func add(_ value: JSONValue, to words: inout Set<String>) {
        switch value {
        case .text(let text): add(text, to: &words)
        case .list(let values): for value in values { add(value, to: &words) }
        case .object(let entries): for entry in entries { add(entry.value, to: &words) }
        case .null, .flag, .integer, .real: break
        }
    }

    private static func add(_ text: String, to words: inout Set<String>) {
        var word = String.UnicodeScalarView()
        // In scripts without spaces, two neighbours stand for a word.
        var last: Unicode.Scalar?
        func end() {
            let hasLetter = word.contains { !("0"..."9").contains($0) }
            if (3...30).contains(word.count), hasLetter { words.insert(String(word)) }
            word = String.UnicodeScalarView()
        }
        for scalar in text.unicodeScalars {
            switch Alphabet.classify(scalar.value) {
            case .letter(let folded):
                if let scalar = Unicode.Scalar(folded) { word.append(scalar) }
                last = nil
            case .ignored: continue
            case .unspaced:
                end()
                // Symbols are words by themselves, too, but say little.
                let isLetter =
                    scalar.value >= 0xE00 && !(0x2000..<0x2E80).contains(scalar.value)
                    && !(0x1F000..<0x20000).contains(scalar.value)
                if isLetter, let last { words.insert(String(String.UnicodeScalarView([last, scalar]))) }
                last = isLetter ? scalar : nil
            case .end:
                end()
                last = nil
            }
        }
        end()
    }
}

/// The words that set groups of texts apart from each other.
enum TypicalWords {
    /// The typical words of each group, best first: those that are in many texts of the group and in few others. A word's
    /// score is the number of texts of the group that have it, times how much larger the group's part of the texts with
    /// it is than its part of all texts.
    static func find(_ texts: [(group: Int, words: Set<String>)], groups: Int, most: Int = 4) -> [[String]] {
        var all: [String: Int] = [:]
        var own = [[String: Int]](repeating: [:], count: groups)
        var sizes = [Int](repeating: 0, count: groups)
        for text in texts {
            sizes[text.group] += 1
            for word in text.words {
                all[word, default: 0] += 1
                own[text.group][word, default: 0] += 1
            }
        }
        return (0..<groups).map { group in
            let part = Double(sizes[group]) / Double(max(1, texts.count))
            let scored = own[group].compactMap { word, count -> (word: String, score: Double)? in
                guard count > 1, let everywhere = all[word] else { return nil }
                let score = Double(count) * (Double(count) / Double(everywhere) - part)
                return score > 0 ? (word, score) : nil
            }
            return scored.sorted { ($1.score, $0.word) < ($0.score, $1.word) }.prefix(most).map(\.word)
        }
    }
}
