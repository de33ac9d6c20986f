import Glibc
import SluiceCore

/// The header of an answer log: how much of the file is known to be on disk.
///
/// After it come the answers, each in an `AnswerEntry`. The header has two marks, written in turn, so that one of them
/// is whole at any time. A mark states a length that was on disk before the mark was written: what is broken before that
/// length is damaged, what is broken after it was being written when a process or the machine stopped.
struct AnswerLogMark: Equatable {
    /// Bytes of the file that are on disk.
    var length: UInt64
    /// The answers in them.
    var count: UInt64
    /// Goes up with every mark.
    var number: UInt64

    static let headerBytes = 128
    private static let magic: [UInt8] = Array("SLUICEAN".utf8) + [1, 0, 0, 0, 0, 0, 0, 0]
    private static let size = 32
    /// The mark of a log without answers.
    static let first = AnswerLogMark(length: UInt64(headerBytes), count: 0, number: 1)

    /// Where the mark is written.
    var place: UInt64 { UInt64(Self.size) * (1 + number % 2) }

    var bytes: [UInt8] {
        var words = [length.littleEndian, count.littleEndian, number.littleEndian]
        words.append(words.withUnsafeBytes { XXHash.hash64($0) }.littleEndian)
        return words.withUnsafeBytes { Array($0) }
    }

    /// The header of a log without answers.
    static var newHeader: [UInt8] {
        var header = magic + [UInt8](repeating: 0, count: headerBytes - magic.count)
        let place = Int(first.place)
        header.replaceSubrange(place..<(place + size), with: first.bytes)
        return header
    }

    /// The newest mark of a header; nil if it is no header, or both marks are damaged.
    static func newest(in header: [UInt8]) -> AnswerLogMark? {
        guard header.count == headerBytes, header.starts(with: magic) else { return nil }
        let marks = [1, 2].compactMap { mark(Array(header[(size * $0)..<(size * $0 + size)])) }
        return marks.max { $0.number < $1.number }
    }

    private static func mark(_ bytes: [UInt8]) -> AnswerLogMark? {
        let words = bytes.withUnsafeBytes { bytes in
            (0..<4).map { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self)) }
        }
        let mark = AnswerLogMark(length: words[0], count: words[1], number: words[2])
        guard mark.bytes == bytes, mark.number > 0, mark.length >= UInt64(headerBytes) else { return nil }
        return mark
    }
}

/// The head of an answer in the log: its key, its length and a checksum, before the bytes of the answer. Zeros fill the
/// last eight bytes.
struct AnswerEntry {
    static let headBytes = 32
    /// No answer is longer; what claims to be is damage.
    static let longest = 1 << 30

    let key: ContentHash
    let length: Int
    let checksum: UInt64

    /// Bytes in the file, with head and filling.
    var size: UInt64 { UInt64((Self.headBytes + length + 7) & ~7) }

    /// The head of an answer at this place. The checksum covers the place, so that no copy of an answer elsewhere is
    /// taken for one.
    init(_ key: ContentHash, length: Int, hash: UInt64, at place: UInt64) {
        self.key = key
        self.length = length
        checksum = Self.checksum(key, length, hash, place)
    }

    /// - Parameter bytes: at least `headBytes`.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.headBytes else { return nil }
        let words = (0..<4).map { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self)) }
        guard words[2] <= UInt64(Self.longest) else { return nil }
        key = ContentHash(high: words[0], low: words[1])
        length = Int(words[2])
        checksum = words[3]
    }

    func isSound(hash: UInt64, at place: UInt64) -> Bool { checksum == Self.checksum(key, length, hash, place) }

    var bytes: [UInt8] {
        let words = [key.high, key.low, UInt64(length), checksum].map(\.littleEndian)
        return words.withUnsafeBytes { Array($0) }
    }

    private static func checksum(_ key: ContentHash, _ length: Int, _ hash: UInt64, _ place: UInt64) -> UInt64 {
        let words = [key.high, key.low, UInt64(length), hash, place].map(\.littleEndian)
        return words.withUnsafeBytes { XXHash.hash64($0) }
    }
}

/// Reads the answers of a log one after the other, in constant memory, and checks each.
struct AnswerScan: ~Copyable {
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)
    private var start: UInt64 = 0
    private var filled = 0
    private let limit: UInt64
    private(set) var place: UInt64

    /// - Parameter limit: where the part of the file to be read ends.
    init(from place: UInt64, to limit: UInt64) {
        self.place = place
        self.limit = limit
    }

    deinit { buffer.deallocate() }

    /// The key and place of the next answer; nil at the end, or if the next one is not whole.
    mutating func next(_ file: borrowing OpenFile) throws(IOFailure) -> (key: ContentHash, place: UInt64)? {
        guard limit - place >= UInt64(AnswerEntry.headBytes) else { return nil }
        guard let entry = AnswerEntry(try bytes(at: place, AnswerEntry.headBytes, file)), entry.size <= limit - place
        else { return nil }
        var stream = XXHashStream()
        var at = place + UInt64(AnswerEntry.headBytes)
        var left = entry.length
        while left > 0 {
            let piece = try bytes(at: at, min(left, 64 << 10), file)
            guard !piece.isEmpty else { return nil }
            stream.update(piece)
            at += UInt64(piece.count)
            left -= piece.count
        }
        guard entry.isSound(hash: stream.digest64, at: place) else { return nil }
        defer { place += entry.size }
        return (entry.key, place)
    }

    /// Bytes of the file, fewer at its end.
    private mutating func bytes(
        at place: UInt64, _ count: Int, _ file: borrowing OpenFile
    ) throws(IOFailure) -> UnsafeRawBufferPointer {
        if place < start || place + UInt64(count) > start + UInt64(filled) {
            start = place
            filled = try file.read(into: buffer, at: place)
        }
        let from = Int(place - start)
        return UnsafeRawBufferPointer(rebasing: buffer[from..<max(from, min(filled, from + count))])
    }
}
