package import SluiceCore
import SluiceGeometry

extension StaticVectors {
    /// The cosine distance within which records are usually near duplicates.
    ///
    /// Of pairs of 12,000 real records within it, about 95 % have four fifths of their words in common: 96 % within 0.05
    /// in wordllama's space, and in that of a small model of model2vec 96 % within 0.01 (88 % within 0.02). Models differ:
    /// for another one look at some pairs, and set the distance where it is used.
    var nearDuplicateDistance: Double { model.form == .plain ? 0.05 : 0.01 }

    /// Reads the options of `embed: {model: static}`, and the model's headers and tokenizer.
    ///
    /// - Throws: `StageError` with the option at fault.
    package init(options: OptionValues) throws(StageError) {
        guard options["path"] != nil else {
            throw .option(
                "path", "`model: static` needs the folder of a model, such as `path: models/wordllama`")
        }
        let path = try options.text("path")
        let model = try StaticModel(path)
        self.model = model
        let columns = model.table.columns
        dimension = options["dimensions"] == nil ? columns : try options.integer("dimensions")
        guard dimension <= columns else {
            throw .option(
                "dimensions", "the vectors of \(path) have \(columns) dimensions, not \(dimension); give at most \(columns)")
        }
        guard dimension <= VectorView.maximumDimension else {
            throw .option(
                "dimensions",
                "the vectors of \(path) have \(columns) dimensions; give `dimensions` of at most \(VectorView.maximumDimension)"
            )
        }
        maxTokens = options["max_tokens"] == nil ? model.maxTokens : try options.integer("max_tokens")
        long = options["long"] == nil ? .cut : LongText(rawValue: try options.text("long")) ?? .cut
        if long == .chunkMean, maxTokens == nil {
            throw .option("long", "`long: chunk-mean` needs `max_tokens`, the number of tokens of a part")
        }
        if model.form == .plain, options["drop_unk"] != nil {
            throw .option("drop_unk", "`drop_unk` goes with models of model2vec; the mean of \(path) is over all tokens")
        }
        let drops = options["drop_unk"] == nil ? true : try options.flag("drop_unk")
        dropsUnknown = model.form == .model2vec && drops
    }
}
