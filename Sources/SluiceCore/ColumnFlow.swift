/// Checks that every column is written before it is read.
public enum ColumnFlow {
    /// What a mistake is about, so that a reader of a definition can say where it stands.
    package enum Subject: Sendable, Hashable {
        /// A stage, from 0.
        case stage(Int)
        /// `output.record`.
        case record
        /// An entry of `output.annotate`, from 0.
        case annotation(Int)
    }

    package struct Finding: Sendable, Hashable {
        package let subject: Subject
        package let message: String
    }

    /// Every column that is read and not written before, by a stage or by the output.
    ///
    /// - Parameters:
    ///   - stages: the stages of the definition, in its order.
    ///   - registry: where to look for a stage that would write a missing column.
    public static func check(_ stages: [any Stage], _ definition: Definition, registry: Registry) -> [Problem] {
        findings(stages.map { $0 }, definition, registry: registry).map { Problem($0.message) }
    }

    /// - Parameter stages: nil for one that could not be made; what it would have written is not missed.
    package static func findings(
        _ stages: [(any Stage)?], _ definition: Definition, registry: Registry
    ) -> [Finding] {
        var findings: [Finding] = []
        let names = definition.stages.map(\.name)
        for (index, stage) in stages.enumerated() {
            guard let stage, !stages[..<index].contains(where: { $0 == nil }) else { continue }
            let before = written(by: stages[..<index])
            var reported: Set<ColumnName> = []
            for case .column(let column) in stage.reads
            where !before.contains(column) && reported.insert(column).inserted {
                let remedy = remedy(for: column, after: index, stages, names, before, registry)
                findings.append(
                    Finding(
                        subject: .stage(index),
                        message:
                            "stage \(index + 1) `\(names[index])` reads `\(column)`, which no earlier stage writes\(remedy)"
                    ))
            }
        }
        guard !stages.contains(where: { $0 == nil }) else { return findings }

        let all = written(by: stages[...])
        let needed: ColumnName? =
            switch definition.output.record {
            case .original: nil
            case .formatted: .text
            case .messages: .messages
            }
        if let needed, !all.contains(needed) {
            let remedy = remedy(for: needed, after: nil, stages, names, all, registry)
            findings.append(
                Finding(
                    subject: .record,
                    message:
                        "`record: \(definition.output.record.rawValue)` writes the column `\(needed)`, which no stage makes\(remedy)"
                ))
        }
        for (index, column) in definition.output.annotate.enumerated() where !all.contains(column) {
            let remedy = remedy(for: column, after: nil, stages, names, all, registry)
            findings.append(
                Finding(
                    subject: .annotation(index), message: "`annotate` names `\(column)`, which no stage writes\(remedy)"
                ))
        }
        return findings
    }

    /// Checks the columns that a selection asks for against what its stage declares and what has been written; the body
    /// of a stage is known only when the run has come to it.
    ///
    /// - Parameter written: the columns that earlier stages and earlier bodies of this stage have written.
    public static func check(
        _ selection: any Selection, of stage: any Stage, named name: String, written: [ColumnSpec]
    ) -> [Problem] {
        var asked = selection.columns
        if case .by(let column) = selection.grouping { asked.append(column) }
        let declared = stage.reads.compactMap { if case .column(let column) = $0 { column } else { nil } }
        var problems: [Problem] = []
        for column in asked where !declared.contains(column) && !stage.writes.contains(where: { $0.name == column }) {
            problems.append(
                Problem(
                    "the selection of stage `\(name)` asks for the column `\(column)`, which the stage does not declare in `reads`"
                ))
        }
        if case .by(let column) = selection.grouping, let spec = written.last(where: { $0.name == column }),
            spec.type != .integer
        {
            problems.append(Problem("stage `\(name)` groups by `\(column)`, which holds no integers"))
        }
        for column in selection.columns where written.last(where: { $0.name == column })?.type == .bytes {
            problems.append(
                Problem("the selection of stage `\(name)` asks for `\(column)`; a selection can't be given bytes"))
        }
        return problems
    }

    // MARK: Remedies

    private static func written(by stages: ArraySlice<(any Stage)?>) -> [ColumnName] {
        stages.flatMap { $0?.writes.map(\.name) ?? [] }
    }

    private static func remedy(
        for column: ColumnName, after index: Int?, _ stages: [(any Stage)?], _ names: [String], _ written: [ColumnName],
        _ registry: Registry
    ) -> String {
        if let index, let later = stages[(index + 1)...].firstIndex(where: { writes($0, column) }) {
            return "; move stage \(later + 1) `\(names[later])`, which writes it, before it"
        }
        let writers = registry.names.filter { writes(registry[$0].flatMap(example), column) }
        if let first = writers.first {
            let place = index == nil ? "add" : "put"
            let end = index == nil ? "" : " before it"
            if writers.count == 1 { return "; \(place) \(article(first)) `\(first)` stage\(end)" }
            return "; \(place) one of \(writers.map { "`\($0)`" }.joined(separator: ", "))\(end)"
        }
        if let near = Registry.nearest(to: column.name, in: written.map(\.name)) { return "; did you mean `\(near)`?" }
        return ""
    }

    private static func article(_ name: String) -> String {
        name.first.map { "aeiou".contains($0) } == true ? "an" : "a"
    }

    private static func writes(_ stage: (any Stage)?, _ column: ColumnName) -> Bool {
        stage?.writes.contains { $0.name == column } ?? false
    }

    /// A stage of the type with its defaults, and with the examples of the options that it can't do without; nil where it
    /// can't be made from those.
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
    /// The value that the example spells; of a list, one with the example as its only entry.
    package var exampleValue: OptionValue? {
        if let value = kind.value(spelled: example) { return value }
        guard case .list(let element) = kind else { return nil }
        let inner = example.hasPrefix("[") && example.hasSuffix("]") ? String(example.dropFirst().dropLast()) : example
        let entries = inner.split(separator: ",").map { $0.drop { $0 == " " } }
        let values = entries.compactMap { element.value(spelled: String($0)) }
        return values.count == entries.count && !values.isEmpty ? .list(values) : nil
    }
}
