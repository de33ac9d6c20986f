import SluiceCore
import Synchronization

/// How a selection is run on its groups.
extension StageDriver {
    mutating func run(_ selection: any Selection) throws(StageError) {
        let groups = try groupRows(selection)
        let sizes = groups.map(\.rows.count)
        let quotas = try selection.quotas(for: sizes)
        if let fault = SelectionRules.fault(inQuotas: quotas, for: sizes) {
            breach(.selection, fault)
            throw StageError(.fault, "the quotas of the selection are invalid")
        }
        checkMemory(of: selection, sizes)
        let need = selection.memory(rows: sizes.max() ?? 0, context)
        guard need <= context.memory else { throw .tooLarge(need, context, advice: nil) }

        let order = variation.order(groups.count)
        let shuffled = pieces(groups.count) { [self] piece in
            outcome(of: selection, groups[order[piece]], quotas[order[piece]])
        }
        for outcome in shuffled where outcome.keepsState {
            breach(
                .repeats, "`select` gives a different result for an equal group on a second call; it keeps state")
        }
        var outcomes: [Result<GroupOutcome, StageError>?] = Array(repeating: nil, count: groups.count)
        for (piece, outcome) in shuffled.enumerated() { outcomes[order[piece]] = outcome.result }

        var reports: [GroupReport] = []
        var kept: [Int] = []
        var ranks: [(Int, Cell)] = []
        for (index, result) in outcomes.enumerated() {
            guard let result else { continue }
            let outcome = try result.get()
            let (key, rows) = groups[index]
            let name = key.map { "the group \($0)" } ?? "the group"
            if let fault = outcome.fault(
                rows: rows.count, quota: quotas[index], mayKeepFewer: selection.mayKeepFewerThanQuota, name: name)
            {
                breach(.selection, fault)
                throw StageError(.fault, "the outcome of the selection is invalid")
            }
            if outcome.ranks.contains(-1) { check(outcome.reason) }
            for (name, values) in outcome.measures { for value in values { check(name, .real(value)) } }
            let keptCount = outcome.ranks.count { $0 >= 0 }
            reports.append(GroupReport(key: key, size: rows.count, kept: keptCount, report: outcome.report))
            for (row, rank) in zip(rows.indices, outcome.ranks) {
                guard rank < 0 else {
                    kept.append(rows[row])
                    ranks.append((rows[row], .integer(Int64(rank))))
                    continue
                }
                let measures = JSONValue.object(outcome.measures.map { .init($0.name, .real($0.values[row])) }).json
                let partner =
                    outcome.partners.isEmpty || outcome.partners[row] < 0 ? nil : rows[Int(outcome.partners[row])]
                flow.losses[rows[row]] = Loss(reason: outcome.reason, measures: measures, partner: partner)
            }
        }
        flow.live = kept.sorted()
        if stage.writes.contains(ColumnSpec(.rank, .integer)) { write(.rank, .integer, ranks) }
        blankTheDead()
        flow.reports.append(.list(reports.map(\.report)))
        let report = selection.report(GroupReports(reports))
        flow.reports.append(report)
        ownReports.append(report)
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
    }

    mutating func groupRows(_ selection: any Selection) throws(StageError) -> [(key: Int?, rows: [Int])] {
        guard case .by(let name) = selection.grouping else { return [(nil, flow.live)] }
        guard case .integers(let keys)? = column(name, flow.live) else {
            breach(.selection, "the selection groups by `\(name)`, which is not a column of integers")
            throw StageError(.fault, "the records can't be grouped")
        }
        // A run never has an empty group here; this checks that a stage could handle one.
        guard !flow.live.isEmpty else { return [(0, [])] }
        return Dictionary(grouping: zip(flow.live, keys), by: \.1).sorted { $0.key < $1.key }
            .map { (Int($0.key), $0.value.map(\.0)) }
    }

    func outcome(
        of selection: any Selection, _ group: (key: Int?, rows: [Int]), _ quota: Int
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
                declared: Set(selection.columns), asked: asked))
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
            && a.measures.elementsEqual(b.measures) {
                $0.name == $1.name && $0.values.map(\.bitPattern) == $1.values.map(\.bitPattern)
            }
    }
}
