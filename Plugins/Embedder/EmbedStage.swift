public import SluiceCore

extension ColumnName {
    /// 1 if a record's text has no word and its vector is zero, otherwise 0.
    public static let emptyText: ColumnName = "empty_text"
}

/// Computes an Int8 vector of each record's text, the same bytes on every machine.
public struct EmbedStage: Stage {
    enum Model: String, CaseIterable, Sendable {
        case lsa, lexical
        case table = "static"
    }

    static let dimensionRange = 16...8192
    static let reservoirRange = 16...262_144
    static let featureRange = 1024...1_048_576
    /// The end of the name of a kept model.
    static let modelKind = "lsa"

    private enum Work: Sendable {
        case table(StaticPlan)
        case lexical(LexicalEmbedding)
        case learn(LSASurvey)
        case fitted(FittedFile)
    }

    private let work: Work

    public init(options: OptionValues) throws(StageError) {
        func number(_ name: String, _ usual: Int) throws(StageError) -> Int {
            options[name] == nil ? usual : try options.integer(name)
        }
        func refuse(_ names: [String], _ reason: String) throws(StageError) {
            for name in names where options[name] != nil { throw .option(name, "`\(name)` \(reason)") }
        }
        let model = try options.text("model")
        if model == Model.table.rawValue {
            try refuse(["reservoir", "features", "fitted"], "goes with `model: lsa`; `static` learns nothing")
            work = .table(try StaticPlan(options: options))
            return
        }
        try refuse(["path", "max_tokens", "long", "drop_unk"], "goes with `model: static`, not `\(model)`")
        if model == Model.lexical.rawValue {
            try refuse(["reservoir", "features", "fitted"], "goes with `model: lsa`; `lexical` learns nothing")
            work = .lexical(LexicalEmbedding(dimension: try number("dimensions", 384)))
        } else if options["fitted"] != nil {
            try refuse(["reservoir", "features"], "is for learning; with `fitted` nothing is learned")
            let file = try FittedFile(options.text("fitted"))
            let dimension = try number("dimensions", file.shape.dimension)
            guard dimension == file.shape.dimension else {
                throw .option(
                    "dimensions",
                    "\(file.path) was fitted with \(file.shape.dimension) dimensions, not \(dimension); remove `dimensions`"
                )
            }
            work = .fitted(file)
        } else {
            work = .learn(
                LSASurvey(
                    dimension: try number("dimensions", 256), features: try number("features", 65_536),
                    reservoir: try number("reservoir", 4000)))
        }
    }

    private var dimension: Int {
        switch work {
        case .table(let plan): plan.dimension
        case .lexical(let embedding): embedding.dimension
        case .learn(let survey): survey.dimension
        case .fitted(let file): file.shape.dimension
        }
    }

    public var reads: [Input] { [.column(.text, .bytes)] }
    public var writes: [ColumnSpec] {
        [
            ColumnSpec(
                .embedding, .vector(dimension: dimension), nearDuplicateDistance: nearDuplicateDistance,
                needsConfirmation: true),
            ColumnSpec(.emptyText, .integer),
        ]
    }

    /// Of pairs of real records within it, about 95 % have four fifths of their words in common.
    private var nearDuplicateDistance: Double {
        switch work {
        case .table(let plan): plan.nearDuplicateDistance
        case .lexical: 0.05
        case .learn, .fitted: 0.01
        }
    }

    public func identity() throws(StageError) -> [String: String] {
        switch work {
        case .table(let plan): plan.identity
        case .fitted(let file): ["fitted": try file.table().model.identity]
        case .lexical, .learn: [:]
        }
    }

    public func body(_ context: StageContext) throws(StageError) -> StageBody {
        switch work {
        case .table(let plan): .transform(StaticEmbedding(plan: plan))
        case .lexical(let embedding): .transform(embedding)
        case .learn(let survey): .survey(survey)
        case .fitted(let file): .transform(LSAProjection(source: .file(file)))
        }
    }
}
