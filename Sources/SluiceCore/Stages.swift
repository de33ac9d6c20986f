/// A plugin: what a definition names, with its options read and checked.
///
/// A stage says what it reads and writes, and gives the work to do as its `body`. The simplest stage is its own body:
/// conform to `Stage` and `Transform` in one struct.
///
/// One command may make the same stage several times, and ask each for its `body` several times: to check, to plan and to
/// run. So `init` and `body` must be quick, have no effect, and give the same each time.
///
/// A stage must pass `StageContract` of `SluiceTesting`:
///
/// ```swift
/// @Test func keepsTheContract() {
///     #expect(StageContract.check(TooShort.self, options: ["least": 20], records: sample).isEmpty)
/// }
/// ```
public protocol Stage: Sendable {
    /// Name, summary and options: drives parsing, checking, help and the reference.
    static var descriptor: Descriptor { get }

    /// Reads the options, which have been checked against the descriptor; its defaults are filled in.
    ///
    /// - Throws: `StageError.option(_:_:)` for values that are legal one by one and wrong together.
    init(options: OptionValues) throws(StageError)

    /// What the stage reads of a record: JSON fields, columns of earlier stages with the types that it can work with, or
    /// the whole line. The engine gives a stage nothing else. A definition with a column of another type is refused before
    /// anything is read.
    var reads: [Input] { get }

    /// The columns the stage writes, with their types; it must write all of them, and no other.
    var writes: [ColumnSpec] { get }

    /// The work to do. May be called more than once, each time with equal results.
    func body(_ context: StageContext) throws(StageError) -> StageBody
}

extension Stage where Self: WorkerTransform {
    public func body(_ context: StageContext) throws(StageError) -> StageBody { .transform(self) }
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
    case survey(any Survey)
    case selection(any Selection)
    /// One after the other.
    case sequence([StageBody])
}

/// What the engine tells a stage about the run.
public struct StageContext: Sendable {
    /// The stage's name in the definition.
    public let name: String
    /// A seed of the stage's own, made of the run's seed, the stage's name and which of that name it is.
    public let seed: Seed
    /// Memory that the stage may use, in bytes. In `body` and `memory` an upper bound; in `finish` and `select` what has been
    /// reserved for it.
    public let memory: Int
    public let parallel: Parallel
    /// The columns that earlier stages write. Empty outside a definition, such as in a test that makes a context by hand.
    public let columns: [ColumnSpec]
    private let stops: @Sendable () -> Bool

    public init(
        name: String, seed: Seed, memory: Int, parallel: Parallel = .serial, columns: [ColumnSpec] = [],
        isStopped: @escaping @Sendable () -> Bool = { false }
    ) {
        self.name = name
        self.seed = seed
        self.memory = memory
        self.parallel = parallel
        self.columns = columns
        stops = isStopped
    }

    /// Whether the run is stopping. Work that takes longer than a fraction of a second looks now and then, and returns
    /// early: whatever it returns is thrown away.
    public var isStopped: Bool { stops() }

    /// The type of a column that an earlier stage writes; nil where none does.
    public func type(of name: ColumnName) -> ColumnType? { columns.last { $0.name == name }?.type }

    /// Components of the vectors of a column that an earlier stage writes; nil where no column of vectors has that name.
    public func dimension(of name: ColumnName) -> Int? {
        guard case .vector(let dimension)? = type(of: name) else { return nil }
        return dimension
    }
}

/// How many records a plan reckons with, before anything is read.
public struct PlanEstimate: Sendable, Hashable {
    /// Records that reach the stage.
    public let records: Int
    /// Groups of one size that they are cut into.
    public let groups: Int
    /// Bytes of vectors that are held in memory at a time; a larger group is read in passes.
    public let resident: Int

    public init(records: Int, groups: Int = 1, resident: Int = .max) {
        self.records = records
        self.groups = max(1, groups)
        self.resident = resident
    }
}

/// Work that has something to tell before anything is read.
public protocol PlanNotes {
    /// Lines for `sluice plan`: what is chosen by itself and why, what each way of doing it would cost.
    func notes(_ estimate: PlanEstimate, _ context: StageContext) -> [String]
}

