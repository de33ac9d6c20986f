import SluiceCore
import SluiceIO

/// An output of uncompressed lines. A parcel's lines are written directly, without a copy.
final class LineSink: RecordSink {
    let file: OutputFile
    private(set) var state: SinkState
    let takesFrames = false

    /// - Parameter state: that of a checkpoint; nil for a new file.
    init(_ path: String, from state: SinkState?, fileSystem: FileSystem) throws(IOFailure) {
        self.state = state ?? SinkState()
        guard let state else {
            file = try OutputFile(path, fileSystem: fileSystem)
            return
        }
        file = try OutputFile(path, from: state, fileSystem: fileSystem) { path, isFinished throws(IOFailure) in
            guard isFinished, try fileSystem.status(of: path)?.size != UInt64(state.fileBytes) else { return }
            throw OutputFile.damaged(path, "it has another size than was written")
        }
    }

    var contentDigest: String { file.digest }

    func add(_ pieces: [UnsafeRawBufferPointer], lines count: Int, to full: inout [Frame]) {
        guard pieces.contains(where: { !$0.isEmpty }) else { return }
        state.lines += count
        for bytes in pieces { state.contentBytes += bytes.count }
    }

    func take(_ line: inout [UInt8], lines count: Int, to full: inout [Frame]) {
        line.withUnsafeBytes { add([$0], lines: count, to: &full) }
    }

    func endFrame(to full: inout [Frame]) {}

    func append(lines pieces: [UnsafeRawBufferPointer]) throws(IOFailure) { try file.append(pieces) }

    func append(contentsOf path: String, _ facts: OutputFacts) throws(IOFailure) {
        try file.append(bytesOf: path, facts.bytes)
        let content = try ContentFacts(of: path, fileSystem: file.fileSystem)
        guard OutputFacts(lines: content.lines, bytes: content.bytes, digest: content.hash) == facts else {
            throw OutputFile.damaged(path, "it differs from what was written")
        }
        state.lines += facts.lines
        state.contentBytes += facts.bytes
    }

    func finish(_ compressor: FrameCompressor) throws(IOFailure) { try file.finish() }
}
