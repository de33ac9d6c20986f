import SluiceCore
import SluiceGeometry

/// Vectors by `LexicalModel`.
struct LexicalEmbedding: EmbeddingModel, WorkerTransform {
    static let name = "lexical"
    static let optionNames = ["dimensions"]
    static let about = """
        signed hashing of words and of character 3- to 5-grams. Learns nothing, so the vectors of any two \
        corpora can be compared. It captures spelling, not meaning: near duplicates are close, paraphrases are not.
        """

    static let isSpelling = true

    let dimension: Int
    private var columns = VectorColumns(.embedding)

    init(options: OptionValues) throws(StageError) {
        dimension = options["dimensions"] == nil ? 384 : try options.integer("dimensions")
    }

    /// Of pairs of real records within it, about 95 % have four fifths of their words in common.
    var nearDuplicateDistance: Double? { 0.05 }

    func body(_ context: StageContext, writing columns: VectorColumns) -> StageBody {
        var embedding = self
        embedding.columns = columns
        return .transform(embedding)
    }

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
        try block.embedSums(into: columns, dimension: dimension) { text, sums in
            worker.model.embed(text, into: sums.baseAddress!)
        }
    }
}
