import SluiceCore
import SluiceIO

/// How many records an input has, about: what costs and disk are estimated for before anything is read.
public struct RecordEstimate: Sendable, Equatable {
    public enum Source: Sendable, Equatable {
        /// Somebody said so.
        case given
        /// All of the input was looked at: it is small.
        case counted
        /// The beginnings of so many files were read, and the rest of the input is taken to be like them.
        case sampled(files: Int)
        /// Nothing is known, as of a pipe.
        case assumed
    }

    public let records: Int
    public let source: Source

    /// A record of instruction data, in bytes, and how many times smaller zstd makes such records.
    static let typicalRecord = 1024
    static let typicalRatio = 5

    /// Files that are looked into, and how much is unpacked of all of them: some 20 ms.
    private static let sampledFiles = 8
    private static let sampledBytes = 24 << 20

    init(records: Int, source: Source) {
        self.records = records
        self.source = source
    }

    /// Reads the beginnings of files that are spread evenly over the input. Files that can't be read count as typical ones: what is
    /// wrong with them is the run's business.
    ///
    /// - Parameter sampledBytes: how much is unpacked of all of them.
    init(_ catalog: InputCatalog, sampledBytes: Int = RecordEstimate.sampledBytes) {
        let files = catalog.files.filter { !$0.isStream && $0.size > 0 }
        guard !files.isEmpty else {
            // Nobody knows how much a pipe will give.
            self.init(
                records: catalog.stream == nil ? 0 : 1_000_000, source: catalog.stream == nil ? .counted : .assumed)
            return
        }
        let count = min(Self.sampledFiles, files.count)
        let samples = (0..<count).compactMap { Sample(files[$0 * files.count / count], most: sampledBytes / count) }
        let used = samples.reduce(0) { $0 + $1.used }
        guard used > 0 else {
            let packed = files.reduce(0) { $0 + Int($1.size) }
            self.init(records: max(1, packed * Self.typicalRatio / Self.typicalRecord), source: .assumed)
            return
        }
        let known = samples.filter(\.isWhole)
        if known.count == catalog.files.count {
            self.init(records: samples.reduce(0) { $0 + $1.records }, source: .counted)
            return
        }
        // Records by byte on disk, over all that was looked at.
        let density = Double(samples.reduce(0) { $0 + $1.records }) / Double(used)
        let all = files.reduce(0.0) { $0 + Double($1.size) }
        self.init(records: max(1, Int((all * density).rounded())), source: .sampled(files: samples.count))
    }

    /// The beginning of one file.
    private struct Sample {
        var records = 0
        /// Bytes of the file as it lies on disk.
        var used = 0
        var isWhole = false

        init?(_ file: InputCatalog.File, most: Int) {
            // Small reads: what lies in the buffer counts as used.
            let options = InputOptions(bufferBytes: 16 << 10)
            guard let opened = try? FileSystem.local.openInput(file.path, options: options) else { return nil }
            let source = CountingSource(opened)
            let limits = FramingLimits(blockBytes: most, blockRecords: .max, maxRecord: InputSpec.defaultMaxRecord)
            let reader = BlockReader(source, limits: limits)
            let block = RawBlock()
            guard let got = try? reader.next(into: block) else { return nil }
            guard got else {
                isWhole = true
                return
            }
            records = block.lines.count
            // The reader is ahead of the block: of the bytes on disk the block has the share that it has of what was unpacked.
            used = max(1, Int(Double(source.fileOffset) * Double(block.count) / Double(max(1, source.count))))
            isWhole = (try? reader.next(into: RawBlock())) == false
            if isWhole { used = Int(file.size) }
        }
    }
}

/// Counts the unpacked bytes of a source.
private final class CountingSource: ByteSource {
    private let source: any ByteSource
    private(set) var count = 0
    var path: String { source.path }
    var format: StreamFormat { source.format }
    var fileOffset: UInt64 { source.fileOffset }

    init(_ source: any ByteSource) { self.source = source }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        let got = try source.read(into: buffer)
        count += got
        return got
    }
}
