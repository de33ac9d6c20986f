import SluiceCore

/// Transforms that run one after the other on a block, each with workers of its own.
///
/// A run of transforms serves one pass: workers are made when a thread first needs one, and `close()` ends them.
struct TransformRun: Sendable {
    struct Link: Sendable {
        let label: String
        /// What the stage may write.
        let writes: [ColumnSpec]
        fileprivate let workers: any WorkerSet

        init(_ transform: any WorkerTransform, writes: [ColumnSpec], _ context: StageContext) {
            label = context.name
            self.writes = writes
            workers = Self.set(of: transform, context)
        }

        private static func set<T: WorkerTransform>(of transform: T, _ context: StageContext) -> any WorkerSet {
            Workers(transform, context)
        }
    }

    var links: [Link] = []

    /// Applies all; `dropped` is told of each stage's drops right after it.
    func apply(
        to block: inout Block, dropped: (borrowing Block, _ from: Int, _ stage: String) -> Void
    ) throws(EngineError) {
        for link in links {
            let before = block.drops.count
            do throws(StageError) {
                try link.workers.apply(to: &block)
            } catch {
                throw EngineError(error, stage: link.label)
            }
            dropped(block, before, link.label)
        }
    }

    /// Ends all workers. Call it when no thread applies any more, also after an error or a stop.
    ///
    /// - Throws: the first error that a worker ended with; the others are closed all the same.
    func close() throws(EngineError) {
        var failure: EngineError?
        for link in links {
            do throws(StageError) {
                try link.workers.close()
            } catch {
                failure = failure ?? EngineError(error, stage: link.label)
            }
        }
        if let failure { throw failure }
    }

    /// Does the work of a pass and ends the workers, whatever comes of it. What the pass failed with counts for more
    /// than what a worker ended with.
    func closing<R>(_ body: () throws -> R) throws -> R {
        let result: R
        do {
            result = try body()
        } catch {
            try? close()
            throw error
        }
        try close()
        return result
    }
}

/// The workers of one transform, whatever their type.
private protocol WorkerSet: Sendable {
    func apply(to block: inout Block) throws(StageError)
    func close() throws(StageError)
}

private final class Workers<T: WorkerTransform>: WorkerSet {
    /// A worker in a box, which belongs to one thread at a time.
    private final class Held {
        var worker: T.Worker
        init(_ worker: T.Worker) { self.worker = worker }
    }

    private let transform: T
    private let context: StageContext
    private let spares: Spares<Result<Held, StageError>>

    init(_ transform: T, _ context: StageContext) {
        self.transform = transform
        self.context = context
        spares = Spares {
            do throws(StageError) {
                return .success(Held(try transform.makeWorker(context)))
            } catch {
                return .failure(error)
            }
        }
    }

    func apply(to block: inout Block) throws(StageError) {
        let spare = spares.take()
        let held = try spare.get()
        defer { spares.giveBack(spare) }
        try transform.apply(to: &block, with: &held.worker)
    }

    func close() throws(StageError) {
        var failure: StageError?
        for spare in spares.takeAll() {
            guard case .success(let held) = spare else { continue }
            do throws(StageError) {
                try transform.close(&held.worker)
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
    }
}
