import SluiceCore
import Testing

@Suite struct SipHashTests {
    /// The first vectors of the reference implementation (vectors.h, `vectors_sip128`): key 00…0f, input 00, 01, 02, ….
    @Test func publishedVectors() {
        let expected: [(high: UInt64, low: UInt64)] = [
            (0x9302_55C7_1472_F66D, 0xE6A8_25BA_047F_81A3), (0x45FC_229B_1159_7634, 0x44AF_996B_D8C1_87DA),
        ]
        for (length, digest) in expected.enumerated() {
            var hash = SipHash(key: (0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908))
            (0..<UInt8(length)).forEach { hash.add($0) }
            #expect(hash.digest == ContentHash(high: digest.high, low: digest.low), "\(length) bytes")
        }
    }

    /// However the bytes are split, and by bytes or buffers.
    @Test func piecesHashAsTheWhole() {
        var numbers = Seed(3).generator()
        for length in 0..<70 {
            let bytes = (0..<length).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
            var whole = SipHash(), pieces = SipHash(), single = SipHash()
            bytes.withUnsafeBufferPointer { whole.add($0) }
            bytes.forEach { single.add($0) }
            let cut = Int(numbers.next(below: UInt64(length + 1)))
            for part in [bytes[..<cut], bytes[cut...]] { part.withUnsafeBufferPointer { pieces.add($0) } }
            #expect(whole.digest == single.digest && whole.digest == pieces.digest)
            #expect(length == 0 || whole.digest != SipHash().digest)
            var other = SipHash(seed: Seed(1))
            bytes.withUnsafeBufferPointer { other.add($0) }
            #expect(other.digest != whole.digest)
        }
    }
}
