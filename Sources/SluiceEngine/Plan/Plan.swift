public import SluiceCore
public import SluiceIO

/// The plan of a run, made before anything is read: passes, memory, disk.
public struct Plan: Sendable {
    public struct Phase: Sendable {
        /// From 1; the steps of one stage share their number.
        public let number: Int
        public let name: String
        public let what: String
        /// Its memory in addition to the shares held during the whole run.
        public let shares: [Share]
    }

    public struct Share: Sendable {
        public let name: String
        public let bytes: Int
    }

    /// A stage's remarks about itself.
    public struct Note: Sendable {
        public let stage: String
        public let lines: [String]
    }

    /// Bytes on disk, estimated for `records`.
    public struct Disk: Sendable {
        public let work: Int
        public let outputs: Int
    }

    /// Warnings about the input and the stages, known before anything is read.
    public let warnings: [String]
    public let phases: [Phase]
    /// The number of passes over the whole input; one more if the dedupe outgrows its table.
    public let passes: Int
    public let notes: [Note]
    /// Data written to disk during the run, and when.
    public let spills: [String]
    /// Memory held from the first phase to the last.
    public let shares: [Share]
    public let memory: Int
    /// The smallest sufficient budget, in bytes.
    public let smallestMemory: Int
    public let files: Int
    public let inputBytes: Int
    /// The number of records on which the estimates of costs and disk are based.
    public let estimate: RecordEstimate
    public let disk: Disk
    /// Columns and fields kept as work files.
    public let workColumns: [String]

    /// - Parameters:
    ///   - fewest: if memory has no room for `threads`, the run uses fewer, but at least this many.
    ///   - given: the number of records for estimates; nil samples some input files, in milliseconds.
    ///   - store: has the inputs.
    /// - Throws: `EngineError`: an unknown stage, no input, too little memory.
    public init(
        _ definition: Definition, registry: Registry, threads: Int, fewest: Int? = nil, records given: Int? = nil,
        store: any InputStore = FileSystem.local
    ) throws {
        let chain = try StageChain(definition, registry: registry, store: store)
        try RunDirectory.checkName(definition.output.directory)
        let catalog = try InputCatalog(definition.input, store: store)
        let (pieces, shares) = try chain.work(definition, threads: threads, inputs: catalog.files.count)
        try catalog.checkReadings(pieces, definition.output)
        try catalog.refuseInputs(in: definition.output.directory)
        warnings = catalog.warnings + chain.warnings
        memory = definition.memory
        smallestMemory = try chain.smallestBudget(definition, threads: fewest ?? threads)
        files = catalog.files.count
        inputBytes = Int(catalog.totalSize)
        let estimate = given.map { RecordEstimate(records: $0, source: .given) } ?? RecordEstimate(catalog)
        let records = estimate.records
        self.estimate = estimate
        self.shares = shares.always.map(Share.init)
        notes = pieces.compactMap { Self.note(of: $0, chain, records: records, shares) }
        let outline = RunOutline(pieces)
        phases = try Self.phases(outline, definition, chain, shares)
        passes = outline.later.isEmpty ? 1 : 2

        let kept = Self.keptColumns(outline, chain, definition)
        workColumns = kept?.names ?? []
        let spills = Spills(definition, shares, outline.later, chain, width: kept?.width, records: records)
        self.spills = spills.lines
        // Kept records compress at least as well as the input did; for a pipe, typical compression of text is assumed.
        let packed = inputBytes > 0 ? inputBytes : records * RecordEstimate.typicalRecord / RecordEstimate.typicalRatio
        disk = Disk(
            work: spills.bytes, outputs: packed * (1 + definition.sinks.count) + records * Spills.packedLedgerLine)
    }

    /// The columns and fields that are kept as work files, and the bytes of a row; nil if none are.
    static func keptColumns(
        _ outline: RunOutline, _ chain: StageChain, _ definition: Definition
    ) -> (names: [String], width: Int)? {
        guard let first = outline.firstKeeping else { return nil }
        let wanted = Set(chain.wanted(from: first, output: definition.output, later: outline.later))
        let columns = chain.written.filter { wanted.contains($0.name) }
        let fields = chain.inputs(from: first, later: outline.later).filter { !$0.isColumn }
        // Ordinal and content hash of each record are always kept.
        let width = 24 + columns.reduce(0) { $0 + $1.type.width }
        return (columns.map(\.name.name) + Set(fields.map(\.description)).sorted(), width)
    }

    /// Checks all that a run refuses before it reads anything.
    ///
    /// - Throws: `EngineError`: an input that is missing, is a folder, lies in the output directory or would be read
    ///   twice although it can't; invalid options of a stage; a budget that is too small.
    @discardableResult
    public static func check(
        _ definition: Definition, registry: Registry, threads: Int, store: any InputStore = FileSystem.local
    ) throws -> [String] {
        try RunDirectory.checkName(definition.output.directory)
        let catalog = try InputCatalog(definition.input, store: store)
        let chain = try StageChain(definition, registry: registry, store: store)
        let (pieces, _) = try chain.work(definition, threads: threads)
        try catalog.checkReadings(pieces, definition.output)
        try catalog.refuseInputs(in: definition.output.directory)
        // A run asks the stages who they are before it reads anything: a program that doesn't start is found there.
        _ = try StageIdentities.report(chain)
        return chain.warnings
    }

