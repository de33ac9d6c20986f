public import SluiceCore

/// Drops records by the heuristics of Gopher, C4 and FineWeb, each rule by its own name.
///
/// All counts are integers, compared with the limits by cross-multiplication. Cost: a few passes over the text, and one
/// for each rule about n-grams, for texts that the rules before it let through.
public struct QualityStage: Stage, WorkerTransform {
    public static let descriptor = Descriptor(
        name: "quality",
        summary: "Drops records by the heuristics of Gopher, C4 and FineWeb.",
        discussion: """
            Reads `text`, or another column or field. A record is dropped by the first rule that its text breaks; the \
            rule's name is the reason, and the ledger has what was found (`found`, of `of`) and the `limit`. A text \
            without a word is dropped as empty-text. The rules and limits are those of the papers; made for English web \
            pages, some drop most short instructions (gopher-min-words, c4-min-sentences), so choose.

            """
                + QualityRule.allCases.map { rule in
                    "  \(rule.rawValue)  \(rule.help); \(rule.isLeast ? "at least" : "at most") \(rule.usual)"
                }.joined(separator: "\n") + """


                    Gopher: arXiv 2112.11446, A1.1 and table A1; C4: JMLR 21 (2020), 2.2; FineWeb: arXiv 2406.17557. Words are \
                    separated by white space, as in Dolma's Gopher rules; lines by `\\n`; a paragraph by an empty line. `gopher-top-…` \
                    needs an n-gram that occurs twice, as in RedPajama-2. The rules about \
                    repetition look at the first 131072 words, lines and paragraphs. C4 keeps the lines that end in `.`, `?`, `!` or a \
                    quotation mark, have 3 words, none of them over 1000 characters, and name neither JavaScript nor terms of use, \
                    privacy policies or cookies; here these lines only decide, and the record stays as it is. Its list of bad words is left out.
                    """,
        options: [
            OptionSpec(
                "rules", .list(.choice(QualityRule.sets + QualityRule.allCases.map(\.rawValue))),
                default: ["gopher", "c4", "fineweb"], help: "sets of rules (gopher, c4, fineweb) and single rules",
                example: "[gopher, fineweb-newlines]"),
            OptionSpec(
                "without", .list(.choice(QualityRule.allCases.map(\.rawValue))), default: .list([]),
                help: "rules of these sets to leave out", example: "[c4-curly-bracket]"),
            OptionSpec(
                "limits", .map(.quantity), help: "limits of rules, instead of the papers'",
                example: "{gopher-min-words: 20, fineweb-newlines: 50%}"),
            TextSource.columnOption, TextSource.fieldOption,
        ])

    /// The rules in use with their limits, in the order of `QualityRule.allCases`.
    private let rules: [(rule: QualityRule, limit: QualityLimit)]
    private let source: TextSource

    public init(options: OptionValues) throws(StageError) {
        let without = try options.texts("without")
        let limits = options["limits"] == nil ? [:] : try options.map("limits")
        let names = try options.texts("rules")
        let chosen = QualityRule.allCases.filter {
            (names.contains($0.rawValue) || names.contains($0.set)) && !without.contains($0.rawValue)
        }
        for name in limits.keys.sorted() {
            guard let rule = QualityRule(rawValue: name) else {
                let near = Registry.nearest(to: name, in: QualityRule.allCases.map(\.rawValue))
                throw .option(
                    "limits", "`limits`: there is no rule `\(name)`\(near.map { "; did you mean `\($0)`?" } ?? "")")
            }
            guard chosen.contains(rule) else {
                throw .option("limits", "`limits`: the rule `\(name)` is not among `rules`")
            }
            guard case .quantity(let limit)? = limits[name], limit.isShare == rule.usual.isShare else {
                throw .option(
                    "limits",
                    "`limits`: \(name) is \(rule.usual.isShare ? "a percentage" : "a count"), such as \(rule.usual)")
            }
        }
        if let name = without.first(where: { name in
            !names.contains(name) && !names.contains(String(name.prefix { $0 != "-" }))
        }) {
            throw .option("without", "`without`: the rule `\(name)` is not among `rules`")
        }
        guard !chosen.isEmpty else { throw .option("rules", "no rule is left; name a set or a rule in `rules`") }
        rules = chosen.map { rule in
            if case .quantity(let limit)? = limits[rule.rawValue] { return (rule, QualityLimit(limit)) }
            return (rule, QualityLimit(rule.usual))
        }
        source = try TextSource(options)
    }

    public var reads: [Input] { source.reads }
    public var writes: [ColumnSpec] { [] }

    public func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: Repetition.memory, growth: 0)
    }

    public func makeWorker(_ context: StageContext) -> QualityWorker { QualityWorker() }

    public func apply(to block: inout Block, with worker: inout QualityWorker) throws(StageError) {
        let judge = worker.judge
        try source.forEachText(in: &block) { (block, record, text) throws(StageError) in
            judge.begin(text)
            guard judge.words > 0 else {
                block.drop(record, reason: "empty-text")
                return
            }
            for (rule, limit) in rules {
                let (found, whole) = judge.measure(rule)
                guard rule.isLeast ? limit.isAbove(found, of: whole) : limit.isBelow(found, of: whole) else { continue }
                block.drop(
                    record, reason: Reason(rule.rawValue),
                    measures: [Measure("found", .integer(found))]
                        + (whole == 1 ? [] : [Measure("of", .integer(whole))])
                        + [Measure("limit", .text(limit.quantity.description))])
                return
            }
        }
        judge.end()
    }
}

/// What a thread keeps for `quality`: its tables.
public struct QualityWorker {
    let judge = QualityJudge()
}

/// `quality` in a definition written in Swift.
public struct Quality: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameters:
    ///   - rules: `gopher`, `c4`, `fineweb`, and names of single rules.
    ///   - limits: by rule, instead of the papers'.
    public init(
        _ rules: [String]? = nil, without: [String]? = nil, limits: [String: Quantity]? = nil, column: String? = nil,
        field: String? = nil
    ) {
        var options = OptionValues()
        options["rules"] = rules.map { .list($0.map { .text($0) }) }
        options["without"] = without.map { .list($0.map { .text($0) }) }
        options["limits"] = limits.map { .map($0.mapValues { .quantity($0) }) }
        options["column"] = column.map { .text($0) }
        options["field"] = field.map { .text($0) }
        stageSpec = StageSpec("quality", options)
    }
}
