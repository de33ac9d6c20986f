import SluiceCore

/// A block of records on its way through a pass, with what the pass makes of it.
class Parcel {
    var account = Account()
    /// The records that are out.
    var losses = Losses()
    var ledger = LedgerLines()
    /// Columns of the records that are in, for whatever follows the pass.
    var columns: [(name: ColumnName, column: Column)] = []

    /// Books a record that is out; nothing if it was out before.
    func lose(_ record: Int, _ loss: Loss) {
        guard losses.add(record, loss) else { return }
        account.countDrop(stage: loss.stage, reason: loss.reason)
    }

    /// Books the records that a stage dropped of a block.
    ///
    /// - Parameters:
    ///   - first: the first of the block's drops that is the stage's.
    ///   - record: the number of a row of the block in the parcel.
    func book(
        _ block: borrowing Block, from first: Int, _ stage: String, record: (Int) -> Int = { $0 }
    ) {
        if let through = block.through { account.countThrough(through, of: stage) }
        for drop in block.drops[first...] {
            lose(
                record(drop.record),
                Loss(stage: stage, reason: drop.reason, partner: nil, measures: drop.measures))
        }
    }

    /// Writes the ledger lines of the records that are out, in their order.
    func encodeLosses(_ ordinals: [Ordinal], _ encoder: LineEncoder) {
        for (record, loss) in losses { ledger.append(loss, of: ordinals[record], encoder) }
    }
}

/// The reason why a good record was dropped.
struct Loss {
    let stage: String
    let reason: Reason
    let partner: Ordinal?
    let measures: [Measure]
}

/// The records of a parcel that are out, and why.
struct Losses: Sequence {
    /// For each record an index into `all`, or -1 while it is in.
    private var fates: [Int32] = []
    private var all: [Loss] = []

    /// Begins with `count` records, which are all in.
    mutating func begin(_ count: Int) {
        fates.removeAll(keepingCapacity: true)
        fates.append(contentsOf: repeatElement(-1, count: count))
        all.removeAll(keepingCapacity: true)
    }

    /// - Returns: false if the record was out before.
    mutating func add(_ record: Int, _ loss: Loss) -> Bool {
        guard fates[record] < 0 else { return false }
        fates[record] = Int32(all.count)
        all.append(loss)
        return true
    }

    subscript(record: Int) -> Loss? { fates[record] < 0 ? nil : all[Int(fates[record])] }

    /// The records that are in.
    func forEachKept(_ body: (Int) -> Void) {
        for (record, fate) in fates.enumerated() where fate < 0 { body(record) }
    }

    /// The records that are out, in their order.
    func makeIterator() -> some IteratorProtocol<(Int, Loss)> {
        (all.isEmpty ? [] : fates[...]).enumerated().lazy.filter { $0.element >= 0 }.map { [all] in
            ($0.offset, all[Int($0.element)])
        }.makeIterator()
    }
}

/// Lines of the ledger, with line ends.
struct LedgerLines {
    var bytes: [UInt8] = []
    /// The end and the ordinal of each line, for those that are to be sorted later.
    private(set) var ends: [Int] = []
    private(set) var ordinals: [UInt64] = []
    /// The number of lines.
    private(set) var count = 0

    /// Notes that a line has been appended to `bytes`.
    mutating func endLine(_ ordinal: Ordinal) {
        ends.append(bytes.count)
        ordinals.append(ordinal.rawValue)
        count += 1
    }

    mutating func append(_ loss: Loss, of ordinal: Ordinal, _ encoder: LineEncoder) {
        encoder.appendDrop(
            ordinal, stage: loss.stage, reason: loss.reason, partner: loss.partner, measures: loss.measures, to: &bytes)
        endLine(ordinal)
    }

    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
        ordinals.removeAll(keepingCapacity: true)
        count = 0
    }
}
