import SluiceCore
import Testing

@testable import SluiceIO

/// Files cut into ranges, and read range by range: compared with reading the whole file.
@Suite struct FileRangeTests {
    let folder = TemporaryFolder()

    /// Everything that a reader finds in a file.
    struct Reading: Equatable {
        struct Record: Equatable {
            var line: UInt64
            var byte: UInt64
            var bytes: [UInt8]
            var isMalformed: Bool
        }
        var records: [Record] = []
        var overlong: [OverlongLine] = []
        var blankLines: UInt64 = 0
        var lines: UInt64 = 0

        /// Reads a source to its end; its lines follow those before.
        mutating func add(_ source: any ByteSource, limits: FramingLimits) throws {
            let reader = BlockReader(source, limits: limits)
            let block = RawBlock()
            let extractor = JSONExtractor([FieldPath("a")])
            let arena = FieldArena(width: 1)
            while try reader.next(into: block) {
                for line in block.lines {
                    let bytes = block.bytes(of: line)
                    arena.removeAll()
                    records.append(
                        Record(
                            line: lines + block.lineNumber(of: line), byte: block.byteOffset(of: line),
                            bytes: Array(bytes), isMalformed: extractor.extract(bytes, into: arena) != nil))
                }
                for long in block.overlong {
                    overlong.append(
                        OverlongLine(line: lines + long.line, byte: long.byte, length: long.length, head: long.head))
                }
                blankLines += block.blankLines
            }
            lines += reader.nextLine - 1
        }
    }

    func whole(_ path: String, _ limits: FramingLimits) throws -> Reading {
        var reading = Reading()
        try reading.add(FileSystem.local.openInput(path), limits: limits)
        return reading
    }

    /// Reads the ranges one by one, as other processes would.
    func ranges(_ path: String, _ ranges: [FileRange], _ limits: FramingLimits, ahead: Int = 0) throws -> Reading {
        var reading = Reading()
        for range in ranges {
            let options = InputOptions(bufferBytes: 64, readAheadFrames: ahead)
            try reading.add(FileSystem.local.openRange(range, of: path, options: options), limits: limits)
        }
        return reading
    }

    func expectTiling(_ ranges: [FileRange], size: Int) {
        #expect(ranges.first?.stored.lowerBound == 0 && ranges.first?.content.lowerBound == 0)
        #expect(ranges.last?.stored.upperBound == UInt64(size) && ranges.last?.isLast == true)
        for (range, next) in zip(ranges, ranges.dropFirst()) {
            #expect(range.stored.upperBound == next.stored.lowerBound)
            #expect(range.content.upperBound == next.content.lowerBound)
            #expect(!range.stored.isEmpty && !range.content.isEmpty && !range.isLast && !next.isFirst)
        }
    }

    /// Lines of every kind: records, broken ones, blank and overlong ones, with either line end, or none at the end.
    static func content(_ random: inout SplitMix64) -> [UInt8] {
        var bytes: [UInt8] = random.below(4) == 0 ? [0xEF, 0xBB, 0xBF] : []
        let count = random.below(3) == 0 ? random.below(4) : random.below(60)
        for number in 0..<count {
            switch random.below(9) {
            case 0: bytes += [[], Array(" \t".utf8), Array("\r".utf8)][random.below(3)]
            case 1: bytes += Array("{\"a\": «broken»".utf8.prefix(random.below(15)))
            case 2: bytes += Array("{\"a\":\"\(String(repeating: "ä€😀", count: random.below(60)))\"}".utf8)
            default:
                bytes += Array("{\"a\":\(number),\"b\":\"\(String(repeating: "é", count: random.below(8)))\"}".utf8)
            }
            if random.below(5) == 0 { bytes.append(0x0D) }
            if number < count - 1 || random.below(3) > 0 { bytes.append(0x0A) }
        }
        return bytes
    }

