package import SluiceCore
import SluiceIO

extension OutputCompression {
    /// The name of the file of kept records.
    package var keptName: String { self == .zstd ? "kept.jsonl.zst" : "kept.jsonl" }
}

/// Where the lines of one output go, in order.
///
/// A pass does three things with lines, of which only the second runs in parallel: `add` takes them and hands out full
/// frames, a frame is compressed, and `append` takes it back in order. A sink that needs no frames writes the lines of a
/// parcel directly.
protocol RecordSink: AnyObject {
    /// Its bytes.
    var file: OutputFile { get }
    /// What has been added; without the length of the file, since lines may be appended while others are added.
    var state: SinkState { get }
    /// Whether it takes frames rather than lines.
    var takesFrames: Bool { get }
    /// XXH3-128 of the content, uncompressed.
    var contentDigest: String { get }

    /// Counts complete lines, and adds them to frames.
    ///
    /// - Parameters:
    ///   - pieces: each of complete lines.
    ///   - count: the number of lines; those that went to a work file instead don't count.
    func add(_ pieces: [UnsafeRawBufferPointer], lines count: Int, to full: inout [Frame])

    /// Adds one long line. If it fills a frame, its memory is taken over instead of copied.
    func take(_ line: inout [UInt8], lines count: Int, to full: inout [Frame])

    /// Makes a frame of the lines that wait for one, if there are any.
    func endFrame(to full: inout [Frame])

    /// Appends lines added before, if it takes no frames.
    func append(lines pieces: [UnsafeRawBufferPointer]) throws(IOFailure)

    /// Appends the content of a file that another sink of the same form has finished.
    ///
    /// Cost: reads the file twice, since its content is unpacked, to check it and for the digest of all of them.
    ///
    /// - Throws: `IOFailure` with code `.corruptWorkFile` if it doesn't hold what `facts` say.
    func append(contentsOf path: String, _ facts: OutputFacts) throws(IOFailure)

    /// Writes what is left, and gives the output its final name.
    func finish(_ compressor: FrameCompressor) throws(IOFailure)
}

extension RecordSink {
    var name: String { Path.name(of: file.path) }
    var lines: Int { state.lines }
    var contentBytes: Int { state.contentBytes }
    /// What a finished output holds.
    var facts: OutputFacts { OutputFacts(lines: state.lines, bytes: state.contentBytes, digest: contentDigest) }
}

/// The part of a checkpoint that allows an output to be continued.
struct SinkState: Sendable, Equatable {
    var fileBytes = 0
    /// XXH3-128 of these bytes of the file; set when a checkpoint is written.
    var fileDigest = ""
    var contentBytes = 0
    var lines = 0
    /// Lines not yet in a frame.
    var pending: [UInt8] = []
}

/// What a file of the result holds.
struct OutputFacts: Equatable, Sendable {
    let lines: Int
    /// Of the content, uncompressed.
    let bytes: Int
    /// XXH3-128 of the content.
    let digest: String
}
