/// Why a `tokenizer.json` can't be used, as a sentence without the file's name: which part, what was found, what to do.
public struct TokenizerError: Error, Sendable, Hashable, CustomStringConvertible {
    public let message: String

    public init(_ message: String) { self.message = message }

    public var description: String { message }

    /// A part of the file that is unknown here. Never guessed at: other ids would silently give other vectors.
    static func unsupported(_ part: String, _ found: String) -> TokenizerError {
        TokenizerError("the \(part) \(found) of tokenizer.json is not supported")
    }

    static func wrong(_ message: String) -> TokenizerError { TokenizerError("tokenizer.json: \(message)") }
}
