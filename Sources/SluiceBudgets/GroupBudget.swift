public import SluiceCore

/// A budget that is split among groups: how many records each keeps, or how much of another unit, such as tokens.
///
/// The options are the same for all stages that choose within labels. Shares are exact: by largest remainders they sum to
/// the budget, and what a group can't fill goes to the others by the same rule.
public struct GroupBudget: Sendable {
    public let grouping: Grouping
    /// The column of integers that the budget counts; nil for records.
    public let unit: ColumnName?
    private let keep: Quantity
    private let shares: Shares
    private let floor: Int
    private let cap: Quantity?
    private let quota: LabelQuotas?
    private let isStrict: Bool

    /// The options `keep`, `per`, `shares`, `floor`, `cap`, `quota` and `strict`.
    public static let options: [OptionSpec] = [
        OptionSpec(
            "keep", .quantity, isRequired: true, help: "number or share of the stage's records to keep", example: "5%"),
        OptionSpec(
            "per", .either([.choice(["all"]), .label]), default: "all",
            help:
                "choose among all records (all), or within each group of equal values of a column (`cluster`) or a field of the record (`ability`)",
            example: "cluster"),
        OptionSpec(
            "shares", .choice(Shares.allCases.map(\.rawValue)), default: "proportional",
            help: "how the budget is split among groups", example: "square-root"),
        OptionSpec(
            "floor", .integer(0...Int(Int32.max)), default: 0,
            help: "with per: least number to keep of every group, or all if it has fewer", example: "3"),
        OptionSpec(
            "cap", .quantity, help: "with per: most to keep of any group, as a count or a share of the group",
            example: "1000"),
        OptionSpec(
            "quota", .map(.either([.quantity, .choice(Shares.allCases.map(\.rawValue))])),
            help:
                "with per: budgets of groups by label, as counts or shares of the group; `rest`, for all other groups, is such a quantity for each of them, or how they share the rest of `keep`",
            example: "{ethics: 64, creative-writing: 5%, rest: equal}"),
        OptionSpec(
            "strict", .flag, default: false,
            help: "end the run if there is less than `keep` or a quota asks for, in place of keeping what there is",
            example: "true"),
    ]

    /// The option `unit`.
    public static let unitOption = OptionSpec(
        "unit", .either([.choice(["records"]), .column(.integer)]), default: "records",
        help: "what `keep`, `floor`, `cap` and `quota` count: records, or the sum of a column, such as `tokens`",
        example: "tokens")

    /// - Throws: `StageError` with the option at fault.
    public init(options: OptionValues) throws(StageError) {
        keep = try options.quantity("keep")
        grouping = Grouping(per: try options.text("per"))
        guard let shares = Shares(rawValue: try options.text("shares")) else {
            throw .option("shares", "unknown value `\(try options.text("shares"))`")
        }
        self.shares = shares
        floor = try options.integer("floor")
        cap = options["cap"] == nil ? nil : try options.quantity("cap")
        isStrict = options["strict"] == nil ? false : try options.flag("strict")
        let unit = options["unit"] == nil ? "records" : try options.text("unit")
        self.unit = unit == "records" ? nil : ColumnName(unit)
        quota = options["quota"] == nil ? nil : try LabelQuotas(checking: options.map("quota"), shares)
        guard !keep.isZero else {
            throw .option("keep", "`keep: \(keep)` would keep nothing; give a count from 1 or a percentage")
        }
        guard cap?.isZero != true else { throw .option("cap", "`cap: 0` would keep nothing of any group") }
        try checkCompany()
    }

    /// Whether `keep` is a share of at least this one; a count is none.
    public func keepsShare(ofAtLeast least: Quantity) -> Bool {
        let whole = 100_000_000
        return keep.isShare && keep.resolve(of: whole) >= least.resolve(of: whole)
    }

    private func checkCompany() throws(StageError) {
        if grouping == .all {
            if shares != .proportional {
                throw .option("shares", "`shares` splits a budget among groups; add `per`, such as `per: cluster`")
            }
            if floor > 0 { throw .option("floor", "`floor` is about groups; add `per`, such as `per: cluster`") }
            if cap != nil { throw .option("cap", "`cap` is about groups; add `per`, such as `per: cluster`") }
            if quota != nil { throw .option("quota", "`quota` names groups; add `per` with their column or field") }
        }
        if floor > 0, quota != nil {
            throw .option("floor", "`floor` and `quota` exclude each other; remove one of them")
        }
    }

    /// What a stage with this budget must declare in its `reads`.
    public var reads: [Input] { grouping.reads + (unit.map { [.column($0, .integer)] } ?? []) }

    /// The most records that are kept of so many: all, if the budget counts another unit.
    public func kept(of total: Int) -> Int { unit == nil ? min(total, keep.resolve(of: total)) : total }

