/// The last 32 bytes of a work file: magic, number of items, XXH3-64 of all bytes before, XXH3-64 of the footer so far.
///
/// A file without a valid footer was not completed, or was changed later.
struct WorkFooter {
    static let size = 32
    static let magic: UInt64 = 0x444E_4543_4955_4C53  // "SLUICEND" in a file
    var count: UInt64
    var checksum: UInt64

    func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws(IOFailure) -> R) throws(IOFailure) -> R {
        var words: (UInt64, UInt64, UInt64, UInt64) = (
            Self.magic.littleEndian, count.littleEndian, checksum.littleEndian, 0
        )
        words.3 =
            withUnsafeBytes(of: &words) { XXHash.hash64(UnsafeRawBufferPointer(rebasing: $0[..<24])) }.littleEndian
        return try withUnsafeBytes(of: &words) { bytes throws(IOFailure) in try body(bytes) }
    }

    /// Reads the footer of a file and verifies the footer's own checksum.
    static func read(_ file: borrowing OpenFile, size: UInt64) throws(IOFailure) -> WorkFooter {
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        guard size >= UInt64(Self.size) else { throw broken(file.path, size, "it is too short") }
        let at = size - UInt64(Self.size)
        let got = try withUnsafeMutableBytes(of: &words) { buffer throws(IOFailure) in
            try file.read(into: buffer, at: at)
        }
        let hash = withUnsafeBytes(of: &words) { XXHash.hash64(UnsafeRawBufferPointer(rebasing: $0[..<24])) }
        guard got == Self.size, UInt64(littleEndian: words.0) == magic, UInt64(littleEndian: words.3) == hash else {
            throw broken(file.path, at, "its footer is missing or damaged")
        }
        return WorkFooter(count: UInt64(littleEndian: words.1), checksum: UInt64(littleEndian: words.2))
    }

    static func broken(_ path: String, _ offset: UInt64, _ what: String) -> IOFailure {
        IOFailure(
            .corruptWorkFile, path: path, offset: offset, found: "this work file can't be used: \(what)",
            advice: "Remove it and run the stage again.")
    }
}

/// Takes the items of a work file, as bytes.
protocol WorkOutput: ~Copyable {
    mutating func append(_ bytes: UnsafeRawBufferPointer) throws(IOFailure)
    mutating func add(items: Int)
}

/// Returns the items of a work file, as bytes.
protocol WorkInput: AnyObject {
    var path: String { get }
    /// Bytes of items still to be read.
    var remaining: UInt64 { get }
    /// Whether all items have been read and verified.
    func isAtEnd() throws(IOFailure) -> Bool
    /// The next bytes, valid until the next call.
    func next(_ count: Int) throws(IOFailure) -> UnsafeRawBufferPointer
}

/// Writes a work file: a header, items, a footer. `finish()` gives the complete file its name.
struct WorkFileWriter: ~Copyable, WorkOutput {
    private var file: AtomicFile
    private let memory: Scratch
    private var buffer: UnsafeMutableRawBufferPointer { memory.bytes }
    private var used = 0
    private var hash = XXHashStream()
    private(set) var count: UInt64 = 0
    private(set) var bytesWritten: UInt64 = 0

    /// - Parameter header: the bytes that the reader expects, at least a magic of eight bytes.
    init(_ path: String, header: [UInt8], bufferBytes: Int = 64 << 10, fileSystem: FileSystem) throws(IOFailure) {
        file = try AtomicFile(path, fileSystem: fileSystem)
        memory = Scratch(max(1024, bufferBytes))
        for (at, byte) in header.enumerated() { buffer[at] = byte }
        used = header.count
    }

    mutating func add(items: Int) { count += UInt64(items) }

    mutating func append(_ bytes: UnsafeRawBufferPointer) throws(IOFailure) {
        if used + bytes.count > buffer.count { try drain() }
        if bytes.count > buffer.count {
            hash.update(bytes)
            try file.write(bytes)
            bytesWritten += UInt64(bytes.count)
            return
        }
        if let base = bytes.baseAddress { (buffer.baseAddress! + used).copyMemory(from: base, byteCount: bytes.count) }
        used += bytes.count
    }

