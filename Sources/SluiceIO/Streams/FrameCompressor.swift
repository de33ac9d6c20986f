import CZstd

/// Compresses buffers to zstd frames of their own, with content size and checksum. Make one for every thread.
///
/// Equal bytes give equal frames, on any thread and in any order, for one level and one version of libzstd.
public final class FrameCompressor {
    private let context: OpaquePointer

    public init(level: Int = 3) {
        guard let made = ZSTD_createCCtx() else { fatalError("no memory for a zstd compressor") }  // lint:allow: malloc failed
        context = made
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(level))
        ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    }

    deinit { ZSTD_freeCCtx(context) }

    /// Replaces what `frame` holds by one frame with the bytes in it; its memory is used again.
    public func compress(_ bytes: UnsafeRawBufferPointer, into frame: inout [UInt8]) {
        let bound = ZSTD_compressBound(bytes.count)
        if frame.count < bound {
            frame.reserveCapacity(bound)
            frame.append(contentsOf: repeatElement(0, count: bound - frame.count))
        }
        let size = frame.withUnsafeMutableBytes {
            ZSTD_compress2(context, $0.baseAddress, $0.count, bytes.baseAddress, bytes.count)
        }
        // The target has room for the worst case, so only a lack of memory is left.
        guard ZSTD_isError(size) == 0 else { fatalError("zstd: \(String(cString: ZSTD_getErrorName(size)))") }  // lint:allow: malloc failed
        frame.removeSubrange(size...)
    }

    /// The memory that the compressor holds.
    public var memory: Int { ZSTD_sizeof_CCtx(context) }
}
