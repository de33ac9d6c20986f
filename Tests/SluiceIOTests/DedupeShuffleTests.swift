import SluiceCore
import Testing

@testable import SluiceIO

/// The dedupe by parts and buckets: compared with a plain definition, and with the dedupe in one piece.
@Suite struct DedupeShuffleTests {
    let folder = TemporaryFolder()

    typealias Record = ContentComparisonTests.Record

    /// The records of a run, cut into parts; several parts may belong to one file.
    struct Input {
        var records: [Record]
        /// The absolute ordinal of each record, ascending.
        var ordinals: [UInt64] = []
        var parts: [Range<Int>] = []
        var places: [PartOrdinals] = []

        /// Cuts at random places; some parts are empty. Half of the parts number their records from 1, as a reader does
        /// who does not know the parts before.
        init(_ records: [Record], parts count: Int, _ random: inout SplitMix64) {
            self.records = records
            let cuts = [0] + (1..<count).map { _ in random.below(records.count + 1) }.sorted() + [records.count]
            var (file, lines) = (0, 0)
            for part in 0..<count {
                if random.below(3) == 0 { (file, lines) = (file + 1, 0) }
                let base = Ordinal(file: file, line: lines).rawValue
                places.append(PartOrdinals(first: base + 1, added: random.below(2) == 0 ? base : 0))
                parts.append(cuts[part]..<cuts[part + 1])
                for _ in parts[part] {
                    lines += 1
                    ordinals.append(Ordinal(file: file, line: lines).rawValue)
                }
            }
        }

        /// The definition, by part.
        func expected(comparing: Bool) -> [[Duplicate]] {
            var firsts: [[UInt8]: UInt64] = [:]
            var hashes: [ContentHash: UInt64] = [:]
            return parts.map { part in
                part.compactMap { i in
                    let (record, ordinal) = (records[i], ordinals[i])
                    let earlier = hashes[record.hash]
                    hashes[record.hash] = earlier ?? ordinal
                    guard comparing else { return earlier.map { Duplicate(ordinal: ordinal, kept: $0) } }
                    if let kept = firsts[record.content] { return Duplicate(ordinal: ordinal, kept: kept) }
                    firsts[record.content] = ordinal
                    return earlier == nil ? nil : Duplicate(ordinal: ordinal, kept: ordinal)
                }
            }
        }
    }

    /// The tasks of a shuffle, and where their files are.
    struct Work {
        let shuffle: DedupeShuffle
        let folder: String
        let input: Input

        var hashes: [String] { (0..<shuffle.parts).map { "\(folder)/hashes-\($0)" } }
        var candidates: [String] { (0..<shuffle.buckets).map { "\(folder)/candidates-\($0)" } }
        var contents: [String] { (0..<shuffle.parts).map { "\(folder)/contents-\($0)" } }
        var duplicates: [String] { (0..<shuffle.buckets).map { "\(folder)/duplicates-\($0)" } }

        func writeHashes(_ part: Int, _ random: inout SplitMix64) throws {
            let writer = try shuffle.hashWriter(part: part, path: hashes[part])
            for i in input.parts[part].shuffled(using: &random) {
                try writer.append(input.records[i].hash, input.ordinals[i] - input.places[part].added)
            }
            try writer.finish()
            #expect(writer.count == UInt64(input.parts[part].count))
        }

        func writeContents(_ part: Int, _ random: inout SplitMix64) throws {
            let writer = try shuffle.contentWriter(part: part, path: contents[part])
            var found = try all(shuffle.candidates(of: part, in: candidates))
            found.shuffle(using: &random)
            for candidate in found {
                let i = input.parts[part].first { input.ordinals[$0] == candidate.ordinal }
                let record = input.records[try #require(i)]
                try record.content.withUnsafeBytes {
                    try writer.append(group: candidate.kept, mark: record.mark, candidate.ordinal, $0)
                }
            }
            try writer.finish()
        }

        func findDuplicates(_ bucket: Int) throws {
            try shuffle.findDuplicates(bucket: bucket, hashes: hashes, ordinals: input.places, to: duplicates[bucket])
        }

        func findCandidates(_ bucket: Int) throws {
            try shuffle.findCandidates(bucket: bucket, hashes: hashes, ordinals: input.places, to: candidates[bucket])
        }

        func compare(_ bucket: Int) throws {
            try shuffle.compareContents(
                bucket: bucket, contents: contents, ordinals: input.places, to: duplicates[bucket])
        }

        /// Runs all tasks, those of a phase in random order.
        func run(comparing: Bool, seed: UInt64) throws {
            var random = SplitMix64(state: seed)
            try FileSystem.local.makeFolder(folder)
            for part in (0..<shuffle.parts).shuffled(using: &random) { try writeHashes(part, &random) }
            let buckets = (0..<shuffle.buckets).shuffled(using: &random)
            guard comparing else {
                for bucket in buckets { try findDuplicates(bucket) }
                return
            }
            for bucket in buckets { try findCandidates(bucket) }
            for part in (0..<shuffle.parts).shuffled(using: &random) { try writeContents(part, &random) }
            for bucket in buckets { try compare(bucket) }
        }

        func result() throws -> [[Duplicate]] {
            try (0..<shuffle.parts).map { try all(shuffle.duplicates(of: $0, in: duplicates)) }
        }
    }

    func work(
        _ input: Input, buckets: Int, memory: Int = 0, in name: String, plan: UInt64 = 7, files: FileSystem = .local
    ) -> Work {
        let shuffle = DedupeShuffle(
            plan: ContentHash(high: plan, low: 9), parts: input.parts.count, buckets: buckets, memory: memory,
            scratch: folder("scratch"), fileSystem: files)
        return Work(shuffle: shuffle, folder: folder(name), input: input)
    }

