import SluiceCore
import SluiceIO

/// A block of the input in a pass, and what is derived from it. Reused for later blocks.
final class InputParcel: Parcel {
    let raw = RawBlock()
    var place = BlockPlace()
    /// Its share of the pass's memory for long records.
    var longBytes = 0
    /// The good records.
    var records = ParsedRecords()
    /// Of the block processed by the stages: the records that were in when the stages started.
    var rows: [Int32] = []
    /// In the last pass: the row of each kept record in the column store.
    var storeRows: [Int] = []
    var output = OutputLines()
    /// Distinct records up to the end of this block.
    var distinct = 0
    /// The checkpoint to write after this parcel, if one is due.
    var checkpoint: Checkpoint?

    /// Frees the line of a block with one long record.
    func releaseLine() { if raw.isLong { raw.release() } }

    /// Frees the parsed fields of a block with one long record.
    func releaseFields() { if raw.isLong { records.fields.arena = [] } }

    /// Frees the dedupe's contents of a block with one long record.
    func releaseKeys() { if raw.isLong { records.keys = RecordKeys() } }

    /// Makes room for a long record as it is written, and for the output's lines that wait for a full frame. Unused
    /// room takes no memory; growing the array would briefly need twice the bytes.
    func reserveKept(_ copies: RecordCopies) {
        guard raw.isLong, !rows.isEmpty || !records.lines.isEmpty else { return }
        output.kept.reserveCapacity(copies.bytes(place.bytes) + 2 * OutputFile.frameBytes)
    }

    /// Frees everything that grew with a long record, so that no spare parcel keeps it.
    func releaseLong() {
        releaseLine()
        releaseFields()
        releaseKeys()
        columns = []
        ledger.bytes = []
        (output.kept, output.quarantine, output.picks, output.sinkRows) = ([], [], [], [])
    }

    func reset() {
        place.isReplay = false
        checkpoint = nil
        account = Account()
        losses.begin(0)
        ledger.removeAll()
        columns.removeAll(keepingCapacity: true)
        records.removeAll()
        rows.removeAll(keepingCapacity: true)
        storeRows.removeAll(keepingCapacity: true)
        output.removeAll()
    }

    /// Keeps a record's line as it is.
    func keep(_ line: RawLine) {
        raw.endLine(of: line)
        output.keep(line)
    }

    /// The kept lines in order, line ends included; valid until the parcel changes.
    func withKept<R>(_ body: ([UnsafeRawBufferPointer]) throws -> R) rethrows -> R {
        try output.kept.withUnsafeBytes { made in
            try body(output.keptRuns.map { raw.bytes(from: $0.start, to: $0.end) } + (made.isEmpty ? [] : [made]))
        }
    }
}

/// Where a block is in the input.
struct BlockPlace {
    var file = 0
    /// The part of the input that it belongs to.
    var part = 0
    /// The start of the next block in the unpacked file.
    var endByte: UInt64 = 0
    /// The digest of the part of the file, as stored, read by then: at least up to the end of the block.
    var read: FileDigest.Mark?
    /// Bytes of the block as read.
    var bytes = 0
    /// A block that the stopped run had finished: read again only for the deduper.
    var isReplay = false
}

/// The good records of a block, and its malformed lines.
struct ParsedRecords {
    var lines: [RawLine] = []
    var ordinals: [Ordinal] = []
    var hashes: [ContentHash] = []
    var fields = FieldTable(paths: [])
    var faults: [MalformedLine] = []
    /// The contents that the dedupe compares; only if it compares contents.
    var keys = RecordKeys()
    /// If contents are compared in a separate pass: the first record with the same hash, for each row.
    var groups: [UInt64] = []

    mutating func removeAll() {
        lines.removeAll(keepingCapacity: true)
        ordinals.removeAll(keepingCapacity: true)
        hashes.removeAll(keepingCapacity: true)
        fields.arena.removeAll(keepingCapacity: true)
        fields.entries.removeAll(keepingCapacity: true)
        faults.removeAll(keepingCapacity: true)
        keys.removeAll()
        groups.removeAll(keepingCapacity: true)
    }
}

struct MalformedLine {
    let line: RawLine
    let code: String
    let message: String
    /// The offset in the line.
    let byte: Int
}

/// Contents of records, one after the other.
struct RecordKeys {
    private var bytes: [UInt8] = []
    private var ends: [Int] = []

    /// The number of bytes.
    var size: Int { bytes.count }
    var last: Int { ends.count - 1 }

    mutating func append(_ content: UnsafeRawBufferPointer) {
        bytes.append(contentsOf: content)
        ends.append(bytes.count)
    }

    /// Appends a content in pieces, making room for all of it at once.
    mutating func append(count: Int, _ pieces: ((UnsafeRawBufferPointer) -> Void) -> Void) {
        bytes.reserveCapacity(bytes.count + count)
        pieces { bytes.append(contentsOf: $0) }
        ends.append(bytes.count)
    }

    func with<R>(_ record: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        let start = record == 0 ? 0 : ends[record - 1]
        return try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[start..<ends[record]])) }
    }

    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
    }
}

/// The lines that a block adds to the outputs, besides those of the ledger.
struct OutputLines {
    /// The kept lines: pieces of the block if records are written as they are, otherwise the encoded records.
    private(set) var keptRuns: [(start: UInt32, end: UInt32)] = []
    var kept: [UInt8] = []
    var quarantine: [UInt8] = []
    var picks: [UInt8] = []
    var sinkRows: [UInt8] = []
    var frames: [Frame] = []

    mutating func keep(_ line: RawLine) {
        // Records that are adjacent in the block, separated only by a line end, are one piece.
        if let last = keptRuns.indices.last, keptRuns[last].end == line.start {
            keptRuns[last].end = line.end + 1
        } else {
            keptRuns.append((line.start, line.end + 1))
        }
    }

    mutating func removeAll() {
        keptRuns.removeAll(keepingCapacity: true)
        kept.removeAll(keepingCapacity: true)
        quarantine.removeAll(keepingCapacity: true)
        picks.removeAll(keepingCapacity: true)
        sinkRows.removeAll(keepingCapacity: true)
        frames.removeAll(keepingCapacity: true)
    }
}
