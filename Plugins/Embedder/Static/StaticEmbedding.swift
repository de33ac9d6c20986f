import SluiceCore
import SluiceGeometry
import SluiceTokenizer

/// Vectors by a static model. All threads share the model's table; each has buffers and a cache of words.
struct StaticEmbedding: WorkerTransform {
    let plan: StaticPlan
    let columns: VectorColumns

    var residentBytes: Int { plan.modelBytes }

    func notes(_ estimate: PlanEstimate, _ context: StageContext) -> [String] { plan.notes }

    /// What a thread keeps from block to block.
    final class Worker {
        fileprivate let vectors: StaticVectors
        fileprivate var scratch: StaticVectors.Scratch

        fileprivate init(_ vectors: StaticVectors) {
            self.vectors = vectors
            scratch = StaticVectors.Scratch(vectors)
        }
    }

    func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: plan.scratchBytes + plan.dimension * 4, growth: 0)
    }

    func makeWorker(_ context: StageContext) throws(StageError) -> Worker {
        Worker(try plan.vectors())
    }

    func apply(to block: inout Block, with worker: inout Worker) throws(StageError) {
        let worker = worker
        let vectors = worker.vectors
        let quantizer = Quantizer(dimension: vectors.dimension)
        var fault: GeometryError?
        try withUnsafeTemporaryAllocation(of: Float.self, capacity: vectors.dimension) {
            (components) throws(StageError) in
            guard let base = components.baseAddress else { return }
            try block.embed(into: columns, dimension: vectors.dimension) { text, vector in
                let bytes = UnsafeRawBufferPointer(text)
                guard !Self.isBlank(bytes), UTF8Text.isValid(bytes), vectors.embed(bytes, into: base, &worker.scratch)
                else { return false }
                do throws(GeometryError) { try quantizer.quantize(base, count: 1, into: vector) } catch {
                    fault = error
                }
                return true
            }
        }
        if plan.marksCuts {
            try block.markCuts(into: columns, tokens: plan.maxTokens ?? .max) {
                UTF8Text.isValid($0) && vectors.cuts($0, &worker.scratch)
            }
        }
        if let fault {
            throw StageError(.invalidData, "the model's numbers are too large to be added up: \(fault.description)")
        }
    }

    /// Whether a text is empty or of blanks alone. Of those a tokenizer may still make tokens.
    private static func isBlank(_ text: UnsafeRawBufferPointer) -> Bool {
        text.allSatisfy { $0 == 0x20 || 9...13 ~= $0 }
    }
}
