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
        fanIn = MergeLimits.fanIn(memory: memory * 3 / 4, perSource: frameBytes + 24 << 10)
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
    /// - Parameter isStopped: asked often.
    /// - Throws: `.stopped` if asked to stop.
    func merge(
        isStopped: () -> Bool, _ body: (ContentKey, UnsafeRawBufferPointer) throws(IOFailure) -> Void
    ) throws(IOFailure) {
        if runs.isEmpty {
            entries.sort()
            for (number, entry) in entries.enumerated() {
                if number % ContentMerge.untilCheck == 0 { try MergeLimits.check(isStopped, folder) }
                try body(entry.key, content(of: entry))
            }
            entries = []
            return
        }
        try spill()
        entries = []
        pending.release()
        let merge = ContentMerge(
            fanIn: fanIn, frameBytes: frameBytes, compressor: compressor, fileSystem: fileSystem)
        let sources = runs.map { ContentMerge.Source.run($0) }
        runs = []
        try merge(sources, newRun: { nextName() }, isStopped: isStopped, body)
    }
}
