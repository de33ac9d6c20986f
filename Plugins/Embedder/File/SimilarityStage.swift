public import SluiceCore
import SluiceGeometry

/// Scores each record by how alike its vectors in files are to target vectors, such as gradients to those of a task.
public struct SimilarityStage: Stage {
    enum Rule: String, CaseIterable, Sendable {
        case max, mean
    }

    public static let descriptor = Descriptor(
        name: "similarity",
        summary: "Scores each record by the cosine of its vectors in files to target vectors.",
        discussion: """
            For vectors too wide to carry along, such as the gradients of several checkpoints: only the score becomes a \
            column. `vectors` has one .npy file per checkpoint, with a row per record; `targets` has one per checkpoint, \
            with a row per task. The score of a record for a task is the sum over the checkpoints of `weights` times the \
            cosine; with `rule: max` the record's score is that of its best task, as in LESS (arXiv 2402.04333, where the \
            weights are the learning rates), with `mean` the mean over the tasks.

            A record's row is found by `id` and `ids`, as with `embed: {model: file}`; without them row n is for line n, \
            and there must be one input. Select by it with `coreset: {method: score-first, score: similarity}` or \
            `match`. Cosines are sums of 64-bit numbers in a fixed order: the same on every machine. Cost: dimensions \
            times targets multiply-adds per record and checkpoint. Memory: the targets, and 36 bytes per id.
            """,
        options: [
            OptionSpec(
                "vectors", .either([.path, .list(.path)]), isRequired: true,
                help: "a .npy file with a row per record, or a list of them: one per checkpoint",
                example: "[step-100.npy, step-200.npy]", isLarge: true),
            OptionSpec(
                "targets", .either([.path, .list(.path)]), isRequired: true,
                help: "a .npy file with a row per target, or a list of as many as `vectors`",
                example: "[task-100.npy, task-200.npy]", isLarge: true),
            OptionSpec(
                "weights", .list(.real(-1e30...1e30)), help: "a weight for each file of `vectors` (1 for each)",
                example: "[2e-5, 1e-5]"),
            OptionSpec(
                "rule", .choice(Rule.allCases.map(\.rawValue)), default: .text(Rule.max.rawValue),
                help: "the score of a record with several targets", example: "mean"),
            OptionSpec("as", .newColumn, default: "similarity", help: "the column of scores", example: "influence"),
            OptionSpec("id", .text, help: "the field with a record's id", example: "id"),
            OptionSpec(
                "ids", .path, help: "the ids of the rows of `vectors`, in order: .npy, .jsonl, or text lines",
                example: "ids.jsonl", isLarge: true),
            OptionSpec(
                "missing", .choice(["fail", "drop"]), default: "fail",
                help: "end the run at a record without a row (fail), or drop it", example: "drop"),
        ])

    private let work: Similarity

    public init(options: OptionValues) throws(StageError) {
        func files(_ name: String) throws(StageError) -> [VectorFile] {
            var files: [VectorFile] = []
            for path in try options.paths(name) {
                do throws(VectorFileError) { files.append(try VectorFile(path)) } catch {
                    throw .option(name, "`\(name)`: \(error.description)")
                }
            }
            guard !files.isEmpty else { throw .option(name, "`\(name)` is an empty list; name a .npy file") }
            return files
        }
        let (vectors, targets) = (try files("vectors"), try files("targets"))
        guard vectors.count == targets.count else {
            throw .option(
                "targets", "`vectors` has \(vectors.count) files and `targets` \(targets.count); give as many of both")
        }
        for (mine, theirs) in zip(vectors, targets) where mine.dimension != theirs.dimension {
            throw .option(
                "targets",
                "the rows of \(mine.path) have \(mine.dimension) components and those of \(theirs.path) \(theirs.dimension)"
            )
        }
        for (name, files) in [("vectors", vectors), ("targets", targets)] {
            guard let other = files.first(where: { $0.count != files[0].count }) else { continue }
            throw .option(
                name,
                "\(files[0].path) has \(files[0].count) rows and \(other.path) \(other.count); give as many in each")
        }
        guard targets[0].count > 0 else { throw .option("targets", "\(targets[0].path) has no row") }
        var weights = [Double](repeating: 1, count: vectors.count)
        if case .list(let values)? = options["weights"] {
            weights = values.compactMap { if case .real(let weight) = $0 { weight } else { nil } }
            guard weights.count == vectors.count else {
                throw .option(
                    "weights",
                    "`weights` has \(weights.count) numbers, and `vectors` \(vectors.count) files; give as many")
            }
        }
        work = Similarity(
            vectors: vectors, targets: targets, weights: weights,
            rule: Rule(rawValue: try options.text("rule")) ?? .max, column: ColumnName(try options.text("as")),
            finder: try RowFinder(options: options, missing: try options.text("missing") == "drop" ? .drop : .fail))
    }

    public var reads: [Input] { work.finder.reads }
    public var writes: [ColumnSpec] { [ColumnSpec(work.column, .real)] }
    public func body(_ context: StageContext) -> StageBody { .transform(work) }
}

/// Computes the scores. All threads share the targets and the table of ids.
struct Similarity: WorkerTransform {
    let vectors: [VectorFile]
    let targets: [VectorFile]
    let weights: [Double]
    let rule: SimilarityStage.Rule
    let column: ColumnName
    let finder: RowFinder
    private let shared = Shared<Loaded>()

