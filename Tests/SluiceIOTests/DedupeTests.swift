import SluiceCore
import Testing

@testable import SluiceIO

@Suite struct DedupeTests {
    let folder = TemporaryFolder()

    /// Hashes with many repeats; `skew` makes them share bits.
    func stream(_ count: Int, distinct: Int, seed: UInt64, skew: Bool = false) -> [ContentHash] {
        var random = SplitMix64(state: seed)
        return (0..<count).map { _ in
            let key = UInt64(random.below(distinct))
            return skew
                ? ContentHash(high: key & 1, low: UInt64.max - key / 2)
                : ContentHash(high: Seed.mix(key), low: Seed.mix(key ^ 0xABCD))
        }
    }

    /// The definition: the first record with a hash is kept.
    func expected(_ stream: [ContentHash]) -> [Duplicate] {
        var first: [ContentHash: UInt64] = [:]
        var result: [Duplicate] = []
        for (i, hash) in stream.enumerated() {
            if let kept = first[hash] {
                result.append(Duplicate(ordinal: UInt64(i), kept: kept))
            } else {
                first[hash] = UInt64(i)
            }
        }
        return result
    }

    @Test(arguments: [false, true]) func tableAgreesWithADictionary(skew: Bool) {
        for (count, distinct) in [(0, 1), (1, 1), (50, 3), (3000, 1000), (20_000, 15_000)] {
            let stream = stream(count, distinct: distinct, seed: 5, skew: skew)
            var table = DedupeTable()
            var got: [Duplicate] = []
            for (i, hash) in stream.enumerated() {
                if let kept = table.insertOrFind(hash, UInt64(i)) {
                    got.append(Duplicate(ordinal: UInt64(i), kept: kept))
                }
            }
            #expect(got == expected(stream))
            #expect(table.count == count - got.count)
            for hash in stream { #expect(table.find(hash) != nil) }
            #expect(table.find(ContentHash(high: 1 << 40, low: 77)) == nil)
        }
    }

    @Test func lowestOrdinalWinsInAnyOrder() {
        var random = SplitMix64(state: 9)
        let stream = stream(5000, distinct: 700, seed: 6)
        var order = Array(stream.indices)
        order.shuffle(using: &random)
        var table = DedupeTable()
        for i in order { _ = table.insertLowest(stream[i], UInt64(i)) }
        for (i, hash) in stream.enumerated() { #expect(table.find(hash)! <= UInt64(i)) }
        #expect(
            Set(stream.map { table.find($0)! })
                == Set(stream.indices.map(UInt64.init)).subtracting(expected(stream).map(\.ordinal)))
    }

    @Test func memoryStaysNearTheRecords() {
        var table = DedupeTable()
        var worst = 0.0
        for i in 0..<200_000 as Range<UInt64> {
            _ = table.insertOrFind(ContentHash(high: Seed.mix(i), low: Seed.mix(~i)), i)
            if i > 50_000 { worst = max(worst, Double(table.memory + table.transientMemory) / Double(i + 1)) }
        }
        #expect(worst < 37.5, "\(worst) bytes a record")
        #expect(table.count == 200_000)
        let sized = DedupeTable(expected: 100_000)
        #expect(sized.memory < 4_000_000)
    }

    @Test(arguments: [false, true]) func spillAgreesWithTheTable(skew: Bool) throws {
        for (count, distinct, memory) in [
            (0, 1, 1), (100, 10, 1), (30_000, 20_000, 1), (30_000, 50, 100_000), (5000, 3000, 1 << 20),
        ] {
            let stream = stream(count, distinct: distinct, seed: 11, skew: skew)
            var order = Array(stream.indices)
            var random = SplitMix64(state: 1)
            order.shuffle(using: &random)
            let spill = try DedupeSpill(folder: folder("spill"), memory: memory)
            for i in order { try spill.append(stream[i], UInt64(i)) }
            try spill.finish()
            let duplicates = try spill.resolve()
            var got: [Duplicate] = []
            while let next = try duplicates.next() { got.append(next) }
            #expect(got == expected(stream))
            #expect(duplicates.count == UInt64(got.count))
            #expect(try FileSystem.local.entries(of: folder("spill")) == ["duplicates"])
            try FileSystem.local.removeTree(folder("spill"))
        }
    }

    /// Every failing call gives an error or the right answer.
    @Test func spillSurvivesFaults() throws {
        let stream = stream(4000, distinct: 500, seed: 2, skew: true)
        let expected = expected(stream)
        var survived = false
        var n = 1
        while !survived && n < 2000 {
            let calls = Counter()
            let files = FileSystem.local.intercepting { [n] _, _ in calls.next() == n ? .tear(after: 3, 28) : .proceed }
            var got: [Duplicate] = []
            let thrown = failure {
                let spill = try DedupeSpill(folder: folder("f"), memory: 1, fileSystem: files)
                for (i, hash) in stream.enumerated() { try spill.append(hash, UInt64(i)) }
                try spill.finish()
                let duplicates = try spill.resolve()
                while let next = try duplicates.next() { got.append(next) }
            }
            if thrown == nil {
                #expect(got == expected)
                survived = calls.value < n
            }
            n += 7
            guard try FileSystem.local.status(of: folder("f")) != nil else { continue }
            #expect(
                try FileSystem.local.entries(of: folder("f")).allSatisfy { !$0.hasSuffix(AtomicFile.temporarySuffix) })
            try FileSystem.local.removeTree(folder("f"))
        }
        #expect(survived)
    }

