import SluiceCore
import SluiceIO

/// Moves items from lanes of a source through steps, on all threads of a pool, in bounded memory.
///
/// A step is either `parallel` (items in any order, several at a time) or `ordered` (one item at a time, in the order of
/// the lanes and of the items within a lane). Lanes are read one item at a time each, several lanes at a time: that is
/// how several files are read in parallel and still come out in order. At most `limit` items are under way; half of them
/// are kept for the lane whose turn it is, so lanes that run ahead can't block it.
///
/// The idea is that of TBB's `parallel_pipeline` (Reed, «High-performance parallel patterns», 2007), with lanes added.
final class Conveyor<Item: AnyObject>: @unchecked Sendable {
    enum Step {
        case parallel((Item) throws -> Void)
        case ordered((Item) throws -> Void)
    }

    /// Reads one lane; nil at its end.
    typealias Lane = () throws -> Item?

    // All `var`s are touched only with `monitor` locked.
    private let monitor = Monitor()
    private let steps: [Step]
    private let openLane: (Int) throws -> Lane?
    private let limit: Int
    private let mostLanes: Int
    private let isStopped: () -> Bool

    private struct Position: Hashable {
        var lane: Int
        var index: Int
    }

    private struct LaneState {
        let number: Int
        let read: Lane
        var isBusy = false
        var count = 0
    }

    private struct Turn {
        var next = Position(lane: 0, index: 0)
        var isBusy = false
        var waiting: [Position: Item] = [:]
    }

    private var lanes: [LaneState] = []
    private var laneCounts: [Int: Int] = [:]
    private var nextLane = 0
    private var isOpening = false
    private var lanesEnded = false
    private var ready: [[(Position, Item)]]
    private var turns: [Turn]
    private var underWay = 0
    private var failure: (any Error)?

    /// - Parameters:
    ///   - limit: items under way at most, at least 2.
    ///   - lanes: lanes open at a time at most, at least 1.
    ///   - openLane: gives lane 0, 1, …; nil after the last one. Called by one thread at a time.
    ///   - isStopped: asked before each piece of work; where it says yes, `run` throws `EngineError.stopped`.
    init(
        steps: [Step], limit: Int, lanes: Int = .max, isStopped: @escaping () -> Bool = { false },
        openLane: @escaping (Int) throws -> Lane?
    ) {
        self.steps = steps
        self.limit = max(2, limit)
        mostLanes = max(1, lanes)
        self.isStopped = isStopped
        self.openLane = openLane
        ready = Array(repeating: [], count: steps.count)
        turns = Array(repeating: Turn(), count: steps.count)
    }

    /// Runs until every item has passed every step, or something throws: then no further step begins, and the first
    /// error is thrown when the running ones have ended.
    func run(on pool: WorkerPool) throws {
        pool.run(pool.width) { _ in work(lookahead: min(pool.width, mostLanes)) }
        if let failure { throw failure }
    }

    private enum Work {
        case step(Int, Position, Item)
        case read(Int)
        case open
    }

    private func work(lookahead: Int) {
        monitor.lock()
        defer { monitor.unlock() }
        while true {
            if failure != nil { return }
            if isStopped() {
                fail(EngineError.stopped)
                return
            }
            guard let work = nextWork(lookahead: lookahead) else {
                if lanesEnded, lanes.isEmpty, underWay == 0 {
                    monitor.wakeAll()
                    return
                }
                monitor.wait()
                continue
            }
            do {
                switch work {
                case .step(let number, let position, let item): try perform(number, position, item)
                case .read(let lane): try read(lane)
                case .open: try open()
                }
            } catch {
                fail(error)
                return
            }
        }
    }

    private func fail(_ error: any Error) {
        if failure == nil { failure = error }
        monitor.wakeAll()
    }

    /// Work nearest to the end first, so that items leave before new ones come.
    private func nextWork(lookahead: Int) -> Work? {
        for number in steps.indices.reversed() {
            switch steps[number] {
            case .parallel:
                if !ready[number].isEmpty {
                    let (position, item) = ready[number].removeFirst()
                    return .step(number, position, item)
                }
            case .ordered:
                guard !turns[number].isBusy else { continue }
                skipEndedLanes(number)
                let position = turns[number].next
                if let item = turns[number].waiting.removeValue(forKey: position) {
                    turns[number].isBusy = true
                    return .step(number, position, item)
                }
            }
        }
        guard underWay < limit else { return nil }
        let mayRunAhead = underWay < limit / 2
        if let index = lanes.indices.first(where: { !lanes[$0].isBusy }), index == 0 || mayRunAhead {
            lanes[index].isBusy = true
            return .read(lanes[index].number)
        }
        if !lanesEnded, !isOpening, lanes.isEmpty || (mayRunAhead && lanes.count < lookahead) {
            isOpening = true
            return .open
        }
        return nil
    }

    private func skipEndedLanes(_ step: Int) {
        while let count = laneCounts[turns[step].next.lane], turns[step].next.index == count {
            turns[step].next = Position(lane: turns[step].next.lane + 1, index: 0)
        }
    }

    private func unlocked<R>(_ body: () throws -> R) rethrows -> R {
        monitor.unlock()
        defer { monitor.lock() }
        return try body()
    }

    private func open() throws {
        let number = nextLane
        let lane = try unlocked { try openLane(number) }
        isOpening = false
        if let lane {
            nextLane += 1
            lanes.append(LaneState(number: number, read: lane))
        } else {
            lanesEnded = true
        }
        monitor.wakeAll()
    }

    private func read(_ number: Int) throws {
        guard let lane = lanes.first(where: { $0.number == number }) else { return }
        underWay += 1
        let item = try unlocked { try lane.read() }
        guard let index = lanes.firstIndex(where: { $0.number == number }) else { return }
        lanes[index].isBusy = false
        if let item {
            let position = Position(lane: number, index: lanes[index].count)
            lanes[index].count += 1
            pass(item, at: position, to: 0)
        } else {
            underWay -= 1
            laneCounts[number] = lanes[index].count
            lanes.remove(at: index)
        }
        monitor.wakeAll()
    }

    private func perform(_ number: Int, _ position: Position, _ item: Item) throws {
        switch steps[number] {
        case .parallel(let body):
            try unlocked { try body(item) }
        case .ordered(let body):
            try unlocked { try body(item) }
            turns[number].isBusy = false
            turns[number].next.index += 1
        }
        pass(item, at: position, to: number + 1)
        monitor.wakeAll()
    }

    private func pass(_ item: Item, at position: Position, to number: Int) {
        guard number < steps.count else {
            underWay -= 1
            return
        }
        switch steps[number] {
        case .parallel: ready[number].append((position, item))
        case .ordered: turns[number].waiting[position] = item
        }
    }
}
