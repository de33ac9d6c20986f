import SluiceCore
import SluiceIO

/// A block of input in a pass, with the data derived from it. Reused for later blocks.
final class Parcel {
    /// A malformed line.
    struct Fault {
        let line: RawLine
        let code: String
        let message: String
        /// The offset in the line.
        let byte: Int
    }

    /// The reason why a good record was dropped.
    struct Loss {
        let stage: String
        let reason: Reason
        let partner: Ordinal?
        let measures: [Measure]
    }

    let raw = RawBlock()
    var file = 0
    /// The part of the input that it belongs to.
    var part = 0
    /// The start of the next block in the unpacked file.
    var endByte: UInt64 = 0
    /// The digest of the part of the file, as stored on disk, read by then: at least up to the end of the block.
    var read: FileDigest.Mark?
    /// Bytes of the block as read.
    var inputBytes = 0
    /// The block's share of the pass's memory for long records.
    var longBytes = 0
    /// Distinct records up to the end of this block.
    var distinct = 0
    /// A block that the stopped run had finished: read again only for the deduper.
    var isReplay = false
    /// The checkpoint to write after this parcel, if one is due.
    var checkpoint: Checkpoint?

    /// The good records: lines, ordinals, hashes, fields.
    var lines: [RawLine] = []
    var ordinals: [Ordinal] = []
    var hashes: [ContentHash] = []
    /// The contents that the dedupe compares, and their ends; only if it compares contents.
    var keys: [UInt8] = []
    var keyEnds: [Int] = []
    /// If contents are compared in a separate pass: the first record with the same hash, for each of `rows`.
    var groups: [UInt64] = []
    var fields = FieldTable(paths: [])
    var faults: [Fault] = []
    /// For each good record an index into `losses`, or -1 while it is in.
    var fates: [Int32] = []
    var losses: [Loss] = []

    /// The block processed by the stages: its records are the good ones that were in when the stages started.
    var columns: [(name: ColumnName, column: Column)] = []
    var rows: [Int32] = []
    /// In the last pass: the row of each kept record in the column store.
    var storeRows: [Int] = []

    var account = Account()
    /// The kept lines: pieces of the block if records are written as they are, otherwise the encoded records.
    var keptRuns: [(start: UInt32, end: UInt32)] = []
    var kept: [UInt8] = []
    var ledger: [UInt8] = []
    var ledgerLines = 0
    /// The end and ordinal of each ledger line; only if the lines are to be sorted later.
    var ledgerEnds: [Int] = []
    var ledgerOrdinals: [UInt64] = []
    var quarantine: [UInt8] = []
    var picks: [UInt8] = []
    var frames: [Frame] = []

    /// Frees the line of a block with one long record.
    func releaseLine() { if raw.isLong { raw.release() } }

    /// Frees the parsed fields of a block with one long record.
    func releaseFields() { if raw.isLong { fields.arena = [] } }

    /// Frees the dedupe's contents of a block with one long record.
    func releaseKeys() { if raw.isLong { (keys, keyEnds) = ([], []) } }

    /// Makes room for a long record as it is written, and for the output's lines that wait for a full frame. Unused
    /// room takes no memory; growing the array would briefly need twice the bytes.
    func reserveKept(_ copies: RecordCopies) {
        guard raw.isLong, !rows.isEmpty || !lines.isEmpty else { return }
        kept.reserveCapacity(copies.bytes(inputBytes) + 2 * OutputStream.frameBytes)
    }

    /// Frees everything that grew with a long record, so that no spare parcel keeps it.
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
        // Records that are adjacent in the block, separated only by a line end, are one piece.
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

    /// The content of a record that the dedupe compares.
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
