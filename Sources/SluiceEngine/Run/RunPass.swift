import CMalloc
package import SluiceCore
import SluiceIO

/// A good record of a finished run, as a pass over the input meets it.
package struct RunRecord {
    package let ordinal: Ordinal
    package let hash: ContentHash
    /// How it was lost; nil if it was kept.
    package let loss: RunLoss?
    /// The record's bytes, valid during the call; empty if it is too long to be held.
    package let line: UnsafeRawBufferPointer
    /// Its vector; nil for a duplicate, and if the pass or a stage before the embedding leaves it without one.
    package let vector: ArraySlice<Int8>?
    /// The value of the pass's label; missing without one.
    package let label: FieldValue

    /// A hash of the value of the label; nil if there is none.
    package var labelHash: ContentHash? {
        label.content.map { value in value.withUnsafeBytes { XXHash.hash128($0) } }
    }
}

/// One pass over the input of a finished run: every good record in input order, with what became of it.
///
/// Vectors are recomputed by the definition's own stages, up to the one that writes them, which is deterministic. Memory: what
/// a run of these stages needs for reading, and what the caller asks for.
package final class RunPass: @unchecked Sendable {
    // @unchecked: `visit` and what it changes belong to the ordered step; the rest is constant.

    /// What a pass computes, and for whom.
    package struct Request {
        package enum Vectors: Sendable {
            case none
            /// Those of a column; nil for `embedding`, or if no stage writes that, for the first column of vectors.
            case column(ColumnName?)
        }

        package var vectors: Vectors = .none
        package var label: FieldPath?
        /// The fewest threads to use if memory is short, and the most.
        package var threads = 1...1
        /// Bytes that the caller holds during the pass, and those that it needs after it, given the dimension of the vectors.
        package var held: (_ dimension: Int) -> Int = { _ in 0 }
        package var after: (_ dimension: Int) -> Int = { _ in 0 }
        /// Whether the definition's memory is a limit that a person has set. If not, the pass takes what it needs.
        package var isLimited = true
        /// What to do about too little memory, beside giving more; part of a sentence.
        package var otherwise = ""

        package init() {}
    }

    /// The components of the vectors; 0 if none are computed.
    package let dimension: Int
    /// The memory of the pass.
    package let memory: Int
    /// The fields that the stages read.
    package let stageFields: [FieldPath]

    private let path: String
    private let manifest: JSONValue
    private let column: ColumnName?
    private let label: FieldPath?
    private let transforms: TransformChain
    /// The stages that are not repeated, whose drops are in the ledger.
    private let fromLedger: Set<String>
    private let readsRecord: Bool
    /// The columns that anything reads.
    private let wanted: [ColumnName]
    private let catalog: InputCatalog
    private let input: InputPass
    private let threads: Int
    private let blocks: Int
    private let streams: Int
    private let ledger: String
    private var lost: RunLosses?
    /// Whether the ledger is damaged: then an error of the pass is not about the input.
    package private(set) var hasDamagedLedger = false
    private var hasLabel = false
    private var kept = 0

    /// The names of the input files, by the index that an ordinal has.
    package var fileNames: [String] { catalog.files.map(\.name) }
    /// The names of the fields at the beginning of the input.
    package var fieldNames: [String] { input.fieldNames }

    /// - Parameter definition: the run's own, with input paths that can be opened and this process's memory.
    /// - Throws: `EngineError` if inputs are missing, if a stage before the vectors can't be repeated, or, before
    ///   anything is read, if there is too little memory, with the sufficient amount.
    package init(
        _ run: RunReader, _ definition: Definition, registry: Registry, _ request: Request,
        isStopped: @escaping @Sendable () -> Bool = { false }
    ) throws {
        // Freed memory must return to the system: otherwise each thread's heap would keep its share of it, and computing
        // distances frees a lot.
        _ = mallopt(malloc_mmap_threshold, 1 << 16)
        path = run.path
        manifest = run.manifest
        label = request.label
        guard !definition.input.files.contains("-") else {
            throw EngineError(.definition, "\(run.path): standard input can't be read again")
        }
        let source = try PassSource(run, definition, registry, request.vectors)
        (column, dimension) = (source.column, source.dimension)
        catalog = try InputCatalog(definition.input, store: run.store)
        let need = try PassMemory(source, definition, request)
        (threads, memory) = (need.threads, need.memory)
        let chain = source.chain
        let (_, shares) = try chain.work(need.reading, threads: need.threads, inputs: catalog.files.count)
        transforms = try source.transforms(memory: shares.most, isStopped: isStopped)
        let fromLedger = source.fromLedger
        self.fromLedger = fromLedger
        readsRecord = chain.readsRecord
        wanted =
            [column].compactMap { $0 }
            + chain.links.filter { !fromLedger.contains($0.label) }.compactMap(\.gate).flatMap { gate in
                [gate.column] + gate.reads.compactMap { if case .column(let name, _) = $0 { name } else { nil } }
            }
        stageFields = chain.fields
        input = InputPass(
            InputPass.Source(
                catalog: catalog, parts: .wholeFiles(of: catalog), spec: definition.input,
                options: RunOptions(threads: need.threads), shares: shares, progress: ProgressMeter()),
            InputPass.Request(stageFields: Set(chain.fields + [label].compactMap { $0 }).sorted()))
        (blocks, streams) = (shares.blocks, shares.streams)
        ledger = run.file(ResultFile.ledger)
    }

    /// Reads the input.
    ///
    /// - Parameter visit: called with each good record, in input order.
    /// - Throws: `EngineError` if an input has changed since the run, or if no record has the label.
    package func run(
        isStopped: @escaping @Sendable () -> Bool = { false }, visit: @escaping (RunRecord) throws -> Void
    ) throws {
        let workers = WorkerPool(threads: threads)
        defer { workers.stop() }
        let conveyor = input.conveyor(
            [
                .parallel { [input] in try input.parse($0) },
                .parallel { [self] in try work($0) },
                .ordered { [self] parcel in
                    try collect(parcel, visit)
                    input.giveBack(parcel)
                },
            ], limit: blocks, lanes: streams, isStopped: isStopped)
        try transforms.closing { try conveyor.run(on: workers) }
        try check()
        try checkLabel()
    }

    private func work(_ parcel: InputParcel) throws {
        var block = parcel.makeBlock(readsRecord: readsRecord, wanted: wanted)
        try transforms.apply(to: &block) { block, first, stage in
            parcel.book(block, from: first, stage) { Int(parcel.rows[$0]) }
        }
        if let column, let vectors = block[column] { parcel.columns.append((column, vectors)) }
    }

    private func collect(_ parcel: InputParcel, _ visit: (RunRecord) throws -> Void) throws {
        var vectors: VectorColumn?
        if case .vectors(let found)? = parcel.columns.first(where: { $0.name == column })?.column { vectors = found }
        let values = label.flatMap { label in
            parcel.records.fields.paths.firstIndex(of: label).map {
                FieldColumn(parcel.records.fields, index: $0)
            }
        }
        for (record, ordinal) in parcel.records.ordinals.enumerated() {
            let loss = try loss(of: ordinal)
            let value = values?[record] ?? .missing
            if value.content != nil { hasLabel = true }
            // A record that a stage before the embedding dropped has no vector.
            let isDropped = loss.map { $0.isDuplicate || fromLedger.contains($0.stage) } ?? false
            let isLive = parcel.losses[record] == nil && !isDropped
            let vector = isLive ? vectors?[record] : nil
            if loss == nil, column == nil || vector != nil { kept += 1 }
            try visit(
                RunRecord(
                    ordinal: ordinal, hash: parcel.records.hashes[record], loss: loss,
                    line: parcel.raw.isLong
                        ? UnsafeRawBufferPointer(start: nil, count: 0)
                        : parcel.raw.bytes(of: parcel.records.lines[record]), vector: vector, label: value))
        }
    }

    private func loss(of ordinal: Ordinal) throws -> RunLoss? {
        do {
            let losses = try lost ?? RunLosses(ledger, names: catalog.files.map(\.name))
            lost = losses
            return try losses.loss(of: ordinal)
        } catch {
            hasDamagedLedger = true
            throw error
        }
    }

    private func checkLabel() throws(EngineError) {
        guard let label, !hasLabel, manifest["counts"]?["read"]?.integerValue ?? 0 > 0 else { return }
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
        let expected = manifest["counts"]?["kept"]?.integerValue ?? 0
        guard kept == expected else {
            throw EngineError(
                .data,
                "\(path): \(expected) records were kept and \(kept) of them \(column == nil ? "are in its inputs" : "have vectors"); `sluice verify` shows what was changed"
            )
        }
    }
}

