import SluiceCore
import Synchronization

/// One way to run a stage. None of these may affect the result.
struct Variation: Sendable {
    enum Order: Sendable {
        case ascending
        case shuffled(UInt64)
    }

    /// What a block holds in addition to the stage's declared inputs.
    enum Presence: Sendable {
        case declared
        case everything
        /// Everything, with undeclared inputs taken from another record.
        case scrambled
    }

    enum Merging: Sendable {
        /// One summary observes all blocks.
        case single
        /// The summaries of all blocks merge into an empty one, first to last.
        case intoEmpty
        case rightToLeft
        case balanced
        /// In random pairs, with empty summaries among them.
        case shuffled(UInt64)
    }

    var threads = 1
    var blockLimit = Int.max
    var order = Order.ascending
    var presence = Presence.declared
    var merging = Merging.single
    var addsEmptyBlocks = false
    /// Rows per chunk of vectors; nil for resident vectors.
    var chunkRows: Int?
    var wanted: [ColumnName]?
    var runsTwice = false
    var memory = 1.0

    var parallel: Parallel { threads == 1 ? .serial : .threads(threads) }

    func order(_ count: Int) -> [Int] {
        guard case .shuffled(let seed) = order else { return Array(0..<count) }
        var generator = SplitMix64(state: seed)
        return Array(0..<count).shuffled(using: &generator)
    }
}

/// One row of a column, comparable bit by bit.
enum Cell: Sendable, Hashable {
    case bytes([UInt8])
    case vector([Int8])
    case integer(Int64)
    case real(UInt64)

    static func cells(of column: Column) -> [Cell] {
        switch column {
        case .bytes(let column): (0..<column.count).map { .bytes(Array(column[$0])) }
        case .vectors(let column): (0..<column.count).map { .vector(Array(column[$0])) }
        case .integers(let values): values.map { .integer($0) }
        case .reals(let values): values.map { .real($0.bitPattern) }
        }
    }

    static func column(of cells: [Cell?], type: ColumnType) -> Column {
        switch type {
        case .bytes:
            var column = BytesColumn()
            for cell in cells { if case .bytes(let bytes)? = cell { column.append(bytes) } else { column.append([]) } }
            return .bytes(column)
        case .vector(let dimension):
            let zero = [Int8](repeating: 0, count: dimension)
            return .vectors(
                VectorColumn(
                    dimension: dimension,
                    values: cells.flatMap { if case .vector(let values)? = $0 { values } else { zero } }))
        case .integer: return .integers(cells.map { if case .integer(let value)? = $0 { value } else { 0 } })
        case .real: return .reals(cells.map { if case .real(let bits)? = $0 { Double(bitPattern: bits) } else { 0 } })
        }
    }
}

/// A column of all records; nil for dropped ones.
struct TableColumn: Sendable, Hashable {
    var type: ColumnType
    var cells: [Cell?]
}

/// A dropped record.
struct Loss: Sendable, Hashable {
    var reason: Reason
    var measures: String
    var partner: Int?
}

/// Records between stages.
struct Flow: Sendable {
    var records: InMemoryRecords
    var columns: [ColumnName: TableColumn] = [:]
    /// The live records, ascending.
    var live: [Int]
    /// The records in blocks: the live ones, and in the first phase perhaps some dropped earlier.
    var rows: [Int]
    var losses: [Int: Loss] = [:]
    var reports: [Report] = []
    /// The columns that the stage has written.
    var written: Set<ColumnName> = []
    var violations: [Violation] = []

    init(_ records: InMemoryRecords) {
        self.records = records
        live = Array(0..<records.count)
        rows = live
    }
}

/// Runs one stage in one variation.
struct StageDriver {
    let stage: any Stage
    let variation: Variation
    let context: StageContext
    private let options: OptionValues
    /// Inputs that the stage asked for without declaring them, whether or not the data has them.
    private let asked = AskedInputs()
    private(set) var flow: Flow
    /// The reports that `run.json` would have, without those of groups.
    private var ownReports: [Report] = []

