import Glibc

/// A zstd file of many frames, unpacked by several threads; gives the bytes that `ZstdSource` gives, in order.
///
/// Each thread takes the next frame, reads it while it holds the lock (so a digest sees the file in order), and unpacks
/// it into a slot of its own. Frames must say their content size. Where a frame can't be unpacked, a plain `ZstdSource`
/// goes on from its start and says what is wrong as it always does. Memory: `slots` times the largest frame, packed
/// and unpacked.
final class FrameReadAhead: ByteSource, @unchecked Sendable {
    // What the threads share is touched only with `monitor` locked; a slot's bytes belong to the thread that fills it
    // until it is ready, and to the reader from then on.

    private final class Slot {
        var packed: [UInt8] = []
        var content: [UInt8] = []
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
    /// The next frame to be taken by a thread, and the one that the reader is at.
    private var claimed = 0
    private var current = 0
    private var offsetInCurrent = 0
    private var stopping = false
    private var readFailure: IOFailure?
    /// How much of the file the digest has seen.
    private var digested: UInt64 = 0
    private let size: UInt64
    private var threads: [pthread_t] = []
    private var fallback: ZstdSource?

    /// Largest content of a frame that is read ahead.
    static let largestFrame: UInt64 = 8 << 20

    /// - Returns: nil where the file is not worth it: few frames, large ones, such as don't say their size, or more of them at a time than
    ///   `options.readAheadBytes` allows.
    init?(_ path: String, threads count: Int, options: InputOptions, fileSystem: FileSystem) throws(IOFailure) {
        // A damaged file is a plain source's business, which gives what is good before it says what is wrong.
        guard let frames = try? fileSystem.zstdFrames(of: path) else { return nil }
        guard count > 1, frames.count >= 2 * count,
            frames.allSatisfy({ ($0.contentSize ?? .max) <= Self.largestFrame && $0.size <= 2 * Self.largestFrame })
        else { return nil }
        let largest = frames.reduce(0) { max($0, Int($1.size + ($1.contentSize ?? 0))) }
        guard (count + 1) * largest <= options.readAheadBytes else { return nil }
        self.path = path
        self.frames = frames
        self.options = options
        self.fileSystem = fileSystem
        file = try fileSystem.openForReading(path)
        size = try file.status().size
        options.digest?.reset()
        slots = (0..<(count + 1)).map { _ in Slot() }
        for _ in 0..<count { startThread() }
        // No thread at all is as good as no source.
        if threads.isEmpty { return nil }
    }

    private func startThread() {
        var thread = pthread_t()
        let this = Unmanaged.passUnretained(self)
        // `deinit` waits for the threads, so the pointer outlives them.
        let status = pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<FrameReadAhead>.fromOpaque(argument).takeUnretainedValue().work() }
                return nil
            }, this.toOpaque())
        if status == 0 { threads.append(thread) }
    }

    deinit {
        monitor.locked {
            stopping = true
            monitor.wakeAll()
        }
        for thread in threads { pthread_join(thread, nil) }
    }

    var fileOffset: UInt64 {
        monitor.locked { current < frames.count ? frames[current].offset : size }
    }

    // MARK: The threads

    private func work() {
        let decompressor = FrameDecompressor()
        monitor.lock()
        defer { monitor.unlock() }
        while true {
            // A slot is free when the reader is done with the frame that was in it.
            while !stopping, readFailure == nil, claimed < frames.count, claimed >= current + slots.count {
                monitor.wait()
            }
            guard !stopping, readFailure == nil, claimed < frames.count else { return }
            let number = claimed
            let slot = slots[number % slots.count]
            claimed += 1
            do throws(IOFailure) {
                try read(frames[number], into: slot)
            } catch {
                readFailure = error
                monitor.wakeAll()
                return
            }
            monitor.unlock()
            let good = Self.unpack(slot, Int(frames[number].contentSize ?? 0), decompressor)
            monitor.lock()
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
        var gap = [UInt8](repeating: 0, count: Int(offset - digested))
        let got = try file.read(into: &gap, at: digested)
        gap.prefix(got).withUnsafeBytes { digest.update($0) }
        digested = offset
    }

    private static func unpack(_ slot: Slot, _ size: Int, _ decompressor: FrameDecompressor) -> Bool {
        if slot.content.count < size {
            slot.content.append(contentsOf: repeatElement(0, count: size - slot.content.count))
        } else {
            slot.content.removeSubrange(size...)
        }
        return slot.content.withUnsafeMutableBytes { content in
            slot.packed.withUnsafeBytes { decompressor.unpack($0, to: content) }
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
        fallback = source
        return try source.read(into: buffer)
    }
}
