/// A plugin: a stage that a definition names, with its options read and checked.
///
/// A stage declares what it reads and writes, and returns its work as `body`. The simplest stage is its own body:
/// conform to `Stage` and `Transform` in one struct.
///
/// One command may create the same stage several times, and ask each for its `body` several times: to check, to plan
/// and to run. So `init` and `body` must be quick, have no side effects, and give equal results each time.
///
/// A stage must pass the contract kit. Its first lines, in a test target that depends on `SluiceTesting`:
///
/// ```swift
/// import SluiceTesting
/// import Testing
///
/// @Test func keepsTheContract() {
///     let records = ["a short one", "one with more words than that"].map { #"{"prompt": "\($0)"}"# }
///     #expect(StageContract.check(TooShort.self, options: ["least": 20], records: records) == [])
/// }
/// ```
///
/// Use a few dozen records that reach every branch. `docs/writing-stages.md` has a whole stage of each kind.
public protocol Stage: Sendable {
    /// Name, summary and options: drives parsing, checking, help and the reference.
    static var descriptor: Descriptor { get }

    /// Reads the options, which have been checked against the descriptor and have its defaults filled in.
    ///
    /// - Throws: `StageError.option(_:_:)` for values that are valid one by one but not together.
    init(options: OptionValues) throws(StageError)

    /// The inputs of the stage: JSON fields, columns of earlier stages with the types that it accepts, or the whole
    /// line. The stage sees nothing else. A definition with a column of another type is refused before anything is
    /// read.
    var reads: [Input] { get }

    /// The columns that the stage writes, with their types. It must write all of them and no others.
    var writes: [ColumnSpec] { get }

    /// The stage as it works after the columns of the stages before it, for one whose inputs, outputs or defaults depend on
    /// them. `reads`, `writes` and `body` are then asked of the result. Itself by default.
    ///
    /// - Parameter columns: in the order of their writers; the last of a name holds.
    func adapted(to columns: [ColumnSpec]) throws(StageError) -> Self

    /// What a person should know who puts the stage after these columns, as sentences: that vectors don't suit it, say. Not
    /// for what can't work, which `adapted(to:)` refuses. None by default.
    ///
    /// Asked of the adapted stage. `sluice check` and `plan` print it, and a run keeps it in `run.json`.
    func warnings(after columns: [ColumnSpec]) -> [String]

    /// What determines the stage's results besides its options and the files that they name, by name: the version of a
    /// model runtime, the digest of a command. None by default.
    ///
    /// Asked once when a run begins, before anything is read. `run.json` lists it, and it is part of the digest of the
    /// definition: with other values, a run is another run, which neither resumes the work of this one nor takes its
    /// result for its own.
    func identity() throws(StageError) -> [String: String]

    /// The work to do. May be called more than once, each time with equal results.
    func body(_ context: StageContext) throws(StageError) -> StageBody
}

extension Stage {
    public func identity() throws(StageError) -> [String: String] { [:] }
    public func adapted(to columns: [ColumnSpec]) throws(StageError) -> Self { self }
    public func warnings(after columns: [ColumnSpec]) -> [String] { [] }
}

extension Stage where Self: WorkerTransform {
    public func body(_ context: StageContext) throws(StageError) -> StageBody { .transform(self) }
}

extension Stage where Self: AskingBatchTransform {
    public func body(_ context: StageContext) throws(StageError) -> StageBody { .asking(self) }
}

extension Stage where Self: Survey {
    public func body(_ context: StageContext) throws(StageError) -> StageBody { .survey(self) }
}

extension Stage where Self: Selection {
    public func body(_ context: StageContext) throws(StageError) -> StageBody { .selection(self) }
}

/// The work of a stage, weakest kind first.
public indirect enum StageBody: Sendable {
    case transform(any WorkerTransform)
    case asking(any AskingBatchTransform)
    case survey(any Survey)
    case selection(any Selection)
    /// Bodies that run one after the other.
    case sequence([StageBody])
}

