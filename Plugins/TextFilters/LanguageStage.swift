public import SluiceCore

extension ColumnName {
    /// The language of a record's text.
    public static let language: ColumnName = "language"
}

/// Finds the language of each record's text, writes it and its score as columns, and keeps or drops by it.
///
/// The method is langid.py's (Lui and Baldwin, ACL 2012): naive Bayes over byte n-grams, with the model of py3langid 0.4.0,
/// cut down to 0.7 MB. Deterministic: integers decide the language, and the score is rounded to 1/10000. Cost: some 35 ns
/// a byte of one core, in constant memory. `Benchmarks/results` has its accuracy.
public struct LanguageStage: Stage, WorkerTransform {
    public static let descriptor = Descriptor(
        name: "language",
        summary: "Finds the language of each record's text, and keeps or drops by it.",
        discussion: """
            Reads `text`, or another column or field. Writes the language to the column `language` and how sure it is, \
            from 0 to 1, to `language_score`, for `output.annotate`, `per` and later stages. Without `keep` and `drop` it \
            only writes them. A record is dropped as language-fr, language-und and so on; the ledger has the likeliest \
            language (`likely`) and its `score`.

              keep: [en, de], min_score: 0.8    English and German texts, without doubt
              drop: [zxx, und]                  what has no language, or none for sure

            A text whose score is below `min_score` has the language `und`, undetermined; so has an empty one, or one \
            without anything that the model knows, with the score 0. The default, 0.5, is that of Dolma and CCNet for their \
            scores. Few words leave doubt: of sentences in 130 languages 94% are right and reach it, of texts under 40 \
            characters 78%; of the sentences that reach it, 1% are wrong. `zxx` is text without language: numbers, \
            markup and identifiers among words; with nothing else a text is mostly und, and so is most source code with few words. A text \
            in several languages counts as one of them, often with a high score. Text mostly in capitals is read in lower \
            case, accents written as letters of their own as part of the letter before. Prompts are short: judge the whole conversation, or name \
            the languages in `among`. Text that says the same hundreds of times scores low; scripts that the model does not know, \
            and full-width letters, count as a neighbour.

            Some languages are hard to tell apart, such as bs, hr and sr, da and no, or id and ms. If you know which ones the corpus \
            has, name them in `among`: no other is found then, and a text in another one counts as the most similar of \
            these. Wu and Cantonese count as zh, Egyptian and Moroccan Arabic as ar.

            The languages, by ISO 639: \(LanguageCodes.all.joined(separator: ", ")).
            """,
        options: [
            OptionSpec("keep", .list(.text), help: "the languages to keep", example: "[en, de]"),
            OptionSpec("drop", .list(.text), help: "the languages to drop", example: "[zxx, und]"),
            OptionSpec(
                "min_score", .real(0...1), default: .real(0.5),
                help: "a text with a lower score has the language und", example: "0.8"),
            OptionSpec(
                "among", .list(.text), help: "the languages that the corpus may have; all without",
                example: "[en, de, fr, zxx]"),
            OptionSpec(
                "as", .newColumn, default: "language",
                help: "the column to write; the score goes to one with `_score` behind it", example: "answer_language"),
            TextSource.columnOption, TextSource.fieldOption,
        ])

    private let keep: Set<String>
    private let drop: Set<String>
    private let among: Set<String>
    private let minScore: Double
    private let column: ColumnName
    private let scoreColumn: ColumnName
    private let source: TextSource

    public init(options: OptionValues) throws(StageError) {
        keep = try Self.languages("keep", options)
        drop = try Self.languages("drop", options)
        among = try Self.languages("among", options)
        minScore = try options.real("min_score")
        let name = try options.text("as")
        column = ColumnName(name)
        scoreColumn = ColumnName(name + "_score")
        source = try TextSource(options)
        guard options["keep"] == nil || options["drop"] == nil else {
            throw .option("drop", "`keep` and `drop` exclude each other; remove one of them")
        }
        guard !among.contains(LanguageCodes.undetermined) else {
            throw .option("among", "`among`: `und` is no language, but what a text has that is in none; leave it out")
        }
        guard among.isEmpty || keep.union(drop).subtracting([LanguageCodes.undetermined]).isSubset(of: among) else {
            let other = keep.union(drop).subtracting(among).sorted()[0]
            throw .option("among", "`among` has no `\(other)`, so no text would be in it; add it")
        }
    }

