import Testing

@testable import SluiceTokenizer

@Suite struct JSONDocumentTests {
    @Test func keepsTheBytesOfKeys() throws {
        let document = try Array(#"{"e\u0301":1,"\u00e9":2,"\ufeffa":3}"#.utf8).withUnsafeBytes { try JSONDocument($0) }
        var keys: [[UInt8]] = []
        document.root.forEachEntry { key, _ in keys.append(Array(key)) }
        #expect(keys == ["e\u{301}", "\u{E9}", "\u{FEFF}a"].map { Array($0.utf8) })
    }
}
