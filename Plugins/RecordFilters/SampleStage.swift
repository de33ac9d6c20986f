public import SluiceCore

/// Keeps a share or a number of records at random, by content and seed.
///
/// A share alone looks at each record by itself; a number is found by a survey, whose memory is that of the number; within
/// labels a selection chooses. The records of a smaller sample are among those of a larger one.
public struct SampleStage: Stage {
    public static let descriptor = Descriptor(
        name: "sample",
        summary: "Keeps a share or a number of records at random.",
        discussion: """
            Each record draws a number from its content and the seed; those with the lowest numbers stay. So a larger \
            sample contains a smaller one of the same seed, and a record that was drawn stays drawn when others are added (with a number: until \
            lower ones come). Reason: not-sampled.

              keep: 5%     every record by itself: about that share, in one pass, whatever else there is
              keep: 10000  exactly that many, or all; one survey, which takes 40 bytes for each record to keep and thread
              per          that share (rounded, at least 1) or number of each label: a column or a field of the record; \
            a selection, which takes 40 bytes for each record of the largest label

            Records of equal content draw equal numbers: with a share they stay or leave together; otherwise the earlier \
            ones come first.
            """,
        options: [
            OptionSpec(
                "keep", .quantity, isRequired: true, help: "share or number of records to keep", example: "5%"),
            OptionSpec(
                "per", .label, help: "keep that of each group of equal values of a column or a field",
                example: "ability"),
        ])

    private let keep: Quantity
    private let per: Grouping?

    public init(options: OptionValues) throws(StageError) {
        keep = try options.quantity("keep")
        per = options["per"] == nil ? nil : Grouping(per: try options.text("per"))
        guard !keep.isZero else {
            throw .option("keep", "`keep: \(keep)` would keep nothing; give a count from 1 or a percentage")
        }
        guard per != .all else { throw .option("per", "`per` names a column or a field; leave it out for all records") }
        guard keep.isShare || per != nil || keep.resolve(of: 0) <= SmallestDraws.greatest else {
            throw .option("keep", "`keep` is at most \(SmallestDraws.greatest) records; give a share for more")
        }
    }

    public var reads: [Input] { per?.reads ?? [] }
    public var writes: [ColumnSpec] { [] }

    public func body(_ context: StageContext) throws(StageError) -> StageBody {
        if let per { return .selection(SampleSelection(keep: keep, grouping: per)) }
        if keep.isShare {
            return .transform(ShareFilter(share: UInt64(keep.resolve(of: 100_000_000)), seed: context.seed))
        }
        return .survey(SampleSurvey(count: keep.resolve(of: 0), seed: context.seed))
    }
}

/// Keeps each record with a probability.
private struct ShareFilter: Transform {
    /// In units of 10^-8.
    let share: UInt64
    let seed: Seed

    func apply(to block: inout Block) throws(StageError) {
        for record in 0..<block.count where block.isLive(record) {
            let draw = seed.draw(block.hashes[record]).multipliedFullWidth(by: 100_000_000).high
            if draw >= share { block.drop(record, reason: "not-sampled") }
        }
    }
}

/// Keeps a number of each group, those with the lowest draws.
private struct SampleSelection: Selection {
    let keep: Quantity
    let grouping: Grouping

    func quotas(for groups: Groups) throws(StageError) -> [Int] { groups.keeping(keep) }

    /// Hashes, draws, their order, what sorting takes, and ranks.
    func memory(rows: Int, _ context: StageContext) -> Int { rows * 40 + 4096 }

    func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
        let draws = try group.hashes.map { context.seed.draw($0) }
        var order = (0..<Int32(group.count)).map { $0 }
        order.sort { draws[Int($0)] != draws[Int($1)] ? draws[Int($0)] < draws[Int($1)] : $0 < $1 }
        return GroupOutcome(keeping: order.prefix(quota), of: group.count, reason: "not-sampled")
    }

    func report(_ groups: GroupReports) -> JSONValue {
        var (records, kept) = (0, 0)
        for group in groups {
            records += group.size
            kept += group.kept
        }
        return [
            "groups": .integer(groups.count), "records": .integer(records), "kept": .integer(kept),
            "listed": .list(
                groups.listed.map { ["label": $0.key.report, "size": .integer($0.size), "kept": .integer($0.kept)] }),
        ]
    }
}

/// `sample` in a definition written in Swift.
public struct Sample: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameter per: a column or a field, to keep that share or number of each of its values.
    public init(keep: Quantity, per: String? = nil) {
        var options = OptionValues()
        options["keep"] = .quantity(keep)
        options["per"] = per.map { .text($0) }
        stageSpec = StageSpec("sample", options)
    }
}
