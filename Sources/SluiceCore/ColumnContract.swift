/// The rules for the columns of a definition: a column is written before it is read, has one type, and its readers
/// accept that type.
///
/// `check`, `plan` and `run` ask for the findings of a whole definition, the contract kit for the breaches of one
/// stage. Both use the same rules.
public enum ColumnContract {
    /// The subject of a mistake, from which the definition's reader finds the line and column.
    package enum Subject: Sendable, Hashable {
        /// A stage, from 0.
        case stage(Int)
        /// An option of a stage that names a column.
        case option(stage: Int, String)
        /// `output.record`.
        case record
        /// An entry of `output.annotate`, from 0.
        case annotation(Int)
        /// `output.vectors`.
        case vectors
        /// An entry of `outputs`, from 0.
        case sink(Int)
    }

    package struct Finding: Sendable, Hashable {
        package let subject: Subject
        package let message: String
    }

    /// A column and its writer.
    package struct Written: Sendable, Hashable {
        package let spec: ColumnSpec
        /// The writer as messages name it: ``stage 2 `embed` ``.
        package let writer: String

        package init(_ spec: ColumnSpec, by writer: String) {
            self.spec = spec
            self.writer = writer
        }
    }

    /// One breach of the contract by one stage.
    package struct Breach: Sendable, Hashable {
        package enum Rule: Sendable, Hashable {
            case reads
            case writes
        }

        package let rule: Rule
        package let message: String
        /// The option that names the column.
        package var option: String?
        /// The column that is read but never written.
        package var missing: ColumnName?
    }

    // MARK: A definition

    /// Every mistake in the use of columns, by a stage or the output.
    ///
    /// - Parameters:
    ///   - stages: the stages of the definition, in its order.
    ///   - registry: searched for a stage that would write a missing column.
    public static func check(_ stages: [any Stage], _ definition: Definition, registry: Registry) -> [Problem] {
        findings(stages.map { $0 }, definition, registry: registry).map { Problem($0.message) }
    }

    /// - Parameter stages: nil for a stage that could not be made; columns that it might have written are not reported
    ///   as missing.
    package static func findings(
        _ stages: [(any Stage)?], _ definition: Definition, registry: Registry
    ) -> [Finding] {
        let remedies = ColumnRemedies(stages: stages, names: definition.stages.map(\.name), registry: registry)
        var findings: [Finding] = []
        var written: [Written] = []
        var isComplete = true
        for (index, stage) in stages.enumerated() {
            guard let stage else {
                isComplete = false
                continue
            }
            let spec = definition.stages[index]
            let label = "stage \(index + 1) `\(spec.name)`"
            let adapted: any Stage
            do throws(StageError) { adapted = try stage.adapted(to: written.map(\.spec)) } catch {
                let subject = error.option.map { Subject.option(stage: index, $0) } ?? .stage(index)
                findings.append(Finding(subject: subject, message: "\(label): \(error.message)"))
                isComplete = false
                continue
            }
            for name in spec.when?.names ?? []
            where written.last(where: { $0.spec.name.name == name })?.spec.type.isVector ?? false {
                findings.append(
                    Finding(
                        subject: .option(stage: index, "when"),
                        message: "\(label): `when` reads `\(name)`, which holds vectors; it can read numbers and texts")
                )
            }
            for breach in breaches(of: adapted, called: label, options: spec.options, after: written) {
                if breach.missing != nil, !isComplete { continue }
                let remedy = breach.missing.map { remedies.remedy(for: $0, after: index, written) } ?? ""
                let subject = breach.option.map { Subject.option(stage: index, $0) } ?? .stage(index)
                findings.append(Finding(subject: subject, message: breach.message + remedy))
            }
            written += adapted.writes.map { Written($0, by: label) }
        }
        return findings + outputFindings(definition.output, isComplete ? written : nil, remedies)
            + sinkFindings(definition.sinks, isComplete ? written : [])
    }

    /// - Parameter written: nil if unknown because a stage could not be made.
    private static func outputFindings(
        _ output: OutputSpec, _ written: [Written]?, _ remedies: ColumnRemedies
    ) -> [Finding] {
        var findings: [Finding] = []
        for (index, column) in output.annotate.enumerated() where output.annotate.firstIndex(of: column) != index {
            findings.append(
                Finding(subject: .annotation(index), message: "`output.annotate` names `\(column)` twice"))
        }
        guard let written else { return findings }
        let needed: ColumnName? =
            switch output.record {
            case _ where output.template != nil: nil
            case .original: nil
            case .formatted: .text
            case .messages: .messages
            }
        if let needed {
            let form = "`record: \(output.record.rawValue)` writes the column `\(needed)`, which"
            switch written.last(where: { $0.spec.name == needed }) {
            case nil:
                let remedy = remedies.remedy(for: needed, after: nil, written)
                findings.append(Finding(subject: .record, message: "\(form) no stage makes\(remedy)"))
            case let column? where column.spec.type != .bytes:
                findings.append(
                    Finding(subject: .record, message: "\(form) holds \(column.spec.type.words); it must hold bytes"))
            default: break
            }
        }
        if let column = output.vectors {
            let name = "`output.vectors` names `\(column)`, which"
            switch written.last(where: { $0.spec.name == column })?.spec.type {
            case nil:
                let remedy = remedies.remedy(for: column, after: nil, written)
                findings.append(Finding(subject: .vectors, message: "\(name) no stage writes\(remedy)"))
            case .vector?: break
            case let type?:
                findings.append(
                    Finding(subject: .vectors, message: "\(name) holds \(type.words); it must hold vectors"))
            }
        }
        for (index, column) in output.annotate.enumerated() where !written.contains(where: { $0.spec.name == column }) {
            let remedy = remedies.remedy(for: column, after: nil, written)
            findings.append(
                Finding(
                    subject: .annotation(index),
                    message: "`output.annotate` names `\(column)`, which no stage writes\(remedy)"
                ))
        }
        return findings
    }

