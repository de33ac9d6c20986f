import SluiceBudgets
public import SluiceCore

/// Draws records at random within labels, each with its own budget. Needs no vectors.
public struct MixtureStage: Stage {
    public static let descriptor = Descriptor(
        name: "mixture",
        summary: "Draws records at random, so much of each label: the mixture of a training set.",
        discussion: """
            Each record draws a number from its content and the seed; of each group the lowest stay, as its budget \
            allows. So the records of a smaller budget are among those of a larger one, and the order and the cutting of \
            the input don't matter. Records of equal content draw equal numbers; the earlier ones come first. Writes \
            `rank`, the place within the group. Reason: not-sampled.

            The budget: `keep` is split among groups by `shares`, or `quota` gives budgets by label («Dynamics of \
            Instruction Tuning», arXiv 2310.19651: each ability wants its own amount); no group gets more than it has or \
            than `cap`; what is left goes to the others by the same rule. `run.json` reports what fell short. With \
            `unit: COLUMN` it counts the sum of that column, such as tokens: a group then keeps the first records drawn, up to \
            the one that would exceed its budget. Memory: 40 bytes per record of the largest group.
            """,
        options: GroupBudget.options + [GroupBudget.unitOption])

    private let budget: GroupBudget

    public init(options: OptionValues) throws(StageError) {
        budget = try GroupBudget(options: options)
        guard budget.grouping != .all || budget.unit != nil else {
            throw .option("per", "`mixture` draws within labels; add `per`, or use `sample` to draw among all records")
        }
    }

    public var reads: [Input] { budget.reads }
    public var writes: [ColumnSpec] { [ColumnSpec(.rank, .integer)] }

    public func body(_ context: StageContext) -> StageBody {
        .selection(OrderedSelection(order: .drawn, budget: budget))
    }
}

/// `mixture` in a definition written in Swift.
public struct Mixture: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameter budget: other options of a budget, such as `shares`, `cap` or `unit`.
    public init(keep: Quantity, per: String, quota: [String: OptionValue]? = nil, budget: OptionValues = [:]) {
        var options = budget
        options["keep"] = .quantity(keep)
        options["per"] = .text(per)
        options["quota"] = quota.map { .map($0) }
        stageSpec = StageSpec("mixture", options)
    }
}
