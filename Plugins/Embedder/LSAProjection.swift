import SluiceCore
import SluiceGeometry

/// Turns each text into the vector that a fitted model gives it. All threads share the model.
struct LSAProjection: WorkerTransform {
    let source: Source
    let columns: VectorColumns

    /// Where the model comes from.
    enum Source: Sendable {
        /// A survey of this run.
        case fitted(LSATable)
        /// A file, read when the first thread needs it.
        case file(FittedFile)
    }

    var shape: LSAModel.Shape {
        switch source {
        case .fitted(let table): table.model.shape
        case .file(let file): file.shape
        }
    }

    var residentBytes: Int {
        LSAModel.bytes(rows: shape.rows, features: shape.features, dimension: shape.dimension)
    }

    /// What a thread keeps from text to text.
    final class Worker {
        let table: LSATable
        fileprivate var features: WordFeatures
        fileprivate var rows: [UInt32]
        fileprivate var weights: [Int16]
        fileprivate var wide: [Int64]
        fileprivate var sums: [Int32]

        fileprivate init(_ table: LSATable) {
            self.table = table
            let shape = table.model.shape
            features = WordFeatures(features: shape.features)
            rows = [UInt32](repeating: 0, count: shape.features)
            weights = [Int16](repeating: 0, count: shape.features)
            wide = [Int64](repeating: 0, count: shape.dimension)
            sums = [Int32](repeating: 0, count: shape.dimension)
        }

        /// The sums of a text, to be scaled.
        ///
        /// - Returns: whether the text has any feature; if not, the sums are zero.
        func project(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
            features.read(text)
            guard features.count > 0 else { return false }
            let dimension = wide.count
            rows.withUnsafeMutableBufferPointer { rows in
                weights.withUnsafeMutableBufferPointer { weights in
                    wide.withUnsafeMutableBufferPointer { wide in
                        sums.withUnsafeMutableBufferPointer { sums in
                            wide.update(repeating: 0)
                            let count = table.weigh(features, rows.baseAddress!, weights.baseAddress!)
                            table.model.vectors.withUnsafeBufferPointer { vectors in
                                guard let base = vectors.baseAddress else { return }
                                WeightedRows.add(
                                    base, dimension: dimension, rows: rows.baseAddress!,
                                    weights: weights.baseAddress!, count: count, into: wide.baseAddress!,
                                    scratch: sums.baseAddress!)
                            }
                        }
                    }
                }
            }
            if !narrow() { scatter() }
            return true
        }

        /// Scales the sums down to 32 bits where they are larger; false if all are zero.
        private func narrow() -> Bool {
            let largest = wide.reduce(0) { max($0, $1.magnitude) }
            let shift = Int64(max(0, 34 - largest.leadingZeroBitCount))
            for index in wide.indices { sums[index] = Int32(truncatingIfNeeded: wide[index] >> shift) }
            return largest > 0
        }

        /// A text whose features are all unknown gets signed random components, so that it is far from all others and
        /// not at the same place as other such texts.
        private func scatter() {
            for feature in features.found {
                let hash = Seed.mix(UInt64(feature))
                let index = Int(truncatingIfNeeded: ((hash >> 32) &* UInt64(sums.count)) >> 32)
                sums[index] &+= (hash & 1 == 0 ? 1 : -1) &* Int32(features.occurrences(feature))
            }
            // Opposite features may cancel out.
            if sums.allSatisfy({ $0 == 0 }), let first = features.found.first { sums[Int(first) % sums.count] = 1 }
        }
    }

    func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(
            perThread: WordFeatures.memory(features: shape.features) + shape.features * 6 + shape.dimension * 12,
            growth: 0)
    }

    func makeWorker(_ context: StageContext) throws(StageError) -> Worker {
        switch source {
        case .fitted(let table): Worker(table)
        case .file(let file): Worker(try file.table())
        }
    }

    func apply(to block: inout Block, with worker: inout Worker) throws(StageError) {
        let worker = worker
        try block.embedSums(into: columns, dimension: shape.dimension) { text, sums in
            guard worker.project(text) else { return false }
            worker.sums.withUnsafeBufferPointer { sums.baseAddress!.update(from: $0.baseAddress!, count: $0.count) }
            return true
        }
    }
}

/// A model with the row of each feature.
struct LSATable: Sendable {
    let model: LSAModel
    /// By feature; meaningless for one without a weight.
    private let rows: [UInt32]
    /// `4096 (1 + ln n)` for n occurrences, rounded.
    private static let factors: [Int32] = (0...Int(WordFeatures.mostCounted)).map { count in
        count == 0 ? 0 : Int32((4096 * (1 + Elementary.log(Double(count)))).rounded())
    }

    /// How much more a feature counts that occurs so often in a text than one that occurs once.
    static func factor(_ count: Int) -> Double { Double(factors[count]) / 4096 }

    init(_ model: LSAModel) {
        self.model = model
        var next: UInt32 = 0
        rows = model.weights.map { weight in
            defer { if weight != 0 { next += 1 } }
            return next
        }
    }

    /// Lists the rows of a text's features with their weights. Returns their number.
    fileprivate func weigh(
        _ features: borrowing WordFeatures, _ rows: UnsafeMutablePointer<UInt32>, _ weights: UnsafeMutablePointer<Int16>
    ) -> Int {
        var count = 0
        let found = features.found
        self.rows.withUnsafeBufferPointer { allRows in
            model.weights.withUnsafeBufferPointer { allWeights in
                Self.factors.withUnsafeBufferPointer { factors in
                    for feature in found {
                        let weight = Int32(allWeights[Int(feature)])
                        if weight == 0 { continue }
                        rows[count] = allRows[Int(feature)]
                        weights[count] = Int16(
                            truncatingIfNeeded: (weight * factors[features.occurrences(feature)] + 2048) >> 12)
                        count += 1
                    }
                }
            }
        }
        return count
    }
}
