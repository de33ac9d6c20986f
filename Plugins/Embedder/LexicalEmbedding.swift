import SluiceCore
import SluiceGeometry

/// Vectors by `LexicalModel`.
struct LexicalEmbedding: WorkerTransform {
    let dimension: Int

    /// The tables that texts share, made once per thread.
    final class Worker {
        fileprivate var model: LexicalModel

        fileprivate init(dimension: Int) { model = LexicalModel(dimension: dimension) }
    }

    func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: LexicalModel.memory(dimension: dimension) + dimension * 4, growth: 0)
    }

    func makeWorker(_ context: StageContext) -> Worker { Worker(dimension: dimension) }

    func apply(to block: inout Block, with worker: inout Worker) throws(StageError) {
        let worker = worker
        try block.embedSums(dimension: dimension) { text, sums in worker.model.embed(text, into: sums.baseAddress!) }
    }
}
