/// The rules for the answers of a selection, shared by the engine and the contract kit.
package enum SelectionRules {
    /// What is wrong with the quotas; nil if nothing is.
    package static func fault(inQuotas quotas: [Int], for groups: Groups, of selection: any Selection) -> String? {
        guard quotas.count == groups.count else {
            return "`quotas` gives \(quotas.count) numbers for \(groups.count) groups"
        }
        if selection.quotasAreWeights, selection.weights.map(selection.columns.contains) != true {
            return "`quotasAreWeights` needs `weights`, whose column `columns` must name"
        }
        for (quota, group) in zip(quotas, groups) {
            let most = selection.quotasAreWeights ? group.weight ?? 0 : group.size
            guard !(0...most).contains(quota) else { continue }
            let words = selection.quotasAreWeights ? "of the weight \(most)" : "of \(most) records"
            return "`quotas` gives \(quota) for a group \(words); it must be from 0 to \(most)"
        }
        return nil
    }
}

extension GroupOutcome {
    /// What is wrong with the outcome of a group; nil if nothing is. Cost: one pass over the rows.
    ///
    /// - Parameters:
    ///   - name: how messages name the group.
    ///   - weights: of the rows, if quotas are weights.
    package func fault(
        of selection: any Selection, rows: Int, quota: Int, name: String, weights: [Int64]? = nil
    ) -> String? {
        guard ranks.count == rows else { return "`ranks` has \(ranks.count) rows for \(name) of \(rows) records" }
        let kept = ranks.count { $0 >= 0 }
        guard isDense(kept) else {
            return
                "the ranks of the kept records of \(name) are not 0 to \(kept - 1), each once, with -1 for the others"
        }
        if let weights {
            let sum = zip(ranks, weights).reduce(0) { $1.0 >= 0 ? $0 + Int($1.1) : $0 }
            if sum > quota { return "\(name) keeps a weight of \(sum) where its quota is \(quota)" }
        } else if kept > quota || (kept < quota && quota < rows && !selection.mayKeepFewerThanQuota) {
            return "\(name) keeps \(kept) records where its quota is \(quota) of \(rows)"
        }
        for (measure, values) in measures where values.count != rows {
            return "the measure `\(measure)` has \(values.count) values for \(rows) records"
        }
        for (measure, _) in measures where Measure.isReserved(measure) {
            return "a measure is named `\(measure)`, which is reserved: every line of the ledger has that key"
        }
        return columnFault(selection.outcomeColumns, rows, name) ?? (partners.isEmpty ? nil : partnerFault(rows, name))
    }

    private func columnFault(_ declared: [ColumnSpec], _ rows: Int, _ name: String) -> String? {
        for (column, values) in columns {
            guard let spec = declared.first(where: { $0.name == column }) else {
                return "the outcome of \(name) has the column `\(column)`, which `outcomeColumns` does not declare"
            }
            guard values.type == spec.type else {
                return "the column `\(column)` of \(name) holds \(values.type.words), not \(spec.type.words)"
            }
            guard values.count == rows else {
                return "the column `\(column)` has \(values.count) rows for \(name) of \(rows) records"
            }
        }
        for spec in declared where columns.count(where: { $0.name == spec.name }) != 1 {
            return "the outcome of \(name) must have the column `\(spec.name)` once"
        }
        return nil
    }

    private func isDense(_ kept: Int) -> Bool {
        var seen = [Bool](repeating: false, count: kept)
        for rank in ranks where rank != -1 {
            guard seen.indices.contains(Int(rank)), !seen[Int(rank)] else { return false }
            seen[Int(rank)] = true
        }
        return true
    }

    private func partnerFault(_ rows: Int, _ name: String) -> String? {
        guard partners.count == rows else {
            return "`partners` has \(partners.count) rows for \(name) of \(rows) records"
        }
        for (row, partner) in partners.enumerated() where partner != -1 {
            guard ranks.indices.contains(Int(partner)) else {
                return "a record of \(name) has the partner \(partner), which is not a row of it"
            }
            if ranks[row] >= 0 { return "a kept record of \(name) has a partner that it lost to" }
            if ranks[Int(partner)] < 0 { return "a record of \(name) lost to one that was not kept" }
        }
        return nil
    }
}

extension Measure {
    /// Whether every line of the ledger has a key of this name.
    package static func isReserved(_ name: String) -> Bool {
        ["file", "line", "stage", "reason", "kept"].contains(name)
    }
}