    /// A name that no stage writes is a field of the record, about which nothing is known yet.
    private static func sinkFindings(_ sinks: [SinkSpec], _ written: [Written]) -> [Finding] {
        var findings: [Finding] = []
        for (index, sink) in sinks.enumerated() {
            for name in sink.names {
                guard let column = written.last(where: { $0.spec.name.name == name }),
                    case .vector = column.spec.type
                else { continue }
                findings.append(
                    Finding(
                        subject: .sink(index),
                        message:
                            "output `\(sink.name)` reads `\(name)`, which holds vectors; it can read numbers and texts")
                )
            }
        }
        return findings
    }

    // MARK: A stage

    /// Checks a stage's declaration against the columns of the stages before it.
    ///
    /// - Parameters:
    ///   - label: how messages name the stage.
    ///   - options: as the definition gives them; a message cites the option that names the column.
    ///   - written: the columns of earlier stages, in order.
    package static func breaches(
        of stage: any Stage, called label: String, options: OptionValues, after written: [Written]
    ) -> [Breach] {
        var breaches: [Breach] = []
        for case .column(let column, let kind) in stage.reads.map({ $0.resolved(after: written.map(\.spec)) }) {
            let option = type(of: stage).descriptor.option(naming: column, in: options)
            let reader = option.map { "\(label): `\($0)`" } ?? label
            let breach: Breach
            if let found = written.last(where: { $0.spec.name == column })?.spec.type {
                guard !kind.accepts(found) else { continue }
                let fitting = names(of: kind, in: written)
                let others = fitting.isEmpty ? "" : ", such as \(fitting.map { "`\($0)`" }.joined(separator: ", "))"
                breach = Breach(
                    rule: .reads,
                    message:
                        "\(reader) reads `\(column)`, which holds \(found.words); it takes \(kind.words)\(others)",
                    option: option)
            } else {
                breach = Breach(
                    rule: .reads, message: "\(reader) reads `\(column)`, which no earlier stage writes",
                    option: option, missing: column)
            }
            if !breaches.contains(breach) { breaches.append(breach) }
        }
        return breaches + writeBreaches(of: stage, called: label, after: written)
    }

    private static func names(of kind: ColumnKind, in written: [Written]) -> [ColumnName] {
        var names: [ColumnName] = []
        for column in written where kind.accepts(column.spec.type) && !names.contains(column.spec.name) {
            names.append(column.spec.name)
        }
        return names
    }

    private static func writeBreaches(
        of stage: any Stage, called label: String, after written: [Written]
    ) -> [Breach] {
        var breaches: [Breach] = []
        func report(_ message: String) { breaches.append(Breach(rule: .writes, message: "\(label) \(message)")) }
        for (index, spec) in stage.writes.enumerated() {
            if let fault = spec.name.fault {
                report("writes a column with the invalid name `\(spec.name)`: \(fault)")
            }
            if case .vector(let dimension) = spec.type, dimension < 1 {
                report("writes `\(spec.name)` as vectors of \(dimension) components")
            }
            if stage.writes[..<index].contains(where: { $0.name == spec.name }) {
                report("declares `\(spec.name)` twice")
            } else if let other = written.first(where: { $0.spec.name == spec.name }), other.spec.type != spec.type {
                report(
                    "writes `\(spec.name)` as \(spec.type.words), and \(other.writer) writes it as \(other.spec.type.words); a column has one type in a definition"
                )
            }
        }
        return breaches
    }
}

extension Descriptor {
    /// The option whose value is this column's name, or a list with it.
    fileprivate func option(naming column: ColumnName, in values: OptionValues) -> String? {
        options.first { option in
            // A default is what the stage reads by itself; nobody wrote the option.
            guard option.kind.namesColumns, values[option.name] != option.defaultValue else { return false }
            if case .list(let names)? = values[option.name] { return names.contains(.text(column.name)) }
            return values[option.name] == .text(column.name)
        }?.name
    }
}
