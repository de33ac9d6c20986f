import Glibc
import SluiceCore
import SluiceIO
import Synchronization
import Testing

@testable import SluiceEngine

/// Steps whose items wait on light threads.
@Suite struct WaitingStepTests {
    private final class Item: Sendable {
        let lane: Int
        let index: Int
        init(_ lane: Int, _ index: Int) { (self.lane, self.index) = (lane, index) }
        var number: Int { lane * 1000 + index }
    }

    private struct Broken: Error {}

    private final class Log: @unchecked Sendable {
        // Used only by an ordered step.
        var items: [[Int]] = []
    }

    /// Calls under way.
    private final class Gauge: Sendable {
        private let state = Mutex<(now: Int, most: Int, all: Int)>((0, 0, 0))
        func enter() {
            state.withLock {
                $0.now += 1
                $0.all += 1
                $0.most = max($0.most, $0.now)
            }
        }
        func leave() { state.withLock { $0.now -= 1 } }
        var counts: (now: Int, most: Int, all: Int) { state.withLock { $0 } }
    }

    /// A waiting step in which each item makes some calls, and ends after the last of them.
    private static func step(
        _ threads: LightThreads, calls: Int, _ call: @escaping @Sendable (Item, Int) throws -> Void
    ) -> Conveyor<Item>.Step {
        .waiting(threads) { item, visit in
            if calls == 0 { visit.end() }
            let counter = Counter(left: calls)
            try threads.add(
                (0..<calls).map { number in
                    {
                        do {
                            try call(item, number)
                            if counter.isLast { visit.end() }
                        } catch {
                            visit.end(.failure(error))
                        }
                    }
                })
        }
    }

    private final class Counter: Sendable {
        private let left: Atomic<Int>
        init(left: Int) { self.left = Atomic(left) }
        var isLast: Bool { left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 }
    }

    private static func lanes(_ lengths: [Int]) -> (Int) -> (() -> Item?)? {
        { lane in
            guard lane < lengths.count else { return nil }
            var index = 0
            return {
                guard index < lengths[lane] else { return nil }
                defer { index += 1 }
                return Item(lane, index)
            }
        }
    }

    /// Items come out in order whatever the calls take, and never more calls than allowed run.
    @Test(arguments: [1, 2, 8], [1, 3, 40])
    func keepsTheOrder(threads: Int, width: Int) throws {
        let lengths = [7, 0, 20, 1]
        for (seed, calls) in [(UInt64(1), 3), (2, 0), (3, 1)] {
            let pool = WorkerPool(threads: threads)
            defer { pool.stop() }
            let (log, gauge) = (Log(), Gauge())
            let light = LightThreads(width: width, stackBytes: 64 << 10)
            let conveyor = Conveyor<Item>(
                steps: [
                    .parallel { _ in },
                    Self.step(light, calls: calls) { item, call in
                        gauge.enter()
                        usleep(UInt32(Seed.mix(seed ^ UInt64(item.number * 10 + call)) % 2000))
                        gauge.leave()
                    },
                    .parallel { _ in },
                    .ordered { log.items.append([$0.lane, $0.index]) },
                ], limit: 4, extra: 3, openLane: Self.lanes(lengths))
            try conveyor.run(on: pool)
            #expect(log.items == lengths.enumerated().flatMap { lane, length in (0..<length).map { [lane, $0] } })
            #expect(gauge.counts.most <= width)
            #expect(gauge.counts.all == 28 * calls)
        }
    }

    /// All threads get a call although a block has few of them, and while they wait, two workers do everything else.
    @Test func theWidthIsReachedAndWorkersStayFree() throws {
        let pool = WorkerPool(threads: 2)
        defer { pool.stop() }
        let light = LightThreads(width: 256, stackBytes: 64 << 10)
        let gauge = Gauge()
        let worked = Atomic<Int>(0)
        let arrived = Atomic<Bool>(false)
        let conveyor = Conveyor<Item>(
            steps: [
                .parallel { _ in worked.add(1, ordering: .relaxed) },
                Self.step(light, calls: 4) { _, _ in
                    gauge.enter()
                    // Nobody gets an answer before all 256 wait.
                    var patience = 1000
                    while !arrived.load(ordering: .acquiring), patience > 0 {
                        if gauge.counts.now == 256 { arrived.store(true, ordering: .releasing) }
                        usleep(10_000)
                        patience -= 1
                    }
                    gauge.leave()
                },
                .ordered { _ in },
            ], limit: 6, extra: 300, openLane: Self.lanes([100, 100]))
        try conveyor.run(on: pool)
        let didArrive = arrived.load(ordering: .acquiring)
        #expect(didArrive)
        #expect(gauge.counts.most == 256)
        // It took 64 blocks to fill them, which the workers made meanwhile.
        #expect(worked.load(ordering: .relaxed) == 200)
    }

