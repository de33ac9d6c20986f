import CZstd

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
