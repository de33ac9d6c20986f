import SluiceCore
import SluiceIO
import Synchronization

/// Threads for calls that wait for something outside: hundreds, each with a small stack, beside the workers of the pool.
///
/// They start one by one as there is work for them, and take it in the order in which it came. While they wait, the
/// pool's threads do everything else.
final class LightThreads: @unchecked Sendable {
    // @unchecked: all `var`s are only accessed with `monitor` locked.

    /// The most calls at a time.
    let width: Int
    private let stackBytes: Int
    private let monitor = Monitor()
    private var threads: [NativeThread] = []
    private var queue: [@Sendable () -> Void] = []
    /// The first entry of `queue` that has not been taken.
    private var next = 0
    private var idle = 0
    private var isEnding = false
    private var whenLacking: (@Sendable () -> Void)?
    private let abandoned = Atomic<Bool>(false)

    init(width: Int, stackBytes: Int) {
        self.width = max(1, width)
        self.stackBytes = stackBytes
    }

    /// Whether the work under way is no longer of use, since its pass has failed or stopped.
    var isAbandoned: Bool { abandoned.load(ordering: .relaxed) }

    /// Whether threads will soon have nothing to do: less than a quarter of them find a next call.
    var isLacking: Bool { monitor.locked { lacks } }

    private var waiting: Int { queue.count - next }
    private var lacks: Bool { waiting < (width + 3) / 4 }

    /// - Parameter whenLacking: called each time that the threads begin to lack work; from any of them.
    func begin(whenLacking: @escaping @Sendable () -> Void) { monitor.locked { self.whenLacking = whenLacking } }

    /// Adds calls, which start in this order as soon as fewer than `width` are running.
    ///
    /// - Throws: `EngineError` if the system has not even one thread for them.
    func add(_ calls: [@Sendable () -> Void]) throws(EngineError) {
        let hasThreads = monitor.locked {
            guard !isEnding, !isAbandoned else { return true }
            queue += calls
            for _ in 0..<min(calls.count, idle) { monitor.wakeOne() }
            // With fewer threads than requested only the speed changes.
            while threads.count < width, waiting > idle {
                guard let thread = NativeThread(stackBytes: stackBytes, { [self] in serve() }) else { break }
                threads.append(thread)
                // It takes one of the calls.
                idle += 1
            }
            return !threads.isEmpty || calls.isEmpty
        }
        guard hasThreads else { throw EngineError(.resources, "the system can't start a thread for a request") }
    }

    /// Drops the calls that have not started. Those under way end by themselves.
    func abandon() {
        abandoned.store(true, ordering: .relaxed)
        monitor.locked {
            queue = []
            next = 0
        }
    }

    /// Returns once all calls have ended, and all threads with them.
    func end() {
        let ending = monitor.locked {
            isEnding = true
            monitor.wakeAll()
            defer { threads = [] }
            return threads
        }
        for thread in ending { thread.join() }
    }

    private func serve() {
        monitor.lock()
        defer { monitor.unlock() }
        while true {
            guard waiting > 0 else {
                if isEnding { return }
                monitor.wait()
                continue
            }
            idle -= 1
            let (call, begins) = take()
            monitor.unlock()
            if begins { whenLacking?() }
            call()
            monitor.lock()
            idle += 1
        }
    }

    /// The next call, and whether this one makes the threads lack work.
    private func take() -> (call: @Sendable () -> Void, begins: Bool) {
        let before = lacks
        let call = queue[next]
        next += 1
        if next == queue.count {
            queue.removeAll(keepingCapacity: true)
            next = 0
        } else if next >= 1024 {
            queue.removeFirst(next)
            next = 0
        }
        return (call, lacks && !before)
    }
}
