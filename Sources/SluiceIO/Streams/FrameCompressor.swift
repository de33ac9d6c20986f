import CZstd
import Glibc

/// Compresses each buffer to its own zstd frame, with content size and checksum. Use one per thread.
///
/// Equal bytes give equal frames, on any thread and in any order, for a given level and version of libzstd. All calls
/// throw `IOFailure` with `ENOMEM` if there is no memory to compress with, and nothing else.
public final class FrameCompressor {
    private let level: Int
    /// Made for the first frame.
    private var context: OpaquePointer?
    /// Levels with larger windows get this one, so that a frame of any size needs the memory of a frame of 4 MiB.
    private static let largestWindowLog = 22

    public init(level: Int = 3) { self.level = level }

    deinit { ZSTD_freeCCtx(context) }

    private func ready() throws(IOFailure) -> OpaquePointer {
        if let context { return context }
        guard let made = ZSTD_createCCtx() else { throw Self.noMemory }
        ZSTD_CCtx_setParameter(made, ZSTD_c_compressionLevel, Int32(level))
        ZSTD_CCtx_setParameter(made, ZSTD_c_checksumFlag, 1)
        if ZSTD_getCParams(Int32(level), 0, 0).windowLog > UInt32(Self.largestWindowLog) {
            ZSTD_CCtx_setParameter(made, ZSTD_c_windowLog, Int32(Self.largestWindowLog))
        }
        context = made
        return made
    }

    private static var noMemory: IOFailure {
        IOFailure(
            .cannotWrite, path: "", errno: ENOMEM, found: "there is no memory to compress with",
            advice: "Lower `output.level`, `memory` or `--threads`, or free memory on this machine.")
    }

    /// Replaces the content of `frame` by one frame of the bytes; reuses its memory.
    public func compress(_ bytes: UnsafeRawBufferPointer, into frame: inout [UInt8]) throws(IOFailure) {
        let bound = Self.bound(bytes.count)
        if frame.count < bound {
            frame.reserveCapacity(bound)
            frame.append(contentsOf: repeatElement(0, count: bound - frame.count))
        }
        let context = try ready()
        let size = frame.withUnsafeMutableBytes { Self.compress(bytes, to: $0, context) }
        frame.removeSubrange(try Self.checked(size)...)
    }

    /// Replaces the content of `frame` by one frame of the bytes; reuses its memory.
    public func compress(_ bytes: [UInt8], into frame: inout [UInt8]) throws(IOFailure) {
        try bytes.span.bytes.withUnsafeBytes { bytes throws(IOFailure) in try compress(bytes, into: &frame) }
    }

    /// Writes one frame of the bytes to the start of `frame`, and returns its size.
    ///
    /// - Parameter frame: at least `bound(bytes.count)` bytes.
    public func compress(
        _ bytes: UnsafeRawBufferPointer, to frame: UnsafeMutableRawBufferPointer
    ) throws(IOFailure) -> Int {
        try Self.checked(Self.compress(bytes, to: frame, try ready()))
    }

    /// Writes one frame of the bytes to the start of `frame`, and returns its size.
    ///
    /// - Parameter frame: at least `bound(bytes.count)` bytes.
    public func compress(_ bytes: [UInt8], to frame: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        try bytes.span.bytes.withUnsafeBytes { bytes throws(IOFailure) in try compress(bytes, to: frame) }
    }

    private static func compress(
        _ bytes: UnsafeRawBufferPointer, to frame: UnsafeMutableRawBufferPointer, _ context: OpaquePointer
    ) -> Int {
        precondition(frame.count >= bound(bytes.count), "no room for the worst case")
        return ZSTD_compress2(context, frame.baseAddress, frame.count, bytes.baseAddress, bytes.count)
    }

    /// The size of a frame. Its target had room for the worst case, so the only possible error is a lack of memory.
    private static func checked(_ size: Int) throws(IOFailure) -> Int {
        guard ZSTD_isError(size) == 0 else { throw noMemory }
        return size
    }

    /// Replaces the content of `frame` by one frame of all pieces, one after another. Takes memory only for the frame,
    /// however long the pieces are.
    public func compress(pieces: [UnsafeRawBufferPointer], into frame: inout [UInt8]) throws(IOFailure) {
        frame.removeAll()
        let context = try ready()
        ZSTD_CCtx_setPledgedSrcSize(context, UInt64(pieces.reduce(0) { $0 + $1.count }))
        let isDone = withUnsafeTemporaryAllocation(byteCount: 128 << 10, alignment: 16) { room -> Bool in
            for (index, piece) in pieces.enumerated() {
                let mode = index == pieces.count - 1 ? ZSTD_e_end : ZSTD_e_continue
                var input = ZSTD_inBuffer(src: piece.baseAddress, size: piece.count, pos: 0)
                var left = 1
                while input.pos < input.size || (mode == ZSTD_e_end && left > 0) {
                    var output = ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
                    left = ZSTD_compressStream2(context, &output, &input, mode)
                    guard ZSTD_isError(left) == 0 else { return false }
                    frame.append(contentsOf: room[..<output.pos])
                }
            }
            return true
        }
        guard isDone else { throw Self.noMemory }
    }

    /// The largest possible size of a frame with this many bytes.
    public static func bound(_ count: Int) -> Int { ZSTD_compressBound(count) }

    /// The most memory of a compressor of a level, for any input, in bytes.
    public static func memory(level: Int) -> Int {
        ZSTD_estimateCCtxSize_usingCParams(ZSTD_getCParams(Int32(level), 1 << UInt64(largestWindowLog), 0))
    }

    /// The memory that the compressor uses.
    public var memory: Int { ZSTD_sizeof_CCtx(context) }
}
