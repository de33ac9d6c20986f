import SluiceCore

/// How results are compared, and what is said of a difference.
extension ContractChecker {
    /// Reports the first difference under each rule.
    ///
    /// - Parameter advice: what to do; that of the rule if nil.
    mutating func compare(
        _ outcome: Outcome, _ expected: Flow, _ rule: Violation.Rule, _ circumstance: String, _ advice: String? = nil
    ) {
        guard !violations.contains(where: { $0.rule == rule }) else { return }
        switch outcome {
        case .failure(let error): breach(rule, "\(circumstance) the stage fails: \(error.message)")
        case .success(let flow):
            guard let difference = Self.difference(expected, flow) else { return }
            breach(rule, "\(circumstance) \(difference). \(advice ?? rule.advice)")
        }
    }

    /// The first difference between the expected and the actual result.
    private static func difference(_ expected: Flow, _ found: Flow) -> String? {
        for row in 0..<expected.records.count {
            let (before, after) = (expected.losses[row], found.losses[row])
            guard before != after else { continue }
            return "record \(row + 1) is \(words(after)) and not \(words(before))"
        }
        if expected.live != found.live { return "other records are kept" }
        if expected.written != found.written {
            let columns = expected.written.symmetricDifference(found.written).sorted().map(\.name)
            return "the columns \(columns.joined(separator: ", ")) are written differently"
        }
        for name in expected.written.sorted() where expected.columns[name] != found.columns[name] {
            let rows = zip(expected.columns[name]?.cells ?? [], found.columns[name]?.cells ?? [])
            let row = rows.enumerated().first { $0.element.0 != $0.element.1 }?.offset
            return "the column `\(name)` differs" + (row.map { " at record \($0 + 1)" } ?? "")
        }
        if expected.models != found.models { return "the model that is kept with the run has other bytes" }
        let (before, after) = (JSONValue.list(expected.reports), JSONValue.list(found.reports))
        guard before.json != after.json else { return nil }
        return "the report differs: \(Definition.differences(from: before, to: after).first ?? "")"
    }

    private static func words(_ loss: Loss?) -> String {
        guard let loss else { return "kept" }
        let partner = loss.partner.map { ", having lost to record \($0 + 1)" } ?? ""
        return "dropped as `\(loss.reason)`" + (loss.measures == "{}" ? "" : " with \(loss.measures)") + partner
    }
}

extension Violation.Rule {
    /// What to do where a result differs.
    var advice: String {
        switch self {
        case .repeats:
            "Keep nothing between calls, draw with `context.seed.draw(_:)`, and sort what comes from a `Set` or `Dictionary`: its order differs each time"
        case .answers: "A question must follow from the record alone, and the result from the answers"
        case .threads: "The result must not depend on how many threads there are and which of them comes first"
        case .blocks: "The result for a record must follow from that record: look at no other one of its block"
        case .merges:
            "`merge` must be exact in any order: sum integers, not floating-point numbers, and break ties by value, not by what came first"
        case .bytes:
            "Write all parts of the summary and of the outcome in `write(to:)`, and read them in the same order"
        case .reads: "Declare in `reads` all that the stage looks at"
        case .writes: "A stage may leave out an unwanted column, but must keep and drop the same records"
        case .ordinals:
            "Name files and lines only in messages: use the order of rows, and draw with `context.seed.draw(_:)`"
        case .memory: "Memory may decide how a result is reached, not what it is"
        default: "The results must be equal"
        }
    }
}
