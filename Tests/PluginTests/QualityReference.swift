import SluiceCore

/// The rules of `quality` once more, by strings and dictionaries, after datatrove's code: what each finds in a text.
struct QualityReference {
    let text: String
    private let scalars: [Unicode.Scalar]
    private let words: [String]
    private let lines: [String]

    init(_ text: String) {
        self.text = text
        scalars = Array(text.unicodeScalars)
        words = Self.words(text)
        var lines = Self.split(text) { $0 == "\n" }
        if lines.last?.isEmpty == true { lines.removeLast() }
        self.lines = lines
    }

    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }

    private static func split(_ text: String, _ isEnd: (Unicode.Scalar) -> Bool) -> [String] {
        text.unicodeScalars.split(omittingEmptySubsequences: false, whereSeparator: isEnd).map { String($0) }
    }

    static func words(_ text: String) -> [String] { split(text, isSpace).filter { !$0.isEmpty } }

    private static func length(_ text: String) -> Int { text.unicodeScalars.count }

    private static func trimmed(_ text: String) -> String {
        var view = text.unicodeScalars[...]
        while let first = view.first, isSpace(first) { view.removeFirst() }
        while let last = view.last, isSpace(last) { view.removeLast() }
        return String(view)
    }

    private static let punctuation = Set("!/—”:&(、━\\【#%「」，】；+^]~“„';’{|[=-`*（–？！：$«»,><)?）。…@_.\"}".unicodeScalars)

    var hasWords: Bool { !words.isEmpty }

    /// The part and the whole that the rule named `rule` compares.
    func measure(_ rule: String) -> (found: Int, whole: Int) {
        let plain = words.filter { $0.unicodeScalars.contains { !Self.punctuation.contains($0) } }
        let full = lines.filter { !Self.trimmed($0).isEmpty }
        switch rule {
        case "gopher-min-words", "gopher-max-words": return (plain.count, 1)
        case "gopher-min-mean-word", "gopher-max-mean-word":
            return (plain.reduce(0) { $0 + Self.length($1) }, plain.count)
        case "gopher-hashes": return (scalars.count { $0 == "#" }, words.count)
        case "gopher-ellipses": return (text.ranges(of: "...").count + scalars.count { $0 == "…" }, words.count)
        case "gopher-bullet-lines":
            return (lines.count { ["•", "-"].contains(Self.trimmed($0).unicodeScalars.first) }, lines.count)
        case "gopher-ellipsis-lines":
            return (lines.count { Self.trimmed($0).hasSuffix("...") || Self.trimmed($0).hasSuffix("…") }, lines.count)
        case "gopher-words-with-letters":
            return (words.count { $0.unicodeScalars.contains { $0.properties.generalCategory.isLetter } }, words.count)
        case "gopher-stop-words":
            return (Set(words).intersection(["the", "be", "to", "of", "and", "that", "have", "with"]).count, 1)
        case "fineweb-line-ends":
            return (
                full.count { $0.unicodeScalars.last.map { ".!?。！？".unicodeScalars.contains($0) } ?? false }, full.count
            )
        case "fineweb-short-lines": return (full.count { Self.length($0) <= 30 }, full.count)
        case "fineweb-repeated-lines":
            return (Self.repeats(full).characters, scalars.count { $0 != "\n" })
        case "fineweb-newlines": return (scalars.count { $0 == "\n" }, words.count)
        case "gopher-repeated-lines":
            return (Self.repeats(lines.filter { !$0.isEmpty }).count, lines.count { !$0.isEmpty })
        case "gopher-repeated-line-characters":
            return (Self.repeats(lines.filter { !$0.isEmpty }).characters, scalars.count)
        case "gopher-repeated-paragraphs": return (Self.repeats(paragraphs).count, paragraphs.count)
        case "gopher-repeated-paragraph-characters": return (Self.repeats(paragraphs).characters, scalars.count)
        default:
            let n = Int(rule.filter(\.isNumber)) ?? 0
            return (rule.contains("top") ? top(n) : repeated(n), scalars.count)
        }
    }

    private var paragraphs: [String] {
        var paragraphs = [""], gap = ""
        for scalar in Self.trimmed(text).unicodeScalars {
            if scalar == "\n" {
                gap.unicodeScalars.append(scalar)
                continue
            }
            if gap.utf8.count > 1 { paragraphs.append("") } else { paragraphs[paragraphs.count - 1] += gap }
            gap = ""
            paragraphs[paragraphs.count - 1].unicodeScalars.append(scalar)
        }
        return paragraphs
    }

    private static func repeats(_ units: [String]) -> (count: Int, characters: Int) {
        var seen: Set<[UInt8]> = []
        var found = (count: 0, characters: 0)
        for unit in units where !seen.insert(Array(unit.utf8)).inserted {
            found.count += 1
            found.characters += length(unit)
        }
        return found
    }

    private func top(_ n: Int) -> Int {
        guard words.count >= n else { return 0 }
        var counts: [[String]: Int] = [:]
        let grams = (0...(words.count - n)).map { Array(words[$0..<($0 + n)]) }
        for gram in grams { counts[gram, default: 0] += 1 }
        let most = counts.values.max() ?? 0
        guard most > 1, let first = grams.first(where: { counts[$0] == most }) else { return 0 }
        return (first.reduce(0) { $0 + Self.length($1) } + n - 1) * most
    }

    private func repeated(_ n: Int) -> Int {
        var seen: Set<[String]> = []
        var (characters, place) = (0, 0)
        while place + n <= words.count {
            let gram = Array(words[place..<(place + n)])
            if seen.insert(gram).inserted {
                place += 1
            } else {
                characters += gram.reduce(0) { $0 + Self.length($1) }
                place += n
            }
        }
        return characters
    }
}

extension Unicode.GeneralCategory {
    fileprivate var isLetter: Bool {
        [.uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter].contains(self)
    }
}
