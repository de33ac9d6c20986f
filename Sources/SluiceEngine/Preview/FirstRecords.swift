import Glibc
import SluiceCore
import SluiceIO

/// The first records of some inputs, as if the inputs ended there: for a look at what a definition does.
///
/// They are read when it is made, each as a line, into a file that has no name and goes with the process. Line numbers stay;
/// an input after the last record is empty. So a stream can be read twice, too.
final class FirstRecords: InputStore {
    private let store: any InputStore
    private let lines: UnnamedFile
    /// The part of the file that holds an input's lines.
    private let ranges: [String: Range<UInt64>]

    /// - Parameters:
    ///   - limit: the most records, over all inputs; malformed lines count.
    ///   - paths: of the inputs, in their order.
    init(_ limit: Int, of paths: [String], in store: any InputStore, maxRecord: Int) throws {
        self.store = store
        let lines = try UnnamedFile()
        var ranges: [String: Range<UInt64>] = [:]
        var left = limit
        for path in paths {
            let start = lines.size
            if left > 0 { try Self.copy(path, in: store, maxRecord: maxRecord, to: lines, &left) }
            ranges[path] = start..<lines.size
        }
        try lines.flush()
        (self.lines, self.ranges) = (lines, ranges)
    }

    private static func copy(
        _ path: String, in store: any InputStore, maxRecord: Int, to file: UnnamedFile, _ left: inout Int
    ) throws {
        let reader = BlockReader(try store.openInput(path), limits: FramingLimits(maxRecord: maxRecord), firstLine: 1)
        let block = RawBlock()
        var next: UInt64 = 1
        func write(_ line: UInt64, _ bytes: UnsafeRawBufferPointer, padding: Int = 0) throws(IOFailure) {
            guard left > 0 else { return }
            // Blank lines are no records, and have numbers.
            while next < line {
                try file.append([0x0A])
                next += 1
            }
            try file.append(bytes)
            if padding > 0 { try file.append([UInt8](repeating: 0x20, count: padding)) }
            try file.append([0x0A])
            next += 1
            left -= 1
        }
        while left > 0, try reader.next(into: block, mayHold: { _ in true }) == .block {
            for line in block.lines { try write(block.lineNumber(of: line), block.bytes(of: line)) }
            for long in block.overlong {
                // Long enough to be refused again.
                try long.head.withUnsafeBytes { head in
                    try write(long.line, head, padding: max(0, maxRecord + 1 - head.count))
                }
            }
        }
    }

    func inputs(matching pattern: String) throws(IOFailure) -> [String] { try store.inputs(matching: pattern) }

    func status(ofInput path: String) throws(IOFailure) -> InputStatus? {
        guard var status = try store.status(ofInput: path), let range = ranges[path] else { return nil }
        (status.size, status.isStream) = (UInt64(range.count), false)
        return status
    }

    func open(input path: String) throws(IOFailure) -> any InputFile {
        LimitedInput(path: path, lines: lines, range: ranges[path] ?? 0..<0)
    }
}

/// The lines of one input.
private final class LimitedInput: InputFile, @unchecked Sendable {
    // @unchecked: only one thread reads in order, which alone uses `next`.
    let path: String
    private let lines: UnnamedFile
    private let range: Range<UInt64>
    private var next: UInt64 = 0

    init(path: String, lines: UnnamedFile, range: Range<UInt64>) {
        self.path = path
        self.lines = lines
        self.range = range
    }

    var isPlain: Bool { true }

    func size() throws(IOFailure) -> UInt64? { UInt64(range.count) }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        let count = try read(into: buffer, at: next)
        next += UInt64(count)
        return count
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(IOFailure) -> Int {
        guard offset < UInt64(range.count) else { return 0 }
        let most = min(buffer.count, range.count - Int(offset))
        return try lines.read(
            into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<most]), at: range.lowerBound + offset)
    }
}

/// A temporary file that the system removes with the process, however that ends.
private final class UnnamedFile: @unchecked Sendable {
    // @unchecked: one thread writes, before any reads.
    private let descriptor: Int32
    private let folder: String
    private var buffer: [UInt8] = []
    private(set) var size: UInt64 = 0

    init() throws(IOFailure) {
        folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var path = Array("\(folder)/sluice-XXXXXX".utf8CString)
        descriptor = mkstemp(&path)
        guard descriptor >= 0, fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else {
            throw IOFailure(
                .cannotWrite, path: folder, errno: errno,
                found: "no temporary file could be made: \(String(cString: strerror(errno)))",
                advice: "Name another folder for temporary files in TMPDIR.")
        }
        unlink(path)
    }

    deinit { close(descriptor) }

    func append(_ bytes: some Sequence<UInt8>) throws(IOFailure) {
        let before = buffer.count
        buffer.append(contentsOf: bytes)
        size += UInt64(buffer.count - before)
        if buffer.count >= 1 << 20 { try flush() }
    }

    func flush() throws(IOFailure) {
        var done = 0
        while done < buffer.count {
            let count = buffer[done...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw IOFailure(
                    errno == ENOSPC ? .diskFull : .cannotWrite, path: folder, errno: errno,
                    found: "a temporary file can't be written: \(String(cString: strerror(errno)))",
                    advice: "Name another folder for temporary files in TMPDIR.")
            }
            done += count
        }
        buffer.removeAll(keepingCapacity: true)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(IOFailure) -> Int {
        while true {
            let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset))
            if count >= 0 { return count }
            guard errno == EINTR else {
                throw IOFailure(
                    .cannotRead, path: folder, errno: errno,
                    found: "a temporary file can't be read: \(String(cString: strerror(errno)))")
            }
        }
    }
}
