import SluiceCore

/// One way to make vectors of records: a value of the option `model`.
///
/// A model is made of the options that were checked against the stage's descriptor. It holds what must be known before
/// anything is read; what it needs for its work comes with the body.
protocol EmbeddingModel: Sendable {
    /// Its name, as in `model: lsa`.
    static var name: String { get }
    /// The options that it knows, beside `model`.
    static var optionNames: [String] { get }
    /// What the help says of it, after its name.
    static var about: String { get }

    /// - Throws: `StageError` with the option at fault.
    init(options: OptionValues) throws(StageError)

    /// The number of components of a vector.
    var dimension: Int { get }
    /// The cosine distance within which two records are usually near duplicates; nil if that is not known.
    var nearDuplicateDistance: Double? { get }
    /// What its vectors depend on beside its options and the files that they name, by name.
    func identity() throws(StageError) -> [String: String]
    func body(_ context: StageContext) throws(StageError) -> StageBody
}

extension EmbeddingModel {
    func identity() throws(StageError) -> [String: String] { [:] }
}
