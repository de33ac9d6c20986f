import SluiceCore
import SluiceIO

/// Decides when a checkpoint is due and writes it, in the order that a crash at any instant asks for: first everything
/// that it speaks of goes to the disk, then the checkpoint replaces the one before.
final class Checkpoints: @unchecked Sendable {
    // `last` is touched by ordered steps only: one thread at a time.

    /// A shard of columns, and with it a checkpoint, ends at the first block end at or past so many bytes of input.
    let segmentBytes: Int
    private let file: CheckpointFile
    private let interval: Double
    private var last = monotonicSeconds()

    /// - Parameter interval: seconds between checkpoints of a pass that writes no columns.
    init(file: CheckpointFile, segmentBytes: Int, interval: Double) {
        self.file = file
        self.segmentBytes = segmentBytes
        self.interval = interval
    }

    /// Whether it is time for one. When that is follows the clock; no result depends on it.
    var isDue: Bool {
        let now = monotonicSeconds()
        guard now - last >= interval else { return false }
        last = now
        return true
    }

    func write(_ checkpoint: Checkpoint, _ outputs: Outputs) throws {
        var checkpoint = checkpoint
        for (index, stream) in outputs.all.enumerated() {
            try stream.flush()
            // Frames that were assembled before this checkpoint are all in the file by now.
            checkpoint.streams[index].fileBytes = stream.state.fileBytes
            checkpoint.streams[index].fileDigest = stream.fileDigest
        }
        try file.write(checkpoint)
    }
}
