import CZlib

/// A gzip file of one or more members; zero bytes after the last member are padding.
final class GzipSource: ByteSource {
    private let input: RawInput
    /// At a fixed address, since zlib keeps a pointer to it.
    private let stream: UnsafeMutablePointer<z_stream>
    private var insideMember = true
    private var finished = false
    private var memberStart: UInt64 = 0
    private var produced: UInt64 = 0
    /// Unpacked bytes before the current member.
    private var producedBefore: UInt64 = 0
    let format = StreamFormat.gzip
    var path: String { input.path }
    var fileOffset: UInt64 { input.offset }

    init(_ input: RawInput) throws(IOFailure) {
        self.input = input
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        memberStart = input.offset
        guard inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw IOFailure(.cannotOpen, path: input.path, found: "zlib can't start: out of memory")
        }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// Thrown by the next call, since the last call returned good bytes.
    private var failure: IOFailure?

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        if let failure { throw failure }
        if finished || buffer.isEmpty { return 0 }
        let room = min(buffer.count, Int(UInt32.max))
        stream.pointee.next_out = buffer.baseAddress!.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(room)
        do throws(IOFailure) { try fill(room) } catch {
            failure = error
            if stream.pointee.avail_out == UInt32(room) { throw error }
        }
        let filled = room - Int(stream.pointee.avail_out)
        produced += UInt64(filled)
        return filled
    }

    private func fill(_ room: Int) throws(IOFailure) {
        while true {
            try input.fill(atLeast: 1)
            let ready = input.available
            if !insideMember {
                if ready.isEmpty {
                    finished = true
                    break
                }
                if ready[0] == 0 {
                    input.use(1)
                    continue
                }
                inflateReset(stream)
                insideMember = true
                memberStart = input.offset
                producedBefore = produced + UInt64(room - Int(stream.pointee.avail_out))
            }
            let before = stream.pointee.avail_out
            stream.pointee.next_in = UnsafeMutablePointer(
                mutating: ready.baseAddress!.assumingMemoryBound(to: UInt8.self))
            stream.pointee.avail_in = UInt32(ready.count)
            let result = inflate(stream, Z_NO_FLUSH)
            // At a truncated end zlib may still hold bytes that had no room in the previous call.
            if ready.isEmpty, stream.pointee.avail_out == before, result == Z_OK || result == Z_BUF_ERROR {
                let good = produced + UInt64(room - Int(stream.pointee.avail_out))
                throw IOFailure(
                    .truncatedStream, path: path, offset: input.offset,
                    found: "the file ends inside the gzip member that begins at byte \(memberStart), after \(good) "
                        + "unpacked bytes", advice: "Copy or download it again.")
            }
            input.use(ready.count - Int(stream.pointee.avail_in))
            let filled = room - Int(stream.pointee.avail_out)
            switch result {
            case Z_OK, Z_BUF_ERROR: break
            case Z_STREAM_END: insideMember = false
            default:
                let words = stream.pointee.msg.map { String(cString: $0) } ?? "error \(result)"
                var failure = IOFailure(
                    .corruptStream, path: path, offset: input.offset,
                    found: "corrupt gzip data (\(words)), after \(produced + UInt64(filled)) unpacked bytes",
                    advice: "Copy or download it again.")
                failure.soundBytes = producedBefore
                throw failure
            }
            if stream.pointee.avail_out == 0 || (filled > 0 && result == Z_STREAM_END) { break }
        }
    }
}
