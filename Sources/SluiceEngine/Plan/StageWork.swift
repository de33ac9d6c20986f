package import SluiceCore

/// A piece of work of a stage, no sequence.
package struct StageWork: Sendable {
    package let link: StageChain.Link
    package let body: StageBody

    /// Cuts a body into its pieces.
    package static func pieces(of body: StageBody, _ link: StageChain.Link) -> [StageWork] {
        if case .sequence(let bodies) = body { return bodies.flatMap { pieces(of: $0, link) } }
        return [StageWork(link: link, body: body)]
    }

    /// What it needs, as far as it is known before anything is read.
    package func need(_ context: StageContext) -> MemoryShares.Need {
        let kind: MemoryShares.Need.Kind =
            switch body {
            case .survey(let survey): .survey(survey.memory(context))
            case .selection(let selection): .selection(SelectionPhase.bytes(of: selection, rows: 1, context))
            case .transform, .sequence: .transform
            }
        return MemoryShares.Need(stage: link.label, kind: kind)
    }
}

extension StageChain {
    package func context(_ link: Link, memory: Int, parallel: Parallel = .serial) -> StageContext {
        StageContext(
            name: link.label, seed: link.seed, memory: memory, parallel: parallel, columns: written(before: link.index))
    }

    /// The work of all stages, and how a budget is shared out among them.
    ///
    /// - Throws: `EngineError`: what a stage says of its options now, or that the budget does not suffice.
    package func work(
        _ definition: Definition, threads: Int, inputs: Int = .max, parallel: Parallel = .serial
    ) throws(EngineError) -> (pieces: [StageWork], shares: MemoryShares) {
        let width = written.reduce(0) { if case .vector(let dimension) = $1.type { $0 + dimension } else { $0 } }
        let most = try MemoryShares(definition, threads: threads, width: width).most
        var work: [StageWork] = []
        var needs: [MemoryShares.Need] = []
        for link in links {
            let context = context(link, memory: most, parallel: parallel)
            let pieces: [StageWork]
            do throws(StageError) {
                pieces = StageWork.pieces(of: try link.stage.body(context), link)
            } catch {
                throw EngineError(error, stage: link.label)
            }
            work += pieces
            needs += pieces.map { $0.need(context) }
        }
        return (work, try MemoryShares(definition, threads: threads, inputs: inputs, width: width, needs: needs))
    }
}
