import SluiceBudgets
import SluiceCore

/// The order in which the records of a group are taken.
enum GroupOrder: Sendable {
    /// By the numbers of a column; ties by the input's order.
    case numbers(ColumnName, isLowest: Bool)
    /// By draws from content and seed.
    case drawn
}

/// Takes the records of each group in an order, until its budget is used up.
struct OrderedSelection: Selection {
    let order: GroupOrder
    let budget: GroupBudget

    var grouping: Grouping { budget.grouping }
    var weights: ColumnName? { budget.unit }
    var quotasAreWeights: Bool { budget.unit != nil }
    var columns: [ColumnName] {
        var names: [ColumnName] = []
        if case .numbers(let column, _) = order { names.append(column) }
        if let unit = budget.unit, !names.contains(unit) { names.append(unit) }
        return names
    }

    func quotas(for groups: Groups) throws(StageError) -> [Int] { try budget.quotas(for: groups) }

    /// Numbers or hashes, their order, what sorting takes, weights, and ranks.
    func memory(rows: Int, _ context: StageContext) -> Int { rows * 56 + 4096 }

    func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
        let order = try sorted(group, context)
        var ranks = [Int32](repeating: -1, count: group.count)
        var kept = 0
        let isDrawn = if case .drawn = self.order { true } else { false }
        if let unit = budget.unit {
            let weights = try group.integers(unit)
            var (sum, there) = (0, 0)
            for weight in weights { there += Int(weight) }
            // The first record that would exceed the budget ends it: so smaller budgets keep the beginning of larger ones.
            while kept < order.count, sum + Int(weights[Int(order[kept])]) <= quota {
                sum += Int(weights[Int(order[kept])])
                ranks[Int(order[kept])] = Int32(kept)
                kept += 1
            }
            var outcome = GroupOutcome(ranks: ranks, reason: isDrawn ? "not-sampled" : "not-selected")
            outcome.report = [
                "unit_there": .integer(there), "unit_budget": .integer(quota), "unit_kept": .integer(sum),
            ]
            return try measured(outcome, group)
        }
        for row in order.prefix(quota) {
            ranks[Int(row)] = Int32(kept)
            kept += 1
        }
        return try measured(GroupOutcome(ranks: ranks, reason: isDrawn ? "not-sampled" : "not-selected"), group)
    }

    private func sorted(_ group: Group, _ context: StageContext) throws(StageError) -> [Int32] {
        var order = (0..<Int32(group.count)).map { $0 }
        switch self.order {
        case .numbers(let column, let isLowest):
            let numbers = try group.reals(column)
            order.sort { a, b in
                let (x, y) = (numbers[Int(a)], numbers[Int(b)])
                return x != y ? (x < y) == isLowest : a < b
            }
        case .drawn:
            let draws = try group.hashes.map { context.seed.draw($0) }
            order.sort { draws[Int($0)] != draws[Int($1)] ? draws[Int($0)] < draws[Int($1)] : $0 < $1 }
        }
        return order
    }

    /// The number that decided, for the ledger.
    private func measured(_ outcome: GroupOutcome, _ group: Group) throws(StageError) -> GroupOutcome {
        guard case .numbers(let column, _) = order else { return outcome }
        var outcome = outcome
        outcome.measures = [("number", try group.reals(column))]
        return outcome
    }

    func report(_ groups: GroupReports) -> JSONValue {
        var (records, kept) = (0, 0)
        for group in groups {
            records += group.size
            kept += group.kept
        }
        let listed = groups.listed.map { group in
            JSONValue.object(
                [
                    .init("label", group.key.report), .init("records", .integer(group.size)),
                    .init("kept", .integer(group.kept)),
                ] + group.report.entries)
        }
        let rest = groups.count - listed.count
        return .object(
            [
                .init("groups", .integer(groups.count)), .init("records", .integer(records)),
                .init("kept", .integer(kept)),
            ]
                + budget.entries(groups, kept: weighed)
                + (rest > 0 ? [.init("groups_not_listed", .integer(rest))] : []) + [.init("per_group", .list(listed))])
    }

    func warnings(_ groups: GroupReports) -> [String] { budget.warnings(groups, kept: weighed) }

    private var weighed: ((GroupReport) -> Int)? {
        budget.unit == nil ? nil : { $0.report["unit_kept"]?.integerValue ?? 0 }
    }
}
