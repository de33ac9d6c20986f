/// An output of a run beside the file of all kept records: which of them, in which order, in which files.
public struct SinkSpec: Sendable, Hashable {
    /// The name of its file or folder below `outputs/` of the run directory.
    public var name: String
    /// Which of the kept records; nil for all.
    public var condition: RecordCondition?
    /// One file for each value of this column, or field if no stage writes such a column; nil for one file.
    public var per: String?
    public var order: SinkOrder
    /// Files of growing size, each the beginning of the next; nil for one.
    public var ladder: SinkLadder?
    /// Where a file ends and the next one begins; nil for nowhere.
    public var shard: SinkShard?
    /// The compression of its files; nil for that of the kept records.
    public var compression: OutputCompression?

    /// - Parameter order: by `rank` for a ladder, that of the input otherwise.
    public init(
        _ name: String, where condition: RecordCondition? = nil, per: String? = nil, order: SinkOrder? = nil,
        ladder: SinkLadder? = nil, shard: SinkShard? = nil, compression: OutputCompression? = nil
    ) {
        (self.name, self.condition, self.per) = (name, condition, per)
        self.order = order ?? (ladder == nil ? .input : .by("rank"))
        (self.ladder, self.shard, self.compression) = (ladder, shard, compression)
    }

    /// The columns and fields that it reads of each record, by name, each once.
    public var names: [String] {
        var found = condition?.names ?? []
        for name in [per, order.column].compactMap(\.self) where !found.contains(name) { found.append(name) }
        return found
    }

    /// Whether its records are written in another order than that of the kept records, or in files that need them sorted.
    package var isSorted: Bool { per != nil || ladder != nil || order != .input }

    /// Why the name can't be that of a file, as a phrase; nil if it can.
    public var nameFault: String? {
        let letters = name.utf8.allSatisfy { byte in
            switch byte {
            case 48...57, 65...90, 97...122, 45, 46, 95: true
            default: false
            }
        }
        if name.isEmpty || !letters { return "may have letters, digits, `-`, `_` and `.`" }
        if name.hasPrefix(".") { return "may not begin with a dot" }
        return name.utf8.count > 64 ? "may have at most 64 characters" : nil
    }
}

/// The order of the records of an output.
public enum SinkOrder: Sendable, Hashable {
    /// That of the input.
    case input
    /// At random, by the run's seed and the records' content: equal records are neighbours, and adding records to the
    /// input leaves the order of the others as it is.
    case shuffled
    /// By a column, or field if no stage writes such a column: numbers by value, then texts by their first bytes, then
    /// records without a value; equal ones in input order.
    case by(String, descending: Bool = false)

    /// The column or field that decides.
    var column: String? { if case .by(let name, _) = self { name } else { nil } }
}

/// The sizes of the files of a ladder, in records. The last file has all records.
public enum SinkLadder: Sendable, Hashable {
    /// `from` records, then `times` as many in each further file.
    case steps(from: Int, times: Int)
    /// These sizes, of which a percentage is of the records of the output.
    case sizes([Quantity])
}

/// The size of the files of an output.
public enum SinkShard: Sendable, Hashable {
    /// A file ends with the line that reaches this many unpacked bytes.
    case bytes(Int)
    case records(Int)
}

extension SinkLadder {
    /// The most files, for any number of records up to a billion.
    package var mostRungs: Int {
        switch self {
        case .steps: rungs(of: 1_000_000_000).count
        case .sizes(let sizes): sizes.count + 1
        }
    }

    /// The numbers of records of the files, ascending, each once, for an output of `count` records; the last is `count`.
    package func rungs(of count: Int) -> [Int] {
        var found: Set<Int> = [count]
        switch self {
        case .steps(let from, let times):
            var size = from
            while size < count {
                found.insert(size)
                let (next, isTooLarge) = size.multipliedReportingOverflow(by: times)
                if isTooLarge { break }
                size = next
            }
        case .sizes(let sizes):
            for size in sizes { found.insert(min(count, size.resolve(of: count))) }
        }
        return found.sorted()
    }
}
