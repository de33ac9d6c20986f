import SluiceCore
import Testing

@testable import SluiceIO

/// Byte-by-byte comparison of contents, in memory and on disk, with hashes so weak that most contents share them:
/// compared with a dictionary of contents.
@Suite struct ContentComparisonTests {
    let folder = TemporaryFolder()

    struct Record {
        let content: [UInt8]
        let hash: ContentHash
        let mark: ContentHash
    }

    /// Contents with repeats: some empty, some a prefix of another, some larger than a frame of a run, some larger than
    /// the memory of a sorter.
    func records(_ count: Int, distinct: Int, bits: UInt64, seed: UInt64) -> [Record] {
        var random = SplitMix64(state: seed)
        let contents = (0..<distinct).map { number -> [UInt8] in
            let length = number % 97 == 5 ? 20_000 + random.below(180_000) : random.below(number % 7 == 0 ? 3 : 160)
            return (0..<length).map { _ in UInt8(97 + random.below(2)) }
        }
        return (0..<count).map { _ in
            let content = contents[random.below(distinct)]
            let mask = bits >= 64 ? UInt64.max : 1 << bits - 1
            func weak(_ hash: ContentHash) -> ContentHash {
                let few = hash.low & mask
                return ContentHash(high: Seed.mix(few), low: few)
            }
            return content.withUnsafeBytes {
                Record(content: content, hash: weak(XXHash.hash128($0)), mark: weak(ContentComparison.mark($0)))
            }
        }
    }

    /// The definition: the first record with a content is kept; a later one that shares only its hash is a collision.
    func expected(_ records: [Record]) -> [Duplicate] {
        var first: [[UInt8]: UInt64] = [:]
        var hashes: Set<ContentHash> = []
        var result: [Duplicate] = []
        for (i, record) in records.enumerated() {
            if let kept = first[record.content] {
                result.append(Duplicate(ordinal: UInt64(i), kept: kept))
                continue
            }
            first[record.content] = UInt64(i)
            if !hashes.insert(record.hash).inserted { result.append(Duplicate(ordinal: UInt64(i), kept: UInt64(i))) }
        }
        return result
    }

    static let shapes: [(count: Int, distinct: Int, bits: UInt64)] = [
        (0, 1, 4), (1, 1, 0), (60, 7, 0), (900, 300, 4), (1500, 900, 8), (1500, 900, 12), (1500, 900, 16),
        (1500, 900, 64), (2000, 3, 64), (500, 500, 64),
    ]

    @Test(arguments: shapes) func tableAgreesWithADictionary(count: Int, distinct: Int, bits: UInt64) {
        for seed in 0..<3 as Range<UInt64> {
            let records = records(count, distinct: distinct, bits: bits, seed: seed)
            var table = ContentTable(pieceBytes: 4096)
            var got: [Duplicate] = []
            for (i, record) in records.enumerated() {
                switch record.content.withUnsafeBytes({ table.insertOrFind(record.hash, UInt64(i), $0) }) {
                case .first: break
                case .duplicate(let kept): got.append(Duplicate(ordinal: UInt64(i), kept: kept))
                case .collision: got.append(Duplicate(ordinal: UInt64(i), kept: UInt64(i)))
                }
            }
            #expect(got == expected(records))
            #expect(table.count == Set(records.map(\.content)).count)
            let least = Set(records.map(\.content)).reduce(0) { $0 + $1.count + 24 }
            #expect(table.memory >= least)
            #expect(table.memory <= 1 << 18 + 2 * least + 64 * table.count)
        }
    }

