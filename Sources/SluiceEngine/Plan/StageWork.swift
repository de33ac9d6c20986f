package import SluiceCore

/// One step of a stage's work, not a sequence of steps.
package struct StageWork: Sendable {
    package let link: StageChain.Link
    package let body: StageBody
    /// Whether it is the result of a survey: its memory is leased with each phase until it is done, not from the
    /// beginning.
    package var isLeft = false
    /// What the longest record takes in the pass over kept columns that does this work, in bytes.
    package private(set) var longestRow = 0
    /// Whether this is all the work of its stage, which then has to write all columns of the stage.
    package private(set) var isWhole = false
    /// Whether it only tests which records go through the stage.
    private(set) var isGate = false

    /// What it may read and write.
    var declaration: StageDeclaration { isGate ? link.gate?.declaration ?? link.declaration : link.declaration }
    /// The columns that it may write.
    var writes: [ColumnSpec] { declaration.writes }

    /// Whether it processes blocks independently, so that it can run while the input is read.
    package var isTransform: Bool {
        switch body {
        // Questions are asked once the whole input has been read: an answer may cost more than all the rest.
        case .asking, .survey, .selection: false
        case .transform, .sequence: true
        }
    }

    /// Splits the work of a stage into its steps.
    ///
    /// - Throws: `EngineError` with code `.fault` if the work reads columns that the stage does not declare.
    package static func work(_ body: StageBody, of link: StageChain.Link) throws(EngineError) -> [StageWork] {
        var pieces = try checked(body, of: link, isWhole: true)
        if pieces.count == 1 { pieces[0].isWhole = true }
        guard let gate = link.gate else { return pieces }
        // A selection behind a gate needs none of what the condition reads.
        if case .selection? = pieces.first?.body { pieces[0].isWhole = false }
        var first = StageWork(link: link, body: .transform(gate))
        first.isGate = true
        return [first] + pieces
    }

    private static func checked(
        _ body: StageBody, of link: StageChain.Link, isWhole: Bool
    ) throws(EngineError) -> [StageWork] {
        let breaches = ColumnContract.breaches(
            of: body, by: link.stage, called: "stage `\(link.label)`", isWhole: isWhole)
        if let breach = breaches.first {
            throw EngineError(.fault, "\(breach.message); this is a defect of the stage")
        }
        return pieces(of: body, link)
    }

    private static func pieces(of body: StageBody, _ link: StageChain.Link) -> [StageWork] {
        if case .sequence(let bodies) = body { return bodies.flatMap { pieces(of: $0, link) } }
        return [StageWork(link: link, body: body)]
    }

    /// Splits the result of a survey into its steps.
    static func left(_ body: StageBody, by link: StageChain.Link) throws(EngineError) -> [StageWork] {
        try checked(body, of: link, isWhole: false).map { piece in
            var piece = piece
            piece.isLeft = true
            return piece
        }
    }

    /// What it writes for each byte that it reads, in columns of bytes and in questions.
    func growth(_ context: StageContext) -> Int {
        if case .asking(let asking) = body { return asking.memory(context).growth }
        guard case .transform(let transform) = body, writes.contains(where: { $0.type == .bytes }) else {
            return 0
        }
        return transform.memory(context).growth
    }

    /// Notes what the longest record takes, after all work before it did.
    mutating func note(_ rows: inout LongRows, _ context: StageContext) {
        longestRow = rows.add(self, growth: growth(context))
    }

    private init(link: StageChain.Link, body: StageBody) {
        self.link = link
        self.body = body
    }

    /// Its needs, as far as they are known before anything is read.
    package func need(_ context: StageContext) -> MemoryShares.Need {
        let kind: MemoryShares.Need.Kind =
            switch body {
            case .transform(let transform): .transform(transform.memory(context))
            case .asking(let asking): .asking(Requests(asking, context))
            case .survey(let survey): .survey(survey.memory(context))
            case .selection(let selection): .selection(SelectionMemory.bytes(of: selection, rows: 1, context))
            case .sequence: .transform(TransformMemory())
            }
        return MemoryShares.Need(stage: link.label, kind: kind, resident: body.residentBytes, longestRow: longestRow)
    }
}

extension StageChain {
    package func context(
        _ link: Link, memory: Int, parallel: Parallel = .serial, journal: StageJournal? = nil,
        isStopped: @escaping @Sendable () -> Bool = { false }
    ) -> StageContext {
        StageContext(
            name: link.label, seed: link.seed, memory: memory, parallel: parallel, columns: written(before: link.index),
            journal: journal, isStopped: isStopped)
    }

    /// The work of all stages, and the shares of the budget.
    ///
    /// - Throws: `EngineError` for invalid options of a stage, or if the budget is too small, with the smallest
    ///   sufficient one.
    package func work(
        _ definition: Definition, threads: Int, inputs: Int = .max, parallel: Parallel = .serial
    ) throws(EngineError) -> (pieces: [StageWork], shares: MemoryShares) {
        let (pieces, shares) = try work(
            definition, total: definition.memory, threads: threads, inputs: inputs, parallel: parallel)
        guard shares.fits else {
            throw shares.refusal(least: try smallestBudget(definition, threads: threads))
        }
        return (pieces, shares)
    }

