import CMalloc
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

    /// - Parameters:
    ///   - definition: the run's own, with input paths that can be opened and this process's memory.
    ///   - sample: the most records of the pool to keep; 0 for none.
    ///   - threads: the most threads to use.
    ///   - fewest: the fewest to use if memory is short.
    ///   - held: bytes of vectors that the caller holds in addition.
    ///   - figures: bytes that the caller then needs beside the vectors, given their number in the sample and their
    ///     dimension.
    /// - Throws: `EngineError` if inputs have changed, if the stages don't start with those that make the vectors, or,
    ///   before anything is read, if there is too little memory, with the sufficient amount.
    public static func read(
        _ run: RunReader, _ definition: Definition, registry: Registry, column: ColumnName? = nil, sample: Int,
        label: FieldPath? = nil, threads: Int, fewest: Int? = nil, held: Int = 0,
        figures: @escaping (_ sample: Int, _ dimension: Int) -> Int = { _, _ in 0 },
        isStopped: @escaping @Sendable () -> Bool = { false }
    ) throws -> RunVectors {
        // Freed memory must return to the system: otherwise each thread's heap would keep its share of it, and
        // computing distances frees a lot.
        _ = mallopt(malloc_mmap_threshold, 1 << 16)
        let request = PoolRequest(
            sample: sample, label: label, threads: min(fewest ?? threads, threads)...threads, held: held,
            figures: figures)
        let reading = try PoolReading(
            run, definition, registry: registry, column: column, request, isStopped: isStopped)
        let pool = try reading.run(isStopped: isStopped)
        try run.expectSameResult()
        return pool
    }
}

/// One pass over the input of a finished run.
private final class PoolReading: @unchecked Sendable {
    // @unchecked: `collect` and its data belong to the ordered step; the rest is constant.

    private let path: String
    private let manifest: JSONValue
    private let transforms: TransformChain
    private let readsRecord: Bool
    private let catalog: InputCatalog
    private let input: InputPass
    private let threads: Int
    private let blocks: Int
    private let streams: Int
    private let label: FieldPath?
    private var lost: LostPlaces
    private var sample: PoolSample
    private var dimension = 0
    private var records = 0
    private var chosen: [Int8] = []
    private var chosenDraws: [UInt64] = []
    private var labels: (all: Set<ContentHash>, kept: Set<ContentHash>) = ([], [])
    private let column: ColumnName
    /// The columns that anything reads.
    private let wanted: [ColumnName]

    /// The same for every run, so that samples of the same pool are equal.
    private static let seed = Seed(0).derived(for: "compare")

    init(
        _ run: RunReader, _ definition: Definition, registry: Registry, column: ColumnName?, _ request: PoolRequest,
        isStopped: @escaping @Sendable () -> Bool
    ) throws {
        path = run.path
        manifest = run.manifest
        label = request.label
        let (reading, chain, column) = try Self.embedding(definition, registry, column, of: run)
        self.column = column
        catalog = try InputCatalog(definition.input, store: FileSystem.local)
        let need = try PoolMemory(run, reading, chain, column, request)
        self.threads = need.threads
        let (_, shares) = try chain.work(need.reading, threads: need.threads, inputs: catalog.files.count)
        transforms = TransformChain(
            links: try chain.links.flatMap { link in
                let context = chain.context(link, memory: shares.most, isStopped: isStopped)
                let gate = link.gate.map { TransformChain.Link($0, $0.declaration, writesAll: true, context) }
                let work = try Self.transform(of: link, context, run, isLoaded: true).map {
                    TransformChain.Link($0, link.declaration, writesAll: true, context)
                }
                return [gate, work].compactMap { $0 }
            })
        readsRecord = chain.readsRecord
        wanted =
            [column]
            + chain.links.compactMap(\.gate).flatMap { gate in
                [gate.column] + gate.reads.compactMap { if case .column(let name, _) = $0 { name } else { nil } }
            }
        input = InputPass(
            InputPass.Source(
                catalog: catalog, parts: .wholeFiles(of: catalog), spec: definition.input,
                options: RunOptions(threads: need.threads), shares: shares, progress: ProgressMeter()),
            InputPass.Request(stageFields: Set(chain.fields + [label].compactMap { $0 }).sorted()))
        (blocks, streams) = (shares.blocks, shares.streams)
        lost = try LostPlaces(run.file(ResultFile.ledger), names: catalog.files.map(\.name))
        self.sample = PoolSample(capacity: request.sample)
        chosenDraws.reserveCapacity(run.manifest["counts"]?["kept"]?.integerValue ?? 0)
    }

