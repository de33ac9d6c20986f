import SluiceCore
import SluiceIO

/// The outputs of a run and the steps that fill them.
final class Outputs: @unchecked Sendable {
    // @unchecked: only ordered steps use the streams; `compressors` and `buffers` are thread-safe.

    let all: [any RecordSink]
    private let extras: Extras
    private let folder: String
    private let fileSystem: FileSystem
    private let compressors: ObjectPool<FrameCompressor>
    private let quickCompressors: ObjectPool<FrameCompressor>
    private let buffers: ObjectPool<FrameBuffer>

    var kept: any RecordSink { all[0] }
    var ledger: any RecordSink { all[1] }
    var quarantine: any RecordSink { all[2] }
    var picks: (any RecordSink)? { extras.picks ? all[3] : nil }
    /// What the definition's outputs read of the kept records.
    var sinkRows: (any RecordSink)? { extras.sinkRows ? all[all.count - 1] : nil }
    /// Those that are part of the result.
    var lasting: ArraySlice<any RecordSink> { extras.sinkRows ? all.dropLast() : all[...] }

    /// What not every run writes.
    struct Extras {
        var picks = false
        var sinkRows = false

        init(_ run: RunContext) { (picks, sinkRows) = (!run.picks.isEmpty, run.sinkRows != nil) }
    }

    /// The ledger and similar files are long and repetitive; level 1 compresses them well and fast.
    private static let sideLevel = 1

    /// - Parameters:
    ///   - spec: the compression of the kept records.
    ///   - count: the most compressors of its level in use at a time.
    ///   - checkpoint: the states of the streams when the run stopped.
    init(
        folder: String, spec: OutputSpec, compressors count: Int, _ extras: Extras,
        from checkpoint: [SinkState]? = nil,
        fileSystem: FileSystem
    ) throws(IOFailure) {
        let names =
            [spec.compression.keptName, ResultFile.ledger, ResultFile.quarantine]
            + (extras.picks ? [ResultFile.picks] : []) + (extras.sinkRows ? [SinkRows.fileName] : [])
        let buffers = ObjectPool { FrameBuffer() }
        var sinks: [any RecordSink] = []
        for (index, name) in names.enumerated() {
            let state = checkpoint.flatMap { index < $0.count ? $0[index] : nil }
            let path = "\(folder)/\(name)"
            if index == 0, spec.compression == .uncompressed {
                sinks.append(try LineSink(path, from: state, fileSystem: fileSystem))
            } else {
                sinks.append(try FrameSink(path, from: state, buffers: buffers, fileSystem: fileSystem))
            }
        }
        // The names of the files must be on disk before a checkpoint refers to them.
        if checkpoint == nil { try fileSystem.flushFolder(folder) }
        all = sinks
        self.buffers = buffers
        self.extras = extras
        self.folder = folder
        self.fileSystem = fileSystem
        compressors = ObjectPool(most: count) { FrameCompressor(level: spec.level) }
        quickCompressors = ObjectPool { FrameCompressor(level: Self.sideLevel) }
    }

    /// Ends the frame of every output, before the first lines of another part of the input.
    func endFrames(before parcel: InputParcel) {
        for sink in all { sink.endFrame(to: &parcel.output.frames) }
    }

    /// Adds a parcel's lines, in order.
    func assemble(_ parcel: InputParcel) {
        // Moved out of the parcel, whose lines are read meanwhile.
        var frames = parcel.output.frames
        parcel.output.frames = []
        defer { parcel.output.frames = frames }
        if parcel.raw.isLong, kept.takesFrames, parcel.output.keptRuns.isEmpty {
            kept.take(&parcel.output.kept, lines: parcel.account.kept, to: &frames)
        } else {
            parcel.withKept { kept.add($0, lines: parcel.account.kept, to: &frames) }
            // Lines copied into a frame are not needed elsewhere.
            if kept.takesFrames { parcel.releaseLine() }
        }
        func add(_ bytes: [UInt8], _ lines: Int, to sink: (any RecordSink)?) {
            bytes.withUnsafeBytes { sink?.add([$0], lines: lines, to: &frames) }
        }
        add(parcel.ledger.bytes, parcel.ledger.count, to: ledger)
        if parcel.raw.isLong {
            quarantine.take(&parcel.output.quarantine, lines: parcel.account.quarantined, to: &frames)
        } else {
            add(parcel.output.quarantine, parcel.account.quarantined, to: quarantine)
        }
        add(parcel.output.picks, parcel.account.kept, to: picks)
        add(parcel.output.sinkRows, parcel.account.kept, to: sinkRows)
    }

    /// The last steps of a pass: compress what was assembled, append it in order, write the checkpoint that is due.
    func steps(of input: InputPass, _ checkpoints: Checkpoints) -> [Conveyor<InputParcel>.Step] {
        [
            .parallel { [self] in compress($0) },
            .ordered { [self] parcel in
                try append(parcel)
                if let checkpoint = parcel.checkpoint { try checkpoints.write(checkpoint, self) }
                input.giveBack(parcel)
            },
        ]
    }

    private func compress(_ parcel: InputParcel) {
        for frame in parcel.output.frames {
            let spares = frame.sink === kept ? compressors : quickCompressors
            spares.using { frame.buffer.compress(with: $0) }
        }
    }

    private func append(_ parcel: InputParcel) throws {
        if !kept.takesFrames { try parcel.withKept { try kept.append(lines: $0) } }
        for frame in parcel.output.frames {
            try frame.sink.append(frame.buffer)
            frame.buffer.empty()
            buffers.giveBack(frame.buffer)
        }
        parcel.output.frames.removeAll(keepingCapacity: true)
    }

    /// The states once everything assembled has been appended.
    var assembled: [SinkState] { all.map(\.state) }

    /// Completes and flushes every file.
    func finish() throws(IOFailure) {
        for sink in all {
            let spares = sink === kept ? compressors : quickCompressors
            let compressor = spares.take()
            defer { spares.giveBack(compressor) }
            try sink.finish(compressor)
        }
        try fileSystem.flushFolder(folder)
    }
}
