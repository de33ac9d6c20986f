import SluiceIO

/// An object that is read in ranges, ahead of its reader where that goes from front to back; see `ReadAhead`.
final class S3Object: InputFile, @unchecked Sendable {
    // @unchecked: `next` is only accessed with `reading` locked; all else is constant.

    let path: String
    private let ahead: ReadAhead
    /// Two readers at different places would take each other's pieces away.
    private let reading = Monitor()
    private var next: UInt64 = 0

    init(_ source: S3Source) {
        path = source.path
        ahead = ReadAhead(size: source.facts.size) { (range, bytes, isOver) throws(IOFailure) in
            try source.read(range, into: &bytes, isOver: isOver)
        }
    }

    deinit { ahead.close() }

    var seeksFreely: Bool { false }

    func size() -> UInt64? { ahead.size }

    func willRead(_ range: Range<UInt64>) { ahead.expect(range) }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        reading.lock()
        defer { reading.unlock() }
        let count = try ahead.read(into: buffer, at: next)
        next += UInt64(count)
        return count
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(IOFailure) -> Int {
        reading.lock()
        defer { reading.unlock() }
        var count = 0
        while count < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
            let got = try ahead.read(into: rest, at: offset + UInt64(count))
            if got == 0 { break }
            count += got
        }
        return count
    }
}
