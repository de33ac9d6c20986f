import CPattern
import SluiceCore

/// A regular expression of PCRE2, compiled once and shared by all threads.
final class Pattern: @unchecked Sendable {
    // @unchecked: compiled code is never written to; what a match needs is in a `PatternMatcher`.
    fileprivate let code: OpaquePointer
    let text: String

    struct Mistake: Error {
        let message: String
        /// The character before which the mistake was noticed, from 1.
        let character: Int
    }

    init(_ text: String) throws(Mistake) {
        var offset = 0
        var message = [UInt8](repeating: 0, count: 256)
        let bytes = Array(text.utf8)
        guard let code = sluice_pattern_compile(bytes, bytes.count, &offset, &message, message.count) else {
            let words = String(decoding: message.prefix { $0 != 0 }, as: UTF8.self)
            let before = String(decoding: bytes.prefix(offset), as: UTF8.self).unicodeScalars.count
            throw Mistake(message: words.isEmpty ? "there is no memory to compile it" : words, character: before + 1)
        }
        self.code = code
        self.text = text
    }

    deinit { sluice_pattern_free(code) }
}

/// What a thread needs to match patterns: at most 1 MiB of stack for compiled code, or as much heap to interpret it.
final class PatternMatcher {
    private let matcher: OpaquePointer

    static let memory = 5 << 19
    /// The longest that one record may take, in seconds, before the run ends with an error.
    private static let seconds = 10.0

    init() throws(StageError) {
        guard let matcher = sluice_matcher_make() else {
            throw StageError(.memory, "there is no memory to match patterns")
        }
        self.matcher = matcher
    }

    deinit { sluice_matcher_free(matcher) }

    /// Whether the pattern matches anywhere in the bytes.
    ///
    /// - Throws: code `.invalidData` for a text on which the pattern takes too many steps or too long.
    func matches(_ pattern: Pattern, _ bytes: ArraySlice<UInt8>, _ ordinal: Ordinal) throws(StageError) -> Bool {
        let result = bytes.withUnsafeBufferPointer {
            sluice_matcher_match(matcher, pattern.code, $0.baseAddress, $0.count, Self.seconds)
        }
        switch Int(result) {
        case Int(SLUICE_PATTERN_MATCH): return true
        case Int(SLUICE_PATTERN_NONE): return false
        default:
            throw StageError(
                .invalidData,
                "the pattern `\(Printable.name(pattern.text, most: 60))` takes too many steps on this record; make it simpler: avoid nested repetition such as `(a+)+`, or use `(?>…)` and `++`",
                ordinal: ordinal)
        }
    }
}
