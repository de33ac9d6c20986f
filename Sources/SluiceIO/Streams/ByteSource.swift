import CZstd

/// The compression of a file, recognised by its first bytes.
public enum StreamFormat: String, Sendable {
    case plain, gzip, zstd

    /// - Parameter start: the first bytes of the file, at least 4 if it has them.
    init(start: [UInt8]) {
        self = isZstd(start) ? .zstd : start.starts(with: [0x1F, 0x8B]) ? .gzip : .plain
    }
}

/// A stream of bytes, unpacked if the file is compressed.
///
/// A source belongs to one thread at a time.
public protocol ByteSource: AnyObject {
    /// The file's name, for messages.
    var path: String { get }
    var format: StreamFormat { get }
    /// The bytes of the file on disk used up so far; for progress.
    var fileOffset: UInt64 { get }
    /// The offset in the unpacked file of the first byte that `read` returns; known once it has returned bytes or the
    /// stream has ended. Above 0 for a later part of a file.
    var firstByte: UInt64 { get }

    /// Fills `buffer` from its start, with at least one byte unless the stream has ended.
    ///
    /// - Returns: the number of bytes; 0 at the end and in all later calls.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int

    /// Whether `read` returned 0 because the stream needs a large window and may not have one yet (see `WindowGate`),
    /// not because it has ended.
    var isWaiting: Bool { get }

    /// Does a piece of the work that `read` will need. Any thread may call it, at the same time as the reader.
    ///
    /// - Returns: whether there was work to do.
    func unpackAhead() -> Bool
}

extension ByteSource {
    public var firstByte: UInt64 { 0 }
    public var isWaiting: Bool { false }
    public func unpackAhead() -> Bool { false }
}

/// Whether a stream may use the memory of a large zstd window. Of several open streams, one may.
public final class WindowGate: @unchecked Sendable {
    // @unchecked: only the thread that reads the stream opens and closes it.
    public var isOpen = false
    /// Windows up to this size, as a power of two, need no permission.
    public let freeLog: Int

    public init(freeLog: Int) { self.freeLog = freeLog }
}

/// Options for opening inputs.
public struct InputOptions: Sendable {
    /// The largest zstd window allowed, as a power of two: the most memory that a frame may require.
    public var windowLogMax: Int
    /// Checked before a frame with a large window starts; nil if all windows up to `windowLogMax` may be used at once.
    public var gate: WindowGate?
    /// The most bytes read from a file at once.
    public var bufferBytes: Int
    /// Receives the bytes of the file on disk as they are read.
    public var digest: FileDigest?
    /// The most frames of a zstd file that are unpacked ahead of the reader (see `ByteSource.unpackAhead`); 0 and 1
    /// mean none.
    public var readAheadFrames: Int
    /// The most bytes for frames read ahead, in both forms.
    public var readAheadBytes: Int
    /// Asked while a pipe or terminal has no bytes to read; if it returns true, the read fails with `.stopped`. Nil if
    /// such a read may wait for ever.
    public var isStopped: (@Sendable () -> Bool)?

    public init(
        windowLogMax: Int = 27, bufferBytes: Int = 256 << 10, digest: FileDigest? = nil, gate: WindowGate? = nil,
        readAheadFrames: Int = 0, readAheadBytes: Int = .max
    ) {
        self.gate = gate
        self.readAheadFrames = readAheadFrames
        self.readAheadBytes = readAheadBytes
        self.windowLogMax = windowLogMax
        self.bufferBytes = max(64, bufferBytes)
        self.digest = digest
    }
}

extension InputStore {
    /// Opens an input and unpacks it: zstd and gzip are recognised by the first bytes, not by the name.
    ///
    /// An empty file is an empty stream, unless its name implies compressed data, which never has 0 bytes.
    ///
    /// - Throws: `.truncatedStream` for such a file; `.notCompressed` if the name ends in `.zst` or `.gz` but the
    ///   content is something else.
    public func openInput(_ path: String, options: InputOptions = InputOptions()) throws(IOFailure) -> any ByteSource {
        let input = RawInput(
            file: try open(input: path), capacity: options.bufferBytes, range: nil, digest: options.digest)
        if let isStopped = options.isStopped, try input.file.size() == nil { input.isStopped = isStopped }
        return try makeSource(input, options: options, named: path)
    }

    /// Opens one frame, or consecutive complete frames, of a zstd file; see `zstdFrames(of:)`.
    public func openInput(
        _ path: String, range: Range<UInt64>, options: InputOptions = InputOptions()
    ) throws(IOFailure) -> any ByteSource {
        let input = RawInput(
            file: try open(input: path), capacity: options.bufferBytes, range: range, digest: options.digest)
        return try makeSource(input, options: options, named: path)
    }

