package import SluiceCore
import SluiceGeometry

/// The options of `embed: {model: static}`, checked against the model's files.
///
/// It keeps what must be known before anything is read, and no model: that lives from the first worker of a pass to the
/// last, so that its memory is free for the passes that follow.
struct StaticPlan: EmbeddingModel {
    static let name = "static"
    static let optionNames = ["dimensions", "path", "max_tokens", "long", "drop_unk"]
    static let about = """
        a model's own table: the mean of the vectors of a text's tokens. `path` is a folder with \
        model.safetensors and tokenizer.json: wordllama, model2vec and its potion models, or StaticEmbedding of \
        sentence-transformers. It knows which words mean the same, also those that the corpus does not have, and can \
        compare vectors of any two corpora. The table is mapped into memory once for all threads, and read in place. \
        `max_tokens` tokens of a text count (wordllama: all; model2vec: `max_length` of config.json, or 512); of a \
        longer text, with `long: cut` the first, with `chunk-mean` the mean of the unit vectors of its parts. \
        Tokenizers: WordPiece, BPE with byte fallback, Unigram; `check` refuses a file with any other part.
        """

    let path: String
    /// The state of the files when they were checked.
    private let version: String
    let form: StaticModel.Form
    let dimension: Int
    let maxTokens: Int?
    let long: LongText
    let dropsUnknown: Bool
    /// Bytes of the model, and of a thread's scratch at its largest.
    let modelBytes: Int
    let scratchBytes: Int
    /// The digests of the model's files.
    private let digests: [String: String]
    private let languages: String?

    /// The cosine distance within which records are usually near duplicates.
    ///
    /// Of pairs of 12,000 real records within it, about 95 % have four fifths of their words in common: 96 % within 0.05
    /// in wordllama's space, and in that of a small model of model2vec 96 % within 0.01 (88 % within 0.02). Models differ:
    /// for another one look at some pairs, and set the distance where it is used.
    var nearDuplicateDistance: Double? { form == .plain ? 0.05 : 0.01 }

    /// Reads the options and checks the model.
    ///
    /// - Throws: `StageError` with the option at fault.
    init(options: OptionValues) throws(StageError) {
        guard options["path"] != nil else {
            throw .option(
                "path", "`model: static` needs the folder of a model, such as `path: models/wordllama`")
        }
        path = try options.text("path")
        let model = try ModelCache.facts(path)
        version = model.version
        digests = model.digests
        languages = ModelCard.languages(in: [path])
        form = model.form
        let columns = model.columns
        dimension = options["dimensions"] == nil ? columns : try options.integer("dimensions")
        guard dimension <= columns else {
            throw .option(
                "dimensions",
                "the vectors of \(path) have \(columns) dimensions, not \(dimension); give at most \(columns)")
        }
        guard dimension <= VectorView.maximumDimension else {
            throw .option(
                "dimensions",
                "the vectors of \(path) have \(columns) dimensions; give `dimensions` of at most \(VectorView.maximumDimension)"
            )
        }
        maxTokens = options["max_tokens"] == nil ? model.maxTokens : try options.integer("max_tokens")
        guard let long = LongText(rawValue: options["long"] == nil ? "cut" : try options.text("long")) else {
            throw .option("long", "with `model: static`, `long` is cut or chunk-mean")
        }
        self.long = long
        if long == .chunkMean, maxTokens == nil {
            throw .option("long", "`long: chunk-mean` needs `max_tokens`, the number of tokens of a part")
        }
        if model.form == .plain, options["drop_unk"] != nil {
            throw .option(
                "drop_unk", "`drop_unk` goes with models of model2vec; the mean of \(path) is over all tokens")
        }
        let drops = options["drop_unk"] == nil ? true : try options.flag("drop_unk")
        dropsUnknown = model.form == .model2vec && drops
        modelBytes = model.modelBytes
        scratchBytes = model.tokenizerBytes + StaticVectors.sumBytes(dimension: dimension)
    }

    var marksCuts: Bool { long == .cut && maxTokens != nil }

    func identity() -> [String: String] {
        var found = digests
        found["languages"] = languages
        return found
    }

    /// Lines for `sluice plan`.
    var notes: [String] { [ModelCard.note(languages)] }

    func body(_ context: StageContext, writing columns: VectorColumns) -> StageBody {
        .transform(StaticEmbedding(plan: self, columns: columns))
    }

    /// The model with these options: one that another worker holds, or read anew.
    ///
    /// - Throws: if its files have changed since they were checked.
    func vectors() throws(StageError) -> StaticVectors {
        let model = try ModelCache.model(path)
        guard model.version == version else {
            throw StageError(
                .invalidData, "the files of \(path) have changed since they were checked; start the run again")
        }
        return StaticVectors(
            model: model, dimension: dimension, maxTokens: maxTokens, long: long, dropsUnknown: dropsUnknown)
    }
}

extension StaticVectors {
    /// The model and the options of a stage `embed: {model: static}`.
    package init(options: OptionValues) throws(StageError) { self = try StaticPlan(options: options).vectors() }
}
