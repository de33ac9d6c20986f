/// SHA-256 (FIPS 180-4) of bytes added in pieces.
public struct SHA256: Sendable {
    private var state: SIMD8<UInt32> = [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ]
    private var pending = InlineArray<64, UInt8>(repeating: 0)
    private var pendingCount = 0
    private var total: UInt64 = 0

    public init() {}

    /// The digest of some bytes.
    public static func hash(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var hash = SHA256()
        hash.update(bytes)
        return hash.digest()
    }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        total &+= UInt64(bytes.count)
        var rest = bytes
        if pendingCount > 0 {
            let count = min(64 - pendingCount, rest.count)
            for i in 0..<count { pending[pendingCount + i] = rest[i] }
            pendingCount += count
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            if pendingCount < 64 { return }
            withUnsafeBytes(of: pending) { state = Self.compress(state, $0) }
            pendingCount = 0
        }
        let whole = rest.count & ~63
        if whole > 0 { state = Self.compress(state, UnsafeRawBufferPointer(rebasing: rest[..<whole])) }
        for i in whole..<rest.count { pending[i - whole] = rest[i] }
        pendingCount = rest.count - whole
    }

    /// The 32-byte digest of all bytes so far.
    public func digest() -> [UInt8] {
        var tail: [UInt8] = []
        for i in 0..<pendingCount { tail.append(pending[i]) }
        tail.append(0x80)
        while tail.count % 64 != 56 { tail.append(0) }
        let bits = total &* 8
        for shift in stride(from: 56, through: 0, by: -8) {
            tail.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift)))
        }
        let last = tail.withUnsafeBytes { Self.compress(state, $0) }
        return (0..<8).flatMap { i in
            [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: last[i] >> UInt32($0)) }
        }
    }

    /// The digest as 64 lower-case hexadecimal digits.
    public func hexDigest() -> String { hexadecimal(digest()) }

    /// One round on local variables; the caller rotates the roles of `a` to `h`.
    @inline(__always)
    private static func round(
        _ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: inout UInt32, _ e: UInt32, _ f: UInt32, _ g: UInt32,
        _ h: inout UInt32, _ kw: UInt32
    ) {
        let s1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)
        let t1 = h &+ s1 &+ (g ^ (e & (f ^ g))) &+ kw
        let s0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)
        d = d &+ t1
        h = t1 &+ s0 &+ ((a & b) | (c & (a | b)))
    }

    @inline(__always)
    private static func rotated(_ x: UInt32, _ n: UInt32) -> UInt32 { (x &>> n) | (x &<< (32 &- n)) }

    /// Processes complete 64-byte blocks.
    private static func compress(_ start: SIMD8<UInt32>, _ bytes: UnsafeRawBufferPointer) -> SIMD8<UInt32> {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { schedule in
            roundConstants.withUnsafeBufferPointer { constants in
                let w = schedule.baseAddress!
                let k = constants.baseAddress!
                var state = start
                var at = bytes.baseAddress!
                let end = at + bytes.count
                while at < end {
                    var i = 0
                    while i < 16 {
                        w[i] = UInt32(bigEndian: at.loadUnaligned(fromByteOffset: i &* 4, as: UInt32.self))
                        i &+= 1
                    }
                    while i < 64 {
                        let x = w[i &- 15]
                        let y = w[i &- 2]
                        let s0 = rotated(x, 7) ^ rotated(x, 18) ^ (x &>> 3)
                        let s1 = rotated(y, 17) ^ rotated(y, 19) ^ (y &>> 10)
                        w[i] = w[i &- 16] &+ s0 &+ w[i &- 7] &+ s1
                        i &+= 1
                    }
                    var (a, b, c, d) = (state[0], state[1], state[2], state[3])
                    var (e, f, g, h) = (state[4], state[5], state[6], state[7])
                    i = 0
                    while i < 64 {
                        round(a, b, c, &d, e, f, g, &h, k[i] &+ w[i])
                        round(h, a, b, &c, d, e, f, &g, k[i &+ 1] &+ w[i &+ 1])
                        round(g, h, a, &b, c, d, e, &f, k[i &+ 2] &+ w[i &+ 2])
                        round(f, g, h, &a, b, c, d, &e, k[i &+ 3] &+ w[i &+ 3])
                        round(e, f, g, &h, a, b, c, &d, k[i &+ 4] &+ w[i &+ 4])
                        round(d, e, f, &g, h, a, b, &c, k[i &+ 5] &+ w[i &+ 5])
                        round(c, d, e, &f, g, h, a, &b, k[i &+ 6] &+ w[i &+ 6])
                        round(b, c, d, &e, f, g, h, &a, k[i &+ 7] &+ w[i &+ 7])
                        i &+= 8
                    }
                    state &+= SIMD8(a, b, c, d, e, f, g, h)
                    at += 64
                }
                return state
            }
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
public func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}

private let roundConstants: [UInt32] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]
