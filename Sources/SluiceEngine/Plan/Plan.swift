public import SluiceCore
import SluiceIO

/// What a run will do, told before anything is read: passes, memory, disk.
public struct Plan: Sendable {
    public struct Phase: Sendable {
        public let name: String
        public let what: String
    }

    public struct Share: Sendable {
        public let name: String
        public let bytes: Int
    }

    public let phases: [Phase]
    public let shares: [Share]
    public let memory: Int
    public let files: Int
    public let inputBytes: Int
    /// Work files that later phases need, in bytes for each record; nil where there are none.
    public let workBytesPerRecord: Int?
    /// Columns and fields that are kept as work files.
    public let workColumns: [String]

    /// - Throws: `EngineError`: an unknown stage, no input, too little memory.
    public init(_ definition: Definition, registry: Registry, threads: Int) throws {
        let chain = try StageChain(definition, registry: registry)
        let catalog = try InputCatalog(definition.input, fileSystem: .local)
        let shares = try MemoryShares(definition, threads: threads)
        memory = definition.memory
        files = catalog.files.count
        inputBytes = Int(catalog.totalSize)
        self.shares = shares.described(usesDedupe: definition.input.dedupe != nil, hasStages: !chain.links.isEmpty)
        let work = try chain.links.flatMap { link in
            try Plan.kinds(of: link, memory: shares.stage).map { (link, $0) }
        }
        let split = work.firstIndex { $0.1 != .transform } ?? work.endIndex
        phases = Plan.describe(definition, first: Array(work[..<split]), later: Array(work[split...]))
        guard split < work.endIndex else {
            workBytesPerRecord = nil
            workColumns = []
            return
        }
        let later = work[split...].map(\.0.index).min() ?? 0
        let wanted = Set(chain.wanted(from: later, output: definition.output))
        let columns = chain.written.filter { wanted.contains($0.name) }
        let fields = FieldColumns.names(for: chain.links.filter { $0.index >= later }.flatMap(\.stage.reads))
        // Ordinal and content hash of each record are always kept.
        workBytesPerRecord = 24 + columns.reduce(0) { $0 + $1.type.width }
        workColumns = columns.map(\.name.name) + fields.map(\.name)
    }

    enum Kind { case transform, survey, selection }

    private static func kinds(of link: StageChain.Link, memory: Int) throws -> [Kind] {
        let context = StageContext(name: link.label, seed: link.seed, memory: memory)
        func kinds(_ body: StageBody) -> [Kind] {
            switch body {
            case .transform: [.transform]
            case .survey: [.survey]
            case .selection: [.selection]
            case .sequence(let bodies): bodies.flatMap(kinds)
            }
        }
        do throws(StageError) {
            return kinds(try link.stage.body(context))
        } catch {
            throw EngineError(error, stage: link.label)
        }
    }

    private static func describe(
        _ definition: Definition, first: [(StageChain.Link, Kind)], later: [(StageChain.Link, Kind)]
    ) -> [Phase] {
        var steps = ["read and check every line"]
        if definition.input.dedupe != nil { steps.append("dedupe (in memory; in partitions on disk if it outgrows its share)") }
        steps += first.map { "`\($0.0.label)`" }
        if later.isEmpty {
            return [Phase(name: "reading", what: (steps + ["write kept records, ledger and quarantine"]).joined(separator: ", "))]
        }
        var phases = [Phase(name: "reading", what: (steps + ["keep the columns that follow need"]).joined(separator: ", "))]
        for (link, kind) in later {
            let what =
                switch kind {
                case .transform: "go over the kept columns"
                case .survey: "go once over the kept columns, then decide; what it decides on runs in the same way"
                case .selection: "gather each group's columns, choose in each group"
                }
            phases.append(Phase(name: link.label, what: what))
        }
        phases.append(Phase(name: "writing", what: "read the input again, write kept records and ledger"))
        return phases
    }
}

extension MemoryShares {
    func described(usesDedupe: Bool, hasStages: Bool) -> [Plan.Share] {
        var list = [
            Plan.Share(name: "the program", bytes: Self.program),
            Plan.Share(name: "\(blocks) blocks under way", bytes: blocks * Self.perBlock),
            Plan.Share(name: "threads: parsing and compressing", bytes: total - Self.program - blocks * Self.perBlock - stage - ledger),
        ]
        if usesDedupe { list.append(Plan.Share(name: "dedupe table, while reading", bytes: dedupe)) }
        if hasStages {
            list.append(Plan.Share(name: "a stage's state and groups, after reading", bytes: stage))
            list.append(Plan.Share(name: "ledger lines to be sorted", bytes: ledger))
        }
        return list
    }
}
