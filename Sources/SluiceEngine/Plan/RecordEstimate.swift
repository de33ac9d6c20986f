import SluiceCore
import SluiceIO

/// The approximate number of input records, used to estimate costs and disk before anything is read.
public struct RecordEstimate: Sendable, Equatable {
    public enum Source: Sendable, Equatable {
        /// Given by the user.
        case given
        /// Counted: the input is small.
        case counted
        /// Extrapolated from the beginnings of this many files.
        case sampled(files: Int)
        /// Assumed: nothing is known, for instance of a pipe.
        case assumed
    }

    public let records: Int
    public let source: Source

    /// Bytes of a typical record of instruction data, and how many times smaller zstd makes such records.
    static let typicalRecord = 1024
    static let typicalRatio = 5

    /// Files that are sampled, and the bytes unpacked from all of them: some 20 ms.
    private static let sampledFiles = 8
    private static let sampledBytes = 24 << 20

    init(records: Int, source: Source) {
        self.records = records
        self.source = source
    }

    /// Samples the beginnings of files spread evenly over the input. Files that can't be read count as typical; the run
    /// reports them.
    ///
    /// - Parameter sampledBytes: the bytes unpacked from all of them.
    init(_ catalog: InputCatalog, sampledBytes: Int = RecordEstimate.sampledBytes) {
        let files = catalog.files.filter { !$0.isStream && $0.size > 0 }
        guard !files.isEmpty else {
            // The size of a pipe is unknown.
            self.init(
                records: catalog.stream == nil ? 0 : 1_000_000, source: catalog.stream == nil ? .counted : .assumed)
            return
        }
        let count = min(Self.sampledFiles, files.count)
        let samples = (0..<count).compactMap {
            Sample(files[$0 * files.count / count], in: catalog.store, most: sampledBytes / count)
        }
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
        // Records per byte on disk, over the whole sample.
        let density = Double(samples.reduce(0) { $0 + $1.records }) / Double(used)
        let all = files.reduce(0.0) { $0 + Double($1.size) }
        self.init(records: max(1, Int((all * density).rounded())), source: .sampled(files: samples.count))
    }

    /// The number of records in an input of another size whose records are like those of a catalog.
    init(_ catalog: InputCatalog?, of bytes: UInt64) {
        guard let catalog, catalog.totalSize > 0 else {
            self.init(
                records: max(1, Int(bytes) / Self.typicalRecord * Self.typicalRatio), source: .assumed)
            return
        }
        let known = Self(catalog)
        let records = Double(known.records) * (Double(bytes) / Double(catalog.totalSize))
        self.init(records: max(1, Int(records.rounded())), source: known.source)
    }

    /// The beginning of one file.
    private struct Sample {
        var records = 0
        /// Bytes of the file as stored on disk.
        var used = 0
        var isWhole = false

        init?(_ file: InputCatalog.File, in store: any InputStore, most: Int) {
            // Small reads, since the buffered bytes count as used.
            let options = InputOptions(bufferBytes: 16 << 10)
            guard let opened = try? store.openInput(file.path, options: options) else { return nil }
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
            // The source is ahead of the block: the block gets the share of the bytes on disk that it has of the
            // unpacked bytes.
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
