/// The rules for the report of a stage, shared by the engine and the contract kit.
package enum ReportRules {
    /// The keys of every stage in `run.json`; those of its report stand beside them.
    private static let reserved = ["stage", "in", "dropped", "out", "questions"]

    /// What is wrong with the reports of a stage's surveys and selections, which become one object in `run.json`; nil
    /// if nothing is.
    package static func fault(in reports: [JSONValue]) -> String? {
        for report in reports {
            guard case .object = report else { return "its report is not an object" }
        }
        let entries = reports.flatMap(\.entries)
        for entry in entries where reserved.contains(entry.key) {
            return "its report has the key `\(entry.key)`, which is reserved: every stage in `run.json` has that key"
        }
        return repeatedKey(in: .object(entries)).map { "its report has the key `\($0)` twice" }
    }

    /// A key that an object in `report` has twice; many readers of JSON would lose one of the two values.
    private static func repeatedKey(in report: JSONValue) -> String? {
        var seen: Set<String> = []
        for entry in report.entries where !seen.insert(entry.key).inserted { return entry.key }
        for value in report.entries.map(\.value) + report.elements {
            if let key = repeatedKey(in: value) { return key }
        }
        return nil
    }
}
