/// A part of an input file that can be read alone: a range of its bytes on disk, and of its unpacked content.
///
/// **Which lines belong to a range.** Line ends and range ends don't meet, so this rule decides. A range that doesn't
/// begin at byte 0 skips through the first line end at or after its beginning. Each range but the last reads on through
/// the first line end at or after its end. So a range has the lines that start after its beginning and at most at its
/// end, and the first range also has the line at byte 0. A line that starts exactly at a border belongs to the range
/// before it; a line longer than a whole range leaves the ranges inside it empty. Each line is in exactly one range.
///
/// The ranges of a file follow from its content and the target size alone.
public struct FileRange: Sendable, Hashable {
    /// The bytes on disk. The ranges of a file cover it without gaps, with anything between and after its frames.
    public var stored: Range<UInt64>
    /// The bytes of the unpacked file in them. Equals `stored` if the file isn't compressed.
    public var content: Range<UInt64>
    /// The size on disk of the file when it was cut.
    public var fileSize: UInt64

    public init(stored: Range<UInt64>, content: Range<UInt64>, fileSize: UInt64) {
        self.stored = stored
        self.content = content
        self.fileSize = fileSize
    }

    /// A whole file, of any format and size.
    public static let whole = FileRange(stored: 0..<UInt64.max, content: 0..<UInt64.max, fileSize: .max)

    public var isWhole: Bool { self == Self.whole }
    /// Whether the content begins with the first line of the file.
    public var isFirst: Bool { content.lowerBound == 0 }
    /// Whether the content ends with the last line of the file.
    public var isLast: Bool { stored.upperBound == fileSize }
}

extension InputStore {
    /// Cuts an input file into ranges of about `target` bytes on disk.
    ///
    /// An uncompressed JSON Lines file is cut anywhere; a zstd file between frames, if all headers state their content
    /// size. Skippable frames may be anywhere, and no seek table is needed. A range ends at the first possible place at
    /// or past `target` bytes; a rest below half of that is added to the last range.
    ///
    /// Cost: 4 KiB of content, and for zstd the headers of all frames and blocks, 3 bytes for each 128 KiB of content. The
    /// walk ends at the first frame that can't be a part: one that states no content size, or has more stored bytes than
    /// two ranges. Where seeking is not free (`InputFile.seeksFreely`), a seek table saves that, if there is one: then only its
    /// end, and the first frame of each range are read. The contents of frames aren't checked here: opening a range and
    /// reading it is.
    ///
    /// - Parameter target: at least 1, for instance 64 MiB.
    /// - Returns: the ranges in order. A single `.whole` if the file can't be cut or would be one range: gzip, a JSON
    ///   array, standard input, a pipe, one frame, frames that don't state their size or are too large, a damaged file.
    ///   Reading it then reports any fault as usual.
    /// - Throws: if the file can't be opened or read.
    public func inputRanges(of path: String, target: UInt64) throws(IOFailure) -> [FileRange] {
        let target = max(1, target)
        guard let status = try status(ofInput: path), !status.isStream, status.size > target,
            layout(of: path) == .lines
        else { return [.whole] }
        let file = try open(input: path)
        var cuts = RangeCuts(target: target, fileSize: status.size)
        switch try file.storedFormat() {
        case .gzip: return [.whole]
        case .plain:
            var at: UInt64 = 0
            while at < status.size {
                let size = min(target, status.size - at)
                cuts.add(stored: at..<(at + size), content: size)
                at += size
            }
        case .zstd:
            if !file.seeksFreely, let ranges = try cuts.finish(bySeekTableOf: file) { return ranges }
            var frames = ZstdFrames(of: file, in: 0..<status.size, largest: target > .max / 2 ? .max : 2 * target)
            do throws(IOFailure) {
                while let frame = try frames.next() {
                    guard let content = frame.contentSize else { return [.whole] }
                    cuts.add(stored: frame.range, content: content)
                }
            } catch {
                // A plain reading reports damage after the good lines before it.
                return [.whole]
            }
        }
        return cuts.finish()
    }

    /// The layout of an input's records, by its beginning; nil if it can't be read as its name says.
    private func layout(of path: String) -> RecordLayout? {
        guard let source = try? openInput(path, options: InputOptions(bufferBytes: 16 << 10)) else { return nil }
        let beginning = Scratch(BlockReader.layoutBytes)
        var count = 0
        while count < beginning.bytes.count {
            let room = UnsafeMutableRawBufferPointer(rebasing: beginning.bytes[count...])
            guard let got = try? source.read(into: room) else { return nil }
            if got == 0 { break }
            count += got
        }
        return BlockReader.layout(of: UnsafeRawBufferPointer(rebasing: beginning.bytes[..<count]), path: path)
    }

}

extension InputFile {
    /// The compression, by the first bytes.
    func storedFormat() throws(IOFailure) -> StreamFormat {
        var start = [UInt8](repeating: 0, count: 4)
        let count = try read(into: &start, at: 0)
        return StreamFormat(start: Array(start.prefix(count)))
    }
}

/// Joins consecutive pieces of a file to ranges.
private struct RangeCuts {
    let target: UInt64
    let fileSize: UInt64
    private var ranges: [FileRange] = []
    /// The open range, which ends where the next piece begins.
    private var start: (stored: UInt64, content: UInt64) = (0, 0)
    private var content: UInt64 = 0

    init(target: UInt64, fileSize: UInt64) {
        self.target = target
        self.fileSize = fileSize
    }

    /// Cuts a zstd file by its seek table.
    ///
    /// - Returns: nil if it has none, if a frame is too large to be a part, or if the table does not fit the frames that
    ///   ranges begin with.
    func finish(bySeekTableOf file: any InputFile) throws(IOFailure) -> [FileRange]? {
        let table = try ZstdSeekTable(size: fileSize) { (bytes, offset) throws(IOFailure) in
            try file.read(into: &bytes, at: offset)
        }
        guard let table else { return nil }
        var cuts = self
        var sizes: [UInt64: UInt64] = [:]
        var offset: UInt64 = 0
        for frame in table.frames {
            let (stored, content) = (UInt64(frame.compressed), UInt64(frame.content))
            guard stored <= 2 * target else { return nil }
            cuts.add(stored: offset..<(offset + stored), content: content)
            sizes[offset] = content
            offset += stored
        }
        guard offset == table.end else { return nil }
        let ranges = cuts.finish()
        for start in ranges.map(\.stored.lowerBound) {
            guard try ZstdFrames.contentSize(at: start, of: file) == sizes[start] else { return nil }
        }
        return ranges
    }

    mutating func add(stored: Range<UInt64>, content size: UInt64) {
        // The range before takes what lies between: skippable frames. Only the first range may begin at content byte 0.
        if stored.lowerBound - start.stored >= target, content > start.content { end(at: stored.lowerBound) }
        content += size
    }

    private mutating func end(at stored: UInt64) {
        ranges.append(
            FileRange(stored: start.stored..<stored, content: start.content..<content, fileSize: fileSize))
        start = (stored, content)
    }

    consuming func finish() -> [FileRange] {
        let rest = fileSize - start.stored
        if let last = ranges.last, rest < (target + 1) / 2 || content == start.content {
            start = (last.stored.lowerBound, last.content.lowerBound)
            ranges.removeLast()
        }
        end(at: fileSize)
        return ranges.count > 1 ? ranges : [.whole]
    }
}
