import SluiceCore
import SluiceGeometry

/// Vectors that were made elsewhere: rows of `.npy` files, or numbers in the records themselves.
struct FileModel: EmbeddingModel {
    static let name = "file"
    static let optionNames = ["dimensions", "path", "field", "id", "ids", "missing", "near_duplicates"]
    static let about = """
        vectors made elsewhere. `field`: a field of the record with a list of numbers, or with little-endian float32 \
        in base64. `path`: a .npy file of float16, float32, float64 or int8, one row per vector; with `id`, a field of \
        the record, and `ids`, a file with the id of each row (a .npy of integers or strings, JSON values in .jsonl, or \
        text lines), in any order; without them row n is for line n of the input, and several inputs need a list of as \
        many files, in the order of the inputs. Vectors may have any length; the zero vector stays zero. `missing` says \
        what becomes of a record without a vector. A large file is known by its size and a sample of its pages. \
        Memory with `ids`: 36 bytes per row.
        """

    enum Missing: String, CaseIterable, Sendable {
        case fail, drop, zero
    }

    private let source: VectorSource
    /// The cosine distance within which two records are usually near duplicates, as the definition says; nil if it does not.
    let nearDuplicateDistance: Double?
    let dimension: Int

    init(options: OptionValues) throws(StageError) {
        let missing = options["missing"] == nil ? .fail : Missing(rawValue: try options.text("missing")) ?? .fail
        nearDuplicateDistance = options["near_duplicates"] == nil ? nil : try options.real("near_duplicates")
        let given = options["dimensions"] == nil ? nil : try options.integer("dimensions")
        guard (options["field"] == nil) != (options["path"] == nil) else {
            throw .option(
                "model",
                "`model: file` needs either `path`, a .npy file, or `field`, a field of the record with numbers")
        }
        if options["field"] != nil {
            for name in ["id", "ids"] where options[name] != nil {
                throw .option(name, "`\(name)` goes with `path`: a vector in a field belongs to its record")
            }
            guard let given else {
                throw .option("dimensions", "`field` needs `dimensions`, the number of components of a vector")
            }
            dimension = given
            source = .field(FieldPath(try options.text("field")), missing)
            return
        }
        let rows = try RowSource(options: options, missing: missing)
        dimension = rows.dimension
        if let given, given != dimension {
            throw .option(
                "dimensions",
                "the vectors of \(rows.files[0].path) have \(dimension) components, not \(given); remove it")
        }
        source = .rows(rows)
    }

    private enum VectorSource: Sendable {
        case field(FieldPath, Missing)
        case rows(RowSource)
    }

    var reads: [Input] {
        switch source {
        case .field(let path, _): [.field(path)]
        case .rows(let rows): rows.finder.reads
        }
    }

    func body(_ context: StageContext, writing columns: VectorColumns) -> StageBody {
        switch source {
        case .field(let path, let missing):
            .transform(FieldEmbedding(path: path, dimension: dimension, missing: missing, columns: columns))
        case .rows(let rows): .transform(RowEmbedding(source: rows, columns: columns))
        }
    }
}

/// The files of `path`, and how a record finds its row in them.
struct RowSource: Sendable {
    let files: [VectorFile]
    let finder: RowFinder

    var dimension: Int { files[0].dimension }
    var count: Int { files.reduce(0) { $0 + $1.count } }

    /// Reads the headers.
    ///
    /// - Throws: `StageError` with the option at fault.
    init(options: OptionValues, missing: FileModel.Missing) throws(StageError) {
        var files: [VectorFile] = []
        for path in try options.paths("path") {
            do throws(VectorFileError) { files.append(try VectorFile(path)) } catch {
                throw .option("path", "`path`: \(error.description)")
            }
        }
        guard let first = files.first else { throw .option("path", "`path` is an empty list; name a .npy file") }
        if let other = files.first(where: { $0.dimension != first.dimension }) {
            throw .option(
                "path",
                "`path`: the vectors of \(first.path) have \(first.dimension) components and those of \(other.path) \(other.dimension)"
            )
        }
        self.files = files
        finder = try RowFinder(options: options, missing: missing)
    }
}

extension Block {
    /// Deals with a record that has no vector.
    ///
    /// - Parameter why: the end of a sentence that begins with the record.
    mutating func miss(
        _ record: Int, _ missing: FileModel.Missing, _ why: @autoclosure () -> String
    ) throws(StageError) {
        switch missing {
        case .fail:
            throw StageError(
                .invalidData,
                "the record has no vector: \(why()); `missing: drop` drops such records; `embed` can also take them as zero vectors, by `missing: zero`",
                ordinal: ordinals[record])
        case .drop: drop(record, reason: "no-vector")
        case .zero: break
        }
    }

    /// Writes the vectors, and which of them are zero.
    mutating func write(_ values: [Int8], dimension: Int, into columns: VectorColumns) {
        let isZero: [Int64] = (0..<count).map { record in
            let row = values[(record * dimension)..<((record + 1) * dimension)]
            return isLive(record) && row.allSatisfy { $0 == 0 } ? 1 : 0
        }
        write(columns.vectors, .vectors(VectorColumn(dimension: dimension, values: values)))
        if isWanted(columns.empty) { write(columns.empty, .integers(isZero)) }
    }
}