    /// The hash finds candidates on disk, in any order; only these are compared, in any order.
    private func onDisk(_ records: [Record], seed: UInt64, files: FileSystem = .local, in name: String) throws
        -> [Duplicate]
    {
        var random = SplitMix64(state: seed)
        let spill = try DedupeSpill(folder: folder(name), memory: 1, fileSystem: files)
        var order = Array(records.indices)
        order.shuffle(using: &random)
        for i in order { try spill.append(records[i].hash, UInt64(i)) }
        try spill.finish()
        let stream = try spill.candidates()
        var candidates: [Duplicate] = []
        while let next = try stream.next() { candidates.append(next) }
        let shared = Dictionary(grouping: records.indices) { records[$0].hash }.values.filter { $0.count > 1 }
        #expect(
            candidates
                == shared.flatMap { group in group.map { Duplicate(ordinal: UInt64($0), kept: UInt64(group[0])) } }
                .sorted { $0.ordinal < $1.ordinal })
        candidates.shuffle(using: &random)
        let comparison = try ContentComparison(folder: folder(name), memory: 1, fileSystem: files)
        for candidate in candidates {
            let record = records[Int(candidate.ordinal)]
            try record.content.withUnsafeBytes {
                try comparison.append(group: candidate.kept, mark: record.mark, candidate.ordinal, $0)
            }
        }
        let duplicates = try comparison.resolve()
        var got: [Duplicate] = []
        while let next = try duplicates.next() { got.append(next) }
        return got
    }

    @Test(arguments: shapes) func diskAgreesWithADictionary(count: Int, distinct: Int, bits: UInt64) throws {
        for seed in 0..<2 as Range<UInt64> {
            let records = records(count, distinct: distinct, bits: bits, seed: seed)
            let name = "disk-\(count)-\(distinct)-\(bits)-\(seed)"
            #expect(try onDisk(records, seed: seed, in: name) == expected(records))
            #expect(try FileSystem.local.entries(of: folder(name)).sorted() == ["candidates", "duplicates"])
        }
    }

    /// More runs than are merged at a time, so that some are merged first.
    @Test func manyRunsAreMergedInRounds() throws {
        let records = records(12_000, distinct: 9000, bits: 8, seed: 4)
        let made = Counter()
        let files = FileSystem.local.intercepting { operation, path in
            if operation == .rename, path.contains("/contents/run-") { _ = made.next() }
            return .proceed
        }
        let comparison = try ContentComparison(folder: folder("rounds"), memory: 1, fileSystem: files)
        let groups = Dictionary(records.enumerated().map { ($1.hash, $0) }, uniquingKeysWith: { first, _ in first })
        var bytes = 0
        for (i, record) in records.enumerated() {
            bytes += record.content.count
            try record.content.withUnsafeBytes {
                try comparison.append(group: UInt64(groups[record.hash] ?? 0), mark: record.mark, UInt64(i), $0)
            }
        }
        let written = made.value
        #expect(written > bytes / (400 << 10))
        var pauses = 0
        let duplicates = try comparison.resolve { pauses += 1 }
        var got: [Duplicate] = []
        while let next = try duplicates.next() { got.append(next) }
        #expect(got == expected(records))
        #expect(made.value > written + 1)
        #expect(pauses >= 20)
    }

    @Test func aPauseCanEndTheWork() throws {
        struct Enough: Error {}
        let comparison = try ContentComparison(folder: folder("pause"), memory: 1)
        for (i, record) in records(3000, distinct: 100, bits: 4, seed: 1).enumerated() {
            try record.content.withUnsafeBytes { try comparison.append(group: 0, mark: record.mark, UInt64(i), $0) }
        }
        #expect(throws: Enough.self) { try comparison.resolve { throw Enough() } }
    }

    /// Every failing call gives an error or the right answer.
    @Test func faultsAreSurvived() throws {
        let records = records(700, distinct: 300, bits: 5, seed: 8)
        let expected = expected(records)
        var survived = false
        var n = 1
        while !survived && n < 3000 {
            let calls = Counter()
            let files = FileSystem.local.intercepting { [n] _, _ in calls.next() == n ? .tear(after: 3, 28) : .proceed }
            do {
                #expect(try onDisk(records, seed: 3, files: files, in: "f") == expected, "call \(n)")
                survived = calls.value < n
            } catch {
                #expect(error is IOFailure, "call \(n): \(error)")
            }
            n += 11
            guard try FileSystem.local.status(of: folder("f")) != nil else { continue }
            #expect(
                try FileSystem.local.entries(of: folder("f")).allSatisfy { !$0.hasSuffix(AtomicFile.temporarySuffix) })
            try FileSystem.local.removeTree(folder("f"))
        }
        #expect(survived)
    }

    /// A damaged run is never mistaken for another content.
    @Test func damagedRunsAreRefused() throws {
        let records = records(3000, distinct: 500, bits: 64, seed: 5)
        let runs = folder("damaged/contents")
        for place in [0, 5, 9, 17, 30, 60, 200, 5000] {
            let comparison = try ContentComparison(folder: folder("damaged"), memory: 1)
            for (i, record) in records.enumerated() {
                try record.content.withUnsafeBytes { try comparison.append(group: 0, mark: record.mark, UInt64(i), $0) }
            }
            var bytes = try FileSystem.local.contents(of: "\(runs)/run-1")
            try #require(place < bytes.count)
            bytes[place] ^= 0x41
            try FileSystem.local.write(bytes, to: "\(runs)/run-1")
            do {
                _ = try comparison.resolve()
                Issue.record("byte \(place) was damaged")
            } catch {
                #expect((error as? IOFailure)?.code == .corruptWorkFile, "byte \(place): \(error)")
            }
        }
    }
}
