import SluiceCore
import SluiceTokenizer

/// What to do with a text of more tokens than count.
enum LongText: String, CaseIterable, Sendable {
    /// The first tokens count.
    case cut
    /// The mean of the unit vectors of its parts.
    case chunkMean = "chunk-mean"
}

/// A static model with the options that decide a text's vector.
package struct StaticVectors: Sendable {
    let model: StaticModel
    package let dimension: Int
    let maxTokens: Int?
    let long: LongText
    let dropsUnknown: Bool

    /// What a thread keeps from text to text.
    package struct Scratch: ~Copyable {
        fileprivate var tokens = Tokenizer.Scratch()
        fileprivate let sums: TokenSums

        package init(_ vectors: StaticVectors) { sums = TokenSums(vectors) }
    }

    /// Bytes of a scratch at its largest, beside the tokenizer's.
    static func sumBytes(dimension: Int) -> Int { dimension * 20 + runLength * 8 }

    /// Tokens added up in single precision at a time. The sums of such runs are added in double precision, so that long
    /// texts keep their precision. The number is part of what decides the vectors.
    fileprivate static let runLength = 1024

    /// The mean of the vectors of a text's tokens, or of its parts.
    ///
    /// - Parameters:
    ///   - text: UTF-8.
    ///   - vector: gets `dimension` components, not of unit length.
    /// - Returns: whether any token counts; if none does, the vector is zero.
    package func embed(
        _ text: UnsafeRawBufferPointer, into vector: UnsafeMutablePointer<Float>, _ scratch: inout Scratch
    ) -> Bool {
        let sums = scratch.sums
        sums.clear()
        let most = long == .cut ? maxTokens ?? .max : .max
        model.tokenizer.forEachRun(beginning(of: text), most: most, with: &scratch.tokens) { sums.add($0) }
        return sums.finish(into: vector)
    }

    /// Whether `max_tokens` leaves out an end of the text. Costs as much as its vector.
    func cuts(_ text: UnsafeRawBufferPointer, _ scratch: inout Scratch) -> Bool {
        guard long == .cut, let maxTokens else { return false }
        return beginning(of: text).count < text.count
            || model.tokenizer.count(text, most: maxTokens + 1, with: &scratch.tokens) > maxTokens
    }

    /// As model2vec does, cuts a text to so many scalars as the tokens that count usually have.
    private func beginning(of text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard model.form == .model2vec, long == .cut, let maxTokens else { return text }
        let (scalars, isTooLarge) = maxTokens.multipliedReportingOverflow(by: model.tokenizer.medianLength)
        guard !isTooLarge, text.count > scalars else { return text }
        var found = 0
        for place in 0..<text.count where text[place] & 0xC0 != 0x80 {
            if found == scalars { return UnsafeRawBufferPointer(rebasing: text[..<place]) }
            found += 1
        }
        return text
    }
}

/// Adds up the vectors of a text's tokens, in their order.
private final class TokenSums {
    private let model: StaticModel
    private let dimension: Int
    private let dropped: Int32
    /// Tokens of a part; nil if there is only one.
    private let partLength: Int?
    /// The rows of a run, and their weights.
    private let rows: UnsafeMutablePointer<UInt32>
    private let weights: UnsafeMutablePointer<Float>
    /// Sums of a run, of a part of the text, and of the unit vectors of all parts.
    private let run: UnsafeMutablePointer<Float>
    private let part: UnsafeMutablePointer<Double>
    private let all: UnsafeMutablePointer<Double>
    /// Tokens of the part so far, also those that are left out; tokens of the run and of the part that count.
    private var seen = 0
    private var inRun = 0
    private var inPart = 0
    private var parts = 0

    init(_ vectors: StaticVectors) {
        model = vectors.model
        dimension = vectors.dimension
        dropped = vectors.dropsUnknown ? vectors.model.tokenizer.unknown ?? -1 : -1
        partLength = vectors.long == .chunkMean ? vectors.maxTokens : nil
        rows = .allocate(capacity: StaticVectors.runLength)
        weights = .allocate(capacity: StaticVectors.runLength)
        run = .allocate(capacity: dimension)
        part = .allocate(capacity: dimension)
        all = .allocate(capacity: dimension)
        clear()
    }

    deinit {
        rows.deallocate()
        weights.deallocate()
        run.deallocate()
        part.deallocate()
        all.deallocate()
    }

    func clear() {
        part.update(repeating: 0, count: dimension)
        all.update(repeating: 0, count: dimension)
        (seen, inRun, inPart, parts) = (0, 0, 0, 0)
    }

    func add(_ ids: UnsafeBufferPointer<Int32>) {
        let partLength = partLength ?? .max
        var seen = seen
        var inRun = inRun
        model.mapping.withUnsafeBufferPointer { mapping in
            model.weights.withUnsafeBufferPointer { factors in
                for id in ids {
                    if seen == partLength || inRun == StaticVectors.runLength {
                        self.inRun = inRun
                        closeRun()
                        inRun = 0
                        if seen == partLength {
                            closePart()
                            seen = 0
                        }
                    }
                    seen += 1
                    guard id != dropped else { continue }
                    let token = Int(id)
                    rows[inRun] = UInt32(bitPattern: mapping.isEmpty ? id : mapping[token])
                    weights[inRun] = factors.isEmpty ? 1 : factors[token]
                    inRun += 1
                }
            }
        }
        (self.seen, self.inRun) = (seen, inRun)
    }

    private func closeRun() {
        guard inRun > 0 else { return }
        run.update(repeating: 0, count: dimension)
        model.table.add(rows, weights, count: inRun, dimension: dimension, into: run)
        for column in 0..<dimension { part[column] += Double(run[column]) }
        inPart += inRun
        inRun = 0
    }

    private func closePart() {
        guard inPart > 0 else { return }
        var squares = 0.0
        for column in 0..<dimension { squares += part[column] * part[column] }
        if squares > 0 {
            let length = squares.squareRoot()
            for column in 0..<dimension { all[column] += part[column] / length }
        }
        part.update(repeating: 0, count: dimension)
        parts += 1
        inPart = 0
    }

    /// Writes the mean. Returns whether any token counted.
    func finish(into vector: UnsafeMutablePointer<Float>) -> Bool {
        closeRun()
        let sums = partLength == nil ? part : all
        let count: Int
        if partLength == nil {
            count = inPart
        } else {
            closePart()
            count = parts
        }
        for column in 0..<dimension { vector[column] = count > 0 ? Float(sums[column] / Double(count)) : 0 }
        return count > 0
    }
}
