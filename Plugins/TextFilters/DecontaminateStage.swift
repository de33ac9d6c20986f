public import SluiceCore

/// Drops records that share an n-gram of words with a benchmark.
///
/// The rule is that of GPT-3 (Brown et al., arXiv 2005.14165, appendix C): 13 words in a row, in lower case and without
/// punctuation; a benchmark's item of 8 to 12 words counts as a whole. N-grams are compared by hashes of 64 bits. Cost: one
/// pass over the text and one look-up a word.
public struct DecontaminateStage: Stage {
    public static let descriptor = Descriptor(
        name: "decontaminate",
        summary: "Drops records that share a run of words with a benchmark.",
        discussion: """
            Reads `text`, or another column or field. Drops a record as `contaminated` if it has `ngram` words in a row \
            that a line of the files in `against` has, too. The rule is that of GPT-3 (arXiv 2005.14165, appendix C): words are \
            separated by white space, in lower case, without punctuation; 13 of them. A line of fewer words, but at \
            least `shortest`, is looked for as a whole; lines that are shorter still are not.

            The ledger has the file and line of the benchmark (`benchmark`, `benchmark_line`), the number of words that agree and \
            the first of them in the text, from 1 (`words`, `word`): the first place in the text, and the first line that has it.

            The files are JSON Lines, of which all strings are compared, or those in `fields`, joined in that order; or plain text, \
            a line each. They must not be compressed. Memory: about 32 bytes for each word of the files, shared by all \
            threads. A file with other content makes another run.
            """,
        options: [
            OptionSpec(
                "against", .list(.path), isRequired: true, help: "the files of the benchmarks",
                example: "[mmlu.jsonl, gsm8k.jsonl]"),
            OptionSpec(
                "fields", .list(.text), help: "the fields of the benchmarks to compare (all strings)",
                example: "[question, answer]"),
            OptionSpec("ngram", .integer(2...64), default: 13, help: "words in a row that agree", example: "8"),
            OptionSpec(
                "shortest", .integer(1...64), default: 8, help: "the fewest words of a line that is compared",
                example: "8"),
            TextSource.columnOption, TextSource.fieldOption,
        ])

    private let files: BenchmarkFiles
    private let source: TextSource

    public init(options: OptionValues) throws(StageError) {
        let paths = try options.texts("against")
        let n = try options.integer("ngram")
        let shortest = min(n, try options.integer("shortest"))
        source = try TextSource(options)
        guard !paths.isEmpty else { throw .option("against", "`against` is empty; name the files of benchmarks") }
        guard Set(paths).count == paths.count else { throw .option("against", "`against` names a file twice") }
        let fields = options["fields"] == nil ? [] : try options.texts("fields")
        files = BenchmarkFiles(paths, fields: fields, n: n, shortest: shortest)
    }

    public var reads: [Input] { source.reads }
    public var writes: [ColumnSpec] { [] }

    /// - Throws: if a file can't be used; nothing else has been read by then.
    public func body(_ context: StageContext) throws(StageError) -> StageBody {
        .transform(
            ContaminationFilter(source: source, names: files.names, loaded: try files.load(memory: context.memory)))
    }
}

/// Looks for a benchmark's n-grams.
private struct ContaminationFilter: WorkerTransform {
    let source: TextSource
    let names: [String]
    let loaded: BenchmarkFiles.Loaded

    var residentBytes: Int { loaded.bytes }

    func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: 2 * ComparedWords.mostWords * MemoryLayout<UInt64>.stride, growth: 0)
    }

    func makeWorker(_ context: StageContext) -> ComparedWords { ComparedWords() }

    func apply(to block: inout Block, with worker: inout ComparedWords) throws(StageError) {
        let index = loaded.index
        let longest = index.lengths.last ?? 1
        try source.forEachText(in: &block) { (block, record, text) throws(StageError) in
            worker.forget()
            var place = 0
            var before = 0
            repeat {
                before += worker.readOn(text, &place, keeping: longest - 1)
                guard let found = index.find(worker.hashes) else { continue }
                block.drop(
                    record, reason: "contaminated",
                    measures: [
                        Measure("benchmark", .text(names[found.item.file])),
                        Measure("benchmark_line", .integer(found.item.line)),
                        Measure("words", .integer(found.length)), Measure("word", .integer(before + found.word + 1)),
                    ])
                return
            } while place < text.count
        }
    }
}

/// `decontaminate` in a definition written in Swift.
public struct Decontaminate: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameters:
    ///   - files: JSON Lines or plain text, not compressed.
    ///   - fields: of the benchmarks; all strings by default.
    public init(
        against files: [String], fields: [String]? = nil, ngram: Int? = nil, shortest: Int? = nil,
        column: String? = nil, field: String? = nil
    ) {
        var options = OptionValues()
        options["against"] = .list(files.map { .text($0) })
        options["fields"] = fields.map { .list($0.map { .text($0) }) }
        options["ngram"] = ngram.map { .integer($0) }
        options["shortest"] = shortest.map { .integer($0) }
        options["column"] = column.map { .text($0) }
        options["field"] = field.map { .text($0) }
        stageSpec = StageSpec("decontaminate", options)
    }
}
