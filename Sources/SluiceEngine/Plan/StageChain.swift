package import SluiceCore
package import SluiceIO

/// The stages of a definition, made from their options, with their inputs and outputs.
package struct StageChain: Sendable {
    package struct Link: Sendable {
        /// From 0.
        package let index: Int
        /// The stage's name, with suffix `#2`, `#3` … if the definition names it repeatedly.
        package let label: String
        package let spec: StageSpec
        package let stage: any Stage
        /// The inputs of the stage and of its condition, each label resolved to a column or a field.
        package let reads: [Input]
        /// A seed of the stage's own.
        package let seed: Seed
        /// Which records go through; nil for all.
        let gate: StageGate?

        /// What the stage may read and write, and which records it sees.
        var declaration: StageDeclaration {
            StageDeclaration(reads: stage.reads, writes: stage.writes, gate: gate?.column)
        }
    }

    package let links: [Link]
    /// Where the names in the template and in the outputs of the definition find their values.
    let outputSources: [String: OutputSource]
    /// Memory of an open input beside its reader's.
    let openBytes: Int
    /// What the output reads of each record.
    private let outputFields: [FieldPath]
    /// The names in the template and in each output.
    private let outputNames: [(names: [String], by: String)]

    /// - Parameter store: has the inputs; nil for the file system.
    /// - Throws: `EngineError` with code `.definition` for an unknown stage, an invalid option, or columns that break the
    ///   contract between stages.
    package init(
        _ definition: Definition, registry: Registry, store: (any InputStore)? = nil
    ) throws(EngineError) {
        openBytes = definition.input.files.map { store?.openBytes(ofInputs: $0) ?? 0 }.max() ?? 0
        var links: [Link] = []
        var seen: [String: Int] = [:]
        for (index, spec) in definition.stages.enumerated() {
            guard let type = registry[spec.name] else {
                throw EngineError(
                    .definition,
                    "stage \(index + 1) `\(spec.name)` is unknown; the stages are: \(registry.names.joined(separator: ", "))"
                )
            }
            let occurrence = seen[spec.name, default: 0]
            seen[spec.name] = occurrence + 1
            let label = occurrence == 0 ? spec.name : "\(spec.name)#\(occurrence + 1)"
            do throws(StageError) {
                let written = links.flatMap(\.stage.writes)
                let options = type.descriptor.fillingDefaults(in: spec.options)
                let stage: any Stage = try type.init(options: options).adapted(to: written)
                let gate = spec.when.map { StageGate($0, stage: index, after: written) }
                links.append(
                    Link(
                        index: index, label: label, spec: spec, stage: stage,
                        reads: stage.reads.map { $0.resolved(after: written) }
                            + (gate.map { $0.reads + [.column($0.column, .integer)] + kept(stage.writes, of: written) }
                                ?? []),
                        seed: Seed(spec.seed ?? definition.seed).derived(for: spec.name, index: occurrence), gate: gate)
                )
            } catch {
                throw EngineError(.definition, "stage \(index + 1) `\(label)`: \(error.message)").about(
                    error, stage: label)
            }
        }
        self.links = links
        let names = (definition.output.template?.names ?? []) + definition.sinks.flatMap(\.names)
        outputNames =
            [(definition.output.template?.names ?? [], "`output.record`")]
            + definition.sinks.map { ($0.names, "output `\($0.name)`") }
        outputSources = OutputSource.sources(of: names, among: links.flatMap(\.stage.writes))
        outputFields = (definition.output.vectorIds.map { [$0] } ?? []) + outputSources.values.compactMap(\.field)
        let problems = ColumnContract.check(links.map(\.stage), definition, registry: registry)
        guard problems.isEmpty else {
            throw EngineError(.definition, problems.map(\.description).joined(separator: "\n"))
        }
    }

    /// The JSON fields that any stage reads, sorted.
    package var fields: [FieldPath] {
        var paths = Set(outputFields)
        for link in links {
            for case .field(let path) in link.reads { paths.insert(path) }
        }
        return paths.sorted()
    }

    /// Fields that conditions and templates name, each with who names it. Nothing else tells that such a name is mistyped.
    var named: [(field: FieldPath, by: String)] {
        let gates = links.flatMap { link in
            (link.gate?.reads ?? []).compactMap { input -> (field: FieldPath, by: String)? in
                if case .field(let path) = input { (path, "`when` of stage `\(link.label)`") } else { nil }
            }
        }
        let outputs = outputNames.flatMap { names, by in
            names.compactMap { name in outputSources[name]?.field.map { (field: $0, by: by) } }
        }
        return gates + outputs
    }

    /// What the stages say about the columns before them, each once.
    package var warnings: [String] {
        var found: [String] = []
        for link in links {
            for warning in link.stage.warnings(after: written(before: link.index)) {
                let line = "stage `\(link.label)`: \(warning)"
                if !found.contains(line) { found.append(line) }
            }
        }
        return found
    }

    /// The columns that the stages before stage `index` write.
    package func written(before index: Int) -> [ColumnSpec] {
        links.filter { $0.index < index }.flatMap(\.stage.writes)
    }

    package var readsRecord: Bool { links.contains { $0.reads.contains(.record) } }

    /// The inputs of the stages from `index` on, of which `later` is the work over kept columns.
    ///
    /// A stage whose selections alone are left reads what these need: the text that its transform has turned into keys
    /// while the input was read need not be kept.
    func inputs(from index: Int, later: [StageWork] = []) -> [Input] {
        let own = later.filter { $0.link.index == index && !$0.isWhole }
        let selections = own.compactMap { if case .selection(let selection) = $0.body { selection } else { nil } }
        let isNarrow = !own.isEmpty && selections.count == own.count
        let rest = links.filter { $0.index > index || $0.index == index && !isNarrow }.flatMap(\.reads)
        let output = outputFields.map { Input.field($0) }
        guard isNarrow else { return rest + output }
        let before = written(before: index)
        return rest + output
            + (own.first.flatMap { first in
                first.link.gate.map { [.column($0.column, .integer)] + kept(first.link.stage.writes, of: before) }
            } ?? [])
            + selections.flatMap { selection -> [Input] in
                selection.grouping.reads.map { $0.resolved(after: before) }
                    + selection.columns.map { .column($0, .any) }
                    + (selection.weights.map { [.column($0, .integer)] } ?? [])
            }
    }

    /// The columns that may still be read after the work of stage `index`: by later stages, by the remaining steps of
    /// the stages in `unfinished` (nil is stage `index`), and by the output.
    ///
    /// - Parameter later: the work over kept columns, if all other work of stage `index` is done; see `inputs`.
    func wanted(
        from index: Int, output: OutputSpec, unfinished: Set<Int>? = nil, later: [StageWork] = []
    ) -> [ColumnName] {
        var names = Set(output.columns + outputSources.values.compactMap(\.column))
        let unfinished = unfinished ?? [index]
        for case .column(let name, _) in inputs(from: index, later: later) { names.insert(name) }
        for link in links where link.index >= index && unfinished.contains(link.index) {
            names.formUnion(link.stage.writes.map(\.name))
        }
        return names.sorted()
    }

    /// The columns that stages write, in the order of their first writing.
    package var written: [ColumnSpec] {
        var result: [ColumnSpec] = []
        for spec in links.flatMap(\.stage.writes) where !result.contains(where: { $0.name == spec.name }) {
            result.append(spec)
        }
        return result
    }
}

extension OutputSpec {
    /// The columns used to write the kept records.
    var columns: [ColumnName] {
        let form: [ColumnName] =
            switch record {
            case _ where template != nil: []
            case .original: []
            case .formatted: [.text]
            case .messages: [.messages]
            }
        return form + (annotate + (vectors.map { [$0] } ?? [])).filter { !form.contains($0) }
    }
}

/// The columns that a stage with a condition writes after an earlier one: of records that pass by, they keep their values.
private func kept(_ writes: [ColumnSpec], of written: [ColumnSpec]) -> [Input] {
    writes.filter { spec in written.contains { $0.name == spec.name } }.map { .column($0.name, .any) }
}
