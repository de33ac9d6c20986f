import SluiceCore
import SluiceTokenizer

/// Makes vectors of texts, for one thread: collects the tokens of several texts and runs the model on those that have
/// equally many at a time.
///
/// A text's vector depends on nothing but the text: no call has padding, and the model was tried for whether its rows
/// depend on each other. The parts of a text are added in their order, in double precision.
final class OnnxEncoder {
    private let model: OnnxModel
    private let settings: OnnxSettings
    private let feed: OnnxFeed
    private var scratch = Tokenizer.Scratch()
    /// The prefix and a text.
    private var joined: [UInt8] = []
    private var ids: [Int32] = []
    private var jobs: [Job] = []
    /// By text: the sum of the vectors of its parts.
    private var sums: [Double] = []
    private var part: [Double]
    private let isStopped: () -> Bool

    /// A call of the model for a text or a part of it: its tokens in `ids`.
    private struct Job {
        let slot: Int
        let start: Int
        let count: Int
    }

    /// Texts that are collected at most, and tokens.
    static let mostTexts = 1024
    private static let mostTokens = 1 << 16

    /// - Parameter isStopped: asked before each call of the model.
    init(_ model: OnnxModel, _ settings: OnnxSettings, isStopped: @escaping () -> Bool = { false }) {
        self.model = model
        self.isStopped = isStopped
        self.settings = settings
        feed = OnnxFeed(model, capacity: max(settings.maxTokens, OnnxModel.batchTokens))
        part = [Double](repeating: 0, count: settings.dimension)
    }

    /// Bytes of an encoder at most, without the tokenizer's buffers and the model's own.
    static func bytes(dimension: Int, maxTokens: Int) -> Int {
        let tokens = mostTokens + maxTokens
        return mostTexts * dimension * 8 + tokens * 2 * 4 + (tokens / 3 + mostTexts) * MemoryLayout<Job>.stride * 2
            + OnnxFeed.bytes(capacity: max(maxTokens, OnnxModel.batchTokens)) + dimension * 16
    }

    /// Bytes of the texts that must be copied, for each byte of a text.
    static func growth(_ settings: OnnxSettings) -> Int { settings.prefix.isEmpty ? 0 : 1 }

    var dimension: Int { settings.dimension }

    /// The texts since the last `finish`.
    private(set) var count = 0

    /// Adds a text.
    ///
    /// - Parameter text: UTF-8.
    /// - Returns: whether it has a token. If not, it is not counted.
    /// - Throws: `OnnxFault` if the model fails.
    func add(_ text: UnsafeRawBufferPointer) throws(OnnxFault) -> Bool {
        if sums.count == count * settings.dimension {
            sums.append(contentsOf: repeatElement(0, count: settings.dimension))
        }
        let isFound: Bool
        if settings.prefix.isEmpty {
            isFound = try addTokens(text)
        } else {
            guard model.tokenizer.count(text, most: 1, with: &scratch) > 0 else { return false }
            joined.removeAll(keepingCapacity: joined.capacity < 1 << 20)
            joined += settings.prefix
            joined.append(contentsOf: text)
            let bytes = joined
            isFound = try bytes.withUnsafeBytes { bytes in Result { () throws(OnnxFault) in try addTokens(bytes) } }
                .get()
        }
        if isFound { count += 1 }
        return isFound
    }

    /// Tokens of a text that count, and of its prefix.
    var room: Int { settings.maxTokens - model.tokenizer.before.count - model.tokenizer.after.count }

    /// Whether `max_tokens` leaves out an end of the text.
    func cuts(_ text: UnsafeRawBufferPointer) -> Bool {
        guard !settings.prefix.isEmpty else {
            return model.tokenizer.count(text, most: room + 1, with: &scratch) > room
        }
        let whole = settings.prefix + text
        return whole.withUnsafeBytes { model.tokenizer.count($0, most: room + 1, with: &scratch) > room }
    }

    private func addTokens(_ text: UnsafeRawBufferPointer) throws(OnnxFault) -> Bool {
        let room = room
        var inPart = 0
        var isFound = false
        var fault: OnnxFault?
        model.tokenizer.forEachRun(text, most: settings.long == .cut ? room : .max, with: &scratch) { run in
            var rest = run[...]
            while !rest.isEmpty, fault == nil {
                if inPart == 0 { ids += model.tokenizer.before }
                let next = rest.prefix(room - inPart)
                ids += next
                inPart += next.count
                isFound = true
                rest = rest.dropFirst(next.count)
                guard inPart == room else { continue }
                do throws(OnnxFault) { try closePart(inPart) } catch { fault = error }
                inPart = 0
            }
        }
        if let fault { throw fault }
        if inPart > 0 { try closePart(inPart) }
        return isFound
    }

