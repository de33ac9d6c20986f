import CZstd
import Glibc

/// A context of libzstd for unpacking; to be freed by whoever asked for it.
///
/// - Throws: `IOFailure` with `ENOMEM` where there is no memory for it.
func makeUnpackingContext(for path: String) throws(IOFailure) -> OpaquePointer {
    if let context = ZSTD_createDCtx() { return context }
    throw IOFailure(
        .cannotRead, path: path, errno: ENOMEM, found: "there is no memory to unpack it with",
        advice: "Lower `memory` or `--threads`, or free memory on this machine.")
}

/// Unpacks whole zstd frames, one at a time; readers that take turns on one thread can share it.
public final class FrameDecompressor {
    private let context: OpaquePointer

    public init() {
        guard let made = ZSTD_createDCtx() else {
            fatalError("no memory for a zstd decompressor")  // lint:allow: malloc failed
        }
        context = made
    }

    deinit { ZSTD_freeDCtx(context) }

    /// Unpacks a frame to fill `content` exactly.
    ///
    /// - Returns: whether the frame is sound and has so many bytes.
    func unpack(_ frame: UnsafeRawBufferPointer, to content: UnsafeMutableRawBufferPointer) -> Bool {
        ZSTD_decompressDCtx(context, content.baseAddress, content.count, frame.baseAddress, frame.count)
            == content.count
    }
}
