public import SluiceCore

/// A definition written in Swift:
///
/// ```swift
/// let pipeline = Pipeline(
///     seed: 42, input: InputSpec(files: ["data/p3-*.jsonl.zst"]), output: OutputSpec(directory: "out")
/// ) {
///     StageSpec("format", ["template": "{prompt}\n\n{completion}"])
///     StageSpec("embed", ["dimensions": 384])
/// }
/// let definition = try pipeline.definition(.builtIn)
/// ```
///
/// The result is the same `Definition` as from an equivalent YAML file. Relative paths are relative to the working
/// directory.
public struct Pipeline: Sendable {
    /// All random draws come from it and from the content of records.
    public var seed: UInt64
    /// Memory for the whole process, in bytes.
    public var memory: Int
    public var input: InputSpec
    public var output: OutputSpec
    /// Outputs beside the file of all kept records.
    public var outputs: [SinkSpec]
    /// The folder of the answer log; see `Definition.answers`.
    public var answers: String?
    /// What should become of some records; see `DefinitionTest`.
    public var tests: [DefinitionTest]
    public var stages: [StageSpec]

    public init(
        seed: UInt64 = 0, memory: Int = Definition.defaultMemory, input: InputSpec, output: OutputSpec,
        outputs: [SinkSpec] = [], answers: String? = nil, tests: [DefinitionTest] = [],
        @StageBuilder stages: () -> [StageSpec] = { [] }
    ) {
        self.seed = seed
        self.memory = memory
        self.input = input
        self.output = output
        self.outputs = outputs
        self.answers = answers
        self.tests = tests
        self.stages = stages()
    }

    /// The definition, checked by the same rules as a YAML file, with the defaults of all options filled in.
    ///
    /// - Throws: all mistakes at once, without places.
    public func definition(_ registry: Registry) throws(DefinitionErrors) -> Definition {
        let rules = DefinitionRules(
            Definition(
                seed: seed, memory: memory, input: input, stages: stages, output: output, sinks: outputs,
                answers: answers, tests: tests),
            registry: registry)
        guard rules.findings.isEmpty else { throw DefinitionErrors(rules.findings.map { Problem($0.message) }) }
        return rules.definition
    }
}

/// Collects the stages of a `Pipeline`.
@resultBuilder
public enum StageBuilder {
    public static func buildExpression(_ stage: some StageSpecConvertible) -> [StageSpec] { [stage.stageSpec] }
    public static func buildExpression(_ stages: [StageSpec]) -> [StageSpec] { stages }
    public static func buildBlock(_ parts: [StageSpec]...) -> [StageSpec] { parts.flatMap { $0 } }
    public static func buildOptional(_ part: [StageSpec]?) -> [StageSpec] { part ?? [] }
    public static func buildEither(first part: [StageSpec]) -> [StageSpec] { part }
    public static func buildEither(second part: [StageSpec]) -> [StageSpec] { part }
    public static func buildArray(_ parts: [[StageSpec]]) -> [StageSpec] { parts.flatMap { $0 } }
}