    /// Whether the definition's budget is enough for this many threads.
    func fits(_ definition: Definition, threads: Int) throws(EngineError) -> Bool {
        try work(definition, total: definition.memory, threads: threads, inputs: .max, parallel: .serial).shares.fits
    }

    /// The smallest budget, in bytes, a whole number of MiB, with which the definition runs on this many threads; it
    /// doesn't depend on the number of inputs.
    package func smallestBudget(_ definition: Definition, threads: Int) throws(EngineError) -> Int {
        try MemoryShares.smallest { (total) throws(EngineError) in
            try work(definition, total: total, threads: threads, inputs: .max, parallel: .serial).shares.fits
        }
    }

    /// The work and the shares of a budget that may be too small. Stages may depend on how much memory they could get.
    private func work(
        _ definition: Definition, total: Int, threads: Int, inputs: Int, parallel: Parallel
    ) throws(EngineError) -> (pieces: [StageWork], shares: MemoryShares) {
        let width = written.reduce(0) { if case .vector(let dimension) = $1.type { $0 + dimension } else { $0 } }
        func shares(_ uses: RecordCopies.Uses, _ needs: [MemoryShares.Need]) -> MemoryShares {
            MemoryShares(
                definition, total: total, threads: threads,
                MemoryShares.Demand(
                    inputs: inputs, openBytes: openBytes, width: width, uses: uses, needs: needs))
        }
        let most = shares(RecordCopies.Uses(), []).most
        var work: [StageWork] = []
        var needs: [MemoryShares.Need] = []
        var rows = LongRows(longest: definition.input.maxRecord)
        for link in links {
            let context = context(link, memory: most, parallel: parallel)
            let body: StageBody
            do throws(StageError) { body = try link.stage.body(context) } catch {
                throw EngineError(error, stage: link.label)
            }
            var pieces = try StageWork.work(body, of: link)
            for place in pieces.indices { pieces[place].note(&rows, context) }
            work += pieces
            // The next step reads no less in the same pass.
            needs += pieces.filter { !$0.isGate }.map { $0.need(context) }
        }
        return (work, shares(uses(definition, work), needs))
    }

    /// The size of a record that a template has made, in tenths of the record.
    ///
    /// Fields are parts of the record, and take no more than there. A text of a stage takes twice its bytes in JSON. Numbers
    /// take next to nothing.
    private func size(of template: RecordTemplate, _ leading: [StageWork].SubSequence, _ growth: (StageWork) -> Int)
        -> Int
    {
        let mentions = template.mentions
        func most(_ names: [String]) -> Int { names.map { mentions[$0] ?? 0 }.max() ?? 0 }
        let fields = template.names.filter { outputSources[$0]?.field != nil }
        let texts = leading.filter { piece in
            piece.writes.contains { $0.type == .bytes && mentions[$0.name.name] != nil }
        }
        return 10 * most(fields) * RecordCopies.copies(of: fields.map { FieldPath($0) })
            + texts.reduce(0) { sum, piece in
                sum + 20 * growth(piece) * most(piece.writes.filter { $0.type == .bytes }.map(\.name.name))
            }
    }

    /// The uses of a record in the passes over the input.
    private func uses(_ definition: Definition, _ work: [StageWork]) -> RecordCopies.Uses {
        func growth(_ piece: StageWork) -> Int {
            piece.growth(context(piece.link, memory: 0))
        }
        var uses = RecordCopies.Uses()
        uses.fields = fields
        uses.readsRecord = readsRecord
        let leading = work.prefix { if case .transform = $0.body { true } else { false } }
        uses.growth = leading.reduce(0) { $0 + growth($1) }
        uses.annotated = leading.filter { piece in
            piece.writes.contains { $0.type == .bytes && definition.output.annotate.contains($0.name) }
        }.reduce(0) { $0 + growth($1) }
        if let template = definition.output.template { uses.template = size(of: template, leading, growth) }
        guard leading.count < work.count, let later = work[leading.endIndex...].map(\.link.index).min() else {
            return uses
        }
        uses.keeps = true
        let kept = Array(work[leading.endIndex...])
        let wanted = wanted(from: later, output: definition.output, later: kept)
        let inputs = inputs(from: later, later: kept)
        let fields = inputs.compactMap { if case .field(let path) = $0 { path } else { nil } }
        uses.keptColumns =
            leading.filter { $0.writes.contains { $0.type == .bytes && wanted.contains($0.name) } }
            .reduce(0) { $0 + growth($1) }
            + RecordCopies.copies(of: fields) + (inputs.contains(.record) ? 1 : 0)
        return uses
    }
}