    private mutating func drain() throws(IOFailure) {
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<used])
        hash.update(bytes)
        try file.write(bytes)
        bytesWritten += UInt64(used)
        used = 0
    }

    consuming func finish() throws(IOFailure) {
        try drain()
        let footer = WorkFooter(count: count, checksum: hash.digest64)
        try footer.withBytes { bytes throws(IOFailure) in try file.write(bytes) }
        try file.commit()
    }
}

/// Reads a work file sequentially and verifies its checksum on the way.
final class WorkFileReader: WorkInput {
    private let file: OpenFile
    private let memory: Scratch
    private var buffer: UnsafeMutableRawBufferPointer { memory.bytes }
    private var start = 0
    private var end = 0
    private var position: UInt64 = 0
    private let bodyEnd: UInt64
    private var hash = XXHashStream()
    private let footer: WorkFooter
    var path: String { file.path }
    /// The number of items according to the footer.
    var count: UInt64 { footer.count }
    /// Bytes of items still to be read.
    var remaining: UInt64 { UInt64(end - start) + (bodyEnd - position) }

    init(_ path: String, header: [UInt8], bufferBytes: Int = 64 << 10, fileSystem: FileSystem) throws(IOFailure) {
        let opened = try fileSystem.openForReading(path)
        let size = try opened.status().size
        footer = try WorkFooter.read(opened, size: size)
        file = consume opened
        bodyEnd = size - UInt64(WorkFooter.size)
        memory = Scratch(max(1024, bufferBytes))
        try fill(atLeast: header.count)
        guard end - start >= header.count, buffer[..<header.count].elementsEqual(header) else {
            throw WorkFooter.broken(path, 0, "its header has another kind or version")
        }
        start = header.count
    }

    private func fill(atLeast count: Int) throws(IOFailure) {
        guard end - start < count else { return }
        if start > 0 {
            buffer.baseAddress!.copyMemory(from: buffer.baseAddress! + start, byteCount: end - start)
            end -= start
            start = 0
        }
        if count > buffer.count {
            memory.grow(to: count, keeping: end)
        }
        while end < count, position < bodyEnd {
            let room = Int(min(UInt64(buffer.count - end), bodyEnd - position))
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[end..<(end + room)])
            let got = try file.read(into: target, at: position)
            if got == 0 { break }
            hash.update(UnsafeRawBufferPointer(rebasing: target[..<got]))
            position += UInt64(got)
            end += got
        }
    }

    /// Whether all items have been read; if so, the checksum has been verified.
    func isAtEnd() throws(IOFailure) -> Bool {
        try fill(atLeast: 1)
        if end > start { return false }
        guard position == bodyEnd, hash.digest64 == footer.checksum else {
            throw WorkFooter.broken(file.path, 0, "its checksum is wrong")
        }
        return true
    }

    /// The next bytes, valid until the next call.
    func next(_ count: Int) throws(IOFailure) -> UnsafeRawBufferPointer {
        guard UInt64(count) <= remaining else {
            throw WorkFooter.broken(file.path, position, "it ends inside an item")
        }
        try fill(atLeast: count)
        guard end - start >= count else { throw WorkFooter.broken(file.path, position, "it ends inside an item") }
        defer { start += count }
        return UnsafeRawBufferPointer(rebasing: buffer[start..<(start + count)])
    }
}

/// A buffer that is deallocated with its owner.
final class Scratch {
    private(set) var bytes: UnsafeMutableRawBufferPointer

    init(_ count: Int) { bytes = .allocate(byteCount: count, alignment: 64) }

    deinit { bytes.deallocate() }

    func grow(to count: Int, keeping kept: Int) {
        guard count > bytes.count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
        if kept > 0 { larger.baseAddress!.copyMemory(from: bytes.baseAddress!, byteCount: kept) }
        bytes.deallocate()
        bytes = larger
    }

    /// Frees the memory now.
    func release() {
        bytes.deallocate()
        bytes = .allocate(byteCount: 0, alignment: 64)
    }
}
