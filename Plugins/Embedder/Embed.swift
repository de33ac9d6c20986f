public import SluiceCore

/// `embed` in a definition written in Swift.
public struct Embed: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameters:
    ///   - column: of the vectors; `embedding` by default.
    ///   - fitted: the directory of a run, or a file of its folder `models`; with `lsa`, like `reservoir` and `features`.
    ///   - path: the folder of a model; with `static`, like `maxTokens`, `long` and `dropUnknown`.
    public init(
        model: String? = nil, as column: String? = nil, dimensions: Int? = nil, reservoir: Int? = nil,
        features: Int? = nil,
        fitted: String? = nil, path: String? = nil, maxTokens: Int? = nil, long: String? = nil,
        dropUnknown: Bool? = nil
    ) {
        var options = OptionValues()
        options["model"] = model.map { .text($0) }
        options["as"] = column.map { .text($0) }
        options["dimensions"] = dimensions.map { .integer($0) }
        options["reservoir"] = reservoir.map { .integer($0) }
        options["features"] = features.map { .integer($0) }
        options["fitted"] = fitted.map { .text($0) }
        options["path"] = path.map { .text($0) }
        options["max_tokens"] = maxTokens.map { .integer($0) }
        options["long"] = long.map { .text($0) }
        options["drop_unk"] = dropUnknown.map { .flag($0) }
        stageSpec = StageSpec("embed", options)
    }
}
