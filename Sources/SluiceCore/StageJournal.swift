import Synchronization

/// What a stage notes while it works that no result depends on: how often a program was started, its peak memory, what it
/// wrote to its standard error.
public final class StageJournal: Sendable {
    /// A folder in the run directory for logs of stages. A stage makes it when it has something to write. A run that starts
    /// over removes it first.
    public let folder: String
    private let figures = Mutex<[String: Int]>([:])
    private let tell: @Sendable (String) -> Void

    /// - Parameter notice: called with what a person should see at once.
    public init(folder: String, notice: @escaping @Sendable (String) -> Void = { _ in }) {
        self.folder = folder
        tell = notice
    }

    /// Adds to a figure, which `run.json` lists under `timing`. Safe on any thread.
    public func add(_ count: Int = 1, to figure: String) { figures.withLock { $0[figure, default: 0] += count } }

    /// Raises a figure to `value` if it is less.
    public func raise(_ figure: String, to value: Int) {
        figures.withLock { $0[figure] = max($0[figure] ?? value, value) }
    }

    /// Tells a person something at once, as a sentence.
    public func notice(_ message: String) { tell(message) }

    /// The figures by name.
    package var all: [(name: String, value: Int)] {
        figures.withLock { figures in figures.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }
    }
}
