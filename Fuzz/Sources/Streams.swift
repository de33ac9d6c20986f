import SluiceCore
import SluiceIO

/// The most bytes unpacked from one input.
private let most = 8 << 20

private func unpack(_ open: () throws(IOFailure) -> any ByteSource, pieces: Int) -> (bytes: [UInt8], failure: IOFailure?) {
    var all: [UInt8] = []
    do throws(IOFailure) {
        let source = try open()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: pieces, alignment: 16)
        defer { buffer.deallocate() }
        while all.count < most {
            let count = try source.read(into: buffer)
            if count == 0 {
                check(try source.read(into: buffer) == 0, "bytes after the end")
                break
            }
            all += buffer[..<count]
        }
        return (all, nil)
    } catch { return (all, error) }
}

/// zstd, gzip and plain files: the good bytes come out complete whatever the pieces, and nothing crashes or hangs.
func fuzzStreams(_ input: UnsafeRawBufferPointer) {
    var reader = Reader(rest: input)
    let pieces = 1 + reader.byte() * 13
    let options = InputOptions(windowLogMax: 20, bufferBytes: 64 + reader.byte())
    withFile(reader.rest) { path in
        let small = unpack({ () throws(IOFailure) in try FileSystem.local.openInput(path, options: options) }, pieces: pieces)
        let large = unpack(
            { () throws(IOFailure) in try FileSystem.local.openInput(path, options: InputOptions(windowLogMax: 20)) },
            pieces: 1 << 16)
        check(small.failure?.code == large.failure?.code, "\(String(describing: small.failure)) and \(String(describing: large.failure))")
        if small.bytes.count < most, large.bytes.count < most {
            check(small.bytes == large.bytes, "\(small.bytes.count) and \(large.bytes.count) bytes by pieces")
        }
        // Reading frame by frame must give the same bytes.
        guard large.failure == nil, large.bytes.count < most, let frames = try? FileSystem.local.zstdFrames(of: path) else { return }
        var joined: [UInt8] = []
        for frame in frames {
            let part = unpack({ () throws(IOFailure) in try FileSystem.local.openInput(path, range: frame.range) }, pieces: 1 << 16)
            check(part.failure == nil, "a frame alone: \(String(describing: part.failure))")
            if let size = frame.contentSize { check(size == part.bytes.count, "a frame has \(part.bytes.count) bytes, not \(size)") }
            joined += part.bytes
        }
        check(joined == large.bytes, "frames by themselves give other bytes")
    }
}
