import SluiceCore
import SluiceEngine
import SluiceText

/// A record as JSON, its fields cut if it is large.
struct RecordText {
    let ordinal: Ordinal
    private let bytes: [UInt8]

    /// The most bytes that are held of a record, about.
    static let mostBytes = 8 << 10
    /// The most characters of a field that are shown.
    static let mostShown = 1200
    private static let mostFields = 20
    private static let mostShownOfRecord = 4000

    init(_ record: RunRecord, most: Int = mostBytes) {
        ordinal = record.ordinal
        guard record.line.count > most, let whole = try? JSONValue(json: Array(record.line)) else {
            // What can't be read here, such as a number out of range, is shown as it is.
            bytes = Array(record.line.prefix(most))
            return
        }
        var left = most
        let entries = whole.entries.prefix(Self.mostFields).map { entry in
            let text = (entry.value.textValue ?? entry.value.json).utf8.prefix(left)
            left -= text.count
            return JSONValue.Entry(
                entry.key, .text(String(decoding: text, as: UTF8.self) + (left == 0 ? "…" : "")))
        }
        bytes = Array(JSONValue.object(entries).json.utf8)
    }

    func shown(_ names: [String]) -> RunReport.ShownRecord {
        RunReport.ShownRecord(place: "\(names[ordinal.file]):\(ordinal.line)", fields: fields)
    }

    private var fields: [RunReport.ShownRecord.Field] {
        guard !bytes.isEmpty else { return [.init(name: "", text: "(a long record, which the report does not show)")] }
        guard let record = try? JSONValue(json: bytes) else {
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

    /// The different words of its texts: of the fields with these names, or of all if it has none of them.
    func words(of names: Set<String>) -> Set<String> {
        var words: Set<String> = []
        guard let record = try? JSONValue(json: bytes) else { return [] }
        let named = record.entries.filter { names.contains($0.key) }
        for entry in named.isEmpty ? record.entries : named { Self.add(entry.value, to: &words) }
        return words
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
