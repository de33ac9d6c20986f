import SluiceCore

/// A selection: keeps the records with the highest numbers, of each label.
public struct BestOf: Stage, Selection {
    public static let descriptor = Descriptor(
        name: "best-of", summary: "Keeps the records with the highest numbers, of each label.",
        options: [
            OptionSpec("keep", .quantity, isRequired: true, help: "how many of each label", example: "10%"),
            OptionSpec("by", .column(.number), isRequired: true, help: "the column of numbers", example: "words"),
            OptionSpec("per", .label, help: "the column or field with the label", example: "ability"),
        ])

    private let keep: Quantity
    private let number: ColumnName
    public let grouping: Grouping

    public init(options: OptionValues) throws(StageError) {
        keep = try options.quantity("keep")
        number = try options.column("by")
        grouping = try options.grouping("per")
    }

    public var reads: [Input] { [.column(number, .number)] + grouping.reads }
    public var writes: [ColumnSpec] { [ColumnSpec(.rank, .integer)] }
    public var columns: [ColumnName] { [number] }

    public func quotas(for groups: Groups) -> [Int] { groups.keeping(keep) }
    public func memory(rows: Int, _ context: StageContext) -> Int { 48 * rows }

    public func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
        // A missing number is NaN. It comes last.
        let numbers = try group.numbers(number).map { $0.isNaN ? -.infinity : $0 }
        let order = numbers.indices.sorted { (-numbers[$0], $0) < (-numbers[$1], $1) }
        return GroupOutcome(keeping: order.prefix(quota), of: group.count, reason: "not-best")
    }
}
