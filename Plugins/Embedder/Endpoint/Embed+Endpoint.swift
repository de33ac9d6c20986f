public import SluiceCore

extension Embed {
    /// Vectors by a server with OpenAI's `/v1/embeddings`, in a definition written in Swift.
    ///
    /// - Parameters:
    ///   - url: the address of the server, with or without `/v1/embeddings`.
    ///   - name: the model's name at the server.
    ///   - dimensions: the number of components of its vectors.
    ///   - keyVariable: the environment variable with the key; without it none is sent.
    ///   - more: other options of the model by name, such as `in_flight`; see `sluice stages embed`.
    public static func endpoint(
        url: String, name: String, dimensions: Int, keyVariable: String? = nil, more: OptionValues = [:]
    ) -> some StageSpecConvertible {
        var options = more
        options["model"] = .text(EndpointPlan.name)
        options["url"] = .text(url)
        options["name"] = .text(name)
        options["dimensions"] = .integer(dimensions)
        if let keyVariable { options["key_env"] = .text(keyVariable) }
        return StageSpec("embed", options)
    }
}
