import SluiceCore
import Testing

@testable import SluiceIO

@Suite struct StreamTests {
    let folder = TemporaryFolder()
    let text = Array((0..<400).map { "line \($0) of some text\n" }.joined().utf8)

    func read(_ name: String, _ bytes: [UInt8], options: InputOptions = InputOptions(), pieces: Int = 65536) throws
        -> [UInt8]
    {
        try readAll(try FileSystem.local.openInput(try folder.write(name, bytes), options: options), pieces: pieces)
    }

    @Test func formatFollowsContentNotName() throws {
        for name in ["a.jsonl", "a.txt", "a"] {
            #expect(try read(name, text) == text)
            #expect(try read(name, frame(text)) == text)
            #expect(try read(name, gzipMember(text)) == text)
        }
        #expect(try read("a.gz", frame(text)) == text)
    }

    @Test func emptyFilesAreEmptyStreams() throws {
        for name in ["e", "e.jsonl"] { #expect(try read(name, []) == []) }
        // Compressed data never has 0 bytes.
        for name in ["e.zst", "e.zstd", "e.gz", "e.jsonl.zst"] {
            #expect(failure { _ = try read(name, []) }?.code == .truncatedStream)
        }
        #expect(try read("s.zst", skippable([1, 2, 3])) == [])
        #expect(try read("f.zst", frame([])) == [])
    }

    @Test func namesThatPromiseTooMuchAreRefused() throws {
        let zst = failure { _ = try read("a.jsonl.zst", Array(#"{"a":1}"#.utf8)) }
        #expect(zst?.code == .notCompressed)
        #expect(zst?.description.contains("named .zst but starts with «{\"a\":1}»") == true)
        #expect(failure { _ = try read("a.jsonl.gz", text) }?.code == .notCompressed)
    }

    @Test func framesAndMembersFollowOneAnother() throws {
        let joined =
            skippable([9, 9]) + frame(text) + frame([]) + skippable([]) + frame(text, level: 1) + skippable([1])
        for pieces in [1, 7, 1000, 65536] {
            #expect(try read("a.zst", joined, options: InputOptions(bufferBytes: 64), pieces: pieces) == text + text)
            #expect(
                try read(
                    "a.gz", gzipMember(text) + gzipMember([]) + gzipMember(text) + [0, 0, 0],
                    options: InputOptions(bufferBytes: 64), pieces: pieces) == text + text)
        }
    }

    @Test func longWindowsNeedLeave() throws {
        let bytes = rawFrame(text, windowLog: 28)
        let refused = failure { _ = try read("a.zst", bytes) }
        #expect(refused?.code == .windowTooLarge)
        #expect(refused?.description.contains("Allow windowLogMax 28") == true)
        #expect(try read("a.zst", bytes, options: InputOptions(windowLogMax: 28)) == text)
        #expect(try read("a.zst", rawFrame(text, windowLog: 27)) == text)
    }

    /// A truncated file, or one with any byte changed, gives an error or the right bytes, never other bytes.
    @Test(arguments: ["zst", "gz"]) func damageNeverPassesUnseen(kind: String) throws {
        let small = Array("{\"text\":\"a small file of a few lines\"}\n{\"text\":\"that is all\"}\n".utf8)
        let whole = kind == "zst" ? frame(small) + frame(small) : gzipMember(small) + gzipMember(small)
        let half = whole.count / 2
        for cut in 1..<whole.count where cut != half {
            let name = "cut.\(kind)"
            let thrown = failure { _ = try read(name, Array(whole[..<cut])) }
            #expect(thrown != nil, "cut at \(cut)")
            if cut > 18, cut != half { #expect(thrown?.code == .truncatedStream, "cut at \(cut): \(thrown!)") }
        }
        var unseen = 0
        for at in whole.indices {
            for flip in [UInt8(1), 0x80, 0xFF] {
                var bytes = whole
                bytes[at] ^= flip
                do {
                    let got = try read("bad.\(kind)", bytes, options: InputOptions(windowLogMax: 20))
                    // Bytes without influence on the content, such as gzip's time stamp, may change.
                    if got != small + small { unseen += 1 }
                } catch let error as IOFailure {
                    #expect([.corruptStream, .truncatedStream, .windowTooLarge, .notCompressed].contains(error.code))
                }
            }
        }
        #expect(unseen == 0)
    }

    @Test func errorsSayHowMuchWasGood() throws {
        let whole = frame(text)
        let thrown = failure { _ = try read("a.zst", whole + whole[..<(whole.count / 2)]) }
        #expect(thrown?.code == .truncatedStream)
        #expect(thrown?.offset == UInt64(whole.count + whole.count / 2))
        #expect(thrown?.description.contains("frame that begins at byte \(whole.count)") == true)
        let garbage = failure { _ = try read("a.zst", whole + Array("garbage".utf8)) }
        #expect(garbage?.code == .corruptStream)
        #expect(garbage?.description.contains("after \(text.count) unpacked bytes") == true)
    }

    @Test func framesAreListedAndReadAlone() throws {
        let parts = [Array(text[..<1000]), Array(text[1000..<1010]), Array(text[1010...])]
        let bytes = frame(parts[0]) + skippable([1, 2]) + frame(parts[1]) + rawFrame(parts[2], windowLog: 20)
        let path = try folder.write("f.zst", bytes)
        let frames = try FileSystem.local.zstdFrames(of: path)
        #expect(frames.map(\.contentSize) == [1000, 10, nil])
        #expect(frames.map(\.hasChecksum) == [true, true, false])
        for (frame, part) in zip(frames, parts) {
            #expect(try readAll(try FileSystem.local.openInput(path, range: frame.range)) == part)
        }
        try folder.write("cut.zst", Array(bytes.dropLast()))
        #expect(failure { _ = try FileSystem.local.zstdFrames(of: folder("cut.zst")) }?.code == .truncatedStream)
        try folder.write("plain", text)
        #expect(failure { _ = try FileSystem.local.zstdFrames(of: folder("plain")) }?.code == .notCompressed)
    }

    @Test func failingReadsNameTheFile() throws {
        let path = try folder.write("a.zst", frame(text))
        let faulty = FileSystem.local.intercepting { operation, _ in operation == .read ? .fail(5) : .proceed }
        let thrown = failure { _ = try readAll(try faulty.openInput(path)) }
        #expect(thrown?.code == .cannotRead)
        #expect(thrown?.path == path)
        let slow = FileSystem.local.intercepting { _, _ in .short(1) }
        #expect(try readAll(try slow.openInput(path)) == text)
    }

    /// Found by fuzzing: if one read had room for several blocks, those before a bad block were lost with it.
    @Test func blocksBeforeABadOneAreGivenWhateverThePieces() throws {
        let header: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x48]
        func blockHeader(size: Int, kind: UInt32, last: Bool = false) -> [UInt8] {
            Array(littleEndian(UInt32(size) << 3 | kind << 1 | (last ? 1 : 0))[..<3])
        }
        // Raw bytes, one byte 5,000 times, an empty block, raw bytes.
        let good =
            blockHeader(size: 300, kind: 0) + text[..<300] + blockHeader(size: 5000, kind: 1) + [97]
            + blockHeader(size: 0, kind: 0) + blockHeader(size: 2, kind: 0) + [98, 99]
        let content = text[..<300] + [UInt8](repeating: 97, count: 5000) + [98, 99]
        let ends: [(String, [UInt8])] = [
            ("no such kind of block", blockHeader(size: 9, kind: 3) + text[..<40]),
            ("no entropy tables", blockHeader(size: 20, kind: 2) + text[..<20] + text[..<40]),
            ("a block beyond the window", blockHeader(size: 1 << 20, kind: 1) + [97]),
            ("whole, then no frame", blockHeader(size: 1, kind: 0, last: true) + [100] + text[..<40]),
        ]
        for (name, end) in ends {
            let path = try folder.write("b.zst", header + good + end)
            var messages: Set<String> = []
            for pieces in [1, 2, 299, 300, 5301, 65536] {
                for bufferBytes in [64, 67, 310, 65536] {
                    let source = try FileSystem.local.openInput(path, options: InputOptions(bufferBytes: bufferBytes))
                    var buffer = [UInt8](repeating: 0, count: pieces)
                    var all: [UInt8] = []
                    let problem = failure {
                        while case let count = try buffer.withUnsafeMutableBytes({ try source.read(into: $0) }),
                            count > 0
                        {
                            all += buffer[..<count]
                        }
                    }
                    #expect(all.starts(with: content) && all.count - content.count <= 1, "\(name), pieces of \(pieces)")
                    #expect(problem?.code == .corruptStream, "\(name), pieces of \(pieces)")
                    messages.insert(problem.map { String($0.found.suffix(27)) } ?? "")
                }
            }
            #expect(messages.count == 1, "\(name): \(messages)")
        }
    }

    /// Found by fuzzing: the error about a member that is corrupt exactly where the file ends must not depend on buffer
    /// sizes.
    @Test func corruptGzipIsCalledSoWhateverThePieces() throws {
        let bytes: [UInt8] = [
            0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 3, 0xAB, 0xCA, 0x48, 2, 3, 0xAB, 0xCA, 0x48, 0xCD, 0x61, 0x79, 0, 0,
        ]
        for pieces in [1, 2, 11, 12, 13, 65536] {
            for bufferBytes in [64, 67, 65536] {
                let found = failure {
                    _ = try read("c.gz", bytes, options: InputOptions(bufferBytes: bufferBytes), pieces: pieces)
                }
                #expect(found?.code == .corruptStream, "pieces of \(pieces): \(String(describing: found))")
            }
        }
    }

    @Test func aCutGzipFileGivesAllThatIsGoodWhateverThePieces() throws {
        // Found by fuzzing: with small buffers, bytes still held by zlib at the end of the file were lost.
        let path = try folder.write(
            "cut.gz",
            [
                0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xAB, 0x56, 0x2A, 0x28, 0xCA, 0xCF,
                0x2D, 0x28, 0x51, 0xB2, 0x52, 0xCA, 0x48, 0xCD, 0xC9, 0xC9, 0x57, 0x40, 0x22, 0x95, 0x6A, 0xB9,
                0xAA, 0x47, 0xA5, 0x47, 0xA5, 0x47, 0xA5, 0x47, 0xA5, 0x87, 0x9A, 0x34,
            ] as [UInt8])
        var counts: Set<Int> = []
        for pieces in [1, 7, 100, 118, 65536] {
            let source = try FileSystem.local.openInput(path)
            var buffer = [UInt8](repeating: 0, count: pieces)
            var total = 0
            let problem = failure {
                while case let count = try buffer.withUnsafeMutableBytes({ try source.read(into: $0) }), count > 0 {
                    total += count
                }
            }
            #expect(problem?.code == .truncatedStream)
            counts.insert(total)
        }
        #expect(counts.count == 1)
    }
}

@Suite struct SeekableTests {
    let folder = TemporaryFolder()

    @Test func framesFollowContentAndCanBeReadAlone() throws {
        var random = SplitMix64(state: 7)
        var all: [UInt8] = []
        let writer = try ZstdSeekableWriter(folder("s.zst"), frameBytes: 1000)
        for i in 0..<500 {
            let record = Array("{\"id\":\(i),\"x\":\"\(String(repeating: "y", count: random.below(90)))\"}\n".utf8)
            all += record
            try writer.append(record)
        }
        try writer.finish()
        #expect(try readAll(try FileSystem.local.openInput(folder("s.zst"))) == all)
        let reader = try ZstdSeekableReader(folder("s.zst"))
        #expect(reader.contentSize == UInt64(all.count))
        #expect(reader.frameCount == writer.frames.count && reader.frameCount > 10)
        var bytes: [UInt8] = []
        for i in (0..<reader.frameCount).reversed() {
            try reader.read(frame: i, into: &bytes)
            let range = reader.contentRange(i)
            #expect(bytes == Array(all[Int(range.lowerBound)..<Int(range.upperBound)]))
            #expect(bytes.last == 0x0A)
            if i < reader.frameCount - 1 { #expect(bytes.count >= 1000 && bytes.count < 1200) }
            #expect(reader.frame(holding: range.lowerBound) == i)
            #expect(reader.frame(holding: range.upperBound - 1) == i)
        }
        // The same frames, made elsewhere and added in order, give the same file.
        let compressor = FrameCompressor()
        let second = try ZstdSeekableWriter(folder("t.zst"))
        var packed: [UInt8] = []
        for i in 0..<reader.frameCount {
            try reader.read(frame: i, into: &bytes)
            try compressor.compress(bytes, into: &packed)
            try second.appendFrame(packed, contentSize: bytes.count)
        }
        try second.finish()
        #expect(try FileSystem.local.contents(of: folder("s.zst")) == FileSystem.local.contents(of: folder("t.zst")))
    }

    @Test func filesWithoutTableAndEmptyFilesWork() throws {
        let path = try folder.write("a.zst", frame([1, 2, 3]) + skippable([0]) + frame([4, 5]))
        let reader = try ZstdSeekableReader(path)
        #expect(reader.frameCount == 2)
        var bytes: [UInt8] = []
        try reader.read(frame: 1, into: &bytes)
        #expect(bytes == [4, 5])
        let writer = try ZstdSeekableWriter(folder("empty.zst"))
        try writer.finish()
        #expect(try readAll(try FileSystem.local.openInput(folder("empty.zst"))) == [])
        #expect(try ZstdSeekableReader(folder("empty.zst")).contentSize == 0)
    }

    @Test func droppedWriterLeavesNothing() throws {
        do {
            let writer = try ZstdSeekableWriter(folder("s.zst"))
            try writer.append(Array("x\n".utf8))
        }
        #expect(folder.names == [])
    }
}
