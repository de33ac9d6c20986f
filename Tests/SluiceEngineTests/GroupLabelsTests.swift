import SluiceCore
import SluiceIO
import Testing

@testable import SluiceEngine

/// Labels of groups in flat arrays, against sets and dictionaries; and the columns that a selection writes.
@Suite struct GroupLabelsTests {
    private func add(_ label: [UInt8], to collector: inout LabelCollector) throws {
        try label.withUnsafeBytes { try collector.add($0) }
    }

    private func index(_ label: [UInt8], in labels: GroupLabels) -> Int? {
        label.withUnsafeBytes { labels.index(of: $0) }
    }

    /// Labels of 0 to 60 bytes, with common beginnings, some the beginning of others.
    private func label(_ random: inout SplitMix64, of number: Int) -> [UInt8] {
        let number = random.below(number)
        return Array(String(repeating: "é\(number % 7)", count: number % 11).utf8) + Array(String(number / 3).utf8)
    }

    @Test(arguments: [1, 50, 200_000]) func labelsAreThoseOfASet(of number: Int) throws {
        var random = SplitMix64(state: UInt64(number))
        var known: Set<[UInt8]> = []
        var leased = 0
        var collector = try LabelCollector { bytes, _ in leased = max(leased, bytes) }
        for _ in 0..<(number == 1 ? 3 : 300_000) {
            let label = label(&random, of: number)
            known.insert(label)
            try add(label, to: &collector)
        }
        let labels = try collector.labels()
        let sorted = known.sorted { $0.lexicographicallyPrecedes($1) }
        #expect(labels.count == sorted.count)
        for (place, label) in sorted.enumerated() {
            #expect(index(label, in: labels) == place)
            #expect(labels.text(place) == String(decoding: label, as: UTF8.self))
        }
        #expect(index(Array("not there".utf8), in: labels) == nil)
        #expect(leased >= 2 * labels.size)
    }

    @Test func noLabelsAndTheEmptyOne() throws {
        var collector = try LabelCollector { _, _ in }
        #expect(try collector.labels().count == 0)
        collector = try LabelCollector { _, _ in }
        try add([], to: &collector)
        try add([0], to: &collector)
        try add([], to: &collector)
        let labels = try collector.labels()
        #expect(labels.count == 2 && index([], in: labels) == 0 && index([0], in: labels) == 1)
    }

    /// Long labels are cut and stay apart.
    @Test func longLabelsAreCut() {
        func kept(_ text: String) -> String {
            Array(text.utf8).withUnsafeBytes { GroupLabels.kept($0) { String(decoding: $0, as: UTF8.self) } }
        }
        let longest = String(repeating: "x", count: GroupKey.longestLabel)
        #expect(kept(longest) == longest && kept("") == "")
        var seen: Set<String> = []
        for count in 0..<200 {
            let label = kept("\(longest)\(String(repeating: "é", count: count))x")
            #expect(label.hasPrefix("\(longest.prefix(32))…") && label.utf8.count == 67)
            seen.insert(label)
        }
        #expect(seen.count == 200)
        // Not in the middle of a character.
        #expect(kept("xy\(String(repeating: "数", count: 40))").hasPrefix("xy数数数数数数数数数数…"))
    }

    /// The collector asks for memory before it uses it.
    @Test func labelsThatDoNotFitAreRefused() throws {
        struct Full: Error {}
        #expect(throws: Full.self) {
            var collector = try LabelCollector { bytes, _ in if bytes > 8 << 20 { throw Full() } }
            for number in 0..<400_000 { try add(Array("label \(number)".utf8), to: &collector) }
            _ = try collector.labels()
        }
    }

    @Test(arguments: [0, 1, 2, 1000]) func columnsAreSortedByRow(count: Int) {
        let specs = [ColumnSpec(.rank, .integer), ColumnSpec("gain", .real)]
        var columns = SelectionColumns(specs)
        let rows = shuffled(count, seed: 4)
        for row in rows {
            var outcome = GroupOutcome(ranks: [-1, Int32(row)], reason: "x")
            outcome.columns = [("gain", .reals([0, Double(row) / 3]))]
            columns.append(row: 2 * row, outcome, place: 1)
        }
        columns.sort()
        #expect(columns.rows == (0..<count).map { 2 * $0 })
        #expect(columns.values[0] == (0..<count).map { Int64($0) })
        var next = 0
        let written = columns.columns(0..<(2 * count), next: &next)
        #expect(next == count)
        guard case .integers(let ranks) = written[0].1, case .reals(let gains) = written[1].1 else {
            Issue.record("columns of other types")
            return
        }
        #expect(ranks.count == 2 * count)
        for row in 0..<count {
            #expect(ranks[2 * row] == Int64(row) && ranks[2 * row + 1] == -1)
            #expect(gains[2 * row] == Double(row) / 3)
        }
    }
}
