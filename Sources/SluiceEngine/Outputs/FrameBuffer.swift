import SluiceCore
import SluiceIO

/// A frame of an output, not yet written.
struct Frame {
    let sink: FrameSink
    let buffer: FrameBuffer
}

/// The lines of a frame and their compressed form. Reused for later frames, so that the system provides its memory only
/// once.
final class FrameBuffer {
    // Belongs to one frame, and so to one thread at a time.

    var content: [UInt8] = []
    private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var compressedCount = 0
    /// Why it could not be compressed. Frames are compressed in parallel and fail in order, when they are appended.
    private(set) var failure: IOFailure?

    deinit { memory.deallocate() }

    var compressed: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<compressedCount]) }

    func compress(with compressor: FrameCompressor) {
        let bound = FrameCompressor.bound(content.count)
        if memory.count < bound {
            memory.deallocate()
            memory = .allocate(byteCount: bound, alignment: 64)
        }
        do throws(IOFailure) {
            compressedCount = try compressor.compress(content, to: memory)
        } catch {
            failure = error
        }
    }

    /// Prepares it for the next frame; frees the memory that a huge line needed.
    func empty() {
        compressedCount = 0
        content.removeAll(keepingCapacity: content.capacity <= 2 * OutputFile.frameBytes)
        if memory.count > 2 * OutputFile.frameBytes {
            memory.deallocate()
            memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        }
    }
}
