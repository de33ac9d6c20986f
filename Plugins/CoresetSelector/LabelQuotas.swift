import SluiceCore

/// Budgets of groups by label: `{ethics: 64, creative-writing: 5%, rest: equal}`.
struct LabelQuotas: Sendable {
    /// What the groups get that are not named.
    private enum Rest: Sendable {
        /// The rest of the budget, split by a rule.
        case shares(Shares)
        /// This many records each, or this share of each.
        case quantity(Quantity)
    }

    /// The name of the entry for all groups without one of their own.
    static let rest = "rest"

    private let named: [String: Quantity]
    private let rest: Rest

    /// - Parameters:
    ///   - entries: quantities, and for `rest` also the name of a rule.
    ///   - shares: the rule if `rest` is not given.
    init(_ entries: [String: OptionValue], _ shares: Shares) {
        var named: [String: Quantity] = [:]
        var rest = Rest.shares(shares)
        for (label, value) in entries {
            switch value {
            case .quantity(let quantity):
                if label == Self.rest { rest = .quantity(quantity) } else { named[label] = quantity }
            case .text(let word) where label == Self.rest: rest = Shares(rawValue: word).map { .shares($0) } ?? rest
            default: break
            }
        }
        (self.named, self.rest) = (named, rest)
    }

    /// How the groups that are not named get their quotas, for `run.json`.
    var restReport: JSONValue {
        switch rest {
        case .shares(let shares): .text(shares.rawValue)
        case .quantity(let quantity): .text(quantity.description)
        }
    }

    /// The label of an entry that is neither a quantity nor the rule of `rest`; nil if all are fine.
    static func invalidLabel(in entries: [String: OptionValue]) -> String? {
        entries.keys.sorted().first { label in
            if case .text? = entries[label] { label != rest } else { false }
        }
    }

    /// The quota of each group. A quota that exceeds its group is cut to the size of the group.
    ///
    /// - Throws: if the named groups and a `rest` in records need more than the budget.
    func split(_ budget: Int, among groups: Groups) throws(StageError) -> [Int] {
        var quotas = [Int](repeating: 0, count: groups.count)
        var open = groups.sizes
        var needed = 0
        for (index, group) in groups.enumerated() {
            let quantity = group.key.label.flatMap { named[$0] }
            let fixed: Quantity? =
                if let quantity { quantity } else if case .quantity(let each) = rest { each } else { nil }
            guard let fixed else { continue }
            quotas[index] = min(group.size, fixed.resolve(of: group.size))
            needed += quotas[index]
            open[index] = 0
        }
        guard needed <= budget else {
            throw StageError(
                .invalidData,
                "`quota` gives \(needed) records to the groups but `keep` allows \(budget) in all; raise `keep` or lower the quotas"
            )
        }
        guard case .shares(let shares) = rest else { return quotas }
        let others = shares.part(min(budget - needed, open.reduce(0, +)), among: open)
        return zip(quotas, others).map { $0 + $1 }
    }

    /// The named labels that no group has, sorted.
    func labelsWithoutRecords(_ groups: GroupReports) -> [String] {
        var unknown = Set(named.keys)
        for group in groups { if let label = group.key.label { unknown.remove(label) } }
        return unknown.sorted()
    }

    /// The named groups that kept fewer records than their quota, with both numbers; labels that no record has keep 0.
    func shortfall(_ groups: GroupReports) -> JSONValue {
        var kept: [String: (size: Int, kept: Int)] = [:]
        for group in groups {
            if let label = group.key.label, named[label] != nil { kept[label] = (group.size, group.kept) }
        }
        return .list(
            named.sorted { $0.key < $1.key }.compactMap { label, quantity in
                let (size, kept) = kept[label] ?? (0, 0)
                let wanted = size == 0 && quantity.isShare ? 1 : quantity.resolve(of: size)
                guard kept < wanted else { return nil }
                return ["label": .text(label), "quota": .text(quantity.description), "kept": .integer(kept)]
            })
    }
}
