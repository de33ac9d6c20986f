/// A sorted source of a merge: `head` is the next item, nil at the end.
protocol MergeSource: AnyObject {
    associatedtype Head: Comparable
    var head: Head? { get }
}

/// A binary heap that finds the sorted source with the smallest head.
struct MergeHeap<Source: MergeSource> {
    private var sources: [Source]

    init(_ sources: [Source]) {
        self.sources = sources.filter { $0.head != nil }
        for i in stride(from: self.sources.count / 2 - 1, through: 0, by: -1) { sink(i) }
    }

    /// The source with the smallest head; nil when all sources have ended.
    var first: Source? { sources.first }

    /// Restores the heap after the head of `first` has changed.
    mutating func settle() {
        if let first = sources.first, first.head == nil {
            sources.swapAt(0, sources.count - 1)
            sources.removeLast()
        }
        sink(0)
    }

    private mutating func sink(_ start: Int) {
        var at = start
        while true {
            var least = at
            for child in [2 * at + 1, 2 * at + 2] where child < sources.count && precedes(child, least) {
                least = child
            }
            if least == at { return }
            sources.swapAt(at, least)
            at = least
        }
    }

    private func precedes(_ a: Int, _ b: Int) -> Bool {
        guard let x = sources[a].head, let y = sources[b].head else { return sources[a].head != nil }
        return x < y
    }
}

/// How many files a merge opens, and how often it asks whether to stop.
enum MergeLimits {
    /// Many systems allow a process 1024 open files; several merges may run at a time.
    private static let mostFiles = 256
    static let rowsUntilCheck: UInt64 = 4096

    static func fanIn(memory: Int, perSource: Int) -> Int { min(mostFiles, max(2, memory / perSource)) }

    static func check(_ isStopped: () -> Bool, _ path: String) throws(IOFailure) {
        if isStopped() { throw IOFailure(.stopped, path: path, found: "the work was stopped") }
    }
}
