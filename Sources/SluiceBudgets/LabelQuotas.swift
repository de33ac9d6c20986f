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
    /// - Throws: `StageError` about the option `quota`.
    init(checking entries: [String: OptionValue], _ shares: Shares) throws(StageError) {
        if let label = Self.invalidLabel(in: entries) {
            throw .option("quota", "`quota`: `\(label)` must be a count or a percentage; only `rest` may name a rule")
        }
        if let label = entries.keys.sorted().first(where: { $0.utf8.count > GroupKey.longestLabel }) {
            throw .option(
                "quota",
                "`quota`: the name that begins with `\(label.prefix(20))` has more than \(GroupKey.longestLabel) bytes; such groups can't be named"
            )
        }
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
    private static func invalidLabel(in entries: [String: OptionValue]) -> String? {
        entries.keys.sorted().first { label in
            if case .text? = entries[label] { label != rest } else { false }
        }
    }

    /// The quota of each group. A quota that exceeds its group is cut to what the group has.
    ///
    /// - Parameters:
    ///   - sizes: what each group has.
    ///   - open: what it may give at most.
    ///   - name: what is counted, for messages.
    /// - Throws: if the named groups and a `rest` in numbers need more than the budget; with `isStrict` also if a named
    ///   group has less than its quota.
    func split(
        _ budget: Int, among groups: Groups, sizes: [Int], open: [Int], name: String, isStrict: Bool
    ) throws(StageError) -> [Int] {
        var quotas = [Int](repeating: 0, count: groups.count)
        var open = open
        var needed = 0
        var missing = Set(isStrict ? named.keys.map { $0 } : [])
        for (index, group) in groups.enumerated() {
            let quantity = group.key.label.flatMap { named[$0] }
            let fixed: Quantity? =
                if let quantity { quantity } else if case .quantity(let each) = rest { each } else { nil }
            if let label = group.key.label { missing.remove(label) }
            guard let fixed else { continue }
            let wanted = fixed.resolve(of: sizes[index])
            guard quantity == nil || !isStrict || wanted <= open[index] else {
                throw StageError(
                    .invalidData,
                    "`quota` asks for \(wanted) \(name) of \(group.key.label.map { "`\($0)`" } ?? "a group"), which has \(open[index]); lower it, or remove `strict`"
                )
            }
            quotas[index] = min(open[index], wanted)
            needed += quotas[index]
            open[index] = 0
        }
        if let label = missing.sorted().first {
            throw StageError(
                .invalidData, "`quota` names `\(label)`, which no record has; remove it, or remove `strict`")
        }
        guard needed <= budget else {
            throw StageError(
                .invalidData,
                "`quota` gives \(needed) \(name) to the groups but `keep` allows \(budget) in all; raise `keep` or lower the quotas"
            )
        }
        guard case .shares(let shares) = rest else { return quotas }
        let others = shares.part(min(budget - needed, open.reduce(0, +)), among: open, of: sizes)
        return zip(quotas, others).map { $0 + $1 }
    }

    /// The named labels that no group has, sorted.
    func labelsWithoutRecords(_ groups: GroupReports) -> [String] {
        var unknown = Set(named.keys)
        for group in groups { if let label = group.key.label { unknown.remove(label) } }
        return unknown.sorted()
    }

    /// The named groups that kept fewer records than their quota, with both numbers; labels that no record has keep 0.
    func shortfall(_ groups: GroupReports, kept taken: ((GroupReport) -> Int)? = nil) -> JSONValue {
        var kept: [String: (size: Int, kept: Int)] = [:]
        for group in groups {
            if let label = group.key.label, named[label] != nil {
                kept[label] =
                    taken.map { (group.report["unit_there"]?.integerValue ?? 0, $0(group)) } ?? (group.size, group.kept)
            }
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