    /// More blocks than `limit` come in only while the threads lack work.
    @Test func blocksComeInAsNeeded() throws {
        let pool = WorkerPool(threads: 2)
        defer { pool.stop() }
        let light = LightThreads(width: 4, stackBytes: 64 << 10)
        let gauge = Gauge()
        let conveyor = Conveyor<Item>(
            steps: [
                .parallel { _ in gauge.enter() },
                Self.step(light, calls: 50) { _, _ in usleep(50) },
                .ordered { _ in gauge.leave() },
            ], limit: 4, extra: 100, openLane: Self.lanes([60]))
        try conveyor.run(on: pool)
        #expect(gauge.counts.most <= 10)
    }

    /// An error ends the pass soon, although other calls would take a minute.
    @Test(arguments: [1, 4]) func anErrorAbandonsTheOthers(threads: Int) throws {
        let pool = WorkerPool(threads: threads)
        defer { pool.stop() }
        let light = LightThreads(width: 50, stackBytes: 64 << 10)
        let gauge = Gauge()
        let completed = Atomic(0)
        let conveyor = Conveyor<Item>(
            steps: [
                Self.step(light, calls: 10) { item, call in
                    gauge.enter()
                    defer { gauge.leave() }
                    if item.index == 3, call == 5 { throw Broken() }
                    for _ in 0..<6000 where !light.isAbandoned { usleep(10_000) }
                    if !light.isAbandoned { completed.add(1, ordering: .relaxed) }
                },
                .ordered { _ in },
            ], limit: 4, extra: 10, openLane: Self.lanes([1000]))
        #expect(throws: Broken.self) { try conveyor.run(on: pool) }
        #expect(completed.load(ordering: .relaxed) == 0)
        // All threads have ended.
        #expect(gauge.counts.now == 0)
    }

    /// A stop is seen while nothing else happens: every thread waits.
    @Test(arguments: [1, 4]) func aStopIsSeenWhileAllWait(threads: Int) throws {
        let pool = WorkerPool(threads: threads)
        defer { pool.stop() }
        let light = LightThreads(width: 20, stackBytes: 64 << 10)
        let gauge = Gauge()
        let conveyor = Conveyor<Item>(
            steps: [
                Self.step(light, calls: 5) { _, _ in
                    gauge.enter()
                    defer { gauge.leave() }
                    for _ in 0..<6000 where !light.isAbandoned { usleep(10_000) }
                },
                .ordered { _ in },
            ], limit: 4, extra: 10, isStopped: { gauge.counts.all >= 20 }, openLane: Self.lanes([1000]))
        let began = AnswerServer.now()
        let error = #expect(throws: EngineError.self) { try conveyor.run(on: pool) }
        #expect(error?.code == .stopped)
        #expect(AnswerServer.now() - began < 30)
        #expect(gauge.counts.now == 0)
    }

    /// Many short passes with errors at any moment: nothing hangs, and no call runs afterwards.
    @Test func underStress() throws {
        let pool = WorkerPool(threads: 3)
        defer { pool.stop() }
        for round in 0..<60 {
            let light = LightThreads(width: 1 + round % 33, stackBytes: 64 << 10)
            let gauge = Gauge()
            let (log, fails) = (Log(), round % 3 == 0)
            let conveyor = Conveyor<Item>(
                steps: [
                    Self.step(light, calls: round % 5) { item, call in
                        gauge.enter()
                        defer { gauge.leave() }
                        if Seed.mix(UInt64(item.number + call + round)) % 4 == 0 { usleep(100) }
                        if fails, item.index == 7 + round % 11 { throw Broken() }
                    },
                    .parallel { _ in },
                    Self.step(LightThreads(width: 7, stackBytes: 64 << 10), calls: 1) { _, _ in },
                    .ordered { log.items.append([$0.lane, $0.index]) },
                ], limit: 3, extra: round % 7, openLane: Self.lanes([20, 3, 17]))
            if fails, round % 5 > 0 {
                #expect(throws: Broken.self) { try conveyor.run(on: pool) }
            } else {
                try conveyor.run(on: pool)
                #expect(log.items.count == 40)
            }
            let now = gauge.counts.now
            #expect(now == 0)
        }
    }
}
