import SluiceCore
import Synchronization

/// How a selection is run on its groups.
extension StageDriver {
    mutating func run(_ selection: any Selection) throws(StageError) {
        let groups = try groupRows(selection)
        let quotas = try quotas(of: selection, groups)
        let outcomes = try outcomes(of: selection, groups, quotas)
        var reports: [GroupReport] = []
        var kept = Kept()
        for (index, outcome) in outcomes.enumerated() {
            let (key, rows) = groups[index]
            var weights: [Int64]?
            if selection.quotasAreWeights, let name = selection.weights,
                case .integers(let values)? = column(name, rows, isScrambled: false)
            {
                weights = values
            }
            let fault = outcome.fault(
                of: selection, rows: rows.count, quota: quotas[index], name: key.name, weights: weights)
            if let fault {
                breach(.selection, fault)
                throw StageError(.fault, "the outcome of the selection is invalid")
            }
            book(outcome, rows, &kept)
            reports.append(
                GroupReport(
                    key: key, size: rows.count, kept: outcome.ranks.count { $0 >= 0 }, report: outcome.report))
        }
        flow.live = kept.rows.sorted()
        if stage.writes.contains(ColumnSpec(.rank, .integer)) { write(.rank, .integer, kept.ranks) }
        for spec in selection.outcomeColumns where stage.writes.contains(spec) {
            write(spec.name, spec.type, kept.own[spec.name] ?? [])
        }
        blankTheDead()
        flow.reports.append(.list(reports.map(\.report)))
        let all = GroupReports(reports)
        let report = selection.report(all)
        flow.reports.append(report)
        let warnings = selection.warnings(all)
        if !warnings.isEmpty { flow.reports.append(.list(warnings.map { .text($0) })) }
        ownReports.append(report)
    }

    /// The kept rows of all groups, and what the selection writes for them.
    private struct Kept {
        var rows: [Int] = []
        var ranks: [(Int, Cell)] = []
        var own: [ColumnName: [(Int, Cell)]] = [:]
    }

    private mutating func quotas(
        of selection: any Selection, _ groups: [(key: GroupKey, rows: [Int])]
    ) throws(StageError) -> [Int] {
        let sizes = groups.map(\.rows.count)
        let list = try groupList(selection, groups)
        let quotas = try selection.quotas(for: list)
        if let fault = SelectionRules.fault(inQuotas: quotas, for: list, of: selection) {
            breach(.selection, fault)
            throw StageError(.fault, "the quotas of the selection are invalid")
        }
        checkMemory(of: selection, sizes)
        let need = selection.memory(rows: sizes.max() ?? 0, context)
        guard need <= context.memory else { throw .tooLarge(need, context, advice: nil) }
        return quotas
    }

    /// The outcome of each group; the variation decides in which order and on how many threads they are made.
    private mutating func outcomes(
        of selection: any Selection, _ groups: [(key: GroupKey, rows: [Int])], _ quotas: [Int]
    ) throws(StageError) -> [GroupOutcome] {
        let order = variation.order(groups.count)
        let shuffled = pieces(groups.count) { [self] piece in
            outcome(of: selection, groups[order[piece]], quotas[order[piece]])
        }
        for outcome in shuffled where outcome.keepsState {
            breach(
                .repeats,
                "`select` gives a different result for an equal group on a second call. \(Violation.Rule.repeats.advice)"
            )
        }
        var outcomes: [GroupOutcome] = []
        for (_, made) in zip(order, shuffled).sorted(by: { $0.0 < $1.0 }) { outcomes.append(try made.result.get()) }
        return outcomes
    }

    /// Notes the kept rows of a group, and the losses of the others.
    private mutating func book(_ outcome: GroupOutcome, _ rows: [Int], _ kept: inout Kept) {
        if outcome.ranks.contains(-1) { check(outcome.reason) }
        for (name, values) in outcome.measures { for value in values { check(name, .real(value)) } }
        for (row, rank) in zip(rows.indices, outcome.ranks) {
            guard rank < 0 else {
                kept.rows.append(rows[row])
                kept.ranks.append((rows[row], .integer(Int64(rank))))
                for (name, column) in outcome.columns {
                    kept.own[name, default: []].append((rows[row], Cell(column, row)))
                }
                continue
            }
            let measures = JSONValue.object(outcome.measures.map { .init($0.name, .real($0.values[row])) }).json
            let partner =
                outcome.partners.isEmpty || outcome.partners[row] < 0 ? nil : rows[Int(outcome.partners[row])]
            flow.losses[rows[row]] = Loss(reason: outcome.reason, measures: measures, partner: partner)
        }
    }