    /// The definition up to the stage that writes the vectors, without outputs, and its stages.
    private static func embedding(
        _ definition: Definition, _ registry: Registry, _ column: ColumnName?, of run: RunReader
    ) throws(EngineError) -> (Definition, StageChain, ColumnName) {
        guard let (index, spec) = try RunVectors.embedding(of: definition, registry: registry, column: column) else {
            throw EngineError(
                .definition,
                "\(run.path): no stage of its definition writes \(column.map { "vectors named `\($0)`" } ?? "vectors")")
        }
        var reading = definition
        reading.stages = Array(definition.stages[...index])
        reading.output = OutputSpec(directory: definition.output.directory, compression: .uncompressed)
        let chain = try StageChain(reading, registry: registry)
        for link in chain.links {
            _ = try transform(of: link, chain.context(link, memory: definition.memory), run, isLoaded: false)
        }
        return (reading, chain, spec.name)
    }

    /// The work of a stage, if it is one transform; that of a survey follows from the model that the run has kept.
    ///
    /// - Parameter isLoaded: whether to read the model; if not, the result is nil for a survey.
    private static func transform(
        of link: StageChain.Link, _ context: StageContext, _ run: RunReader, isLoaded: Bool
    ) throws(EngineError) -> (any WorkerTransform)? {
        let body: StageBody
        do throws(StageError) {
            let first = try link.stage.body(context)
            if case .survey(let survey) = first, survey.modelKind != nil {
                guard isLoaded else { return nil }
                body = try KeptModels.body(of: survey, from: run, context)
            } else {
                body = first
            }
        } catch {
            throw EngineError(error, stage: link.label)
        }
        if case .transform(let transform) = body { return transform }
        if case .asking = body {
            throw EngineError(
                .definition,
                "\(run.path): the vectors of `\(link.label)` are answers from outside, which are not asked for again; a run writes those of its kept records by `output: {vectors: embedding}`"
            )
        }
        throw EngineError(
            .definition,
            "\(run.path): its stages don't start with those that make the vectors: `\(link.label)` comes before any stage that writes vectors"
        )
    }

    func run(isStopped: @escaping @Sendable () -> Bool) throws -> RunVectors {
        let workers = WorkerPool(threads: threads)
        defer { workers.stop() }
        let conveyor = input.conveyor(
            [
                .parallel { [input] in try input.parse($0) },
                .parallel { [self] in try work($0) },
                .ordered { [self] parcel in
                    try collect(parcel)
                    input.giveBack(parcel)
                },
            ], limit: blocks, lanes: streams, isStopped: isStopped)
        try transforms.closing { try conveyor.run(on: workers) }
        try check()
        try checkLabel()
        sample.settle()
        return RunVectors(
            dimension: dimension, records: records, sampled: sample.count, kept: chosenDraws.count,
            pool: sample.vectors,
            chosen: chosen, chosenDraws: chosenDraws, labels: label == nil ? nil : (labels.all.count, labels.kept.count)
        )
    }

    private func work(_ parcel: InputParcel) throws {
        var block = parcel.makeBlock(readsRecord: readsRecord, wanted: wanted)
        try transforms.apply(to: &block) { block, first, stage in
            parcel.book(block, from: first, stage) { Int(parcel.rows[$0]) }
        }
        let live = block.live
        if let vectors = block[column] { parcel.columns.append((column, vectors.gathered(live))) }
        if let label {
            let values = block.field(label)
            parcel.columns.append(
                (Self.labelHigh, .integers(live.map { Int64(bitPattern: Self.hash(values[$0]).high) })))
            parcel.columns.append((Self.labelLow, .integers(live.map { Int64(bitPattern: Self.hash(values[$0]).low) })))
        }
        parcel.rows = live.map { parcel.rows[$0] }
    }

    private static let labelHigh: ColumnName = "_label_high"
    private static let labelLow: ColumnName = "_label_low"

    private static func hash(_ value: FieldValue) -> ContentHash {
        switch value {
        case .missing, .null: ContentHash(high: 0, low: 0)
        case .string(let bytes), .json(let bytes): Array(bytes).withUnsafeBytes { XXHash.hash128($0) }
        case .chat(let turns): Array(turns.encoded).withUnsafeBytes { XXHash.hash128($0) }
        }
    }

