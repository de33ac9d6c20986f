import Glibc
import SluiceCore
import Synchronization

/// The models in use: the workers of a pass share one.
enum ModelCache {
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
        let key = ([folder.weights, folder.tokenizer] + (folder.config.map { [$0] } ?? [])).map(version).joined()
        return try entries.withLock { (entries) throws(StageError) in
            entries.removeAll { $0.model == nil }
            if let model = entries.first(where: { $0.key == key })?.model { return model }
            let model = try StaticModel(folder, version: key)
            entries.append(Entry(key: key, model: model))
            return model
        }
    }

    /// What changes when a file is written or replaced.
    private static func version(_ path: String) -> String {
        var facts = stat()
        guard stat(path, &facts) == 0 else { return "\(path)\0" }
        let numbers = [
            Int(facts.st_dev), Int(facts.st_ino), Int(facts.st_size), Int(facts.st_mtim.tv_sec),
            Int(facts.st_mtim.tv_nsec), Int(facts.st_ctim.tv_sec), Int(facts.st_ctim.tv_nsec),
        ]
        return "\(path)\0" + numbers.map { "\($0) " }.joined()
    }
}
