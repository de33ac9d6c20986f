import SluiceBudgets
public import SluiceCore

extension CoresetStage {
    public func report(_ groups: GroupReports) -> JSONValue {
        let sums = GroupSums(groups)
        var entries: [JSONValue.Entry] = [
            JSONValue.Entry("method", .text(method.rawValue)), JSONValue.Entry("records", .integer(sums.records)),
            JSONValue.Entry("kept", .integer(sums.kept)), JSONValue.Entry("distance", "chord"),
        ]
        if ![.farthestFirst, .facilityLocation].contains(method) {
            entries.append(JSONValue.Entry("bound", .text("none is known for \(method.rawValue)")))
        }
        if let part { entries += [JSONValue.Entry("rounds", "composable"), JSONValue.Entry("part", .integer(part))] }
        if let earlier { entries.append(JSONValue.Entry("already", earlier.report)) }
        if let reservoir { entries.append(JSONValue.Entry("reservoir", .integer(reservoir))) }
        entries += budget.entries(groups, kept: weighed)
        guard grouping != .all else {
            // The one group has the sums of the unit, too.
            let own = (groups.first?.report.entries ?? []).filter { entry in !entries.contains { $0.key == entry.key } }
            return .object(entries + own)
        }
        return .object(entries + sums.entries(isCertified: method == .farthestFirst) + Self.listed(groups))
    }

    public func warnings(_ groups: GroupReports) -> [String] { budget.warnings(groups, kept: weighed) }

    private var weighed: ((GroupReport) -> Int)? {
        budget.unit == nil ? nil : { $0.report["unit_kept"]?.integerValue ?? 0 }
    }

    /// The listed groups.
    private static func listed(_ groups: GroupReports) -> [JSONValue.Entry] {
        let list = groups.listed.map { group in
            JSONValue.object(
                [
                    JSONValue.Entry("key", group.key.report),
                    JSONValue.Entry("records", .integer(group.size)), JSONValue.Entry("kept", .integer(group.kept)),
                ] + group.report.entries)
        }
        // The sums above include the groups that are not listed.
        let rest = groups.count - list.count
        return (rest > 0 ? [JSONValue.Entry("groups_not_listed", .integer(rest))] : [])
            + [JSONValue.Entry("per_group", .list(list))]
    }
}

/// Sums and extremes over all groups.
private struct GroupSums {
    private(set) var records = 0
    private(set) var kept = 0
    private var groups = 0
    /// Groups with a pick, and their records.
    private var (covered, coveredRecords) = (0, 0)
    private var radius = 0.0
    private var distances = 0.0
    private var totals: [(key: String, sum: Int?)] = [
        ("short_of_the_budget", nil), ("without_a_score", nil), ("multiply_adds_at_most", nil),
    ]
    private var (factor, factors) = (1.0, 0)
    /// What the picks are worth, and what no choice can exceed, of the groups that have both.
    private var (value, bound, bounded) = (0, 0, 0)

    init(_ all: GroupReports) {
        for group in all {
            groups += 1
            records += group.size
            kept += group.kept
            guard group.kept > 0 else { continue }
            covered += 1
            coveredRecords += group.size
            radius = max(radius, group.report["radius"]?.realValue ?? 0)
            distances += (group.report["mean_distance"]?.realValue ?? 0) * Double(group.size)
            for index in totals.indices {
                guard let number = group.report[totals[index].key]?.integerValue else { continue }
                totals[index].sum = (totals[index].sum ?? 0) + number
            }
            if let value = group.report["value"]?.integerValue, let bound = group.report["value_bound"]?.integerValue {
                self.value += value
                self.bound += bound
                bounded += 1
            }
            if let value = group.report["factor"]?.realValue {
                factor = factors == 0 ? value : max(factor, value)
                factors += 1
            }
        }
    }

    func entries(isCertified: Bool) -> [JSONValue.Entry] {
        var entries = [
            JSONValue.Entry("groups", .integer(groups)),
            JSONValue.Entry("groups_without_a_pick", .integer(groups - covered)),
        ]
        guard covered > 0 else { return entries }
        entries += [
            JSONValue.Entry("largest_radius_of_a_group", .real(radius)),
            JSONValue.Entry("mean_distance_within_groups", .real(distances / Double(coveredRecords))),
        ]
        for (key, sum) in totals { if let sum { entries.append(JSONValue.Entry(key, .integer(sum))) } }
        // Groups share no records, so their bounds add up.
        if bounded == covered, bound > 0 {
            entries.append(JSONValue.Entry("share_of_best_at_least", .real(Double(value) / Double(bound))))
        }
        guard isCertified else { return entries }
        return entries + [
            // A group without a factor has a lower bound of 0 and a positive radius.
            JSONValue.Entry("largest_factor_of_a_group", factors == covered ? .real(factor) : .null),
            JSONValue.Entry(
                "certificate",
                "radius, lower_bound and factor of a group describe that group alone: how well its own picks cover its records"
            ),
        ]
    }
}
