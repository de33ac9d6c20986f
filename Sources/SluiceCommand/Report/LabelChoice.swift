import SluiceCore
import SluiceEngine

/// The field by which a report counts records if none is given.
enum LabelChoice {
    private static let records = 1000
    private static let longest = 80

    /// The field by which a stage groups; else a field of text of the first records that looks like a label: all of them
    /// have it, its values are short, and there are few of them. Nil if there is none.
    static func field(of definition: Definition) -> String? { grouping(of: definition) ?? guess(for: definition) }

    private static func grouping(of definition: Definition) -> String? {
        let written = Set(
            definition.stages.flatMap { spec -> [String] in
                let stage = try? Environment.registry[spec.name]?.init(options: spec.options)
                return stage?.writes.map(\.name.name) ?? []
            })
        for spec in definition.stages {
            if case .text(let per)? = spec.options["per"], per != "all", !written.contains(per) { return per }
        }
        return nil
    }

    private static func guess(for definition: Definition) -> String? {
        var values: [String: Set<String>] = [:]
        var counts: [String: Int] = [:]
        var all = 0
        try? definition.input.forEachRecordAtTheBeginning(most: records, in: Environment.store) { record in
            all += 1
            for entry in record.entries {
                guard let text = entry.value.textValue, (1...longest).contains(text.unicodeScalars.count) else {
                    continue
                }
                counts[entry.key, default: 0] += 1
                values[entry.key, default: []].insert(text)
            }
        }
        let fitting = values.filter { name, values in
            counts[name] == all && (2...max(2, all / 3)).contains(values.count)
        }
        return fitting.min { ($0.value.count, $0.key) < ($1.value.count, $1.key) }?.key
    }
}