    mutating func checkMemory(of selection: any Selection, _ sizes: [Int]) {
        var least = 0
        for rows in Set(sizes + [0, 1, 2, 100, 10_000, 1_000_000]).sorted() {
            let bytes = selection.memory(rows: rows, context)
            if bytes < least {
                breach(
                    .memory,
                    "`memory` declares \(bytes) bytes for a group of \(rows) records but more for a smaller one")
            }
            least = max(least, bytes)
        }
        let (rows, ranks) = (1_000_000, 1_000_000 * MemoryLayout<Int32>.stride)
        let declared = selection.memory(rows: rows, context)
        if declared < ranks {
            breach(
                .memory,
                "`memory` declares \(declared) bytes for a group of \(rows) records, whose ranks alone take \(ranks). Count what `select` makes for each row"
            )
        }
    }

    /// The groups as a run would form them, in its order.
    mutating func groupRows(_ selection: any Selection) throws(StageError) -> [(key: GroupKey, rows: [Int])] {
        let keys: [GroupKey]
        switch selection.grouping {
        case .all: return [(.all, flow.live)]
        case .by(let name): keys = try self.keys(of: name)
        case .label(let name) where flow.columns[ColumnName(name)] != nil: keys = try self.keys(of: ColumnName(name))
        case .label(let name):
            let field = FieldColumn(flow.records.table([(FieldPath(name), false)], rows: flow.live), index: 0)
            keys = flow.live.indices.map { row in
                field[row].label.map { .label(String(decoding: $0, as: UTF8.self)) } ?? .unlabelled
            }
        }
        // A run never has an empty group here; this checks that a stage could handle one.
        guard !flow.live.isEmpty else { return [(.number(0), [])] }
        return Dictionary(grouping: zip(flow.live, keys), by: \.1).sorted { $0.key.precedes($1.key) }
            .map { ($0.key, $0.value.map(\.0)) }
    }

    private mutating func keys(of name: ColumnName) throws(StageError) -> [GroupKey] {
        switch column(name, flow.live) {
        case .integers(let values)?: return values.map { .number(Int($0)) }
        case .bytes(let values)?:
            return (0..<values.count).map {
                values[$0].isEmpty ? .unlabelled : .label(String(decoding: values[$0], as: UTF8.self))
            }
        default:
            breach(.selection, "the selection groups by `\(name)`, which is not a column of integers or bytes")
            throw StageError(.fault, "the records can't be grouped")
        }
    }

    private mutating func groupList(
        _ selection: any Selection, _ groups: [(key: GroupKey, rows: [Int])]
    ) throws(StageError) -> Groups {
        var list: [Groups.Element] = []
        for (key, rows) in groups {
            var weight: Int?
            if let name = selection.weights {
                guard case .integers(let values)? = column(name, rows) else {
                    breach(.selection, "the selection weighs groups by `\(name)`, which is not a column of integers")
                    throw StageError(.fault, "the groups can't be weighed")
                }
                weight = values.reduce(0) { $0 + Int($1) }
            }
            list.append(Groups.Element(key: key, size: rows.count, weight: weight))
        }
        return Groups(list)
    }

    func outcome(
        of selection: any Selection, _ group: (key: GroupKey, rows: [Int]), _ quota: Int
    ) -> (result: Result<GroupOutcome, StageError>, keepsState: Bool) {
        var columns: [ColumnName: Column] = [:]
        for (name, isScrambled) in visibleColumns
        where selection.columns.contains(name) || variation.presence != .declared {
            columns[name] = column(name, group.rows, isScrambled: isScrambled)
        }
        let hashes = group.rows.map { flow.records.hashes[$0] }
        let group = Group(
            key: group.key, count: group.rows.count,
            data: GroupColumns(
                group: InMemoryGroup(hashes: hashes, columns: columns), chunkRows: variation.chunkRows,
                declared: Set(selection.columns), askedOfGroups: askedOfGroups))
        variation.occupied?.take()
        do throws(StageError) {
            let outcome = try selection.select(group, quota: quota, context)
            if variation.runsTwice, !isEqual(outcome, try selection.select(group, quota: quota, context)) {
                return (.success(outcome), true)
            }
            return (.success(outcome), false)
        } catch {
            return (.failure(error), false)
        }
    }

    func isEqual(_ a: GroupOutcome, _ b: GroupOutcome) -> Bool {
        a.ranks == b.ranks && a.partners == b.partners && a.reason == b.reason && a.report.json == b.report.json
            && a.columns.elementsEqual(b.columns) {
                $0.name == $1.name && TableColumn($0.column) == TableColumn($1.column)
            }
            && a.measures.elementsEqual(b.measures) {
                $0.name == $1.name && $0.values.map(\.bitPattern) == $1.values.map(\.bitPattern)
            }
    }
}

extension GroupKey {
    /// The order of groups in a run: numbers, or labels byte by byte after the records without one.
    fileprivate func precedes(_ other: GroupKey) -> Bool {
        switch (self, other) {
        case (.number(let a), .number(let b)): a < b
        case (.label(let a), .label(let b)): a.utf8.lexicographicallyPrecedes(b.utf8)
        case (.unlabelled, .label): true
        default: false
        }
    }
}
