import SluiceCore

/// The part of a definition that a mistake concerns. Numbers count from 0.
enum DefinitionPart: Hashable {
    case memory
    case files
    case file(Int)
    case dedupe
    case dedupeField(Int)
    case maxMalformed
    case maxRecord
    case limit
    case stage(Int)
    case option(stage: Int, String)
    case directory
    case record
    case annotation(Int)
    case vectors
    /// An entry of `outputs`.
    case sink(Int)
    case level
    case answers
    /// A test, by its name.
    case test(String)
}

/// The rules for the values of a definition, whether it comes from YAML or from Swift.
struct DefinitionRules {
    static let leastMemory = 1 << 20
    static let greatestRecord = 1 << 30
    static let levels = 1...19
    /// More are most likely a mistake of the program that wrote the definition.
    static let mostStages = 1000
    /// The most names that the braces of one pattern may expand to.
    static let mostAlternatives = 10_000

    struct Finding {
        let part: DefinitionPart
        let message: String
    }

    private(set) var findings: [Finding] = []
    /// The definition with the options of its stages in normal form and their defaults filled in.
    private(set) var definition: Definition
    private let registry: Registry
    private let broken: Set<DefinitionPart>

    /// Checks `definition`.
    ///
    /// - Parameter broken: parts that could not be read; their mistakes are already reported.
    init(_ definition: Definition, registry: Registry, broken: Set<DefinitionPart> = []) {
        self.definition = definition
        self.registry = registry
        self.broken = broken
        checkValues()
        guard definition.stages.count <= Self.mostStages else {
            report(
                .stage(Self.mostStages),
                "the definition has \(definition.stages.count) stages; at most \(Self.mostStages) are allowed")
            return
        }
        for test in definition.tests {
            guard let stage = test.after, definition.ending(after: stage) == nil else { continue }
            report(
                .test(test.name),
                "test `\(test.name)` ends after the stage `\(stage)`, which the definition does not have")
        }
        let stages = definition.stages.indices.map { checkStage($0) }
        checkColumns(stages)
    }

    private mutating func report(_ part: DefinitionPart, _ message: String) {
        guard !broken.contains(part) else { return }
        findings.append(Finding(part: part, message: message))
    }

    private mutating func checkValues() {
        let (input, output, memory) = (definition.input, definition.output, definition.memory)
        if memory < Self.leastMemory {
            // A bare number of that size was meant in MiB.
            let meant = memory > 0 && memory < 1 << 16 ? "; did you mean `\(memory)MiB`?" : ""
            report(.memory, "`memory` is \(memory) bytes, far less than any run takes\(meant)")
        }
        if input.files.isEmpty {
            report(.files, "`input.files` is empty; write paths or globs, such as [data/*.jsonl.zst]")
        }
        for (index, file) in input.files.enumerated() {
            if file.isEmpty { report(.file(index), "`input.files` contains an empty name") }
            if file.contains("\0") {
                report(.file(index), "`input.files` contains a NUL character, which no file name can have")
            }
            if Self.alternatives(of: file) > Self.mostAlternatives {
                report(
                    .file(index),
                    "the braces of this pattern expand to more than \(Self.mostAlternatives) names; use `*` or `?`")
            }
            if file == "-", input.files.firstIndex(of: "-") != index {
                report(.file(index), "standard input `-` can be read only once")
            }
        }
        if case .fields(let fields) = input.dedupe?.on {
            if fields.isEmpty { report(.dedupe, "`input.dedupe.on` is empty; write field names or `on: line`") }
            for (index, field) in fields.enumerated() {
                if field.description.isEmpty { report(.dedupeField(index), "`input.dedupe.on` contains an empty name") }
                if fields.firstIndex(of: field) != index {
                    report(.dedupeField(index), "`input.dedupe.on` names `\(field)` twice")
                }
            }
        }
        if let allowed = input.maxMalformed, input.malformed == .fail {
            report(
                .maxMalformed,
                "`input.max_malformed: \(allowed)` needs `malformed: quarantine`; `malformed: fail` allows none")
        }
        if !(1...Self.greatestRecord).contains(input.maxRecord) {
            report(.maxRecord, "`input.max_record` is \(input.maxRecord) bytes and must be from 1 byte to 1GiB")
        }
        if let limit = input.limit, limit < 1 {
            report(.limit, "`input.limit` is \(limit); leave it out to read all records")
        }
        if output.directory.isEmpty {
            report(.directory, "`output.directory` is empty; say where the results go")
        }
        if InputSpec.isAddress(output.directory) {
            report(
                .directory,
                "`output.directory` must be a folder of the file system; write there, and copy the result to \(output.directory)"
            )
        }
        if output.directory.contains("\0") {
            report(.directory, "`output.directory` contains a NUL character, which no folder name can have")
        }
        if let answers = definition.answers,
            ["", "-"].contains(answers) || answers.contains("\0") || InputSpec.isAddress(answers)
        {
            report(.answers, "`answers` must be the name of a folder; leave it out for one in the output directory")
        }
        for (index, sink) in definition.sinks.enumerated() {
            for fault in SinkRules.faults(of: sink, before: definition.sinks[..<index]) { report(.sink(index), fault) }
        }
        if !Self.levels.contains(output.level) {
            report(
                .level,
                "`output.level` is \(output.level) and must be from \(Self.levels.lowerBound) to \(Self.levels.upperBound)"
            )
        }
    }

