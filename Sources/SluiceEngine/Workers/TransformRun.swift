import SluiceCore

/// Transforms that run one after the other on a block, each with workers of its own.
///
/// A run of transforms serves one pass: workers are made when a thread first needs one, and `close()` ends them.
struct TransformRun: Sendable {
    struct Link: Sendable {
        let label: String
        private let declaration: StageDeclaration
        /// Whether the transform alone writes what its stage declares.
        private let writesAll: Bool
        /// Bytes that it writes for each one that it reads, where it writes columns of bytes.
        let growth: Int
        fileprivate let workers: any WorkerSet

        /// What the stage may write.
        var writes: [ColumnSpec] { declaration.writes }

        init(
            _ transform: any WorkerTransform, _ declaration: StageDeclaration, writesAll: Bool, _ context: StageContext
        ) {
            label = context.name
            self.declaration = declaration
            self.writesAll = writesAll
            growth = declaration.writes.contains { $0.type == .bytes } ? transform.memory(context).growth : 0
            workers = Self.set(of: transform, context)
        }

        /// Applies the transform and holds it to what its stage declares.
        fileprivate func apply(to block: inout Block) throws(EngineError) {
            let hasRecords = block.drops.count < block.count
            block.begin(declaration)
            defer { block.end() }
            var failure: StageError?
            do throws(StageError) { try workers.apply(to: &block) } catch { failure = error }
            // A column that was refused may be why the stage fails; so that comes first.
            if let misfit = block.misfits.first { throw fault(misfit) }
            if let failure { throw EngineError(failure, stage: label) }
            guard writesAll, hasRecords else { return }
            for spec in writes where block.isWanted(spec.name) && block[spec.name] == nil {
                throw fault("declares that it writes `\(spec.name)` and does not write it")
            }
        }

        private func fault(_ what: String) -> EngineError {
            EngineError(.fault, "stage `\(label)` \(what); this is a defect of the stage")
        }

        private static func set<T: WorkerTransform>(of transform: T, _ context: StageContext) -> any WorkerSet {
            Workers(transform, context)
        }
    }

    var links: [Link] = []

    /// Bytes that all write for each byte that is read.
    var growth: Int { links.reduce(0) { $0 + $1.growth } }

    /// Applies all; `dropped` is told of each stage's drops right after it.
    func apply(
        to block: inout Block, dropped: (borrowing Block, _ from: Int, _ stage: String) -> Void
    ) throws(EngineError) {
        for link in links {
            let before = block.drops.count
            try link.apply(to: &block)
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
