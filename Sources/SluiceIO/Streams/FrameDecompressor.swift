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
    /// Made for the first frame.
    private var context: OpaquePointer?

    public init() {}

    deinit { ZSTD_freeDCtx(context) }

    /// Unpacks a frame that must fill `content` exactly.
    ///
    /// - Parameter path: the file that it comes from, for the error.
    /// - Returns: whether the frame is valid and has this size.
    /// - Throws: `IOFailure` with `ENOMEM` if there is no memory to unpack it with.
    func unpack(
        _ frame: UnsafeRawBufferPointer, of path: String, to content: UnsafeMutableRawBufferPointer
    ) throws(IOFailure) -> Bool {
        Self.unpack(frame, to: content, try ready(for: path))
    }

    func unpack(
        _ frame: UnsafeRawBufferPointer, of path: String, to content: inout [UInt8]
    ) throws(IOFailure) -> Bool {
        let context = try ready(for: path)
        return content.withUnsafeMutableBytes { Self.unpack(frame, to: $0, context) }
    }

    private func ready(for path: String) throws(IOFailure) -> OpaquePointer {
        if let context { return context }
        let made = try makeUnpackingContext(for: path)
        context = made
        return made
    }

    private static func unpack(
        _ frame: UnsafeRawBufferPointer, to content: UnsafeMutableRawBufferPointer, _ context: OpaquePointer
    ) -> Bool {
        ZSTD_decompressDCtx(context, content.baseAddress, content.count, frame.baseAddress, frame.count)
            == content.count
    }
}
