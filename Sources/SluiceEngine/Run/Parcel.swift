import SluiceCore
import SluiceIO

/// A block of input on its way through a pass, with all that is made of it. Reused from block to block.
final class Parcel {
    /// A line that is no good record.
    struct Fault {
        let line: RawLine
        let code: String
        let message: String
        /// Where in the line.
        let byte: Int
    }

    /// Why a good record leaves.
    struct Loss {
        let stage: String
        let reason: Reason
        let partner: Ordinal?
        let measures: [Measure]
    }

    let raw = RawBlock()
    var file = 0
    /// Where the block after this one begins in the unpacked file.
    var endByte: UInt64 = 0
    /// As much of the file as had been read by then, packed as it lies on disk: at least up to the end of the block.
    var read: FileDigest.Mark?
    /// Bytes of the block as it was read.
    var inputBytes = 0
    /// What the block has of the pass's memory for long records.
    var longBytes = 0
    /// Distinct records up to the end of this block.
    var distinct = 0
    /// A block that a stopped run was done with: read again only for the deduper's sake.
    var isReplay = false
    /// Where the run is once this parcel is written; only where a checkpoint is due.
    var checkpoint: Checkpoint?

    /// The good records: which line each is, its place, its content, its fields.
    var lines: [RawLine] = []
    var ordinals: [Ordinal] = []
    var hashes: [ContentHash] = []
    /// What the dedupe compares of each good record, and where it ends; only where it compares contents.
    var keys: [UInt8] = []
    var keyEnds: [Int] = []
    /// Where contents are compared after a pass of its own: the first record with the same hash, for each in `rows`.
    var groups: [UInt64] = []
    var fields = FieldTable(paths: [])
    var faults: [Fault] = []
    /// For each good record an index into `losses`, or -1 while it is in.
    var fates: [Int32] = []
    var losses: [Loss] = []

    /// The block that the stages worked on: its records are the good ones that were in when the stages began.
    var columns: [(name: ColumnName, column: Column)] = []
    var rows: [Int32] = []
    /// In the last pass: the row of each kept record in the column store.
    var storeRows: [Int] = []

    var account = Account()
    /// The kept lines: pieces of the block where records are written as they are, else what was made of them.
    var keptRuns: [(start: UInt32, end: UInt32)] = []
    var kept: [UInt8] = []
    var ledger: [UInt8] = []
    var ledgerLines = 0
    /// Where each ledger line ends and whose it is; only where the lines are to be sorted later.
    var ledgerEnds: [Int] = []
    var ledgerOrdinals: [UInt64] = []
    var quarantine: [UInt8] = []
    var picks: [UInt8] = []
    var frames: [Frame] = []

    /// Lets the line go of a block with one long record.
    func releaseLine() { if raw.isLong { raw.release() } }

    /// Lets go what was parsed of a block with one long record.
    func releaseFields() { if raw.isLong { fields.arena = [] } }

    /// Lets go what the dedupe compared of a block with one long record.
    func releaseKeys() { if raw.isLong { (keys, keyEnds) = ([], []) } }

    /// Makes room for a long record as it is written, and for the lines of an output that wait for a full frame: of what is
    /// not filled the system takes nothing. An array that grows has its bytes twice for a moment.
    func reserveKept(_ copies: RecordCopies) {
        guard raw.isLong, !rows.isEmpty || !lines.isEmpty else { return }
        kept.reserveCapacity(copies.bytes(inputBytes) + 2 * OutputStream.frameBytes)
    }

    /// Lets go all that grew with a long record, so that no spare parcel keeps it.
    func releaseLong() {
        releaseLine()
        releaseFields()
        releaseKeys()
        columns = []
        (kept, ledger, quarantine, picks) = ([], [], [], [])
    }

    func reset() {
        isReplay = false
        checkpoint = nil
        lines.removeAll(keepingCapacity: true)
        ordinals.removeAll(keepingCapacity: true)
        hashes.removeAll(keepingCapacity: true)
        keys.removeAll(keepingCapacity: true)
        keyEnds.removeAll(keepingCapacity: true)
        groups.removeAll(keepingCapacity: true)
        fields.arena.removeAll(keepingCapacity: true)
        fields.entries.removeAll(keepingCapacity: true)
        faults.removeAll(keepingCapacity: true)
        fates.removeAll(keepingCapacity: true)
        losses.removeAll(keepingCapacity: true)
        columns.removeAll(keepingCapacity: true)
        rows.removeAll(keepingCapacity: true)
        storeRows.removeAll(keepingCapacity: true)
        account = Account()
        keptRuns.removeAll(keepingCapacity: true)
        kept.removeAll(keepingCapacity: true)
        ledger.removeAll(keepingCapacity: true)
        ledgerLines = 0
        ledgerEnds.removeAll(keepingCapacity: true)
        ledgerOrdinals.removeAll(keepingCapacity: true)
        quarantine.removeAll(keepingCapacity: true)
        picks.removeAll(keepingCapacity: true)
        frames.removeAll(keepingCapacity: true)
    }

    /// Keeps a record's line as it is.
    func keep(_ line: RawLine) {
        raw.endLine(of: line)
        // Records that stand together in the block, a line end and nothing else between them, are one piece.
        if let last = keptRuns.indices.last, keptRuns[last].end == line.start {
            keptRuns[last].end = line.end + 1
        } else {
            keptRuns.append((line.start, line.end + 1))
        }
    }

    /// The kept lines in order, line ends included; valid until the parcel changes.
    func withKept<R>(_ body: ([UnsafeRawBufferPointer]) throws -> R) rethrows -> R {
        try kept.withUnsafeBytes { made in
            try body(keptRuns.map { raw.bytes(from: $0.start, to: $0.end) } + (made.isEmpty ? [] : [made]))
        }
    }

    /// What the dedupe compares of a record.
    func key<R>(_ record: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        let start = record == 0 ? 0 : keyEnds[record - 1]
        return try keys.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[start..<keyEnds[record]])) }
    }

    func lose(_ record: Int, _ loss: Loss) {
        guard fates[record] < 0 else { return }
        fates[record] = Int32(losses.count)
        losses.append(loss)
        account.countDrop(stage: loss.stage, reason: loss.reason)
    }
}

/// Keeps what is not needed at the moment, so that big buffers are made once and not once a block.
final class Spares<Thing>: @unchecked Sendable {
    // `things` and `free` are touched only with `monitor` locked.
    private let monitor = Monitor()
    private var things: [Thing] = []
    /// How many more may be made.
    private var free: Int
    private let make: () -> Thing

    /// - Parameter most: things at a time; `take` waits where all are out.
    init(most: Int = .max, _ make: @escaping () -> Thing) {
        free = max(1, most)
        self.make = make
    }

    func take() -> Thing {
        let spare = monitor.locked { () -> Thing? in
            while things.isEmpty, free == 0 { monitor.wait() }
            if let thing = things.popLast() { return thing }
            free -= 1
            return nil
        }
        return spare ?? make()
    }

    func giveBack(_ thing: Thing) {
        monitor.locked {
            things.append(thing)
            if free == 0 { monitor.wakeAll() }
        }
    }

    func using<R>(_ body: (Thing) throws -> R) rethrows -> R {
        let thing = take()
        defer { giveBack(thing) }
        return try body(thing)
    }

    /// All that is at rest; the spares are then empty.
    func takeAll() -> [Thing] {
        monitor.locked {
            defer { things = [] }
            return things
        }
    }
}
