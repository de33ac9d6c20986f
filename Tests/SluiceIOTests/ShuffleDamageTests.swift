import SluiceCore
import Testing

@testable import SluiceIO

/// Damaged, foreign and unfinished files of a shuffle.
extension DedupeShuffleTests {
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
        let good = try storedBytes(of: path)
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
            let good = try results.map { try storedBytes(of: $0) }
            try damage(paths[1]) { damage in
                for result in results { try FileSystem.local.remove(result) }
                expectFound(damage, readers: 2, path: paths[1]) { bucket in
                    try resolve(bucket)
                    return try storedBytes(of: results[bucket]) == good[bucket]
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
        let good = try storedBytes(of: work.duplicates[0])
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