    init(
        vectors: [VectorFile], targets: [VectorFile], weights: [Double], rule: SimilarityStage.Rule, column: ColumnName,
        finder: RowFinder
    ) {
        (self.vectors, self.targets, self.weights) = (vectors, targets, weights)
        (self.rule, self.column, self.finder) = (rule, column, finder)
    }

    private var widest: Int { vectors.map(\.dimension).max() ?? 1 }

    var residentBytes: Int {
        targets.reduce(0) { $0 + $1.count * ($1.dimension + 7) / 8 * 32 } + finder.bytes(rows: vectors[0].count)
    }

    func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: VectorRows.Scratch.bytes(dimension: widest) + widest * 8, growth: 0)
    }

    /// The opened files, and the targets, each of length 1.
    final class Loaded: Sendable {
        fileprivate let rows: [VectorRows]
        fileprivate let targets: [[UnitRow]]
        fileprivate let places: RowPlaces

        fileprivate init(_ work: Similarity) throws(StageError) {
            rows = try work.vectors.map { (file) throws(StageError) in try Self.open(file, "vectors") }
            targets = try work.targets.map { (file) throws(StageError) in
                let rows = try Self.open(file, "targets")
                var scratch = VectorRows.Scratch(dimension: file.dimension)
                return try (0..<file.count).map { (row) throws(StageError) in
                    try UnitRow(row, of: rows, &scratch)
                }
            }
            places = try work.finder.open(files: [work.vectors[0]])
        }

        private static func open(_ file: VectorFile, _ option: String) throws(StageError) -> VectorRows {
            do throws(VectorFileError) { return try VectorRows(file) } catch {
                throw .option(option, "`\(option)`: \(error.description)")
            }
        }
    }

    struct Worker {
        fileprivate let loaded: Loaded
        fileprivate var scratch: VectorRows.Scratch
    }

    func makeWorker(_ context: StageContext) throws(StageError) -> Worker {
        let loaded = try shared.value { () throws(StageError) in try Loaded(self) }
        return Worker(loaded: loaded, scratch: VectorRows.Scratch(dimension: widest))
    }

    func apply(to block: inout Block, with worker: inout Worker) throws(StageError) {
        let places = try worker.loaded.places.find(in: &block)
        var scores = [Double](repeating: 0, count: block.count)
        for record in 0..<block.count where block.isLive(record) {
            guard let row = places[record]?.row else { continue }
            scores[record] = try score(of: row, &worker)
        }
        block.write(column, .reals(scores))
    }

    private func score(of row: Int, _ worker: inout Worker) throws(StageError) -> Double {
        var sums = [Double](repeating: 0, count: targets[0].count)
        for channel in vectors.indices {
            let own = try UnitRow(row, of: worker.loaded.rows[channel], &worker.scratch)
            for (index, target) in worker.loaded.targets[channel].enumerated() {
                sums[index] += weights[channel] * own.dot(target)
            }
        }
        switch rule {
        case .max: return sums.reduce(-.infinity) { $1 > $0 ? $1 : $0 }
        case .mean: return sums.reduce(0, +) / Double(sums.count)
        }
    }
}

/// A row of numbers and the reciprocal of its length; a row of zeros has no direction, and a product of 0 with all.
private struct UnitRow: Sendable {
    private let lanes: [SIMD8<Float>]
    private let inverse: Double

    init(_ row: Int, of rows: VectorRows, _ scratch: inout VectorRows.Scratch) throws(StageError) {
        let dimension = rows.file.dimension
        var lanes = [SIMD8<Float>](repeating: .zero, count: (dimension + 7) / 8)
        var failure: VectorFileError?
        lanes.withUnsafeMutableBytes { bytes in
            let base = bytes.bindMemory(to: Float.self).baseAddress
            guard let base else { return }
            do throws(VectorFileError) { try rows.numbers(row..<(row + 1), into: base, &scratch) } catch {
                failure = error
            }
        }
        if let failure { throw StageError(.invalidData, failure.description) }
        self.lanes = lanes
        let squared = Self.product(lanes, lanes)
        guard squared.isFinite else {
            throw StageError(
                .invalidData, "\(rows.file.path): row \(row) has a component that is NaN or infinite, from row 0")
        }
        inverse = squared > 0 ? 1 / squared.squareRoot() : 0
    }

    func dot(_ other: UnitRow) -> Double { Self.product(lanes, other.lanes) * inverse * other.inverse }

    /// Eight interleaved sums, added in order: part of the definition, so that every machine gives the same bits.
    private static func product(_ a: [SIMD8<Float>], _ b: [SIMD8<Float>]) -> Double {
        var sums = SIMD8<Double>.zero
        for index in a.indices { sums += SIMD8<Double>(a[index]) * SIMD8<Double>(b[index]) }
        return (0..<8).reduce(0) { $0 + sums[$1] }
    }
}

/// `similarity` in a definition written in Swift.
public struct SimilarityScore: StageSpecConvertible {
    public let stageSpec: StageSpec

    public init(
        vectors: [String], targets: [String], weights: [Double]? = nil, rule: String? = nil, as column: String? = nil,
        id: String? = nil, ids: String? = nil, missing: String? = nil
    ) {
        var options = OptionValues()
        options["vectors"] = .list(vectors.map { .text($0) })
        options["targets"] = .list(targets.map { .text($0) })
        options["weights"] = weights.map { .list($0.map { .real($0) }) }
        options["rule"] = rule.map { .text($0) }
        options["as"] = column.map { .text($0) }
        options["id"] = id.map { .text($0) }
        options["ids"] = ids.map { .text($0) }
        options["missing"] = missing.map { .text($0) }
        stageSpec = StageSpec("similarity", options)
    }
}
