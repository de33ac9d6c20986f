import SluiceCore
import SluiceGeometry
import SluiceTokenizer

/// Vectors by an ONNX model. All threads share the model; each has buffers of its own and runs the model by itself.
struct OnnxEmbedding: WorkerTransform {
    let plan: OnnxPlan
    let columns: VectorColumns

    var residentBytes: Int { plan.residentBytes }

    func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: plan.perThread, growth: OnnxEncoder.growth(plan.settings))
    }

    func notes(_ estimate: PlanEstimate, _ context: StageContext) -> [String] { plan.notes }

    /// What a thread keeps from block to block.
    final class Worker {
        fileprivate let encoder: OnnxEncoder

        fileprivate init(_ encoder: OnnxEncoder) { self.encoder = encoder }
    }

    func makeWorker(_ context: StageContext) throws(StageError) -> Worker {
        // A block may take a minute, and a stop should not wait for it.
        Worker(OnnxEncoder(try plan.model(), plan.settings) { context.isStopped })
    }

    func apply(to block: inout Block, with worker: inout Worker) throws(StageError) {
        let text = try block.bytes(.text)
        let dimension = plan.dimension
        var values = [Int8](repeating: 0, count: block.count * dimension)
        var empty = [Int64](repeating: 0, count: block.count)
        var waiting: [Int] = []
        do throws(OnnxFault) {
            for record in block.live {
                guard try Self.add(text, record, to: worker.encoder) else {
                    empty[record] = 1
                    continue
                }
                waiting.append(record)
                if waiting.count == OnnxEncoder.mostTexts {
                    try Self.finish(&waiting, worker.encoder, into: &values)
                }
            }
            try Self.finish(&waiting, worker.encoder, into: &values)
        } catch {
            throw StageError(
                .invalidData,
                "the model \(plan.source.path) failed on a text: \(error.message)",
                ordinal: waiting.first.map { block.ordinals[$0] })
        }
        block.write(columns.vectors, .vectors(VectorColumn(dimension: dimension, values: values)))
        if block.isWanted(columns.empty) { block.write(columns.empty, .integers(empty)) }
        guard plan.marksCuts else { return }
        let encoder = worker.encoder
        try block.markCuts(into: columns, tokens: max(0, encoder.room - plan.settings.prefix.count)) {
            UTF8Text.isValid($0) && encoder.cuts($0)
        }
    }

    /// - Returns: whether the text has a token; not if it is empty, of blanks alone, or no UTF-8.
    private static func add(
        _ text: BytesColumn, _ record: Int, to encoder: OnnxEncoder
    ) throws(OnnxFault) -> Bool {
        let range = (record == 0 ? 0 : text.ends[record - 1])..<text.ends[record]
        let added = text.bytes.withUnsafeBytes { bytes in
            Result { () throws(OnnxFault) in
                let text = UnsafeRawBufferPointer(rebasing: bytes[range])
                guard !text.allSatisfy({ $0 == 0x20 || 9...13 ~= $0 }), UTF8Text.isValid(text) else { return false }
                return try encoder.add(text)
            }
        }
        return try added.get()
    }

    private static func finish(
        _ waiting: inout [Int], _ encoder: OnnxEncoder, into values: inout [Int8]
    ) throws(OnnxFault) {
        guard let dimension = waiting.isEmpty ? nil : encoder.dimension else { return }
        let quantizer = Quantizer(dimension: dimension)
        var floats = [Float](repeating: 0, count: dimension)
        var fault: GeometryError?
        try encoder.finish { text, vector in
            for column in 0..<dimension { floats[column] = Float(vector[column]) }
            floats.withUnsafeBufferPointer { floats in
                values.withUnsafeMutableBufferPointer { values in
                    guard let from = floats.baseAddress, let to = values.baseAddress else { return }
                    do throws(GeometryError) {
                        try quantizer.quantize(from, count: 1, into: to + waiting[text] * dimension)
                    } catch { fault = error }
                }
            }
        }
        if let fault { throw OnnxFault(fault.description) }
        waiting.removeAll(keepingCapacity: true)
    }
}
