import SluiceCore
import SluiceIO
import Synchronization
import Testing

@testable import SluiceEngine

/// `dedupe: {verify: bytes}` with hashes of few bits, so that most contents share theirs: compared with a dictionary of
/// contents, and with a run that uses the full hash.
@Suite struct ComparedContentsTests {
    /// A corpus of two files, and the result that a dictionary gives.
    struct Corpus {
        let folder: TemporaryFolder
        var lines: [[String]] = [[], []]
        /// Kept lines, of all files in order.
        var kept: [String] = []
        /// The ledger.
        var ledger: [String] = []
        var distinct = 0

        /// The compared content: two fields, distinguished by kind; the line if a record has neither.
        private enum Key: Hashable {
            case fields([String?])
            case line(String)
        }

        init(_ count: Int, seed: UInt64, byLine: Bool = false) throws {
            folder = try TemporaryFolder()
            var random = SplitMix64(state: seed)
            var first: [Key: String] = [:]
            for number in 0..<count {
                let file = number < count / 3 ? 0 : 1
                let (key, line) = Self.record(random.below(max(1, count / 2)), &random)
                lines[file].append(line)
                let place = #"{"file":"in-\#(file).jsonl","line":\#(lines[file].count)}"#
                guard let key else { continue }
                if let partner = first[byLine ? .line(line) : key] {
                    ledger.append(
                        #"\#(place.dropLast()),"stage":"dedupe","reason":"duplicate","kept":\#(partner)}"#)
                } else {
                    first[byLine ? .line(line) : key] = place
                    kept.append(line)
                }
            }
            distinct = first.count
            for (number, lines) in lines.enumerated() {
                try FileSystem.local.write(
                    Array((lines.joined(separator: "\n") + "\n").utf8), to: "\(folder.path)/in-\(number).jsonl")
            }
        }

        /// One of the spellings of content `number`; no key if the line is malformed.
        private static func record(_ number: Int, _ random: inout SplitMix64) -> (key: Key?, line: String) {
            if number % 41 == 3 { return (nil, #"{"a": "cut"#) }
            if number % 13 == 5 {
                let line = #"{"other": \#(number)}"#
                return (.line(line), line)
            }
            // Values that differ only by kind, by where a field ends, or by presence.
            let a = ["\"\(number / 8)x\"", "\"\(number / 8)\"", "\(number / 8)", "null", nil][number % 5]
            let b = ["\"y\"", "\"xy\"", "\"\"", nil][number / 5 % 4] ?? "\"tail \(number)\""
            var entries = [a.map { "\"a\":\($0)" }, "\"b\": \(b)", "\"noise\":\(random.below(3))"].compactMap { $0 }
            if random.below(2) == 0 { entries.reverse() }
            var line = "{" + entries.joined(separator: random.below(2) == 0 ? "," : " , ") + "}"
            if random.below(3) == 0, let y = line.firstRange(of: "y\"") { line.replaceSubrange(y, with: "\\u0079\"") }
            return (.fields([a, b]), line)
        }

        func definition(_ output: String, byLine: Bool = false, verify: DedupeSpec.Verification = .bytes)
            -> Definition
        {
            var input = InputSpec(files: ["\(folder.path)/in-*.jsonl"])
            input.folder = folder.path
            input.dedupe = byLine ? DedupeSpec(on: .line, verify: verify) : .fields(["a", "b"], verify: verify)
            return Definition(
                memory: 256 << 20, input: input, output: OutputSpec(directory: "\(folder.path)/\(output)"))
        }

        func options(threads: Int, bits: Int?, share: Int?) -> RunOptions {
            var options = RunOptions(threads: threads)
            options.blockBytes = 3000
            options.checkpointSeconds = 0
            options.dedupeBytes = share
            options.dedupeHashBits = bits
            options.force = true
            return options
        }
    }

    static func text(_ path: String) throws -> [String] {
        let source = try FileSystem.local.openInput(path)
        var bytes: [UInt8] = []
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 64)
        defer { buffer.deallocate() }
        while case let count = try source.read(into: buffer), count > 0 { bytes += buffer[..<count] }
        return bytes.split(separator: 0x0A).map { String(decoding: $0, as: UTF8.self) }
    }

    private func expectRight(_ corpus: Corpus, _ output: String, _ what: Comment) throws {
        #expect(try Self.text("\(corpus.folder.path)/\(output)/kept.jsonl.zst") == corpus.kept, what)
        #expect(try Self.text("\(corpus.folder.path)/\(output)/ledger.jsonl.zst") == corpus.ledger, what)
    }

    private func dedupe(_ result: RunResult) -> JSONValue { result.manifest["stages"]?.elements.first ?? .null }

    /// Nil: all in memory. 1 MiB: in memory or on disk, depending on the corpus; 1: on disk.
    @Test(arguments: [4, 8, 12, 16, nil], [nil, 1 << 20, 1])
    func agreesWithADictionary(bits: Int?, share: Int?) throws {
        for (seed, count, byLine) in [(1, 900, false), (2, 700, true), (3, 40, false)] as [(UInt64, Int, Bool)] {
            let corpus = try Corpus(count, seed: seed &+ UInt64(bits ?? 0), byLine: byLine)
            var collisions: Set<Int> = []
            for threads in [1, 2, 8] {
                let result = try Run(
                    corpus.definition("out", byLine: byLine), registry: Registry([]),
                    options: corpus.options(threads: threads, bits: bits, share: share)
                ).run()
                try expectRight(corpus, "out", "seed \(seed), \(threads) threads")
                #expect(dedupe(result)["verify"] == "bytes")
                #expect(dedupe(result)["distinct"]?.integerValue == corpus.distinct)
                collisions.insert(dedupe(result)["collisions"]?.integerValue ?? -1)
            }
            // The difference between the numbers of contents and hashes, however they are found.
            let weak = Set(try Self.hashes(of: corpus, byLine: byLine).map { TruncatedHash(bits: bits)($0) })
            #expect(collisions == [corpus.distinct - weak.count])
            if let bits, bits <= 8, count > 500 { #expect(corpus.distinct - weak.count > 50) }
        }
    }

    /// The hashes of the contents, by the framing that the dedupe uses.
    private static func hashes(of corpus: Corpus, byLine: Bool) throws -> [ContentHash] {
        let extractor = JSONExtractor([FieldPath("a"), FieldPath("b")])
        let arena = FieldArena(width: 2)
        var hasher = RecordHasher()
        return corpus.kept.map { line in
            Array(line.utf8).withUnsafeBytes { bytes in
                arena.removeAll()
                guard !byLine, extractor.extract(bytes, into: arena) == nil,
                    arena.kind(0, 0) != .missing || arena.kind(0, 1) != .missing
                else { return XXHash.hash128(bytes) }
                return hasher.hash(arena, row: 0, fields: 0..<2)
            }
        }
    }

    /// Without the comparison the weak hash loses records: so the tests above do test something.
    @Test func theHashAloneLosesRecords() throws {
        let corpus = try Corpus(900, seed: 1)
        let result = try Run(
            corpus.definition("weak", verify: .hash), registry: Registry([]),
            options: corpus.options(threads: 2, bits: 4, share: nil)
        ).run()
        #expect(result.kept == 16)
        #expect(dedupe(result)["collisions"] == nil)
    }

    @Test func manyContentsOutgrowTheirShare() throws {
        let corpus = try Corpus(24_000, seed: 5)
        for (bits, threads) in [(8, 1), (16, 8), (nil, 2)] as [(Int?, Int)] {
            var options = corpus.options(threads: threads, bits: bits, share: 512 << 10)
            options.keepWork = true
            options.blockBytes = 64 << 10
            options.checkpointSeconds = 10
            _ = try Run(corpus.definition("out"), registry: Registry([]), options: options).run()
            try expectRight(corpus, "out", "\(bits ?? 128) bits")
            #expect(try FileSystem.local.status(of: "\(corpus.folder.path)/out/work/dedupe/candidates") != nil)
        }
    }

    /// Stopped again and again, at each point in turn, and resumed.
    @Test(arguments: [nil, 1], [4, 12])
    func stoppedAnywhereAndResumed(share: Int?, bits: Int) throws {
        let corpus = try Corpus(700, seed: 9)
        let whole = try Run(
            corpus.definition("whole"), registry: Registry([]),
            options: corpus.options(threads: 2, bits: bits, share: share)
        ).run()
        var stops = 0
        for step in [7, 23, 61] {
            var finished = false
            var resume = false
            for round in 1...400 where !finished {
                // A little further each time, since building the table again uses part of the calls.
                let limit = step + round * 3
                var options = corpus.options(threads: 1 + round % 3, bits: bits, share: share)
                options.force = !resume
                options.resume = resume
                let stop = Stop(after: limit)
                options.isStopped = { stop.isNow }
                do {
                    let result = try Run(
                        corpus.definition("out-\(step)"), registry: Registry([]), options: options
                    ).run()
                    finished = true
                    #expect(dedupe(result) == dedupe(whole))
                } catch let error as EngineError where error.code == .stopped {
                    stops += 1
                    resume = true
                }
            }
            #expect(finished)
            try expectRight(corpus, "out-\(step)", "stopped every \(step) pieces of work")
        }
        #expect(stops > 20)
    }

    private final class Stop: Sendable {
        private let left: Atomic<Int>

        init(after count: Int) { left = Atomic(count) }

        var isNow: Bool { left.subtract(1, ordering: .relaxed).newValue < 0 }
    }

    /// A file that changes between two readings is an error, not a different answer.
    @Test func aChangedInputIsRefused() throws {
        let corpus = try Corpus(600, seed: 3)
        let path = "\(corpus.folder.path)/in-1.jsonl"
        let shorter = Array((corpus.lines[1].dropFirst().joined(separator: "\n") + "\n").utf8)
        let count = Box()
        var options = corpus.options(threads: 1, bits: 6, share: 1)
        options.fileSystem = FileSystem.local.intercepting { operation, name in
            // The reading ended by the overflow, the one that hashes, and the one that compares.
            if operation == .open, name == path, count.next() == 2 {
                try? FileSystem.local.write(shorter, to: path)
            }
            return .proceed
        }
        do {
            _ = try Run(corpus.definition("out"), registry: Registry([]), options: options).run()
            Issue.record("the input changed")
        } catch let error as EngineError {
            #expect(error.code == .data)
            #expect(error.message.contains("changed while it was read"), "\(error)")
        }
        #expect(try FileSystem.local.status(of: "\(corpus.folder.path)/out/kept.jsonl.zst") == nil)
    }

    private final class Box: Sendable {
        private let count = Atomic<Int>(0)
        func next() -> Int { count.add(1, ordering: .relaxed).newValue }
    }
}
