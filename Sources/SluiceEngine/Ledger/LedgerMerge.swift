import SluiceCore
import SluiceIO

/// Ledger lines in input order, merged from sorted runs.
///
/// An entry of a run is a line's ordinal in 8 bytes, little-endian, and the line.
final class LedgerMerge {
    private struct Head {
        let ordinal: UInt64
        let run: Int
    }

    /// The size of a run's blocks: small, since a merge has one block of every run in memory.
    static let blockBytes = 64 << 10
    /// The memory for reading a run: its buffer, and an unpacked block that ends with a complete line.
    static let bytesPerRun = 192 << 10

    private let readers: [any LedgerSource]
    /// The current entry of each run.
    private var entries: [[UInt8]]
    /// A binary heap by ordinal.
    private var heap: [Head] = []

    convenience init(_ runs: [String], fileSystem: FileSystem) throws {
        let decompressor = FrameDecompressor()
        try self.init(runs.map { try BytesColumnReader($0, decompressor: decompressor, fileSystem: fileSystem) })
    }

    init(_ sources: [any LedgerSource]) throws {
        readers = sources
        entries = Array(repeating: [], count: sources.count)
        for run in readers.indices {
            guard let head = try pull(run) else { continue }
            heap.append(head)
            rise()
        }
    }

    /// The ordinal of the next line; nil at the end.
    var nextOrdinal: Ordinal? { heap.first.map { Ordinal(rawValue: $0.ordinal) } }

    /// Appends the next line to `lines` and moves past it.
    func takeLine(into lines: inout [UInt8]) throws {
        guard let first = heap.first else { return }
        lines.append(contentsOf: entries[first.run][8...])
        try advance()
    }

    /// Passes the next entry to `body` and moves past it.
    ///
    /// - Returns: false at the end.
    func takeEntry(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
        guard let first = heap.first else { return false }
        try entries[first.run].withUnsafeBytes(body)
        try advance()
        return true
    }

    /// Moves past the next line.
    func advance() throws {
        guard let first = heap.first else { return }
        if let head = try pull(first.run) {
            heap[0] = head
        } else {
            let last = heap.removeLast()
            if heap.isEmpty { return }
            heap[0] = last
        }
        sink()
    }

    private func pull(_ run: Int) throws -> Head? {
        entries[run].removeAll(keepingCapacity: true)
        guard try readers[run].next({ entries[run].append(contentsOf: $0) }) else { return nil }
        guard entries[run].count >= 8 else {
            throw EngineError(.fault, "a run of ledger lines has an entry without an ordinal")
        }
        let ordinal = entries[run].withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
        return Head(ordinal: ordinal, run: run)
    }

    /// Moves the last head up to its place.
    private func rise() {
        var child = heap.count - 1
        while child > 0, heap[child].ordinal < heap[(child - 1) / 2].ordinal {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Moves the first head down to its place.
    private func sink() {
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && heap[child].ordinal < heap[least].ordinal {
                least = child
            }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}

/// Ledger lines, sorted by ordinal: entries of 8 bytes of ordinal, little-endian, and the line.
protocol LedgerSource: AnyObject {
    /// Passes the next entry to `body`; false at the end.
    func next(_ body: (UnsafeRawBufferPointer) -> Void) throws(IOFailure) -> Bool
}

extension BytesColumnReader: LedgerSource {}
