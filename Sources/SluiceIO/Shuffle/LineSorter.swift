/// Sorts lines by keys, in bounded memory: an external merge sort.
///
/// Lines of equal keys stay in the order in which they were added, so the result does not depend on the memory. Lines are
/// collected in memory; when that is full they are sorted and written as a run, and at the end the runs are merged, in
/// several rounds if there are more than the memory has buffers for.
///
/// Memory: `memory` bytes; a line of any length takes no more, since one that is too long is a run of its own and is read
/// in pieces. Disk: keys and lines once if they don't fit in memory, and once more for each round of merging but the last.
public final class LineSorter {
    private struct Entry {
        /// The first bytes of the key, as a number that orders like them.
        let prefix: UInt64
        let start: Int
        let keyLength: Int
        let lineLength: Int
    }

    private let scratch: ScratchFolder
    private let memory: Int
    private let fileSystem: FileSystem
    private let isStopped: () -> Bool
    private var bytes: [UInt8] = []
    private var entries: [Entry] = []
    private var runs: [String] = []
    /// The number of lines.
    public private(set) var count = 0

    /// - Parameters:
    ///   - folder: a folder for temporary files; created if missing.
    ///   - memory: in bytes; at least 64 KiB are used.
    ///   - isStopped: asked often; if it returns true, the work ends with `.stopped`.
    public init(
        folder: String, memory: Int, fileSystem: FileSystem, isStopped: @escaping () -> Bool = { false }
    ) {
        scratch = ScratchFolder(in: folder, fileSystem: fileSystem)
        self.memory = max(64 << 10, memory)
        self.fileSystem = fileSystem
        self.isStopped = isStopped
    }

    public func add(key: UnsafeRawBufferPointer, line: UnsafeRawBufferPointer) throws(IOFailure) {
        if count == 0 {
            // Room for all at once: growing would briefly take more than the memory. Unused room takes none.
            bytes.reserveCapacity(memory * 3 / 4)
            entries.reserveCapacity(memory / 4 / MemoryLayout<Entry>.stride)
        }
        if count % 4096 == 0 { try MergeLimits.check(isStopped, scratch.path) }
        count += 1
        let size = key.count + line.count
        let share = memory * 3 / 4
        if bytes.count + size > share || (entries.count + 1) * MemoryLayout<Entry>.stride > memory / 4 {
            try writeRun()
        }
        guard size <= share else {
            let path = try scratch.newFile()
            var writer = try RunWriter(path, fileSystem)
            try writer.append(key: key, lineLength: line.count)
            try writer.append(line)
            try writer.finish()
            runs.append(path)
            return
        }
        entries.append(
            Entry(prefix: Self.prefix(key), start: bytes.count, keyLength: key.count, lineLength: line.count))
        bytes.append(contentsOf: key)
        bytes.append(contentsOf: line)
    }

    /// Hands out all lines in order. Call it once.
    ///
    /// - Parameter body: called with the key and a piece of its line; a long line comes in several pieces, one after the
    ///   other, of which the last is marked.
    public func forEach(
        _ body: (_ key: UnsafeRawBufferPointer, _ piece: UnsafeRawBufferPointer, _ isLast: Bool) throws -> Void
    ) throws {
        defer {
            scratch.remove()
            (bytes, entries) = ([], [])
        }
        guard !runs.isEmpty else {
            sort()
            try bytes.withUnsafeBytes { all in
                for (index, entry) in entries.enumerated() {
                    if index % 4096 == 0 { try MergeLimits.check(isStopped, scratch.path) }
                    let line = entry.start + entry.keyLength
                    try body(
                        UnsafeRawBufferPointer(rebasing: all[entry.start..<line]),
                        UnsafeRawBufferPointer(rebasing: all[line..<(line + entry.lineLength)]), true)
                }
            }
            return
        }
        try writeRun()
        (bytes, entries) = ([], [])
        let fanIn = MergeLimits.fanIn(memory: memory, perSource: RunReader.bufferBytes * 5 / 4)
        while runs.count > fanIn { try mergeSome(fanIn) }
        try merge(runs[...], body)
    }

