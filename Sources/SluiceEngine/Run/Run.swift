public import SluiceCore
public import SluiceIO

/// How a run is done, as against what is done: nothing here changes a kept record.
public struct RunOptions: Sendable {
    /// Threads that work; at least 1.
    public var threads: Int
    /// Replaces whatever is in the output directory.
    public var force = false
    /// Leaves the work files.
    public var keepWork = false
    /// Where blocks end; for tests, since no result may show it.
    public var blockBytes = 512 << 10
    public var fileSystem = FileSystem.local
    /// Asked often; where it says yes the run ends with `EngineError.stopped`.
    public var isStopped: @Sendable () -> Bool = { false }

    public init(threads: Int) { self.threads = max(1, threads) }
}

/// What a run did.
public struct RunResult: Sendable {
    /// `run.json`.
    public let manifest: Report
    public let warnings: [String]
    public let read: Int
    public let kept: Int
    public let dropped: Int
    public let quarantined: Int
}

/// One run of a definition: reads the input, does what the stages say, and writes the run directory.
public final class Run {
    private let definition: Definition
    private let chain: StageChain
    private let catalog: InputCatalog
    private let options: RunOptions
    private let progress: ProgressMeter
    private let shares: MemoryShares
    private let pool: WorkerPool
    private let encoder: LineEncoder
    private let keptEncoder: KeptEncoder
    private var account = Account()
    private var warnings: [String] = []
    private var reports: [(label: String, report: Report)] = []
    private var dedupeReport: Report?
    private var step = 0
    /// Digest and number of lines of each input file.
    private var files: [Int: (hash: ContentHash, lines: Int)] = [:]

    /// A piece of work and the stage it belongs to.
    private typealias Work = (link: StageChain.Link, body: StageBody)

    /// Makes the stages and looks at the input files; reads nothing.
    public convenience init(_ definition: Definition, registry: Registry, options: RunOptions) throws {
        try self.init(definition, registry: registry, options: options, progress: ProgressMeter())
    }

    package init(
        _ definition: Definition, registry: Registry, options: RunOptions, progress: ProgressMeter
    ) throws {
        chain = try StageChain(definition, registry: registry)
        self.definition = definition
        self.options = options
        self.progress = progress
        catalog = try InputCatalog(definition.input, fileSystem: options.fileSystem)
        shares = try MemoryShares(definition, threads: options.threads)
        pool = WorkerPool(threads: options.threads)
        encoder = LineEncoder(fileNames: catalog.files.map(\.name))
        keptEncoder = KeptEncoder(form: definition.output.record, annotate: definition.output.annotate)
    }

    deinit { pool.stop() }

    // MARK: The whole run

    /// Runs to the end.
    ///
    /// - Throws: `EngineError`; nothing stands under a final name then.
    public func run() throws -> RunResult {
        let began = monotonicSeconds()
        let directory = try RunDirectory(definition.output.directory, fileSystem: options.fileSystem)
        let identity = Manifest.identity(definition, catalog)
        try directory.prepare(force: options.force) { Manifest.differences(identity, $0) }
        do {
            let outputs = try process(work: directory.workPath, folder: directory.path)
            account.kept = outputs.kept.lines
            try account.close()
            try outputs.finish()
            let manifest = Manifest.make(
                identity: identity, catalog: catalog, files: files, account: account, chain: chain, reports: reports,
                dedupe: dedupeReport, outputs: outputs, warnings: warnings, definition: definition,
                threads: options.threads, seconds: monotonicSeconds() - began)
            try options.fileSystem.write(Array(manifest.prettyJSON.utf8), to: "\(directory.path)/\(RunDirectory.manifestName)")
            try directory.clear(keepWork: options.keepWork)
            return RunResult(
                manifest: manifest, warnings: warnings, read: account.read, kept: account.kept,
                dropped: account.dropped, quarantined: account.quarantined)
        } catch {
            // Nothing of a failed run is of use to the next one.
            try? directory.clear(keepWork: options.keepWork)
            if let failure = error as? IOFailure { throw EngineError(failure) }
            throw error
        }
    }