extension PlanNotes {
    public func notes(_ estimate: PlanEstimate, _ context: StageContext) -> [String] { [] }
}

/// Sees every record once, remembers a summary, and turns that into the next piece of work.
public protocol Survey: HoldsMemory, PlanNotes, Sendable {
    associatedtype Summary: Sendable

    /// What the survey takes, asked before anything is read: a run without room for it is refused then.
    ///
    /// Follows from the options and the context's columns alone. The context's memory is the most that the stage could get.
    func memory(_ context: StageContext) -> SurveyMemory

    /// A summary of no records: the neutral element of `merge`. Merging it into another summary, or another one into it,
    /// changes nothing.
    func makeSummary() -> Summary

    /// Adds the live records of a block to a summary.
    ///
    /// Blocks come in any order and with any limits. Several threads call it at a time, each with a summary of its own; which
    /// thread sees which block is not defined. After a stop the survey starts again from the beginning.
    ///
    /// - Throws: ends the run; nothing is kept of it.
    func observe(_ block: borrowing Block, into summary: inout Summary) throws(StageError)

    /// Adds `other` to `summary`: associative, commutative and exact, so that any tree of merges gives the same. Integer
    /// sums, minima and sets are; sums of floating-point numbers are not.
    func merge(_ other: Summary, into summary: inout Summary)

    /// Turns the summary of all records into what comes next. The summary is the survey's to take apart: the engine keeps no
    /// copy. Called once in a process, even where no record reached the stage; a run that goes on after a stop surveys and
    /// calls it again.
    func finish(_ summary: consuming Summary, _ context: StageContext) throws(StageError) -> SurveyResult
}

/// Memory that a survey declares, in bytes.
public struct SurveyMemory: Sendable, Hashable {
    /// One summary at its largest, with what `observe` and `merge` need beside it. As many threads observe at a time as there is room for summaries.
    public var summary: Int
    /// What `finish` needs beside the merged summary, with what it leaves to the work that comes next.
    public var finish: Int
    /// The most that the work which comes next holds (its `residentBytes`): leased until that work is done.
    public var leaves: Int
    /// What a person may do beside raising `memory`, such as «set `reservoir` to at most 9000».
    public var advice: String?

    public init(summary: Int, finish: Int, leaves: Int = 0, advice: String? = nil) {
        self.summary = summary
        self.finish = finish
        self.leaves = leaves
        self.advice = advice
    }

    /// What the survey can't do without: one summary, and its end.
    public var least: Int { summary + max(finish, leaves) }
}

/// What a survey turns into.
public struct SurveyResult: Sendable {
    public let body: StageBody
    /// For `run.json`: what was found and decided.
    public let report: Report

    public init(_ body: StageBody, report: Report = [:]) {
        self.body = body
        self.report = report
    }
}

/// Chooses among all records of a group, given whole columns.
///
/// Groups are independent: several may be worked on at a time, or one after the other when memory is short.
public protocol Selection: HoldsMemory, PlanNotes, Sendable {
    /// How the records are cut into groups. The stage's `reads` must declare the column, as `.integer`.
    var grouping: Grouping { get }

    /// The columns that `select` is given: vectors, integers or reals. Each is declared in the stage's `reads`, or written by an
    /// earlier piece of the stage's own work.
    var columns: [ColumnName] { get }

    /// How many records each group keeps, from 0 to its size, given the sizes of the groups in ascending order of their
    /// keys. No group is empty; where no record reached the stage there may be none.
    ///
    /// A selection whose rule and not a budget decides how many stay returns the sizes.
    func quotas(for sizes: [Int]) throws(StageError) -> [Int]

    /// Whether the selection may keep fewer records than a quota below the group's size, for example because of a minimum
    /// distance. Where it is false, a run ends with a `.fault` if that happens.
    var mayKeepFewerThanQuota: Bool { get }

    /// Memory that a group of `rows` records needs beside its columns, in bytes. More rows never need less.
    ///
    /// Follows from the options and the context's columns alone. What no group can do without, that of one row, is asked before anything
    /// is read.
    func memory(rows: Int, _ context: StageContext) -> Int