    init(
        _ stage: any Stage, options: OptionValues, index: Int = 0, seed: UInt64, memory: Int, _ flow: Flow,
        _ variation: Variation
    ) {
        let name = type(of: stage).descriptor.name
        self.options = options
        self.stage = stage
        self.flow = flow
        self.variation = variation
        context = StageContext(
            name: name, seed: Seed(seed).derived(for: name, index: index),
            memory: Int(Double(memory) * variation.memory), parallel: variation.parallel,
            columns: flow.columns.keys.sorted().compactMap { name in
                flow.columns[name].map { ColumnSpec(name, $0.type) }
            })
        self.flow.reports = []
        self.flow.written = []
        self.flow.losses = [:]
        self.flow.violations = []
    }

    mutating func run() throws(StageError) -> Flow {
        let body = try stage.body(context)
        checkDeclaration()
        checkColumns(of: body, isWhole: true)
        try run(body)
        if let fault = ReportRules.fault(in: ownReports) { breach(.report, fault) }
        for name in asked.all { breach(.reads, "the stage asks for \(name), which it does not declare in `reads`") }
        if variation.wanted == nil, !flow.live.isEmpty {
            for spec in stage.writes where flow.columns[spec.name] == nil {
                breach(.writes, "the stage declares that it writes `\(spec.name)` but does not write it")
            }
        }
        return flow
    }

    /// Applies the rules by which `check`, `plan` and `run` judge a definition.
    private mutating func checkDeclaration() {
        let written = flow.columns.keys.sorted().compactMap { name in
            flow.columns[name].map { ColumnContract.Written(ColumnSpec(name, $0.type), by: "the test") }
        }
        report(ColumnContract.breaches(of: stage, called: "the stage", options: options, after: written))
    }

    private mutating func checkColumns(of body: StageBody, isWhole: Bool) {
        report(ColumnContract.breaches(of: body, by: stage, called: "the stage", isWhole: isWhole))
    }

    private mutating func report(_ breaches: [ColumnContract.Breach]) {
        // Missing columns are not reported: a test need not supply every column, and a stage that needs one fails by
        // itself.
        for found in breaches where found.missing == nil {
            breach(found.rule == .reads ? .reads : .writes, found.message)
        }
    }

    private mutating func breach(_ rule: Violation.Rule, _ message: String) {
        let violation = Violation(rule, message)
        if !flow.violations.contains(violation) { flow.violations.append(violation) }
    }

    private mutating func run(_ body: StageBody) throws(StageError) {
        switch body {
        case .transform(let transform): try run(transform: transform)
        case .survey(let survey): try run(survey: survey)
        case .selection(let selection): try run(selection)
        case .sequence(let bodies): for body in bodies { try run(body) }
        }
        flow.rows = flow.live
    }

    // MARK: Blocks

    private var declaredColumns: Set<ColumnName> {
        Set(stage.reads.compactMap { if case .column(let name, _) = $0 { name } else { nil } })
    }

