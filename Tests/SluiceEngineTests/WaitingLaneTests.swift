import Synchronization
import Testing

@testable import SluiceEngine

/// Lanes that wait for memory held by an item that is under way.
@Suite struct WaitingLaneTests {
    private final class Item {
        let lane: Int
        let index: Int
        let isLarge: Bool
        init(_ lane: Int, _ index: Int, isLarge: Bool) {
            (self.lane, self.index, self.isLarge) = (lane, index, isLarge)
        }
    }

    private final class Log: @unchecked Sendable {
        // Used only by an ordered step.
        var items: [[Int]] = []
    }

    /// Large items come one at a time, only from the first lane, and everything comes out in order, for any number of
    /// threads.
    @Test(arguments: [1, 2, 3, 8], [1, 2, 7])
    func largeItemsComeOneAtATime(threads: Int, every: Int) throws {
        let pool = WorkerPool(threads: threads)
        defer { pool.stop() }
        let (lanes, length) = (5, 23)
        let isTaken = Atomic<Bool>(false)
        let log = Log()
        let conveyor = Conveyor<Item>(
            steps: [
                .parallel { _ in },
                .ordered { log.items.append([$0.lane, $0.index]) },
                .parallel { item in
                    if item.isLarge { isTaken.store(false, ordering: .sequentiallyConsistent) }
                },
            ], limit: 6, lanes: 3,
            source: Conveyor.Source { number in
                guard number < lanes else { return nil }
                var index = 0
                return { isFirst in
                    guard index < length else { return .end }
                    let isLarge = index % every == 0
                    if isLarge {
                        guard isFirst else { return .waiting }
                        let had = isTaken.compareExchange(
                            expected: false, desired: true, ordering: .sequentiallyConsistent)
                        guard had.exchanged else { return .waiting }
                    }
                    defer { index += 1 }
                    return .item(Item(number, index, isLarge: isLarge))
                }
            })
        try conveyor.run(on: pool)
        #expect(log.items == (0..<lanes).flatMap { lane in (0..<length).map { [lane, $0] } })
        let isOut = isTaken.load(ordering: .sequentiallyConsistent)
        #expect(!isOut)
    }

    /// Idle threads assist, and no thread is bound to that.
    @Test(arguments: [2, 4])
    func idleThreadsAssist(threads: Int) throws {
        let pool = WorkerPool(threads: threads)
        defer { pool.stop() }
        let assisted = Atomic<Int>(0)
        let conveyor = Conveyor<Item>(
            steps: [.ordered { _ in }], limit: 4,
            source: Conveyor.Source(
                open: { number in
                    guard number == 0 else { return nil }
                    var index = 0
                    return { _ in
                        // The lane can't continue until another thread has assisted.
                        while assisted.load(ordering: .sequentiallyConsistent) < index * 2 {}
                        guard index < 10 else { return .end }
                        defer { index += 1 }
                        return .item(Item(0, index, isLarge: false))
                    }
                },
                assist: {
                    guard assisted.load(ordering: .sequentiallyConsistent) < 20 else { return false }
                    assisted.add(1, ordering: .sequentiallyConsistent)
                    return true
                }))
        try conveyor.run(on: pool)
        let count = assisted.load(ordering: .sequentiallyConsistent)
        #expect(count >= 20)
    }
}
