import SluiceCore
@testable import SluiceIO

/// The bytes of an input, in pieces of the same size.
private final class Pieces: ByteSource {
    let path: String
    let format = StreamFormat.plain
    private let bytes: UnsafeRawBufferPointer
    private let size: Int
    private var at = 0
    var fileOffset: UInt64 { UInt64(at) }

    init(_ bytes: UnsafeRawBufferPointer, size: Int, path: String) {
        self.bytes = bytes
        self.size = size
        self.path = path
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        let count = min(size, buffer.count, bytes.count - at)
        for index in 0..<count { buffer[index] = bytes[at + index] }
        at += count
        return count
    }
}

private struct Line: Equatable {
    var number: UInt64
    var byte: UInt64
    var bytes: [UInt8]
}

private struct Framed: Equatable {
    var records: [Line] = []
    var overlong: [OverlongLine] = []
    var blank: UInt64 = 0
    var failure: String?
}

private func frame(
    _ bytes: UnsafeRawBufferPointer, _ limits: FramingLimits, pieces: Int, path: String
) -> (Framed, RecordLayout) {
    let reader = BlockReader(Pieces(bytes, size: pieces, path: path), limits: limits)
    let block = RawBlock()
    var framed = Framed()
    var place: UInt64 = 0
    do throws(IOFailure) {
        while try reader.next(into: block) {
            check(block.firstByte >= place && reader.nextByte >= block.firstByte, "a block goes back")
            place = reader.nextByte
            for line in block.lines {
                framed.records.append(
                    Line(number: block.lineNumber(of: line), byte: block.byteOffset(of: line), bytes: Array(block.bytes(of: line))))
            }
            framed.overlong += block.overlong
            framed.blank += block.blankLines
        }
        check(block.lines.isEmpty && block.overlong.isEmpty, "records after the end")
    } catch { framed.failure = error.description }
    return (framed, reader.layout)
}

/// Splits lines in the simplest way.
private func split(_ bytes: UnsafeRawBufferPointer, _ limits: FramingLimits) -> Framed {
    var framed = Framed()
    var start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    var number: UInt64 = 1
    while start < bytes.count {
        let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
        var stop = end
        if stop > start, bytes[stop - 1] == 0x0D { stop -= 1 }
        let line = bytes[start..<stop]
        if line.count > limits.maxRecord {
            framed.overlong.append(
                OverlongLine(
                    line: number, byte: UInt64(start), length: UInt64(line.count), head: Array(line.prefix(limits.overlongHead))))
        } else if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) {
            framed.blank += 1
        } else {
            framed.records.append(Line(number: number, byte: UInt64(start), bytes: Array(line)))
        }
        number += 1
        start = end + 1
    }
    return framed
}

func fuzzLines(_ input: UnsafeRawBufferPointer) {
    var reader = Reader(rest: input)
    let limits = FramingLimits(
        blockBytes: 1 + reader.byte() * 3, blockRecords: 1 + reader.byte(), maxRecord: 1 + reader.byte() * 2,
        overlongHead: reader.byte())
    let pieces = 1 + reader.byte()
    let path = reader.byte() % 2 == 0 ? "in.jsonl" : "in.json"
    let (framed, layout) = frame(reader.rest, limits, pieces: pieces, path: path)
    var large = limits
    large.blockBytes = 1 << 20
    large.blockRecords = 1 << 20
    let (again, _) = frame(reader.rest, large, pieces: 1 << 20, path: path)
    check(framed == again, "blocks show in the records: \(framed) and \(again)")
    guard layout == .lines else { return }
    check(framed == split(reader.rest, limits), "framed \(framed), split \(split(reader.rest, limits))")
}
