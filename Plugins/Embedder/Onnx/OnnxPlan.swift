import SluiceCore
import SluiceGeometry

/// The options of `embed: {model: onnx}`, checked against the model, which is loaded and tried once for that.
///
/// It keeps what must be known before anything is read, and no model: that lives from the first worker of a pass to the
/// last, so that its memory is free for the passes that follow.
struct OnnxPlan: EmbeddingModel {
    static let name = "onnx"
    static let optionNames = [
        "dimensions", "path", "max_tokens", "long", "library", "pooling", "prefix", "output", "device",
    ]
    static let about = """
        a sentence encoder as an ONNX file with its tokenizer.json (MiniLM, bge, e5, gte), run by ONNX Runtime, a \
        library that is loaded at run time: the file of `library`, or of the environment variable \
        \(OnnxRuntime.variable), or libonnxruntime.so.1 where the system's loader finds it. `path` is the model's folder, with \
        model.onnx or onnx/model.onnx, or the file itself. Of a text, its `prefix` included, `max_tokens` tokens count \
        (sentence_bert_config.json, or \(OnnxSettings.usualTokens)), as for `static`. `pooling` makes one vector of those of the tokens \
        (1_Pooling/config.json, or mean); an output `sentence_embedding` is used as it is. Texts with equally many tokens go through the model \
        together, never padded, and only if a trial shows that a text's vector does not depend on the others. Much slower than the other models: some tens to \
        hundreds of texts a second and core. The vectors are those of the model and of the version of the runtime; \
        other kinds of processors may round a component differently, so run all tasks of a run on one kind.
        """

    let source: OnnxModel.Source
    let settings: OnnxSettings
    private let facts: OnnxFacts
    private let languages: String?
    var dimension: Int { settings.dimension }

    /// The cosine distance within which records are usually near duplicates.
    ///
    /// Of pairs of 12,000 real records within it in MiniLM's space, 97 % have four fifths of their words in common (96 %
    /// within 0.07, 94 % within 0.1). Other models crowd their vectors more (e5's unrelated texts are within 0.3), so it is
    /// not the widest: for another model look at some pairs, and set the distance where it is used.
    var nearDuplicateDistance: Double? { 0.05 }

    /// Reads the options, loads the model and tries it.
    ///
    /// - Throws: `StageError` with the option at fault.
    init(options: OptionValues) throws(StageError) {
        func text(_ name: String) throws(StageError) -> String? {
            options[name] == nil ? nil : try options.text(name)
        }
        func number(_ name: String) throws(StageError) -> Int? {
            options[name] == nil ? nil : try options.integer(name)
        }
        guard let path = try text("path") else {
            throw .option("path", "`model: onnx` needs the folder of a model, such as `path: models/minilm`")
        }
        let pooling = try text("pooling").flatMap { Pooling(rawValue: $0) }
        let source = OnnxModel.Source(
            path: path, library: try text("library"),
            device: try text("device").flatMap { OnnxSession.Device(rawValue: $0) } ?? .cpu,
            output: try text("output"), prefersTokens: pooling != nil)
        let most = try number("max_tokens")
        let facts = try OnnxCache.facts(source) { config, around throws(StageError) in
            try OnnxSettings.length(most, config, around: around)
        }
        self.source = source
        self.facts = facts
        languages = OnnxFolder.languages(of: path)
        settings = OnnxSettings(
            pooling: try Self.pooling(pooling, facts, path), prefix: Array((try text("prefix") ?? "").utf8),
            maxTokens: try OnnxSettings.length(most, facts.config, around: facts.around),
            long: try Self.long(try text("long")),
            dimension: try Self.dimension(try number("dimensions"), facts, path), trial: facts.trial)
    }

    var marksCuts: Bool { settings.long == .cut }

    private static func long(_ given: String?) throws(StageError) -> LongText {
        guard let long = LongText(rawValue: given ?? LongText.cut.rawValue) else {
            throw .option("long", "`long: \(given ?? "")` goes with `model: endpoint`; `onnx` has cut and chunk-mean")
        }
        return long
    }

