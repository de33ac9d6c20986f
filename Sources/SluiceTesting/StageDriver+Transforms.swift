import SluiceCore
import Synchronization

/// How a transform is run, with its workers.
extension StageDriver {
    /// The effect of a transform on a block.
    struct Effect: Sendable, Hashable {
        var drops: [Drop] = []
        /// As cells, which are equal bit by bit: NaN, too, equals itself.
        var columns: [ColumnName: TableColumn] = [:]
        var misfits: [String] = []
        var error: StageError?
    }

    func effect<T: WorkerTransform>(of workers: KitWorkers<T>, on rows: [Int]) -> Effect {
        effect(on: rows) { (block) throws(StageError) in try workers.apply(to: &block) }
    }

    /// The effect of work on a block of these rows.
    func effect(on rows: [Int], _ apply: (inout Block) throws(StageError) -> Void) -> Effect {
        var block = makeBlock(rows)
        block.end()
        let before = Dictionary(uniqueKeysWithValues: block.columnNames.map { ($0, block[$0].map(TableColumn.init)) })
        let dropsBefore = block.drops.count
        variation.occupied?.take()
        var effect = Effect()
        block.begin(StageDeclaration(stage, givesEverything: variation.presence != .declared, noting: asked))
        do throws(StageError) {
            try apply(&block)
        } catch {
            effect.error = error
        }
        block.end()
        effect.misfits = block.misfits
        effect.drops = Array(block.drops.dropFirst(dropsBefore))
        for name in block.columnNames {
            if let column = block[name].map(TableColumn.init), before[name] != column { effect.columns[name] = column }
        }
        return effect
    }

    mutating func run<T: WorkerTransform>(transform: T) throws(StageError) {
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
                        "`apply` gives a different result for an equal block on a second call. \(Violation.Rule.repeats.advice)"
                    )
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
        try settle(effects, blocks)
    }

    /// Takes over the effects of a transform on all blocks.
    mutating func settle(_ effects: [Effect], _ blocks: [[Int]]) throws(StageError) {
        // Collect the breaches of all blocks before the first error ends the run.
        for (rows, effect) in zip(blocks, effects) { settle(effect, rows) }
        for effect in effects { if let error = effect.error { throw error } }
        let lost = Set(flow.losses.keys)
        flow.live.removeAll { lost.contains($0) }
        blankTheDead()
    }

    mutating func settle(_ effect: Effect, _ rows: [Int]) {
        for misfit in effect.misfits { breach(.writes, "the stage \(misfit)") }
        for drop in effect.drops {
            check(drop.reason)
            for measure in drop.measures { check(measure.name, measure.value) }
            let measures = JSONValue.object(drop.measures.map { .init($0.name, $0.value) }).json
            flow.losses[rows[drop.record]] = Loss(reason: drop.reason, measures: measures)
        }
        for (name, column) in effect.columns.sorted(by: { $0.key < $1.key }) {
            write(name, column.type, zip(rows, column.cells))
        }
    }

    mutating func write(_ name: ColumnName, _ type: ColumnType, _ cells: some Sequence<(Int, Cell?)>) {
        if flow.columns[name]?.type != type {
            flow.columns[name] = TableColumn(type: type, cells: Array(repeating: nil, count: flow.records.count))
        }
        for (row, cell) in cells { flow.columns[name]?.cells[row] = cell }
        flow.written.insert(name)
    }

    /// Cells of dropped records are unspecified; blank them before comparing.
    mutating func blankTheDead() {
        let live = Set(flow.live)
        for name in flow.written {
            for row in 0..<flow.records.count where !live.contains(row) { flow.columns[name]?.cells[row] = nil }
        }
    }
}
