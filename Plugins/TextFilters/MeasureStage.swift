public import SluiceCore

/// Writes the sizes and shares of each record's text as columns, for `output.annotate` and later stages.
///
/// Each is an integer, or the quotient of two integers, rounded once: the same on every machine. Cost: one pass.
public struct MeasureStage: Stage, WorkerTransform {
    public static let descriptor = Descriptor(
        name: "measure",
        summary: "Writes the sizes and shares of each record's text as columns.",
        discussion: """
            Reads `text`, or another column or field; drops nothing. The columns can be named in `output.annotate`, and \
            by stages that order or compare, such as `match`.

              bytes, characters, words, lines  as `length` counts them
              tokens              likewise, with a model's `tokenizer`
              mean_word           characters of a word, on average; 0 without words
              letters             share of the characters that are letters, 0 to 1; likewise digits, capitals, \
            punctuation, spaces
              words_with_letters  share of the words that have a letter
            """,
        options: [
            OptionSpec(
                "columns", .list(.choice(Figure.allCases.map(\.rawValue))),
                default: .list(Figure.allCases.filter { $0 != .tokens }.map { .text($0.rawValue) }),
                help: "the columns to write",
                example: "[words, lines]"),
            OptionSpec(
                "prefix", .text, default: "",
                help: "put before the name of each column, for several texts of one record", example: "prompt_"),
            TokenCounter.option, TextSource.columnOption, TextSource.fieldOption,
        ])

    private enum Figure: String, CaseIterable, Sendable {
        case bytes, characters, words, lines, tokens
        case meanWord = "mean_word"
        case letters, digits, capitals, punctuation, spaces
        case wordsWithLetters = "words_with_letters"

        var isCount: Bool {
            switch self {
            case .bytes, .characters, .words, .lines, .tokens: true
            default: false
            }
        }

        func count(_ counts: TextCounts) -> Int {
            switch self {
            case .bytes: counts.bytes
            case .characters: counts.characters
            case .words: counts.words
            case .lines: counts.lines
            // Counted apart from the others.
            case .tokens: 0
            case .meanWord: counts.characters - counts.spaces
            case .letters: counts.letters
            case .digits: counts.digits
            case .capitals: counts.capitals
            case .punctuation: counts.punctuation
            case .spaces: counts.spaces
            case .wordsWithLetters: counts.wordsWithLetters
            }
        }

        func share(_ counts: TextCounts) -> Double {
            let whole = self == .meanWord || self == .wordsWithLetters ? counts.words : counts.characters
            return whole == 0 ? 0 : Double(count(counts)) / Double(whole)
        }
    }

    private let figures: [Figure]
    private let names: [ColumnName]
    private let source: TextSource
    private let counter: TokenCounter?

    public init(options: OptionValues) throws(StageError) {
        let words = try options.texts("columns")
        figures = words.compactMap { Figure(rawValue: $0) }
        let prefix = try options.text("prefix")
        names = figures.map { ColumnName(prefix + $0.rawValue) }
        source = try TextSource(options)
        guard figures.contains(.tokens) == (options["tokenizer"] != nil) else {
            throw .option(
                options["tokenizer"] == nil ? "columns" : "tokenizer",
                "the column `tokens` and `tokenizer`, the path of a tokenizer.json, go together")
        }
        counter = options["tokenizer"] == nil ? nil : try TokenCounter.read(options.text("tokenizer"))
        guard !figures.isEmpty else { throw .option("columns", "`columns` is empty; name what to write") }
        guard Set(words).count == words.count else { throw .option("columns", "`columns` names a column twice") }
        guard prefix.utf8.count <= 32, prefix.isEmpty || prefix.utf8.first.map(isLetter) == true,
            prefix.utf8.allSatisfy({ isLetter($0) || (48...57).contains($0) || $0 == 45 || $0 == 95 })
        else {
            throw .option(
                "prefix", "`prefix` is a letter followed by letters, digits, `_` or `-`, at most 32 characters")
        }
    }

    public var reads: [Input] { source.reads }
    public var writes: [ColumnSpec] {
        zip(names, figures).map { ColumnSpec($0, $1.isCount ? .integer : .real) }
    }

    public var residentBytes: Int { counter?.bytes ?? 0 }

    public func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: TokenCounter.workerBytes(counter), growth: 0)
    }

    /// What a thread keeps from text to text.
    public struct Worker {
        let tokens: TokenCounter.Worker
    }

    public func makeWorker(_ context: StageContext) -> Worker { Worker(tokens: TokenCounter.Worker(counter)) }

    public func apply(to block: inout Block, with worker: inout Worker) throws(StageError) {
        var counts = [TextCounts](repeating: TextCounts(), count: block.count)
        var tokens = [Int64](repeating: 0, count: counter == nil ? 0 : block.count)
        let (counter, worker) = (self.counter, worker.tokens)
        try source.forEachText(in: &block) { (_, record, text) throws(StageError) in
            counts[record] = TextCounts(text)
            if counter != nil { tokens[record] = Int64(worker.count(text)) }
        }
        for (name, figure) in zip(names, figures) where block.isWanted(name) {
            guard figure != .tokens else {
                block.write(name, .integers(tokens))
                continue
            }
            block.write(
                name,
                figure.isCount
                    ? .integers(counts.map { Int64(figure.count($0)) }) : .reals(counts.map { figure.share($0) }))
        }
    }
}

private func isLetter(_ byte: UInt8) -> Bool { (65...90).contains(byte) || (97...122).contains(byte) }

/// `measure` in a definition written in Swift.
public struct MeasureText: StageSpecConvertible {
    public let stageSpec: StageSpec

    public init(
        _ columns: [String]? = nil, prefix: String? = nil, tokenizer: String? = nil, column: String? = nil,
        field: String? = nil
    ) {
        var options = OptionValues()
        options["columns"] = columns.map { .list($0.map { .text($0) }) }
        options["prefix"] = prefix.map { .text($0) }
        options["tokenizer"] = tokenizer.map { .text($0) }
        options["column"] = column.map { .text($0) }
        options["field"] = field.map { .text($0) }
        stageSpec = StageSpec("measure", options)
    }
}