    /// Cuts anywhere: in lines, in characters, in the byte order mark.
    static func packed(_ bytes: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
        var file: [UInt8] = []
        var at = 0
        let most = [3, 20, 200][random.below(3)]
        while at < bytes.count || file.isEmpty {
            if random.below(6) == 0 { file += skippable(Array(repeating: 7, count: random.below(30))) }
            let end = min(bytes.count, at + random.below(most))
            file += frame(Array(bytes[at..<end]), level: 1)
            at = end
        }
        if random.below(3) == 0 { file += skippable([1, 2, 3]) }
        return file
    }

    @Test(arguments: [false, true]) func rangesGiveTheLinesOfTheFile(isPacked: Bool) throws {
        var random = SplitMix64(state: isPacked ? 1 : 2)
        var mostRanges = 0
        for turn in 0..<60 {
            let content = Self.content(&random)
            let bytes = isPacked ? Self.packed(content, &random) : content
            let path = try folder.write(isPacked ? "a.jsonl.zst" : "a.jsonl", bytes)
            let limits = FramingLimits(
                blockBytes: 1 + random.below(300), blockRecords: 1 + random.below(9), maxRecord: 20 + random.below(300),
                overlongHead: random.below(30), longRecord: random.below(2) == 0 ? .max : 50)
            let expected = try whole(path, limits)
            for target in [1, 1 + random.below(20), 1 + random.below(400)] {
                let cut = try FileSystem.local.inputRanges(of: path, target: UInt64(target))
                if cut != [.whole] { expectTiling(cut, size: bytes.count) }
                mostRanges = max(mostRanges, cut.count)
                let got = try ranges(path, cut, limits, ahead: random.below(2) * 2)
                #expect(got == expected, "turn \(turn), target \(target)")
                if got != expected { return }
            }
        }
        #expect(mostRanges > 20)
    }

    /// Ranges are found again by their own numbers, at any border between bytes.
    @Test func everyBorderOfASmallFile() throws {
        let text = "{\"a\":1}\n\n{\"a\":\"€\"}\r\n \r\n{\"a\":3}"
        for ending in ["", "\n", "\r\n"] {
            let path = try folder.write("b.jsonl", text + ending)
            let size = UInt64((text + ending).utf8.count)
            let expected = try whole(path, FramingLimits())
            #expect(expected.records.count == 3 && expected.blankLines == 2)
            for first in 1..<size {
                for second in first..<size {
                    let cut = [0..<first, first..<second, second..<size].map {
                        FileRange(stored: $0, content: $0, fileSize: size)
                    }
                    #expect(try ranges(path, cut, FramingLimits()) == expected, "\(first), \(second)")
                }
            }
        }
    }

    @Test func aLineAtTheBorderBelongsToTheRangeBefore() throws {
        let path = try folder.write("c.jsonl", "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n")
        let cut = [0..<8, 8..<24].map { FileRange(stored: $0, content: $0, fileSize: 24) }
        #expect(try ranges(path, [cut[0]], FramingLimits()).records.map(\.byte) == [0, 8])
        #expect(try ranges(path, [cut[1]], FramingLimits()).records.map(\.byte) == [16])
    }