    private func mergeSome(_ fanIn: Int) throws {
        // Neighbours, so that equal keys stay in their order.
        var next: [String] = []
        for start in stride(from: 0, to: runs.count, by: fanIn) {
            let group = runs[start..<min(start + fanIn, runs.count)]
            guard group.count > 1 else {
                next += group
                continue
            }
            let path = try scratch.newFile()
            var writer = try RunWriter(path, fileSystem)
            try merge(group) { head in
                try writer.append(key: head.key, lineLength: head.lineLength)
            } piece: {
                _, piece, _ in
                try writer.append(piece)
            }
            try writer.finish()
            next.append(path)
        }
        runs = next
    }

    private func merge(
        _ group: ArraySlice<String>,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer, Bool) throws -> Void
    ) throws { try merge(group, begin: { _ in }, piece: body) }

    private func merge(
        _ group: ArraySlice<String>, begin: ((key: UnsafeRawBufferPointer, lineLength: Int)) throws -> Void,
        piece: (UnsafeRawBufferPointer, UnsafeRawBufferPointer, Bool) throws -> Void
    ) throws {
        var readers: [RunReader] = []
        for (index, path) in group.enumerated() {
            readers.append(try RunReader(path, number: index, fileSystem))
            // It stays readable while it is open.
            try fileSystem.remove(path)
        }
        var heap = MergeHeap(readers)
        var done = 0
        while let reader = heap.first, let head = reader.head {
            if done % 4096 == 0 { try MergeLimits.check(isStopped, scratch.path) }
            done += 1
            try head.key.withUnsafeBytes { key in
                try begin((key, head.lineLength))
                var rest = head.lineLength
                repeat {
                    let part = try reader.next(atMost: rest)
                    rest -= part.count
                    try piece(key, part, rest == 0)
                } while rest > 0
            }
            try reader.advance()
            heap.settle()
        }
    }

    private func sort() {
        bytes.withUnsafeBytes { all in
            entries.sort { a, b in
                if a.prefix != b.prefix { return a.prefix < b.prefix }
                let order = compare(
                    UnsafeRawBufferPointer(rebasing: all[a.start..<(a.start + a.keyLength)]),
                    UnsafeRawBufferPointer(rebasing: all[b.start..<(b.start + b.keyLength)]))
                return order != 0 ? order < 0 : a.start < b.start
            }
        }
    }

    private func writeRun() throws(IOFailure) {
        guard !entries.isEmpty else { return }
        sort()
        let path = try scratch.newFile()
        let (sorted, fileSystem) = (entries, fileSystem)
        // Moved out, so that the memory has one owner.
        var content: [UInt8] = []
        swap(&content, &bytes)
        defer {
            content.removeAll(keepingCapacity: true)
            swap(&content, &bytes)
            entries.removeAll(keepingCapacity: true)
        }
        try content.span.bytes.withUnsafeBytes { all throws(IOFailure) in
            var writer = try RunWriter(path, fileSystem)
            for entry in sorted {
                let line = entry.start + entry.keyLength
                try writer.append(
                    key: UnsafeRawBufferPointer(rebasing: all[entry.start..<line]), lineLength: entry.lineLength)
                try writer.append(UnsafeRawBufferPointer(rebasing: all[line..<(line + entry.lineLength)]))
            }
            try writer.finish()
        }
        runs.append(path)
    }

    private static func prefix(_ key: UnsafeRawBufferPointer) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<8 { value = value << 8 | (index < key.count ? UInt64(key[index]) : 0) }
        return value
    }
}