    func records(_ count: Int, distinct: Int, bits: UInt64, seed: UInt64) -> [Record] {
        ContentComparisonTests().records(count, distinct: distinct, bits: bits, seed: seed)
    }

    /// Hashes without contents.
    func hashes(_ count: Int, distinct: Int, seed: UInt64) -> [Record] {
        var random = SplitMix64(state: seed)
        return (0..<count).map { _ in
            let key = UInt64(random.below(distinct))
            let hash = ContentHash(high: Seed.mix(key), low: key)
            return Record(content: [], hash: hash, mark: hash)
        }
    }

    static let shapes: [(count: Int, distinct: Int, bits: UInt64, parts: Int, buckets: Int)] = [
        (0, 1, 4, 1, 1), (1, 1, 4, 3, 2), (60, 7, 0, 5, 3), (900, 300, 4, 1, 7), (900, 300, 8, 40, 1),
        (900, 800, 12, 7, 40), (900, 300, 64, 17, 5),
    ]

    @Test(arguments: shapes)
    func shuffleAgreesWithTheDefinition(count: Int, distinct: Int, bits: UInt64, parts: Int, buckets: Int) throws {
        for comparing in [false, true] {
            var random = SplitMix64(state: UInt64(count + parts))
            let input = Input(
                records(count, distinct: distinct, bits: bits, seed: 3), parts: parts, &random)
            let work = work(input, buckets: buckets, in: "\(count)-\(bits)-\(parts)-\(comparing)")
            try work.run(comparing: comparing, seed: 5)
            #expect(try work.result() == input.expected(comparing: comparing))
            #expect(try FileSystem.local.entries(of: folder("scratch")) == [])
        }
    }

    /// The same files and the same answer, whatever the memory: some work goes through disk in several rounds.
    @Test func memoryChangesNothing() throws {
        var random = SplitMix64(state: 2)
        let input = Input(hashes(12_000, distinct: 8000, seed: 4), parts: 60, &random)
        let made = Counter()
        let files = FileSystem.local.intercepting { operation, path in
            if operation == .rename, path.contains("/merge-") { _ = made.next() }
            return .proceed
        }
        let small = work(input, buckets: 3, in: "small", files: files)
        try small.run(comparing: false, seed: 1)
        // At least four of its merges for each bucket.
        #expect(made.value >= 3 * 4)
        let large = work(input, buckets: 3, memory: 64 << 20, in: "large")
        try large.run(comparing: false, seed: 8)
        #expect(try small.result() == input.expected(comparing: false))
        for (a, b) in zip(small.hashes + small.duplicates, large.hashes + large.duplicates) {
            #expect(try storedBytes(of: a) == storedBytes(of: b))
        }
    }

    /// One part whose hashes are sorted in runs, and so many buckets that a part's duplicates are merged in rounds.
    @Test func manyBucketsAndALargePart() throws {
        var random = SplitMix64(state: 3)
        let input = Input(hashes(20_000, distinct: 15_000, seed: 6), parts: 1, &random)
        let work = work(input, buckets: 200, in: "large-part")
        try work.run(comparing: false, seed: 1)
        let expected = input.expected(comparing: false)
        #expect(try work.result() == expected)
        let stream = try work.shuffle.duplicates(of: 0, in: work.duplicates)
        #expect(stream.count == UInt64(expected[0].count))
        #expect(try FileSystem.local.entries(of: folder("scratch")) == [])
    }

    /// More contents than are sorted in memory, in more parts than are merged at a time.
    @Test func contentsAreComparedInRounds() throws {
        var random = SplitMix64(state: 4)
        let input = Input(records(9000, distinct: 6000, bits: 8, seed: 4), parts: 25, &random)
        let small = work(input, buckets: 2, in: "small")
        try small.run(comparing: true, seed: 1)
        #expect(try small.result() == input.expected(comparing: true))
        let large = work(input, buckets: 2, memory: 64 << 20, in: "large")
        try large.run(comparing: true, seed: 2)
        for (a, b) in zip(small.contents + small.duplicates, large.contents + large.duplicates) {
            #expect(try storedBytes(of: a) == storedBytes(of: b))
        }
    }

    @Test func agreesWithTheDedupeInOnePiece() throws {
        var random = SplitMix64(state: 5)
        let input = Input(hashes(5000, distinct: 2000, seed: 7), parts: 9, &random)
        let work = work(input, buckets: 4, in: "pieces")
        try work.run(comparing: false, seed: 1)
        let spill = try DedupeSpill(folder: folder("spill"), memory: 1)
        for (record, ordinal) in zip(input.records, input.ordinals) { try spill.append(record.hash, ordinal) }
        try spill.finish()
        #expect(try work.result().flatMap { $0 } == all(spill.resolve()))
    }
}

/// Unlike `FileSystem.contents`, without a large buffer for a small file: the tests read thousands.
func storedBytes(of path: String) throws -> [UInt8] {
    let file = try FileSystem.local.openForReading(path)
    var bytes = [UInt8](repeating: 0, count: Int(try file.status().size))
    let got = try file.read(into: &bytes, at: 0)
    #expect(got == bytes.count)
    return bytes
}

func all(_ stream: DuplicateStream) throws -> [Duplicate] {
    var got: [Duplicate] = []
    while let next = try stream.next() { got.append(next) }
    return got
}
