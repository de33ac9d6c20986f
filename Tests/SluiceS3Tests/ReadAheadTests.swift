import SluiceIO
import Synchronization
import Testing

@testable import SluiceS3

/// An object in memory, read as one of a store.
@Suite struct ReadAheadTests {
    /// Counts what is fetched, and how much of it at a time.
    private final class Store: Sendable {
        struct Counts {
            var requests: [Range<UInt64>] = []
            var running = 0
            var most = 0
        }

        static let content: [UInt8] = (0..<(1 << 16)).map { UInt8(truncatingIfNeeded: $0 &* 0x9E37_79B1 >> 13) }
        let counts = Mutex(Counts())
        /// Called before each range is there.
        let before: @Sendable (Range<UInt64>, () -> Bool) throws(IOFailure) -> Void

        init(before: @escaping @Sendable (Range<UInt64>, () -> Bool) throws(IOFailure) -> Void = { (_, _) in }) {
            self.before = before
        }

        func object(_ size: UInt64) -> ReadAhead {
            ReadAhead(size: size) { [self] (range, bytes, isOver) throws(IOFailure) in
                counts.withLock {
                    $0.requests.append(range)
                    $0.running += 1
                    $0.most = max($0.most, $0.running)
                }
                defer { counts.withLock { $0.running -= 1 } }
                try before(range, isOver)
                bytes.removeAll(keepingCapacity: true)
                while bytes.count < range.count {
                    let start = Int((range.lowerBound + UInt64(bytes.count)) & 0xFFFF)
                    bytes += Self.content[start...].prefix(range.count - bytes.count)
                }
            }
        }

        static func expected(_ range: Range<UInt64>) -> [UInt8] { range.map { content[Int($0 & 0xFFFF)] } }
    }

    private func read(_ object: ReadAhead, at offset: UInt64, _ count: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = try object.read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
        }
    }

    private static let size: UInt64 = 21_000_003

    @Test func readingFromFrontToBackGetsEachByteOnce() throws {
        let store = Store()
        let object = store.object(Self.size)
        defer { object.close() }
        var offset: UInt64 = 0
        while offset < Self.size {
            let bytes = try read(object, at: offset, 300_000)
            // All of it would take a debug build seconds.
            #expect(bytes.first == Store.content[Int(offset & 0xFFFF)])
            #expect(bytes.last == Store.content[Int((offset + UInt64(bytes.count) - 1) & 0xFFFF)])
            offset += UInt64(bytes.count)
        }
        #expect(try read(object, at: Self.size, 10).isEmpty)
        let counts = store.counts.withLock { $0 }
        #expect(counts.requests.reduce(0) { $0 + $1.count } == Int(Self.size))
        #expect(counts.requests.count == 6 && counts.most <= 2)
    }

    @Test func readingAnywhereGivesTheBytesThere() throws {
        let store = Store()
        let object = store.object(Self.size)
        defer { object.close() }
        var state: UInt64 = 11
        func draw(_ most: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % most
        }
        var offset: UInt64 = 0
        for turn in 0..<400 {
            switch draw(6) {
            case 0: offset = draw(Self.size)
            case 1: offset = min(Self.size - 1, offset + draw(9_000_000))
            case 2: offset -= min(offset, draw(3_000_000))
            case 3:
                let start = draw(Self.size)
                object.expect(start..<min(Self.size, start + draw(12_000_000) + 1))
                offset = start
            default: break
            }
            let bytes = try read(object, at: offset, Int(1 + draw(turn % 3 == 0 ? 20 : 3000)))
            #expect(bytes == Store.expected(offset..<(offset + UInt64(bytes.count))), "turn \(turn) at \(offset)")
            #expect(!bytes.isEmpty || offset >= Self.size)
            offset += UInt64(bytes.count)
        }
        #expect(store.counts.withLock { $0.most } <= 2)
    }

    @Test func nothingIsFetchedBeyondWhatWillBeRead() throws {
        let store = Store()
        let object = store.object(Self.size)
        defer { object.close() }
        object.expect(5_000_000..<15_000_000)
        var offset: UInt64 = 5_000_000
        while offset < 15_000_000 { offset += UInt64(try read(object, at: offset, 500_000).count) }
        // The end of the last line.
        #expect(try read(object, at: 15_000_000, 16_000).count == 16_000)
        let requests = store.counts.withLock { $0.requests }
        #expect(requests.map(\.upperBound).max() ?? 0 <= 15_000_000 + 256 << 10 && requests.count == 4)
    }

    @Test func aWalkThroughHeadersTakesFewRequests() throws {
        let store = Store()
        let object = store.object(Self.size)
        defer { object.close() }
        for offset in stride(from: UInt64(0), to: Self.size, by: 40_000) { _ = try read(object, at: offset, 3) }
        #expect(store.counts.withLock { $0.requests.count } <= 12)
    }

    @Test func aFailureIsThrownWhereItIs() throws {
        let store = Store { (range, _) throws(IOFailure) in
            if range.upperBound > 8_000_000 { throw IOFailure(.changed, path: "x", found: "it changed") }
        }
        let object = store.object(Self.size)
        defer { object.close() }
        var offset: UInt64 = 0
        let failure = #expect(throws: IOFailure.self) {
            while offset < Self.size { offset += UInt64(try read(object, at: offset, 500_000).count) }
        }
        #expect(failure?.code == .changed && offset >= 1 << 20 && offset < 8_000_000)
        // What can be read still is.
        #expect(try read(object, at: 100, 50) == Store.expected(100..<150))
    }

    @Test func closingEndsWhatIsUnderWay() throws {
        let store = Store { (range, isOver) throws(IOFailure) in
            guard range.lowerBound > 6_000_000 else { return }
            // Until nobody wants it.
            while !isOver() {}
            throw IOFailure(.stopped, path: "x", found: "reading was stopped")
        }
        let object = store.object(Self.size)
        var offset: UInt64 = 0
        while offset < 5_000_000 { offset += UInt64(try read(object, at: offset, 500_000).count) }
        object.close()
        #expect(store.counts.withLock { $0.running } == 0)
    }
}
