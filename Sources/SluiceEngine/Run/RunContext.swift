import CMalloc
import SluiceCore
import SluiceIO

/// What every phase of a run uses: the definition, its stages and inputs, and the resources of the run.
final class RunContext: Sendable {
    let definition: Definition
    let chain: StageChain
    let catalog: InputCatalog
    let options: RunOptions
    let progress: ProgressMeter
    let shares: MemoryShares
    let budget: MemoryBudget
    let pool: WorkerPool
    /// The folder of work files.
    let work: String
    let encoder: LineEncoder
    let keptEncoder: KeptEncoder
    private let numbers: PhaseNumbers

    /// What a run works with.
    struct Resources {
        let progress: ProgressMeter
        let shares: MemoryShares
        let budget: MemoryBudget
        let pool: WorkerPool
    }

    init(
        _ definition: Definition, chain: StageChain, pieces: [StageWork], catalog: InputCatalog, options: RunOptions,
        _ resources: Resources, work: String
    ) {
        self.definition = definition
        self.chain = chain
        self.catalog = catalog
        self.options = options
        progress = resources.progress
        shares = resources.shares
        budget = resources.budget
        pool = resources.pool
        self.work = work
        numbers = PhaseNumbers(pieces)
        encoder = LineEncoder(fileNames: catalog.files.map(\.name))
        keptEncoder = KeptEncoder(form: definition.output.record, annotate: definition.output.annotate)
    }

    var fileSystem: FileSystem { options.fileSystem }
    var isStopped: @Sendable () -> Bool { options.isStopped }
    var comparesContents: Bool { definition.input.dedupe?.verify == .bytes }
    var truncatedHash: TruncatedHash { TruncatedHash(bits: options.dedupeHashBits) }

    func stage(_ link: StageChain.Link, memory: Int) -> StageContext {
        chain.context(link, memory: memory, parallel: pool.parallel, isStopped: options.isStopped)
    }

    /// Begins a phase.
    ///
    /// - Parameter parts: the parts of the budget that the phase holds until its leases are returned.
    func begin(
        _ name: String, bytes: Int = 0, rows: Int = 0, _ parts: [MemoryShares.Part]
    ) throws(EngineError) -> PhaseLeases {
        // The memory of the previous phase must return to the system before the next one takes its share.
        malloc_trim(0)
        progress.begin(name, step: numbers.number(of: name), totalBytes: bytes, totalRecords: rows)
        return try PhaseLeases(parts, of: budget, for: name)
    }

    /// - Parameters:
    ///   - checkpoint: where the stopped run was, if there was one.
    ///   - expected: the facts about files found by an earlier reading.
    ///   - table: the most memory of a table that finds duplicates; 0 without one. The blocks before the checkpoint are
    ///     then read again, since a table is not kept on disk.
    func inputPass(
        stageFields: [FieldPath], from checkpoint: Checkpoint? = nil,
        expecting expected: [Int: Checkpoint.FileFacts] = [:], table: Int = 0
    ) -> InputPass {
        InputPass(
            catalog: catalog, spec: definition.input, stageFields: stageFields,
            limits: FramingLimits(blockBytes: options.blockBytes, maxRecord: definition.input.maxRecord),
            fileSystem: options.fileSystem, progress: progress, shares: shares, from: checkpoint, expecting: expected,
            replays: table > 0, table: table, keepsKeys: table > 0 && comparesContents,
            isStopped: options.isStopped)
    }

    /// Takes the transforms at the beginning of `work`.
    func takeTransforms(_ work: inout [StageWork]) -> TransformChain {
        var run = TransformChain()
        while let first = work.first, case .transform(let transform) = first.body {
            run.links.append(
                TransformChain.Link(
                    transform, StageDeclaration(first.link.stage), writesAll: first.isWhole,
                    stage(first.link, memory: shares.most)))
            work.removeFirst()
        }
        return run
    }
}
