import Glibc

/// A zstd file of many frames, unpacked by whoever has time for it; gives the bytes that `ZstdSource` gives, in order.
///
/// It has no threads of its own: a thread that has nothing better to do calls `unpackAhead()`, and the reader unpacks
/// what nobody has begun. A frame is read from the file under the lock, so a digest sees the file in order, and unpacked
/// into a slot of its own. Frames must state their content size. Where a frame can't be unpacked, a plain `ZstdSource` goes
/// on from its start and says what is wrong as it always does. Memory: `readAheadFrames` times the largest frame, packed
/// and unpacked.
final class FrameReadAhead: ByteSource, @unchecked Sendable {
    // What the threads share is touched only with `monitor` locked; a slot's bytes belong to the thread that fills it
    // until it is ready, and to the reader from then on.

    private final class Slot {
        var packed: [UInt8] = []
        var content: [UInt8] = []
        let decompressor = FrameDecompressor()
        var isReady = false
        var isBroken = false
    }

    let path: String
    let format = StreamFormat.zstd
    private let fileSystem: FileSystem
    private let options: InputOptions
    private let file: OpenFile
    private let frames: [ZstdFrame]
    private let monitor = Monitor()
    private var slots: [Slot]
    /// The next frame to be unpacked, and the one that the reader is at.
    private var claimed = 0
    private var current = 0
    private var offsetInCurrent = 0
    private var readFailure: IOFailure?
    /// How much of the file the digest has seen.
    private var digested: UInt64 = 0
    private let size: UInt64
    private var fallback: ZstdSource?

    /// Largest content of a frame that is read ahead.
    static let largestFrame: UInt64 = 8 << 20
    /// A file of more frames is read plainly: the list of them would take more than 4 MiB.
    private static let mostFrames = 64 << 10

    /// - Returns: nil where the file is not worth it: few frames, large ones, frames that don't state their size, or where
    ///   so many of them take more than `options.readAheadBytes`.
    init?(_ path: String, options: InputOptions, fileSystem: FileSystem) throws(IOFailure) {
        let count = options.readAheadFrames
        // A damaged file is a plain source's business, which gives what is good before it says what is wrong.
        guard let frames = try? fileSystem.zstdFrames(of: path, atMost: Self.mostFrames) else { return nil }
        guard count > 1, frames.count >= 2 * count,
            frames.allSatisfy({ ($0.contentSize ?? .max) <= Self.largestFrame && $0.size <= 2 * Self.largestFrame })
        else { return nil }
        let largest = frames.reduce(0) { max($0, Int($1.size + ($1.contentSize ?? 0))) }
        guard count * largest <= options.readAheadBytes else { return nil }
        self.path = path
        self.frames = frames
        self.options = options
        self.fileSystem = fileSystem
        file = try fileSystem.openForReading(path)
        size = try file.status().size
        options.digest?.reset()
        slots = (0..<count).map { _ in Slot() }
    }

    var fileOffset: UInt64 {
        monitor.locked { current < frames.count ? frames[current].offset : size }
    }

    var isWaiting: Bool { fallback?.isWaiting ?? false }

    // MARK: Unpacking

    /// Unpacks the next frame that nobody has begun, where there is a free slot for it.
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
        // A slot is free when the reader is done with the frame that was in it.
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
        let good = Self.unpack(slot, Int(frames[number].contentSize ?? 0))
        monitor.locked {
            slot.isReady = true
            slot.isBroken = !good
            monitor.wakeAll()
        }
    }

    /// Reads a frame, and what lies between it and the one before for the digest's sake.
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

    private static func unpack(_ slot: Slot, _ size: Int) -> Bool {
        if slot.content.count < size {
            slot.content.append(contentsOf: repeatElement(0, count: size - slot.content.count))
        } else {
            slot.content.removeSubrange(size...)
        }
        return slot.content.withUnsafeMutableBytes { content in
            slot.packed.withUnsafeBytes { slot.decompressor.unpack($0, to: content) }
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

    /// The digest sees what follows the last frame, such as a seek table.
    private func end() throws(IOFailure) -> Int {
        try digestGap(to: size)
        return 0
    }

    /// The error is that of a plain source, with the bytes that are good before it.
    private func goOnPlainly(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        let start = frames[current].offset
        var plain = options
        plain.digest = nil
        let input = RawInput(
            file: try fileSystem.openForReading(path), capacity: options.bufferBytes, range: start..<size)
        let before = frames[..<current].reduce(0) { $0 + ($1.contentSize ?? 0) }
        let source = try ZstdSource(input, options: plain, produced: before)
        monitor.locked { fallback = source }
        return try source.read(into: buffer)
    }
}
