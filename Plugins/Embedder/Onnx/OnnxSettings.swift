import SluiceCore

/// The options that decide the vector of a text.
struct OnnxSettings: Sendable {
    let pooling: Pooling
    /// UTF-8 that comes before each text.
    let prefix: [UInt8]
    /// Tokens of a text or of its parts, with those that the tokenizer puts around it.
    let maxTokens: Int
    let long: LongText
    /// The first numbers of the model's vector that count.
    let dimension: Int
    let trial: OnnxModel.Trial

    /// `max_tokens` if neither the option nor a file says.
    static let usualTokens = 256

    /// The tokens of a text that count.
    ///
    /// - Parameter given: the option.
    /// - Throws: if the model does not know so many positions, or if the tokenizer needs them for itself.
    static func length(_ given: Int?, _ config: OnnxConfig, around: Int) throws(StageError) -> Int {
        let most = given ?? config.maxTokens ?? usualTokens
        if let positions = config.positions, most > positions {
            throw .option("max_tokens", "the model knows \(positions) positions (config.json), not \(most); give less")
        }
        guard most > around else {
            throw .option(
                "max_tokens",
                "the tokenizer puts \(around) tokens around a text, which leaves nothing of \(most); give more")
        }
        return most
    }
}
