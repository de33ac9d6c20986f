import SluiceCore

/// Transforms applied to a block one after another, each with its own workers.
///
/// The chain is cut at asking transforms: a block stops there, with its questions, until it has the answers.
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
        fileprivate let work: Work

        fileprivate enum Work: Sendable {
            case transform(any WorkerSet)
            case asking(any Asking)
        }

        /// The columns that the stage may write.
        var writes: [ColumnSpec] { declaration.writes }

        /// Whether it only tests which records go through its stage: then it writes a column of the engine's own.
        var isGate: Bool { writes.contains { $0.name.isReserved } }

        init(
            _ transform: any WorkerTransform, _ declaration: StageDeclaration, writesAll: Bool, _ context: StageContext
        ) {
            label = context.name
            self.declaration = declaration
            self.writesAll = writesAll
            growth = declaration.writes.contains { $0.type == .bytes } ? transform.memory(context).growth : 0
            work = .transform(Self.set(of: transform, context))
        }

        /// An asking transform.
        init(
            _ asking: any AskingBatchTransform, _ declaration: StageDeclaration, writesAll: Bool, keys: AnswerKeys,
            log: AnswerBook, _ context: StageContext
        ) {
            label = context.name
            self.declaration = declaration
            self.writesAll = writesAll
            growth = asking.memory(context).growth
            work = .asking(Self.asker(asking, declaration, keys, log, context))
        }

        /// The asking transform that the link is; nil if it is another one.
        var asking: (any Asking)? { if case .asking(let asking) = work { asking } else { nil } }

        /// Applies the transform and checks the result against the stage's declaration.
        ///
        /// - Parameter inquiry: the answers for an asking transform.
        fileprivate func apply(to block: inout Block, _ inquiry: Inquiry?) throws(EngineError) {
            let hasRecords = block.drops.count < block.count
            block.begin(declaration)
            defer { block.end() }
            let seesNone = hasRecords && declaration.gate != nil && block.live.isEmpty
            var failure: StageError?
            do throws(StageError) {
                switch work {
                case .transform(let workers): try workers.apply(to: &block)
                case .asking(let asking): if let inquiry { try asking.apply(inquiry, to: &block) }
                }
            } catch { failure = error }
            // A rejected column may be the cause of the stage's error, so it is reported first.
            if let misfit = block.misfits.first { throw fault(misfit) }
            if let failure { throw EngineError(failure, stage: label) }
            guard writesAll, hasRecords else { return }
            for spec in writes where block.isWanted(spec.name) && block[spec.name] == nil {
                if seesNone {
                    block.writeMissing(spec)
                    continue
                }
                throw fault("declares that it writes `\(spec.name)` but does not write it")
            }
        }

        private func fault(_ what: String) -> EngineError {
            EngineError(.fault, "stage `\(label)` \(what); this is a defect of the stage")
        }

        private static func set<T: WorkerTransform>(of transform: T, _ context: StageContext) -> any WorkerSet {
            Workers(transform, context)
        }

        private static func asker<T: AskingBatchTransform>(
            _ asking: T, _ declaration: StageDeclaration, _ keys: AnswerKeys, _ log: AnswerBook, _ context: StageContext
        ) -> any Asking {
            Asker(asking, declaration, keys, log, context)
        }

        fileprivate func close() throws(StageError) {
            switch work {
            case .transform(let workers): try workers.close()
            case .asking(let asking): try asking.close()
            }
        }
    }

    /// How far a block has come.
    struct Progress {
        fileprivate var next = 0
        /// The questions of the asking transform at which the block has stopped; nil once it has passed all transforms.
        fileprivate(set) var inquiry: Inquiry?
    }

    var links: [Link] = []
    /// What the asking transforms among them have in flight.
    var requests = Requests()

    var askings: [any Asking] { links.compactMap(\.asking) }

    /// Bytes written by all transforms for each byte read.
    var growth: Int { links.reduce(0) { $0 + $1.growth } }

    /// Applies all transforms of a chain without asking ones; `dropped` is called after each stage with its drops.
    func apply(
        to block: inout Block, dropped: (borrowing Block, _ from: Int, _ stage: String) -> Void
    ) throws(EngineError) {
        var progress = Progress()
        try advance(&block, &progress, dropped: dropped)
    }

    /// Applies the transforms up to the next asking one, whose questions are then in `progress`; begins with the one at
    /// which the block has stopped, which has its answers.
    func advance(
        _ block: inout Block, _ progress: inout Progress,
        dropped: (borrowing Block, _ from: Int, _ stage: String) -> Void
    ) throws(EngineError) {
        while progress.next < links.count {
            let link = links[progress.next]
            if progress.inquiry == nil, let asking = link.asking {
                progress.inquiry = try asking.inquire(&block)
                return
            }
            let before = block.drops.count
            block.through = nil
            try link.apply(to: &block, progress.inquiry)
            dropped(block, before, link.label)
            progress.inquiry = nil
            progress.next += 1
        }
    }

    /// Ends all workers. Call it once no thread applies transforms any more, also after an error or a stop.
    ///
    /// - Throws: the first error of a worker; the others are closed all the same.
    func close() throws(EngineError) {
        var failure: EngineError?
        for link in links {
            do throws(StageError) {
                try link.close()
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
