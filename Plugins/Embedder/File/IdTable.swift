import SluiceCore

/// The row of each id of an `IdFile`.
///
/// Ids are known by 128 bits of SipHash. Memory: 24 bytes per id, sorted, and 12 more while it is made; a search takes log₂(ids) steps.
final class IdTable: Sendable {
    private struct Entry: Comparable {
        let high: UInt64
        let low: UInt64
        let row: Int

        static func < (a: Entry, b: Entry) -> Bool {
            (a.high, a.low, a.row) < (b.high, b.low, b.row)
        }
    }

    private let entries: [Entry]

    var count: Int { entries.count }

    /// Bytes of a table of so many ids, and half of it to sort it.
    static func bytes(_ ids: Int) -> Int { ids * MemoryLayout<Entry>.stride * 3 / 2 + (2 << 20) }

    /// - Throws: if the file can't be read, does not have `expected` ids, or has one twice.
    init(_ file: IdFile, expected: Int) throws(StageError) {
        var all: [Entry] = []
        all.reserveCapacity(expected)
        try file.forEach { (id) throws(StageError) in
            guard all.count < expected else { throw Self.miscounted(file, "more than \(expected)", expected) }
            var hash = SipHash()
            hash.add(id)
            let digest = hash.digest
            all.append(Entry(high: digest.high, low: digest.low, row: all.count))
        }
        guard all.count == expected else { throw Self.miscounted(file, "\(all.count)", expected) }
        all.sort()
        for (one, next) in zip(all, all.dropFirst()) where one.high == next.high && one.low == next.low {
            throw IdFile.wrong(
                "\(file.path) has the id of row \(one.row + 1) again in row \(next.row + 1); give each vector an id of its own"
            )
        }
        entries = all
    }

    private static func miscounted(_ file: IdFile, _ found: String, _ expected: Int) -> StageError {
        IdFile.wrong("\(file.path) has \(found) ids, and `path` has \(expected) vectors; give one id per vector")
    }

    /// The row of an id; nil if there is none.
    func row(of id: ArraySlice<UInt8>) -> Int? {
        var hash = SipHash()
        id.withUnsafeBufferPointer { hash.add($0) }
        let digest = hash.digest
        var (first, end) = (0, entries.count)
        while first < end {
            let middle = (first + end) / 2
            let entry = entries[middle]
            if (entry.high, entry.low) < (digest.high, digest.low) { first = middle + 1 } else { end = middle }
        }
        guard first < entries.count, entries[first].high == digest.high, entries[first].low == digest.low
        else { return nil }
        return entries[first].row
    }
}