    /// The columns that the stage may read: declared ones and those that it has written.
    private var visibleColumns: [(name: ColumnName, isScrambled: Bool)] {
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

    private func column(_ name: ColumnName, _ rows: [Int], isScrambled: Bool = false) -> Column? {
        guard let column = flow.columns[name] else { return nil }
        let count = flow.records.count
        return Cell.column(of: rows.map { column.cells[isScrambled ? ($0 + 1) % count : $0] }, type: column.type)
    }

    /// The rows of each block, in processing order.
    private var blockRows: [[Int]] {
        let rows = flow.rows
        let limit = min(variation.blockLimit, max(1, rows.count))
        var blocks = stride(from: 0, to: rows.count, by: limit).map { Array(rows[$0..<min(rows.count, $0 + limit)]) }
        if variation.addsEmptyBlocks || blocks.isEmpty { blocks = [[]] + blocks + [[]] }
        return variation.order(blocks.count).map { blocks[$0] }
    }

    private func makeBlock(_ rows: [Int]) -> Block {
        let declared = stage.reads.compactMap { if case .field(let path) = $0 { path } else { nil } }
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

    // MARK: Transforms

    /// The effect of a transform on a block.
    private struct Effect: Sendable, Hashable {
        var drops: [Drop] = []
        var columns: [ColumnName: Column] = [:]
        var misfits: [String] = []
        var error: StageError?
    }

    private func effect<T: WorkerTransform>(of workers: KitWorkers<T>, on rows: [Int]) -> Effect {
        var block = makeBlock(rows)
        block.end()
        let before = Dictionary(uniqueKeysWithValues: block.columnNames.map { ($0, block[$0]) })
        let dropsBefore = block.drops.count
        var effect = Effect()
        block.begin(StageDeclaration(stage, givesEverything: variation.presence != .declared, noting: asked))
        do throws(StageError) {
            try workers.apply(to: &block)
        } catch {
            effect.error = error
        }
        block.end()
        effect.misfits = block.misfits
        effect.drops = Array(block.drops.dropFirst(dropsBefore))
        for name in block.columnNames {
            if let column = block[name], before[name] != column { effect.columns[name] = column }
        }
        return effect
    }

    private mutating func run<T: WorkerTransform>(transform: T) throws(StageError) {
        let blocks = blockRows
        let workers = KitWorkers(transform, context)
        if let fault = workers.fault { breach(.memory, fault) }
        var effects = pieces(blocks.count) { [self] piece in effect(of: workers, on: blocks[piece]) }
        if variation.runsTwice {
            for (rows, first) in zip(blocks, effects) where !rows.isEmpty {
                let second = effect(of: workers, on: rows)
                if first != second {
                    breach(
                        .repeats,
                        "`apply` gives a different result for an equal block on a second call; it keeps state")
                    break
                }
            }
        }
        do throws(StageError) {
            try workers.close()
            if variation.runsTwice { try workers.makeAndClose() }
        } catch {
            if let last = effects.indices.last, effects[last].error == nil { effects[last].error = error }
        }
        // Collect the breaches of all blocks before the first error ends the run.
        for (rows, effect) in zip(blocks, effects) { settle(effect, rows) }
        for effect in effects { if let error = effect.error { throw error } }
        let lost = Set(flow.losses.keys)
        flow.live.removeAll { lost.contains($0) }
        blankTheDead()
    }

    private mutating func settle(_ effect: Effect, _ rows: [Int]) {
        for misfit in effect.misfits { breach(.writes, "the stage \(misfit)") }
        for drop in effect.drops {
            check(drop.reason)
            for measure in drop.measures { check(measure.name, measure.value) }
            let measures = Report.object(drop.measures.map { .init($0.name, $0.value) }).json
            flow.losses[rows[drop.record]] = Loss(reason: drop.reason, measures: measures)
        }
        for (name, column) in effect.columns.sorted(by: { $0.key < $1.key }) {
            write(name, column.type, zip(rows, Cell.cells(of: column)))
        }
    }

    private mutating func write(_ name: ColumnName, _ type: ColumnType, _ cells: some Sequence<(Int, Cell)>) {
        if flow.columns[name]?.type != type {
            flow.columns[name] = TableColumn(type: type, cells: Array(repeating: nil, count: flow.records.count))
        }
        for (row, cell) in cells { flow.columns[name]?.cells[row] = cell }
        flow.written.insert(name)
    }

    /// Cells of dropped records are unspecified; blank them before comparing.
    private mutating func blankTheDead() {
        let live = Set(flow.live)
        for name in flow.written {
            for row in 0..<flow.records.count where !live.contains(row) { flow.columns[name]?.cells[row] = nil }
        }
    }

    // MARK: Surveys

    private mutating func run<S: Survey>(survey: S) throws(StageError) {
        let need = survey.memory(context)
        if need.summary < MemoryLayout<S.Summary>.size || need.finish < 0 {
            breach(
                .memory,
                "`memory` declares \(need.summary) bytes for a summary and \(need.finish) for `finish`; an empty summary already has \(MemoryLayout<S.Summary>.size)"
            )
        }
        if need != survey.memory(context) { breach(.memory, "`memory` returns a different value on a second call") }
        guard need.least <= context.memory else { throw .tooLarge(need.least, context, advice: need.advice) }
        let blocks = blockRows
        var total: S.Summary
        if case .single = variation.merging {
            total = survey.makeSummary()
            for rows in blocks { try survey.observe(makeBlock(rows), into: &total) }
        } else {
            let summaries = pieces(blocks.count) { [self] piece -> Result<S.Summary, StageError> in
                var summary = survey.makeSummary()
                do throws(StageError) {
                    try survey.observe(makeBlock(blocks[piece]), into: &summary)
                    return .success(summary)
                } catch {
                    return .failure(error)
                }
            }
            var parts: [S.Summary] = []
            for summary in summaries { parts.append(try summary.get()) }
            total = merged(parts, by: survey)
        }
        let result = try survey.finish(consume total, context)
        if result.body.residentBytes > need.leaves {
            breach(
                .memory,
                "the body that the survey returns holds \(result.body.residentBytes) bytes; `memory` declares only \(need.leaves) (`leaves`)"
            )
        }
        flow.reports.append(result.report)
        ownReports.append(result.report)
        flow.rows = flow.live
        checkColumns(of: result.body, isWhole: false)
        try run(result.body)
    }

    private func merged<S: Survey>(_ parts: [S.Summary], by survey: S) -> S.Summary {
        var parts = parts
        switch variation.merging {
        case .single, .intoEmpty:
            var total = survey.makeSummary()
            for part in parts { survey.merge(part, into: &total) }
            return total
        case .rightToLeft:
            var total = survey.makeSummary()
            for part in parts.reversed() { survey.merge(part, into: &total) }
            return total
        case .balanced:
            while parts.count > 1 {
                parts = stride(from: 0, to: parts.count, by: 2).map { index in
                    var left = parts[index]
                    if index + 1 < parts.count { survey.merge(parts[index + 1], into: &left) }
                    return left
                }
            }
            return parts.first ?? survey.makeSummary()
        case .shuffled(let seed):
            var generator = SplitMix64(state: seed)
            parts.append(contentsOf: [survey.makeSummary(), survey.makeSummary()])
            while parts.count > 1 {
                let part = parts.remove(at: Int(generator.next(below: UInt64(parts.count))))
                survey.merge(part, into: &parts[Int(generator.next(below: UInt64(parts.count)))])
            }
            return parts[0]
        }
    }

    // MARK: Selections

    private mutating func run(_ selection: any Selection) throws(StageError) {
        let groups = try groupRows(selection)
        let sizes = groups.map(\.rows.count)
        let quotas = try selection.quotas(for: sizes)
        if let fault = SelectionRules.fault(inQuotas: quotas, for: sizes) {
            breach(.selection, fault)
            throw StageError(.fault, "the quotas of the selection are invalid")
        }
        checkMemory(of: selection, sizes)
        let need = selection.memory(rows: sizes.max() ?? 0, context)
        guard need <= context.memory else { throw .tooLarge(need, context, advice: nil) }

        let order = variation.order(groups.count)
        let shuffled = pieces(groups.count) { [self] piece in
            outcome(of: selection, groups[order[piece]], quotas[order[piece]])
        }
        for outcome in shuffled where outcome.keepsState {
            breach(
                .repeats, "`select` gives a different result for an equal group on a second call; it keeps state")
        }
        var outcomes: [Result<GroupOutcome, StageError>?] = Array(repeating: nil, count: groups.count)
        for (piece, outcome) in shuffled.enumerated() { outcomes[order[piece]] = outcome.result }

        var reports: [GroupReport] = []
        var kept: [Int] = []
        var ranks: [(Int, Cell)] = []
        for (index, result) in outcomes.enumerated() {
            guard let result else { continue }
            let outcome = try result.get()
            let (key, rows) = groups[index]
            let name = key.map { "the group \($0)" } ?? "the group"
            if let fault = outcome.fault(
                rows: rows.count, quota: quotas[index], mayKeepFewer: selection.mayKeepFewerThanQuota, name: name)
            {
                breach(.selection, fault)
                throw StageError(.fault, "the outcome of the selection is invalid")
            }
            if outcome.ranks.contains(-1) { check(outcome.reason) }
            for (name, values) in outcome.measures { for value in values { check(name, .real(value)) } }
            let keptCount = outcome.ranks.count { $0 >= 0 }
            reports.append(GroupReport(key: key, size: rows.count, kept: keptCount, report: outcome.report))
            for (row, rank) in zip(rows.indices, outcome.ranks) {
                guard rank < 0 else {
                    kept.append(rows[row])
                    ranks.append((rows[row], .integer(Int64(rank))))
                    continue
                }
                let measures = Report.object(outcome.measures.map { .init($0.name, .real($0.values[row])) }).json
                let partner =
                    outcome.partners.isEmpty || outcome.partners[row] < 0 ? nil : rows[Int(outcome.partners[row])]
                flow.losses[rows[row]] = Loss(reason: outcome.reason, measures: measures, partner: partner)
            }
        }
        flow.live = kept.sorted()
        if stage.writes.contains(ColumnSpec(.rank, .integer)) { write(.rank, .integer, ranks) }
        blankTheDead()
        flow.reports.append(.list(reports.map(\.report)))
        let report = selection.report(GroupReports(reports))
        flow.reports.append(report)
        ownReports.append(report)
    }

    private mutating func checkMemory(of selection: any Selection, _ sizes: [Int]) {
        var least = 0
        for rows in Set(sizes + [0, 1, 2, 100, 10_000, 1_000_000]).sorted() {
            let bytes = selection.memory(rows: rows, context)
            if bytes < least {
                breach(
                    .memory,
                    "`memory` declares \(bytes) bytes for a group of \(rows) records but more for a smaller one")
            }
            least = max(least, bytes)
        }
    }

    private mutating func groupRows(_ selection: any Selection) throws(StageError) -> [(key: Int?, rows: [Int])] {
        guard case .by(let name) = selection.grouping else { return [(nil, flow.live)] }
        guard case .integers(let keys)? = column(name, flow.live) else {
            breach(.selection, "the selection groups by `\(name)`, which is not a column of integers")
            throw StageError(.fault, "the records can't be grouped")
        }
        // A run never has an empty group here; this checks that a stage could handle one.
        guard !flow.live.isEmpty else { return [(0, [])] }
        return Dictionary(grouping: zip(flow.live, keys), by: \.1).sorted { $0.key < $1.key }
            .map { (Int($0.key), $0.value.map(\.0)) }
    }

    private func outcome(
        of selection: any Selection, _ group: (key: Int?, rows: [Int]), _ quota: Int
    ) -> (result: Result<GroupOutcome, StageError>, keepsState: Bool) {
        var columns: [ColumnName: Column] = [:]
        for (name, isScrambled) in visibleColumns
        where selection.columns.contains(name) || variation.presence != .declared {
            columns[name] = column(name, group.rows, isScrambled: isScrambled)
        }
        let hashes = group.rows.map { flow.records.hashes[$0] }
        let group = Group(
            key: group.key, count: group.rows.count,
            data: GroupColumns(
                group: InMemoryGroup(hashes: hashes, columns: columns), chunkRows: variation.chunkRows,
                declared: Set(selection.columns), asked: asked))
        do throws(StageError) {
            let outcome = try selection.select(group, quota: quota, context)
            if variation.runsTwice, !isEqual(outcome, try selection.select(group, quota: quota, context)) {
                return (.success(outcome), true)
            }
            return (.success(outcome), false)
        } catch {
            return (.failure(error), false)
        }
    }

    private func isEqual(_ a: GroupOutcome, _ b: GroupOutcome) -> Bool {
        a.ranks == b.ranks && a.partners == b.partners && a.reason == b.reason && a.report.json == b.report.json
            && a.measures.elementsEqual(b.measures) {
                $0.name == $1.name && $0.values.map(\.bitPattern) == $1.values.map(\.bitPattern)
            }
    }

    // MARK: Drops

    private mutating func check(_ reason: Reason) {
        if reason.name.isEmpty {
            breach(.drops, "a record is dropped without a reason")
        } else if !isHyphenated(reason.name) {
            breach(.drops, "the reason `\(reason)` is not lower-case words joined by hyphens, such as `too-short`")
        }
    }

    private mutating func check(_ name: String, _ value: Report) {
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
    private func pieces<Piece: Sendable>(_ count: Int, _ body: @Sendable (Int) -> Piece) -> [Piece] {
        let results = Mutex<[Piece?]>(Array(repeating: nil, count: count))
        variation.parallel(count) { piece in
            let result = body(piece)
            results.withLock { $0[piece] = result }
        }
        return results.withLock { $0.compactMap { $0 } }
    }
}

/// Whether `name` is lower-case letters and digits, in words joined by hyphens.
func isHyphenated(_ name: String) -> Bool {
    !name.isEmpty && !name.hasPrefix("-") && !name.hasSuffix("-") && !name.contains("--")
        && name.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
}

extension StageError {
    /// The error that the engine gives, with its own exact numbers, before anything is read.
    fileprivate static func tooLarge(_ need: Int, _ context: StageContext, advice: String?) -> StageError {
        StageError(
            .memory,
            "stage `\(context.name)` needs \(MemorySize.describe(need)) and has \(MemorySize.describe(context.memory))\(advice.map { "; \($0)" } ?? "")"
        )
    }
}