/// The run as a stage sees it: name, seed, memory, threads and columns.
public struct StageContext: Sendable {
    /// The stage's name in the definition.
    public let name: String
    /// The stage's own seed, derived from the run's seed, the stage's name and its index among stages of that name.
    public let seed: Seed
    /// Memory available to the stage, in bytes. In `body` and `memory` an upper bound; in `finish` and `select` exactly
    /// what has been reserved.
    public let memory: Int
    public let parallel: Parallel
    /// The columns that earlier stages write. Empty outside a definition, such as in a test that creates its own
    /// context.
    public let columns: [ColumnSpec]
    /// Where the stage notes what a person may want to know and no result depends on; nil outside a run.
    public let journal: StageJournal?
    private let stops: @Sendable () -> Bool

    public init(
        name: String, seed: Seed, memory: Int, parallel: Parallel = .serial, columns: [ColumnSpec] = [],
        journal: StageJournal? = nil, isStopped: @escaping @Sendable () -> Bool = { false }
    ) {
        self.name = name
        self.seed = seed
        self.memory = memory
        self.parallel = parallel
        self.columns = columns
        self.journal = journal
        stops = isStopped
    }

    /// Whether the run is stopping. Work that takes longer than a fraction of a second should check this from time to
    /// time and return early; its result is then discarded.
    public var isStopped: Bool { stops() }

    /// The same context, which also stops where `isStopped` says so.
    package func stopping(_ isStopped: @escaping @Sendable () -> Bool) -> StageContext {
        StageContext(
            name: name, seed: seed, memory: memory, parallel: parallel, columns: columns, journal: journal,
            isStopped: { [stops] in stops() || isStopped() })
    }

    /// The type of a column that an earlier stage writes; nil if there is none.
    public func type(of name: ColumnName) -> ColumnType? { columns.last { $0.name == name }?.type }

    /// The distance within which vectors of a column are usually near duplicates; nil if the stage that writes them
    /// declares none.
    public func nearDuplicateDistance(of name: ColumnName) -> Double? {
        columns.last { $0.name == name }?.nearDuplicateDistance
    }

    /// The dimension of a vector column that an earlier stage writes; nil if there is no such column.
    public func dimension(of name: ColumnName) -> Int? {
        guard case .vector(let dimension)? = type(of: name) else { return nil }
        return dimension
    }
}

/// The estimated number of records, before anything is read.
public struct PlanEstimate: Sendable, Hashable {
    /// Records that reach the stage.
    public let records: Int
    /// The number of groups, assumed to be of equal size.
    public let groups: Int
    /// Bytes of vectors that fit in memory at a time; a larger group is read in passes.
    public let resident: Int

    public init(records: Int, groups: Int = 1, resident: Int = .max) {
        self.records = records
        self.groups = max(1, groups)
        self.resident = resident
    }
}

/// Work that can describe itself before anything is read.
public protocol PlanNotes {
    /// Lines for `sluice plan`: what is chosen automatically and why, and the cost of each alternative.
    func notes(_ estimate: PlanEstimate, _ context: StageContext) -> [String]

    /// About how many multiply-adds of whole numbers the work takes over all groups, if it grows faster than the number of
    /// records; 0, the default, if it does not. For estimates of time.
    func multiplyAdds(_ estimate: PlanEstimate, _ context: StageContext) -> Double
}

extension PlanNotes {
    public func notes(_ estimate: PlanEstimate, _ context: StageContext) -> [String] { [] }
    public func multiplyAdds(_ estimate: PlanEstimate, _ context: StageContext) -> Double { 0 }
}

/// Chooses among all records of a group, given entire columns.
///
/// Groups are independent: several may be processed at the same time, or one after the other if memory is short.
public protocol Selection: HoldsMemory, PlanNotes, Sendable {
    /// How the records are split into groups; one group of all by default. The stage's `reads` must declare the column or
    /// label: see `Grouping.reads`.
    var grouping: Grouping { get }

