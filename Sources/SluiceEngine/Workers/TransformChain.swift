import SluiceCore

/// Transforms applied to a block one after another, each with its own workers.
///
/// Serves one pass: workers are created when a thread first needs one, and `close()` ends them.
struct TransformChain: Sendable {
    struct Link: Sendable {
        let label: String
        private let declaration: StageDeclaration
        /// Whether only this transform writes the columns that its stage declares.
        private let writesAll: Bool
        /// Bytes written for each byte read, in columns of bytes.
        let growth: Int
        fileprivate let workers: any WorkerSet

        /// The columns that the stage may write.
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

        /// Applies the transform and checks the result against the stage's declaration.
        fileprivate func apply(to block: inout Block) throws(EngineError) {
            let hasRecords = block.drops.count < block.count
            block.begin(declaration)
            defer { block.end() }
            var failure: StageError?
            do throws(StageError) { try workers.apply(to: &block) } catch { failure = error }
            // A rejected column may be the cause of the stage's error, so it is reported first.
            if let misfit = block.misfits.first { throw fault(misfit) }
            if let failure { throw EngineError(failure, stage: label) }
            guard writesAll, hasRecords else { return }
            for spec in writes where block.isWanted(spec.name) && block[spec.name] == nil {
                throw fault("declares that it writes `\(spec.name)` but does not write it")
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

    /// Bytes written by all transforms for each byte read.
    var growth: Int { links.reduce(0) { $0 + $1.growth } }

    /// Applies all transforms; `dropped` is called after each stage with its drops.
    func apply(
        to block: inout Block, dropped: (borrowing Block, _ from: Int, _ stage: String) -> Void
    ) throws(EngineError) {
        for link in links {
            let before = block.drops.count
            try link.apply(to: &block)
            dropped(block, before, link.label)
        }
    }

    /// Ends all workers. Call it once no thread applies transforms any more, also after an error or a stop.
    ///
    /// - Throws: the first error of a worker; the others are closed all the same.
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

    /// Performs a pass and ends the workers in any case. An error of the pass takes precedence over one of a worker.
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

/// The workers of one transform, of any type.
private protocol WorkerSet: Sendable {
    func apply(to block: inout Block) throws(StageError)
    func close() throws(StageError)
}

private final class Workers<T: WorkerTransform>: WorkerSet {
    /// A box for a worker, which is used by one thread at a time.
    private final class Held {
        var worker: T.Worker
        init(_ worker: T.Worker) { self.worker = worker }
    }

    private let transform: T
    private let context: StageContext
    private let spares: ObjectPool<Result<Held, StageError>>

    init(_ transform: T, _ context: StageContext) {
        self.transform = transform
        self.context = context
        spares = ObjectPool {
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