    private func process(work folder: String, folder output: String) throws -> Outputs {
        do {
            return try process(folder, output, duplicates: nil)
        } catch let overflow as Deduper.Overflow {
            // The table does not fit: the same answer from partitions on disk, one pass more over the input.
            try? options.fileSystem.removeTree(folder)
            account = Account()
            warnings = []
            reports = []
            let duplicates = try findDuplicates(folder, after: overflow)
            return try process(folder, output, duplicates: duplicates)
        }
    }

    private func process(_ folder: String, _ output: String, duplicates: DuplicateStream?) throws -> Outputs {
        var work = try bodies()
        let transforms = takeTransforms(&work)
        let picks = work.isEmpty ? [] : chain.written.filter { $0.type.isScalar }.map(\.name)
        let outputs = try Outputs(
            folder: output, level: definition.output.level, writesPicks: !picks.isEmpty, fileSystem: options.fileSystem)
        var keeping: FirstPass.Keeping?
        if let next = work.first {
            try options.fileSystem.makeFolder(folder)
            let later = work.map(\.link.index).min() ?? next.link.index
            keeping = FirstPass.Keeping(
                store: try ColumnStore(folder: "\(folder)/columns", fileSystem: options.fileSystem),
                ledger: LedgerRuns(
                    folder: folder, shareBytes: shares.ledger, fileSystem: options.fileSystem),
                keep: chain.wanted(from: later, output: definition.output) + picks,
                inputs: chain.links.filter { $0.index >= later }.flatMap(\.stage.reads))
        }
        try firstPass(transforms, keeping, outputs, duplicates)
        guard let keeping else { return outputs }
        let live = try rowPhases(&work, keeping, folder: folder, picks: picks)
        try emit(keeping, live, outputs, picks)
        return outputs
    }

    // MARK: Phases

    private func bodies() throws -> [Work] {
        var work: [Work] = []
        for link in chain.links {
            do throws(StageError) {
                work += Self.flatten(try link.stage.body(context(link)), link)
            } catch {
                throw EngineError(error, stage: link.label)
            }
        }
        return work
    }

    private static func flatten(_ body: StageBody, _ link: StageChain.Link) -> [Work] {
        if case .sequence(let bodies) = body { return bodies.flatMap { flatten($0, link) } }
        return [(link, body)]
    }

    private func context(_ link: StageChain.Link) -> StageContext {
        StageContext(name: link.label, seed: link.seed, memory: shares.stage, parallel: pool.parallel)
    }

    private func takeTransforms(_ work: inout [Work]) -> TransformRun {
        var run = TransformRun()
        while let first = work.first, case .transform(let transform) = first.body {
            run.links.append(
                TransformRun.Link(
                    label: first.link.label, transform: transform, writes: first.link.stage.writes))
            work.removeFirst()
        }
        return run
    }

    private func begin(_ name: String, bytes: Int = 0, rows: Int = 0) {
        step += 1
        progress.begin(name, step: step, of: max(step, expectedSteps), totalBytes: bytes, totalRecords: rows)
    }

    /// A first pass, a pass or two for each survey and selection, a last pass.
    private var expectedSteps: Int {
        let barriers = chain.links.filter { !($0.stage is any Transform) }.count
        return barriers == 0 ? 1 : 2 + barriers
    }

    private func inputPass(stageFields: [SluiceCore.FieldPath]) -> InputPass {
        InputPass(
            catalog: catalog, spec: definition.input, stageFields: stageFields,
            limits: FramingLimits(blockBytes: options.blockBytes, maxRecord: definition.input.maxRecord),
            fileSystem: options.fileSystem, progress: progress)
    }