    private static func pooling(_ given: Pooling?, _ facts: OnnxFacts, _ path: String) throws(StageError) -> Pooling {
        if facts.trial.givesTokens {
            if let layer = facts.config.layer {
                throw OnnxFolder.wrong(
                    "modules.json of \(path) has a layer \(layer) after the pooling, which the ONNX file lacks; export the model with it, as the output `sentence_embedding`"
                )
            }
            if let given { return given }
            if let other = facts.config.otherPooling {
                throw .option(
                    "pooling",
                    "1_Pooling/config.json of \(path) asks for \(other), which is not supported; `pooling` may be \(Pooling.allCases.map(\.rawValue).joined(separator: ", "))"
                )
            }
            return facts.config.pooling ?? .mean
        }
        if given != nil {
            throw .option(
                "pooling", "the model of \(path) gives one vector for a text, not one per token; remove `pooling`")
        }
        return .mean
    }

    private static func dimension(_ given: Int?, _ facts: OnnxFacts, _ path: String) throws(StageError) -> Int {
        let columns = facts.trial.columns
        let dimension = given ?? columns
        guard dimension <= min(columns, VectorView.maximumDimension) else {
            throw .option(
                "dimensions",
                "the vectors of \(path) have \(columns) dimensions; give at most \(min(columns, VectorView.maximumDimension))"
            )
        }
        return dimension
    }

    /// What vectors depend on that the definition does not say: files, runtime, and what files beside the model decide.
    func identity() -> [String: String] {
        var found = facts.digests
        found["onnxruntime"] = facts.runtime
        found["languages"] = languages
        found["max_tokens"] = "\(settings.maxTokens)"
        if facts.trial.givesTokens { found["pooling"] = settings.pooling.rawValue }
        return found
    }

    func body(_ context: StageContext, writing columns: VectorColumns) -> StageBody {
        .transform(OnnxEmbedding(plan: self, columns: columns))
    }

    /// The model: one that another worker holds, or loaded anew.
    ///
    /// - Throws: if its files have changed since they were checked.
    func model() throws(StageError) -> OnnxModel {
        let model = try OnnxCache.model(source)
        guard model.version == facts.version else {
            throw StageError(
                .invalidData, "the files of \(source.path) have changed since they were checked; start the run again")
        }
        return model
    }

    /// Lines for `sluice plan`.
    var notes: [String] {
        let rows =
            facts.trial.rowsAreIndependent
            ? "texts of equally many tokens together, up to \(OnnxModel.batchTokens) tokens"
            : "one text at a time: beside others, this model gives a text another vector"
        let pooling = facts.trial.givesTokens ? "\(settings.pooling.rawValue) of the tokens" : "the model's own"
        return [
            "ONNX Runtime \(facts.runtime), \(source.device.rawValue); \(facts.numbers.formattedShort) numbers",
            "\(settings.maxTokens) tokens of a text (longer: \(settings.long.rawValue)); vector: \(pooling)",
            rows, ModelCard.note(languages),
        ]
    }
}

// MARK: Memory

extension OnnxPlan {
    /// What the model takes while it is in use: its numbers, in single precision whatever the file has; and what loading
    /// takes for a moment, before any text is read: the numbers twice, and the file if its numbers are smaller.
    var residentBytes: Int {
        let numbers = facts.numbers * 4
        let held = max(numbers, facts.fileBytes) + (8 << 20)
        let isSmaller = facts.fileBytes < numbers
        let loading = 2 * max(numbers, facts.fileBytes) + (isSmaller ? facts.fileBytes : 0) + (24 << 20)
        // While the model is loaded, no thread runs it.
        return facts.runtimeBytes + facts.tokenizerBytes + max(held, loading - callBytes)
    }

    var perThread: Int {
        callBytes + facts.scratchBytes
            + OnnxEncoder.bytes(dimension: dimension, maxTokens: settings.maxTokens)
    }

    /// What running the model on the longest text takes at most: the scores of every token for every other, per head of
    /// attention, and the layers' outputs. The factors were measured; see `docs/architecture.md`.
    private var callBytes: Int {
        let tokens = max(settings.maxTokens, OnnxModel.batchTokens)
        let heads = max(1, facts.config.heads ?? facts.width / 32)
        let scores = heads * settings.maxTokens * tokens * 4
        let layers = facts.width * tokens * 4
        return 5 * scores + 60 * layers
    }
}

extension Int {
    /// `22.7 million`.
    fileprivate var formattedShort: String {
        let tenths = (self + 50_000) / 100_000
        return "\(tenths / 10).\(tenths % 10) million"
    }
}
