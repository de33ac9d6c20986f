import SluiceCore
import Synchronization

/// Runs one stage in one variation.
struct StageDriver {
    let stage: any Stage
    let variation: Variation
    let context: StageContext
    private let options: OptionValues
    /// Inputs that the stage asked for without declaring them, whether or not the data has them.
    let asked = AskedInputs()
    /// Columns that a selection asked a group for without naming them.
    let askedOfGroups = AskedInputs()
    var flow: Flow
    /// Answers to the questions of the stage.
    let answers: KitAnswers
    /// Whether all questions were asked in an earlier run.
    let asksOnce: Bool
    /// The next asking step of the stage.
    var askingStep = 0
    /// The reports that `run.json` would have, without those of groups.
    var ownReports: [JSONValue] = []

    /// - Throws: what the stage throws where it is adapted to earlier columns.
    init(
        _ stage: any Stage, options: OptionValues, _ seed: Seed, memory: Int, _ flow: Flow, _ variation: Variation
    ) throws(StageError) {
        let name = type(of: stage).descriptor.name
        self.options = options
        let columns = flow.columns.keys.sorted().compactMap { name in
            flow.specs[name] ?? flow.columns[name].map { ColumnSpec(name, $0.type) }
        }
        self.stage = try stage.adapted(to: columns)
        self.flow = flow
        self.variation = variation
        answers = variation.answers ?? KitAnswers()
        asksOnce = !answers.isEmpty
        context = StageContext(
            name: name, seed: seed,
            memory: Int(Double(memory) * variation.memory), parallel: variation.parallel,
            columns: columns)
        self.flow.reports = []
        self.flow.models = []
        self.flow.hasSurvey = false
        self.flow.written = []
        self.flow.losses = [:]
        self.flow.violations = []
    }

    mutating func run() throws(StageError) -> Flow {
        let body = try stage.body(context)
        checkDeclaration()
        checkColumns(of: body, isWhole: true)
        do throws(StageError) { try run(body) } catch {
            // Often the reason why it failed.
            reportUndeclared()
            throw error
        }
        if let fault = ReportRules.fault(in: ownReports) { breach(.report, fault) }
        reportUndeclared()
        if variation.wanted == nil, !flow.live.isEmpty {
            for spec in stage.writes where flow.columns[spec.name] == nil {
                breach(
                    .writes,
                    "the stage declares that it writes `\(spec.name)` but does not write it. Write it for every block, or leave it out of `writes`"
                )
            }
        }
        for spec in stage.writes { flow.specs[spec.name] = spec }
        return flow
    }

    /// Reports every input that was asked for and not declared, whether or not the data has it.
    private mutating func reportUndeclared() {
        for input in known(asked) {
            let near = Registry.nearest(to: input.name, in: stage.reads.map(\.name).sorted(), within: 2)
            let question = near.map { "; or did you mean `\($0)`?" } ?? ""
            breach(
                .reads,
                "the stage asks for \(input.words), which it does not declare. Add `\(input.spelling)` to `reads`\(question)"
            )
        }
        for case .column(let name, let kind) in known(askedOfGroups) {
            breach(
                .reads,
                "`select` asks for the column `\(name)`, which the selection does not name. Add it to `columns`, and `\(Input.column(name, kind).spelling)` to `reads`"
            )
        }
    }

    /// Each input once, a column with the type that it has here or, if there is none, as it was first asked for.
    private func known(_ asked: AskedInputs) -> [Input] {
        var inputs: [Input] = []
        for input in asked.all where !inputs.contains(where: { $0.isSame(as: input) }) {
            if case .column(let name, _) = input, let type = flow.columns[name]?.type {
                inputs.append(.column(name, ColumnKind(type)))
            } else {
                inputs.append(input)
            }
        }
        return inputs
    }

    /// Applies the rules by which `check`, `plan` and `run` judge a definition.
    mutating func checkDeclaration() {
        let written = flow.columns.keys.sorted().compactMap { name in
            flow.columns[name].map { ColumnContract.Written(ColumnSpec(name, $0.type), by: "the test") }
        }
        report(ColumnContract.breaches(of: stage, called: "the stage", options: options, after: written))
        for case .column(let name, _) in stage.reads {
            guard let fault = name.fault else { continue }
            breach(
                .reads, "the stage reads a column with the invalid name `\(name)`, which no stage can write: \(fault)")
        }
    }

    mutating func checkColumns(of body: StageBody, isWhole: Bool) {
        report(ColumnContract.breaches(of: body, by: stage, called: "the stage", isWhole: isWhole))
    }

    mutating func report(_ breaches: [ColumnContract.Breach]) {
        // Missing columns are not reported: a test need not supply every column, and a stage that needs one fails by
        // itself.
        for found in breaches where found.missing == nil {
            breach(found.rule == .reads ? .reads : .writes, found.message)
        }
    }

    mutating func breach(_ rule: Violation.Rule, _ message: String) {
        let violation = Violation(rule, message)
        if !flow.violations.contains(violation) { flow.violations.append(violation) }
    }

    mutating func run(_ body: StageBody) throws(StageError) {
        switch body {
        case .transform(let transform): try run(transform: transform)
        case .asking(let asking): try run(asking: asking)
        case .survey(let survey): try run(survey: survey)
        case .selection(let selection): try run(selection)
        case .sequence(let bodies): for body in bodies { try run(body) }
        }
        flow.rows = flow.live
    }

    // MARK: Blocks