    private func findDuplicates(_ folder: String, after overflow: Deduper.Overflow) throws -> DuplicateStream {
        guard !catalog.isStandardInput else {
            throw EngineError(
                .resources,
                "the dedupe of standard input outgrew its \(MemorySize.describe(shares.dedupe)) after \(overflow.records) distinct records; raise `memory`, or give a file, which can be read twice")
        }
        begin("dedupe", bytes: Int(catalog.totalSize))
        try options.fileSystem.makeFolder(folder)
        let spill = try DedupeSpill(
            folder: "\(folder)/dedupe", memory: shares.dedupe, fileSystem: options.fileSystem)
        let input = inputPass(stageFields: [])
        let conveyor = Conveyor<Parcel>(
            steps: [
                .parallel { try input.parse($0) },
                .ordered { parcel in
                    for record in parcel.hashes.indices {
                        try spill.append(parcel.hashes[record], parcel.ordinals[record].rawValue)
                    }
                    input.parcels.giveBack(parcel)
                },
            ], limit: shares.blocks, isStopped: options.isStopped, openLane: { try input.lane($0) })
        try conveyor.run(on: pool)
        try spill.finish()
        return try spill.resolve()
    }

    private func firstPass(
        _ transforms: TransformRun, _ keeping: FirstPass.Keeping?, _ outputs: Outputs, _ duplicates: DuplicateStream?
    ) throws {
        begin(keeping == nil && transforms.links.isEmpty ? "copying" : "reading", bytes: Int(catalog.totalSize))
        if keeping != nil, catalog.isStandardInput {
            throw EngineError(
                .definition, "standard input can't be read twice, and stage `\(chain.links.first?.label ?? "")` needs that; write it to a file first")
        }
        let deduper = try definition.input.dedupe.map { _ in
            try Deduper(duplicates.map { .duplicates($0) } ?? .table, share: shares.dedupe)
        }
        let input = inputPass(stageFields: chain.fields)
        let pass = FirstPass(
            input: input, deduper: deduper, transforms: transforms,
            readsRecord: chain.readsRecord, wanted: chain.wanted(from: 0, output: definition.output),
            encoder: encoder, keptEncoder: keptEncoder, outputs: outputs, keeping: keeping)
        try pass.run(on: pool, limit: shares.blocks, isStopped: options.isStopped)
        account = pass.account
        files = input.readFiles
        if let deduper {
            dedupeReport = Self.report(
                deduper, records: account.read - account.quarantined, onDisk: duplicates != nil)
        }
        warn(of: transforms)
    }

    /// The bound on the chance that two different records share a hash: n²/2 pairs over 2¹²⁸.
    private static func report(_ deduper: Deduper, records: Int, onDisk: Bool) -> Report {
        let n = Double(records)
        return [
            "method": "XXH3-128", "distinct": .integer(deduper.distinct),
            "collision_probability_at_most": .real(n * n / 2 / 0x1p128),
        ]
    }

    private func rowPhases(
        _ work: inout [Work], _ keeping: FirstPass.Keeping, folder: String, picks: [ColumnName]
    ) throws -> LiveRows {
        let store = keeping.store
        var live = LiveRows(rows: store.rows)
        while let first = work.first {
            let transforms = takeTransforms(&work)
            let transformReads = transforms.links.flatMap { label in
                chain.links.first { $0.label == label.label }?.stage.reads ?? []
            }
            let reads = transformReads + (work.first?.link.stage.reads ?? [])
            let written = Set(store.types.keys)
            let pass = RowPass(
                store: store, live: live, transforms: transforms,
                reads: reads.filter { if case .column(let name) = $0 { written.contains(name) } else { true } },
                keep: Array(Set(chain.wanted(from: first.link.index, output: definition.output) + picks)).sorted(),
                ledger: keeping.ledger, encoder: encoder, progress: progress)
            guard let next = work.first else {
                begin(first.link.label, rows: store.rows)
                live.remove(try pass.run(on: pool, limit: shares.blocks, isStopped: options.isStopped))
                account.add(pass.account)
                warn(of: transforms)
                break
            }
            work.removeFirst()
            switch next.body {
            case .survey(let survey):
                begin(next.link.label, rows: store.rows)
                let (gone, result) = try pass.run(
                    survey: survey, context: context(next.link), on: pool, limit: shares.blocks,
                    isStopped: options.isStopped)
                live.remove(gone)
                if result.report != [:] { reports.append((next.link.label, result.report)) }
                work = Self.flatten(result.body, next.link) + work
            case .selection(let selection):
                if !transforms.links.isEmpty {
                    begin(first.link.label, rows: store.rows)
                    live.remove(try pass.run(on: pool, limit: shares.blocks, isStopped: options.isStopped))
                }
                try select(selection, next.link, keeping, &live, folder: folder, picks: picks)
            case .transform, .sequence:
                break
            }
            account.add(pass.account)
            warn(of: transforms)
        }
        return live
    }