    private func closePart(_ tokens: Int) throws(OnnxFault) {
        ids += model.tokenizer.after
        let count = tokens + model.tokenizer.before.count + model.tokenizer.after.count
        jobs.append(Job(slot: self.count, start: ids.count - count, count: count))
        if ids.count >= Self.mostTokens { try runJobs() }
    }

    /// Runs the model on all that was collected and gives each text's vector, in the order in which they were added.
    ///
    /// - Parameter body: called with the text's number since the last call, and its vector, which has any length.
    /// - Throws: `OnnxFault` if the model fails.
    func finish(_ body: (_ text: Int, _ vector: UnsafeBufferPointer<Double>) -> Void) throws(OnnxFault) {
        try runJobs()
        let dimension = settings.dimension
        sums.withUnsafeMutableBufferPointer { sums in
            for text in 0..<count {
                let vector = UnsafeMutableBufferPointer(rebasing: sums[(text * dimension)..<((text + 1) * dimension)])
                body(text, UnsafeBufferPointer(vector))
                vector.update(repeating: 0)
            }
        }
        count = 0
    }

    // MARK: Calls

    /// The longest first, so the last part of a text stays behind its other parts; otherwise in their order.
    private func runJobs() throws(OnnxFault) {
        let order = jobs.indices.sorted { a, b in
            jobs[a].count != jobs[b].count ? jobs[a].count > jobs[b].count : a < b
        }
        var first = 0
        while first < order.count {
            let columns = jobs[order[first]].count
            let most = settings.trial.rowsAreIndependent ? max(1, OnnxModel.batchTokens / columns) : 1
            var last = first + 1
            while last < order.count, last - first < most, jobs[order[last]].count == columns { last += 1 }
            try run(order[first..<last], columns: columns)
            first = last
        }
        jobs.removeAll(keepingCapacity: true)
        ids.removeAll(keepingCapacity: true)
    }

    private func run(_ order: ArraySlice<Int>, columns: Int) throws(OnnxFault) {
        if isStopped() { throw OnnxFault("the run is stopped") }
        let start = order.startIndex
        feed.fill(rows: order.count, columns: columns) { row, column in
            ids[jobs[order[start + row]].start + column]
        }
        try model.session.run(feed.inputs, rows: order.count, columns: columns) { output throws(OnnxFault) in
            let trial = settings.trial
            let shape = trial.givesTokens ? [order.count, columns, trial.columns] : [order.count, trial.columns]
            guard output.shape == shape else {
                throw OnnxFault("its output has the shape \(output.shape), not \(shape)")
            }
            for (row, job) in order.enumerated() {
                try pool(output, row: row, tokens: trial.givesTokens ? columns : 1)
                add(to: jobs[job].slot)
            }
        }
    }

    /// Makes one vector of those of a text's tokens.
    private func pool(_ output: OnnxSession.Output, row: Int, tokens: Int) throws(OnnxFault) {
        let width = settings.trial.columns
        let used =
            switch settings.pooling {
            case .mean: 0..<tokens
            case .cls: 0..<1
            case .last: (tokens - 1)..<tokens
            }
        for column in part.indices { part[column] = 0 }
        switch output.element {
        case .float:
            let numbers = output.data.assumingMemoryBound(to: Float.self) + row * tokens * width
            for token in used {
                for column in part.indices { part[column] += Double(numbers[token * width + column]) }
            }
        case .half:
            let numbers = output.data.assumingMemoryBound(to: UInt16.self) + row * tokens * width
            for token in used {
                for column in part.indices {
                    part[column] += Double(Float16(bitPattern: numbers[token * width + column]))
                }
            }
        default: throw OnnxFault("its output is neither float nor float16")
        }
        guard part.allSatisfy(\.isFinite) else { throw OnnxFault("it gives numbers that are not finite") }
    }

    /// Adds the vector of a part, as a unit vector where a text may have several.
    private func add(to slot: Int) {
        var length = 1.0
        if settings.long == .chunkMean {
            length = part.reduce(0) { $0 + $1 * $1 }.squareRoot()
            guard length > 0 else { return }
        }
        let start = slot * settings.dimension
        for column in part.indices { sums[start + column] += part[column] / length }
    }
}
