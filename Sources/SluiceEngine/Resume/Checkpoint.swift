import SluiceCore
import SluiceIO

/// The progress of a run, from which a stopped run resumes. Written completely or not at all, after everything it
/// refers to is on disk.
struct Checkpoint: Sendable, Equatable {
    /// The next block to read: its file, and its offset in the unpacked file.
    struct Position: Sendable, Equatable {
        var part = 0
        var file = 0
        var byte: UInt64 = 0
        /// In the first pass, the part of the file read by then.
        var read: FileDigest.Mark?
    }

    struct Shard: Sendable, Equatable {
        var part: Int
        var rows: Int
        var types: [ColumnName: ColumnType]
    }

    /// The step that the run is in; everything before it is done.
    var step: RunOutline.Step
    var position = Position()
    var account = Account()
    /// The outputs, in the order of `Outputs.all`.
    var streams: [SinkState] = []
    var shards: [Shard] = []
    /// Sorted runs of ledger lines.
    var runs: [String] = []
    /// Digest and number of lines of the files read completely.
    var files: [Int: FileFacts] = [:]
    var distinct = 0
    /// The field names of the first good record.
    var fieldNames: [String] = []
}

/// What a pass found an input file to be, or the range of it that it read.
struct FileFacts: Sendable, Equatable {
    /// Of the stored bytes.
    var hash: ContentHash
    var lines: Int
}

extension Checkpoint.Position {
    /// After a block.
    init(_ parcel: InputParcel, read: FileDigest.Mark? = nil) {
        self.init(part: parcel.place.part, file: parcel.place.file, byte: parcel.place.endByte, read: read)
    }
}
