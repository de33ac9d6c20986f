import CMalloc
import SluiceCore
import SluiceIO

/// What every phase of a run uses: the definition, its stages and inputs, and the resources of the run.
final class RunContext: Sendable {
    let definition: Definition
    let chain: StageChain
    let catalog: InputCatalog
    let parts: InputParts
    let options: RunOptions
    let progress: ProgressMeter
    let shares: MemoryShares
    let budget: MemoryBudget
    let pool: WorkerPool
    /// The folder of work files.
    let work: String
    /// The digest of the plan.
    let plan: ContentHash
    let encoder: LineEncoder
    let keptEncoder: KeptEncoder
    /// What the outputs beside the kept records read of each of these; nil if nothing.
    let sinkRows: SinkRows?
    /// The answers of models and servers.
    let answers: AnswerBook
    /// All work, in order.
    let outline: RunOutline
    /// What each stage notes of its work.
    let journals: [StageJournal]

    /// What a run works with.
    struct Resources {
        let progress: ProgressMeter
        let shares: MemoryShares
        let budget: MemoryBudget
        let pool: WorkerPool
        let parts: InputParts
        let outline: RunOutline
        /// The digest of the plan, by which files know their run.
        let plan: ContentHash
        /// Whether other processes work on the same run.
        var isShared = false
    }

    init(
        _ definition: Definition, _ chain: StageChain, _ catalog: InputCatalog, _ options: RunOptions,
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
        parts = resources.parts
        plan = resources.plan
        self.work = work
        outline = resources.outline
        picks =
            outline.later.isEmpty ? [] : chain.written.filter { $0.type.isScalar }.map(\.name)
        answers = AnswerBook(
            definition, isShared: resources.isShared, fileSystem: options.fileSystem, isStopped: options.isStopped)
        journals = chain.links.map { link in
            StageJournal(folder: RunDirectory.logs(in: definition.output.directory)) { [notice = options.notice] in
                notice("stage `\(link.label)`: \($0)")
            }
        }
        encoder = LineEncoder(fileNames: catalog.files.map(\.name))
        keptEncoder = KeptEncoder(definition.output, chain.outputSources)
        sinkRows = SinkRows(definition.sinks, chain.outputSources)
    }

    var fileSystem: FileSystem { options.fileSystem }
    /// Work files with one value each.
    var sealed: SealedFiles { SealedFiles(fileSystem: fileSystem, plan: plan) }
    var isStopped: @Sendable () -> Bool { options.isStopped }
    var comparesContents: Bool { definition.input.dedupe?.verify == .bytes }
    var truncatedHash: TruncatedHash { TruncatedHash(bits: options.dedupeHashBits) }

    /// Scalar columns that the output lists for each kept record; none if no survey or selection follows the reading.
    let picks: [ColumnName]

    /// What the kept records' file and the definition's outputs read of a record, each once.
    var outputSources: [OutputSource] {
        var found: [OutputSource] = []
        for source in keptEncoder.sources + (sinkRows?.sources ?? []) where !found.contains(source) {
            found.append(source)
        }
        return found
    }

    /// The columns that hold that.
    var outputColumns: [ColumnName] { outputSources.map(\.stored) }

    /// The columns that anything reads which the transforms of the reading write.
    var wantedInReading: [ColumnName] {
        let pieces = outline.pieces
        // Stages of several steps: a step may read the columns that an earlier one writes.
        let several = Set(
            zip(pieces, pieces.dropFirst()).filter { $0.link.index == $1.link.index }.map(\.0.link.index))
        return chain.wanted(from: 0, output: definition.output, unfinished: several)
    }

    /// What the work from stage `index` on reads of each record.
    ///
    /// - Parameter unfinished: the stages of which some work is done and some is left; stage `index` by default.
    func retention(from index: Int, unfinished: Set<Int>? = nil) -> ColumnRetention {
        chain.retention(
            from: index, unfinished: unfinished, later: outline.later, output: definition.output, picks: picks)
    }

    func stage(_ link: StageChain.Link, memory: Int) -> StageContext {
        chain.context(
            link, memory: memory, parallel: pool.parallel, journal: journals[link.index], isStopped: options.isStopped)
    }

    /// Begins a phase.
    ///
    /// - Parameter parts: the parts of the budget that the phase holds until its leases are returned.
    func begin(
        _ name: String, bytes: Int = 0, rows: Int = 0, _ parts: [MemoryShares.Part]
    ) throws(EngineError) -> PhaseLeases {
        // The memory of the previous phase must return to the system before the next one takes its share.
        malloc_trim(0)
        progress.begin(name, step: outline.number(of: name), totalBytes: bytes, totalRecords: rows)
        let leases = try PhaseLeases(parts, of: budget, for: name)
        progress.lent(budget.total - budget.available)
        return leases
    }

    func inputPass(_ request: InputPass.Request) -> InputPass {
        InputPass(
            InputPass.Source(
                catalog: catalog, parts: parts, spec: definition.input, options: options, shares: shares,
                progress: progress), request)
    }

    /// The transforms of the reading, with new workers.
    func readingTransforms() -> TransformChain {
        var work = outline.reading
        return takeTransforms(&work)
    }

    /// Takes the transforms at the beginning of `work`.
    private func takeTransforms(_ work: inout [StageWork]) -> TransformChain {
        var run = TransformChain()
        while let first = work.first, case .transform(let transform) = first.body {
            run.links.append(
                TransformChain.Link(
                    transform, first.declaration, writesAll: first.isWhole,
                    stage(first.link, memory: shares.most)))
            work.removeFirst()
        }
        return run
    }

    /// Takes the transforms at the beginning of `work`, asking ones as well.
    func takeTransformsAndAskings(_ work: inout [StageWork]) throws(EngineError) -> TransformChain {
        var run = takeTransforms(&work)
        while let first = work.first, case .asking(let asking) = first.body {
            work.removeFirst()
            let step = run.links.count { $0.asking != nil && $0.label == first.link.label }
            let context = stage(first.link, memory: shares.most)
            run.links.append(
                TransformChain.Link(
                    asking, first.declaration, writesAll: first.isWhole,
                    keys: try answerKeys(asking, of: first.link, step: step), log: answers, context))
            run.requests.add(Requests(asking, context))
            run.links += takeTransforms(&work).links
        }
        return run
    }
}
