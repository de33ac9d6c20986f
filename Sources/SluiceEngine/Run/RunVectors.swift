public import SluiceCore
import SluiceIO

/// The vectors of a finished run: those of a sample of its pool and of all kept records.
///
/// They are recomputed from the inputs by the definition's own stages, up to the one that writes them, which is
/// deterministic. The pool consists of the records that reach the end of these stages, one per content. The sample is
/// uniform by content (those whose hashes give the smallest random numbers), so it is the same for every split of the
/// input. One pass over the input. Memory: what a run of these stages needs, and the vectors.
public struct RunVectors: Sendable {
    public let dimension: Int
    /// Records that passed the dedupe and have a vector, and how many of them are in the pool's sample.
    public let records: Int
    public let sampled: Int
    public let kept: Int
    /// Row after row, ordered by draw, so that the first rows are a valid sample, too.
    public let pool: [Int8]
    /// Row after row, in input order.
    public let chosen: [Int8]
    /// The draws of the chosen records.
    public let chosenDraws: [UInt64]
    /// Distinct values of the label in the pool and among the kept records, if a label was requested.
    public let labels: (all: Int, kept: Int)?

    /// The index of the stage that makes the vectors, and their column; nil if there is none.
    ///
    /// - Parameter column: nil for `embedding`, or if no stage writes that, for the first column of vectors.
    /// - Throws: `EngineError` if a stage can't be made.
    public static func embedding(
        of definition: Definition, registry: Registry, column: ColumnName? = nil
    ) throws(EngineError) -> (stage: Int, spec: ColumnSpec)? {
        var found: [(stage: Int, spec: ColumnSpec)] = []
        for link in try StageChain(definition, registry: registry).links {
            for spec in link.stage.writes {
                if case .vector = spec.type { found.append((link.index, spec)) }
            }
        }
        if let column { return found.first { $0.spec.name == column } }
        return found.first { $0.spec.name == .embedding } ?? found.first
    }

    /// The bytes for the vectors of a sample of the pool and of the kept records: twice each, and a quarter more for the
    /// sample, which is thinned out in steps.
    static func vectorBytes(sample: Int, kept: Int, dimension: Int) -> Int {
        sample * 5 * (dimension + 40) / 2 + kept * 2 * (dimension + 8)
    }

    /// A draw for each content, the same for every run, so that samples of the same pool are equal.
    package static let seed = Seed(0).derived(for: "compare")

    /// - Parameters:
    ///   - definition: the run's own, with input paths that can be opened and this process's memory.
    ///   - sample: the most records of the pool to keep; 0 for none.
    ///   - threads: the most threads to use.
    ///   - fewest: the fewest to use if memory is short.
    /// - Throws: `EngineError` if inputs have changed, if a stage before the vectors can't be repeated, or,
    ///   before anything is read, if there is too little memory, with the sufficient amount.
    public static func read(
        _ run: RunReader, _ definition: Definition, registry: Registry, column: ColumnName? = nil, sample: Int,
        label: FieldPath? = nil, threads: Int, fewest: Int? = nil, isStopped: @escaping @Sendable () -> Bool = { false }
    ) throws -> RunVectors {
        let counts = run.manifest["counts"]
        let records = min(sample, counts?["read"]?.integerValue ?? 0)
        let kept = counts?["kept"]?.integerValue ?? 0
        var request = RunPass.Request()
        request.vectors = .column(column)
        request.label = label
        request.threads = min(fewest ?? threads, threads)...threads
        request.held = { vectorBytes(sample: records, kept: kept, dimension: $0) }
        // A record of the sample takes its keys alone.
        if records > 100_000 { request.otherwise = ", or take a smaller sample of the pool" }
        let pass = try RunPass(run, definition, registry: registry, request, isStopped: isStopped)
        var collector = RunVectorCollector(
            PoolSample(capacity: sample), dimension: pass.dimension, kept: kept, hasLabel: label != nil)
        try pass.run(isStopped: isStopped) { collector.add($0) }
        try run.expectSameResult()
        return collector.vectors()
    }
}

extension FieldValue {
    /// The bytes of a value, as far as two equal ones have equal bytes; nil if there is none.
    package var content: ArraySlice<UInt8>? {
        switch self {
        case .missing, .null: nil
        case .string(let bytes), .json(let bytes): bytes
        case .chat(let turns): turns.encoded
        }
    }
}

/// Collects the vectors of a pass.
private struct RunVectorCollector {
    private let dimension: Int
    private let hasLabel: Bool
    private var sample: PoolSample
    private var records = 0
    private var chosen: [Int8] = []
    private var chosenDraws: [UInt64] = []
    private var labels: (all: Set<ContentHash>, kept: Set<ContentHash>) = ([], [])

    init(_ sample: PoolSample, dimension: Int, kept: Int, hasLabel: Bool) {
        (self.sample, self.dimension, self.hasLabel) = (sample, dimension, hasLabel)
        chosen.reserveCapacity(kept * dimension)
        chosenDraws.reserveCapacity(kept)
    }

    mutating func add(_ record: RunRecord) {
        guard let vector = record.vector else { return }
        records += 1
        let draw = RunVectors.seed.draw(record.hash)
        sample.offer(draw, record.hash, vector)
        if record.loss == nil {
            chosen += vector
            chosenDraws.append(draw)
        }
        guard hasLabel, let hash = record.labelHash else { return }
        labels.all.insert(hash)
        if record.loss == nil { labels.kept.insert(hash) }
    }

    mutating func vectors() -> RunVectors {
        sample.settle()
        return RunVectors(
            dimension: dimension, records: records, sampled: sample.count, kept: chosenDraws.count,
            pool: sample.vectors, chosen: chosen, chosenDraws: chosenDraws,
            labels: hasLabel ? (labels.all.count, labels.kept.count) : nil)
    }
}