    // MARK: Splitting

    /// What each group gets, at most what it has.
    ///
    /// - Throws: if floors or quotas exceed the budget; with `strict` also if there is less than was asked for.
    public func quotas(for groups: Groups) throws(StageError) -> [Int] {
        let sizes = unit == nil ? groups.sizes : groups.map { $0.weight ?? 0 }
        var total = 0
        for size in sizes {
            let (sum, isTooLarge) = total.addingReportingOverflow(size)
            guard !isTooLarge else { throw StageError(.invalidData, "the sum of \(name) exceeds 2^63") }
            total = sum
        }
        guard total > 0 else { return sizes }
        let wanted = keep.resolve(of: total)
        guard wanted <= total || !isStrict else {
            throw StageError(
                .invalidData,
                "`keep` asks for \(wanted) \(name) but only \(total) reach the stage; lower it, give a percentage, or remove `strict`"
            )
        }
        let open = sizes.map { size in cap.map { min(size, max(1, $0.resolve(of: size))) } ?? size }
        let budget = min(wanted, open.reduce(0, +))
        guard let quota else {
            if let quotas = shares.part(budget, among: open, floor: floor, of: sizes) { return quotas }
            let least = open.reduce(0) { $0 + min($1, floor) }
            throw StageError(
                .invalidData,
                "`floor: \(floor)` needs \(least) \(name) of \(sizes.count) groups but `keep` allows \(budget) in all; lower `floor` or raise `keep`"
            )
        }
        return try quota.split(
            budget, among: groups, sizes: sizes, open: open, name: name, isStrict: isStrict)
    }

    /// What the budget counts, for messages.
    private var name: String { unit?.name ?? "records" }

    // MARK: The result

    /// The entries of a report: the rule, and how far the groups fell short.
    ///
    /// - Parameter kept: what was kept of the groups in the budget's unit; nil if that is records.
    public func entries(_ groups: GroupReports, kept: ((GroupReport) -> Int)? = nil) -> [JSONValue.Entry] {
        var (there, taken) = (0, 0)
        for group in groups {
            there += Self.size(group, kept != nil)
            taken += kept?(group) ?? group.kept
        }
        let wanted = keep.resolve(of: there)
        var entries: [JSONValue.Entry] = []
        if let unit {
            entries += [
                .init("unit", .text(unit.name)), .init("unit_there", .integer(there)),
                .init("unit_kept", .integer(taken)),
            ]
        }
        if taken < wanted { entries.append(.init("short_of_keep", .integer(wanted - taken))) }
        guard grouping != .all else { return entries }
        entries.append(.init("shares", quota?.restReport ?? .text(shares.rawValue)))
        if let quota { entries.append(.init("quota_not_met", quota.shortfall(groups, kept: kept))) }
        if floor > 0 { entries.append(.init("floor", .integer(floor))) }
        if let cap { entries.append(.init("cap", .text(cap.description))) }
        return entries
    }

    /// The size of a group in the unit: its report has it as `unit_there`.
    private static func size(_ group: GroupReport, _ isWeighed: Bool) -> Int {
        isWeighed ? group.report["unit_there"]?.integerValue ?? 0 : group.size
    }

    /// Labels named in a warning.
    private static let mostNamed = 10

    /// What a person should know: labels without any record, and a budget that was not met.
    public func warnings(_ groups: GroupReports, kept: ((GroupReport) -> Int)? = nil) -> [String] {
        var found: [String] = []
        let unknown = quota?.labelsWithoutRecords(groups) ?? []
        if !unknown.isEmpty {
            found.append("`quota` names \(unknown.map { "`\($0)`" }.joined(separator: ", ")), which no record has")
        }
        let short = quota?.shortfall(groups, kept: kept).elements ?? []
        let named = short.filter { !unknown.contains($0["label"]?.textValue ?? "") }
        if !named.isEmpty {
            let list = named.prefix(Self.mostNamed).map { entry in
                "`\(entry["label"]?.textValue ?? "")` \(entry["kept"]?.integerValue ?? 0) of \(entry["quota"]?.textValue ?? "")"
            }
            let more = named.count > Self.mostNamed ? " and \(named.count - Self.mostNamed) more" : ""
            found.append("`quota` was not met: \(list.joined(separator: ", "))\(more)")
        }
        guard unit == nil, !keep.isShare else { return found }
        var (there, taken) = (0, 0)
        for group in groups {
            there += group.size
            taken += group.kept
        }
        let wanted = keep.resolve(of: there)
        if wanted > there, taken == there {
            found.append("`keep` asks for \(wanted) records, and only \(there) reached it; all were kept")
        }
        return found
    }
}
