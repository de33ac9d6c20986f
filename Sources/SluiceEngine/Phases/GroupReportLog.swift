import SluiceCore
import SluiceIO

/// Group reports in a compact form, so that those of a million groups are kept on disk and not in memory.
struct GroupReportChunk: Sendable {
    private(set) var bytes: [UInt8] = []
    private(set) var count = 0

    init() {}

    init(bytes: [UInt8], count: Int) { (self.bytes, self.count) = (bytes, count) }

    func makeReader() -> GroupReportReader { GroupReportReader(bytes) }

    mutating func append(_ report: GroupReport) {
        count += 1
        put(report.size)
        put(report.kept)
        put(report.report)
    }

    private mutating func put(_ number: Int) {
        withUnsafeBytes(of: Int64(number).littleEndian) { bytes.append(contentsOf: $0) }
    }

    private mutating func put(_ text: String) {
        put(text.utf8.count)
        bytes.append(contentsOf: text.utf8)
    }

    private mutating func put(_ report: JSONValue) {
        switch report {
        case .null: bytes.append(0)
        case .flag(let value): bytes.append(value ? 2 : 1)
        case .integer(let value):
            bytes.append(3)
            put(value)
        case .real(let value):
            bytes.append(4)
            put(Int(Int64(bitPattern: value.bitPattern)))
        case .text(let value):
            bytes.append(5)
            put(value)
        case .list(let values):
            bytes.append(6)
            put(values.count)
            for value in values { put(value) }
        case .object(let entries):
            bytes.append(7)
            put(entries.count)
            for entry in entries {
                put(entry.key)
                put(entry.value)
            }
        }
    }
}

/// Reads the reports of a chunk. The engine wrote the bytes, and their checksum has been verified.
struct GroupReportReader {
    private let bytes: [UInt8]
    private var at = 0

    fileprivate init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The next report; its key is in the table of groups.
    mutating func next() -> (size: Int, kept: Int, report: JSONValue)? {
        guard at < bytes.count else { return nil }
        return (number(), number(), report())
    }

    private mutating func number() -> Int {
        guard at + 8 <= bytes.count else {
            at = bytes.count
            return 0
        }
        defer { at += 8 }
        return bytes.withUnsafeBytes { Int(Int64(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: Int64.self))) }
    }

    private mutating func text() -> String {
        let end = min(bytes.count, at + max(0, number() + 8))
        defer { at = max(at, end) }
        return at < end ? String(decoding: bytes[at..<end], as: UTF8.self) : ""
    }

    private mutating func report() -> JSONValue {
        guard at < bytes.count else { return .null }
        let tag = bytes[at]
        at += 1
        switch tag {
        case 1: return .flag(false)
        case 2: return .flag(true)
        case 3: return .integer(number())
        case 4: return .real(Double(bitPattern: UInt64(bitPattern: Int64(number()))))
        case 5: return .text(text())
        case 6: return .list((0..<max(0, number())).map { _ in report() })
        case 7:
            return .object(
                (0..<max(0, number())).map { _ in
                    let key = text()
                    return JSONValue.Entry(key, report())
                })
        default: return .null
        }
    }
}

/// A box for a file, since an optional of it can't be borrowed.
private final class SharedFile {
    let file: OpenFile
    init(_ file: consuming OpenFile) { self.file = file }
}

/// The reports of all groups of a selection, in the order of `append`.
final class GroupReportLog: @unchecked Sendable {
    // Written by one thread; read only after the last `append`.
    private let path: String
    private let fileSystem: FileSystem
    private var pending: [UInt8] = []
    private var chunks: [Range<UInt64>] = []
    private var sums: [ContentHash] = []
    private var size: UInt64 = 0
    private var file: SharedFile?
    private var count = 0
    /// The error of reading them: an iterator can't throw.
    private(set) var failure: IOFailure?

    private static let chunkBytes = 1 << 20

    init(path: String, fileSystem: FileSystem) {
        self.path = path
        self.fileSystem = fileSystem
    }

    func append(_ chunk: GroupReportChunk) throws(IOFailure) {
        pending += chunk.bytes
        count += chunk.count
        if pending.count >= Self.chunkBytes { try spill() }
    }

    private func spill() throws(IOFailure) {
        if file == nil { file = SharedFile(try fileSystem.create(path)) }
        guard let file else { return }
        let (bytes, at) = (pending, size)
        pending = []
        let result = bytes.withUnsafeBytes { bytes -> Result<Void, IOFailure> in
            do throws(IOFailure) { return .success(try file.file.write(bytes, at: at)) } catch {
                return .failure(error)
            }
        }
        try result.get()
        sums.append(bytes.withUnsafeBytes { XXHash.hash128($0) })
        chunks.append(size..<(size + UInt64(bytes.count)))
        size += UInt64(bytes.count)
    }

    /// All reports in one piece.
    func all() throws(IOFailure) -> GroupReportChunk {
        var bytes: [UInt8] = []
        for chunk in 0...chunks.count {
            guard let more = self.bytes(of: chunk) else { break }
            bytes += more
        }
        if let failure { throw failure }
        return GroupReportChunk(bytes: bytes, count: count)
    }

    /// - Parameter key: the key of the group whose report was appended at an index.
    func reports(_ key: @escaping @Sendable (Int) -> GroupKey) -> GroupReports {
        GroupReports(count: count) { [self] in
            var (chunk, index) = (0, 0)
            var reader = GroupReportReader([])
            return AnyIterator {
                while true {
                    if let (size, kept, report) = reader.next() {
                        defer { index += 1 }
                        return GroupReport(key: key(index), size: size, kept: kept, report: report)
                    }
                    guard chunk <= self.chunks.count, let bytes = self.bytes(of: chunk) else { return nil }
                    chunk += 1
                    reader = GroupReportReader(bytes)
                }
            }
        }
    }

    /// The bytes of a chunk; those still in memory are the last ones.
    private func bytes(of chunk: Int) -> [UInt8]? {
        guard chunk < chunks.count, let file else { return pending }
        var bytes = [UInt8](repeating: 0, count: chunks[chunk].count)
        do throws(IOFailure) {
            let at = chunks[chunk].lowerBound
            let got = try bytes.withUnsafeMutableBytes { buffer in
                Result<Int, IOFailure> { () throws(IOFailure) in try file.file.read(into: buffer, at: at) }
            }.get()
            guard got == bytes.count, bytes.withUnsafeBytes({ XXHash.hash128($0) }) == sums[chunk] else {
                throw IOFailure(.corruptWorkFile, path: path, found: "this work file is damaged")
            }
            return bytes
        } catch {
            failure = failure ?? error
            return nil
        }
    }
}
