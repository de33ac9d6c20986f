import SluiceCore
import SluiceIO

/// Moves items from the lanes of a source through steps, on all threads of a pool, in bounded memory.
///
/// A step is `parallel` (items in any order, several at a time), `ordered` (one item at a time, in the order of the lanes
/// and of the items within a lane), or `waiting` (the item waits for answers from outside; light threads wait with it, and
/// no thread of the pool does). Several lanes are read at a time, each by one thread at a time: so
/// files are read in parallel, but come out in order. At most `limit` items are under way; half of them are reserved
/// for the first lane, so lanes that run ahead can't block it. While light threads lack work, `extra` items more may be
/// under way.
///
/// Based on TBB's `parallel_pipeline` (Reed, «High-performance parallel patterns», 2007), with lanes added.
final class Conveyor<Item: AnyObject>: @unchecked Sendable {
    enum Step {
        case parallel((Item) throws -> Void)
        case ordered((Item) throws -> Void)
        /// Hands the item's calls to the threads and returns; the visit is ended when all have been answered, by any
        /// thread. If the pass fails or stops, the threads are told to abandon what they do, and the pass waits for them.
        case waiting(LightThreads, (Item, Visit) throws -> Void)

        fileprivate var threads: LightThreads? { if case .waiting(let threads, _) = self { threads } else { nil } }
    }

    /// An item in a waiting step.
    struct Visit: @unchecked Sendable {
        // @unchecked: the conveyor is thread-safe, and the item has no other user during the visit.
        fileprivate let conveyor: Conveyor
        fileprivate let step: Int
        fileprivate let position: Position
        let item: Item

        /// Ends the visit. Call it once, or not at all if the threads have been abandoned.
        func end(_ result: Result<Void, any Error> = .success(())) { conveyor.end(self, result) }
    }

    /// The result of reading a lane.
    enum Reading {
        case item(Item)
        case end
        /// The next item needs more memory than a lane that runs ahead may take, or more than is available until an
        /// item leaves. The lane is read again when it is the first one and another item has left.
        case waiting
    }

    /// Reads one lane; `isFirst` states whether it is the first unfinished lane.
    typealias Lane = (_ isFirst: Bool) throws -> Reading

    /// The source of items.
    struct Source {
        /// Returns lane 0, 1, …; nil after the last one. Called by one thread at a time.
        let open: (Int) throws -> Lane?
        /// Does a piece of work that the lanes will need. Called by idle threads; false if there is none.
        var assist: () -> Bool = { false }
    }

    // All `var`s are only accessed with `monitor` locked.
    private let monitor = Monitor()
    private let steps: [Step]
    private let source: Source
    private let limit: Int
    private let extra: Int
    /// The threads of the waiting steps.
    private let threads: [LightThreads]
    private let mostLanes: Int
    private let isStopped: () -> Bool

    fileprivate struct Position: Hashable {
        var lane: Int
        var index: Int
    }

    private struct LaneState {
        let number: Int
        let read: Lane
        var isBusy = false
        var count = 0
        /// Set while the lane waits: the number of items that had left when it was last read, -1 if it wasn't first
        /// then.
        var waitsSince: Int?
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
    /// Items that have passed every step.
    private var left = 0
    /// Counts events that may give a thread something to do.
    private var changes = 0
    private var failure: (any Error)?

    /// - Parameters:
    ///   - limit: the most items under way, at least 2.
    ///   - extra: how many more there may be while the threads of a waiting step lack work.
    ///   - lanes: the most lanes open at a time, at least 1.
    ///   - isStopped: called before each piece of work; if it returns true, `run` throws `EngineError.stopped`.
    init(
        steps: [Step], limit: Int, extra: Int = 0, lanes: Int = .max, isStopped: @escaping () -> Bool = { false },
        source: Source
    ) {
        self.steps = steps
        threads = steps.compactMap(\.threads)
        self.limit = max(2, limit)
        self.extra = max(0, extra)
        mostLanes = max(1, lanes)
        self.isStopped = isStopped
        self.source = source
        ready = Array(repeating: [], count: steps.count)
        turns = Array(repeating: Turn(), count: steps.count)
    }

    /// A conveyor whose lanes never wait.
    ///
    /// - Parameter openLane: returns lane 0, 1, …, which returns its items and nil at its end; nil after the last lane.
    convenience init(
        steps: [Step], limit: Int, extra: Int = 0, lanes: Int = .max, isStopped: @escaping () -> Bool = { false },
        openLane: @escaping (Int) throws -> (() throws -> Item?)?
    ) {
        self.init(
            steps: steps, limit: limit, extra: extra, lanes: lanes, isStopped: isStopped,
            source: Source { number in
                try openLane(number).map { read in { _ in try read().map { .item($0) } ?? .end } }
            })
    }

