import SluiceCore
import SluiceGeometry
import Synchronization

/// Vectors by a server. Requests share only what they learn about it.
struct EndpointEmbedding: AskingBatchTransform {
    let plan: EndpointPlan
    let columns: VectorColumns
    private let habits = ServerHabits()

    init(plan: EndpointPlan, columns: VectorColumns) {
        (self.plan, self.columns) = (plan, columns)
    }

    var width: Int { plan.width }
    var batch: AskingBatch { plan.batch }

    /// The prefix is part of each question. How many are asked at a time, by which server, and how patiently, is no
    /// reason to ask again.
    var source: [String: String]? {
        [
            "name": plan.name, "dimensions": "\(plan.dimension)",
            "request_dimensions": plan.asksDimensions ? "true" : "false",
        ]
    }

    /// Code and tables of libcurl and the libraries that it loads, as far as requests touch them.
    var residentBytes: Int { 12 << 20 }

    func memory(_ context: StageContext) -> AskingMemory {
        let numbers = 4 * plan.dimension * (plan.batch.questions + 1)
        return AskingMemory(
            longestAnswer: EndpointAnswer.size(dimension: plan.dimension), prompt: plan.prefix.count,
            perRequest: plan.longestRequest + plan.longestReply + numbers + plan.connectionBytes,
            stack: 256 << 10, growth: 1)
    }

    func question(_ record: Int, of block: borrowing Block) throws(StageError) -> [UInt8]? {
        let text = try block.bytes(.text)[record]
        // Servers refuse an empty text, or make something up.
        if text.allSatisfy({ $0 == 0x20 || 9...13 ~= $0 }) { return nil }
        guard text.count > plan.textBytes else { return plan.prefix + text }
        guard plan.tooLong == .cut else {
            throw StageError(
                .invalidData,
                "a text has \(text.count) bytes, more than `text_bytes` (\(plan.textBytes)); raise it, or cut long texts by `long: cut`",
                ordinal: block.ordinals[record])
        }
        return plan.prefix + text.prefix(UTF8Cut.place(in: text, atMost: plan.textBytes))
    }

    func makeWorker(_ context: StageContext) throws(StageError) -> EmbeddingClient {
        try EmbeddingClient(plan, habits)
    }

    func ask(
        _ questions: [[UInt8]], with worker: inout EmbeddingClient, _ context: StageContext
    ) throws(StageError) -> [[UInt8]] {
        try worker.answers(to: questions, isStopped: { context.isStopped })
    }

    func apply(_ answers: Answers, to block: inout Block) throws(StageError) {
        let text = try block.bytes(.text)
        let quantizer = Quantizer(dimension: plan.dimension)
        var values = [Int8](repeating: 0, count: block.count * plan.dimension)
        var empty = [Int64](repeating: 0, count: block.count)
        var cut = [Int64](repeating: 0, count: block.count)
        try values.withUnsafeMutableBufferPointer { (values) throws(StageError) in
            try withUnsafeTemporaryAllocation(of: Float.self, capacity: plan.dimension) {
                (numbers) throws(StageError) in
                guard let base = values.baseAddress, let from = numbers.baseAddress else { return }
                for record in 0..<block.count where block.isLive(record) {
                    guard let bytes = answers[record] else {
                        empty[record] = 1
                        continue
                    }
                    let answer = try checked(bytes, block.ordinals[record])
                    cut[record] = answer.isCut || text[record].count > plan.textBytes ? 1 : 0
                    answer.read(into: numbers)
                    do throws(GeometryError) {
                        try quantizer.quantize(from, count: 1, into: base + record * plan.dimension)
                    } catch {
                        throw StageError(.invalidData, error.description, ordinal: block.ordinals[record])
                    }
                    if numbers.allSatisfy({ $0 == 0 }) { empty[record] = 1 }
                }
            }
        }
        block.write(columns.vectors, .vectors(VectorColumn(dimension: plan.dimension, values: values)))
        if block.isWanted(columns.empty) { block.write(columns.empty, .integers(empty)) }
        if block.isWanted(columns.cut) { block.write(columns.cut, .integers(cut)) }
    }

    private func checked(_ bytes: [UInt8], _ ordinal: Ordinal) throws(StageError) -> EndpointAnswer {
        guard let answer = EndpointAnswer(bytes, dimension: plan.dimension) else {
            throw StageError(
                .invalidData,
                "the answer in the log is no vector of \(plan.dimension) dimensions; was it made by another version?",
                ordinal: ordinal)
        }
        guard plan.tooLong == .cut || !answer.isCut else {
            throw StageError(
                .invalidData,
                "a text was too long for the server, which has embedded its beginning in a run with `long: cut`",
                ordinal: ordinal)
        }
        return answer
    }
}

/// What requests have learned about a server: it saves requests, and changes no answer.
final class ServerHabits: Sendable {
    private let batch = Atomic<Int>(.max)
    private let floats = Atomic<Bool>(false)

    /// The most texts in a request, as far as known.
    var most: Int { batch.load(ordering: .relaxed) }
    /// Whether it refuses base64.
    var takesOnlyFloats: Bool { floats.load(ordering: .relaxed) }

    func takesAtMost(_ count: Int) { batch.min(count, ordering: .relaxed) }
    func noteOnlyFloats() { floats.store(true, ordering: .relaxed) }
}

extension EndpointPlan {
    /// What libcurl takes for a connection: measured 60 to 100 KiB; with TLS up to 0.95 MiB, since each reads the system's
    /// 140 certificates.
    var connectionBytes: Int { url.lowercased().hasPrefix("https:") ? 1280 << 10 : 192 << 10 }

    /// Bytes of a request: JSON may need six for one of a text.
    var longestRequest: Int { max(batch.bytes, 6 * (prefix.count + textBytes)) + 6 * name.utf8.count + 256 }

    /// Bytes of a reply, with numbers in words: 26 for each do, since a number of 64 bits has at most 24.
    var longestReply: Int { batch.questions * (26 * dimension + 256) + (64 << 10) }
}

/// Places where a text may be cut.
enum UTF8Cut {
    /// The last place up to `most` that is not in the middle of a scalar.
    static func place(in text: some Collection<UInt8>, atMost most: Int) -> Int {
        guard most < text.count else { return text.count }
        // A scalar has at most four bytes.
        let window = Array(text.dropFirst(max(0, most - 3)).prefix(most - max(0, most - 3) + 1))
        var back = window.count - 1
        while back > 0, window[back] & 0xC0 == 0x80 { back -= 1 }
        return window[back] & 0xC0 == 0x80 ? most : most - (window.count - 1 - back)
    }
}
