import Glibc

extension InputStore {
    /// Opens a range of an input file, for a `BlockReader`: the source has exactly the lines that belong to the range
    /// by the rule of `FileRange`. Lines are numbered from 1 in the range; byte offsets are those of the unpacked file.
    ///
    /// A digest in the options sees the bytes of `stored`, and none of those that are read past it to the end of a
    /// line: so it depends on the range alone, once the range has been read to its end. Frames of the range are read
    /// ahead as in a whole file; those after it are not.
    ///
    /// - Throws: `.corruptStream` if the file has another size than when it was cut, and on reading if the range has
    ///   another content size.
    public func openRange(
        _ range: FileRange, of path: String, options: InputOptions = InputOptions()
    ) throws(IOFailure) -> any ByteSource {
        if range.isWhole { return try openInput(path, options: options) }
        return try RangeSource(try open(input: path), range, options: options)
    }
}

/// The lines of a range of a file: skips the end of a line before it, and completes its own last line.
final class RangeSource: ByteSource {
    let path: String
    let format: StreamFormat
    private let range: FileRange
    private let file: any InputFile
    private let options: InputOptions
    /// Exactly the range.
    private let own: any ByteSource
    /// The file from the end of the range; opened if the last line isn't complete.
    private var following: (any ByteSource)?
    /// The offset in the unpacked file of the next byte to be read.
    private var position: UInt64
    /// Whether the end of the line before hasn't been found yet.
    private var isSkipping: Bool
    private var hasEnded = false
    private(set) var firstByte: UInt64

    /// The most bytes read at a time past the end of the range: most lines are much shorter.
    private static let followingBytes = 16 << 10

    init(_ file: any InputFile, _ range: FileRange, options: InputOptions) throws(IOFailure) {
        path = file.path
        self.file = file
        self.range = range
        self.options = options
        guard try file.size() == range.fileSize else {
            throw Self.changed(path, range.stored.lowerBound, "its size is no longer \(range.fileSize) bytes")
        }
        format = try file.storedFormat()
        file.willRead(range.stored)
        own = try file.unpacked(range.stored, format, produced: range.content.lowerBound, options: options)
        position = range.content.lowerBound
        firstByte = position
        isSkipping = !range.isFirst
    }

    var fileOffset: UInt64 { following?.fileOffset ?? own.fileOffset }
    var isWaiting: Bool { !hasEnded && (following ?? own).isWaiting }

    func unpackAhead() -> Bool { own.unpackAhead() }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        while !hasEnded, !buffer.isEmpty {
            let got = try readOn(buffer)
            if got == 0 {
                if isWaiting || hasEnded { return 0 }
                continue
            }
            let lines = choose(UnsafeRawBufferPointer(rebasing: buffer[..<got]))
            position += UInt64(got)
            if lines.isEmpty { continue }
            if lines.lowerBound > 0, let base = buffer.baseAddress {
                memmove(base, base + lines.lowerBound, lines.count)
            }
            return lines.count
        }
        return 0
    }

    /// Reads from the range, then from what follows it.
    ///
    /// - Returns: 0 if it must wait, has ended, or goes on with what follows.
    private func readOn(_ buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        if let following {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(Self.followingBytes))
            let got = try following.read(into: part)
            if got == 0, !following.isWaiting { hasEnded = true }
            return got
        }
        let got = try own.read(into: buffer)
        if got > 0 {
            guard position + UInt64(got) <= range.content.upperBound else { throw differs() }
            return got
        }
        if own.isWaiting { return 0 }
        guard position == range.content.upperBound else { throw differs() }
        // A line that ends behind the range and starts before it isn't its own, nor is any line after that.
        if range.isLast || isSkipping {
            hasEnded = true
            return 0
        }
        var plain = options
        plain.digest = nil
        plain.readAheadFrames = 0
        plain.bufferBytes = min(options.bufferBytes, Self.followingBytes)
        following = try file.unpacked(
            range.stored.upperBound..<range.fileSize, format, produced: position, options: plain)
        return 0
    }

    /// The part of the bytes at `position` that belongs to the range's lines.
    private func choose(_ bytes: UnsafeRawBufferPointer) -> Range<Int> {
        var start = 0
        if isSkipping {
            guard let end = lineEnd(in: bytes, from: 0) else {
                firstByte = position + UInt64(bytes.count)
                return 0..<0
            }
            isSkipping = false
            start = end + 1
            firstByte = position + UInt64(start)
        }
        // Bytes at or past the range's end come from what follows only.
        guard following != nil, let end = lineEnd(in: bytes, from: start) else { return start..<bytes.count }
        hasEnded = true
        return start..<(end + 1)
    }

    private func lineEnd(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard start < bytes.count, let base = bytes.baseAddress,
            let found = memchr(base + start, 0x0A, bytes.count - start)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }

    private func differs() -> IOFailure {
        Self.changed(path, range.stored.lowerBound, "these \(range.stored.count) bytes unpack to another size")
    }

    private static func changed(_ path: String, _ offset: UInt64, _ what: String) -> IOFailure {
        IOFailure(
            .corruptStream, path: path, offset: offset, found: "the file changed since it was cut into parts: \(what)",
            advice: "Start over when nothing writes to it.")
    }
}

extension InputFile {
    /// The content of some bytes of a file whose compression is known: complete frames, or any bytes of an uncompressed
    /// file.
    ///
    /// - Parameter produced: the unpacked bytes of the file before them.
    fileprivate func unpacked(
        _ stored: Range<UInt64>, _ format: StreamFormat, produced: UInt64, options: InputOptions
    ) throws(IOFailure) -> any ByteSource {
        if format == .zstd, options.readAheadFrames > 1, seeksFreely,
            let ahead = try FrameReadAhead(self, stored, produced: produced, options: options)
        {
            return ahead
        }
        let input = RawInput(
            file: self, capacity: options.bufferBytes, range: stored, digest: options.digest)
        return format == .zstd ? try ZstdSource(input, options: options, produced: produced) : PlainSource(input)
    }
}
