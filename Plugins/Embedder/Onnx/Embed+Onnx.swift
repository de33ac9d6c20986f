import SluiceCore

extension Embed {
    /// A sentence encoder that ONNX Runtime runs: `embed: {model: onnx}`.
    ///
    /// - Parameters:
    ///   - path: the model's folder, or the file `*.onnx` itself.
    ///   - library: the file of ONNX Runtime; nil for the one that the environment or the system knows.
    public init(
        onnx path: String, library: String? = nil, dimensions: Int? = nil, pooling: String? = nil,
        prefix: String? = nil, maxTokens: Int? = nil, long: String? = nil, output: String? = nil,
        device: String? = nil, as column: String? = nil
    ) {
        var options: OptionValues = ["model": "onnx", "path": .text(path)]
        options["library"] = library.map { .text($0) }
        options["dimensions"] = dimensions.map { .integer($0) }
        options["pooling"] = pooling.map { .text($0) }
        options["prefix"] = prefix.map { .text($0) }
        options["max_tokens"] = maxTokens.map { .integer($0) }
        options["long"] = long.map { .text($0) }
        options["output"] = output.map { .text($0) }
        options["device"] = device.map { .text($0) }
        options["as"] = column.map { .text($0) }
        stageSpec = StageSpec("embed", options)
    }
}
