import Glibc
import SluiceCore
import SluiceIO

func joined(_ lines: [[UInt8]]) -> [UInt8] { lines.flatMap { $0 + [0x0A] } }

func text(_ bytes: some Sequence<UInt8>) -> String { String(decoding: Array(bytes), as: UTF8.self) }

/// One zstd frame.
func zstd(_ bytes: [UInt8]) -> [UInt8] {
    var frame: [UInt8] = []
    try! FrameCompressor(level: 3).compress(bytes, into: &frame)
    return frame
}

/// A zstd file split into frames at any byte, with a skippable frame between each two.
func zstd(_ bytes: [UInt8], frameBytes: Int) -> [UInt8] {
    var file: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: frameBytes) {
        file += zstd(Array(bytes[start..<min(bytes.count, start + frameBytes)]))
        file += [0x53, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3]
    }
    return file
}

/// A frame of one raw block that requires a window of 2 to the power of `windowLog` bytes.
func zstdFrame(_ bytes: [UInt8], windowLog: Int) -> [UInt8] {
    let block = UInt32(bytes.count) << 3 | 1
    return [0x28, 0xB5, 0x2F, 0xFD, 0, UInt8(windowLog - 10) << 3]
        + (0..<3).map { UInt8(truncatingIfNeeded: block >> (8 * $0)) } + bytes
}

/// A gzip file with members of stored blocks.
func gzip(_ bytes: [UInt8]) -> [UInt8] {
    guard !bytes.isEmpty else { return gzipMember(bytes[...]) }
    return stride(from: 0, to: bytes.count, by: 60_000).flatMap {
        gzipMember(bytes[$0..<min(bytes.count, $0 + 60_000)])
    }
}

private func gzipMember(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    func little(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) } }
    var crc: UInt32 = 0xFFFF_FFFF
    for byte in bytes { crc = crcTable[Int((crc ^ UInt32(byte)) & 0xFF)] ^ (crc >> 8) }
    let length = UInt16(bytes.count)
    let header: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 1]
    let lengths = [length, ~length].flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
    return header + lengths + bytes + little(~crc) + little(UInt32(bytes.count))
}

private let crcTable: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
}

/// The unpacked content of a file.
func unpacked(_ path: String) throws -> [UInt8] {
    let source = try FileSystem.local.openInput(path)
    var all: [UInt8] = []
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
    defer { buffer.deallocate() }
    while true {
        let count = try source.read(into: buffer)
        if count == 0 { return all }
        all.append(contentsOf: buffer[..<count])
    }
}

/// Lines without their line ends; a final line end starts no further line.
func split(_ bytes: [UInt8]) -> [[UInt8]] {
    // By hand: the standard library's `split` takes seconds for a real corpus in a debug build.
    var lines: [[UInt8]] = []
    bytes.withUnsafeBytes { all in
        var start = 0
        while start < all.count, let base = all.baseAddress {
            let end = memchr(base + start, 0x0A, all.count - start).map { UnsafeRawPointer($0) - base } ?? all.count
            lines.append(Array(UnsafeRawBufferPointer(rebasing: all[start..<end])))
            start = end + 1
        }
    }
    return lines
}

/// A fast digest, to compare contents.
func digest(_ bytes: [UInt8]) -> String {
    let hash = bytes.withUnsafeBytes { XXHash.hash128($0) }
    return "\(hash.high) \(hash.low)"
}

func sha256(_ bytes: [UInt8]) -> String { hexadecimal(bytes.withUnsafeBytes { SHA256.hash($0) }) }
