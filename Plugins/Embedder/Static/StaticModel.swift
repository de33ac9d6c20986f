import SluiceCore
import SluiceTokenizer

/// A model that is a table: a text's vector is the mean of its tokens' vectors.
///
/// Two forms of folders, told apart by the name of the table in model.safetensors:
///
/// - `embedding.weight`: wordllama, and the StaticEmbedding of sentence-transformers. The mean over all tokens.
/// - `embeddings`: model2vec and its potion models. `mapping` names each token's row and `weights` its factor, if they are
///   there. Unknown tokens are left out, and texts are cut to `max_length` of config.json, or 512, tokens.
///
/// The table is mapped and read in place. All threads share the model.
package final class StaticModel: Sendable {
    /// The form of the folder.
    enum Form: Sendable { case plain, model2vec }

    /// The state of the files when they were opened; see `ModelCache`.
    let version: String
    let form: Form
    let table: TokenTable
    let tokenizer: Tokenizer
    /// By token: the row, and the factor of its vector. Empty where the row has the token's number, or the factor is 1.
    let mapping: [Int32]
    let weights: [Float]
    /// Tokens of a text that count, if the options don't say; nil for all.
    let maxTokens: Int?
    /// Bytes held while the model is used: mapped pages, the tokenizer, and what reading it takes for a moment.
    let bytes: Int
    private let files: [(name: String, file: MappedFile)]

    static func wrong(_ message: String) -> StageError { .option("path", "`path`: \(message)") }

    /// Reads the headers, the tokenizer and what lies beside the table. Cost: tens of milliseconds for a vocabulary of
    /// 32,000 tokens.
    ///
    /// - Throws: `StageError` with the option `path`.
    init(_ folder: StaticFolder, version: String) throws(StageError) {
        self.version = version
        let weightsFile = try MappedFile(folder.weights)
        let tokenizerFile = try MappedFile(folder.tokenizer)
        let configFile = try folder.config.map { (name) throws(StageError) in try MappedFile(name) }
        files =
            [("model.safetensors", weightsFile), ("tokenizer.json", tokenizerFile)]
            + (configFile.map { [("config.json", $0)] } ?? [])
        let tensors: SafeTensors
        do throws(StageError) { tensors = try SafeTensors(weightsFile.bytes) } catch {
            throw Self.wrong("\(folder.weights): \(error.message)")
        }
        do throws(TokenizerError) { tokenizer = try Tokenizer(json: tokenizerFile.bytes) } catch {
            throw Self.wrong("\(folder.tokenizer): \(error.message)")
        }
        (form, table) = try Self.table(weightsFile, tensors)
        let beside = form == .model2vec ? tensors : nil
        mapping = try Self.mapping(weightsFile, beside?.tensors["mapping"], rows: table.rows)
        weights = try Self.factors(
            weightsFile, beside?.tensors["weights"], count: mapping.isEmpty ? table.rows : mapping.count)
        maxTokens = form == .plain ? nil : try Self.maxLength(configFile)
        let known = mapping.isEmpty ? table.rows : mapping.count
        guard tokenizer.size <= known else {
            throw Self.wrong(
                "\(folder.tokenizer) has \(tokenizer.size) tokens, but \(folder.weights) has vectors for \(known); they belong to different models"
            )
        }
        bytes = weightsFile.count + tokenizer.bytes + tokenizerFile.count * 4 + (mapping.count + weights.count) * 4
    }

    /// The digest of each file by name.
    var digests: [String: String] {
        Dictionary(files.map { ($0.name, $0.file.digest) }) { first, _ in first }
    }

    /// - Throws: if the table has a number that is not finite.
    func check() throws(StageError) {
        guard let row = table.firstNotFinite() else { return }
        throw Self.wrong(
            "\(files[0].file.path): row \(row) of its table has a component that is NaN or infinite; the file is damaged"
        )
    }
}

// MARK: Tensors

extension StaticModel {
    private static func table(
        _ file: MappedFile, _ found: SafeTensors
    ) throws(StageError) -> (form: Form, table: TokenTable) {
        if let tensor = found.tensors["embedding.weight"] {
            return (.plain, try TokenTable(file, "embedding.weight", tensor))
        }
        if let tensor = found.tensors["embeddings"] {
            return (.model2vec, try TokenTable(file, "embeddings", tensor))
        }
        let names = found.tensors.keys.sorted().prefix(5).map { "`\($0)`" }.joined(separator: ", ")
        throw wrong(
            "\(file.path) has neither `embedding.weight` (wordllama) nor `embeddings` (model2vec), but \(names.isEmpty ? "no tensor" : names); it is no static model"
        )
    }

    /// The rows of the tokens. Numbers may be of 32 or 64 bits.
    private static func mapping(
        _ file: MappedFile, _ tensor: SafeTensors.Tensor?, rows: Int
    ) throws(StageError) -> [Int32] {
        guard let tensor else { return [] }
        guard tensor.shape.count == 1, let kind = tensor.kind, kind == .i64 || kind == .i32 else {
            throw wrong("\(file.path): `mapping` is \(tensor.words); it must be I64, a row per token")
        }
        let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[tensor.range])
        var found: [Int32] = []
        found.reserveCapacity(tensor.shape[0])
        for token in 0..<tensor.shape[0] {
            let row =
                kind == .i64
                ? Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: token * 8, as: Int64.self)))
                : Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: token * 4, as: Int32.self)))
            guard 0..<rows ~= row else {
                throw wrong("\(file.path): `mapping` names row \(row) for token \(token); the table has \(rows) rows")
            }
            found.append(Int32(row))
        }
        return found
    }

    private static func factors(
        _ file: MappedFile, _ tensor: SafeTensors.Tensor?, count: Int
    ) throws(StageError) -> [Float] {
        guard let tensor else { return [] }
        guard tensor.shape.count == 1, let kind = tensor.kind, kind == .f32 || kind == .f64 else {
            throw wrong("\(file.path): `weights` is \(tensor.words); it must be F32, a number per token")
        }
        guard tensor.shape[0] == count else {
            throw wrong("\(file.path): `weights` has \(tensor.shape[0]) numbers for \(count) tokens")
        }
        let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[tensor.range])
        var found: [Float] = []
        found.reserveCapacity(count)
        for token in 0..<count {
            let factor =
                kind == .f32
                ? bytes.loadUnaligned(fromByteOffset: token * 4, as: Float.self)
                : Float(bytes.loadUnaligned(fromByteOffset: token * 8, as: Double.self))
            guard factor.isFinite else {
                throw wrong(
                    "\(file.path): the number of token \(token) in `weights` is not finite; the file is damaged")
            }
            found.append(factor)
        }
        return found
    }

    /// `max_length` of config.json; 512 if it is missing, nil if it is null.
    private static func maxLength(_ file: MappedFile?) throws(StageError) -> Int? {
        guard let file else { return 512 }
        let config: JSONValue
        do { config = try JSONValue(json: Array(file.bytes)) } catch {
            throw wrong("\(file.path) is no JSON: \(error)")
        }
        switch config["max_length"] {
        case nil: return 512
        case .null?: return nil
        case .integer(let number)? where number > 0: return number
        default: throw wrong("\(file.path): `max_length` is no whole number above 0")
        }
    }
}