    /// Runs until every item has passed every step, or an error occurs: then no further step starts, and the first
    /// error is thrown once the running ones have ended.
    func run(on pool: WorkerPool) throws {
        for thread in threads { thread.begin(whenLacking: { [weak self] in self?.noteChange() }) }
        pool.run(pool.width) { _ in work(lookahead: min(pool.width, mostLanes)) }
        for thread in threads { thread.end() }
        if let failure { throw failure }
    }

    private enum Work {
        case step(Int, Position, Item)
        case read(Int, isFirst: Bool)
        case open
    }

    private func work(lookahead: Int) {
        monitor.lock()
        defer { monitor.unlock() }
        /// The value of `changes` when there was nothing to assist with.
        var triedAt = -1
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
                let now = changes
                if triedAt == now {
                    // Threads that wait for answers change nothing for long, and a stop must be seen meanwhile.
                    if threads.isEmpty { monitor.wait() } else { monitor.wait(milliseconds: 100) }
                } else if !unlocked({ source.assist() }) {
                    triedAt = now
                }
                continue
            }
            do {
                switch work {
                case .step(let number, let position, let item): try perform(number, position, item)
                case .read(let lane, let isFirst): try read(lane, isFirst)
                case .open: try open()
                }
            } catch {
                // A stage whose blocks take long gives up when the run is stopped, with an error.
                fail(isStopped() ? EngineError.stopped : error)
                return
            }
        }
    }

    private func fail(_ error: any Error) {
        if failure == nil { failure = error }
        for thread in threads { thread.abandon() }
        monitor.wakeAll()
    }

    /// Something has changed that may give a thread something to do.
    private func noteChange() { monitor.locked { wakeAll() } }

    /// Prefers work nearest to the end, so that items leave before new ones arrive.
    private func nextWork(lookahead: Int) -> Work? {
        for number in steps.indices.reversed() {
            switch steps[number] {
            case .parallel, .waiting:
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
        guard underWay < limit || (underWay < limit + extra && threads.contains { $0.isLacking }) else { return nil }
        let mayRunAhead = underWay < limit / 2
        if let index = lanes.indices.first(where: { mayRead($0) }), index == 0 || mayRunAhead {
            lanes[index].isBusy = true
            return .read(lanes[index].number, isFirst: index == 0)
        }
        if !lanesEnded, !isOpening, lanes.isEmpty || (mayRunAhead && lanes.count < lookahead) {
            isOpening = true
            return .open
        }
        return nil
    }

    private func mayRead(_ index: Int) -> Bool {
        guard !lanes[index].isBusy else { return false }
        guard let since = lanes[index].waitsSince else { return true }
        return index == 0 && since != left
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
        let lane = try unlocked { try source.open(number) }
        isOpening = false
        if let lane {
            nextLane += 1
            lanes.append(LaneState(number: number, read: lane))
        } else {
            lanesEnded = true
        }
        wakeAll()
    }

    private func wakeAll() {
        changes += 1
        monitor.wakeAll()
    }

    private func read(_ number: Int, _ isFirst: Bool) throws {
        guard let lane = lanes.first(where: { $0.number == number }) else { return }
        underWay += 1
        let leftBefore = left
        let reading = try unlocked { try lane.read(isFirst) }
        guard let index = lanes.firstIndex(where: { $0.number == number }) else { return }
        lanes[index].isBusy = false
        lanes[index].waitsSince = nil
        switch reading {
        case .item(let item):
            let position = Position(lane: number, index: lanes[index].count)
            lanes[index].count += 1
            pass(item, at: position, to: 0)
        case .end:
            underWay -= 1
            laneCounts[number] = lanes[index].count
            lanes.remove(at: index)
        case .waiting:
            underWay -= 1
            lanes[index].waitsSince = isFirst ? leftBefore : -1
        }
        wakeAll()
    }

    private func perform(_ number: Int, _ position: Position, _ item: Item) throws {
        switch steps[number] {
        case .parallel(let body):
            try unlocked { try body(item) }
        case .ordered(let body):
            try unlocked { try body(item) }
            turns[number].isBusy = false
            turns[number].next.index += 1
        case .waiting(_, let body):
            let visit = Visit(conveyor: self, step: number, position: position, item: item)
            try unlocked { try body(item, visit) }
            return
        }
        pass(item, at: position, to: number + 1)
        wakeAll()
    }

    private func end(_ visit: Visit, _ result: Result<Void, any Error>) {
        monitor.lock()
        defer { monitor.unlock() }
        switch result {
        case .success:
            pass(visit.item, at: visit.position, to: visit.step + 1)
            wakeAll()
        case .failure(let error): fail(error)
        }
    }

    private func pass(_ item: Item, at position: Position, to number: Int) {
        guard number < steps.count else {
            underWay -= 1
            left += 1
            return
        }
        switch steps[number] {
        case .parallel, .waiting: ready[number].append((position, item))
        case .ordered: turns[number].waiting[position] = item
        }
    }
}