    @Test func rangesAreAboutAsLargeAsAsked() throws {
        let text = String(repeating: "{\"a\":\"some text\"}\n", count: 1000)
        let path = try folder.write("d.jsonl", text)
        for target in [100, 1000, 17_000, 18_000, 40_000] as [UInt64] {
            let cut = try FileSystem.local.inputRanges(of: path, target: target)
            #expect(cut.count == (target > 12_000 ? 1 : (18_000 + Int(target) / 2) / Int(target)))
            if cut.count > 1 { #expect(cut.allSatisfy { $0.stored.count < target * 3 / 2 + 1 }) }
        }
    }

    @Test func whatCannotBeCutIsOneRange() throws {
        let lines = Array(String(repeating: "{\"a\":1}\n", count: 500).utf8)
        let array = Array("[\(String(repeating: "{\"a\":1},\n", count: 500)){}]".utf8)
        let spaces = [UInt8](repeating: 0x20, count: 5000)
        // A frame that doesn't state its size, between others that do.
        let unsized = frame(lines) + rawFrame(lines, windowLog: 12) + frame(lines)
        let sized = frame(lines) + frame(lines) + frame(lines)
        for (name, bytes, isCut) in [
            ("one.zst", frame(lines), false), ("unsized.zst", unsized, false), ("sized.zst", sized, true),
            ("short.zst", Array(sized.dropLast(3)), false), ("gz.gz", gzipMember(lines) + gzipMember(lines), false),
            ("array.jsonl", array, false), ("array.zst", frame(array) + frame([0x0A]), false),
            ("named.json", Array("[1,\n2]\n".utf8) + lines, false),
            ("named.jsonl", Array("[1,\n2]\n".utf8) + lines, true),
            ("far.jsonl", spaces + array, true), ("empty.jsonl", [], false), ("wrong.zst", lines, false),
        ] as [(String, [UInt8], Bool)] {
            let path = try folder.write(name, bytes)
            let cut = try FileSystem.local.inputRanges(of: path, target: 10)
            #expect((cut != [.whole]) == isCut, "\(name)")
            if !["wrong.zst", "short.zst", "named.json"].contains(name) {
                let expected = try whole(path, FramingLimits())
                #expect(try ranges(path, cut, FramingLimits()) == expected, "\(name)")
            }
        }
        #expect(try FileSystem.local.inputRanges(of: "-", target: 1) == [.whole])
        #expect(try FileSystem.local.inputRanges(of: "/dev/null", target: 1) == [.whole])
        #expect(try FileSystem.local.inputRanges(of: folder("missing"), target: 1) == [.whole])
    }

    /// A range of an uncompressed file may begin with the first bytes of another format.
    @Test func bytesInTheMiddleDontDecideTheFormat() throws {
        let content = Array("{\"a\":\"".utf8) + [0x1F, 0x8B, 8, 0] + Array("\"}\n{}\n".utf8)
        let path = try folder.write("e.jsonl", content)
        let size = UInt64(content.count)
        let cut = [0..<6, 6..<size].map { FileRange(stored: $0, content: $0, fileSize: size) }
        #expect(try ranges(path, cut, FramingLimits()) == whole(path, FramingLimits()))
    }

    /// The digest of a range is that of its own bytes, however far its last line reaches.
    @Test(arguments: [0, 2]) func aDigestSeesTheRangeOnly(ahead: Int) throws {
        var random = SplitMix64(state: 5)
        let text = (0..<300).map { "{\"a\":\($0 * 7919)}\n" }.joined()
        let bytes = Self.packed(Array(text.utf8), &random) + skippable([9])
        let path = try folder.write("f.zst", bytes)
        let cut = try FileSystem.local.inputRanges(of: path, target: 1500)
        try #require(cut.count > 2)
        for range in cut {
            let digest = FileDigest()
            let options = InputOptions(digest: digest, readAheadFrames: ahead)
            _ = try readAll(FileSystem.local.openRange(range, of: path, options: options), pieces: 100)
            let expected = bytes[Int(range.stored.lowerBound)..<Int(range.stored.upperBound)].withUnsafeBytes {
                XXHash.hash128($0)
            }
            #expect(digest.mark == FileDigest.Mark(bytes: UInt64(range.stored.count), hash: expected))
        }
    }

    @Test func framesAreReadAheadInARange() throws {
        let lines = (0..<40).map { Array("{\"a\":\($0)}\n".utf8) }
        let file = lines.flatMap { frame($0) }
        let path = try folder.write("g.zst", file)
        let cut = try FileSystem.local.inputRanges(of: path, target: UInt64(file.count / 3))
        try #require(cut.count == 3)
        let source = try FileSystem.local.openRange(cut[1], of: path, options: InputOptions(readAheadFrames: 2))
        #expect(source.unpackAhead() && source.unpackAhead() && !source.unpackAhead())
        var reading = Reading()
        try reading.add(source, limits: FramingLimits())
        #expect(reading == (try ranges(path, [cut[1]], FramingLimits())))
        #expect(reading.records.count > 10)
    }

