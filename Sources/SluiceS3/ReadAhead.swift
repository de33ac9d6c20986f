import SluiceIO

/// Gets an object piece by piece, ahead of its reader.
///
/// Pieces follow each other and grow to 4 MiB: a look at a few bytes stays cheap, and long reading takes few requests. From
/// the first full piece on, two threads fetch the next ones while one is read. A read elsewhere begins anew. So at most three
/// pieces are in memory, whatever is read.
final class ReadAhead: @unchecked Sendable {
    // @unchecked: all that changes is only accessed with `monitor` locked; the bytes of a piece belong to the thread that
    // fetches it until it is done.

    private final class Piece: @unchecked Sendable {
        // @unchecked: as above.
        enum State { case wanted, fetching, ready, failed(IOFailure) }

        let range: Range<UInt64>
        var state = State.wanted
        var bytes: [UInt8] = []
        /// Whether nobody will read it.
        var isAbandoned = false

        init(_ range: Range<UInt64>) { self.range = range }

        var isFetching: Bool { if case .fetching = state { true } else { false } }
        var isWanted: Bool { if case .wanted = state { true } else { false } }
    }

    static let pieceBytes = 4 << 20
    /// The first piece at the beginning of the object, elsewhere, and for a read of a few bytes.
    private static let (firstBytes, jumpBytes, lookBytes) = (1 << 20, 256 << 10, 16 << 10)
    /// A read of fewer bytes is a look at a header.
    private static let look = 64
    /// The piece that is read, and those ahead of it.
    private static let mostPieces = 3
    /// Memory for these.
    static let bufferBytes = mostPieces * pieceBytes
    private static let mostThreads = 2
    /// 48 KiB were enough for TLS 1.3.
    private static let stackBytes = 256 << 10

    /// Gets a range into an array, whose room it reuses; ends early if nobody wants it any more.
    typealias Fetch = @Sendable (Range<UInt64>, inout [UInt8], _ isOver: @escaping () -> Bool) throws(IOFailure) -> Void

    /// Bytes of the object.
    let size: UInt64
    private let fetch: Fetch
    private let monitor = Monitor()
    private var pieces: [Piece] = []
    /// Where the next piece begins, and its size.
    private var place: UInt64 = 0
    private var step = 0
    /// Where reading is expected to end: nothing is fetched ahead beyond that.
    private var end: UInt64
    /// Buffers of pieces that have been read.
    private var rooms: [[UInt8]] = []
    private var threads: [NativeThread] = []
    private var isClosed = false

    init(size: UInt64, fetch: @escaping Fetch) {
        (self.size, self.fetch) = (size, fetch)
        end = size
    }

    /// Ends the threads: they hold buffers, for which the reader has leased memory.
    func close() {
        let threads = monitor.locked {
            isClosed = true
            monitor.wakeAll()
            return self.threads
        }
        for thread in threads { thread.join() }
    }

    /// Says what will be read from front to back.
    func expect(_ range: Range<UInt64>) {
        monitor.locked {
            abandon()
            (place, step, end) = (range.lowerBound, Self.pieceBytes, min(size, range.upperBound))
        }
    }

    /// - Returns: at least one byte unless the object ends at `offset`.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(IOFailure) -> Int {
        guard offset < size, !buffer.isEmpty else { return 0 }
        monitor.lock()
        defer { monitor.unlock() }
        while true {
            move(to: offset, isLook: buffer.count < Self.look)
            guard let piece = pieces.first else { return 0 }
            switch piece.state {
            case .ready:
                let start = Int(offset - piece.range.lowerBound)
                let count = min(buffer.count, piece.bytes.count - start)
                piece.bytes.withUnsafeBytes {
                    buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<(start + count)]))
                }
                return count
            case .failed(let failure):
                abandon()
                throw failure
            case .wanted where threads.isEmpty: get(piece)
            case .wanted, .fetching: monitor.wait()
            }
        }
    }

    // MARK: Pieces

    /// Makes the piece at `offset` the first one, and adds those that should follow it.
    private func move(to offset: UInt64, isLook: Bool) {
        let isBehind = pieces.first.map { offset < $0.range.lowerBound } ?? (offset < place)
        // Reading that leaves out a little, such as a walk through headers, still goes from front to back.
        if isBehind || offset >= place + UInt64(step) || step == 0 {
            abandon()
            place = offset
            step = isLook ? Self.lookBytes : offset == 0 ? Self.firstBytes : Self.jumpBytes
        }
        while let first = pieces.first, first.range.upperBound <= offset { retire(first) }
        if pieces.isEmpty { place = max(place, offset) }
        while true {
            let isNeeded = pieces.isEmpty
            guard place < size, isNeeded || (!threads.isEmpty && place < end && pieces.count < Self.mostPieces) else {
                break
            }
            let stop = place < end ? end : size
            let bytes = place < end ? step : min(step, Self.jumpBytes)
            let piece = Piece(place..<min(stop, place + UInt64(bytes)))
            pieces.append(piece)
            place = piece.range.upperBound
            if step == Self.pieceBytes, place < end { startThreads() }
            step = min(Self.pieceBytes, 4 * step)
            monitor.wakeAll()
        }
    }

    /// Removes a piece that has been read or left out.
    private func retire(_ piece: Piece) {
        piece.isAbandoned = true
        while piece.isFetching { monitor.wait() }
        pieces.removeFirst()
        // Smaller ones would only grow.
        if piece.bytes.capacity >= Self.pieceBytes, rooms.count + pieces.count < Self.mostPieces {
            rooms.append(piece.bytes)
            piece.bytes = []
        }
    }

    private func abandon() { while let first = pieces.first { retire(first) } }

    // MARK: Fetching

    private func startThreads() {
        guard threads.isEmpty, !isClosed else { return }
        threads = (0..<Self.mostThreads).compactMap { _ in
            NativeThread(stackBytes: Self.stackBytes) { [self] in work() }
        }
    }

    private func work() {
        monitor.lock()
        while !isClosed {
            if let piece = pieces.first(where: \.isWanted) { get(piece) } else { monitor.wait() }
        }
        monitor.unlock()
    }

    /// Fetches a piece. Called with the lock held, which it releases meanwhile.
    private func get(_ piece: Piece) {
        piece.state = .fetching
        var bytes = rooms.popLast() ?? []
        monitor.unlock()
        bytes.reserveCapacity(piece.range.count)
        var failure: IOFailure?
        do throws(IOFailure) {
            try fetch(piece.range, &bytes) { [self] in monitor.locked { isClosed || piece.isAbandoned } }
        } catch {
            failure = error
        }
        monitor.lock()
        piece.bytes = bytes
        piece.state = failure.map { .failed($0) } ?? .ready
        monitor.wakeAll()
    }
}
