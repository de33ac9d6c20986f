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
        var next: UInt64 = 1
        try store.forEachLine(of: path, maxRecord: maxRecord) { line in
            // Blank lines are no records, and have numbers.
            while next < line.number {
                try file.append([0x0A])
                next += 1
            }
            try file.append(line.bytes)
            // Long enough to be refused again.
            let padding = line.isWhole ? 0 : max(0, maxRecord + 1 - line.bytes.count)
            if padding > 0 { try file.append([UInt8](repeating: 0x20, count: padding)) }
            try file.append([0x0A])
            next += 1
            left -= 1
            return left > 0
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
