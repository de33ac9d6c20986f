import Glibc
import SluiceCore

/// The files of a static model: found, but not yet read.
struct StaticFolder {
    let weights: String
    let tokenizer: String
    /// `config.json`, if there is one.
    let config: String?

    /// - Throws: which file is missing.
    init(_ name: String) throws(StageError) {
        guard let entries = Self.entries(name) else {
            throw StaticModel.wrong(
                "\(name) is no folder that can be read (\(String(cString: strerror(errno)))); give the folder of a model, with model.safetensors and tokenizer.json"
            )
        }
        // sentence-transformers puts such a model in a folder of its own.
        let inner = "0_StaticEmbedding"
        let folder = entries.contains(inner) ? "\(name)/\(inner)" : name
        let files = folder == name ? entries : Self.entries(folder) ?? []
        let tensors = files.filter { $0.hasSuffix(".safetensors") }
        guard let first = tensors.contains("model.safetensors") ? "model.safetensors" : tensors.first else {
            throw StaticModel.wrong("\(folder) has no model.safetensors")
        }
        guard first == "model.safetensors" || tensors.count == 1 else {
            throw StaticModel.wrong(
                "\(folder) has several models: \(tensors.joined(separator: ", ")); name the one to use model.safetensors"
            )
        }
        guard files.contains("tokenizer.json") else {
            throw StaticModel.wrong(
                "\(folder) has no tokenizer.json, which says how to cut text into tokens; copy the model's into it")
        }
        weights = "\(folder)/\(first)"
        tokenizer = "\(folder)/tokenizer.json"
        config = files.contains("config.json") ? "\(folder)/config.json" : nil
    }

    /// The names in a folder, in the order of their bytes; nil if it can't be read.
    static func entries(_ name: String) -> [String]? {
        guard let folder = opendir(name) else { return nil }
        defer { closedir(folder) }
        var found: [String] = []
        while let entry = readdir(folder) {
            found.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                })
        }
        return found.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}
