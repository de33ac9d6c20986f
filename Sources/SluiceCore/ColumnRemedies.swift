/// Advice for a column that no stage writes.
struct ColumnRemedies {
    /// The stages of a definition; nil for a stage that could not be made.
    let stages: [(any Stage)?]
    let names: [String]
    let registry: Registry

    /// The end of a sentence that names the missing column; empty if there is no advice.
    ///
    /// - Parameter index: the stage that reads it; nil for the output.
    func remedy(for column: ColumnName, after index: Int?, _ written: [ColumnContract.Written]) -> String {
        if let index, let later = stages[(index + 1)...].firstIndex(where: { Self.writes($0, column) }) {
            return "; move stage \(later + 1) `\(names[later])`, which writes it, before it"
        }
        let writers = registry.names.filter { Self.writes(registry[$0].flatMap(Self.example), column) }
        // An earlier stage that can write the column, but not with its present options.
        let before = stages[..<(index ?? stages.endIndex)]
        if let there = before.indices.last(where: { stages[$0] != nil && writers.contains(names[$0]) }) {
            return
                "; stage \(there + 1) `\(names[there])` writes it only with other options: see `sluice stages \(names[there])`"
        }
        if let first = writers.first {
            let place = index == nil ? "add" : "put"
            let end = index == nil ? "" : " before it"
            if writers.count == 1 { return "; \(place) \(Self.article(first)) `\(first)` stage\(end)" }
            return "; \(place) one of \(writers.map { "`\($0)`" }.joined(separator: ", "))\(end)"
        }
        if let near = Registry.nearest(to: column.name, in: written.map(\.spec.name.name)) {
            return "; did you mean `\(near)`?"
        }
        return ""
    }

    private static func article(_ name: String) -> String {
        name.first.map { "aeiou".contains($0) } == true ? "an" : "a"
    }

    private static func writes(_ stage: (any Stage)?, _ column: ColumnName) -> Bool {
        stage?.writes.contains { $0.name == column } ?? false
    }

    /// A stage made from its defaults and the examples of its required options; nil if it can't be made from those.
    private static func example(_ type: any Stage.Type) -> (any Stage)? {
        var given = OptionValues()
        for option in type.descriptor.options where option.isRequired && option.defaultValue == nil {
            given[option.name] = option.exampleValue
        }
        let (values, problems) = type.descriptor.resolving(given)
        return problems.isEmpty ? try? type.init(options: values) : nil
    }
}

extension OptionSpec {
    /// The value that the example spells; for a list, a list with the example as its only entry.
    package var exampleValue: OptionValue? { exampleValue(kind) }

    private func exampleValue(_ kind: OptionKind) -> OptionValue? {
        if let value = kind.value(spelled: example) { return value }
        switch kind {
        case .list(let element):
            let entries = entries(between: "[", "]") ?? [example]
            let values = entries.compactMap { element.value(spelled: $0) }
            return values.count == entries.count && !values.isEmpty ? .list(values) : nil
        case .map(let element):
            guard let entries = entries(between: "{", "}") else { return nil }
            var values: [String: OptionValue] = [:]
            for entry in entries {
                guard let colon = entry.firstIndex(of: ":") else { return nil }
                let spelled = String(entry[entry.index(after: colon)...].drop { $0 == " " })
                guard let value = element.value(spelled: spelled) else { return nil }
                values[String(entry[..<colon])] = value
            }
            return .map(values)
        case .either(let kinds): return kinds.lazy.compactMap { exampleValue($0) }.first
        default: return nil
        }
    }

    /// The parts of the example between commas; nil if it is not in these brackets.
    private func entries(between start: String, _ end: String) -> [String]? {
        guard example.hasPrefix(start), example.hasSuffix(end) else { return nil }
        return example.dropFirst().dropLast().split(separator: ",").map { String($0.drop { $0 == " " }) }
    }
}
