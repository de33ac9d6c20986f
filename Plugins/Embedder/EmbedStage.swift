public import SluiceCore

extension ColumnName {
    /// 1 if a record's text has no word and its vector is zero, otherwise 0.
    public static let emptyText: ColumnName = "empty_text"
    /// 1 if the vector is of the beginning of a record's text alone, otherwise 0.
    public static let cutText: ColumnName = "cut_text"
}

/// Computes an Int8 vector of each record's text, the same bytes on every machine; with `onnx`, on every machine with the
/// same kind of processor and the same runtime.
public struct EmbedStage: Stage {
    /// All models, in the order of the help; the first is the default.
    static let models: [any EmbeddingModel.Type] = [
        LSAEmbedding.self, LexicalEmbedding.self, StaticPlan.self, OnnxPlan.self, FileModel.self, EndpointPlan.self,
    ]

    private let model: any EmbeddingModel
    private let columns: VectorColumns

    public init(options: OptionValues) throws(StageError) {
        let name = try options.text("model")
        guard let model = Self.models.first(where: { $0.name == name }) else {
            throw .option("model", "there is no model \(name)")
        }
        for option in Self.descriptor.options
        where !["model", "as"].contains(option.name) && options[option.name] != nil {
            guard !model.optionNames.contains(option.name) else { continue }
            let owners = Self.models.filter { $0.optionNames.contains(option.name) }.map { "`model: \($0.name)`" }
            throw .option(
                option.name, "`\(option.name)` goes with \(owners.joined(separator: " or ")), not with `\(name)`")
        }
        self.model = try model.init(options: options)
        columns = VectorColumns(options["as"] == nil ? .embedding : ColumnName(try options.text("as")))
    }

    public var reads: [Input] { model.reads }
    public var writes: [ColumnSpec] {
        [
            ColumnSpec(
                columns.vectors, .vector(dimension: model.dimension),
                nearDuplicateDistance: model.nearDuplicateDistance,
                needsConfirmation: true, isSpelling: type(of: model).isSpelling),
            ColumnSpec(columns.empty, .integer),
        ] + (model.marksCuts ? [ColumnSpec(columns.cut, .integer)] : [])
    }

    public func identity() throws(StageError) -> [String: String] { try model.identity() }

    public func body(_ context: StageContext) throws(StageError) -> StageBody {
        try model.body(context, writing: columns)
    }
}