    /// The most threads that fit into the budget, at least 1.
    ///
    /// - Throws: `EngineError` for invalid options of a stage; the run itself reports too little memory.
    public static func threads(
        _ definition: Definition, registry: Registry, atMost wanted: Int, store: any InputStore = FileSystem.local
    ) throws -> Int {
        let chain = try StageChain(definition, registry: registry, store: store)
        if try chain.fits(definition, threads: wanted) { return wanted }
        var (low, high) = (1, max(1, wanted))
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if try chain.fits(definition, threads: middle) { low = middle } else { high = middle }
        }
        return low
    }

    private static func note(
        of piece: StageWork, _ chain: StageChain, records: Int, _ shares: MemoryShares
    ) -> Note? {
        let context = chain.context(piece.link, memory: shares.most)
        func estimate(_ groups: Int) -> PlanEstimate {
            PlanEstimate(records: records, groups: groups, resident: shares.resident)
        }
        let lines: [String] =
            switch piece.body {
            case .transform(let transform): transform.notes(estimate(1), context)
            case .asking(let asking): asking.notes(estimate(1), context)
            case .survey(let survey): survey.notes(estimate(1), context)
            case .selection(let selection):
                selection.notes(estimate(groups(of: selection.grouping, chain, records: records)), context)
            case .sequence: []
            }
        return lines.isEmpty ? nil : Note(stage: piece.link.label, lines: lines)
    }

    private static let mostGroups = 4096

    /// The number of groups requested from the stage that writes the column, by an option named like the column in the
    /// plural; otherwise a number that balances the count and the size of groups, at most as many as `clusters: auto` makes.
    static func groups(of grouping: Grouping, _ chain: StageChain, records: Int) -> Int {
        let column: ColumnName
        switch grouping {
        case .all: return 1
        case .by(let name): column = name
        case .label(let name): column = ColumnName(name)
        }
        let writer = chain.links.last { $0.stage.writes.contains { $0.name == column } }
        if case .integer(let count)? = writer?.spec.options["\(column)s"] { return max(1, min(count, records)) }
        var groups = 1
        while groups < mostGroups, 4 * groups * groups <= records { groups *= 2 }
        return groups
    }
}

/// Data written to disk during a run: when, and how much.
private struct Spills {
    private(set) var lines: [String] = []
    /// The total, for the estimated number of records.
    private(set) var bytes = 0

    /// A hash and an ordinal on disk; twice that while a partition is sorted.
    private static let spilledEntry = 24
    /// A line of the ledger, as text and compressed in the output.
    private static let ledgerLine = 110
    static let packedLedgerLine = 12

    /// - Parameter width: bytes of the kept columns per record; nil if none are kept.
    init(
        _ definition: Definition, _ shares: MemoryShares, _ later: [StageWork], _ chain: StageChain, width: Int?,
        records: Int
    ) {
        func size(_ bytes: Int) -> String { MemorySize.describe(bytes) }
        if let dedupe = definition.input.dedupe {
            let fits = shares.largestTable / dedupe.heldBytes
            lines.append(
                "dedupe: up to \(size(shares.largestTable)), less what long records take, hold about \(Self.count(fits)) distinct records; of more, \(dedupe.heldOnDisk) go to disk"
            )
            if records > fits { bytes += 2 * Self.spilledEntry * records }
        }
        let sorted = definition.sinks.filter(\.isSorted).map { "`\($0.name)`" }
        if !sorted.isEmpty {
            lines.append(
                "outputs \(sorted.joined(separator: ", ")): lines that don't fit in \(size(shares.sinking[0].bytes)) are sorted on disk, unpacked, one output after the other"
            )
        }
        guard let width else { return }
        lines.append("columns: \(width) bytes a record, and as much again while a selection has them by group")
        bytes += 2 * width * records
        lines.append(
            "ledger: sorted in runs of \(size(shares.ledger)); about \(Self.ledgerLine) bytes for each record that a stage drops"
        )
        bytes += Self.ledgerLine * records
        for piece in later {
            guard case .selection(let selection) = piece.body else { continue }
            let types = chain.written(before: piece.link.index + 1)
            let row = selection.columns.reduce(0) { sum, name in
                sum + (types.last { $0.name == name }.map { if case .vector(let d) = $0.type { d } else { 0 } } ?? 0)
            }
            guard row > 0 else { continue }
            lines.append(
                "`\(piece.link.label)`: a group of more than \(Self.count(shares.resident / row)) records is read again in each pass over it"
            )
        }
    }

    /// Rounded to two digits, as an estimate: `1,200,000`.
    private static func count(_ value: Int) -> String {
        var (figure, factor) = (value, 1)
        while figure >= 100 { (figure, factor) = (figure / 10, factor * 10) }
        var digits = Array(String(figure * factor))
        var place = digits.count - 3
        while place > 0 {
            digits.insert(",", at: place)
            place -= 3
        }
        return String(digits)
    }
}

extension Definition {
    /// The definition with all paths as they would stand in its file: relative to its folder if they are in it.
    package func relative(_ registry: Registry) -> Definition { StageFiles.relative(self, registry) }
}
