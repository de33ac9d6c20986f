import SluiceCore
import SluiceIO

/// The outputs of a run and the steps that fill them.
final class Outputs: @unchecked Sendable {
    // @unchecked: only ordered steps use the streams; `compressors` and `buffers` are thread-safe.

    let all: [OutputStream]
    private let hasPicks: Bool
    private let folder: String
    private let fileSystem: FileSystem
    private let compressors: ObjectPool<FrameCompressor>
    private let quickCompressors: ObjectPool<FrameCompressor>
    private let buffers: ObjectPool<FrameBuffer>

    var kept: OutputStream { all[0] }
    var ledger: OutputStream { all[1] }
    var quarantine: OutputStream { all[2] }
    var picks: OutputStream? { hasPicks ? all[3] : nil }

    /// The ledger and similar files are long and repetitive; level 1 compresses them well and fast.
    private static let sideLevel = 1

    /// - Parameters:
    ///   - spec: the compression of the kept records.
    ///   - count: the most compressors of its level in use at a time.
    ///   - checkpoint: the states of the streams when the run stopped.
    init(
        folder: String, spec: OutputSpec, compressors count: Int, writesPicks: Bool,
        from checkpoint: [OutputStream.State]? = nil,
        fileSystem: FileSystem
    ) throws(IOFailure) {
        let names =
            [spec.compression.keptName, ResultFile.ledger, ResultFile.quarantine]
            + (writesPicks ? [ResultFile.picks] : [])
        let buffers = ObjectPool { FrameBuffer() }
        var streams: [OutputStream] = []
        for (index, name) in names.enumerated() {
            streams.append(
                try OutputStream(
                    name: name, folder: folder, compression: index == 0 ? spec.compression : .zstd,
                    from: checkpoint.flatMap { index < $0.count ? $0[index] : nil }, buffers: buffers,
                    fileSystem: fileSystem))
        }
        // The names of the files must be on disk before a checkpoint refers to them.
        if checkpoint == nil { try fileSystem.flushFolder(folder) }
        all = streams
        self.buffers = buffers
        hasPicks = writesPicks
        self.folder = folder
        self.fileSystem = fileSystem
        compressors = ObjectPool(most: count) { FrameCompressor(level: spec.level) }
        quickCompressors = ObjectPool { FrameCompressor(level: Self.sideLevel) }
    }

    /// Ends the frame of every output, before the first lines of another part of the input.
    func endFrames(before parcel: Parcel) {
        for stream in all { stream.endFrame(to: &parcel.frames) }
    }

    /// Adds a parcel's lines, in order.
    func assemble(_ parcel: Parcel) {
        if parcel.raw.isLong, kept.compression == .zstd {
            // Lines copied into a frame are not needed elsewhere.
            if parcel.keptRuns.isEmpty {
                kept.take(&parcel.kept, lines: parcel.account.kept, to: &parcel.frames)
            } else {
                parcel.withKept { kept.add($0, lines: parcel.account.kept, to: &parcel.frames) }
                parcel.releaseLine()
            }
        } else {
            parcel.withKept { kept.add($0, lines: parcel.account.kept, to: &parcel.frames) }
        }
        func add(_ bytes: [UInt8], _ lines: Int, to stream: OutputStream?) {
            bytes.withUnsafeBytes { stream?.add([$0], lines: lines, to: &parcel.frames) }
        }
        add(parcel.ledger, parcel.ledgerLines, to: ledger)
        if parcel.raw.isLong {
            quarantine.take(&parcel.quarantine, lines: parcel.account.quarantined, to: &parcel.frames)
        } else {
            add(parcel.quarantine, parcel.account.quarantined, to: quarantine)
        }
        add(parcel.picks, parcel.account.kept, to: picks)
    }

    /// The last steps of a pass: compress what was assembled, append it in order, write the checkpoint that is due.
    func steps(of input: InputPass, _ checkpoints: Checkpoints) -> [Conveyor<Parcel>.Step] {
        [
            .parallel { [self] in compress($0) },
            .ordered { [self] parcel in
                try append(parcel)
                if let checkpoint = parcel.checkpoint { try checkpoints.write(checkpoint, self) }
                input.giveBack(parcel)
            },
        ]
    }

    private func compress(_ parcel: Parcel) {
        for frame in parcel.frames {
            let spares = frame.stream === kept ? compressors : quickCompressors
            spares.using { frame.buffer.compress(with: $0) }
        }
    }

    private func append(_ parcel: Parcel) throws {
        if kept.compression == .uncompressed { try parcel.withKept { try kept.append(lines: $0) } }
        for frame in parcel.frames {
            try frame.stream.append(frame.buffer)
            frame.buffer.empty()
            buffers.giveBack(frame.buffer)
        }
        parcel.frames.removeAll(keepingCapacity: true)
    }

    /// The states once everything assembled has been appended.
    var assembled: [OutputStream.State] { all.map(\.state) }

    /// Completes and flushes every file.
    func finish() throws(IOFailure) {
        for stream in all {
            let spares = stream === kept ? compressors : quickCompressors
            let compressor = spares.take()
            defer { spares.giveBack(compressor) }
            try stream.finish(compressor)
        }
        try fileSystem.flushFolder(folder)
    }
}
