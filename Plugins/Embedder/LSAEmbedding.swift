import SluiceCore

/// Vectors by latent semantic analysis: learned from the corpus, or by a model that an earlier run has kept.
struct LSAEmbedding: EmbeddingModel {
    static let name = "lsa"
    static let optionNames = ["dimensions", "reservoir", "features", "fitted"]
    static let about = """
        latent semantic analysis: learns from the corpus itself which words go together. One pass counts \
        in how many records each feature occurs (words and pairs of neighbouring words, hashed to `features` numbers) \
        and takes a sample of `reservoir` records, uniform by content and independent of the seed; of each the first \
        512 different features. From it, weighted by (1 + ln n) · idf, a randomised truncated SVD (arXiv 0909.4061) \
        makes a vector of each feature. The vector of a record is the weighted sum of those of its features. \
        Texts about the same things are close, also if few words agree; rare words count little. What was learned \
        is kept in the run's folder `models`; with `fitted` a later run uses it, so that the vectors of both can be \
        compared. Memory: dimensions · features bytes, shared by all threads, and about 2.6 KiB per record of the \
        sample for each thread that there is room for; `sluice plan` shows it.
        """

    static let dimensionRange = 16...8192
    static let reservoirRange = 16...262_144
    static let featureRange = 1024...1_048_576
    /// The end of the name of a kept model.
    static let modelKind = "lsa"

    private enum Work: Sendable {
        case learn(LSASurvey)
        case fitted(FittedFile)
    }

    private let work: Work

    init(options: OptionValues) throws(StageError) {
        func number(_ name: String, _ usual: Int) throws(StageError) -> Int {
            options[name] == nil ? usual : try options.integer(name)
        }
        guard options["fitted"] != nil else {
            work = .learn(
                LSASurvey(
                    dimension: try number("dimensions", 256), features: try number("features", 65_536),
                    reservoir: try number("reservoir", 4000)))
            return
        }
        for name in ["reservoir", "features"] where options[name] != nil {
            throw .option(name, "`\(name)` is for learning; with `fitted` nothing is learned")
        }
        let file = try FittedFile(options.text("fitted"))
        let dimension = try number("dimensions", file.shape.dimension)
        guard dimension == file.shape.dimension else {
            throw .option(
                "dimensions",
                "\(file.path) was fitted with \(file.shape.dimension) dimensions, not \(dimension); remove `dimensions`"
            )
        }
        work = .fitted(file)
    }

    var dimension: Int {
        switch work {
        case .learn(let survey): survey.dimension
        case .fitted(let file): file.shape.dimension
        }
    }

    /// Of pairs of real records within it, about 95 % have four fifths of their words in common.
    var nearDuplicateDistance: Double? { 0.01 }

    func identity() throws(StageError) -> [String: String] {
        switch work {
        case .learn: [:]
        case .fitted(let file): ["fitted": try file.table().model.identity]
        }
    }

    func body(_ context: StageContext, writing columns: VectorColumns) throws(StageError) -> StageBody {
        switch work {
        case .learn(var survey):
            survey.columns = columns
            return .survey(survey)
        case .fitted(let file): return .transform(LSAProjection(source: .file(file), columns: columns))
        }
    }
}
