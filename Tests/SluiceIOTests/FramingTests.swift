import SluiceCore
import Testing

@testable import SluiceIO

/// The output of a reader, by kind.
struct Framed: Equatable {
    var records: [String] = []
    var lineNumbers: [UInt64] = []
    var offsets: [UInt64] = []
    var blank: UInt64 = 0
    var overlong: [OverlongLine] = []
    /// The records of every block.
    var blockSizes: [Int] = []
}

func framed(_ source: any ByteSource, _ limits: FramingLimits = FramingLimits()) throws -> Framed {
    var result = Framed()
    let failure = collect(source, limits, into: &result)
    if let failure { throw failure }
    return result
}

func collect(_ source: any ByteSource, _ limits: FramingLimits, into result: inout Framed) -> IOFailure? {
    let reader = BlockReader(source, limits: limits)
    let block = RawBlock()
    do throws(IOFailure) {
        while try reader.next(into: block) {
            for line in block.lines {
                result.records.append(utf8(block.bytes(of: line)))
                result.lineNumbers.append(block.lineNumber(of: line))
                result.offsets.append(block.byteOffset(of: line))
            }
            result.blank += block.blankLines
            result.overlong += block.overlong
            result.blockSizes.append(block.lines.count)
        }
        return nil
    } catch { return error }
}

