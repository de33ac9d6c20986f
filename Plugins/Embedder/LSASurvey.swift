import SluiceCore
import SluiceGeometry

/// Learns the vectors of features from a sample of the corpus: latent semantic analysis (Deerwester et al., 1990).
struct LSASurvey: Survey {
    let dimension: Int
    let features: Int
    let reservoir: Int
    var columns = VectorColumns(.embedding)

    /// The same for every run: what is learned depends on the corpus alone, so that runs with other seeds have their
    /// vectors in the same space.
    private static let seed = Seed(0).derived(for: "lsa")

    /// What a survey remembers of the records: in how many of them each feature occurs, and a sample of them.
    struct Summary: ByteCodable, Sendable {
        fileprivate(set) var records = 0
        fileprivate(set) var frequencies: [Int64]
        fileprivate(set) var sample: FeatureSample

        init(features: Int, reservoir: Int) {
            frequencies = [Int64](repeating: 0, count: features)
            sample = FeatureSample(capacity: reservoir)
        }

        func write(to bytes: inout ByteWriter) {
            bytes.write(records)
            bytes.write(frequencies)
            bytes.write(sample)
        }

        init(from bytes: inout ByteReader) throws(StageError) {
            (records, frequencies, sample) = (try bytes.read(), try bytes.read(), try bytes.read())
            guard sample.entries.allSatisfy({ FeatureSample.Entry.feature($0) < frequencies.count }) else {
                throw ByteReader.damaged("a sample has more than \(frequencies.count) features")
            }
        }
    }

    var modelKind: String? { LSAEmbedding.modelKind }

    func memory(_ context: StageContext) -> SurveyMemory {
        func memory(_ reservoir: Int) -> SurveyMemory {
            let model = LSAModel.bytes(rows: features, features: features, dimension: dimension)
            let entries = reservoir * FeatureSample.mostFeatures * 8 + features * 40
            let learning = TruncatedSVD.bytes(rows: reservoir, rank: dimension)
            // Then the model is made, written as bytes, and read again.
            let making = TruncatedSVD.heldBytes(rows: reservoir, rank: dimension) + model
            return SurveyMemory(
                summary: features * 16 + FeatureSample.bytes(capacity: reservoir)
                    + WordFeatures.memory(features: features),
                finish: max(entries + max(learning, making), 2 * model), leaves: model)
        }
        var need = memory(reservoir)
        var fitting = LSAEmbedding.reservoirRange.lowerBound
        while memory(fitting * 2).least <= context.memory, fitting * 2 < reservoir { fitting *= 2 }
        if fitting < reservoir, memory(fitting).least <= context.memory {
            need.advice = "set `reservoir` to at most \(fitting)"
        }
        return need
    }

    func notes(_ estimate: PlanEstimate, _ context: StageContext) -> [String] {
        let need = memory(context)
        return [
            "learns from at most \(reservoir) records: \(MemorySize.describe(need.summary)) per thread that there is room for, \(MemorySize.describe(need.finish)) at the end, then up to \(MemorySize.describe(need.leaves)) for all threads"
        ]
    }

    func makeSummary() -> Summary { Summary(features: features, reservoir: reservoir) }

    func observe(_ block: borrowing Block, into summary: inout Summary) throws(StageError) {
        let text = try block.bytes(.text)
        var words = WordFeatures(features: features)
        for record in 0..<block.count where block.isLive(record) {
            let range = (record == 0 ? 0 : text.ends[record - 1])..<text.ends[record]
            text.bytes.withUnsafeBufferPointer { words.read(UnsafeBufferPointer(rebasing: $0[range])) }
            summary.records += 1
            for feature in words.found { summary.frequencies[Int(feature)] += 1 }
            // A text without a word has nothing to learn from.
            if words.count == 0 { continue }
            let hash = block.hashes[record]
            summary.sample.add(
                BottomSample.Key(
                    draw: Self.seed.draw(hash), hash: hash, ordinal: block.ordinals[record].rawValue), words)
        }
    }

    func merge(_ other: Summary, into summary: inout Summary) {
        summary.records += other.records
        for feature in summary.frequencies.indices { summary.frequencies[feature] += other.frequencies[feature] }
        summary.sample.merge(other.sample)
    }

    // MARK: Learning

    func finish(_ summary: consuming Summary, _ context: StageContext) throws(StageError) -> SurveyResult<LSAModel> {
        var summary = summary
        let records = summary.records
        let texts = summary.sample.settled()
        let inverse = summary.frequencies.map { 1 + Elementary.log(Double(1 + records) / Double(1 + $0)) }
        let matrix = matrix(summary.sample, texts, inverse)
        _ = consume summary
        let decomposition = TruncatedSVD(
            matrix, rank: dimension, seed: Self.seed, parallel: context.parallel, isStopped: { context.isStopped })
        let model = model(decomposition, matrix, inverse, records: records, context.parallel)
        let rank = decomposition.values.count { $0 > 0 }
        // Rows have length 1, so the squares of all singular values sum to the number of rows.
        let explained = decomposition.values.reduce(0) { $0 + $1 * $1 } / Double(max(1, texts.count))
        let report: JSONValue = [
            "model": "lsa", "records": .integer(records),
            "reservoir": ["records": .integer(texts.count), "capacity": .integer(reservoir)],
            "features": ["seen": .integer(model.shape.rows), "of": .integer(features)],
            "dimensions": ["used": .integer(rank), "of": .integer(dimension)],
            "share_of_weight_explained": .real(explained), "fitted": .text(model.identity),
        ]
        return SurveyResult(model, report: report, warnings: warnings(records: records, texts: texts.count, rank: rank))
    }

