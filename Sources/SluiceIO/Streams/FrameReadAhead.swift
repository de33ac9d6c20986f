import Glibc

/// A zstd file of many frames, unpacked by idle threads; returns the same bytes as `ZstdSource`, in order.
///
/// It has no threads of its own: idle threads call `unpackAhead()`, and the reader unpacks frames that nobody has
/// started. A frame is read from the file under the lock, so a digest sees the file in order, and unpacked into a
/// separate slot. Frames must state their content size. If a frame can't be unpacked, a plain `ZstdSource` continues
/// from its start and reports the error as usual. Memory: `readAheadFrames` times the largest frame, in both forms.
final class FrameReadAhead: ByteSource, @unchecked Sendable {
    // @unchecked: shared state is only accessed with `monitor` locked; a slot's bytes belong to the thread that fills
    // it until it is ready, then to the reader.

    private final class Slot {
        var packed: [UInt8] = []
        var content: [UInt8] = []
        let decompressor = FrameDecompressor()
        var isReady = false
        var isBroken = false
    }

    let path: String
    let format = StreamFormat.zstd
    private let options: InputOptions
    private let file: any InputFile
    private let frames: [ZstdFrame]
    private let monitor = Monitor()
    private var slots: [Slot]
    /// The next frame to be unpacked, and the frame being read.
    private var claimed = 0
    private var current = 0
    private var offsetInCurrent = 0
    private var readFailure: IOFailure?
    /// The part of the file that the digest has seen.
    private var digested: UInt64
    /// The part of the file to be read, and the unpacked bytes of the file before it.
    private let range: Range<UInt64>
    private let produced: UInt64
    private var fallback: ZstdSource?

    /// The largest content of a frame that is read ahead.
    static let largestFrame: UInt64 = 8 << 20
    /// A file with more frames is read plainly: the list of frames would take more than 4 MiB.
    private static let mostFrames = 64 << 10

    /// - Parameters:
    ///   - range: complete frames of the file and what is between them.
    ///   - produced: the unpacked bytes of the file before the range.
    /// - Returns: nil if read-ahead would not pay: too few frames, frames that are too large or state no size, or
    ///   frames that need more than `options.readAheadBytes`.
    init?(
        _ file: any InputFile, _ range: Range<UInt64>, produced: UInt64 = 0, options: InputOptions
    ) throws(IOFailure) {
        let count = options.readAheadFrames
        // Leave a damaged file to a plain source, which returns the good bytes before it reports the error.
        guard let frames = try? ZstdFrames(of: file, in: range).list(atMost: Self.mostFrames) else { return nil }
        guard count > 1, frames.count >= 2 * count,
            frames.allSatisfy({ ($0.contentSize ?? .max) <= Self.largestFrame && $0.size <= 2 * Self.largestFrame })
        else { return nil }
        let largest = frames.reduce(0) { max($0, Int($1.size + ($1.contentSize ?? 0))) }
        guard count * largest <= options.readAheadBytes else { return nil }
        path = file.path
        self.frames = frames
        self.options = options
        self.file = file
        self.range = range
        self.produced = produced
        digested = range.lowerBound
        slots = (0..<count).map { _ in Slot() }
    }

    var fileOffset: UInt64 {
        monitor.locked { current < frames.count ? frames[current].offset : range.upperBound }
    }

    var isWaiting: Bool { fallback?.isWaiting ?? false }

    // MARK: Unpacking

    /// Unpacks the next frame that nobody has started, if there is a free slot.
    func unpackAhead() -> Bool {
        monitor.lock()
        guard fallback == nil, let number = claim() else {
            monitor.unlock()
            return false
        }
        monitor.unlock()
        unpack(number)
        return true
    }

