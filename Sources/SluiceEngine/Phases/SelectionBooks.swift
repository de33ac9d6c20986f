import SluiceCore

/// Collects the dropped and kept rows of a section's groups, so that groups don't need a lock each.
struct SelectionBooks {
    private let name: String
    private let encoder: LineEncoder
    private(set) var lines = LedgerLines()
    /// Dropped rows of the store.
    private(set) var leaving: [Int] = []
    /// Kept rows, if their columns are needed.
    private(set) var staying: SelectionColumns
    private(set) var account = Account()
    private(set) var reports = GroupReportChunk()

    /// Rows after which the collected ones are handed over.
    private static let most = 8192

    /// Whether the collected rows should be handed over.
    private var isFull: Bool { leaving.count >= Self.most || staying.count >= Self.most }

    /// - Parameters:
    ///   - name: the stage's name.
    ///   - writes: the columns of the selection that anything reads.
    init(_ name: String, encoder: LineEncoder, writes: [ColumnSpec]) {
        self.name = name
        self.encoder = encoder
        staying = SelectionColumns(writes)
    }

    mutating func add(
        _ outcome: GroupOutcome, key: GroupKey, rows: ArraySlice<Int64>, ordinals: ArraySlice<Int64>,
        handOver: (SelectionBooks) throws -> Void
    ) throws {
        let count = rows.count
        var kept = 0
        for row in 0..<count {
            let number = Int(rows[rows.startIndex + row])
            if isFull { try empty(handOver) }
            guard outcome.ranks[row] < 0 else {
                kept += 1
                staying.append(row: number, outcome, place: row)
                continue
            }
            let partner = outcome.partners.isEmpty ? -1 : Int(outcome.partners[row])
            func ordinal(_ row: Int) -> Ordinal {
                Ordinal(rawValue: UInt64(bitPattern: ordinals[ordinals.startIndex + row]))
            }
            let loss = Loss(
                stage: name, reason: outcome.reason, partner: partner < 0 ? nil : ordinal(partner),
                measures: outcome.measures.map { Measure($0.name, .real($0.values[row])) })
            lines.append(loss, of: ordinal(row), encoder)
            leaving.append(number)
        }
        if kept < count { account.countDrop(stage: name, reason: outcome.reason, count - kept) }
        reports.append(GroupReport(key: key, size: count, kept: kept, report: outcome.report))
    }

    /// Hands over the collected rows.
    mutating func empty(_ handOver: (SelectionBooks) throws -> Void) throws {
        try handOver(self)
        lines.removeAll()
        leaving.removeAll(keepingCapacity: true)
        staying.removeAll()
    }
}
