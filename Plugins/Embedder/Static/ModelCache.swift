import Glibc
import SluiceCore
import SluiceTokenizer
import Synchronization

/// What must be known of a model before it is used; see `StaticPlan`.
struct ModelFacts: Sendable {
    /// The state of the files.
    let version: String
    let form: StaticModel.Form
    let columns: Int
    let maxTokens: Int?
    /// Bytes of the model, and of what a thread's tokenizer keeps.
    let modelBytes: Int
    let tokenizerBytes: Int
    /// Of each file, by its name.
    let digests: [String: String]

    /// - Throws: if the table has a number that is not finite.
    init(_ model: StaticModel) throws(StageError) {
        try model.check()
        version = model.version
        form = model.form
        columns = model.table.columns
        maxTokens = model.maxTokens
        modelBytes = model.bytes
        tokenizerBytes = model.tokenizer.scratchBytes
        digests = model.digests
    }
}

/// The models in use, which the workers of a pass share, and what is known of models that were. One command makes the
/// stages of a definition several times, so a model's files are checked once, as long as they stay the same.
enum ModelCache {
    private static let known = Mutex<[ModelFacts]>([])
    private static let mostKnown = 16

    /// What is known of the model in a folder, which is read if its files are new.
    ///
    /// - Throws: why the folder can't be used.
    static func facts(_ path: String) throws(StageError) -> ModelFacts {
        let version = version(try StaticFolder(path))
        if let facts = known.withLock({ $0.first { $0.version == version } }) { return facts }
        let facts = try ModelFacts(try model(path))
        known.withLock { known in
            known.append(facts)
            if known.count > mostKnown { known.removeFirst() }
        }
        return facts
    }

    private struct Entry {
        let key: String
        weak var model: StaticModel?
    }

    private static let entries = Mutex<[Entry]>([])

    /// The model of a folder: one that is in use and whose files are the same, or a new one.
    ///
    /// - Throws: why the folder can't be used.
    static func model(_ path: String) throws(StageError) -> StaticModel {
        let folder = try StaticFolder(path)
        let key = version(folder)
        return try entries.withLock { (entries) throws(StageError) in
            entries.removeAll { $0.model == nil }
            if let model = entries.first(where: { $0.key == key })?.model { return model }
            let model = try StaticModel(folder, version: key)
            entries.append(Entry(key: key, model: model))
            return model
        }
    }

    private static func version(_ folder: StaticFolder) -> String {
        ([folder.weights, folder.tokenizer] + (folder.config.map { [$0] } ?? [])).map(version).joined()
    }

    /// What changes when a file is written or replaced.
    static func version(_ path: String) -> String {
        var facts = stat()
        guard stat(path, &facts) == 0 else { return "\(path)\0" }
        let numbers = [
            Int(facts.st_dev), Int(facts.st_ino), Int(facts.st_size), Int(facts.st_mtim.tv_sec),
            Int(facts.st_mtim.tv_nsec), Int(facts.st_ctim.tv_sec), Int(facts.st_ctim.tv_nsec),
        ]
        return "\(path)\0" + numbers.map { "\($0) " }.joined()
    }
}
