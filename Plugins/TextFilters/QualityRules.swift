import SluiceCore

/// The rules of `quality`, in the order in which they are tried: by the cost of what they count.
///
/// Sources: Gopher, «Scaling Language Models», arXiv 2112.11446, appendix A1.1 (quality) and table A1 (repetition); C4,
/// «Exploring the Limits of Transfer Learning», JMLR 21 (2020), section 2.2; FineWeb, arXiv 2406.17557, section 3.6.
enum QualityRule: String, CaseIterable, Sendable {
    case leastWords = "gopher-min-words"
    case mostWords = "gopher-max-words"
    case leastMeanWord = "gopher-min-mean-word"
    case mostMeanWord = "gopher-max-mean-word"
    case hashes = "gopher-hashes"
    case ellipses = "gopher-ellipses"
    case bulletLines = "gopher-bullet-lines"
    case ellipsisLines = "gopher-ellipsis-lines"
    case lettersInWords = "gopher-words-with-letters"
    case stopWords = "gopher-stop-words"
    case sentences = "c4-min-sentences"
    case loremIpsum = "c4-lorem-ipsum"
    case curlyBracket = "c4-curly-bracket"
    case endMarks = "fineweb-line-ends"
    case shortLines = "fineweb-short-lines"
    case repeatedLines = "fineweb-repeated-lines"
    case newlines = "fineweb-newlines"
    case repeatedParagraphs = "gopher-repeated-paragraphs"
    case repeatedParagraphCharacters = "gopher-repeated-paragraph-characters"
    case gopherRepeatedLines = "gopher-repeated-lines"
    case repeatedLineCharacters = "gopher-repeated-line-characters"
    case top2 = "gopher-top-2-gram"
    case top3 = "gopher-top-3-gram"
    case top4 = "gopher-top-4-gram"
    case repeated5 = "gopher-repeated-5-grams"
    case repeated6 = "gopher-repeated-6-grams"
    case repeated7 = "gopher-repeated-7-grams"
    case repeated8 = "gopher-repeated-8-grams"
    case repeated9 = "gopher-repeated-9-grams"
    case repeated10 = "gopher-repeated-10-grams"

    static let sets = ["gopher", "c4", "fineweb"]

    var set: String { String(rawValue.prefix { $0 != "-" }) }

    /// The paper's own limit.
    var usual: Quantity {
        switch self {
        case .leastWords: .count(50)
        case .mostWords: .count(100_000)
        case .leastMeanWord: .count(3)
        case .mostMeanWord: .count(10)
        case .hashes, .ellipses: .percent(10)
        case .bulletLines: .percent(90)
        case .ellipsisLines: .percent(30)
        case .lettersInWords: .percent(80)
        case .stopWords: .count(2)
        case .sentences: .count(5)
        case .loremIpsum, .curlyBracket: .count(0)
        case .endMarks: .percent(12)
        case .shortLines: .percent(67)
        case .repeatedLines: .percent(1)
        case .newlines: .percent(30)
        case .repeatedParagraphs, .gopherRepeatedLines: .percent(30)
        case .repeatedParagraphCharacters, .repeatedLineCharacters: .percent(20)
        case .top2: .percent(20)
        case .top3: .percent(18)
        case .top4: .percent(16)
        case .repeated5: .percent(15)
        case .repeated6: .percent(14)
        case .repeated7: .percent(13)
        case .repeated8: .percent(12)
        case .repeated9: .percent(11)
        case .repeated10: .percent(10)
        }
    }

    /// Whether a text with less than the limit is dropped; otherwise one with more.
    var isLeast: Bool {
        switch self {
        case .leastWords, .leastMeanWord, .lettersInWords, .stopWords, .sentences, .endMarks: true
        default: false
        }
    }

    /// The words of an n-gram, for the rules about these.
    var gram: Int? {
        switch self {
        case .top2: 2
        case .top3: 3
        case .top4: 4
        case .repeated5: 5
        case .repeated6: 6
        case .repeated7: 7
        case .repeated8: 8
        case .repeated9: 9
        case .repeated10: 10
        default: nil
        }
    }

    /// What it is about, for `sluice stages quality`.
    var help: String {
        switch self {
        case .leastWords, .mostWords: "words that are not all punctuation"
        case .leastMeanWord, .mostMeanWord: "characters of such a word on average"
        case .hashes: "`#` per word"
        case .ellipses: "`...` and `…` per word"
        case .bulletLines: "lines that begin with `•` or `-`"
        case .ellipsisLines: "lines that end in an ellipsis"
        case .lettersInWords: "words with a letter"
        case .stopWords: "different ones of the, be, to, of, and, that, have, with"
        case .sentences: "sentences in the lines that C4 keeps"
        case .loremIpsum: "lines with «lorem ipsum»"
        case .curlyBracket: "lines with `{`"
        case .endMarks: "lines that end in a mark such as `.`"
        case .shortLines: "lines of at most 30 characters"
        case .repeatedLines, .repeatedLineCharacters: "characters in repeated lines"
        case .newlines: "line ends per word"
        case .repeatedParagraphs: "repeated paragraphs"
        case .repeatedParagraphCharacters: "characters in repeated paragraphs"
        case .gopherRepeatedLines: "repeated lines"
        case .top2, .top3, .top4: "characters in the most frequent \(gram ?? 0)-gram of words"
        case .repeated5, .repeated6, .repeated7, .repeated8, .repeated9, .repeated10:
            "characters in repeated \(gram ?? 0)-grams of words"
        }
    }
}

/// A rule's limit, compared exactly.
struct QualityLimit: Sendable {
    let quantity: Quantity
    /// The limit times `scale`.
    private let value: Int
    private let scale: Int

    init(_ quantity: Quantity) {
        self.quantity = quantity
        // A percentage has six decimals, so its share of 10^8 is a whole number.
        (value, scale) =
            quantity.isShare ? (quantity.resolve(of: 100_000_000), 100_000_000) : (quantity.resolve(of: 0), 1)
    }

    /// Whether `part / whole` is above the limit.
    func isBelow(_ part: Int, of whole: Int) -> Bool {
        let (found, allowed) = (part.multipliedFullWidth(by: scale), whole.multipliedFullWidth(by: value))
        return (found.high, found.low) > (allowed.high, allowed.low)
    }

    /// Whether `part / whole` is below the limit.
    func isAbove(_ part: Int, of whole: Int) -> Bool {
        let (found, allowed) = (part.multipliedFullWidth(by: scale), whole.multipliedFullWidth(by: value))
        return (found.high, found.low) < (allowed.high, allowed.low)
    }
}