    private static func languages(_ option: String, _ options: OptionValues) throws(StageError) -> Set<String> {
        guard options[option] != nil else { return [] }
        let names = try options.texts(option)
        guard !names.isEmpty else { throw .option(option, "`\(option)` is empty; name a language, such as en") }
        for name in names where name != LanguageCodes.undetermined && !LanguageCodes.all.contains(name) {
            throw .option(
                option,
                "`\(option)`: `\(name)` is none of the languages, which are codes such as en, de or zh; `sluice stages language` lists them"
            )
        }
        return Set(names)
    }

    public var reads: [Input] { source.reads }
    public var writes: [ColumnSpec] { [ColumnSpec(column, .bytes), ColumnSpec(scoreColumn, .real)] }

    public var residentBytes: Int { LanguageModel.bytes }

    public func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: LanguageJudge.memory, growth: 0)
    }

    /// What a thread keeps from text to text.
    public struct Worker {
        let judge: LanguageJudge
        /// Of the model's classes.
        let names: [String]
    }

    public func makeWorker(_ context: StageContext) throws(StageError) -> Worker {
        let model = try LanguageModel.shared()
        let classes = model.names.indices.filter { among.isEmpty || among.contains(model.names[$0]) }
        return Worker(judge: LanguageJudge(model, among: classes), names: model.names)
    }

    public func apply(to block: inout Block, with worker: inout Worker) throws(StageError) {
        let (judge, names) = (worker.judge, worker.names)
        var labels = [String](repeating: LanguageCodes.undetermined, count: block.count)
        var scores = [Double](repeating: 0, count: block.count)
        try source.forEachText(in: &block) { (block, record, text) throws(StageError) in
            guard let verdict = judge.judge(text) else {
                filter(&block, record, LanguageCodes.undetermined, [])
                return
            }
            let name = names[verdict.winner]
            if verdict.score >= minScore { labels[record] = name }
            scores[record] = verdict.score
            filter(
                &block, record, labels[record],
                [Measure("likely", .text(name)), Measure("score", .real(verdict.score))])
        }
        if block.isWanted(column) {
            var found = BytesColumn()
            for label in labels { found.append(label.utf8) }
            block.write(column, .bytes(found))
        }
        if block.isWanted(scoreColumn) { block.write(scoreColumn, .reals(scores)) }
    }

    private func filter(_ block: inout Block, _ record: Int, _ label: String, _ measures: [Measure]) {
        guard keep.isEmpty ? drop.contains(label) : !keep.contains(label) else { return }
        block.drop(record, reason: Reason("language-" + label), measures: measures)
    }
}

/// `language` in a definition written in Swift.
public struct Language: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameters:
    ///   - keep: the languages to keep (ISO 639), or `drop`: those to drop; without both, only the columns are written.
    ///   - among: the languages that are considered.
    ///   - name: the column to write.
    public init(
        keep: [String]? = nil, drop: [String]? = nil, minScore: Double? = nil, among: [String]? = nil,
        as name: String? = nil, column: String? = nil, field: String? = nil
    ) {
        var options = OptionValues()
        options["keep"] = keep.map { .list($0.map { .text($0) }) }
        options["drop"] = drop.map { .list($0.map { .text($0) }) }
        options["min_score"] = minScore.map { .real($0) }
        options["among"] = among.map { .list($0.map { .text($0) }) }
        options["as"] = name.map { .text($0) }
        options["column"] = column.map { .text($0) }
        options["field"] = field.map { .text($0) }
        stageSpec = StageSpec("language", options)
    }
}