    @Test func damagedPartitionsAreRefused() throws {
        for damage in 0..<3 {
            let spill = try DedupeSpill(folder: folder("d"), memory: 1)
            for i in 0..<1000 as Range<UInt64> { try spill.append(ContentHash(high: Seed.mix(i), low: i), i) }
            try spill.finish()
            var bytes = try FileSystem.local.contents(of: folder("d/part-0"))
            switch damage {
            case 0: bytes[100] ^= 1
            case 1: bytes.removeLast(24)
            default: bytes[0] ^= 1
            }
            try FileSystem.local.write(bytes, to: folder("d/part-0"))
            #expect(failure { _ = try spill.resolve() }?.code == .corruptWorkFile)
            try FileSystem.local.removeTree(folder("d"))
        }
    }

    /// Known answers for real data; see ../shared/data/README.md.
    @Test(arguments: [
        (
            "p3-", ["prompt", "completion"], 35_570, 403,
            "f3b63aaf15a420cbea0b4f185819ce8c4c653591a32bcc139d85b6ddde726d27"
        ),
        (
            "abilities", ["instruction", "input", "output"], 26_443, 26,
            "c0a501f39555fd496fc8c1350ececf2c18b9ecd78de2b8087b1144525b5d19f8"
        ),
    ])
    func realDataGivesTheKnownAnswer(prefix: String, names: [String], records: Int, dropped: Int, digest: String) throws
    {
        guard let sharedFolder else {
            print("skipped: there is no ../shared/data beside the repository")
            return
        }
        let files = try FileSystem.local.entries(of: sharedFolder).filter {
            $0.hasPrefix(prefix) && $0.hasSuffix(".zst")
        }
        let extractor = JSONExtractor(names.map { FieldPath($0) })
        let arena = FieldArena(width: names.count)
        var hasher = RecordHasher()
        var table = DedupeTable()
        var sha = SHA256()
        var read = 0
        var repeats = 0
        let block = RawBlock()
        for name in files {
            let reader = BlockReader(try FileSystem.local.openInput("\(sharedFolder)/\(name)"))
            while try reader.next(into: block) {
                #expect(block.blankLines == 0 && block.overlong.isEmpty)
                for line in block.lines {
                    arena.removeAll()
                    #expect(extractor.extract(block.bytes(of: line), into: arena) == nil)
                    if table.insertOrFind(hasher.hash(arena, row: 0, fields: 0..<names.count), UInt64(read)) != nil {
                        repeats += 1
                    } else {
                        sha.update(block.bytes(of: line))
                        [0x0A].withUnsafeBytes { sha.update(UnsafeRawBufferPointer(rebasing: $0[..<1])) }
                    }
                    read += 1
                }
            }
        }
        #expect(read == records)
        #expect(repeats == dropped)
        #expect(sha.hexDigest() == digest)
    }
}
