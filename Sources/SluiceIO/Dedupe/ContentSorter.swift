import SluiceCore

/// Sorts any number of contents by key within a memory budget: writes sorted runs to disk and merges them.
///
/// Disk: the contents and 40 bytes for each, compressed. Twice that if there are more runs than the budget has buffers
/// for, since they are first merged into fewer: above some 10 GB with 64 MiB.
final class ContentSorter {
    private struct Entry: Comparable {
        var key: ContentKey
        var start: Int
        var count: Int

        static func < (a: Entry, b: Entry) -> Bool { a.key < b.key }
    }

    private let folder: String
    private let fileSystem: FileSystem
    private let compressor = FrameCompressor(level: 1)
    private let frameBytes: Int
    /// Contents to be sorted; `entries` holds their positions.
    private let pending: Scratch
    private var used = 0
    private var entries: [Entry] = []
    private let mostEntries: Int
    /// The most runs that can be merged at a time.
    private let fanIn: Int
    private var runs: [String] = []
    private var made = 0
    /// Contents between two calls of `pause`: a few milliseconds of work, unless they are large.
    private static let untilPause = 1024

    /// - Parameters:
    ///   - folder: a folder used for the runs only; created if missing.
    ///   - memory: the budget in bytes, at least 256 KiB; a content larger than that exceeds it by its size.
    init(folder: String, memory: Int, fileSystem: FileSystem) throws(IOFailure) {
        let memory = max(256 << 10, memory)
        self.folder = folder
        self.fileSystem = fileSystem
        frameBytes = min(64 << 10, memory / 32)
        pending = Scratch(memory / 2)
        // Sorting needs half as much on top.
        mostEntries = max(64, memory / 4 / (MemoryLayout<Entry>.stride * 3 / 2))
        fanIn = max(2, memory * 3 / 4 / (frameBytes + 24 << 10))
        try fileSystem.makeFolder(folder)
    }

    func append(_ key: ContentKey, _ content: UnsafeRawBufferPointer) throws(IOFailure) {
        if entries.count == mostEntries || used + content.count > pending.bytes.count { try spill() }
        pending.grow(to: content.count, keeping: used)
        UnsafeMutableRawBufferPointer(rebasing: pending.bytes[used...]).copyMemory(from: content)
        // Doubling could exceed the budget by half, so the last step stops at the limit.
        if entries.count == entries.capacity {
            entries.reserveCapacity(min(mostEntries, max(4096, entries.count * 2)))
        }
        entries.append(Entry(key: key, start: used, count: content.count))
        used += content.count
    }

    private func spill() throws(IOFailure) {
        guard !entries.isEmpty else { return }
        entries.sort()
        let path = nextName()
        var writer = try ContentRunWriter(path, frameBytes: frameBytes, compressor: compressor, fileSystem: fileSystem)
        for entry in entries { try writer.append(entry.key, content(of: entry)) }
        try writer.finish()
        runs.append(path)
        entries.removeAll(keepingCapacity: true)
        used = 0
    }

    private func content(of entry: Entry) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: pending.bytes[entry.start..<(entry.start + entry.count)])
    }

    private func nextName() -> String {
        made += 1
        return "\(folder)/run-\(made)"
    }

    /// Passes all contents to `body` in key order, then removes the runs. A content is valid while `body` runs.
    ///
    /// - Parameter pause: called often; an error that it throws ends the merge.
    func merge(
        _ pause: () throws -> Void, _ body: (ContentKey, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        if runs.isEmpty {
            entries.sort()
            for (number, entry) in entries.enumerated() {
                if number % Self.untilPause == 0 { try pause() }
                try body(entry.key, content(of: entry))
            }
            entries = []
            return
        }
        try spill()
        entries = []
        pending.release()
        while runs.count > fanIn {
            let some = Array(runs.prefix(fanIn))
            let path = nextName()
            var writer = try ContentRunWriter(
                path, frameBytes: frameBytes, compressor: compressor, fileSystem: fileSystem)
            var merger = try ContentMerger(some, fileSystem: fileSystem)
            while let (key, content) = try merger.next() {
                if merger.count % Self.untilPause == 0 { try pause() }
                try writer.append(key, content)
            }
            try writer.finish()
            for name in some { try fileSystem.remove(name) }
            runs.removeFirst(some.count)
            runs.append(path)
        }
        var merger = try ContentMerger(runs, fileSystem: fileSystem)
        while let (key, content) = try merger.next() {
            if merger.count % Self.untilPause == 0 { try pause() }
            try body(key, content)
        }
        for name in runs { try fileSystem.remove(name) }
        runs = []
    }
}

/// Merges runs of contents.
private struct ContentMerger {
    private var heap: MergeHeap<ContentRunReader>
    private let unpacker = FrameUnpacker()
    /// The run of the content returned last.
    private var given: ContentRunReader?
    /// The number of contents returned.
    private(set) var count = 0

    init(_ paths: [String], fileSystem: FileSystem) throws(IOFailure) {
        var runs: [ContentRunReader] = []
        for path in paths { runs.append(try ContentRunReader(path, fileSystem: fileSystem)) }
        heap = MergeHeap(runs)
    }

    /// - Returns: a content that is valid until the next call; nil at the end.
    mutating func next() throws(IOFailure) -> (ContentKey, UnsafeRawBufferPointer)? {
        if let given {
            try given.advance()
            heap.settle()
        }
        given = heap.first
        guard let run = given, let key = run.head else { return nil }
        count += 1
        return (key, try run.content(unpacker))
    }
}
