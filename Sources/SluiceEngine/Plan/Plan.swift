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

    /// What a selection takes, estimated for a number of records.
    public struct Cost: Sendable {
        public let stage: String
        /// One for each way that a definition can choose.
        public let ways: [String]
    }

    public let phases: [Phase]
    public let costs: [Cost]
    public let shares: [Share]
    public let memory: Int
    public let files: Int
    public let inputBytes: Int
    /// Work files that later phases need, in bytes for each record; nil where there are none.
    public let workBytesPerRecord: Int?
    /// Columns and fields that are kept as work files.
    public let workColumns: [String]
    /// What a dedupe beyond its share keeps as work files, and so long as it is at it; nil where there is no dedupe.
    public let dedupeWork: String?

    /// - Parameter records: how many to estimate costs for; how many the input holds is known only when it has been read.
    /// - Throws: `EngineError`: an unknown stage, no input, too little memory.
    public init(_ definition: Definition, registry: Registry, threads: Int, records: Int = 1_000_000) throws {
        let chain = try StageChain(definition, registry: registry)
        let catalog = try InputCatalog(definition.input, fileSystem: .local)
        let shares = try MemoryShares(definition, threads: threads)
        memory = definition.memory
        files = catalog.files.count
        inputBytes = Int(catalog.totalSize)
        dedupeWork = definition.input.dedupe?.heldOnDisk
        self.shares = shares.described(dedupe: definition.input.dedupe, hasStages: !chain.links.isEmpty)
        let bodies = try chain.links.map { ($0, try Plan.bodies(of: $0, chain, memory: shares.stage)) }
        costs = bodies.flatMap { link, bodies in
            bodies.compactMap { Plan.cost(of: $0, link, chain, records: records, memory: shares.resident) }
        }
        let work = bodies.flatMap { link, bodies in bodies.map { (link, Kind($0)) } }
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

    enum Kind {
        case transform, survey, selection

        init(_ body: StageBody) {
            switch body {
            case .survey: self = .survey
            case .selection: self = .selection
            default: self = .transform
            }
        }
    }

    private static func context(_ link: StageChain.Link, _ chain: StageChain, memory: Int) -> StageContext {
        StageContext(
            name: link.label, seed: link.seed, memory: memory, columns: chain.written(before: link.index))
    }

    /// The pieces of work of a stage, none of them a sequence.
    private static func bodies(of link: StageChain.Link, _ chain: StageChain, memory: Int) throws -> [StageBody] {
        func flat(_ body: StageBody) -> [StageBody] {
            if case .sequence(let bodies) = body { return bodies.flatMap(flat) }
            return [body]
        }
        do throws(StageError) {
            return flat(try link.stage.body(context(link, chain, memory: memory)))
        } catch {
            throw EngineError(error, stage: link.label)
        }
    }

    private static func cost(
        of body: StageBody, _ link: StageChain.Link, _ chain: StageChain, records: Int, memory: Int
    ) -> Cost? {
        guard case .selection(let selection) = body else { return nil }
        let groups = groups(of: selection.grouping, chain, records: records)
        let ways = selection.costs(rows: records, groups: groups, context(link, chain, memory: memory))
        return ways.isEmpty ? nil : Cost(stage: link.label, ways: ways)
    }

    /// As many as the stage that writes the column was told to make, by an option with the column's name in the plural; else as many as
    /// balance their number and their size.
    private static func groups(of grouping: Grouping, _ chain: StageChain, records: Int) -> Int {
        guard case .by(let column) = grouping else { return 1 }
        let writer = chain.links.last { $0.stage.writes.contains { $0.name == column } }
        if case .integer(let count)? = writer?.spec.options["\(column)s"] { return max(1, min(count, records)) }
        var groups = 1
        while 4 * groups * groups <= records { groups *= 2 }
        return groups
    }

    private static func describe(
        _ definition: Definition, first: [(StageChain.Link, Kind)], later: [(StageChain.Link, Kind)]
    ) -> [Phase] {
        var steps = ["read and check every line"]
        if let dedupe = definition.input.dedupe { steps.append(dedupe.planned) }
        steps += first.map { "`\($0.0.label)`" }
        if later.isEmpty {
            return [
                Phase(
                    name: "reading",
                    what: (steps + ["write kept records, ledger and quarantine"]).joined(separator: ", "))
            ]
        }
        var phases = [
            Phase(name: "reading", what: (steps + ["keep the columns that follow need"]).joined(separator: ", "))
        ]
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
    func described(dedupe spec: DedupeSpec?, hasStages: Bool) -> [Plan.Share] {
        var list = [
            Plan.Share(name: "the program", bytes: Self.program),
            Plan.Share(name: "\(blocks) blocks under way", bytes: blocks * Self.perBlock),
            Plan.Share(
                name: "threads: parsing and compressing",
                bytes: total - Self.program - blocks * Self.perBlock - stage - ledger),
        ]
        if let spec { list.append(Plan.Share(name: spec.heldInMemory, bytes: dedupe)) }
        if hasStages {
            list.append(Plan.Share(name: "a stage's state and groups, after reading", bytes: stage))
            list.append(Plan.Share(name: "ledger lines to be sorted", bytes: ledger))
        }
        return list
    }
}
