import Glibc
import SluiceCore
import Synchronization
import Testing

@testable import SluiceEngine

@Suite struct ConveyorTests {
    final class Item {
        let lane: Int
        let index: Int
        var trail = 0
        init(_ lane: Int, _ index: Int) { (self.lane, self.index) = (lane, index) }
    }

    struct Broken: Error, Equatable { let number: Int }

    /// Calls of the ordered steps; they run one at a time.
    final class Log: @unchecked Sendable {
        var items: [[Int]] = []
    }

    /// The number of items between the lanes and the end.
    final class Gauge: Sendable {
        private let state = Mutex<(now: Int, most: Int)>((0, 0))
        func enter() {
            state.withLock {
                $0.now += 1; $0.most = max($0.most, $0.now)
            }
        }
        func leave() { state.withLock { $0.now -= 1 } }
        var most: Int { state.withLock { $0.most } }
    }

    private static func dawdle(_ item: Item, seed: UInt64, step: UInt64) {
        let draw = Seed.mix(seed ^ UInt64(item.lane * 1000 + item.index) ^ step << 40)
        if draw % 3 == 0 { usleep(UInt32(draw >> 8 % 300)) }
    }

    /// Items pass ordered steps in lane order for any delays, and never more than allowed are under way.
    @Test(arguments: [1, 2, 3, 8], [2, 3, 5, 40])
    func keepsTheOrder(threads: Int, limit: Int) throws {
        let lengths = [5, 0, 17, 1, 0, 0, 30, 2]
        let expected = lengths.enumerated().flatMap { lane, length in (0..<length).map { [lane, $0] } }
        for seed in UInt64(1)...3 {
            let pool = WorkerPool(threads: threads)
            defer { pool.stop() }
            let first = Log(), last = Log(), gauge = Gauge()
            let conveyor = Conveyor<Item>(
                steps: [
                    .parallel {
                        Self.dawdle($0, seed: seed, step: 0); $0.trail += 1
                    },
                    .ordered {
                        first.items.append([$0.lane, $0.index]); $0.trail += 10
                    },
                    .parallel {
                        Self.dawdle($0, seed: seed, step: 1); $0.trail += 100
                    },
                    .parallel {
                        Self.dawdle($0, seed: seed, step: 2); $0.trail += 1000
                    },
                    .ordered { item in
                        #expect(item.trail == 1111)
                        last.items.append([item.lane, item.index])
                        gauge.leave()
                    },
                ], limit: limit
            ) { lane in
                guard lane < lengths.count else { return nil }
                var index = 0
                return {
                    guard index < lengths[lane] else { return nil }
                    gauge.enter()
                    defer { index += 1 }
                    return Item(lane, index)
                }
            }
            try conveyor.run(on: pool)
            #expect(first.items == expected)
            #expect(last.items == expected)
            #expect(gauge.most <= limit)
        }
    }

    @Test func noLanesAndEmptyLanes() throws {
        let pool = WorkerPool(threads: 4)
        defer { pool.stop() }
        try Conveyor<Item>(steps: [.ordered { _ in }], limit: 2) { _ in nil }.run(on: pool)
        try Conveyor<Item>(steps: [.ordered { _ in }], limit: 2) { lane in lane < 50 ? { nil } : nil }.run(on: pool)
    }

    /// An error of a step, of a lane, or of opening a lane is reported, and everything else stops.
    @Test(arguments: ["parallel", "ordered", "lane", "open"], [1, 4])
    func errorsComeOut(place: String, threads: Int) throws {
        let pool = WorkerPool(threads: threads)
        defer { pool.stop() }
        let finished = Log()
        let conveyor = Conveyor<Item>(
            steps: [
                .parallel { if place == "parallel", $0.index == 30 { throw Broken(number: 1) } },
                .ordered { item in
                    if place == "ordered", item.index == 30 { throw Broken(number: 1) }
                    finished.items.append([item.lane, item.index])
                },
            ], limit: 6
        ) { lane in
            if place == "open", lane == 1 { throw Broken(number: 1) }
            var index = 0
            return {
                if place == "lane", index == 30 { throw Broken(number: 1) }
                guard index < 10_000 else { return nil }
                defer { index += 1 }
                return Item(lane, index)
            }
        }
        #expect(throws: Broken(number: 1)) { try conveyor.run(on: pool) }
        #expect(finished.items.count < 10_100)
        // The pool is still usable.
        let count = Atomic<Int>(0)
        pool.run(20) { _ in count.add(1, ordering: .relaxed) }
        #expect(count.load(ordering: .relaxed) == 20)
    }

    @Test(arguments: [1, 4])
    func stops(threads: Int) throws {
        let pool = WorkerPool(threads: threads)
        defer { pool.stop() }
        let seen = Atomic<Int>(0)
        let conveyor = Conveyor<Item>(
            steps: [.parallel { _ in seen.add(1, ordering: .relaxed) }], limit: 4,
            isStopped: { seen.load(ordering: .relaxed) >= 25 }
        ) { lane in { Item(lane, 0) } }
        do {
            try conveyor.run(on: pool)
            Issue.record("it was not stopped")
        } catch let error as EngineError {
            #expect(error.code == .stopped)
        }
        #expect(seen.load(ordering: .relaxed) < 25 + 8)
    }

    // MARK: Workers

    /// Every piece runs once, including those added by other pieces.
    @Test(arguments: [1, 2, 3, 8])
    func nestedWork(threads: Int) {
        let pool = WorkerPool(threads: threads)
        defer { pool.stop() }
        for _ in 0..<20 {
            let counts = Mutex([Int](repeating: 0, count: 6 * 5 * 4))
            pool.run(6) { a in
                pool.run(5) { b in
                    pool.run(4) { c in
                        if (a + b + c) % 7 == 0 { usleep(50) }
                        counts.withLock { $0[(a * 5 + b) * 4 + c] += 1 }
                    }
                }
            }
            #expect(counts.withLock { $0.allSatisfy { $0 == 1 } })
        }
        pool.run(0) { _ in Issue.record("there is no piece") }
    }

    @Test func aStoppedPoolWorksOnTheCallingThread() {
        let pool = WorkerPool(threads: 4)
        pool.stop()
        let count = Atomic<Int>(0)
        pool.run(10) { _ in count.add(1, ordering: .relaxed) }
        #expect(count.load(ordering: .relaxed) == 10)
    }
}
