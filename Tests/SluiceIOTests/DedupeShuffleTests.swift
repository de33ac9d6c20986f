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
            #expect(try bytes(of: a) == bytes(of: b))
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
            #expect(try bytes(of: a) == bytes(of: b))
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

    // MARK: Damage

    /// A small input with duplicates and collisions in every section, or nearly.
    func small() -> Input {
        var random = SplitMix64(state: 6)
        let records = (0..<40).map { i -> Record in
            let content = Array("content \(i % 11)".utf8)
            let few = UInt64(i % 11 / 2)
            return Record(
                content: content, hash: ContentHash(high: Seed.mix(few), low: few),
                mark: content.withUnsafeBytes { ContentComparison.mark($0) })
        }
        return Input(records, parts: 3, &random)
    }

    /// Calls `use` with every damaged form of a file: each byte changed, and each length cut off.
    func damage(_ path: String, _ use: (String) throws -> Void) throws {
        let good = try bytes(of: path)
        defer { try? FileSystem.local.write(good, to: path) }
        for at in good.indices {
            var bad = good
            bad[at] ^= [0x01, 0x80, 0xFF][at % 3]
            try FileSystem.local.write(bad, to: path)
            try use("byte \(at)")
        }
        for length in stride(from: 0, to: good.count, by: 7) {
            try FileSystem.local.write(Array(good[..<length]), to: path)
            try use("length \(length)")
        }
        try FileSystem.local.write(good + [0], to: path)
        try use("one byte more")
    }

    /// Every task that reads the file refuses it, or has the right result because the damage is elsewhere; one refuses.
    func expectFound(
        _ damage: String, readers: Int, path: String, read: (Int) throws -> Bool
    ) {
        var refusals = 0
        for reader in 0..<readers {
            do {
                #expect(try read(reader), "\(damage), reader \(reader)")
            } catch {
                refusals += 1
                let failure = error as? IOFailure
                #expect(failure?.code == .corruptWorkFile, "\(damage): \(error)")
                #expect(failure?.path == path, "\(damage)")
            }
        }
        #expect(refusals > 0, "\(damage) was not found")
    }

    @Test func damagedHashesAndContentsAreRefused() throws {
        let work = work(small(), buckets: 2, in: "damage")
        try work.run(comparing: true, seed: 1)
        for (paths, resolve, results) in [
            (work.hashes, work.findCandidates, work.candidates), (work.contents, work.compare, work.duplicates),
        ] {
            let good = try results.map { try bytes(of: $0) }
            try damage(paths[1]) { damage in
                for result in results { try FileSystem.local.remove(result) }
                expectFound(damage, readers: 2, path: paths[1]) { bucket in
                    try resolve(bucket)
                    return try bytes(of: results[bucket]) == good[bucket]
                }
                #expect(try FileSystem.local.entries(of: folder("scratch")) == [], "\(damage)")
            }
            for bucket in 0..<2 { try resolve(bucket) }
        }
    }

    /// What a stream returns before it finds the damage is right.
    @Test func damagedDuplicatesAreRefused() throws {
        let work = work(small(), buckets: 2, in: "damage")
        try work.run(comparing: true, seed: 1)
        let result = try work.result()
        try damage(work.duplicates[0]) { damage in
            expectFound(damage, readers: 3, path: work.duplicates[0]) { part in
                let stream = try work.shuffle.duplicates(of: part, in: work.duplicates)
                var got = 0
                while let next = try stream.next() {
                    guard got < result[part].count, next == result[part][got] else { return false }
                    got += 1
                }
                return got == result[part].count
            }
        }
    }

    /// Damage in a later piece of a section is found before a row of that piece is used.
    @Test func damageIsFoundPieceByPiece() throws {
        var random = SplitMix64(state: 1)
        let input = Input(hashes(8000, distinct: 2000, seed: 1), parts: 1, &random)
        let work = work(input, buckets: 1, in: "pieces")
        try work.run(comparing: false, seed: 1)
        let good = try bytes(of: work.duplicates[0])
        let expected = try work.result()[0]
        let perPiece = SectionLayout.contentBytes / 16
        #expect(expected.count > 3 * perPiece)
        for at in stride(from: 50, to: good.count, by: 3001) {
            var bad = good
            bad[at] ^= 4
            try FileSystem.local.write(bad, to: work.duplicates[0])
            var got: [Duplicate] = []
            let thrown = failure {
                let stream = try work.shuffle.duplicates(of: 0, in: work.duplicates)
                while let next = try stream.next() { got.append(next) }
            }
            #expect(thrown?.code == .corruptWorkFile)
            #expect(got == Array(expected.prefix(got.count)) && got.count < expected.count)
        }
        // Pieces that have changed places have right checksums of their own.
        let (first, second) = (SectionLayout.labelBytes, SectionLayout.labelBytes + SectionLayout.pieceBytes)
        var swapped = good
        for i in 0..<SectionLayout.pieceBytes { swapped.swapAt(first + i, second + i) }
        try FileSystem.local.write(swapped, to: work.duplicates[0])
        #expect(failure { _ = try work.shuffle.duplicates(of: 0, in: work.duplicates) }?.code == .corruptWorkFile)
    }

    @Test func foreignFilesAreRefused() throws {
        let input = small()
        let work = work(input, buckets: 2, in: "own")
        let other = self.work(input, buckets: 2, in: "other", plan: 8)
        let wider = self.work(input, buckets: 3, in: "wider")
        for work in [work, other, wider] { try work.run(comparing: false, seed: 1) }
        for foreign in [work.hashes[0], work.duplicates[1], other.hashes[1], wider.hashes[1]] {
            var hashes = work.hashes
            hashes[1] = foreign
            let thrown = failure {
                try work.shuffle.findDuplicates(
                    bucket: 0, hashes: hashes, ordinals: input.places, to: folder("result"))
            }
            #expect(thrown?.code == .corruptWorkFile && thrown?.path == foreign)
            #expect(try !work.shuffle.isComplete(.hashes(part: 1), at: foreign))
        }
        #expect(try FileSystem.local.status(of: folder("result")) == nil)
        #expect(try work.shuffle.isComplete(.hashes(part: 1), at: work.hashes[1]))
        #expect(try !work.shuffle.isComplete(.hashes(part: 1), at: folder("missing")))
        #expect(try work.shuffle.isComplete(.duplicates(bucket: 1), at: work.duplicates[1]))
    }

    /// A number to add that doesn't fit the parts is found.
    @Test func recordsOutsideOfTheirPartAreRefused() throws {
        let input = small()
        let work = work(input, buckets: 1, in: "places")
        try work.run(comparing: false, seed: 1)
        for change in [1 << 41, UInt64.max - 3] {
            var places = input.places
            places[1].added &+= change
            let thrown = failure {
                try work.shuffle.findDuplicates(bucket: 0, hashes: work.hashes, ordinals: places, to: folder("result"))
            }
            #expect(thrown?.code == .corruptWorkFile && thrown?.path == work.hashes[1])
        }
    }

    @Test func aStopEndsTheWork() throws {
        let work = work(small(), buckets: 1, in: "stop")
        try work.run(comparing: true, seed: 1)
        let writer = try work.shuffle.hashWriter(part: 0, path: folder("stopped"))
        try writer.append(ContentHash(high: 1, low: 1), 1)
        let places = work.input.places
        for thrown in [
            failure { try writer.finish { true } },
            failure {
                try work.shuffle.findDuplicates(
                    bucket: 0, hashes: work.hashes, ordinals: places, to: folder("stopped")
                ) { true }
            },
            failure {
                try work.shuffle.compareContents(
                    bucket: 0, contents: work.contents, ordinals: places, to: folder("stopped")
                ) { true }
            },
        ] {
            #expect(thrown?.code == .stopped)
        }
        #expect(try FileSystem.local.status(of: folder("stopped")) == nil)
    }

    /// Every failing call gives an error or the right answer, and no file that isn't complete.
    @Test func faultsAreSurvived() throws {
        var random = SplitMix64(state: 9)
        let input = Input(records(300, distinct: 150, bits: 5, seed: 8), parts: 16, &random)
        let expected = input.expected(comparing: true)
        var survived = false
        var n = 1
        while !survived && n < 20_000 {
            let calls = Counter()
            let files = FileSystem.local.intercepting { [n] _, _ in calls.next() == n ? .tear(after: 3, 28) : .proceed }
            let work = work(input, buckets: 2, in: "faults", files: files)
            do {
                try work.run(comparing: true, seed: 3)
                #expect(try work.result() == expected, "call \(n)")
                survived = calls.value < n
            } catch {
                #expect(error is IOFailure, "call \(n): \(error)")
            }
            n += 19
            #expect(
                try FileSystem.local.entries(of: folder("faults")).allSatisfy {
                    !$0.hasSuffix(AtomicFile.temporarySuffix)
                })
            try FileSystem.local.removeTree(folder("faults"))
        }
        #expect(survived)
    }
}

/// Unlike `FileSystem.contents`, without a large buffer for a small file: the tests read thousands.
private func bytes(of path: String) throws -> [UInt8] {
    let file = try FileSystem.local.openForReading(path)
    var bytes = [UInt8](repeating: 0, count: Int(try file.status().size))
    let got = try file.read(into: &bytes, at: 0)
    #expect(got == bytes.count)
    return bytes
}

private func all(_ stream: DuplicateStream) throws -> [Duplicate] {
    var got: [Duplicate] = []
    while let next = try stream.next() { got.append(next) }
    return got
}
