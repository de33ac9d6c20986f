import SluiceBudgets
public import SluiceCore

extension ColumnName {
    /// The number by which `top` orders.
    static let topNumber: ColumnName = "top_number"
}

/// Keeps the records with the highest or lowest numbers, of all or within labels. Needs no vectors.
public struct TopStage: Stage {
    enum Missing: String, CaseIterable, Sendable {
        case drop, fail
        case keepLast = "keep-last"
    }

    public static let descriptor = Descriptor(
        name: "top",
        summary: "Keeps the records with the highest or lowest numbers, within a budget.",
        discussion: """
            Orders by a column of numbers (`by`) or by a field of the record (`field`), ties by the input's order, and \
            keeps the first of each group, as its budget allows. Writes `rank`, the place within the group, and \
            `top_number`. A record without a number, or with text that is none, is dropped (reason: no-number), comes \
            after all others (`missing: keep-last`), or ends the run (`fail`); it never counts as 0.

            The budget: `keep` is split among groups by `shares`; no group gets more than it has or than `cap`; what is \
            left goes to the others by the same rule. With `unit: COLUMN` it counts the sum of that column, such as tokens: a \
            group then keeps its first records up to the one that would exceed its budget. Memory: 48 bytes per record of \
            the largest group.
            """,
        options: [
            OptionSpec(
                "by", .column(.number), help: "the column of numbers to order by", example: "similarity"),
            OptionSpec("field", .text, help: "the field of the record to order by", example: "meta.score"),
            OptionSpec(
                "order", .choice(["highest", "lowest"]), default: "highest", help: "which numbers come first",
                example: "lowest"),
            OptionSpec(
                "missing", .choice(Missing.allCases.map(\.rawValue)), default: .text(Missing.drop.rawValue),
                help: "records without a number: drop them, put them last (keep-last), or end the run (fail)",
                example: "keep-last"),
        ] + GroupBudget.options + [GroupBudget.unitOption])

    private let column: ColumnName?
    private let field: FieldPath?
    private let isLowest: Bool
    private let missing: Missing
    private let budget: GroupBudget

    public init(options: OptionValues) throws(StageError) {
        guard (options["by"] == nil) != (options["field"] == nil) else {
            throw .option(
                options["by"] == nil ? "keep" : "field",
                "`top` needs either `by`, a column of numbers, or `field`, a field of the record")
        }
        column = options["by"] == nil ? nil : try options.column("by")
        field = options["field"] == nil ? nil : try options.field("field")
        isLowest = try options.text("order") == "lowest"
        missing = Missing(rawValue: try options.text("missing")) ?? .drop
        budget = try GroupBudget(options: options)
    }

    public var reads: [Input] {
        (column.map { [.column($0, .number)] } ?? []) + (field.map { [.field($0)] } ?? []) + budget.reads
    }
    public var writes: [ColumnSpec] { [ColumnSpec(.rank, .integer), ColumnSpec(.topNumber, .real)] }

    public func body(_ context: StageContext) -> StageBody {
        let reading = NumberReading(column: column, field: field, isLowest: isLowest, missing: missing)
        let order = GroupOrder.numbers(.topNumber, isLowest: isLowest)
        return .sequence([.transform(reading), .selection(OrderedSelection(order: order, budget: budget))])
    }
}

/// Writes the number of each record, and deals with those that have none.
struct NumberReading: Transform {
    let column: ColumnName?
    let field: FieldPath?
    let isLowest: Bool
    let missing: TopStage.Missing

    func apply(to block: inout Block) throws(StageError) {
        var numbers = [Double](repeating: .nan, count: block.count)
        if let column { numbers = try block.numbers(column) }
        if let field { numbers = block.field(field).numbers }
        for record in 0..<block.count where block.isLive(record) && numbers[record].isNaN {
            switch missing {
            case .drop: block.drop(record, reason: "no-number")
            case .keepLast: numbers[record] = isLowest ? .infinity : -.infinity
            case .fail:
                let name = column.map { "the column `\($0)`" } ?? field.map { "the field `\($0)`" } ?? ""
                throw StageError(
                    .invalidData,
                    "\(name) has no number; with `missing: drop` such records are dropped, with `keep-last` they come last",
                    ordinal: block.ordinals[record])
            }
        }
        block.write(.topNumber, .reals(numbers))
    }
}

/// `top` in a definition written in Swift.
public struct Top: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameters:
    ///   - column: a column of numbers; either this or `field`.
    ///   - budget: the options of a budget beside `keep` and `per`, such as `shares` or `cap`.
    public init(
        keep: Quantity, by column: String? = nil, field: String? = nil, per: String? = nil, order: String? = nil,
        missing: String? = nil, budget: OptionValues = [:]
    ) {
        var options = budget
        options["keep"] = .quantity(keep)
        options["by"] = column.map { .text($0) }
        options["field"] = field.map { .text($0) }
        options["per"] = per.map { .text($0) }
        options["order"] = order.map { .text($0) }
        options["missing"] = missing.map { .text($0) }
        stageSpec = StageSpec("top", options)
    }
}