    /// What the stage declares, each label as the column or field that it is here.
    private var reads: [Input] {
        let earlier = flow.columns.filter { !flow.written.contains($0.key) }.map { ColumnSpec($0.key, $0.value.type) }
        return stage.reads.map { $0.resolved(after: earlier) }
    }

    private var declaredColumns: Set<ColumnName> {
        Set(reads.compactMap { if case .column(let name, _) = $0 { name } else { nil } })
    }

    /// The columns that the stage may read: declared ones and those that it has written.
    var visibleColumns: [(name: ColumnName, isScrambled: Bool)] {
        let declared = declaredColumns.union(flow.written)
        return flow.columns.keys.sorted().compactMap { name in
            if declared.contains(name) { return (name, false) }
            return switch variation.presence {
            case .declared: nil
            case .everything: (name, false)
            case .scrambled: (name, true)
            }
        }
    }

    func column(_ name: ColumnName, _ rows: [Int], isScrambled: Bool = false) -> Column? {
        guard let column = flow.columns[name] else { return nil }
        let count = flow.records.count
        return Cell.column(of: rows.map { column.cells[isScrambled ? ($0 + 1) % count : $0] }, type: column.type)
    }

    /// The rows of each block, in processing order.
    var blockRows: [[Int]] {
        let rows = flow.rows
        let limit = min(variation.blockLimit, max(1, rows.count))
        var blocks = stride(from: 0, to: rows.count, by: limit).map { Array(rows[$0..<min(rows.count, $0 + limit)]) }
        if variation.addsEmptyBlocks || blocks.isEmpty { blocks = [[]] + blocks + [[]] }
        return variation.order(blocks.count).map { blocks[$0] }
    }

    func makeBlock(_ rows: [Int]) -> Block {
        let declared = reads.compactMap { if case .field(let path) = $0 { path } else { nil } }
        var paths = declared.map { (path: $0, isScrambled: false) }
        let records = flow.records
        var lines = stage.reads.contains(.record) ? records.lines(rows) : nil
        if variation.presence != .declared {
            let isScrambled = variation.presence == .scrambled
            paths += records.paths.filter { !declared.contains($0) }.map { ($0, isScrambled) }
            lines = lines ?? records.lines(isScrambled ? rows.map { ($0 + 1) % records.count } : rows)
        }
        var block = Block(
            ordinals: rows.map { records.ordinals[$0] }, hashes: rows.map { records.hashes[$0] },
            fields: records.table(paths, rows: rows), records: lines, wanted: variation.wanted)
        for (name, isScrambled) in visibleColumns {
            if let column = column(name, rows, isScrambled: isScrambled) { block.write(name, column) }
        }
        let live = Set(flow.live)
        for (index, row) in rows.enumerated() where !live.contains(row) { block.drop(index, reason: "earlier") }
        block.begin(StageDeclaration(stage, givesEverything: variation.presence != .declared, noting: asked))
        return block
    }

    // MARK: Drops

    mutating func check(_ reason: Reason) {
        if reason.name.isEmpty {
            breach(.drops, "a record is dropped without a reason. Give one, such as `too-short`")
        } else if !isHyphenated(reason.name) {
            breach(.drops, "the reason `\(reason)` is not lower-case words joined by hyphens, such as `too-short`")
        }
    }

    mutating func check(_ name: String, _ value: JSONValue) {
        if name.isEmpty { breach(.drops, "a measure has no name") }
        if Measure.isReserved(name) {
            breach(.drops, "a measure is named `\(name)`, which is reserved: every line of the ledger has that key")
        }
        if let real = value.realValue, !real.isFinite {
            breach(.drops, "the measure `\(name)` is \(real), which JSON can't represent")
        }
    }

    // MARK: Pieces

    /// The results of `body` for each number, computed on the threads of the variation.
    func pieces<Piece: Sendable>(_ count: Int, _ body: @Sendable (Int) -> Piece) -> [Piece] {
        let results = Mutex<[Piece?]>(Array(repeating: nil, count: count))
        variation.parallel(count) { piece in
            let result = body(piece)
            results.withLock { $0[piece] = result }
        }
        return results.withLock { $0.compactMap { $0 } }
    }
}

extension Input {
    /// Whether both are the same field, or the same column of perhaps another type.
    fileprivate func isSame(as other: Input) -> Bool {
        if case .column(let name, _) = self, case .column(name, _) = other { return true }
        return self == other
    }

    fileprivate var name: String {
        switch self {
        case .column(let name, _): name.name
        case .field(let path): path.description
        case .label(let name): name
        case .record: description
        }
    }

    /// The input in messages.
    var words: String {
        switch self {
        case .column(let name, _): "the column `\(name)`"
        case .field(let path): "the field `\(path)`"
        case .label(let name): "the label `\(name)`"
        case .record: "the whole record"
        }
    }
}

/// Whether `name` is lower-case letters and digits, in words joined by hyphens.
func isHyphenated(_ name: String) -> Bool {
    !name.isEmpty && !name.hasPrefix("-") && !name.hasSuffix("-") && !name.contains("--")
        && name.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
}

extension StageError {
    /// The error that the engine gives, with its own exact numbers, before anything is read.
    static func tooLarge(_ need: Int, _ context: StageContext, advice: String?) -> StageError {
        StageError(
            .memory,
            "stage `\(context.name)` needs \(MemorySize.describe(need)) and has \(MemorySize.describe(context.memory))\(advice.map { "; \($0)" } ?? "")"
        )
    }
}
