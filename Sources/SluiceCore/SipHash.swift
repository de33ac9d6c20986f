/// A 128-bit hash of bytes for stages that need keys of their own: SipHash-2-4 (Aumasson and Bernstein, «SipHash: a fast
/// short-input PRF», 2012) with a result of 128 bits, and the key that `seed` gives.
///
/// The same on every machine. Records can't be crafted to collide by someone who does not know the key; the default key is
/// public. Cost: about 1 GB/s.
public struct SipHash: Sendable {
    private var v0: UInt64
    private var v1: UInt64
    private var v2: UInt64
    private var v3: UInt64
    /// Bytes that do not fill a word yet, from the low end.
    private var rest: UInt64 = 0
    private var length = 0

    public init(seed: Seed = Seed(0)) { self.init(key: (seed.value, Seed.mix(seed.value))) }

    package init(key: (UInt64, UInt64)) {
        v0 = key.0 ^ 0x736f_6d65_7073_6575
        v1 = key.1 ^ 0x646f_7261_6e64_6f6d ^ 0xEE
        v2 = key.0 ^ 0x6c79_6765_6e65_7261
        v3 = key.1 ^ 0x7465_6462_7974_6573
    }

    /// Adds bytes. Several calls hash the same as one with all bytes.
    public mutating func add(_ bytes: UnsafeBufferPointer<UInt8>) {
        let raw = UnsafeRawBufferPointer(bytes)
        var place = 0
        while place < raw.count, length & 7 != 0 {
            add(raw[place])
            place += 1
        }
        while place + 8 <= raw.count {
            add(word: UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: place, as: UInt64.self)))
            length &+= 8
            place += 8
        }
        while place < raw.count {
            add(raw[place])
            place += 1
        }
    }

    /// Adds a byte.
    public mutating func add(_ byte: UInt8) {
        rest |= UInt64(byte) << UInt64(8 * (length & 7))
        length &+= 1
        if length & 7 == 0 {
            add(word: rest)
            rest = 0
        }
    }

    /// The hash of all bytes so far.
    public var digest: ContentHash {
        var copy = self
        copy.add(word: rest | UInt64(truncatingIfNeeded: length) << 56)
        copy.v2 ^= 0xEE
        for _ in 0..<4 { copy.round() }
        let low = copy.v0 ^ copy.v1 ^ copy.v2 ^ copy.v3
        copy.v1 ^= 0xDD
        for _ in 0..<4 { copy.round() }
        return ContentHash(high: copy.v0 ^ copy.v1 ^ copy.v2 ^ copy.v3, low: low)
    }

    @inline(__always)
    private mutating func add(word: UInt64) {
        v3 ^= word
        round()
        round()
        v0 ^= word
    }

    @inline(__always)
    private mutating func round() {
        v0 = v0 &+ v1
        v1 = (v1 << 13 | v1 >> 51) ^ v0
        v0 = v0 << 32 | v0 >> 32
        v2 = v2 &+ v3
        v3 = (v3 << 16 | v3 >> 48) ^ v2
        v0 = v0 &+ v3
        v3 = (v3 << 21 | v3 >> 43) ^ v0
        v2 = v2 &+ v1
        v1 = (v1 << 17 | v1 >> 47) ^ v2
        v2 = v2 << 32 | v2 >> 32
    }
}
