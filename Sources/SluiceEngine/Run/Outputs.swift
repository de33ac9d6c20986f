package import SluiceCore
import SluiceIO

/// A frame of an output on its way to the file.
struct Frame {
    let stream: OutputStream
    let content: [UInt8]
    var compressed: [UInt8] = []
}

/// One zstd JSON Lines file of the run directory, written in frames.
///
/// A frame ends at the first line end at or past `frameBytes` of its content, so what the file holds, compressed or not,
/// follows from its lines alone. Frames are compressed in parallel and appended in order. The file ends with a seek
/// table (zstd's seekable format), so a reader finds a line without reading all of them; `zstd -dc` passes over it.
final class OutputStream {
    // Used by the ordered steps of a conveyor: one thread at a time.

    static let frameBytes = 2 << 20

    let name: String
    let path: String
    private var pending: [UInt8] = []
    private var writer: ZstdSeekableWriter?
    private var digest = XXHashStream()
    private let fileSystem: FileSystem
    private(set) var lines = 0
    private(set) var contentBytes = 0

    init(name: String, folder: String, fileSystem: FileSystem) throws(IOFailure) {
        self.name = name
        path = "\(folder)/\(name)"
        self.fileSystem = fileSystem
        writer = try ZstdSeekableWriter(path, fileSystem: fileSystem)
    }

    /// Adds whole lines; full frames go to `frames`.
    func add(_ bytes: [UInt8], lines count: Int, to frames: inout [Frame]) {
        guard !bytes.isEmpty else { return }
        lines += count
        contentBytes += bytes.count
        bytes.withUnsafeBytes { bytes in
            digest.update(bytes)
            var rest = bytes
            while pending.count + rest.count >= Self.frameBytes {
                // The frame is full at the first line end at or past its size.
                let from = max(0, Self.frameBytes - 1 - pending.count)
                guard let end = UnsafeRawBufferPointer(rebasing: rest[from...]).firstLineEnd else { break }
                let cut = from + end + 1
                pending.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest[..<cut]))
                frames.append(Frame(stream: self, content: pending))
                pending = []
                pending.reserveCapacity(Self.frameBytes + (Self.frameBytes >> 3))
                rest = UnsafeRawBufferPointer(rebasing: rest[cut...])
            }
            pending.append(contentsOf: rest)
        }
    }

    /// Appends a compressed frame.
    func append(_ frame: Frame) throws(IOFailure) {
        try writer?.appendFrame(frame.compressed, contentSize: frame.content.count)
    }

    /// Writes what is left and the seek table, and gives the file its final name.
    func finish(_ compressor: FrameCompressor) throws(IOFailure) {
        guard let writer else { return }
        if !pending.isEmpty {
            var compressed: [UInt8] = []
            pending.withUnsafeBytes { compressor.compress($0, into: &compressed) }
            try writer.appendFrame(compressed, contentSize: pending.count)
            pending = []
        }
        try writer.finish()
        self.writer = nil
    }

    /// XXH3-128 of the content, uncompressed.
    var contentDigest: String { hexadecimal(digest.digest128) }
}

extension UnsafeRawBufferPointer {
    fileprivate var firstLineEnd: Int? { firstIndex(of: 0x0A) }
}

/// The digest as 32 hexadecimal digits.
package func hexadecimal(_ hash: ContentHash) -> String {
    func digits(_ value: UInt64) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: 16 - text.utf8.count) + text
    }
    return digits(hash.high) + digits(hash.low)
}

/// The outputs of a run and the steps that fill them.
final class Outputs: @unchecked Sendable {
    // The streams are used by ordered steps only; `compressors` guards itself.

    let kept: OutputStream
    let ledger: OutputStream
    let quarantine: OutputStream
    let picks: OutputStream?
    private let compressors: Spares<FrameCompressor>
    private let quickCompressors: Spares<FrameCompressor>
    private let keptLevel: Int

    /// The ledger and its kin are long and alike; level 1 packs them well and fast.
    private static let sideLevel = 1

    init(folder: String, level: Int, writesPicks: Bool, fileSystem: FileSystem) throws(IOFailure) {
        kept = try OutputStream(name: "kept.jsonl.zst", folder: folder, fileSystem: fileSystem)
        ledger = try OutputStream(name: "ledger.jsonl.zst", folder: folder, fileSystem: fileSystem)
        quarantine = try OutputStream(name: "quarantine.jsonl.zst", folder: folder, fileSystem: fileSystem)
        picks = writesPicks ? try OutputStream(name: "picks.jsonl.zst", folder: folder, fileSystem: fileSystem) : nil
        keptLevel = level
        compressors = Spares { FrameCompressor(level: level) }
        quickCompressors = Spares { FrameCompressor(level: Self.sideLevel) }
    }

    /// Takes a parcel's lines up in order.
    func assemble(_ parcel: Parcel) {
        kept.add(parcel.kept, lines: parcel.account.kept, to: &parcel.frames)
        ledger.add(parcel.ledger, lines: parcel.ledgerLines, to: &parcel.frames)
        quarantine.add(parcel.quarantine, lines: parcel.account.quarantined, to: &parcel.frames)
        picks?.add(parcel.picks, lines: parcel.account.kept, to: &parcel.frames)
    }

    func compress(_ parcel: Parcel) {
        for index in parcel.frames.indices {
            let frame = parcel.frames[index]
            spares(for: frame.stream).using { compressor in
                frame.content.withUnsafeBytes { compressor.compress($0, into: &parcel.frames[index].compressed) }
            }
        }
    }

    func append(_ parcel: Parcel) throws {
        for frame in parcel.frames { try frame.stream.append(frame) }
    }

    func finish() throws {
        for stream in all { try spares(for: stream).using { try stream.finish($0) } }
    }

    var all: [OutputStream] { [kept, ledger, quarantine] + (picks.map { [$0] } ?? []) }

    private func spares(for stream: OutputStream) -> Spares<FrameCompressor> {
        stream === kept ? compressors : quickCompressors
    }
}
