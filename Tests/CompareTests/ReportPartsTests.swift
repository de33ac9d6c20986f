import SluiceCore
import Testing

@testable import SluiceCommand
@testable import SluiceEngine

/// The parts of which reports are made, against plain definitions.
@Suite struct ReportPartsTests {
    /// What is common is a longest common subsequence of both texts.
    @Test func differencesLeaveTheLongestCommonWords() {
        var generator = Seed(7).generator()
        for _ in 0..<300 {
            func words() -> [Substring] {
                (0..<Int(generator.next(below: 8))).map { _ in ["a", "b", "c"][Int(generator.next(below: 3))] }
            }
            let (a, b) = (words(), words())
            let (inA, inB) = (WordDifference.common(a, b), WordDifference.common(b, a))
            func taken(_ words: [Substring], _ isCommon: [Bool]) -> [Substring] {
                zip(words, isCommon).filter(\.1).map(\.0)
            }
            let longest = longestCommon(a[...], b[...])
            for (common, other) in [(taken(a, inA), b), (taken(b, inB), a)] {
                #expect(common.count == longest, "\(a) \(b)")
                var rest = other[...]
                for word in common {
                    guard let at = rest.firstIndex(of: word) else {
                        Issue.record("\(common) is not in \(other)")
                        break
                    }
                    rest = rest[(at + 1)...]
                }
            }
        }
        #expect(
            WordDifference.marked("the old  <b> dog", beside: "the dog") == "the <mark>old  &lt;b&gt; </mark>dog")
    }

    private func longestCommon(_ a: ArraySlice<Substring>, _ b: ArraySlice<Substring>) -> Int {
        guard let x = a.first, let y = b.first else { return 0 }
        if x == y { return 1 + longestCommon(a.dropFirst(), b.dropFirst()) }
        return max(longestCommon(a.dropFirst(), b), longestCommon(a, b.dropFirst()))
    }

    /// No text can leave its element or attribute, and none of it is lost.
    @Test func escapedTextReadsBack() {
        var generator = Seed(8).generator()
        let scalars: [Unicode.Scalar] = ["<", ">", "&", "\"", "'", "a", "é", "中", "\n", ";", "#", "\u{1F600}"]
        for _ in 0..<500 {
            var text = ""
            for _ in 0..<12 { text.unicodeScalars.append(scalars[Int(generator.next(below: UInt64(scalars.count)))]) }
            let escaped = HTML.text(text)
            #expect(!escaped.contains { "<>\"'".contains($0) })
            let back = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")].reduce(escaped)
            {
                $0.replacing($1.0, with: $1.1)
            }
            #expect(back == text)
        }
        #expect(HTML.text("a\r\nb\rc\u{202E}\u{0}") == #"a\#nb\u{d}c\u{202e}\u{0}"#)
    }

    /// The words of a record, whole or cut; scripts without spaces count by pairs.
    @Test func wordsAreFolded() {
        let line = Array(#"{"text":"The Café,\nnew 12 a1b 数据集","n":["deep\tsea",{"x":"Law"}]}"#.utf8)
        func words(_ names: Set<String>, most: Int = 1000) -> Set<String> {
            line.withUnsafeBytes { bytes in
                let record = RunRecord(
                    ordinal: Ordinal(file: 0, line: 1), hash: ContentHash(high: 0, low: 0), loss: nil, line: bytes,
                    vector: nil,
                    label: .missing)
                return RecordText(record, most: most).words(of: names)
            }
        }
        #expect(words(["text"]) == ["the", "cafe", "new", "a1b", "数据", "据集"])
        #expect(words(["none"]) == words(["text"]).union(["deep", "sea", "law"]))
        #expect(words(["text"], most: 20) == ["the", "cafe", "new"])
    }

    @Test func typicalWordsAreThoseOfOneGroup() {
        let texts: [(group: Int, words: Set<String>)] =
            (0..<20).map { (0, ["the", "sea", "n\($0)"]) } + (0..<20).map { (1, ["the", "law", "n\($0)"]) }
        #expect(TypicalWords.find(texts, groups: 3) == [["sea"], ["law"], []])
    }

    /// A sample has the lowest keys, one per content, in any order of offers.
    @Test func samplesHaveTheLowestKeys() {
        var generator = Seed(9).generator()
        let keys = (0..<400).map { index in
            let content = generator.next(below: 150)
            return BottomSample.Key(
                draw: Seed.mix(content), hash: ContentHash(high: 0, low: content), ordinal: UInt64(index))
        }
        var sample = SampledValues<UInt64>(40)
        for key in keys { sample.offer(key) { key.ordinal } }
        var expected: [BottomSample.Key] = []
        for key in keys.sorted() where expected.last?.hash != key.hash { expected.append(key) }
        #expect(sample.lowest == expected.prefix(40).map(\.ordinal))
    }

    @Test func vectorsOnDiskReadBack() throws {
        var generator = Seed(10).generator()
        let rows = (0..<3000).map { _ in (0..<500).map { _ in Int8(truncatingIfNeeded: generator.next()) } }
        let spill = try VectorSpill(dimension: 500)
        for row in rows[..<1700] { try spill.append(row[...]) }
        #expect(try spill.read(1690..<1700) == Array(rows[1690..<1700].joined()))
        for row in rows[1700...] { try spill.append(row[...]) }
        #expect(spill.rows == 3000)
        #expect(try spill.gather([2999, 0, 1700]) == rows[2999] + rows[0] + rows[1700])
    }
}
