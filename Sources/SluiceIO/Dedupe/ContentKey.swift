import SluiceCore

/// The order in which contents are compared: contents that may be equal are adjacent, the earliest first.
struct ContentKey: Comparable {
    /// The ordinal of the first record with the same hash; it identifies the hash.
    var group: UInt64
    /// A second hash of the content; it separates contents that share the first hash.
    var mark: ContentHash
    var ordinal: UInt64

    init(group: UInt64, mark: ContentHash, ordinal: UInt64) {
        self.group = group
        self.mark = mark
        self.ordinal = ordinal
    }

    @inline(__always)
    static func < (a: ContentKey, b: ContentKey) -> Bool {
        if a.group != b.group { return a.group < b.group }
        if a.mark.high != b.mark.high { return a.mark.high < b.mark.high }
        if a.mark.low != b.mark.low { return a.mark.low < b.mark.low }
        return a.ordinal < b.ordinal
    }

    // MARK: In a file

    static let size = 32

    /// - Parameter bytes: at least `size`.
    init(_ bytes: UnsafeRawBufferPointer) {
        self.init(
            group: bytes.word(0), mark: ContentHash(high: bytes.word(1), low: bytes.word(2)), ordinal: bytes.word(3))
    }

    func store(in bytes: UnsafeMutableRawBufferPointer) {
        bytes.setWord(0, group)
        bytes.setWord(1, mark.high)
        bytes.setWord(2, mark.low)
        bytes.setWord(3, ordinal)
    }
}

extension UnsafeRawBufferPointer {
    /// The little-endian 8-byte number with this index.
    @inline(__always)
    func word(_ index: Int) -> UInt64 {
        UInt64(littleEndian: loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
    }
}

extension UnsafeMutableRawBufferPointer {
    @inline(__always)
    func setWord(_ index: Int, _ word: UInt64) {
        storeBytes(of: word.littleEndian, toByteOffset: index * 8, as: UInt64.self)
    }
}
