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

    /// What it makes a vector of.
    var reads: [Input] { get }
    /// Whether its vectors see how a text is spelled, and not what it means.
    static var isSpelling: Bool { get }
    /// The number of components of a vector.
    var dimension: Int { get }
    /// The cosine distance within which two records are usually near duplicates; nil if that is not known.
    var nearDuplicateDistance: Double? { get }
    /// Whether it writes a column that marks texts of which it has seen only the beginning.
    var marksCuts: Bool { get }
    /// What its vectors depend on beside its options and the files that they name, by name.
    func identity() throws(StageError) -> [String: String]
    func body(_ context: StageContext, writing columns: VectorColumns) throws(StageError) -> StageBody
}

extension EmbeddingModel {
    var reads: [Input] { [.column(.text, .bytes)] }
    static var isSpelling: Bool { false }
    var marksCuts: Bool { false }
    func identity() throws(StageError) -> [String: String] { [:] }
}

/// The columns that an embedder writes.
struct VectorColumns: Sendable, Hashable {
    let vectors: ColumnName
    /// 1 where a record's vector is zero since it has no text, otherwise 0.
    let empty: ColumnName
    /// 1 where only the beginning of a text counts, otherwise 0.
    let cut: ColumnName

    init(_ vectors: ColumnName) {
        self.vectors = vectors
        empty = vectors == .embedding ? .emptyText : ColumnName("\(vectors.name)_empty")
        cut = vectors == .embedding ? .cutText : ColumnName("\(vectors.name)_cut")
    }
}
