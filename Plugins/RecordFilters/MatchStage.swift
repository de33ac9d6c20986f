public import SluiceCore

/// Keeps or drops records by conditions on their fields and columns: comparisons and regular expressions.
///
/// Cost: that of the patterns; a comparison takes a few nanoseconds.
public struct MatchStage: Stage, WorkerTransform {
    public static let descriptor = Descriptor(
        name: "match",
        summary: "Keeps or drops records by conditions on fields and columns.",
        discussion: """
            `keep` drops records for which one of its conditions does not hold (reason no-match), `drop` those for which one \
            holds (reason match); the ledger has the number of that condition, from 1. A condition is a map with `field` or \
            `column` and tests, all of which must hold:

              equals: VALUE, in: [VALUE, …]  a number by its value, all else as it is spelled: "3" and 3 are both 3
              above, below, at_least, at_most: NUMBER  a value that is no number, nor text that spells one, does not pass
              matches: "REGEX"  anywhere in the value; `^` and `$` are the ends of the text, (?m) makes them those of lines, \
            (?i) ignores case
              exists: true or false  a missing field, or null, passes `exists: false` and no other test

            all: [CONDITION, …], any: [CONDITION, …] and not: CONDITION combine conditions to any depth. So {not: {field: lang, \
            equals: en}} also holds for records without the field.

            Patterns are those of PCRE2 with Unicode. A list or an object is matched as it is spelled in the record. A pattern \
            that takes too many steps on a record, or 10 seconds, ends the run with the record's place (exit status 3).
            """,
        options: [
            OptionSpec(
                "keep", .tree, help: "a condition, or a list of which all must hold",
                example: "[{field: lang, in: [en, de]}, {field: score, at_least: 3}]"),
            OptionSpec(
                "drop", .tree, help: "a condition, or a list of which none may hold",
                example: #"{field: completion, matches: "(?i)as an ai language model"}"#),
        ])

    private let keep: [Condition]
    private let drop: [Condition]

    public init(options: OptionValues) throws(StageError) {
        keep =
            try options["keep"].map { (value) throws(StageError) in
                try ConditionReader(option: "keep").conditions(value)
            } ?? []
        drop =
            try options["drop"].map { (value) throws(StageError) in
                try ConditionReader(option: "drop").conditions(value)
            } ?? []
        guard !keep.isEmpty || !drop.isEmpty else {
            throw .option("keep", "`match` needs `keep` or `drop`, such as `keep: {field: lang, equals: en}`")
        }
    }

    private var operands: [Condition.Operand] {
        var seen: Set<Condition.Operand> = []
        return (keep + drop).flatMap(\.operands).filter { seen.insert($0).inserted }
    }

    private var hasPatterns: Bool { (keep + drop).contains(where: \.hasPattern) }

    public var reads: [Input] { operands.map(\.input) }
    public var writes: [ColumnSpec] { [] }

    public func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: hasPatterns ? PatternMatcher.memory : 4096, growth: 0)
    }

    public func makeWorker(_ context: StageContext) throws(StageError) -> MatchWorker {
        MatchWorker(matcher: hasPatterns ? try PatternMatcher() : nil)
    }

    public func apply(to block: inout Block, with worker: inout MatchWorker) throws(StageError) {
        let values = try Condition.Values(operands, of: block)
        for record in 0..<block.count where block.isLive(record) {
            if let index = try keep.firstIndex(record, values, worker.matcher, holds: false) {
                block.drop(record, reason: "no-match", measures: [Measure("condition", .integer(index + 1))])
            } else if let index = try drop.firstIndex(record, values, worker.matcher, holds: true) {
                block.drop(record, reason: "match", measures: [Measure("condition", .integer(index + 1))])
            }
        }
    }
}

extension [Condition] {
    /// The first condition that holds for a record, or does not.
    fileprivate func firstIndex(
        _ record: Int, _ values: Condition.Values, _ matcher: PatternMatcher?, holds expected: Bool
    ) throws(StageError) -> Int? {
        for (index, condition) in enumerated() where try condition.holds(record, values, matcher) == expected {
            return index
        }
        return nil
    }
}

/// What a thread keeps for `match`.
public struct MatchWorker {
    let matcher: PatternMatcher?
}

/// `match` in a definition written in Swift.
public struct Match: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameters:
    ///   - keep: a condition, or a list of which all must hold, as in a definition: `["field": "lang", "equals": "en"]`.
    ///   - drop: a condition, or a list of which none may hold.
    public init(keep: OptionValue? = nil, drop: OptionValue? = nil) {
        var options = OptionValues()
        options["keep"] = keep
        options["drop"] = drop
        stageSpec = StageSpec("match", options)
    }
}
