import SluiceCore
import SluiceIO
import Synchronization

/// The answer log of a run, open during the passes that ask.
package final class AnswerBook: Sendable {
    /// The folder of a run's own log, in its directory.
    package static let folderName = "answers"

    let folder: String
    /// Whether other processes may use the log at the same time.
    let isShared: Bool
    private let fileSystem: FileSystem
    private let isStopped: @Sendable () -> Bool
    private let log = Mutex<AnswerLog?>(nil)

    /// - Parameter isShared: whether other processes work on the same run.
    init(_ definition: Definition, isShared: Bool, fileSystem: FileSystem, isStopped: @escaping @Sendable () -> Bool) {
        folder = definition.answers ?? "\(definition.output.directory)/\(Self.folderName)"
        self.isShared = isShared || definition.answers != nil
        self.fileSystem = fileSystem
        self.isStopped = isStopped
    }

    /// The answers in the log.
    func count() throws(EngineError) -> Int {
        do throws(IOFailure) { return try AnswerLog.count(in: folder, fileSystem: fileSystem) } catch {
            throw EngineError(error)
        }
    }

    /// Opens the log for a pass, if it has requests. Their memory, which includes the index, has been leased.
    func open(for requests: Requests) throws(EngineError) {
        guard requests.width > 0 else { return }
        do throws(IOFailure) {
            let opened = try AnswerLog(
                folder: folder, capacity: requests.answers, fileSystem: fileSystem, isStopped: isStopped)
            log.withLock { $0 = opened }
        } catch {
            throw EngineError(error)
        }
    }

    func find(_ key: ContentHash) throws(EngineError) -> [UInt8]? {
        do throws(IOFailure) { return try opened.find(key) } catch { throw EngineError(error) }
    }

    /// Makes answers durable; returns those to use.
    func append(_ answers: [(key: ContentHash, answer: [UInt8])]) throws(EngineError) -> [[UInt8]] {
        do throws(IOFailure) { return try opened.append(answers) } catch { throw EngineError(error) }
    }

    /// Ends the use of the log in a pass.
    func close() {
        // Best effort: everything in it is durable, also without this note of where it ends.
        try? log.withLock { log in
            defer { log = nil }
            return log
        }?.close()
    }

    private var opened: AnswerLog {
        get throws(IOFailure) {
            guard let log = log.withLock({ $0 }) else {
                throw IOFailure(.cannotOpen, path: folder, found: "the answer log is not open")
            }
            return log
        }
    }
}

extension RunContext {
    /// The keys of a stage's answers.
    ///
    /// - Parameter step: the number of the asking step in its stage, from 0.
    func answerKeys(
        _ asking: any AskingBatchTransform, of link: StageChain.Link, step: Int
    ) throws(EngineError) -> AnswerKeys {
        if let source = asking.source {
            let entries = source.sorted { $0.key < $1.key }.map { JSONValue.Entry($0.key, .text($0.value)) }
            return AnswerKeys(stage: link.spec.name, step: step, source: .object(entries))
        }
        let spec = StageFiles.named(definition, chain).stages[link.index]
        let options = type(of: link.stage).descriptor.fillingDefaults(in: spec.options)
        let mine: (JSONValue) -> Bool = { $0["stage"]?.textValue == link.label }
        let files = StageFiles.report(definition, chain, fileSystem: fileSystem).filter(mine).map {
            JSONValue.list([$0["option"] ?? .null, $0["content"] ?? .null])
        }
        let identity = try StageIdentities.report(chain).filter(mine).map {
            JSONValue.list([$0["name"] ?? .null, $0["value"] ?? .null])
        }
        return AnswerKeys(
            stage: link.spec.name, step: step,
            source: .list([StageSpec(link.spec.name, options).report, .list(files), .list(identity)]))
    }
}
