public import SluiceCore
import SluiceGeometry

extension ColumnName {
    /// 1 if a record's text has no word and its vector is zero, otherwise 0.
    public static let emptyText: ColumnName = "empty_text"
}

/// Computes an Int8 vector of each record's text.
///
/// `lexical` needs no model file and gives the same bytes on every machine. It captures spelling, not meaning: near
/// duplicates are close (cosine over .9), paraphrases and translations are not.
public struct EmbedStage: Stage, WorkerTransform {
    public static let descriptor = Descriptor(
        name: "embed",
        summary: "Computes an Int8 vector of each record's text.",
        discussion: """
            Reads `text`. model `lexical`: signed hashing of words and of character 3- to 5-grams (scalar 1- to \
            3-grams for scripts without spaces), integer sums, L2, Int8. It needs no model file and gives the same \
            bytes on every machine. It captures spelling, not meaning: near duplicates are close, paraphrases are not. \
            Symbols, punctuation, accents, case and the order of words far apart are not seen: `5 + 3` and `5 - 3` \
            have the same vector, so a distance of 0 does not mean equal texts. \
            A text without a word gets the zero vector and 1 in the column `empty_text`. Memory: one byte per \
            dimension and record.
            """,
        options: [
            OptionSpec(
                "model", .choice(["lexical"]), default: "lexical", help: "embedding model", example: "lexical"),
            OptionSpec(
                "dimensions", .integer(16...8192), default: 384,
                help: "components of a vector; more keep unrelated texts further apart", example: "384"),
        ])

    private let dimension: Int

    public init(options: OptionValues) throws(StageError) {
        _ = try options.text("model")
        dimension = try options.integer("dimensions")
    }

    public var reads: [Input] { [.column(.text, .bytes)] }
    public var writes: [ColumnSpec] {
        [ColumnSpec(.embedding, .vector(dimension: dimension)), ColumnSpec(.emptyText, .integer)]
    }

    /// The tables that texts share, made once per thread.
    public final class Worker {
        fileprivate var model: LexicalModel
        fileprivate var sums: [Int32]

        fileprivate init(dimension: Int) {
            model = LexicalModel(dimension: dimension)
            sums = [Int32](repeating: 0, count: dimension)
        }
    }

    public func memory(_ context: StageContext) -> TransformMemory {
        TransformMemory(perThread: LexicalModel.memory(dimension: dimension) + dimension * 4, growth: 0)
    }

    public func makeWorker(_ context: StageContext) -> Worker { Worker(dimension: dimension) }

    public func apply(to block: inout Block, with worker: inout Worker) throws(StageError) {
        let text = try block.bytes(.text)
        let quantizer = Quantizer(dimension: dimension)
        var values = [Int8](repeating: 0, count: block.count * dimension)
        var empty = [Int64](repeating: 0, count: block.count)
        for record in 0..<block.count where block.isLive(record) {
            let begin = record == 0 ? 0 : text.ends[record - 1]
            let range = begin..<text.ends[record]
            let hasFeatures = text.bytes.withUnsafeBufferPointer { bytes in
                worker.sums.withUnsafeMutableBufferPointer { sums in
                    worker.model.embed(UnsafeBufferPointer(rebasing: bytes[range]), into: sums.baseAddress!)
                }
            }
            guard hasFeatures else {
                empty[record] = 1
                continue
            }
            values.withUnsafeMutableBufferPointer { values in
                worker.sums.withUnsafeBufferPointer { sums in
                    quantizer.quantize(
                        sums: sums.baseAddress!, count: 1, into: values.baseAddress! + record * dimension)
                }
            }
        }
        block.write(.embedding, .vectors(VectorColumn(dimension: dimension, values: values)))
        if block.isWanted(.emptyText) { block.write(.emptyText, .integers(empty)) }
    }
}

/// `embed` in a definition written in Swift.
public struct Embed: StageSpecConvertible {
    public let stageSpec: StageSpec

    public init(model: String? = nil, dimensions: Int? = nil) {
        var options = OptionValues()
        options["model"] = model.map { .text($0) }
        options["dimensions"] = dimensions.map { .integer($0) }
        stageSpec = StageSpec("embed", options)
    }
}