    /// Takes the next frame and reads it; called with the lock held.
    private func claim() -> Int? {
        // A slot becomes free when the reader is done with its frame.
        guard readFailure == nil, claimed < frames.count, claimed < current + slots.count else { return nil }
        let number = claimed
        claimed += 1
        do throws(IOFailure) {
            try read(frames[number], into: slots[number % slots.count])
            return number
        } catch {
            readFailure = error
            monitor.wakeAll()
            return nil
        }
    }

    private func unpack(_ number: Int) {
        let slot = slots[number % slots.count]
        let good = unpack(slot, Int(frames[number].contentSize ?? 0))
        monitor.locked {
            slot.isReady = true
            slot.isBroken = !good
            monitor.wakeAll()
        }
    }

    /// Reads a frame and, for the digest, the bytes between it and the previous one.
    private func read(_ frame: ZstdFrame, into slot: Slot) throws(IOFailure) {
        try digestGap(to: frame.offset)
        slot.packed.removeAll(keepingCapacity: true)
        slot.packed.append(contentsOf: repeatElement(0, count: Int(frame.size)))
        let got = try file.read(into: &slot.packed, at: frame.offset)
        if got < slot.packed.count { slot.packed.removeSubrange(got...) }
        slot.packed.withUnsafeBytes { options.digest?.update($0) }
        digested = frame.offset + frame.size
    }

    private func digestGap(to offset: UInt64) throws(IOFailure) {
        guard let digest = options.digest, digested < offset else { return }
        while digested < offset {
            var gap = [UInt8](repeating: 0, count: Int(min(offset - digested, 64 << 10)))
            let got = try file.read(into: &gap, at: digested)
            if got == 0 { break }
            gap.prefix(got).withUnsafeBytes { digest.update($0) }
            digested += UInt64(got)
        }
        digested = offset
    }

    private func unpack(_ slot: Slot, _ size: Int) -> Bool {
        if slot.content.count < size {
            slot.content.append(contentsOf: repeatElement(0, count: size - slot.content.count))
        } else {
            slot.content.removeSubrange(size...)
        }
        return slot.content.withUnsafeMutableBytes { content in
            // Without memory to unpack it, the plain source reports the lack.
            slot.packed.withUnsafeBytes { (try? slot.decompressor.unpack($0, of: path, to: content)) ?? false }
        }
    }

    // MARK: The reader

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        if let fallback { return try fallback.read(into: buffer) }
        while true {
            monitor.lock()
            guard current < frames.count else {
                monitor.unlock()
                return try end()
            }
            let slot = slots[current % slots.count]
            if claimed == current, let number = claim() {
                monitor.unlock()
                unpack(number)
                continue
            }
            while !slot.isReady, readFailure == nil { monitor.wait() }
            if !slot.isReady, let readFailure {
                monitor.unlock()
                throw readFailure
            }
            monitor.unlock()
            if slot.isBroken { return try goOnPlainly(into: buffer) }
            let count = min(buffer.count, slot.content.count - offsetInCurrent)
            if count > 0 {
                slot.content.withUnsafeBytes {
                    buffer.copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: $0[offsetInCurrent..<(offsetInCurrent + count)]))
                }
                offsetInCurrent += count
            }
            if offsetInCurrent == slot.content.count {
                monitor.locked {
                    slot.isReady = false
                    current += 1
                    monitor.wakeAll()
                }
                offsetInCurrent = 0
            }
            if count > 0 { return count }
        }
    }

    /// The digest also covers what follows the last frame, such as a seek table.
    private func end() throws(IOFailure) -> Int {
        try digestGap(to: range.upperBound)
        return 0
    }

    /// The error is the one of a plain source, after the good bytes before it.
    private func goOnPlainly(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        let start = frames[current].offset
        var plain = options
        plain.digest = nil
        let input = RawInput(
            file: file, capacity: options.bufferBytes, range: start..<range.upperBound)
        let before = frames[..<current].reduce(produced) { $0 + ($1.contentSize ?? 0) }
        let source = try ZstdSource(input, options: plain, produced: before)
        monitor.locked { fallback = source }
        return try source.read(into: buffer)
    }
}
