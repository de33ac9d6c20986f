public import SluiceCore
import SluiceGeometry

extension ColumnName {
    /// 1 if a record's text has no word and its vector is zero, otherwise 0.
    public static let emptyText: ColumnName = "empty_text"
}

/// Computes an Int8 vector of each record's text, with no model to download and the same bytes on every machine.
public struct EmbedStage: Stage {
    public static let descriptor = Descriptor(
        name: "embed",
        summary: "Computes an Int8 vector of each record's text.",
        discussion: """
            Reads `text`. Needs no model file, and gives the same bytes on every machine. Text is read as words, case and \
            accents folded; scripts without spaces as 1- to 3-grams of scalars. A text without a word gets the zero \
            vector and 1 in the column `empty_text`. One byte per dimension and record.

              lsa      latent semantic analysis: learns from the corpus itself which words go together. One pass counts \
            in how many records each feature occurs (words and pairs of neighbouring words, hashed to `features` numbers) \
            and takes a sample of `reservoir` records, uniform by content and independent of the seed; of each the first \
            512 different features. From it, weighted by (1 + ln n) · idf, a randomised truncated SVD (arXiv 0909.4061) \
            makes a vector of each feature. The vector of a record is the weighted sum of those of its features. \
            Texts about the same things are close, also if few words agree; rare words count little. What was learned \
            is kept in the run's folder `models`; with `fitted` a later run uses it, so that the vectors of both can be \
            compared. Memory: dimensions · features bytes, shared by all threads, and about 2.6 KiB per record of the \
            sample for each thread that there is room for; `sluice plan` shows it.
              lexical  signed hashing of words and of character 3- to 5-grams. Learns nothing, so the vectors of any two \
            corpora can be compared. It captures spelling, not meaning: near duplicates are close, paraphrases are not.

            Neither sees symbols, punctuation, accents, case or the order of words far apart: `5 + 3` and `5 - 3` \
            have the same vector, so a distance of 0 does not mean equal texts.
            """,
        options: [
            OptionSpec(
                "model", .choice(Model.allCases.map(\.rawValue)), default: .text(Model.lsa.rawValue),
                help: "embedding model", example: "lsa"),
            OptionSpec(
                "dimensions", .integer(dimensionRange),
                help: "components of a vector; more keep unrelated texts further apart (lsa: 256; lexical: 384)",
                example: "256"),
            OptionSpec(
                "reservoir", .integer(reservoirRange), help: "lsa: records to learn from (4000)", example: "4000"),
            OptionSpec(
                "features", .integer(featureRange),
                help: "lsa: numbers that words and pairs of words are hashed to (65536)", example: "65536"),
            OptionSpec(
                "fitted", .path,
                help: "lsa: use what an earlier run has learned: its directory, or a file of its folder `models`",
                example: "out"),
        ])

    enum Model: String, CaseIterable, Sendable { case lsa, lexical }

    static let dimensionRange = 16...8192
    static let reservoirRange = 16...262_144
    static let featureRange = 1024...1_048_576
    /// The end of the name of a kept model.
    static let modelKind = "lsa"

    private enum Work: Sendable {
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
        if try options.text("model") == Model.lexical.rawValue {
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
        if case .lexical = work { return 0.05 }
        return 0.01
    }

    public func identity() throws(StageError) -> [String: String] {
        guard case .fitted(let file) = work else { return [:] }
        return ["fitted": try file.table().model.identity]
    }

    public func body(_ context: StageContext) throws(StageError) -> StageBody {
        switch work {
        case .lexical(let embedding): .transform(embedding)
        case .learn(let survey): .survey(survey)
        case .fitted(let file): .transform(LSAProjection(source: .file(file)))
        }
    }
}

/// Vectors by `LexicalModel`.
struct LexicalEmbedding: WorkerTransform {
    let dimension: Int

    /// The tables that texts share, made once per thread.
    final class Worker {
        fileprivate var model: LexicalModel

        fileprivate init(dimension: Int) { model = LexicalModel(dimension: dimension) }
    }

    func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: LexicalModel.memory(dimension: dimension) + dimension * 4, growth: 0)
    }

    func makeWorker(_ context: StageContext) -> Worker { Worker(dimension: dimension) }

    func apply(to block: inout Block, with worker: inout Worker) throws(StageError) {
        let worker = worker
        try block.embed(dimension: dimension) { text, sums in worker.model.embed(text, into: sums.baseAddress!) }
    }
}

extension Block {
    /// Writes the vector of each record's text, and which texts are empty.
    ///
    /// - Parameter sums: writes the components of a text's vector, of any length, and returns whether the text has a word.
    mutating func embed(
        dimension: Int,
        _ sums: (UnsafeBufferPointer<UInt8>, UnsafeMutableBufferPointer<Int32>) -> Bool
    ) throws(StageError) {
        let text = try bytes(.text)
        let quantizer = Quantizer(dimension: dimension)
        var values = [Int8](repeating: 0, count: count * dimension)
        var empty = [Int64](repeating: 0, count: count)
        values.withUnsafeMutableBufferPointer { values in
            text.bytes.withUnsafeBufferPointer { bytes in
                withUnsafeTemporaryAllocation(of: Int32.self, capacity: dimension) { components in
                    for record in 0..<count where isLive(record) {
                        let range = (record == 0 ? 0 : text.ends[record - 1])..<text.ends[record]
                        guard sums(UnsafeBufferPointer(rebasing: bytes[range]), components) else {
                            empty[record] = 1
                            continue
                        }
                        quantizer.quantize(
                            sums: components.baseAddress!, count: 1, into: values.baseAddress! + record * dimension)
                    }
                }
            }
        }
        write(.embedding, .vectors(VectorColumn(dimension: dimension, values: values)))
        if isWanted(.emptyText) { write(.emptyText, .integers(empty)) }
    }
}

/// `embed` in a definition written in Swift.
public struct Embed: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameter fitted: the directory of a run, or a file of its folder `models`; with `lsa`, like `reservoir` and
    ///   `features`.
    public init(
        model: String? = nil, dimensions: Int? = nil, reservoir: Int? = nil, features: Int? = nil,
        fitted: String? = nil
    ) {
        var options = OptionValues()
        options["model"] = model.map { .text($0) }
        options["dimensions"] = dimensions.map { .integer($0) }
        options["reservoir"] = reservoir.map { .integer($0) }
        options["features"] = features.map { .integer($0) }
        options["fitted"] = fitted.map { .text($0) }
        stageSpec = StageSpec("embed", options)
    }
}