/// Compares byte by byte; of two, of which one begins with the other, the shorter comes first.
private func compare(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    for index in 0..<min(a.count, b.count) where a[index] != b[index] { return Int(a[index]) - Int(b[index]) }
    return a.count - b.count
}

/// A run on disk: for each line the lengths of key and line, the key and the line.
private struct RunWriter: ~Copyable {
    private static let bufferBytes = 256 << 10
    private let file: OpenFile
    private var buffer: [UInt8] = []

    init(_ path: String, _ fileSystem: FileSystem) throws(IOFailure) {
        file = try fileSystem.create(path)
    }

    mutating func append(key: UnsafeRawBufferPointer, lineLength: Int) throws(IOFailure) {
        withUnsafeBytes(of: UInt64(key.count).littleEndian) { buffer.append(contentsOf: $0) }
        withUnsafeBytes(of: UInt64(lineLength).littleEndian) { buffer.append(contentsOf: $0) }
        try append(key)
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) throws(IOFailure) {
        guard buffer.count + bytes.count > Self.bufferBytes else { return buffer.append(contentsOf: bytes) }
        try drain()
        if bytes.count > Self.bufferBytes { try file.write(bytes) } else { buffer.append(contentsOf: bytes) }
    }

    private mutating func drain() throws(IOFailure) {
        try buffer.span.bytes.withUnsafeBytes { bytes throws(IOFailure) in try file.write(bytes) }
        buffer.removeAll(keepingCapacity: true)
    }

    mutating func finish() throws(IOFailure) { try drain() }
}

/// Reads a run: `head` is the next line's key; its line follows by `next`.
private final class RunReader: MergeSource {
    static let bufferBytes = 64 << 10

    struct Head: Comparable {
        let key: [UInt8]
        let lineLength: Int
        /// The place of the run among those that are merged.
        let run: Int

        static func < (a: Head, b: Head) -> Bool {
            let order = a.key.withUnsafeBytes { x in b.key.withUnsafeBytes { y in compare(x, y) } }
            return order != 0 ? order < 0 : a.run < b.run
        }
    }

    private(set) var head: Head?
    private let file: OpenFile
    private let path: String
    private let number: Int
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: RunReader.bufferBytes, alignment: 64)
    private var used = 0
    private var filled = 0

    init(_ path: String, number: Int, _ fileSystem: FileSystem) throws(IOFailure) {
        (self.path, self.number) = (path, number)
        file = try fileSystem.openForReading(path)
        try advance()
    }

    deinit { buffer.deallocate() }

    /// At most so many bytes, at least one unless none is asked for; valid until the next call.
    func next(atMost count: Int) throws(IOFailure) -> UnsafeRawBufferPointer {
        guard count > 0 else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        if used == filled { try fill() }
        guard used < filled else { throw Self.broken(path) }
        let end = min(filled, used + count)
        defer { used = end }
        return UnsafeRawBufferPointer(rebasing: buffer[used..<end])
    }

    /// Goes to the next line; all of the one before must have been read.
    func advance() throws(IOFailure) {
        if used == filled { try fill() }
        guard used < filled else {
            head = nil
            return
        }
        let keyLength = try number64(), lineLength = try number64()
        var key: [UInt8] = []
        key.reserveCapacity(keyLength)
        while key.count < keyLength { key.append(contentsOf: try next(atMost: keyLength - key.count)) }
        head = Head(key: key, lineLength: lineLength, run: number)
    }

    private func number64() throws(IOFailure) -> Int {
        var value: UInt64 = 0
        for index in 0..<8 { value |= UInt64(try next(atMost: 1)[0]) << (8 * UInt64(index)) }
        guard let number = Int(exactly: value) else { throw Self.broken(path) }
        return number
    }

    private func fill() throws(IOFailure) {
        filled = try file.read(into: buffer)
        used = 0
    }

    private static func broken(_ path: String) -> IOFailure {
        IOFailure(.corruptWorkFile, path: path, found: "it ends in the middle of a line")
    }
}
