import CZstd
import Glibc

/// A libzstd context for decompression; the caller must free it.
///
/// - Throws: `IOFailure` with `ENOMEM` if there is no memory for it.
func makeUnpackingContext(for path: String) throws(IOFailure) -> OpaquePointer {
    if let context = ZSTD_createDCtx() { return context }
    throw IOFailure(
        .cannotRead, path: path, errno: ENOMEM, found: "there is no memory to unpack it with",
        advice: "Lower `memory` or `--threads`, or free memory on this machine.")
}

/// Unpacks complete zstd frames, one at a time; readers on the same thread can share it.
public final class FrameDecompressor {
    private let context: OpaquePointer

    public init() {
        guard let made = ZSTD_createDCtx() else {
            fatalError("no memory for a zstd decompressor")  // lint:allow: malloc failed
        }
        context = made
    }

    deinit { ZSTD_freeDCtx(context) }

    /// Unpacks a frame that must fill `content` exactly.
    ///
    /// - Returns: whether the frame is valid and has this size.
    func unpack(_ frame: UnsafeRawBufferPointer, to content: UnsafeMutableRawBufferPointer) -> Bool {
        ZSTD_decompressDCtx(context, content.baseAddress, content.count, frame.baseAddress, frame.count)
            == content.count
    }
}
