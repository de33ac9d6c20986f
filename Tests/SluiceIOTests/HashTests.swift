import SluiceCore
import Testing

@testable import SluiceIO

@Suite struct HashTests {
    func sha(_ text: String) -> String {
        hexadecimal(Array(text.utf8).withUnsafeBytes { SHA256.hash($0) })
    }

    @Test func sha256KnowsItsVectors() {
        #expect(sha("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(sha("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            sha("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")
                == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
        #expect(
            sha(String(repeating: "a", count: 1_000_000))
                == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test func piecesDoNotMatter() {
        var random = SplitMix64(state: 3)
        let bytes = (0..<1500).map { _ in UInt8(random.below(256)) }
        for _ in 0..<50 {
            var sha = SHA256()
            var xx = XXHashStream()
            var at = 0
            while at < bytes.count {
                let end = min(bytes.count, at + random.below(200))
                bytes[at..<end].withUnsafeBytes {
                    sha.update($0)
                    xx.update($0)
                }
                at = end
            }
            bytes.withUnsafeBytes {
                #expect(sha.digest() == SHA256.hash($0))
                #expect(xx.digest128 == XXHash.hash128($0))
                #expect(xx.digest64 == XXHash.hash64($0))
            }
        }
    }

    @Test func xxh3KnowsItsVectors() {
        // From the reference self-test: the hashes of empty input.
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(XXHash.hash64(empty) == 0x2D06_8005_38D3_94C2)
        #expect(XXHash.hash128(empty) == ContentHash(high: 0x99AA_06D3_0147_98D8, low: 0x6001_C324_468D_497F))
    }

    @Test func framingIsUnambiguous() {
        func hash(_ fields: [(FieldKind, String)]) -> ContentHash {
            var hasher = RecordHasher()
            hasher.begin()
            for (kind, text) in fields { Array(text.utf8).withUnsafeBytes { hasher.add(kind, $0) } }
            return hasher.finish()
        }
        let all = [
            hash([(.string, "ab"), (.string, "c")]), hash([(.string, "a"), (.string, "bc")]),
            hash([(.string, "abc"), (.string, "")]),
            hash([(.string, ""), (.string, "abc")]), hash([(.string, "abc")]), hash([(.missing, "")]),
            hash([(.null, "")]),
            hash([(.string, "")]), hash([(.string, "null")]), hash([(.json, "1")]), hash([(.string, "1")]), hash([]),
            hash([(.missing, ""), (.null, "")]), hash([(.null, ""), (.missing, "")]),
        ]
        #expect(Set(all).count == all.count)
        #expect(hash([(.string, "ab"), (.string, "c")]) == all[0])
        #expect(
            hash([(.string, String(repeating: "x", count: 100_000))])
                != hash([(.string, String(repeating: "x", count: 100_001))]))
    }
}