    private func makeSource(_ input: RawInput, options: InputOptions, named path: String) throws(IOFailure)
        -> any ByteSource
    {
        try input.fill(atLeast: 4)
        let start = Array(input.available.prefix(8))
        let format = StreamFormat(start: start)
        if format == .zstd {
            if input.range == nil, options.readAheadFrames > 1, input.file.seeksFreely,
                let size = try input.file.size(),
                let ahead = try FrameReadAhead(input.file, 0..<size, options: options)
            {
                // It reads the file from its beginning, as does its digest.
                options.digest?.reset()
                return ahead
            }
            return try ZstdSource(input, options: options)
        }
        if format == .gzip { return try GzipSource(input) }
        for (ending, name) in [(".zst", "zstd"), (".zstd", "zstd"), (".gz", "gzip")]
        where path.utf8.suffix(ending.utf8.count).elementsEqual(ending.utf8) && input.range == nil
            && !input.file.isPlain
        {
            guard !start.isEmpty else {
                throw IOFailure(
                    .truncatedStream, path: path, offset: 0, found: "the file is empty, and so not a \(name) file",
                    advice: "It looks like a failed download; download it again.")
            }
            throw IOFailure(
                .notCompressed, path: path, offset: input.range?.lowerBound ?? 0,
                found: "named \(ending) but starts with \(shown(start)), which is not \(name) data",
                advice: "Rename the file, or create it again.")
        }
        return PlainSource(input)
    }
}

/// Whether a file that starts with these bytes is a zstd file; skippable frames count.
func isZstd(_ start: [UInt8]) -> Bool {
    guard start.count >= 4 else { return false }
    return start.starts(with: [0x28, 0xB5, 0x2F, 0xFD])
        || (start[0] & 0xF0 == 0x50 && start[1] == 0x2A && start[2] == 0x4D && start[3] == 0x18)
}

/// Bytes for messages: quoted if they are text, else in hexadecimal.
func shown(_ bytes: [UInt8]) -> String {
    if bytes.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) { return "«\(String(decoding: bytes, as: UTF8.self))»" }
    return bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
}

/// The file under a source: one buffer, filled from the file and consumed from its front.
final class RawInput {
    let file: any InputFile
    /// The part of the file to read; nil for all of it.
    let range: Range<UInt64>?
    private let digest: FileDigest?
    private let buffer: UnsafeMutableRawBufferPointer
    /// The available bytes: `start ..< end` of the buffer.
    private(set) var start = 0
    private(set) var end = 0
    /// The file position of `end`.
    private var position: UInt64
    private(set) var atEnd = false
    /// Asked while there are no bytes to read; nil if a read may wait for ever.
    var isStopped: (@Sendable () -> Bool)?

    var path: String { file.path }
    var available: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: buffer[start..<end]) }
    /// The file position of the first available byte.
    var offset: UInt64 { position - UInt64(end - start) }

    init(file: any InputFile, capacity: Int, range: Range<UInt64>?, digest: FileDigest? = nil) {
        self.file = file
        self.digest = digest
        self.range = range
        position = range?.lowerBound ?? 0
        buffer = .allocate(byteCount: capacity, alignment: 64)
    }

    deinit { buffer.deallocate() }

    func use(_ count: Int) { start += count }

    /// Makes this many bytes available, if the file has them; `count` is far below the capacity.
    func fill(atLeast count: Int) throws(IOFailure) {
        while end - start < count, !atEnd {
            if start > 0 {
                buffer.baseAddress!.copyMemory(from: buffer.baseAddress! + start, byteCount: end - start)
                end -= start
                start = 0
            }
            let got = try readMore(UnsafeMutableRawBufferPointer(rebasing: buffer[end...]))
            end += got
        }
    }

    /// Reads directly into the caller's memory; only when no bytes are available in the buffer.
    func readMore(_ target: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        let got: Int
        if let range {
            let room = Int(min(UInt64(target.count), range.upperBound - position))
            got =
                room == 0
                ? 0 : try file.read(into: UnsafeMutableRawBufferPointer(rebasing: target[..<room]), at: position)
        } else {
            try waitForBytes()
            got = try file.read(into: target)
        }
        if got == 0 { atEnd = true }
        digest?.update(UnsafeRawBufferPointer(rebasing: target[..<got]))
        position += UInt64(got)
        return got
    }

    /// Waits until a read would not wait.
    private func waitForBytes() throws(IOFailure) {
        guard let isStopped else { return }
        while !file.hasBytes(within: 100) {
            if isStopped() { throw IOFailure(.stopped, path: path, found: "reading was stopped") }
        }
    }

    func usedDirectly() { start = 0; end = 0 }
}

/// An uncompressed file.
final class PlainSource: ByteSource {
    private let input: RawInput
    let format = StreamFormat.plain
    var path: String { input.path }
    var fileOffset: UInt64 { input.offset }

    init(_ input: RawInput) { self.input = input }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        let ready = input.available
        if ready.isEmpty {
            if input.atEnd { return 0 }
            input.usedDirectly()
            return try input.readMore(buffer)
        }
        let count = min(ready.count, buffer.count)
        buffer.baseAddress!.copyMemory(from: ready.baseAddress!, byteCount: count)
        input.use(count)
        return count
    }
}