@Suite struct FramingTests {
    /// The definition, in the simplest way.
    func naive(_ bytes: [UInt8], maxRecord: Int, head: Int) -> Framed {
        var result = Framed()
        var start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        var number: UInt64 = 1
        while start < bytes.count {
            let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
            var line = Array(bytes[start..<end])
            if line.last == 0x0D { line.removeLast() }
            if line.count > maxRecord {
                result.overlong.append(
                    OverlongLine(
                        line: number, byte: UInt64(start), length: UInt64(line.count), head: Array(line.prefix(head))))
            } else if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) {
                result.blank += 1
            } else {
                result.records.append(String(decoding: line, as: UTF8.self))
                result.lineNumbers.append(number)
                result.offsets.append(UInt64(start))
            }
            number += 1
            start = end + 1
        }
        return result
    }

    @Test func linesAreThoseOfANaiveSplitter() throws {
        var random = SplitMix64(state: 42)
        let pieces = [
            "\n", "\r\n", "\r", "a", "bc", "{\"k\":1}", " ", "\t", "é", "\u{2028}", "\u{85}", "xxxxxxxxxxxxxxxxx",
        ]
        for round in 0..<400 {
            var text = round % 7 == 0 ? "\u{FEFF}" : ""
            // More than the reader examines before it starts.
            if round % 5 == 0 { for i in 0..<1500 { text += "\(i)\n" } }
            for _ in 0..<random.below(60) { text += pieces[random.below(pieces.count)] }
            let bytes = Array(text.utf8)
            let limits = FramingLimits(
                blockBytes: 1 + random.below(40), blockRecords: 1 + random.below(5), maxRecord: 1 + random.below(30),
                overlongHead: 8)
            let expected = naive(bytes, maxRecord: limits.maxRecord, head: 8)
            var first: [Int]?
            for most: UInt64 in [1, 5, 1000] {
                var got = try framed(PiecewiseSource(bytes, seed: UInt64(round), most: most), limits)
                // The boundaries of blocks don't depend on how the bytes arrive.
                if let first { #expect(got.blockSizes == first) } else { first = got.blockSizes }
                got.blockSizes = []
                #expect(got == expected, "round \(round): \(text.debugDescription) \(limits)")
            }
        }
    }

    @Test func blocksEndWhereTheyShould() throws {
        let bytes = Array(String(repeating: "0123456\n", count: 10).utf8)
        #expect(try framed(PiecewiseSource(bytes), FramingLimits(blockBytes: 16)).blockSizes == [2, 2, 2, 2, 2])
        #expect(try framed(PiecewiseSource(bytes), FramingLimits(blockBytes: 17)).blockSizes == [3, 3, 3, 1])
        #expect(try framed(PiecewiseSource(bytes), FramingLimits(blockRecords: 4)).blockSizes == [4, 4, 2])
    }

    @Test func giantLinesAreRememberedInPart() throws {
        let giant = [UInt8](repeating: UInt8(ascii: "g"), count: 3 << 20)
        let bytes = Array("{\"a\":1}\n".utf8) + giant + Array("\r\n{\"b\":2}\n".utf8)
        let limits = FramingLimits(maxRecord: 1 << 20)
        let reader = BlockReader(PiecewiseSource(bytes, most: 200_000), limits: limits)
        let block = RawBlock()
        #expect(try reader.next(into: block))
        #expect(block.lines.count == 1)
        #expect(block.overlong.map(\.length) == [3 << 20])
        #expect(block.overlong[0].line == 2 && block.overlong[0].byte == 8)
        #expect(block.overlong[0].head.count == 64 << 10)
        #expect(block.capacity < 3 << 20)
        #expect(try reader.next(into: block))
        #expect(block.lines.map { block.lineNumber(of: $0) } == [3])
        #expect(block.lines.map { block.byteOffset(of: $0) } == [UInt64(8 + (3 << 20) + 2)])
        #expect(try !reader.next(into: block))
    }

    @Test func paddingIsThere() throws {
        let reader = BlockReader(PiecewiseSource(Array("abc".utf8)))
        let block = RawBlock()
        #expect(try reader.next(into: block))
        #expect(block.memory.count >= block.count + RawBlock.padding)
        #expect(block.memory[3..<(3 + RawBlock.padding)].allSatisfy { $0 == 0 })
    }

    @Test func linesBeforeAFaultAreGiven() throws {
        let fault = IOFailure(.corruptStream, path: "x", found: "bad")
        for most: UInt64 in [1, 100, 100_000] {
            var got = Framed()
            let bytes = Array(String(repeating: "{\"a\":1}\n", count: 2000).utf8) + Array("{\"half".utf8)
            let thrown = collect(
                PiecewiseSource(bytes, most: most, failure: fault), FramingLimits(blockRecords: 150), into: &got)
            #expect(thrown == fault)
            #expect(got.records.count == 2000)
        }
    }

    // MARK: Arrays

    @Test func arraysAreToldByTheirContent() throws {
        func layout(_ text: String, _ path: String) throws -> RecordLayout {
            let reader = BlockReader(PiecewiseSource(Array(text.utf8), path: path))
            _ = try reader.next(into: RawBlock())
            return reader.layout
        }
        #expect(try layout("[{\"a\":1}]", "a.jsonl") == .array)
        #expect(try layout(" \n [\n\n {}]", "a") == .array)
        #expect(try layout("[]", "a") == .array)
        #expect(try layout("[1,2,3]\n{}", "a.jsonl") == .lines)
        #expect(try layout("[1,2,3]", "a.json") == .array)
        #expect(try layout("[1,2,3]", "a.json.zst") == .array)
        #expect(try layout("{\"a\":1}\n{}", "a.json") == .lines)
        #expect(try layout("", "a.json") == .lines)
    }

    @Test func elementsAreRecordsOnOneLine() throws {
        let text =
            "\u{FEFF}\n[\n  {\n    \"a\": [1,\r\n 2],\n    \"b\": \"x ] } , \\\" y\"\n  },\n  {\"c\":{}} ,7,\"s\"\n, null ]\n\n"
        for most: UInt64 in [1, 3, 1000] {
            for limits in [FramingLimits(), FramingLimits(blockBytes: 1), FramingLimits(blockRecords: 2)] {
                let got = try framed(PiecewiseSource(Array(text.utf8), path: "a.json", most: most), limits)
                #expect(
                    got.records == [
                        "{     \"a\": [1,   2],     \"b\": \"x ] } , \\\" y\"   }", "{\"c\":{}}", "7", "\"s\"", "null",
                    ])
                #expect(got.lineNumbers == [1, 2, 3, 4, 5], "a number names one record")
                let bytes = Array(text.utf8)
                #expect(bytes[Int(got.offsets[1])...].starts(with: Array("{\"c\"".utf8)))
                #expect(bytes[Int(got.offsets[4])...].starts(with: Array("null".utf8)))
            }
        }
        #expect(try framed(PiecewiseSource(Array("[ ]".utf8))).records == [])
    }

    @Test func arraysThatBreakGiveWhatCameBefore() throws {
        for (text, good) in [
            ("[{\"a\":1},{\"b\":2", 1), ("[{\"a\":1} {\"b\":2}]", 1), ("[{\"a\":1},{\"b\":2]}]", 1),
            ("[{\"a\":1}]x", 1),
            ("[{\"a\":1},]", 1), ("[{},,{}]", 1), ("[{}", 1), ("[", 0), ("[{},", 1), ("[{},{\"a", 1), ("[{}][{}]", 1),
        ] {
            for most: UInt64 in [1, 1000] {
                var got = Framed()
                let thrown = collect(
                    PiecewiseSource(Array(text.utf8), path: "a.json", most: most), FramingLimits(), into: &got)
                #expect(thrown?.code == .malformedArray, "\(text)")
                #expect(got.records.count == good, "\(text)")
            }
        }
    }

    @Test func longElementsArePassedOver() throws {
        let text = "[{\"a\":1},\n{\"long\":\"xxxxxxxxxxxxxxxxxxxxx\"},\n{\"b\":2}]"
        let got = try framed(
            PiecewiseSource(Array(text.utf8)), FramingLimits(maxRecord: 12, overlongHead: 5))
        #expect(got.records == ["{\"a\":1}", "{\"b\":2}"])
        #expect(got.lineNumbers == [1, 3])
        #expect(
            got.overlong == [OverlongLine(line: 2, byte: 10, length: 32, head: Array("{\"lon".utf8))])
    }

    /// Bytes, and then a failure.
    private final class FailingSource: ByteSource {
        let path = "failing"
        let format = StreamFormat.plain
        private var rest: ArraySlice<UInt8>
        private let failure: IOFailure
        var fileOffset: UInt64 { 0 }

        init(_ bytes: ArraySlice<UInt8>, then failure: IOFailure) { (rest, self.failure) = (bytes, failure) }

        func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
            guard !rest.isEmpty else { throw failure }
            let part = rest.prefix(min(buffer.count, 700))
            buffer.copyBytes(from: part)
            rest = rest.dropFirst(part.count)
            return part.count
        }
    }

    /// A run that goes on after such a failure begins with the next block, so there must not be another border.
    @Test func aFailureThatMayPassEndsNoBlock() throws {
        let lines = (0..<300).map { #"{"a":\#($0),"b":"\#(String(repeating: "x", count: $0 * 7 % 90))"}"# }
        let inputs = [lines.joined(separator: "\n") + "\n", "[" + lines.joined(separator: ",\n") + "]"]
        let limits = FramingLimits(blockBytes: 1500, maxRecord: 80, overlongHead: 10)
        func ends(_ bytes: ArraySlice<UInt8>, then failure: IOFailure) -> (ends: [UInt64], failure: IOFailure?) {
            let reader = BlockReader(FailingSource(bytes, then: failure), limits: limits)
            let block = RawBlock()
            var ends: [UInt64] = []
            do throws(IOFailure) {
                while try reader.next(into: block) { ends.append(reader.nextByte) }
                return (ends, nil)
            } catch { return (ends, error) }
        }
        for input in inputs.map({ Array($0.utf8) }) {
            // Without its end, which would end a block.
            let failure = IOFailure(.cannotRead, path: "failing", errno: 5, found: "it can't be read")
            let whole = ends(input[...], then: failure).ends
            #expect(whole.count > 5)
            for count in stride(from: 1, to: input.count, by: 37) {
                let found = ends(input[..<count], then: failure)
                #expect(found.failure == failure)
                #expect(whole.starts(with: found.ends), "\(count)")
            }
            // Damage does: all lines before it are returned.
            let damage = IOFailure(.corruptStream, path: "failing", found: "it is corrupt")
            #expect(ends(input[..<(input.count / 2)], then: damage).ends.last ?? 0 > 0)
        }
    }
}
