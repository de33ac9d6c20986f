public import SluiceCore
import Synchronization

/// Makes workers of a transform as a run does: one for each thread that needs one, each with one thread at a time, and
/// all of them closed at the end.
final class KitWorkers<T: WorkerTransform>: Sendable {
    /// A worker in a box.
    private final class Held: @unchecked Sendable {
        // Belongs to whoever took it.
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
        // Also after an error: a worker is closed whatever became of its last block.
        defer { idle.withLock { $0.append(held) } }
        try transform.apply(to: &block, with: &held.worker)
    }

    /// Ends all workers; the first error counts.
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

    /// Makes a worker and closes it without a block between: a run may stop there.
    func makeAndClose() throws(StageError) {
        let held = Held(try transform.makeWorker(context))
        try transform.close(&held.worker)
    }

    /// What is wrong with what the transform declares; nil for nothing.
    var fault: String? {
        let memory = transform.memory(context)
        if memory != transform.memory(context) { return "`memory` says something else when it is asked again" }
        if memory.perThread < MemoryLayout<T.Worker>.size {
            return
                "`memory` declares \(memory.perThread) bytes for a worker; an empty one has \(MemoryLayout<T.Worker>.size) alone"
        }
        return nil
    }
}

extension WorkerTransform {
    /// Applies the transform to one block, with a worker of its own: for tests of what a transform does.
    public func apply(once block: inout Block, _ context: StageContext) throws(StageError) {
        let workers = KitWorkers(self, context)
        let result: Result<Void, StageError>
        do throws(StageError) { result = .success(try workers.apply(to: &block)) } catch { result = .failure(error) }
        try workers.close()
        try result.get()
    }
}