    /// Chooses. Rows are in ordinal order. Groups come in any order, several at a time, each once; after a stop perhaps
    /// again.
    ///
    /// - Returns: as many ranks as the group has rows. A run ends with a `.fault` where the outcome breaks the rules of
    ///   `GroupOutcome` or of `quotas`.
    func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome

    /// What `run.json` says of the whole, given what each group reported, in ascending order of the keys.
    func report(_ groups: GroupReports) -> Report
}

extension Selection {
    public var mayKeepFewerThanQuota: Bool { false }
}

/// How a selection cuts the records into groups.
public enum Grouping: Sendable, Hashable {
    case all
    /// By the value of an integer column, such as `cluster`.
    case by(ColumnName)
}

/// The records among which a selection chooses. Rows are in ordinal order; a column is read when it is asked for.
public struct Group: Sendable {
    /// The value of the grouping column; nil where the group is all records.
    public let key: Int?
    public let count: Int
    private let data: any GroupData

    public init(key: Int?, count: Int, data: any GroupData) {
        self.key = key
        self.count = count
        self.data = data
    }

    /// The content hashes of the records: what random draws are keyed by.
    public var hashes: [ContentHash] { get throws(StageError) { try data.hashes() } }

    /// Vectors, in memory or read again on each pass. Cost: reads the column where it fits in memory.
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

/// Where a group's columns come from.
public protocol GroupData: Sendable {
    func hashes() throws(StageError) -> [ContentHash]
    func vectors(_ name: ColumnName) throws(StageError) -> any VectorSource
    /// A column of integers or reals.
    func values(_ name: ColumnName) throws(StageError) -> Column
}

/// The vectors of a group: in memory where they fit, else read again from the work files on each pass.
public protocol VectorSource: Sendable {
    var count: Int { get }
    var dimension: Int { get }

    /// All vectors, row-major, where they are in memory; valid while the source lives.
    var resident: UnsafeBufferPointer<Int8>? { get }

    /// Hands over all rows in order, in chunks.
    func forEachChunk(_ body: (Range<Int>, UnsafeBufferPointer<Int8>) throws(StageError) -> Void) throws(StageError)

    /// One vector.
    ///
    /// - Throws: code `.fault` for an index that is no row.
    func row(_ index: Int) throws(StageError) -> [Int8]
}

/// What a selection decided about a group.
public struct GroupOutcome: Sendable {
    /// For each row its place in the order of picks, or -1 where it is dropped. The kept rows of a group have the ranks 0 to
    /// k - 1, each once. They become the column `rank` where the stage declares `ColumnSpec(.rank, .integer)` in its `writes`,
    /// and are forgotten where it does not.
    public var ranks: [Int32]
    /// For each dropped row the kept row that it lost to, or -1; -1 for kept rows. Empty where nothing has a partner.
    public var partners: [Int32]
    /// Why all dropped rows of the group leave.
    public var reason: Reason
    /// Numbers that decided, one for each row of the group; the ledger has those of dropped rows under their name, and
    /// those of kept rows are ignored. `file`, `line`, `stage`, `reason` and `kept` are keys of the ledger and no names for them.
    public var measures: [(name: String, values: [Double])]
    public var report: Report

    public init(
        ranks: [Int32], partners: [Int32] = [], reason: Reason, measures: [(name: String, values: [Double])] = [],
        report: Report = [:]
    ) {
        self.ranks = ranks
        self.partners = partners
        self.reason = reason
        self.measures = measures
        self.report = report
    }
}

/// What a selection did to one group, for `Selection.report(_:)`.
public struct GroupReport: Sendable {
    /// The value of the grouping column; nil where the group is all records.
    public let key: Int?
    /// Records that reached the selection.
    public let size: Int
    public let kept: Int
    /// `GroupOutcome.report`.
    public let report: Report

    public init(key: Int?, size: Int, kept: Int, report: Report) {
        self.key = key
        self.size = size
        self.kept = kept
        self.report = report
    }
}
