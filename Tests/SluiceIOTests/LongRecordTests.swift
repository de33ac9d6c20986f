import SluiceCore
import Testing

@testable import SluiceIO

/// Records with their own block because they are long, and readers that wait for the memory of one.
@Suite struct LongRecordTests {
    /// A source that sometimes has nothing to return, and says so.
    private final class HesitantSource: ByteSource {
        private let source: PiecewiseSource
        private var random: SplitMix64
        private(set) var isWaiting = false
        var path: String { source.path }
        var format: StreamFormat { .plain }
        var fileOffset: UInt64 { source.fileOffset }

        init(_ source: PiecewiseSource, seed: UInt64) {
            self.source = source
            random = SplitMix64(state: seed)
        }

        func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
            isWaiting = random.next(below: 4) == 0
            return isWaiting ? 0 : try source.read(into: buffer)
        }
    }

    /// A block as returned.
    private struct Given: Equatable {
        var firstByte: UInt64
        var records: [String]
        var numbers: [UInt64]
        var offsets: [UInt64]
        var blank: UInt64
        var overlong: [OverlongLine]
        var isLong: Bool
        var nextByte: UInt64
    }

    /// - Parameter patience: decides at random whether more of a long record may be read; nil for always.
    private func blocks(_ source: any ByteSource, _ limits: FramingLimits, patience: UInt64? = nil) throws -> [Given] {
        let reader = BlockReader(source, limits: limits)
        let block = RawBlock()
        var random = SplitMix64(state: patience ?? 0)
        var all: [Given] = []
        while true {
            // Denied at any moment, also in the middle of a record.
            var allowed = 0
            let step = try reader.next(into: block) { length in
                #expect(length <= limits.maxRecord)
                guard patience == nil || random.next(below: 2) == 0 else { return false }
                allowed = max(allowed, length)
                return true
            }
            switch step {
            case .end: return all
            case .waiting: continue
            case .block: break
            }
            if let last = all.last {
                #expect(block.firstByte >= last.nextByte, "a run that goes on there loses nothing")
            }
            if block.isLong {
                #expect(block.lines.count + block.overlong.count == 1)
                for line in block.lines { #expect(allowed >= Int(line.end - line.start), "memory was asked for") }
            }
            for line in block.lines where !block.isLong {
                #expect(Int(line.end - line.start) <= limits.longRecord)
            }
            all.append(
                Given(
                    firstByte: block.firstByte, records: block.lines.map { utf8(block.bytes(of: $0)) },
                    numbers: block.lines.map { block.lineNumber(of: $0) },
                    offsets: block.lines.map { block.byteOffset(of: $0) }, blank: block.blankLines,
                    overlong: block.overlong, isLong: block.isLong, nextByte: reader.nextByte))
        }
    }

    private func draw(_ random: inout SplitMix64, isArray: Bool) -> [UInt8] {
        var elements: [String] = []
        for _ in 0..<random.next(below: 40) {
            let length = [0, 3, 18, 19, 20, 21, 22, 59, 60, 61, 62, 300][Int(random.next(below: 12))]
            let text = String(repeating: "x", count: length)
            elements.append(isArray ? "{\"a\":\"\(text)\"}" : text)
        }
        if isArray { return Array(("[" + elements.joined(separator: ",\n") + "]").utf8) }
        let ends = ["\n", "\r\n"]
        let lines = elements.map { $0 + ends[Int(random.next(below: 2))] }.joined()
        return Array((random.next(below: 2) == 0 ? lines : lines + "an end without a line end").utf8)
    }

    @Test(arguments: [false, true])
    func blocksFollowFromTheInputAlone(isArray: Bool) throws {
        var random = SplitMix64(state: isArray ? 5 : 6)
        let limits = FramingLimits(blockBytes: 64, blockRecords: 5, maxRecord: 60, overlongHead: 7, longRecord: 20)
        var usual = limits
        usual.longRecord = .max
        for seed in UInt64(1)...200 {
            let bytes = draw(&random, isArray: isArray)
            let path = isArray ? "test.json" : "test.jsonl"
            func source(_ seed: UInt64) -> PiecewiseSource { PiecewiseSource(bytes, path: path, seed: seed) }
            let once = try blocks(source(seed), limits)
            #expect(try blocks(source(seed + 1), limits, patience: seed) == once)
            #expect(try blocks(HesitantSource(source(seed + 2), seed: seed), limits, patience: seed) == once)
            // The same records as without waiting.
            let plain = try framed(source(seed), usual)
            #expect(once.flatMap(\.records) == plain.records)
            #expect(once.flatMap(\.numbers) == plain.lineNumbers)
            #expect(once.flatMap(\.offsets) == plain.offsets)
            #expect(once.flatMap(\.overlong) == plain.overlong)
            #expect(once.reduce(0) { $0 + $1.blank } == plain.blank)
        }
    }

    @Test func aLoneRecordHasTheFieldsOfAnyOther() throws {
        let paths = [FieldPath("prompt"), FieldPath("a.b"), FieldPath.chat, FieldPath("missing")]
        let lines = [
            #"{"prompt":"x\ny","a":{"b":[1,2]}}"#, #"{"prompt":null}"#, #"{"pr\u006fmpt":"","a":1}"#, "{}",
            #"{"messages":[{"role":"user","content":"hi"},{"content":[{"type":"text","text":"a\""},{"type":"image"},{"type":"text","text":"b"}],"role":"assistant"}]}"#,
            #"{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"r"}]}"#,
            #"{"messages":[{"role":"user","content":7}],"prompt":"p"}"#, #"{"prompt":"#, "[1]",
            "{\"prompt\":\"\(String(repeating: "long ", count: 400_000))\"}",
        ]
        let extractor = JSONExtractor(paths)
        for line in lines {
            let arena = FieldArena(width: paths.count)
            Array(line.utf8).withUnsafeBytes { bytes in
                let fault = extractor.extract(bytes, into: arena)
                extractor.shrink()
                switch extractor.extractAlone(bytes) {
                case .failure(let found): #expect(found == fault)
                case .success(let found):
                    #expect(fault == nil)
                    #expect(found.bytes.count == arena.usedBytes)
                    for (field, place) in found.places.enumerated() {
                        #expect(place.kind == arena.kind(0, field))
                        #expect(
                            found.bytes[place.offset..<(place.offset + place.length)].elementsEqual(
                                arena.value(0, field)))
                    }
                    var parts: [UInt8] = []
                    found.forEachPart(of: [0, 2]) { parts += $0 }
                    var hasher = RecordHasher()
                    #expect(parts.elementsEqual(hasher.frame(arena, row: 0, fields: [0, 2])))
                }
            }
        }
    }

    /// A line of nothing but turns doesn't take a multiple of its size.
    @Test func chatContentsOfManyPartsAreJoined() throws {
        let part = #"{"type":"text","text":"ab\n"},"#
        let content = String(repeating: part, count: 1000) + #"{"type":"text","text":"c"}"#
        let line = #"{"messages":[{"role":"user","content":["# + content + "]}]}"
        let extractor = JSONExtractor([.chat])
        try Array(line.utf8).withUnsafeBytes { bytes in
            let found = try extractor.extractAlone(bytes).get()
            let turns = Array(ChatTurns(encoded: found.bytes[...]))
            #expect(turns.count == 1)
            let text = turns.first.map { String(decoding: $0.content, as: UTF8.self) }
            #expect(text == String(repeating: "ab\n", count: 1000) + "c")
        }
    }

    @Test(arguments: [1, 3, 9, 12, 17, 19])
    func aCompressorTakesNoMoreThanItSays(level: Int) throws {
        let compressor = FrameCompressor(level: level)
        var random = SplitMix64(state: 3)
        let words = (0..<997).map { _ in random.next() }
        var frame: [UInt8] = []
        for count in [1000, 2 << 20, 6 << 20] {
            var bytes: [UInt8] = []
            while bytes.count < count { words.withUnsafeBytes { bytes += $0 } }
            try compressor.compress(bytes, into: &frame)
            #expect(compressor.memory <= FrameCompressor.memory(level: level), "level \(level), \(count) bytes")
        }
    }
}
