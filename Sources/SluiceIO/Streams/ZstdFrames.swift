import CZstd

/// A frame of a zstd file and its position.
public struct ZstdFrame: Sendable, Equatable {
    /// The start of the frame in the file.
    public var offset: UInt64
    /// The size of the frame in the file, header and checksum included.
    public var size: UInt64
    /// The unpacked size, if the header states it.
    public var contentSize: UInt64?
    /// The memory required for decoding, in bytes.
    public var windowSize: UInt64
    /// Whether the frame ends in a checksum of its content.
    public var hasChecksum: Bool

    public var range: Range<UInt64> { offset..<(offset + size) }
}

extension InputStore {
    /// The frames with content in a zstd file, in order, without skippable ones. Takes 48 bytes of memory per frame.
    ///
    /// - Throws: `.truncatedStream`, `.corruptStream`, or `.notCompressed` if it isn't a zstd file.
    public func zstdFrames(of path: String) throws(IOFailure) -> [ZstdFrame] {
        let file = try open(input: path)
        return try ZstdFrames(of: file, in: 0..<(file.size() ?? 0)).list(atMost: .max) ?? []
    }
}

/// Walks the frames of a zstd file.
///
/// Reads only headers of frames and blocks: three bytes per block (128 KiB of content). The contents of blocks aren't
/// checked.
struct ZstdFrames: ~Copyable {
    private let file: any InputFile
    private let end: UInt64
    private let largest: UInt64
    private var offset: UInt64
    private var bytes = InlineArray<18, UInt8>(repeating: 0)

    /// - Parameters:
    ///   - range: a part of the file that begins and ends between frames.
    ///   - largest: a frame with more stored bytes ends the walk with `.cannotRead` before it has been walked through.
    init(of file: any InputFile, in range: Range<UInt64>, largest: UInt64 = .max) {
        self.file = file
        self.largest = largest
        (offset, end) = (range.lowerBound, range.upperBound)
    }

    /// All frames; nil if there are more than `most`.
    consuming func list(atMost most: Int) throws(IOFailure) -> [ZstdFrame]? {
        var frames: [ZstdFrame] = []
        while let frame = try next() {
            if frames.count == most { return nil }
            frames.append(frame)
        }
        return frames
    }

    /// The next frame with content; nil at the end.
    ///
    /// - Throws: `.truncatedStream`, `.corruptStream`, or `.notCompressed` if it isn't a zstd file.
    mutating func next() throws(IOFailure) -> ZstdFrame? {
        while offset < end {
            var header = ZSTD_frameHeader()
            let got = try read(frameHeaderMax, at: offset)
            let result = withUnsafeBytes(of: &bytes) { ZSTD_getFrameHeader(&header, $0.baseAddress, got) }
            if ZSTD_isError(result) != 0 {
                let start = withUnsafeBytes(of: &bytes) { Array($0.prefix(min(got, 8))) }
                throw IOFailure(
                    offset == 0 ? .notCompressed : .corruptStream, path: file.path, offset: offset,
                    found: "expected a zstd frame, found \(shown(start))")
            }
            if result > 0 { throw ends(at: offset, in: "the header of a zstd frame") }
            if header.frameType == ZSTD_skippableFrame {
                offset += 8 + header.frameContentSize
                if offset > end { throw ends(at: end, in: "a skippable frame") }
                continue
            }
            let start = offset
            offset = try passBlocks(from: start + UInt64(header.headerSize), of: start)
            if header.checksumFlag != 0 { offset += 4 }
            if offset > end { throw ends(at: end, in: "a zstd frame") }
            return ZstdFrame(
                offset: start, size: offset - start,
                contentSize: header.frameContentSize == UInt64.max ? nil : header.frameContentSize,
                windowSize: header.windowSize, hasChecksum: header.checksumFlag != 0)
        }
        return nil
    }

    /// The content size that the header of a frame states; nil if it states none, or no frame begins there.
    static func contentSize(at offset: UInt64, of file: any InputFile) throws(IOFailure) -> UInt64? {
        var bytes = [UInt8](repeating: 0, count: frameHeaderMax)
        let got = try file.read(into: &bytes, at: offset)
        var header = ZSTD_frameHeader()
        let result = bytes.withUnsafeBytes { ZSTD_getFrameHeader(&header, $0.baseAddress, got) }
        guard result == 0, header.frameType == ZSTD_frame, header.frameContentSize < .max - 1 else { return nil }
        return header.frameContentSize
    }

    /// The end of a frame's last block.
    private mutating func passBlocks(from first: UInt64, of start: UInt64) throws(IOFailure) -> UInt64 {
        var at = first
        while true {
            guard try read(3, at: at) == 3 else { throw ends(at: at, in: "a zstd frame") }
            let block = UInt32(bytes[0]) | UInt32(bytes[1]) << 8 | UInt32(bytes[2]) << 16
            let kind = block >> 1 & 3
            if kind == 3 {
                throw IOFailure(
                    .corruptStream, path: file.path, offset: at, found: "corrupt zstd data (unknown block type)")
            }
            at += 3 + UInt64(kind == 1 ? 1 : block >> 3)
            if at > end { throw ends(at: end, in: "a zstd frame") }
            if block & 1 == 1 { return at }
            if at - start > largest {
                throw IOFailure(
                    .cannotRead, path: file.path, offset: start, found: "a zstd frame is too large to be cut")
            }
        }
    }

    private func ends(at offset: UInt64, in part: String) -> IOFailure {
        IOFailure(
            .truncatedStream, path: file.path, offset: offset, found: "the file ends inside \(part)",
            advice: "Copy or download it again.")
    }

    private mutating func read(_ count: Int, at offset: UInt64) throws(IOFailure) -> Int {
        try withUnsafeMutableBytes(of: &bytes) { [file] buffer throws(IOFailure) in
            try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), at: offset)
        }
    }
}