    private func collect(_ parcel: InputParcel) throws {
        guard case .vectors(let vectors)? = parcel.columns.first(where: { $0.name == column })?.column else {
            return
        }
        func integers(_ name: ColumnName) -> [Int64]? {
            guard case .integers(let values)? = parcel.columns.first(where: { $0.name == name })?.column else {
                return nil
            }
            return values
        }
        let (high, low) = (integers(Self.labelHigh), integers(Self.labelLow))
        if dimension == 0 {
            dimension = vectors.dimension
            chosen.reserveCapacity(chosenDraws.capacity * dimension)
        }
        for (row, record) in parcel.rows.enumerated() {
            let loss = try lost.loss(of: parcel.records.ordinals[Int(record)])
            // Records dropped by the dedupe never reached a stage.
            if loss == .duplicate { continue }
            records += 1
            let isLost = loss != nil
            let hash = parcel.records.hashes[Int(record)]
            let draw = Self.seed.draw(hash)
            sample.offer(draw, hash, vectors[row])
            if !isLost {
                chosen += vectors[row]
                chosenDraws.append(draw)
            }
            if let high, let low {
                let value = ContentHash(high: UInt64(bitPattern: high[row]), low: UInt64(bitPattern: low[row]))
                guard value != ContentHash(high: 0, low: 0) else { continue }
                labels.all.insert(value)
                if !isLost { labels.kept.insert(value) }
            }
        }
    }

    private func checkLabel() throws(EngineError) {
        guard let label, labels.all.isEmpty, records > 0 else { return }
        let names = input.fieldNames
        let near = Registry.nearest(to: label.description, in: names).map { "; did you mean `\(Printable.name($0))`?" }
        throw EngineError(
            .definition,
            "\(path): no record has a value of `\(Printable.name(label.description))`, the label\(near ?? "")\(names.listed)"
        )
    }

    /// Checks that the inputs are unchanged, and that as many records have vectors as were kept.
    private func check() throws {
        for (index, read) in input.readFiles {
            let entry = (manifest["inputs"]?.elements ?? []).first {
                $0["file"]?.textValue == catalog.files[index].name
            }
            guard entry?["content"]?.textValue == "xxh3-128:" + hexadecimal(read.hash) else {
                throw EngineError(.data, "\(path): input \(catalog.files[index].shown) is not the file that was read")
            }
        }
        let kept = manifest["counts"]?["kept"]?.integerValue ?? 0
        guard chosenDraws.count == kept else {
            throw EngineError(
                .data,
                "\(path): \(kept) records were kept and \(chosenDraws.count) of them have vectors; `sluice verify` shows what was changed"
            )
        }
    }
}

/// The positions of dropped records, read from the ledger in input order.
private final class LostPlaces {
    private let reader: BlockReader
    private let names: [[UInt8]]
    private let block = RawBlock()
    private var next = 0
    private var ended = false
    private var current: Ordinal?
    private var isDuplicate = false
    private let path: String

    enum Loss { case duplicate, other }

    init(_ path: String, names: [String]) throws {
        self.path = path
        self.names = names.map { name in
            var bytes = Array(#"{"file":"#.utf8)
            bytes.appendJSONString(name)
            return bytes + Array(#","line":"#.utf8)
        }
        reader = try Self.open(path)
        try advance()
    }

    private static func open(_ path: String) throws(EngineError) -> BlockReader {
        do throws(IOFailure) {
            return BlockReader(try FileSystem.local.openInput(path), limits: FramingLimits())
        } catch {
            throw EngineError(error)
        }
    }

    /// How a record was lost; nil if it wasn't. Call in ascending order.
    func loss(of ordinal: Ordinal) throws -> Loss? {
        while let place = current, place < ordinal { try advance() }
        guard current == ordinal else { return nil }
        return isDuplicate ? .duplicate : .other
    }

    private func advance() throws {
        while next == block.lines.count {
            do throws(IOFailure) {
                if !ended { ended = !(try reader.next(into: block)) }
            } catch {
                throw EngineError(error)
            }
            if ended {
                current = nil
                return
            }
            next = 0
        }
        current = try place(block.bytes(of: block.lines[next]))
        next += 1
    }

    private static let byDedupe = Array(",\"stage\":\"\(Deduper.stage)\",\"reason\":\"\(Deduper.reason)\"".utf8)

    private func place(_ line: UnsafeRawBufferPointer) throws -> Ordinal {
        // Lines of one file are adjacent: try the file of the previous line first.
        let last = current?.file ?? 0
        for file in [last] + Array(names.indices) where line.starts(with: names[file]) {
            let digits = line[names[file].count...].prefix { (48...57).contains($0) }
            isDuplicate = line[(names[file].count + digits.count)...].starts(with: Self.byDedupe)
            if let number = Int(String(decoding: digits, as: UTF8.self)) { return Ordinal(file: file, line: number) }
        }
        throw EngineError(.data, "\(path): an entry has no valid position in the input")
    }
}
