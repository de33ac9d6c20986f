import SluiceCore

/// What a run finds out for its manifest: counts, reports, facts about the inputs, and warnings.
struct RunFindings {
    private let run: RunContext

    var account = Account()
    private(set) var warnings: [String] = []
    /// Those that were known before anything was read, and those found since.
    var allWarnings: [String] { run.chain.warnings + warnings }
    /// Reports of surveys and selections, in order.
    private(set) var reports: [(label: String, report: JSONValue)] = []
    /// Models that surveys have learned, in order.
    private(set) var models: [JSONValue] = []
    /// Files of vectors beside the kept records.
    private(set) var exports: [JSONValue] = []
    /// Files of the definition's outputs.
    private(set) var sinkFiles: [JSONValue] = []
    private(set) var dedupeReport: JSONValue?
    /// What this process asked, by stage, in order.
    private(set) var asked: [(label: String, counts: AskingCounts)] = []
    /// Digest and number of lines of each input file.
    var files: [Int: FileFacts] = [:]
    /// The field names of a record, for messages.
    var fieldNames: [String] = []

    init(_ run: RunContext) { self.run = run }

    mutating func add(_ report: JSONValue, of stage: String) {
        if report != [:] { reports.append((stage, report)) }
    }

    mutating func add(_ result: RoundResult, of round: Rounds.Round) throws {
        if let learned = result.learned {
            try keep(learned, of: round)
            add(learned.report, of: round.label)
            warn(stage: round.label, learned.warnings)
        }
        if let selection = result.selection {
            account.add(selection.account)
            add(selection.report, of: round.label)
            warn(stage: round.label, selection.warnings)
            warn(stage: round.label, before: selection.before, after: selection.after)
        }
        account.add(result.account)
        warn(of: round.transforms, reached: result.reached, in: result.account)
    }

    /// Keeps what a survey learned with the run, if it is a model.
    private mutating func keep(_ learned: Learned, of round: Rounds.Round) throws {
        guard let last = round.last, case .survey(let survey) = last.body, let kind = survey.modelKind else { return }
        let model = try KeptModels.write(
            learned, kind, of: round.label, to: "\(run.work)/\(RunDirectory.resultName)", run.fileSystem)
        guard !models.contains(where: { $0["file"] == model["file"] }) else {
            throw EngineError(defect: "two of its surveys learn a model of the kind `\(kind)`", stage: round.label)
        }
        models.append(model)
    }

    /// Adds what a pass has asked.
    mutating func noteAnswers(of transforms: TransformChain) {
        for link in transforms.links {
            guard let counts = link.asking?.counts else { continue }
            if let index = asked.firstIndex(where: { $0.label == link.label }) {
                asked[index].counts.add(counts)
            } else {
                asked.append((link.label, counts))
            }
        }
    }

    // MARK: Judgements

    mutating func judgeInput() throws(EngineError) {
        let verdict = InputVerdict(
            spec: run.definition.input, catalog: run.catalog, account: account, files: files, fieldNames: fieldNames)
        warnings += try verdict.warnings().map(Printable.message) + neverSeen.map(Printable.message)
    }

    /// A name in a condition or a template that no record has is most likely mistyped.
    private var neverSeen: [String] {
        guard account.read > account.quarantined else { return [] }
        return run.chain.named.filter { !account.seen.contains($0.field.description) }.map { field, by in
            let near = Registry.nearest(to: field.description, in: fieldNames + run.chain.written.map(\.name.name))
            let guess = near.map { "; did you mean `\(Printable.name($0))`?" } ?? fieldsThere
            return "no record has the field `\(Printable.name(field.description))`, which \(by) names\(guess)"
        }
    }

    /// Takes over how many records were kept.
    ///
    /// - Throws: `EngineError` if nothing was and that is an error, or if the counts don't add up; `IOFailure` if a file of
    ///   vectors can't be read.
    mutating func close(_ outputs: Outputs) throws {
        exports = try VectorExport(run)?.report(in: "\(run.work)/\(RunDirectory.resultName)") ?? []
        account.kept = outputs.kept.lines
        try judgeResult()
        try account.close()
        guard outputs.ledger.lines == account.dropped, outputs.quarantine.lines == account.quarantined else {
            throw EngineError(
                .fault,
                "the ledger has \(outputs.ledger.lines) lines for \(account.dropped) dropped records, the quarantine \(outputs.quarantine.lines) for \(account.quarantined) malformed ones; please report this with the definition"
            )
        }
    }

