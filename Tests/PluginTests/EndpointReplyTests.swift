import SluiceCore
import SluiceHTTP
import Testing

@testable import Embedder

/// Replies of servers, answers in the log, addresses and cuts, without a server.
@Suite struct EndpointReplyTests {
    private func base64(_ numbers: [Float]) -> String {
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        let bytes = numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number.bitPattern >> (8 * $0)) }
        }
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(bytes.count, start + 3)]
            let bits = group.reduce(0) { $0 << 8 | UInt32($1) } << (8 * UInt32(3 - group.count))
            for place in 0...group.count { text.append(letters[Int(bits >> (18 - 6 * UInt32(place)) & 63)]) }
            text += String(repeating: "=", count: 3 - group.count)
        }
        return text
    }

    private func reply(_ json: String, count: Int, dimension: Int) -> Result<[Float], WrongReply> {
        do throws(WrongReply) {
            return .success(try EmbeddingReply(Array(json.utf8), count: count, dimension: dimension).vectors)
        } catch { return .failure(error) }
    }

    /// Any numbers come back, from base64 and from words, in any order of items and of keys.
    @Test func numbersComeBack() throws {
        var random = SplitMix64(state: 5)
        for _ in 0..<200 {
            let (count, dimension) = (1 + Int(random.next(below: 5)), 1 + Int(random.next(below: 9)))
            let vectors = (0..<count).map { _ in
                (0..<dimension).map { _ in
                    // Any finite bits.
                    Float(bitPattern: UInt32(random.next(below: 1 << 32)) & 0xFF7F_FFFF & ~0x0080_0000)
                }
            }
            var items = vectors.enumerated().map { index, vector in
                let isWords = random.next(below: 2) == 0
                let numbers = vector.map { random.next(below: 2) == 0 ? "\($0)" : "\(Double($0))" }
                let words = "[\(numbers.joined(separator: " ,"))]"
                let embedding = isWords ? words : "\"\(base64(vector))\""
                return random.next(below: 2) == 0
                    ? #"{"index":\#(index),"embedding":\#(embedding)}"#
                    : #"{"embedding": \#(embedding), "object":"embedding", "x":{"y":[1]}, "index": \#(index)}"#
            }
            if random.next(below: 2) == 0 { items.reverse() }
            let found = reply(
                #"{"model":"m","data":[\#(items.joined(separator: ", "))],"usage":{}}"#, count: count,
                dimension: dimension)
            #expect(try found.get().map(\.bitPattern) == vectors.joined().map(\.bitPattern))
        }
    }

    @Test func escapedSlashes() throws {
        let numbers: [Float] = (0..<64).map { Float(bitPattern: 0x3FFF_FFFF &- UInt32($0) &* 77) }
        let escaped = base64(numbers).split(separator: "/", omittingEmptySubsequences: false).joined(separator: "\\/")
        #expect(escaped.contains("\\/"))
        #expect(try reply(#"{"data":[{"embedding":"\#(escaped)"}]}"#, count: 1, dimension: 64).get() == numbers)
    }

    @Test func wrongReplies() {
        func wrong(_ json: String, count: Int = 1) -> WrongReply? {
            if case .failure(let found) = reply(json, count: count, dimension: 2) { return found }
            return nil
        }
        #expect(wrong(#"{"data":[{"embedding":[1,2]}]}"#) == nil)
        #expect(wrong(#"{"data":[]}"#) == .count(found: 0))
        #expect(wrong(#"{"data":[{"embedding":[1,2]},{"embedding":[1,2]}]}"#) == .count(found: 2))
        #expect(wrong(#"{"data":[{"embedding":[1,2,3]}]}"#) == .dimension(found: 3))
        #expect(wrong(#"{"data":[{"embedding":[1,NaN]}]}"#) == .notFinite(text: 0))
        #expect(wrong(#"{"data":[{"embedding":[1,2e99]}]}"#) == .notFinite(text: 0))
        #expect(wrong(#"{"data":[{"index":0,"embedding":[1,2]},{"index":0,"embedding":[1,2]}]}"#, count: 2) != nil)
        #expect(wrong(#"{"data":[{"index":7,"embedding":[1,2]}]}"#) != nil)
        #expect(wrong(#"{"data":[{"index":-1,"embedding":[1,2]}]}"#) != nil)
        for broken in [
            "", "{}", "[]", #"{"data":{}}"#, #"{"data":[{}]}"#, #"{"data":[{"embedding":"AA"}]}"#,
            #"{"data":[{"embedding":"A!AA"}]}"#, #"{"data":[{"embedding":[1,"2"]}]}"#, #"{"data":[{"embedding":[1,2]}"#,
        ] { #expect(wrong(broken) != nil, "\(broken)") }
    }

    @Test func answersInTheLog() throws {
        let vector: [Float] = [1, -0.5, .leastNonzeroMagnitude, 3e38]
        let bytes = EndpointAnswer.encode(vector[...], isCut: true, embedded: 7)
        #expect(bytes.count == EndpointAnswer.size(dimension: 4))
        let answer = try #require(EndpointAnswer(bytes, dimension: 4))
        var found = [Float](repeating: 0, count: 4)
        found.withUnsafeMutableBufferPointer { answer.read(into: $0) }
        #expect(found == vector && answer.isCut)
        #expect(
            EndpointAnswer(bytes, dimension: 3) == nil && EndpointAnswer([2] + bytes.dropFirst(), dimension: 4) == nil)
        #expect(EndpointAnswer([], dimension: 0) == nil)
    }

    @Test func addresses() throws {
        let full = "https://host:1/v1/embeddings"
        for given in ["https://host:1", "https://host:1/", "https://host:1/v1", "https://host:1/v1/", full, full + "/"]
        {
            #expect(try EndpointPlan.address(given) == full)
        }
        #expect(try EndpointPlan.address("http://a/b/embeddings?x=1/2") == "http://a/b/embeddings?x=1/2")
        #expect(throws: StageError.self) { try EndpointPlan.address("host:1") }
    }

    /// A cut is never in the middle of a scalar, and takes away three bytes more than needed at most.
    @Test func cuts() {
        let text = Array("aé漢😀b\u{301}xyz".utf8)
        for most in 0...(text.count + 2) {
            let place = UTF8Cut.place(in: text, atMost: most)
            #expect(place <= most && place > most - 4 || place == text.count)
            #expect(String(validating: text[..<place], as: UTF8.self) != nil, "\(most)")
        }
        // What is no UTF-8 is cut anywhere.
        #expect(UTF8Cut.place(in: [UInt8](repeating: 0x80, count: 50), atMost: 20) == 20)
    }
}
