public import SluiceCore

/// Keeps records whose text has a length between two bounds.
///
/// A shorter text is dropped as `too-short`, a longer one as `too-long`; the ledger has the length, under the name of the
/// unit. Cost: one pass over the text.
public struct LengthStage: Stage, WorkerTransform {
    public static let descriptor = Descriptor(
        name: "length",
        summary: "Keeps records whose text is neither too short nor too long.",
        discussion: """
            Reads `text`, or another column or field. The ledger has the length that was found. Reasons: too-short, \
            too-long.

              characters  Unicode scalars
              words       runs of characters that are not white space (as Python's `str.split`); in scripts without \
            spaces that is a sentence or more
              bytes       of UTF-8
              lines       separated by `\\n`; one at the end begins no further line
              tokens      as a model's `tokenizer` cuts the text, without the tokens that it puts around it
            """,
        options: [
            OptionSpec(
                "unit", .choice(Unit.allCases.map(\.rawValue)), default: .text(Unit.characters.rawValue),
                help: "what is counted", example: "words"),
            OptionSpec("min", .integer(0...Int.max), help: "the least length that is kept", example: "20"),
            OptionSpec("max", .integer(0...Int.max), help: "the greatest length that is kept", example: "8000"),
            TokenCounter.option, TextSource.columnOption, TextSource.fieldOption,
        ])

    private enum Unit: String, CaseIterable, Sendable {
        case characters, words, bytes, lines, tokens

        func count(_ text: UnsafeBufferPointer<UInt8>, _ worker: TokenCounter.Worker) -> Int {
            switch self {
            case .characters: TextCounts.characters(of: text)
            case .words: TextCounts.words(of: text)
            case .bytes: text.count
            case .lines: TextCounts.lines(of: text)
            case .tokens: worker.count(text)
            }
        }
    }

    private let unit: Unit
    private let least: Int
    private let most: Int
    private let source: TextSource
    private let counter: TokenCounter?

    public init(options: OptionValues) throws(StageError) {
        guard let unit = Unit(rawValue: try options.text("unit")) else {
            throw .option("unit", "unknown unit `\(try options.text("unit"))`")
        }
        self.unit = unit
        least = options["min"] == nil ? 0 : try options.integer("min")
        most = options["max"] == nil ? .max : try options.integer("max")
        source = try TextSource(options)
        guard options["min"] != nil || options["max"] != nil else {
            throw .option("min", "`length` needs `min`, `max` or both, such as `min: 20`")
        }
        guard (unit == .tokens) == (options["tokenizer"] != nil) else {
            throw .option(
                options["tokenizer"] == nil ? "unit" : "tokenizer",
                "`unit: tokens` and `tokenizer`, the path of a tokenizer.json, go together")
        }
        counter = options["tokenizer"] == nil ? nil : try TokenCounter.read(options.text("tokenizer"))
        guard least <= most else { throw .option("min", "`min` is \(least), more than `max`, \(most)") }
    }

    public var reads: [Input] { source.reads }
    public var writes: [ColumnSpec] { [] }

    public var residentBytes: Int { counter?.bytes ?? 0 }

    public func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: TokenCounter.workerBytes(counter))
    }

    /// What a thread keeps from text to text.
    public struct Worker {
        let tokens: TokenCounter.Worker
    }

    public func makeWorker(_ context: StageContext) -> Worker { Worker(tokens: TokenCounter.Worker(counter)) }

    public func apply(to block: inout Block, with worker: inout Worker) throws(StageError) {
        let tokens = worker.tokens
        try source.forEachText(in: &block) { (block, record, text) throws(StageError) in
            let length = unit.count(text, tokens)
            guard length < least || length > most else { return }
            block.drop(
                record, reason: length < least ? "too-short" : "too-long",
                measures: [Measure(unit.rawValue, .integer(length))])
        }
    }
}

/// `length` in a definition written in Swift.
public struct Length: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameters:
    ///   - unit: `characters`, `words`, `bytes`, `lines`, or `tokens` of a `tokenizer`.
    ///   - field: the field with the text, instead of a column.
    public init(
        min: Int? = nil, max: Int? = nil, unit: String? = nil, tokenizer: String? = nil, column: String? = nil,
        field: String? = nil
    ) {
        var options = OptionValues()
        options["min"] = min.map { .integer($0) }
        options["max"] = max.map { .integer($0) }
        options["unit"] = unit.map { .text($0) }
        options["tokenizer"] = tokenizer.map { .text($0) }
        options["column"] = column.map { .text($0) }
        options["field"] = field.map { .text($0) }
        stageSpec = StageSpec("length", options)
    }
}