    /// A column of integers from 0, such as counts of tokens, whose sum in each group `quotas` gets; nil for none. The
    /// stage's `reads` must declare it, as `.integer`.
    var weights: ColumnName? { get }

    /// The columns that `select` gets: vectors, integers or reals; none by default. Each is declared in the stage's `reads`
    /// or written by an earlier part of the stage's body.
    var columns: [ColumnName] { get }

    /// Columns of integers or reals that the selection writes besides `rank`. The stage declares them in `writes`, too.
    var outcomeColumns: [ColumnSpec] { get }

    /// How many records each group keeps, from 0 to its size, given the label, size and weight of each group: in
    /// ascending order of their keys, or of their labels byte by byte, the group without a label first. No group is
    /// empty. If no record reached the stage, there may be no groups.
    ///
    /// If a rule and not a budget decides how many stay, return `groups.sizes`.
    func quotas(for groups: Groups) throws(StageError) -> [Int]

    /// Whether `quotas` gives each group a sum of `weights`, from 0 to the group's, and not a number of records: a budget
    /// of tokens. Then `columns` must name the weights, and a group may keep less than its quota.
    var quotasAreWeights: Bool { get }

    /// Whether the selection may keep fewer records than a quota below the group's size, for example because of a
    /// minimum distance. If it is false, keeping fewer ends the run with a `.fault`.
    var mayKeepFewerThanQuota: Bool { get }

    /// Memory that a group of `rows` records needs in addition to its columns, in bytes. Must not decrease as `rows`
    /// grows.
    ///
    /// Must depend on the options and the context's columns alone. The need of one row is checked before anything is
    /// read.
    func memory(rows: Int, _ context: StageContext) -> Int

    /// Chooses among the rows, which are in ordinal order. Groups come in any order, several at the same time, each
    /// once; after a stop some may come again.
    ///
    /// - Returns: one rank per row. A run ends with a `.fault` if the outcome breaks the rules of `GroupOutcome` or of
    ///   `quotas`.
    func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome

    /// The report of the whole selection for `run.json`, given the report of each group in ascending order of the keys. By
    /// default the numbers of groups, records and kept records.
    func report(_ groups: GroupReports) -> JSONValue

    /// What a person should know of the result, one sentence each, such as a label without any record. Shown at the end
    /// of the run, with the stage's name before it, and listed in `run.json`.
    func warnings(_ groups: GroupReports) -> [String]
}

extension Selection {
    public var grouping: Grouping { .all }
    public var columns: [ColumnName] { [] }
    public var weights: ColumnName? { nil }
    public var outcomeColumns: [ColumnSpec] { [] }
    public func warnings(_ groups: GroupReports) -> [String] { [] }
    public var mayKeepFewerThanQuota: Bool { false }
    public var quotasAreWeights: Bool { false }

    /// How many groups and records there were, and how many records stay.
    public func report(_ groups: GroupReports) -> JSONValue {
        var (records, kept) = (0, 0)
        for group in groups {
            records += group.size
            kept += group.kept
        }
        return ["groups": .integer(groups.count), "records": .integer(records), "kept": .integer(kept)]
    }
}

/// The records from which a selection chooses. Rows are in ordinal order; a column is read on access.
public struct Group: Sendable {
    /// What the records of the group have in common.
    public let key: GroupKey
    public let count: Int
    private let data: any GroupData

    public init(key: GroupKey, count: Int, data: any GroupData) {
        self.key = key
        self.count = count
        self.data = data
    }

    /// The content hashes of the records: the keys for random draws.
    public var hashes: [ContentHash] { get throws(StageError) { try data.hashes() } }

    /// Vectors, in memory or read again on each pass. Cost: reads the column if it fits in memory.
    public func vectors(_ name: ColumnName) throws(StageError) -> any VectorSource { try data.vectors(name) }

