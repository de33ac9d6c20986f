public import SluiceCore
import Synchronization

/// Makes workers of a transform as a run does: at most one per thread, used by one thread at a time, all closed at the
/// end.
final class KitWorkers<T: WorkerTransform>: Sendable {
    /// A boxed worker.
    private final class Held: @unchecked Sendable {
        // @unchecked: only the thread that took it from `idle` uses it.
        var worker: T.Worker
        init(_ worker: T.Worker) { self.worker = worker }
    }

    private let transform: T
    private let context: StageContext
    private let idle = Mutex<[Held]>([])

    init(_ transform: T, _ context: StageContext) {
        self.transform = transform
        self.context = context
    }

    func apply(to block: inout Block) throws(StageError) {
        let spare = idle.withLock { $0.popLast() }
        let held: Held
        if let spare { held = spare } else { held = Held(try transform.makeWorker(context)) }
        // Also after an error: every worker must be closed.
        defer { idle.withLock { $0.append(held) } }
        try transform.apply(to: &block, with: &held.worker)
    }

    /// Closes all workers and throws the first error.
    func close() throws(StageError) {
        var failure: StageError?
        let all = idle.withLock { idle in
            defer { idle = [] }
            return idle
        }
        for held in all {
            do throws(StageError) { try transform.close(&held.worker) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    /// Makes a worker and closes it without applying it: a run may stop in between.
    func makeAndClose() throws(StageError) {
        let held = Held(try transform.makeWorker(context))
        try transform.close(&held.worker)
    }

    /// What is wrong with the transform's declaration; nil if nothing is.
    var fault: String? {
        let memory = transform.memory(context)
        if memory != transform.memory(context) { return "`memory` returns a different value on a second call" }
        if memory.perThread < MemoryLayout<T.Worker>.size {
            return
                "`memory` declares \(memory.perThread) bytes for a worker; an empty one already has \(MemoryLayout<T.Worker>.size)"
        }
        return nil
    }
}

extension WorkerTransform {
    /// Applies the transform to one block, with a new worker, for tests of the transform.
    public func apply(once block: inout Block, _ context: StageContext) throws(StageError) {
        let workers = KitWorkers(self, context)
        let result: Result<Void, StageError>
        do throws(StageError) { result = .success(try workers.apply(to: &block)) } catch { result = .failure(error) }
        try workers.close()
        try result.get()
    }
}