/// The stages that a pass repeats.
struct PassSource {
    let path: String
    /// The definition up to the stage that writes the vectors, without outputs, and its stages.
    let definition: Definition
    let chain: StageChain
    let column: ColumnName?
    let dimension: Int
    /// Stages before the vectors that choose among all records. They are not repeated: the ledger has what they dropped.
    let fromLedger: Set<String>
    private let run: RunReader

    init(
        _ run: RunReader, _ definition: Definition, _ registry: Registry, _ vectors: RunPass.Request.Vectors
    ) throws(EngineError) {
        self.run = run
        path = run.path
        var reading = definition
        reading.output = OutputSpec(directory: definition.output.directory, compression: .uncompressed)
        reading.sinks = []
        reading.stages = []
        if case .column(let name) = vectors {
            guard let (index, spec) = try RunVectors.embedding(of: definition, registry: registry, column: name),
                case .vector(let dimension) = spec.type
            else {
                throw EngineError(
                    .definition,
                    "\(run.path): no stage of its definition writes \(name.map { "vectors named `\($0)`" } ?? "vectors")"
                )
            }
            reading.stages = Array(definition.stages[...index])
            (column, self.dimension) = (spec.name, dimension)
        } else {
            (column, dimension) = (nil, 0)
        }
        self.definition = reading
        chain = try StageChain(reading, registry: registry, store: run.store)
        var fromLedger: Set<String> = []
        for (index, link) in chain.links.enumerated() {
            let context = chain.context(link, memory: definition.memory)
            if case .ledger = try Self.work(of: link, context, run, isLoaded: false) {
                guard index < chain.links.count - 1 else {
                    throw EngineError(.definition, "\(run.path): `\(link.label)` can't write its vectors again")
                }
                try Self.expectUnread(link, by: chain.links[(index + 1)...], run)
                fromLedger.insert(link.label)
            }
        }
        self.fromLedger = fromLedger
    }