    @Test func aFileThatChangedIsRefused() throws {
        let lines = Array(String(repeating: "{\"a\":1}\n", count: 100).utf8)
        let path = try folder.write("h.zst", frame(lines) + frame(lines) + frame(lines))
        let cut = try FileSystem.local.inputRanges(of: path, target: 1)
        try #require(cut.count == 3)
        var other = cut[1]
        for change in [-1, 1] {
            other.content = cut[1].content.lowerBound..<UInt64(Int(cut[1].content.upperBound) + change)
            #expect(
                failure { _ = try readAll(FileSystem.local.openRange(other, of: path)) }?.code == .corruptStream)
        }
        try folder.write("h.zst", frame(lines) + frame(lines))
        #expect(failure { _ = try FileSystem.local.openRange(cut[0], of: path) }?.code == .corruptStream)
    }

    /// A large window waits for permission, also in the line before the range and in the one that ends after it.
    @Test func aRangeWaitsForALargeWindow() throws {
        let parts = ["{\"a\":1", "}\n{\"a\":2", "}\n{}\n"].map { Array($0.utf8) }
        // A header of one segment has no window of its own, so that frames state both.
        func sized(_ bytes: [UInt8]) -> [UInt8] {
            let block = UInt32(bytes.count) << 3 | 1
            return [0x28, 0xB5, 0x2F, 0xFD, 0x80, UInt8(23 - 10) << 3] + littleEndian(UInt32(bytes.count))
                + littleEndian(block)[..<3] + bytes
        }
        let path = try folder.write("i.zst", parts.flatMap(sized))
        let cut = try FileSystem.local.inputRanges(of: path, target: 1)
        try #require(cut.count == 3)
        let gate = WindowGate(freeLog: 20)
        let source = try FileSystem.local.openRange(cut[1], of: path, options: InputOptions(gate: gate))
        let reader = BlockReader(source)
        let block = RawBlock()
        for turn in 0..<3 {
            #expect(try reader.next(into: block) { _ in true } == .waiting)
            gate.isOpen = turn == 2
        }
        #expect(try reader.next(into: block) { _ in true } == .block)
        #expect(block.lines.map { utf8(block.bytes(of: $0)) } == ["{\"a\":2}"])
        #expect(block.lines.map { block.byteOffset(of: $0) } == [8])
    }

    /// Files that are read as if over a network.
    private struct DistantFiles: InputStore {
        final class File: InputFile {
            let file: any InputFile
            init(_ file: any InputFile) { self.file = file }
            var path: String { file.path }
            var seeksFreely: Bool { false }
            func size() throws(IOFailure) -> UInt64? { try file.size() }
            func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
                try file.read(into: buffer)
            }
            func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(IOFailure) -> Int {
                try file.read(into: buffer, at: offset)
            }
        }

        func inputs(matching pattern: String) throws(IOFailure) -> [String] { [pattern] }
        func status(ofInput path: String) throws(IOFailure) -> InputStatus? {
            try FileSystem.local.status(ofInput: path)
        }
        func open(input path: String) throws(IOFailure) -> any InputFile {
            File(try FileSystem.local.open(input: path))
        }
    }

    @Test func aSeekTableCutsAFileAsItsFramesDo() throws {
        let path = "\(folder.path)/table.jsonl.zst"
        let writer = try ZstdSeekableWriter(path, frameBytes: 700)
        for number in 0..<400 { try writer.append(Array(#"{"a":\#(number * number)}"#.utf8) + [0x0A]) }
        try writer.finish()
        let good = try FileSystem.local.contents(of: path)
        let table = ZstdSeekableWriter.seekTable(writer.frames).count
        // No table, one whose contents are wrong, and one whose frames end elsewhere.
        var moved = good
        let first = good.count - table + 8
        (moved[first], moved[first + 8]) = (moved[first] &+ 1, moved[first + 8] &- 1)
        var wrong = good
        wrong[first + 4] ^= 1
        for bytes in [good, Array(good.dropLast(table)), moved, wrong] {
            try FileSystem.local.write(bytes, to: path)
            for target: UInt64 in [1, 300, 1000, 2500] {
                let plain = try FileSystem.local.inputRanges(of: path, target: target)
                #expect(try DistantFiles().inputRanges(of: path, target: target) == plain)
            }
        }
    }
}
