import SluiceCore
import Testing

private struct Mixed: ByteCodable, Equatable {
    var name: String
    var numbers: [Int64]
    var vectors: [Int8]
    var reals: [Double]
    var nested: [[String]]
    var maybe: Int?
    var never: Double?
    var flag: Bool
    var hash: ContentHash

    init(_ seed: UInt64) {
        var state = SplitMix64(state: seed)
        func count() -> Int { Int(state.next(below: 40)) }
        name = String(
            (0..<count()).map { _ in "aé😀\0"[("aé😀\0").index("aé😀\0".startIndex, offsetBy: Int(state.next(below: 4)))] }
        )
        numbers = (0..<count()).map { _ in Int64(bitPattern: state.next()) }
        vectors = (0..<count() * 7_001).map { _ in Int8(truncatingIfNeeded: state.next()) }
        reals = (0..<count()).map { _ in Double(bitPattern: state.next()) }
        nested = (0..<count() / 8).map { _ in ["", "x"] }
        maybe = state.next(below: 2) == 0 ? nil : .min
        flag = state.next(below: 2) == 0
        hash = ContentHash(high: state.next(), low: state.next())
    }

    func write(to bytes: inout ByteWriter) {
        bytes.write(name)
        bytes.write(numbers)
        bytes.write(vectors)
        bytes.write(reals)
        bytes.write(nested)
        bytes.write(maybe)
        bytes.write(never)
        bytes.write(flag)
        bytes.write(hash)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        name = try bytes.read()
        numbers = try bytes.read()
        vectors = try bytes.read()
        reals = try bytes.read()
        nested = try bytes.read()
        maybe = try bytes.read()
        never = try bytes.read()
        flag = try bytes.read()
        hash = try bytes.read()
    }

    static func == (a: Mixed, b: Mixed) -> Bool {
        a.name == b.name && a.numbers == b.numbers && a.vectors == b.vectors && a.nested == b.nested
            && a.reals.map(\.bitPattern) == b.reals.map(\.bitPattern) && a.maybe == b.maybe && a.never == b.never
            && a.flag == b.flag && a.hash == b.hash
    }
}

@Suite struct ByteCodableTests {
    @Test func whatIsReadEqualsWhatWasWritten() throws {
        for seed in 0..<50 as Range<UInt64> {
            let value = Mixed(seed)
            #expect(try Mixed(decoding: value.encoded) == value)
        }
    }

    /// Bytes handed over in pieces and pulled in other pieces are the same bytes.
    @Test func piecesMakeNoDifference() throws {
        for seed in 0..<20 as Range<UInt64> {
            let value = Mixed(seed)
            var written: [UInt8] = []
            var writer = ByteWriter { written += $0 }
            writer.write(value)
            writer.flush()
            #expect(written == value.encoded)
            var rest = written[...]
            var state = SplitMix64(state: seed)
            var reader = ByteReader {
                let piece = rest.prefix(1 + Int(state.next(below: 9_000)))
                rest = rest.dropFirst(piece.count)
                return Array(piece)
            }
            #expect(try reader.read(Mixed.self) == value)
            try reader.expectEnd()
        }
    }

    @Test func theBytesAreTheSameOnEveryMachine() {
        #expect(Int(258).encoded == [2, 1, 0, 0, 0, 0, 0, 0])
        #expect([Int32(-1)].encoded == [1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255])
        #expect((1.5).encoded == [0, 0, 0, 0, 0, 0, 0xF8, 0x3F])
        #expect(Optional("a").encoded == [1, 1, 0, 0, 0, 0, 0, 0, 0, 97])
        #expect(true.encoded == [1])
    }

    /// Bytes that end early or too late, or hold impossible values, are refused, however large the numbers in them are.
    @Test func damagedBytesAreRefused() {
        let bytes = [["one", "two"], []].encoded
        for end in bytes.indices {
            #expect(throws: StageError.self) { try [[String]](decoding: Array(bytes[..<end])) }
        }
        #expect(throws: StageError.self) { try [[String]](decoding: bytes + [0]) }
        #expect(throws: StageError.self) { try Bool(decoding: [2]) }
        #expect(throws: StageError.self) { try String(decoding: [UInt8](arrayLiteral: 0xFF).encoded) }
        #expect(throws: StageError.self) { try [Int8](decoding: Int.max.encoded + [1, 2, 3]) }
        #expect(throws: StageError.self) { try [Int8](decoding: Int.min.encoded) }
        #expect(throws: StageError.self) { try [String](decoding: Int.max.encoded) }
    }
}
