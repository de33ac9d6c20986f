import Glibc
import SluiceCore
import SluiceTokenizer
import Synchronization

/// What must be known of a model before it is used; see `OnnxPlan`.
struct OnnxFacts: Sendable {
    /// The state of the files.
    let version: String
    let trial: OnnxModel.Trial
    let config: OnnxConfig
    /// The tokens that the tokenizer puts around a text.
    let around: Int
    let tokenizerBytes: Int
    let scratchBytes: Int
    /// Bytes of the model's files, and numbers in them.
    let fileBytes: Int
    let numbers: Int
    let width: Int
    let runtime: String
    let runtimeBytes: Int
    /// Of each file, by its name.
    let digests: [String: String]

    /// Loads nothing, but runs the model.
    ///
    /// - Parameter length: see `OnnxCache.facts`.
    fileprivate init(
        _ model: OnnxModel, digests: [String: String], length: OnnxCache.Length
    ) throws(StageError) {
        version = model.version
        config = model.config
        around = model.tokenizer.before.count + model.tokenizer.after.count
        trial = try model.trial(upTo: try length(config, around))
        tokenizerBytes = model.tokenizer.bytes
        scratchBytes = model.tokenizer.scratchBytes
        fileBytes = model.fileBytes
        numbers = model.file.numbers
        width = max(model.file.width, trial.columns)
        runtime = model.session.runtime.version
        runtimeBytes = model.session.runtime.bytes
        self.digests = digests
    }
}

/// The models in use, which the workers of a pass share, and what is known of models that were; as `ModelCache`.
enum OnnxCache {
    private static let known = Mutex<[(source: OnnxModel.Source, facts: OnnxFacts)]>([])
    private static let mostKnown = 16

    /// Gives the tokens of the longest text, on which the model is tried, from what the files beside the model say and
    /// the number of tokens that the tokenizer puts around a text.
    typealias Length = (_ config: OnnxConfig, _ around: Int) throws(StageError) -> Int

    /// What is known of a model, which is loaded if its files are new.
    ///
    /// - Throws: why it can't be used.
    static func facts(_ source: OnnxModel.Source, length: Length) throws(StageError) -> OnnxFacts {
        let folder = try OnnxFolder(source.path)
        let file = try OnnxModel.read(folder.model)
        let version = try version(folder, file)
        let found = known.withLock { $0.first { $0.source == source && $0.facts.version == version }?.facts }
        if let found, found.trial.longest == min(try length(found.config, found.around), OnnxModel.longestTrial) {
            return found
        }
        // Before the model is loaded, so that the file's pages and the model are not in memory at the same time.
        let digests: [String: String]
        if let found { digests = found.digests } else { digests = try Self.digests(folder, file) }
        let facts = try OnnxFacts(try model(source), digests: digests, length: length)
        known.withLock { known in
            known.removeAll { $0.source == source }
            known.append((source, facts))
            if known.count > mostKnown { known.removeFirst() }
        }
        releaseMemory()
        return facts
    }

    private struct Entry {
        let key: String
        let source: OnnxModel.Source
        weak var model: OnnxModel?
    }

    private static let entries = Mutex<[Entry]>([])

    /// The model: one that is in use and whose files are the same, or a new one.
    ///
    /// - Throws: why it can't be used.
    static func model(_ source: OnnxModel.Source) throws(StageError) -> OnnxModel {
        let folder = try OnnxFolder(source.path)
        let key = try version(folder, try OnnxModel.read(folder.model))
        return try entries.withLock { (entries) throws(StageError) in
            entries.removeAll { $0.model == nil }
            if let model = entries.first(where: { $0.key == key && $0.source == source })?.model { return model }
            let model = try OnnxModel(source, folder, version: key)
            releaseMemory()
            entries.append(Entry(key: key, source: source, model: model))
            return model
        }
    }

    private static func version(_ folder: OnnxFolder, _ file: OnnxFile) throws(StageError) -> String {
        (try OnnxModel.paths(folder, file) + [folder.tokenizer] + folder.configs.map(\.path))
            .map(ModelCache.version).joined()
    }

    private static func digests(_ folder: OnnxFolder, _ file: OnnxFile) throws(StageError) -> [String: String] {
        var found = ["tokenizer.json": try MappedFile(folder.tokenizer).digest]
        let own = folder.model.split(separator: "/").last.map(String.init) ?? folder.model
        for (path, name) in zip(try OnnxModel.paths(folder, file), [own] + file.others) {
            found[name] = try MappedFile(path).digest
        }
        return found
    }

    /// Gives what loading took and freed back to the system, which the C library would keep.
    private static func releaseMemory() {
        guard let symbol = dlsym(nil, "malloc_trim") else { return }
        _ = unsafeBitCast(symbol, to: (@convention(c) (Int) -> Int32).self)(0)
    }
}
