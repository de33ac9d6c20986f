import Glibc
import SluiceCore

/// The files of an ONNX model: found, but not yet read.
struct OnnxFolder {
    /// The model, and the files with its numbers that it names.
    let model: String
    let tokenizer: String
    /// What sentence-transformers writes about the model, by the name in its folder; those that are there.
    let configs: [(name: String, path: String)]

    /// The files that decide about vectors or defaults.
    private static let configNames = [
        "sentence_bert_config.json", "1_Pooling/config.json", "config.json", "modules.json",
    ]

    static func wrong(_ message: String) -> StageError { StaticModel.wrong(message) }

    /// - Parameter path: the folder of a model, or a file `*.onnx`.
    /// - Throws: which file is missing.
    init(_ path: String) throws(StageError) {
        model = try Self.model(path)
        let folder = Self.parent(model)
        // Exports keep the model in a folder `onnx` of the model's folder.
        let isBeside = Self.isFile("\(folder)/tokenizer.json")
        let isInner = folder.split(separator: "/").last == "onnx"
        let folders = [folder] + (isInner || !isBeside ? [Self.parent(folder)] : [])
        guard let beside = folders.first(where: { Self.isFile("\($0)/tokenizer.json") }) else {
            throw Self.wrong(
                "there is no tokenizer.json beside \(model) or in the folder above it, which says how to cut text into tokens; copy the model's there"
            )
        }
        tokenizer = "\(beside)/tokenizer.json"
        configs = Self.configNames.compactMap { name in
            folders.reversed().first { Self.isFile("\($0)/\(name)") }.map { (name, "\($0)/\(name)") }
        }
    }

    private static func model(_ path: String) throws(StageError) -> String {
        guard let entries = StaticFolder.entries(path) else {
            if path.hasSuffix(".onnx"), isFile(path) { return path }
            let reason = String(cString: strerror(errno))
            throw wrong(
                "\(path) is neither a folder that can be read nor a file *.onnx (\(reason)); give the folder of a model, with model.onnx and tokenizer.json"
            )
        }
        if entries.contains("model.onnx") { return "\(path)/model.onnx" }
        let inner = "\(path)/onnx"
        let more = StaticFolder.entries(inner) ?? []
        if more.contains("model.onnx") { return "\(inner)/model.onnx" }
        let found =
            entries.filter { $0.hasSuffix(".onnx") }.map { "\(path)/\($0)" }
            + more.filter { $0.hasSuffix(".onnx") }.map { "\(inner)/\($0)" }
        guard let first = found.first else { throw wrong("\(path) has no model.onnx, also not in its folder onnx") }
        guard found.count == 1 else {
            throw wrong("there are several models: \(found.joined(separator: ", ")); give the file to use as `path`")
        }
        return first
    }

    static func parent(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return path == "." ? ".." : "." }
        if path.hasSuffix("/..") || path == ".." { return path + "/.." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The languages that the card of a model names: of the folder `path`, or beside the file `path` or in the folder above.
    static func languages(of path: String) -> String? {
        path.hasSuffix(".onnx")
            ? ModelCard.languages(in: [parent(path), parent(parent(path))]) : ModelCard.languages(in: [path])
    }

    private static func isFile(_ path: String) -> Bool {
        var facts = stat()
        return stat(path, &facts) == 0 && facts.st_mode & S_IFMT == S_IFREG
    }
}

/// How a text's vector is made of those of its tokens.
enum Pooling: String, CaseIterable, Sendable {
    /// The mean over all tokens, those around the text included.
    case mean
    /// The first token's.
    case cls
    /// The last token's.
    case last
}

/// What the files beside a model say of its use.
struct OnnxConfig: Sendable {
    private(set) var maxTokens: Int?
    private(set) var pooling: Pooling?
    /// A pooling that is not supported, by its name in the file.
    private(set) var otherPooling: String?
    /// A layer that works on the pooled vector, by its type.
    private(set) var layer: String?
    private(set) var heads: Int?
    /// Positions that the model knows.
    private(set) var positions: Int?

    /// - Throws: which file is damaged.
    init(_ folder: OnnxFolder) throws(StageError) {
        for (name, path) in folder.configs {
            let file = try MappedFile(path)
            let json: JSONValue
            do { json = try JSONValue(json: Array(file.bytes)) } catch {
                throw OnnxFolder.wrong("\(path) is no JSON: \(error)")
            }
            switch name {
            case "sentence_bert_config.json": maxTokens = Self.positive(json["max_seq_length"])
            case "1_Pooling/config.json": readPooling(json)
            case "config.json":
                heads = Self.positive(json["num_attention_heads"]).flatMap { $0 <= 4096 ? $0 : nil }
                positions = Self.positive(json["max_position_embeddings"])
            default:
                let types = json.elements.compactMap { $0["type"]?.textValue }
                let known = ["Transformer", "Pooling", "Normalize"]
                layer = types.first { type in !known.contains { type == $0 || type.hasSuffix(".\($0)") } }
            }
        }
    }

    private static func positive(_ value: JSONValue?) -> Int? {
        guard case .integer(let number)? = value, 1...1_000_000 ~= number else { return nil }
        return number
    }

    private mutating func readPooling(_ json: JSONValue) {
        let names: [(String, Pooling)] = [
            ("pooling_mode_mean_tokens", .mean), ("pooling_mode_cls_token", .cls), ("pooling_mode_lasttoken", .last),
        ]
        var chosen: [Pooling] = []
        for entry in json.entries where entry.key.hasPrefix("pooling_mode_") {
            guard case .flag(true) = entry.value else { continue }
            if let known = names.first(where: { $0.0 == entry.key }) {
                chosen.append(known.1)
            } else {
                otherPooling = entry.key
            }
        }
        if chosen.count > 1 { otherPooling = chosen.map(\.rawValue).joined(separator: " and ") }
        pooling = chosen.first
    }
}
