/// Sees every record once, builds a summary, and turns it into the next body.
///
/// What it learns can be written as bytes and read again (`ByteCodable`): the summaries of parts of the input may be made
/// by different processes, and what follows from them is learned once and kept over a stop.
public protocol Survey: HoldsMemory, PlanNotes, Sendable {
    associatedtype Summary: ByteCodable & Sendable
    /// What the survey learns from all records, and all that the next body is made from.
    associatedtype Outcome: ByteCodable & Sendable

    /// The memory that the survey needs. Asked before anything is read; a run without room for it is refused.
    ///
    /// Must depend on the options and the context's columns alone. The context's memory is an upper bound.
    func memory(_ context: StageContext) -> SurveyMemory

    /// A summary of no records: the neutral element of `merge`. Merging it into another summary, or another one into
    /// it, changes nothing.
    func makeSummary() -> Summary

    /// Adds the live records of a block to a summary.
    ///
    /// Blocks come in any order and with any boundaries. Several threads call this at the same time, each with its own
    /// summary; which thread sees which block is undefined. After a stop the survey starts again from the beginning.
    ///
    /// - Throws: an error ends the run and discards the survey's work.
    func observe(_ block: borrowing Block, into summary: inout Summary) throws(StageError)

    /// Adds `other` to `summary`. Must be associative, commutative and exact, so that any tree of merges gives the same
    /// result. Integer sums, minima and sets qualify; floating-point sums do not.
    func merge(_ other: Summary, into summary: inout Summary)

    /// Learns from the summary of all records. May consume the summary: the engine keeps no copy. Called once in a run,
    /// even if no record reached the stage; a run that is resumed after it uses the outcome kept on disk.
    func finish(_ summary: consuming Summary, _ context: StageContext) throws(StageError) -> SurveyResult<Outcome>

    /// Makes the next body from what was learned. Called in every process that needs the body, so it should be quick, and
    /// must give equal bodies for equal outcomes.
    func makeBody(_ outcome: Outcome, _ context: StageContext) throws(StageError) -> StageBody

    /// What kind of model the outcome is, such as `lsa`; nil, the default, if it is none.
    ///
    /// The bytes of a model are kept with the run, in the file `models/STAGE.KIND` of its directory. A later run may
    /// use it, and the columns that follow from it can be computed again without a survey. Letters, digits and `-`.
    var modelKind: String? { get }

    /// The surveys and selections that the next body leads to, in order; none, the default, if it consists of transforms.
    ///
    /// The tasks of a run are listed before anything is read, so this must depend on the options and the context's columns
    /// alone. Another body is a `.fault`.
    var leadsTo: [FurtherWork] { get }
}

extension Survey {
    public var modelKind: String? { nil }
    public var leadsTo: [FurtherWork] { [] }
}

extension Survey where Outcome == Summary {
    /// The summary itself is what was learned.
    public func finish(
        _ summary: consuming Summary, _ context: StageContext
    ) throws(StageError) -> SurveyResult<Outcome> { SurveyResult(summary) }
}

/// Work in rounds of its own that follows from a survey.
public enum FurtherWork: String, Sendable {
    case survey, selection
}

extension StageBody {
    /// Its surveys and selections, in order, with those that its surveys lead to.
    public var furtherWork: [FurtherWork] {
        switch self {
        case .transform, .asking: []
        case .survey(let survey): [.survey] + survey.leadsTo
        case .selection: [.selection]
        case .sequence(let bodies): bodies.flatMap(\.furtherWork)
        }
    }
}

/// Memory that a survey declares, in bytes.
public struct SurveyMemory: Sendable, Hashable {
    /// One summary at its largest, plus what `observe` and `merge` need in addition. As many threads observe at the
    /// same time as there is room for summaries.
    public var summary: Int
    /// What `finish` needs in addition to the merged summary, including what it passes on to the next body.
    public var finish: Int
    /// An upper bound of the next body's `residentBytes`, leased until that body is done.
    public var leaves: Int
    /// Advice other than raising `memory`, such as «set `reservoir` to at most 9000».
    public var advice: String?

    public init(summary: Int, finish: Int = 0, leaves: Int = 0, advice: String? = nil) {
        self.summary = summary
        self.finish = finish
        self.leaves = leaves
        self.advice = advice
    }

    /// The least that the survey needs: one summary, and the end.
    public var least: Int { summary + max(finish, leaves) }
}

/// The result of a survey: what was learned, and a report.
public struct SurveyResult<Outcome: Sendable>: Sendable {
    public let outcome: Outcome
    /// The findings and decisions, for `run.json`.
    public let report: JSONValue
    /// What a person should know, one sentence each; see `Selection.warnings(_:)`.
    public let warnings: [String]

    public init(_ outcome: Outcome, report: JSONValue = [:], warnings: [String] = []) {
        self.outcome = outcome
        self.report = report
        self.warnings = warnings
    }
}