    public func integers(_ name: ColumnName) throws(StageError) -> [Int64] {
        let column = try data.values(name)
        guard case .integers(let values) = column else { throw .missingColumn(name, "integers", found: column.type) }
        return values
    }

    public func reals(_ name: ColumnName) throws(StageError) -> [Double] {
        let column = try data.values(name)
        guard case .reals(let values) = column else { throw .missingColumn(name, "reals", found: column.type) }
        return values
    }

    /// A column of integers or reals, as reals. An integer beyond 2^53 is rounded.
    public func numbers(_ name: ColumnName) throws(StageError) -> [Double] { try data.values(name).numbers(name) }
}

/// The source of a group's columns.
public protocol GroupData: Sendable {
    func hashes() throws(StageError) -> [ContentHash]
    func vectors(_ name: ColumnName) throws(StageError) -> any VectorSource
    /// A column of integers or reals.
    func values(_ name: ColumnName) throws(StageError) -> Column
}

/// The vectors of a group: in memory if they fit, otherwise read again from the work files on each pass.
public protocol VectorSource: Sendable {
    var count: Int { get }
    var dimension: Int { get }

    /// All vectors, row-major, valid as long as the source exists; nil if they are not in memory.
    var resident: UnsafeBufferPointer<Int8>? { get }

    /// Calls `body` with all rows in order, in chunks.
    func forEachChunk(_ body: (Range<Int>, UnsafeBufferPointer<Int8>) throws(StageError) -> Void) throws(StageError)

    /// One vector.
    ///
    /// - Throws: code `.fault` for an index out of range.
    func row(_ index: Int) throws(StageError) -> [Int8]
}

/// A selection's decision about a group.
public struct GroupOutcome: Sendable {
    /// For each row its position in the pick order, or -1 if it is dropped. The k kept rows of a group have the ranks 0
    /// to k - 1, each once. They become the column `rank` if the stage declares `ColumnSpec(.rank, .integer)` in its
    /// `writes`; otherwise they are not stored.
    public var ranks: [Int32]
    /// For each dropped row the kept row that it lost to, or -1; -1 for kept rows. Empty if no row has a partner.
    public var partners: [Int32]
    /// The reason of all drops in the group.
    public var reason: Reason
    /// The numbers behind the decision, one for each row of the group. The ledger gets those of dropped rows, under the
    /// given name; those of kept rows are ignored. The names `file`, `line`, `stage`, `reason` and `kept` are reserved
    /// for the ledger.
    public var measures: [(name: String, values: [Double])]
    /// The columns of `Selection.outcomeColumns`, each with one value for each row of the group; those of dropped rows
    /// are ignored.
    public var columns: [(name: ColumnName, column: Column)] = []
    public var report: JSONValue

    public init(
        ranks: [Int32], partners: [Int32] = [], reason: Reason, measures: [(name: String, values: [Double])] = [],
        report: JSONValue = [:]
    ) {
        self.ranks = ranks
        self.partners = partners
        self.reason = reason
        self.measures = measures
        self.report = report
    }

    /// Keeps rows of a group, best first: the first gets rank 0. All others are dropped.
    ///
    /// - Parameters:
    ///   - kept: each row at most once.
    ///   - count: the number of rows of the group.
    public init(keeping kept: some Sequence<some BinaryInteger>, of count: Int, reason: Reason) {
        var ranks = [Int32](repeating: -1, count: count)
        for (rank, row) in kept.enumerated() { ranks[Int(row)] = Int32(rank) }
        self.init(ranks: ranks, reason: reason)
    }
}

/// The result of a selection in one group, for `Selection.report(_:)`.
public struct GroupReport: Sendable {
    public let key: GroupKey
    /// Records that reached the selection.
    public let size: Int
    public let kept: Int
    /// `GroupOutcome.report`.
    public let report: JSONValue

    public init(key: GroupKey, size: Int, kept: Int, report: JSONValue) {
        self.key = key
        self.size = size
        self.kept = kept
        self.report = report
    }
}