    /// Makes the definition's outputs from the kept records and takes over what became of them.
    ///
    /// - Parameter result: the folder of the result.
    mutating func makeSinks(in result: String) throws {
        guard let made = try SinkPhase(run, result: result)?.make() else { return }
        sinkFiles = made.files
        warnings += made.warnings.map(Printable.message)
    }

    /// A result without records is rarely intended.
    private mutating func judgeResult() throws(EngineError) {
        guard account.kept == 0 else { return }
        let reasons = account.allDrops.map { "\($0.stage): \($0.reason) \($0.count)" }
        let why = reasons.isEmpty ? "" : " (\(reasons.joined(separator: ", ")))"
        let what = "nothing was kept of \(account.read) lines\(why)"
        guard !run.definition.output.failIfEmpty else {
            throw EngineError(
                .data, "\(what), and `output.fail_if_empty` is set; nothing was written\(fieldsThere)")
        }
        // A warning that names the stage that dropped everything already says so.
        if warnings.isEmpty { warnings.append(Printable.message(what + fieldsThere)) }
    }

    /// An upper bound on the probability that two different records share a hash: n²/2 pairs over 2¹²⁸.
    mutating func noteDedupe(distinct: Int) {
        guard let dedupe = run.definition.input.dedupe else { return }
        let n = Double(account.read - account.quarantined)
        dedupeReport = .object(
            [
                .init("method", "XXH3-128"), .init("verify", .text(dedupe.verify.rawValue)),
                .init("distinct", .integer(distinct)),
                .init("collision_probability_at_most", .real(n * n / 2 / 0x1p128)),
            ] + (run.comparesContents ? [.init("collisions", .integer(account.collisions))] : []))
    }

    // MARK: Warnings

    /// Warns about the transforms of the first pass: all distinct good records reached them.
    mutating func warn(of transforms: TransformChain) {
        let reached = account.read - account.quarantined - account.dropped(by: Deduper.stage)
        warn(of: transforms, reached: reached, in: account)
    }

    /// - Parameters:
    ///   - reached: the number of records that reached the pass.
    ///   - account: the counts of the pass.
    mutating func warn(of transforms: TransformChain, reached: Int, in account: Account) {
        var remaining = reached
        for link in transforms.links {
            if link.isGate {
                if remaining > 0, account.through[link.label, default: 0] == 0 {
                    warnings.append(
                        "stage `\(link.label)` did nothing: none of the \(remaining) records that reached it passes its `when`"
                    )
                }
                continue
            }
            let dropped = account.dropped(by: link.label)
            warn(stage: link.label, before: remaining, after: remaining - dropped)
            remaining -= dropped
        }
    }

    /// Warnings of the stage itself.
    mutating func warn(stage: String, _ sentences: [String]) {
        warnings += sentences.map { Printable.message("stage `\(stage)`: \($0)") }
    }

    /// A stage that drops everything, or only drops records but dropped none, is rarely configured as intended.
    mutating func warn(stage: String, before: Int, after: Int) {
        guard before > 0 else { return }
        let own = run.chain.links.first { $0.label == stage }
        // Only a stage that reads fields may have been given the wrong ones.
        let readsFields = own?.reads.contains { if case .field = $0 { true } else { false } } ?? false
        let fields = readsFields ? fieldsThere : ""
        if after == 0 {
            let reasons = account.drops(of: stage).map { "\($0.reason) \($0.count)" }.joined(separator: ", ")
            warnings.append("stage `\(stage)` dropped all \(before) records that reached it (\(reasons))\(fields)")
        } else if after == before, own?.stage.writes.isEmpty ?? false {
            warnings.append(
                "stage `\(stage)` changed nothing: it dropped none of the \(before) records that reached it\(fields)"
            )
        }
    }

    private var fieldsThere: String { fieldNames.listed }
}
