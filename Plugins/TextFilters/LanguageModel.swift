import CLanguageModel
import CZstd
import SluiceCore

/// Byte n-grams and how much each speaks for a language: the model of `language`, made by scripts/language.py.
///
/// Immutable, and never freed: one copy serves all threads.
final class LanguageModel: @unchecked Sendable {
    /// The model in the program.
    ///
    /// - Throws: a fault if the program has been damaged.
    static func shared() throws(StageError) -> LanguageModel {
        guard let model else {
            throw StageError(.fault, "the language model in this program is damaged; install the program again")
        }
        return model
    }

    private static let model = LanguageModel()

    /// Memory of the model: its content, the program's own copy and the tables, with room to spare.
    static let bytes = 4 << 20

    /// A logarithm of 4096 units is a nat, so are `base` and `prior`; a code is half a nat.
    static let unit = 4096

    /// A class is a language in one script or a variety of it, so a name may occur more than once.
    let names: [String]
    /// What a class loses for each n-gram of a text, and what it starts with.
    let base: [Int64]
    let prior: [Int64]
    /// The end of each n-gram's weights in `classes` and `codes`.
    let ends: UnsafePointer<UInt32>
    let classes: UnsafePointer<UInt8>
    let codes: UnsafePointer<UInt8>
    let count: Int
    let composition: Composition
    private let tree: SuffixTree

    private init?() {
        guard let content = Self.unpacked(), let head = Head(content) else { return nil }
        names = head.names
        base = head.base
        prior = head.prior
        count = head.grams
        composition = Composition(pairs: head.pairs, both: head.both)
        let shared = content.baseAddress.unsafelyUnwrapped + head.end
        let rest = shared + count
        let letters = rest + count
        let entries = letters + head.letters
        classes = UnsafePointer(entries + count)
        codes = UnsafePointer(entries + count + head.weights)
        let ends = UnsafeMutablePointer<UInt32>.allocate(capacity: count)
        var end: UInt32 = 0
        for gram in 0..<count {
            end += UInt32(entries[gram])
            (ends + gram).initialize(to: end)
        }
        self.ends = UnsafePointer(ends)
        var builder = SuffixTree.Builder()
        var letter = 0
        for gram in 0..<count {
            builder.add(
                gram, shared: Int(shared[gram]),
                UnsafeBufferPointer(start: letters + letter, count: Int(rest[gram])))
            letter += Int(rest[gram])
        }
        tree = builder.tree
    }

    /// Calls `body` with the longest n-gram that ends at each place of a text from `start` on, where there is one.
    @inline(__always)
    func forEachGram(in text: UnsafeBufferPointer<UInt8>, from start: Int, _ body: (Int) -> Void) {
        for end in max(1, start)..<max(1, start, text.count) {
            let gram = tree.longest(text, endingAt: end)
            if gram != SuffixTree.none { body(Int(gram)) }
        }
    }

    /// The model's content. Its first bytes are its head, then come, for each n-gram in the order of its bytes from the
    /// last to the first: how many bytes it shares with the one before, how many it adds, and these; how many weights it
    /// has; and their classes and codes.
    private static func unpacked() -> UnsafeMutableBufferPointer<UInt8>? {
        var size = 0
        let packed = language_model(&size)
        guard let count = Int(exactly: ZSTD_getFrameContentSize(packed, size)), count < bytes else { return nil }
        let content = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: count)
        guard ZSTD_decompress(content.baseAddress, count, packed, size) == count else { return nil }
        return content
    }

    private struct Head {
        var names: [String] = []
        var base: [Int64] = []
        var prior: [Int64] = []
        var pairs: [UInt64] = []
        var both: [UInt32] = []
        let grams: Int
        let letters: Int
        let weights: Int
        let end: Int

        init?(_ content: UnsafeMutableBufferPointer<UInt8>) {
            func number(_ place: Int, _ size: Int) -> UInt32 {
                (0..<size).reduce(0) { $0 | UInt32(content[place + $1]) << UInt32(8 * $1) }
            }
            guard content.count > 20, content.prefix(4).elementsEqual("SLM1".utf8) else { return nil }
            let classes = Int(number(4, 2))
            grams = Int(number(6, 2))
            letters = Int(number(8, 4))
            weights = Int(number(12, 4))
            let names = 20 + 12 * classes
            end = names + 12 * Int(number(16, 4))
            guard content.count == end + 3 * grams + letters + 2 * weights else { return nil }
            for place in stride(from: names, to: end, by: 12) {
                pairs.append(UInt64(number(place, 4)) << 32 | UInt64(number(place + 4, 4)))
                both.append(number(place + 8, 4))
            }
            for place in stride(from: 20, to: names, by: 12) {
                self.names.append(String(decoding: content[place..<place + 4].prefix { $0 != 0 }, as: UTF8.self))
                base.append(Int64(Int32(bitPattern: number(place + 4, 4))))
                prior.append(Int64(Int32(bitPattern: number(place + 8, 4))))
            }
        }
    }
}
