/// Three numbers, ordered by `a`, then `b`, then `c`.
struct Triple: Equatable, Comparable {
    var a: UInt64
    var b: UInt64
    var c: UInt64

    @inline(__always)
    static func < (x: Triple, y: Triple) -> Bool {
        if x.a != y.a { return x.a < y.a }
        if x.b != y.b { return x.b < y.b }
        return x.c < y.c
    }

    static let header = Array("SLUICEt1".utf8)
    static let size = 24
}

/// Sorts any number of triples within a memory budget: writes sorted runs to disk and merges them.
final class TripleSorter {
    private let stem: String
    private let fileSystem: FileSystem
    /// The most triples kept in memory.
    private let capacity: Int
    private let memory: Int
    private var pending: [Triple] = []
    private var runs: [String] = []
    private var made = 0
    private let bufferBytes = 16 << 10

    /// - Parameter stem: the prefix of the names of the run files.
    init(stem: String, memory: Int, fileSystem: FileSystem) {
        self.stem = stem
        self.fileSystem = fileSystem
        self.memory = memory
        capacity = max(64, memory / MemoryLayout<Triple>.stride)
    }

    func append(_ triple: Triple) throws(IOFailure) {
        if pending.count == capacity { try spill() }
        // Reserved at once: unused room takes no memory from the system, and growth would need room for two copies.
        if pending.capacity == 0 { pending.reserveCapacity(capacity) }
        pending.append(triple)
    }

    private func spill() throws(IOFailure) {
        pending.sort()
        let path = nextName()
        var writer = try WorkFileWriter(path, header: Triple.header, bufferBytes: bufferBytes, fileSystem: fileSystem)
        for triple in pending { try writer.append(triple) }
        try writer.finish()
        runs.append(path)
        pending.removeAll(keepingCapacity: true)
    }

    private func nextName() -> String {
        made += 1
        return "\(stem).run\(made)"
    }

    /// Passes all triples to `body` in order. Removes the runs, also if it fails.
    func merge(_ body: (Triple) throws(IOFailure) -> Void) throws(IOFailure) {
        defer { removeRuns() }
        if runs.isEmpty {
            pending.sort()
            for triple in pending { try body(triple) }
            pending = []
            return
        }
        if !pending.isEmpty { try spill() }
        pending = []
        let fanIn = MergeLimits.fanIn(memory: memory - bufferBytes, perSource: bufferBytes)
        while runs.count > fanIn {
            let some = Array(runs.prefix(fanIn))
            let path = nextName()
            var writer = try WorkFileWriter(
                path, header: Triple.header, bufferBytes: bufferBytes, fileSystem: fileSystem)
            let merger = try RunMerger(some, bufferBytes: bufferBytes, fileSystem: fileSystem)
            while let triple = try merger.next() { try writer.append(triple) }
            try writer.finish()
            for name in some { try fileSystem.remove(name) }
            runs.removeFirst(some.count)
            runs.append(path)
        }
        let merger = try RunMerger(runs, bufferBytes: bufferBytes, fileSystem: fileSystem)
        while let triple = try merger.next() { try body(triple) }
        for name in runs { try fileSystem.remove(name) }
        runs = []
    }

    /// Removes any run files that are left.
    private func removeRuns() {
        for name in runs { try? fileSystem.remove(name) }
        runs = []
    }
}

extension WorkFileWriter {
    mutating func append(_ triple: Triple) throws(IOFailure) {
        var words = (triple.a.littleEndian, triple.b.littleEndian, triple.c.littleEndian)
        try withUnsafeBytes(of: &words) { bytes throws(IOFailure) in try append(bytes) }
        add(items: 1)
    }
}

extension WorkFileReader {
    func nextTriple() throws(IOFailure) -> Triple? {
        if try isAtEnd() { return nil }
        let bytes = try next(Triple.size)
        func word(_ i: Int) -> UInt64 {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: i * 8, as: UInt64.self))
        }
        return Triple(a: word(0), b: word(1), c: word(2))
    }
}

/// A run and its next triple.
private final class Run: MergeSource {
    let reader: WorkFileReader
    private(set) var head: Triple?

    init(_ path: String, bufferBytes: Int, fileSystem: FileSystem) throws(IOFailure) {
        reader = try WorkFileReader(path, header: Triple.header, bufferBytes: bufferBytes, fileSystem: fileSystem)
        head = try reader.nextTriple()
    }

    func advance() throws(IOFailure) { head = try reader.nextTriple() }
}

/// Merges sorted runs.
private final class RunMerger {
    private var heap: MergeHeap<Run>

    init(_ paths: [String], bufferBytes: Int, fileSystem: FileSystem) throws(IOFailure) {
        var runs: [Run] = []
        for path in paths { runs.append(try Run(path, bufferBytes: bufferBytes, fileSystem: fileSystem)) }
        heap = MergeHeap(runs)
    }

    func next() throws(IOFailure) -> Triple? {
        guard let first = heap.first, let triple = first.head else { return nil }
        try first.advance()
        heap.settle()
        return triple
    }
}
