import Glibc
import SluiceCore
import Synchronization
import Testing

@testable import SluiceIO

/// A folder that is removed after the test.
final class TemporaryFolder {
    let path: String
    private static let counter = Atomic<Int>(0)

    init() {
        let number = Self.counter.add(1, ordering: .relaxed).newValue
        path = "/tmp/sluice-io-tests-\(getpid())-\(number)"
        try! FileSystem.local.makeFolder(path)
    }

    deinit { try? FileSystem.local.removeTree(path) }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try FileSystem.local.write(bytes, to: self(name))
        return self(name)
    }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }

    var names: [String] { (try? FileSystem.local.entries(of: path)) ?? [] }
}

/// Bytes in memory, returned in pieces of random sizes.
final class PiecewiseSource: ByteSource {
    let path: String
    let format = StreamFormat.plain
    private let bytes: [UInt8]
    private var at = 0
    private var random: SplitMix64
    private let most: UInt64
    private let failure: IOFailure?
    var fileOffset: UInt64 { UInt64(at) }

    /// - Parameter failure: thrown at the end.
    init(_ bytes: [UInt8], path: String = "test.jsonl", seed: UInt64 = 1, most: UInt64 = 50, failure: IOFailure? = nil)
    {
        self.bytes = bytes
        self.path = path
        self.most = most
        self.failure = failure
        random = SplitMix64(state: seed)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        if at == bytes.count, let failure { throw failure }
        let count = min(buffer.count, bytes.count - at, Int(random.next(below: most)) + 1)
        for i in 0..<count { buffer[i] = bytes[at + i] }
        at += count
        return count
    }
}

func readAll(_ source: any ByteSource, pieces: Int = 65536) throws(IOFailure) -> [UInt8] {
    var all: [UInt8] = []
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: pieces, alignment: 16)
    defer { buffer.deallocate() }
    while true {
        let got = try source.read(into: buffer)
        if got == 0 { return all }
        all.append(contentsOf: buffer[..<got])
    }
}

/// The error thrown by a call.
func failure(_ body: () throws -> Void) -> IOFailure? {
    do {
        try body()
        return nil
    } catch { return error as? IOFailure }
}

func frame(_ bytes: [UInt8], level: Int = 3) -> [UInt8] {
    let compressor = FrameCompressor(level: level)
    var frame: [UInt8] = []
    try! compressor.compress(bytes, into: &frame)
    return frame
}

func skippable(_ bytes: [UInt8]) -> [UInt8] {
    [0x53, 0x2A, 0x4D, 0x18] + littleEndian(UInt32(bytes.count)) + bytes
}

func littleEndian(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) } }

/// A frame of one raw block with a window of 2^windowLog and no checksum, as declared by `zstd --long`.
func rawFrame(_ bytes: [UInt8], windowLog: Int) -> [UInt8] {
    let block = UInt32(bytes.count) << 3 | 1
    return [0x28, 0xB5, 0x2F, 0xFD, 0x00, UInt8(windowLog - 10) << 3] + littleEndian(block)[..<3] + bytes
}

/// A gzip member of stored blocks.
func gzipMember(_ bytes: [UInt8]) -> [UInt8] {
    var crc: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
    }
    let length = UInt16(bytes.count)
    return [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 1, UInt8(length & 255), UInt8(length >> 8)]
        + [UInt8(~length & 255), UInt8(~length >> 8)] + bytes + littleEndian(~crc) + littleEndian(UInt32(bytes.count))
}

/// The folder of real data next to the repository, or `nil`.
let sharedFolder: String? = {
    let root = Path.folder(of: Path.folder(of: Path.folder(of: #filePath)))
    let path = "\(root)/../shared/data"
    return (try? FileSystem.local.status(of: path))??.isFolder == true ? path : nil
}()

func utf8(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

extension SplitMix64 {
    mutating func below(_ bound: Int) -> Int { Int(next(below: UInt64(bound))) }
}