    /// Brings the options of a stage into normal form, and creates the stage if they are valid.
    private mutating func checkStage(_ index: Int) -> (any Stage)? {
        let spec = definition.stages[index]
        guard !broken.contains(.stage(index)) else { return nil }
        guard let type = registry[spec.name] else {
            report(.stage(index), Self.unknownStage(spec.name, registry))
            return nil
        }
        let descriptor = type.descriptor
        let (values, problems) = descriptor.resolving(spec.options)
        definition.stages[index].options = values
        var isSound = !broken.contains { if case .option(index, _) = $0 { true } else { false } }
        for problem in problems {
            isSound = false
            let part = DefinitionPart.option(stage: index, problem.option ?? "")
            let isGiven = problem.option.map { spec.options[$0] != nil } ?? false
            guard !broken.contains(part) else { continue }
            report(isGiven ? part : .stage(index), problem.message)
        }
        guard isSound else { return nil }
        do throws(StageError) {
            return try type.init(options: values)
        } catch {
            let isGiven = error.option.map { spec.options[$0] != nil } ?? false
            let part = isGiven ? DefinitionPart.option(stage: index, error.option ?? "") : .stage(index)
            report(part, "stage \(index + 1) `\(spec.name)`: \(error.message)")
            return nil
        }
    }

    /// The number of names that the braces of a pattern expand to, capped: nested and neighbouring braces multiply.
    private static func alternatives(of pattern: String) -> Int {
        // Per open brace: the sum of the finished alternatives, and the product of the current one.
        var open: [(done: Int, current: Int)] = [(0, 1)]
        func bounded(_ number: Int) -> Int { min(number, 1 << 30) }
        for byte in pattern.utf8 {
            let last = open.count - 1
            switch byte {
            case UInt8(ascii: "{"): open.append((0, 1))
            case UInt8(ascii: ",") where last > 0:
                open[last] = (bounded(open[last].done + open[last].current), 1)
            case UInt8(ascii: "}") where last > 0:
                let (done, current) = open.removeLast()
                open[last - 1].current = bounded(open[last - 1].current * bounded(done + current))
            default: break
            }
        }
        return open.reduce(1) { bounded($0 * max(1, $1.done + $1.current)) }
    }

    private mutating func checkColumns(_ stages: [(any Stage)?]) {
        for finding in ColumnContract.findings(stages, definition, registry: registry) {
            switch finding.subject {
            case .stage(let index): report(.stage(index), finding.message)
            case .option(let index, let name): report(.option(stage: index, name), finding.message)
            case .record: report(.record, finding.message)
            case .annotation(let index): report(.annotation(index), finding.message)
            case .vectors: report(.vectors, finding.message)
            case .sink(let index): report(.sink(index), finding.message)
            }
        }
    }

    static func unknownStage(_ name: String, _ registry: Registry) -> String {
        guard !registry.names.isEmpty else { return "unknown stage `\(name)`; no stages are registered" }
        let known = "known stages are \(registry.names.map { "`\($0)`" }.joined(separator: ", "))"
        guard let near = Registry.nearest(to: name, in: registry.names) else {
            return "unknown stage `\(name)`; \(known)"
        }
        return "unknown stage `\(name)`; did you mean `\(near)`? (\(known))"
    }
}
