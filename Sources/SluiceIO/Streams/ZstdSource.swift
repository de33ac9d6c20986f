import CZstd

/// A zstd file: consecutive frames; skippable frames are skipped, checksums verified.
public final class ZstdSource: ByteSource {
    private let input: RawInput
    private let context: OpaquePointer
    private let windowLogMax: Int
    private let gate: WindowGate?
    public private(set) var isWaiting = false
    private var insideFrame = false
    /// The number of bytes that zstd wants next; if more than three, the last three are the header of the next block.
    private var wanted = 0
    /// Whether the last call filled its output, so that more may be available.
    private var isFull = false
    private var finished = false
    private var produced: UInt64 = 0
    /// Unpacked bytes before the current frame.
    private var producedBefore: UInt64 = 0
    /// The start of the current frame in the file.
    public private(set) var frameStart: UInt64 = 0
    /// The number of frames with content started so far.
    public private(set) var frames = 0
    public let format = StreamFormat.zstd
    public var path: String { input.path }
    public var fileOffset: UInt64 { input.offset }

    /// - Parameter produced: unpacked bytes of the file before the start of `input`.
    /// - Throws: `IOFailure` if there is no memory for unpacking.
    init(_ input: RawInput, options: InputOptions, produced: UInt64 = 0) throws(IOFailure) {
        self.input = input
        self.produced = produced
        windowLogMax = min(max(options.windowLogMax, 10), 31)
        gate = options.gate
        context = try makeUnpackingContext(for: input.path)
        ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Int32(windowLogMax))
    }

    deinit { ZSTD_freeDCtx(context) }

    /// Thrown by the next call, since the last call returned good bytes.
    private var failure: IOFailure?

    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        if let failure { throw failure }
        if finished || buffer.isEmpty { return 0 }
        var output = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
        do throws(IOFailure) { try fill(&output) } catch {
            failure = error
            if output.pos == 0 { throw error }
        }
        produced += UInt64(output.pos)
        return output.pos
    }

    private func fill(_ output: inout ZSTD_outBuffer) throws(IOFailure) {
        while output.pos < output.size {
            try input.fill(atLeast: insideFrame ? 1 : frameHeaderMax)
            let ready = input.available
            if !insideFrame {
                if ready.isEmpty {
                    finished = true
                    break
                }
                guard try beginFrame(ready, good: produced + UInt64(output.pos)) else {
                    isWaiting = true
                    break
                }
                isWaiting = false
                insideFrame = true
                wanted = frameHeaderStart + blockHeaderSize
            }
            // One header or one block at a time, and none while unpacked bytes wait for room: if zstd finds a fault, it
            // doesn't tell what it returned before it in the same call.
            let share = isFull ? 0 : wanted > blockHeaderSize ? wanted - blockHeaderSize : wanted
            var source = ZSTD_inBuffer(src: ready.baseAddress, size: min(ready.count, share), pos: 0)
            let before = output.pos
            let hint = ZSTD_decompressStream(context, &output, &source)
            input.use(source.pos)
            if ZSTD_isError(hint) != 0 {
                throw corrupt(
                    "corrupt zstd data (\(String(cString: ZSTD_getErrorName(hint))))",
                    good: produced + UInt64(output.pos))
            }
            wanted = hint
            isFull = output.pos == output.size
            if hint == 0 {
                insideFrame = false
            } else if ready.isEmpty && output.pos == before {
                throw IOFailure(
                    .truncatedStream, path: path, offset: input.offset,
                    found: "the file ends inside the zstd frame that begins at byte \(frameStart), after "
                        + "\(produced + UInt64(output.pos)) unpacked bytes", advice: "Copy or download it again.")
            }
        }
    }

    /// Reads the header of the frame at the start of `ready`.
    ///
    /// - Returns: whether the frame may start now.
    private func beginFrame(_ ready: UnsafeRawBufferPointer, good: UInt64) throws(IOFailure) -> Bool {
        frameStart = input.offset
        producedBefore = good
        guard isZstd(Array(ready.prefix(4))) else {
            if ready.count < 4, input.atEnd, frameStart > 0 {
                throw IOFailure(
                    .truncatedStream, path: path, offset: frameStart,
                    found: "the file ends inside the header of a zstd frame, after \(good) unpacked bytes",
                    advice: "Copy or download it again.")
            }
            throw corrupt("expected a zstd frame, found \(shown(Array(ready.prefix(8))))", good: good)
        }
        var header = ZSTD_frameHeader()
        let result = ZSTD_getFrameHeader(&header, ready.baseAddress, ready.count)
        if ZSTD_isError(result) != 0 {
            throw corrupt("corrupt zstd frame header (\(String(cString: ZSTD_getErrorName(result))))", good: good)
        }
        // A truncated header: the loop in `read` finds that nothing follows.
        if result > 0 || header.frameType == ZSTD_skippableFrame { return true }
        if header.windowSize > 1 << UInt64(windowLogMax) {
            let needed = UInt64.bitWidth - (header.windowSize - 1).leadingZeroBitCount
            throw IOFailure(
                .windowTooLarge, path: path, offset: frameStart,
                found:
                    "this zstd frame needs a window of \((header.windowSize - 1) >> 20 + 1) MiB (2^\(needed) bytes); "
                    + "\((UInt64(1) << UInt64(windowLogMax)) >> 20) MiB are allowed",
                advice: needed <= 31
                    ? "Allow windowLogMax \(needed), or compress the file again without --long."
                    : "Compress the file again without --long.", window: header.windowSize)
        }
        if let gate, !gate.isOpen, header.windowSize > 1 << UInt64(gate.freeLog) { return false }
        frames += 1
        return true
    }

    private func corrupt(_ found: String, good: UInt64) -> IOFailure {
        var failure = IOFailure(
            .corruptStream, path: path, offset: input.offset, found: "\(found), after \(good) unpacked bytes",
            advice: "Copy or download the file again.")
        failure.soundBytes = producedBefore
        return failure
    }
}

/// The largest size of a frame header.
let frameHeaderMax = 18
/// The bytes that determine the size of the frame header.
private let frameHeaderStart = 5
private let blockHeaderSize = 3
