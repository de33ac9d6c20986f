import SluiceCore
import SluiceIO

/// Decides when a checkpoint is due and writes it in a crash-safe order: first everything that it refers to is flushed
/// to disk, then the checkpoint replaces the previous one.
final class Checkpoints: @unchecked Sendable {
    // @unchecked: only ordered steps use `last`: one thread at a time.

    /// A shard of columns, and with it a checkpoint, ends at the first block end at or past this many bytes of input.
    let segmentBytes: Int
    /// Nil if the run can't be resumed.
    private let path: String?
    private let files: SealedFiles
    /// Seconds between checkpoints of a pass that writes no columns.
    private let interval: Double
    private var last = monotonicSeconds()

    init(path: String?, files: SealedFiles, _ options: RunOptions) {
        (self.path, self.files) = (path, files)
        (segmentBytes, interval) = (options.segmentBytes, options.checkpointSeconds)
    }

    /// For a task, which is done again as a whole if it is stopped.
    static func none(_ run: RunContext) -> Checkpoints { Checkpoints(path: nil, files: run.sealed, run.options) }

    /// Whether a checkpoint is due. This depends on the clock; no result depends on it.
    var isDue: Bool {
        let now = monotonicSeconds()
        guard path != nil, now - last >= interval else { return false }
        last = now
        return true
    }

    func write(_ checkpoint: Checkpoint, _ outputs: Outputs) throws {
        guard let path else { return }
        var checkpoint = checkpoint
        for (index, stream) in outputs.all.enumerated() {
            try stream.file.flush()
            // All frames assembled before this checkpoint are in the file by now.
            checkpoint.streams[index].fileBytes = stream.file.count
            checkpoint.streams[index].fileDigest = stream.file.digest
        }
        try files.write(checkpoint, to: path)
    }
}
