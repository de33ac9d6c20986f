import SluiceCore
import SluiceIO
import Testing

@testable import SluiceEngine

/// The work files of the engine, compared with arrays in memory.
@Suite struct StoreTests {
    // MARK: Ledger

    /// Lines added in any order come out in input order, from one run or many.
    @Test(arguments: [100, 120_000])
    func ledgerRunsSort(count: Int) throws {
        let folder = try TemporaryFolder()
        // The smallest share is 1 MiB, so the larger number makes several runs.
        let runs = LedgerRuns(folder: folder.path, shareBytes: 0, fileSystem: .local)
        func line(_ number: Int) -> [UInt8] {
            Array("{\"line\":\(number)}\(String(repeating: " ", count: number % 90))\n".utf8)
        }
        let order = shuffled(count, seed: 5)
        for start in stride(from: 0, to: count, by: 37) {
            let numbers = Array(order[start..<min(count, start + 37)])
            var lines = LedgerLines()
            for number in numbers {
                lines.bytes += line(number)
                lines.endLine(Ordinal(file: number / 1000, line: number % 1000 + 1))
            }
            try runs.add(lines)
        }
        let merged = try runs.merged()
        let files = try FileSystem.local.entries(of: folder.path)
        if count > 1000 { #expect(files.count > 1) }
        // A run has at most 8,738 lines, and with so little memory five are merged at a time.
        if count > 30_000 { #expect(files.contains { $0.contains("-merged-1") }) }
        for number in 0..<count {
            #expect(merged.nextOrdinal == Ordinal(file: number / 1000, line: number % 1000 + 1))
            var next: [UInt8] = []
            try merged.takeLine(into: &next)
            guard next == line(number) else {
                Issue.record("line \(number) is missing or another")
                return
            }
        }
        #expect(merged.nextOrdinal == nil)
        #expect(try !merged.takeEntry { _ in })
    }

    // MARK: Live rows

    @Test(arguments: [0, 1, 63, 64, 65, 1000])
    func liveRows(count: Int) {
        var random = SplitMix64(state: UInt64(count))
        var live = LiveRows(rows: count), other = LiveRows(rows: count)
        var expected = Set(0..<count)
        for _ in 0..<count {
            let row = random.below(count)
            live.remove(row)
            expected.remove(row)
            #expect(live.count == expected.count)
        }
        #expect((0..<count).filter { live[$0] } == expected.sorted())
        for start in stride(from: 0, to: count, by: 29) {
            let range = start..<min(count, start + 50)
            #expect(live.local(range) == range.filter { expected.contains($0) }.map { $0 - start })
        }
        let restored = LiveRows(rows: count, bits: live.bits)
        #expect(restored.count == live.count && restored.bits == live.bits)
        for row in stride(from: 0, to: count, by: 3) {
            other.remove(row)
            expected.remove(row)
        }
        live.formIntersection(other)
        #expect(live.count == expected.count)
        #expect((0..<count).filter { live[$0] } == expected.sorted())
    }

    // MARK: Columns

    private struct Row {
        let text: [UInt8]
        let vector: [Int8]
        let number: Int64
        let real: Double

        init(_ row: Int) {
            var random = SplitMix64(state: UInt64(row))
            text = (0..<random.below(20)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            vector = (0..<6).map { _ in Int8(truncatingIfNeeded: random.next()) }
            number = Int64(bitPattern: random.next())
            real = Double(random.below(1000)) / 8
        }
    }

    private func columns(_ rows: Range<Int>) -> [(name: ColumnName, column: Column)] {
        var texts = BytesColumn(), vectors = VectorColumn(dimension: 6)
        for row in rows {
            texts.append(Row(row).text)
            vectors.values += Row(row).vector
        }
        return [
            ("text", .bytes(texts)), ("embedding", .vectors(vectors)),
            ("number", .integers(rows.map { Row($0).number })),
            ("real", .reals(rows.map { Row($0).real })),
        ]
    }

    private static let types: [ColumnName: ColumnType] = [
        "text": .bytes, "embedding": .vector(dimension: 6), "number": .integer, "real": .real,
    ]

    /// Columns written in shards and pieces are read back in ranges.
    @Test func columnsRoundTrip() throws {
        let folder = try TemporaryFolder()
        let store = try ColumnStore(folder: folder.path, fileSystem: .local)
        let lengths = [100, 1, 333]
        var start = 0
        for (shard, length) in lengths.enumerated() {
            let writer = store.writer(store.next(of: shard / 2))
            for piece in stride(from: start, to: start + length, by: 64) {
                try writer.append(columns(piece..<min(piece + 64, start + length)))
            }
            let rows = try writer.commit()
            #expect(rows == length)
            store.add(store.next(of: shard / 2), rows: rows, types: Self.types)
            start += length
        }
        #expect(store.rows == 434)
        for range in [0..<100, 0..<1, 99..<100, 100..<101, 101..<434, 200..<333] {
            let loaded = try store.load(Self.types.keys.sorted(), range)
            let expected = columns(range).sorted { $0.name < $1.name }
            #expect(loaded.map(\.name) == expected.map(\.name))
            #expect(loaded.map(\.column) == expected.map(\.column), "\(range)")
        }
        // A column added later, twice: each round has a file of its own until the older one is removed.
        for round in [1, 2] {
            let writer = store.writer(store.shards[1].id, round: round)
            try writer.append([("late", .integers([Int64(6 + round)]))])
            _ = try writer.commit()
            store.add(["late": .integer], to: 1, round: round)
            #expect(store.rows == 434)
            #expect(try store.integers("late", 100..<101) == [Int64(6 + round)])
        }
        let files = { try FileSystem.local.entries(of: folder.path).filter { $0.hasPrefix("late") }.count }
        #expect(try files() == 2)
        try store.removeReplaced()
        #expect(try files() == 1)
        #expect(try store.integers("late", 100..<101) == [8])
    }

    /// The grouped files hold each group's rows in row order, for any buffer size and any sections; vectors that don't
    /// fit come in chunks.
    @Test(arguments: [1, 64, 100_000], [0, 700, 1 << 20])
    func groups(bufferBytes: Int, bundleBytes: Int) throws {
        let folder = try TemporaryFolder()
        let count = 500
        // Groups of very different sizes, one with a single row, and rows without a group.
        let keys: [Int64] = [-7, 5, 7, .max]
        let group = (0..<count).map { row in [-1, 0, 0, 0, 0, 0, 2, 3][Row(row).text.count % 8] }
            .enumerated().map { $0.offset == 250 ? 1 : $0.element }
        let members = keys.indices.map { number in (0..<count).filter { group[$0] == number } }
        var counter = try GroupCounter { _, _ in }
        for row in group where row >= 0 { try counter.add(keys[row]) }
        let table = try counter.table()
        #expect(table.keys == keys && table.sizes == members.map(\.count))

        let types = GroupStore.types(Self.types.filter { $0.key != "text" })
        let sections = GroupStore.sections(of: table, rowBytes: GroupStore.rowBytes(types), bundleBytes: bundleBytes)
        #expect(sections.flatMap { Array($0.groups) } == Array(keys.indices))
        if bundleBytes == 0 { #expect(sections.count == keys.count) }
        if bundleBytes == 1 << 20 { #expect(sections.count == 1) }
        let store = try GroupStore(
            table: table, sections: sections, types: types, folder: folder.path + "/groups", bufferBytes: bufferBytes,
            fileSystem: .local)
        for start in stride(from: 0, to: count, by: 99) {
            let rows = start..<min(count, start + 99)
            func numbers(_ make: (Int) -> Int64) -> Column { .integers(rows.map(make)) }
            try store.append(
                columns(rows) + [
                    (GroupStore.rowNumber, numbers { Int64($0) }), (GroupStore.ordinal, numbers { Int64($0 + 1000) }),
                    (GroupStore.hashHigh, numbers { Int64($0 * 3) }), (GroupStore.hashLow, numbers { Int64($0 * 5) }),
                    (GroupStore.key, numbers { group[$0] < 0 ? 0 : keys[group[$0]] }),
                ], sections: group[rows].map { $0 < 0 ? -1 : store.section(of: keys[$0]) })
        }
        try store.finish()
        for section in sections {
            let names: [ColumnName] = ["number", "real", "embedding"]
            let bundle = try GroupBundle(store, section, columns: names)
            #expect(bundle.members.map(\.group) == Array(section.groups))
            for (group, member) in zip(section.groups, bundle.members) {
                let rows = members[group]
                #expect(bundle.rowNumbers[member.rows].elementsEqual(rows.map { Int64($0) }))
                #expect(bundle.ordinals[member.rows].elementsEqual(rows.map { Int64($0 + 1000) }))
                let data = bundle.data(member)
                #expect(try data.hashes() == rows.map { ContentHash(high: UInt64($0 * 3), low: UInt64($0 * 5)) })
                #expect(try data.values("number") == .integers(rows.map { Row($0).number }))
                #expect(try data.values("real") == .reals(rows.map { Row($0).real }))
                expect(try data.vectors("embedding"), rows)
                #expect(throws: StageError.self) { try data.values("embedding") }
                #expect(throws: StageError.self) { try data.vectors("number") }
            }
            guard section.groups.count == 1 else { continue }
            let rows = members[section.groups.lowerBound]
            for residentBytes in [0, 700, 1 << 20] {
                let vectors = try store.vectors("embedding", section.rows, residentBytes: residentBytes)
                #expect((vectors.resident != nil) == (rows.count * 6 <= residentBytes))
                expect(vectors, rows)
            }
        }
        try store.remove()
        #expect(try FileSystem.local.status(of: folder.path + "/groups") == nil)
    }

    private func expect(_ vectors: any VectorSource, _ rows: [Int]) {
        #expect(vectors.count == rows.count && vectors.dimension == 6)
        var all: [Int8] = []
        #expect(throws: Never.self) {
            try vectors.forEachChunk { range, values in
                #expect(range.lowerBound * 6 == all.count && values.count == range.count * 6)
                all += values
            }
            for (place, row) in rows.enumerated() where place % 7 == 0 {
                #expect(try vectors.row(place) == Row(row).vector)
            }
        }
        #expect(all == rows.flatMap { Row($0).vector })
    }

    /// Counting in flat arrays gives the same as a dictionary, and requests memory before using it.
    @Test func groupsAreCountedInBoundedMemory() throws {
        var random = SplitMix64(state: 5)
        var known: [Int64: Int] = [:]
        var leased = 0
        var counter = try GroupCounter { bytes, _ in leased = max(leased, bytes) }
        for _ in 0..<400_000 {
            let key = Int64(bitPattern: random.next()) % (random.next(below: 2) == 0 ? 50 : 1_000_000)
            known[key, default: 0] += 1
            try counter.add(key)
        }
        let table = try counter.table()
        #expect(table.keys == known.keys.sorted())
        #expect(zip(table.keys, table.sizes).allSatisfy { known[$0] == $1 })
        #expect(leased >= 32 * table.count && leased <= 64 * table.count)

        struct Full: Error {}
        #expect(throws: Full.self) {
            var refused = try GroupCounter { bytes, _ in if bytes > 4 << 20 { throw Full() } }
            for key in 0..<400_000 { try refused.add(Int64(key)) }
            _ = try refused.table()
        }
    }

    /// Reports of many groups come back from disk unchanged.
    @Test func reportsOfManyGroupsComeBack() throws {
        let folder = try TemporaryFolder()
        let log = GroupReportLog(path: folder.path + "/reports", fileSystem: .local)
        @Sendable func report(_ number: Int) -> GroupReport {
            GroupReport(
                key: number % 9 == 0 ? .unlabelled : .number(number - 500), size: number, kept: number / 2,
                report: [
                    "radius": .real(Double(number) / 3), "factor": .null, "why": .text("because of \(number)"),
                    "list": .list([.flag(true), .flag(false), .integer(-number), .object([])]),
                ])
        }
        for start in stride(from: 0, to: 30_000, by: 700) {
            var chunk = GroupReportChunk()
            for number in start..<min(30_000, start + 700) { chunk.append(report(number)) }
            try log.append(chunk)
        }
        let reports = log.reports { report($0).key }
        for _ in 0..<2 {
            var number = 0
            for found in reports {
                let expected = report(number)
                #expect(
                    found.key == expected.key && found.size == expected.size && found.kept == expected.kept
                        && found.report == expected.report)
                number += 1
            }
            #expect(number == 30_000 && reports.count == 30_000 && log.failure == nil)
        }
        #expect(reports.listed.count { _ in true } == GroupReports.mostListed)
    }
}