    func makeBody(_ outcome: LSAModel, _ context: StageContext) throws(StageError) -> StageBody {
        .transform(LSAProjection(source: .fitted(LSATable(outcome)), columns: columns))
    }

    private func warnings(records: Int, texts: Int, rank: Int) -> [String] {
        guard records > 0 else { return [] }
        if texts == 0 { return ["no record has a word, so all vectors are zero"] }
        guard rank < dimension else { return [] }
        return [
            "learned from \(texts) texts, which differ in \(rank) directions only: distances say less than with many texts; give `fitted` the run of a larger corpus, or use `model: lexical`"
        ]
    }

    /// The sample as a matrix of texts by features: (1 + ln n) · idf for n occurrences, each text of length 1.
    private func matrix(_ sample: FeatureSample, _ texts: [Range<Int>], _ inverse: [Double]) -> SparseColumns {
        typealias Entry = FeatureSample.Entry
        var starts = [Int](repeating: 0, count: features + 1)
        for range in texts { for entry in sample.entries[range] { starts[Entry.feature(entry) + 1] += 1 } }
        for feature in 0..<features { starts[feature + 1] += starts[feature] }
        var next = starts
        var row = [UInt32](repeating: 0, count: starts[features])
        var value = [Float](repeating: 0, count: starts[features])
        for (text, range) in texts.enumerated() {
            func weight(_ entry: UInt32) -> Double {
                LSATable.factor(Entry.count(entry)) * inverse[Entry.feature(entry)]
            }
            let length = sample.entries[range].reduce(0) { $0 + weight($1) * weight($1) }.squareRoot()
            for entry in sample.entries[range] {
                let feature = Entry.feature(entry)
                row[next[feature]] = UInt32(text)
                value[next[feature]] = Float(weight(entry) / length)
                next[feature] += 1
            }
        }
        return SparseColumns(rows: texts.count, columns: features, starts: starts, row: row, value: value)
    }

    /// Stores the vector of each feature in Int8, with a scale of its own that is part of its weight.
    private func model(
        _ decomposition: TruncatedSVD, _ matrix: SparseColumns, _ inverse: [Double], records: Int,
        _ parallel: Parallel
    ) -> LSAModel {
        let seen = (0..<features).filter { matrix.starts[$0] < matrix.starts[$0 + 1] }
        let rotation = RandomRotation(dimension: dimension, seed: Self.seed)
        let (dimension, piece) = (dimension, 256)
        var vectors = [Int8](repeating: 0, count: seen.count * dimension)
        var scales = [Double](repeating: 0, count: seen.count)
        vectors.withUnsafeMutableBufferPointer { vectors in
            scales.withUnsafeMutableBufferPointer { scales in
                let (vectors, scales) = (Parts(vectors), Parts(scales))
                parallel((seen.count + piece - 1) / piece) { number in
                    withUnsafeTemporaryAllocation(of: Double.self, capacity: dimension) { row in
                        let row = row.baseAddress!
                        for place in (number * piece)..<min(seen.count, (number + 1) * piece) {
                            decomposition.right(seen[place], into: row)
                            rotation.apply(to: row)
                            var largest = 0.0
                            for index in 0..<dimension { largest = max(largest, row[index].magnitude) }
                            guard largest > 0 else { continue }
                            for index in 0..<dimension {
                                vectors.all[place * dimension + index] = Int8((row[index] * 127 / largest).rounded())
                            }
                            scales.all[place] = largest * inverse[seen[place]]
                        }
                    }
                }
            }
        }
        let most = scales.max() ?? 0
        var weights = [UInt16](repeating: 0, count: features)
        for (place, feature) in seen.enumerated() where most > 0 {
            // At least 1, so that the row of each feature seen is known by its weight.
            weights[feature] = UInt16(max(1, (scales[place] / most * Double(LSAModel.mostWeight)).rounded()))
        }
        if most == 0 { vectors = [] }
        return LSAModel(
            shape: LSAModel.Shape(
                dimension: dimension, features: features, rows: most > 0 ? seen.count : 0, records: records,
                sampled: matrix.rows), weights: weights, vectors: vectors)
    }
}

/// Memory that pieces of work share, each with its own part.
private struct Parts<Element>: @unchecked Sendable {
    // @unchecked: no two pieces write to the same place.
    let all: UnsafeMutableBufferPointer<Element>
    init(_ all: UnsafeMutableBufferPointer<Element>) { self.all = all }
}