    private static func expectUnread(
        _ link: StageChain.Link, by later: ArraySlice<StageChain.Link>, _ run: RunReader
    ) throws(EngineError) {
        let written = Set(link.stage.writes.map(\.name))
        for reader in later {
            for case .column(let name, _) in reader.reads where written.contains(name) {
                throw EngineError(
                    .definition,
                    "\(run.path): the vectors can't be computed again: `\(reader.label)` reads `\(name)`, which `\(link.label)` wrote from all records"
                )
            }
        }
    }

    func transforms(
        memory: Int, isStopped: @escaping @Sendable () -> Bool
    ) throws(EngineError) -> TransformChain {
        var links: [TransformChain.Link] = []
        for link in chain.links {
            let context = chain.context(link, memory: memory, isStopped: isStopped)
            guard case .transform(let transform) = try Self.work(of: link, context, run, isLoaded: true) else {
                continue
            }
            if let gate = link.gate {
                links.append(TransformChain.Link(gate, gate.declaration, writesAll: true, context))
            }
            links.append(TransformChain.Link(transform, link.declaration, writesAll: true, context))
        }
        return TransformChain(links: links)
    }

    /// What a pass does in place of a stage.
    private enum Work {
        case transform(any WorkerTransform)
        /// A survey whose model was not read.
        case unread
        /// What it dropped is in the ledger.
        case ledger
    }

    /// The work of a stage; that of a survey follows from the model that the run has kept.
    ///
    /// - Parameter isLoaded: whether to read models.
    private static func work(
        of link: StageChain.Link, _ context: StageContext, _ run: RunReader, isLoaded: Bool
    ) throws(EngineError) -> Work {
        let body: StageBody
        do throws(StageError) {
            let first = try link.stage.body(context)
            if case .survey(let survey) = first, survey.modelKind != nil {
                guard isLoaded else { return .unread }
                body = try KeptModels.body(of: survey, from: run, context)
            } else {
                body = first
            }
        } catch {
            throw EngineError(error, stage: link.label)
        }
        if case .transform(let transform) = body { return .transform(transform) }
        if case .asking = body {
            throw EngineError(
                .definition,
                "\(run.path): the vectors of `\(link.label)` are answers from outside, which are not asked for again; a run writes those of its kept records by `output: {vectors: embedding}`"
            )
        }
        return .ledger
    }
}

/// The memory of a pass, checked before anything is read.
struct PassMemory {
    /// The most threads for which there is memory.
    let threads: Int
    let memory: Int
    /// The definition with the memory for reading, without what the caller holds.
    let reading: Definition

    /// - Parameter definition: the run's, with the budget of the process.
    /// - Throws: `EngineError` with code `.resources` and the amount that is enough, for the fewest threads.
    init(_ source: PassSource, _ definition: Definition, _ request: RunPass.Request) throws(EngineError) {
        let threads = request.threads
        // The label is a copy of a field, which may be as long as a record.
        let beside = request.held(source.dimension) + (request.label != nil ? definition.input.maxRecord : 0)
        // What comes after the reading is computed on all threads.
        let after =
            MemoryShares.reading(threads: threads.upperBound) + request.held(source.dimension)
            + request.after(source.dimension)
        func need(_ threads: Int) throws(EngineError) -> Int {
            max(after, beside + (try source.chain.smallestBudget(source.definition, threads: threads)))
        }
        var count = threads.upperBound
        var needed = try need(count)
        while needed > definition.memory, count > threads.lowerBound {
            count = max(threads.lowerBound, count / 2)
            needed = try need(count)
        }
        guard needed <= definition.memory || !request.isLimited else {
            let (words, there) = MemorySize.describe(needed, beside: definition.memory)
            throw EngineError(
                .resources,
                "\(source.path): reading its input again needs \(words), but `memory` is \(there); give --memory \(MemorySize.spell(needed))\(request.otherwise)"
            )
        }
        self.threads = count
        memory = max(needed, definition.memory)
        var reading = source.definition
        reading.memory = memory - beside
        self.reading = reading
    }
}
