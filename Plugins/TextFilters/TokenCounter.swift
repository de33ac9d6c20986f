import Glibc
import SluiceCore
import SluiceTokenizer
import Synchronization

/// Counts the tokens of texts, as a model's `tokenizer.json` cuts them.
final class TokenCounter: Sendable {
    private let tokenizer: Tokenizer
    /// Of the file when it was read.
    private let version: [Int]

    static let option = OptionSpec(
        "tokenizer", .path, help: "with tokens: the model's tokenizer.json, or the folder that has it",
        example: "models/wordllama/tokenizer.json")

    private init(_ path: String, version: [Int]) throws(StageError) {
        self.version = version
        guard let file = fopen(path, "rb") else {
            throw Self.wrong("\(path) can't be opened: \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
        guard ferror(file) == 0 else { throw Self.wrong("\(path) can't be read to its end") }
        do throws(TokenizerError) { tokenizer = try Tokenizer(json: bytes) } catch {
            throw Self.wrong("\(path): \(error.message)")
        }
    }

    private static func wrong(_ message: String) -> StageError { .option("tokenizer", "`tokenizer`: \(message)") }

    /// One command makes a stage several times; the last files stay known.
    private static let known = Mutex<[(path: String, counter: TokenCounter)]>([])
    private static let mostKnown = 4

    /// The counter of a file, which is read if it is new.
    ///
    /// - Throws: why the file can't be used.
    static func read(_ name: String) throws(StageError) -> TokenCounter {
        var facts = stat()
        let isFolder = stat(name, &facts) == 0 && facts.st_mode & S_IFMT == S_IFDIR
        let path = isFolder ? "\(name)/tokenizer.json" : name
        guard stat(path, &facts) == 0 else {
            throw wrong("\(path) can't be opened: \(String(cString: strerror(errno)))")
        }
        let version = [
            Int(facts.st_dev), Int(facts.st_ino), Int(facts.st_size), Int(facts.st_mtim.tv_sec),
            Int(facts.st_mtim.tv_nsec),
        ]
        return try known.withLock { (known) throws(StageError) in
            if let found = known.first(where: { $0.path == path && $0.counter.version == version }) {
                return found.counter
            }
            let counter = try TokenCounter(path, version: version)
            known.removeAll { $0.path == path }
            known.append((path, counter))
            if known.count > mostKnown { known.removeFirst() }
            return counter
        }
    }

    /// Bytes that all threads share.
    var bytes: Int { tokenizer.bytes }
    /// Bytes that a thread's worker takes at most.
    static func workerBytes(_ counter: TokenCounter?) -> Int { (1 << 10) + (counter?.tokenizer.scratchBytes ?? 0) }

    /// What a thread keeps from text to text; empty without a counter.
    final class Worker {
        private let counter: TokenCounter?
        private var scratch = Tokenizer.Scratch()

        init(_ counter: TokenCounter?) { self.counter = counter }

        /// Cost: about a microsecond for 20 tokens.
        func count(_ text: UnsafeBufferPointer<UInt8>) -> Int {
            counter?.tokenizer.count(UnsafeRawBufferPointer(text), with: &scratch) ?? 0
        }
    }
}