    private func select(
        _ selection: any Selection, _ link: StageChain.Link, _ keeping: FirstPass.Keeping, _ live: inout LiveRows,
        folder: String, picks: [ColumnName]
    ) throws {
        begin(link.label, rows: live.count)
        let before = live.count
        let phase = SelectionPhase(
            selection, context: context(link), store: keeping.store, live: live, ledger: keeping.ledger,
            encoder: encoder, folder: "\(folder)/groups", fileSystem: options.fileSystem)
        let result = try phase.run(on: pool, isStopped: options.isStopped)
        live.remove(result.gone)
        account.add(result.account)
        if result.report != [:] { reports.append((link.label, result.report)) }
        warn(stage: link.label, before: before, after: live.count)
        let wanted = chain.wanted(from: link.index, output: definition.output) + picks
        if link.stage.writes.contains(where: { $0.name == .rank }), wanted.contains(.rank) {
            try writeRanks(result.ranks, in: keeping.store)
        }
    }

    /// Writes the order of picks as a column, -1 for rows that left.
    private func writeRanks(_ ranks: [(row: Int, rank: Int32)], in store: ColumnStore) throws {
        var next = 0
        for shard in store.shards {
            let writer = store.writer(shard: shard.number)
            var start = shard.rows.lowerBound
            while start < shard.rows.upperBound {
                let end = min(start + 65_536, shard.rows.upperBound)
                var values = [Int64](repeating: -1, count: end - start)
                while next < ranks.count, ranks[next].row < end {
                    values[ranks[next].row - start] = Int64(ranks[next].rank)
                    next += 1
                }
                try writer.append([(.rank, .integers(values))])
                start = end
            }
            let rows = try writer.commit()
            store.add(shard: shard.number, rows: rows, types: [.rank: .integer])
        }
    }

    private func emit(
        _ keeping: FirstPass.Keeping, _ live: LiveRows, _ outputs: Outputs, _ picks: [ColumnName]
    ) throws {
        begin("writing", bytes: Int(catalog.totalSize))
        let input = inputPass(stageFields: [])
        let pass = EmitPass(
            input: input, store: keeping.store, live: live, keptEncoder: keptEncoder,
            encoder: encoder, outputs: outputs, ledger: try keeping.ledger.merged(),
            pickColumns: picks.filter { keeping.store.types[$0] != nil })
        try pass.run(on: pool, limit: shares.blocks, isStopped: options.isStopped)
        try pass.close()
        for (index, read) in input.readFiles where files[index]?.hash != read.hash {
            throw EngineError(
                .data, "\(catalog.files[index].name) changed while it was read; run again when nothing writes to it")
        }
    }

    // MARK: Warnings

    private func warn(of transforms: TransformRun) {
        var remaining = account.read - account.quarantined - account.dropped(by: Deduper.stage)
        for link in chain.links {
            guard let run = transforms.links.first(where: { $0.label == link.label }) else { continue }
            let dropped = account.dropped(by: run.label)
            warn(stage: run.label, before: remaining, after: remaining - dropped)
            remaining -= dropped
        }
    }

    private func warn(stage: String, before: Int, after: Int) {
        guard before > 0, after == 0 else { return }
        let reasons = account.drops(of: stage).map { "\($0.reason) \($0.count)" }.joined(separator: ", ")
        warnings.append("stage `\(stage)` dropped all \(before) records that reached it (\(reasons))")
    }
}

extension ColumnType {
    fileprivate var isScalar: Bool { self == .integer || self == .real }
}
