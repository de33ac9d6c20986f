import Glibc
package import SluiceCore
import SluiceIO
import Synchronization

/// A fixed number of threads that share numbered pieces of work.
///
/// Uses threads, not Swift tasks: `--threads` must be exact, and reading and writing block. The calling thread takes
/// part in the work, so a pool of one thread starts none, and work may start further work.
package final class WorkerPool: @unchecked Sendable {
    // @unchecked: `jobs`, `stopping` and `threads` are only accessed with `monitor` locked.
    private final class Job: @unchecked Sendable {
        let pieces: Int
        let body: UnsafePointer<(Int) -> Void>
        let next = Atomic<Int>(0)
        /// Threads working on this job other than its owner; guarded by the pool's monitor.
        var helpers = 0

        init(pieces: Int, body: UnsafePointer<(Int) -> Void>) {
            self.pieces = pieces
            self.body = body
        }

        func work() {
            while true {
                let piece = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard piece < pieces else { return }
                body.pointee(piece)
            }
        }

        var isTaken: Bool { next.load(ordering: .relaxed) >= pieces }
    }

    package let width: Int
    private let monitor = Monitor()
    private var jobs: [Job] = []
    private var stopping = false
    private var threads: [pthread_t] = []

    package init(threads width: Int) {
        self.width = max(1, width)
        for _ in 1..<max(1, self.width) {
            var thread = pthread_t()
            let this = Unmanaged.passRetained(self)
            var attributes = pthread_attr_t()
            pthread_attr_init(&attributes)
            pthread_attr_setstacksize(&attributes, 2 << 20)
            let status = pthread_create(
                &thread, &attributes,
                { argument in
                    guard let argument else { return nil }
                    Unmanaged<WorkerPool>.fromOpaque(argument).takeRetainedValue().serve()
                    return nil
                }, this.toOpaque())
            pthread_attr_destroy(&attributes)
            // With fewer threads than requested only the speed changes.
            if status == 0 { threads.append(thread) } else { this.release() }
        }
    }

    /// Ends the threads; afterwards the pool uses only the calling thread.
    package func stop() {
        let ending = monitor.locked {
            stopping = true
            monitor.wakeAll()
            defer { threads = [] }
            return threads
        }
        for thread in ending { pthread_join(thread, nil) }
    }

    package var parallel: Parallel {
        Parallel(width: width) { [self] pieces, body in run(pieces, body) }
    }

    package func run(_ pieces: Int, _ body: (Int) -> Void) {
        guard pieces > 1, width > 1 else {
            for piece in 0..<max(0, pieces) { body(piece) }
            return
        }
        withoutActuallyEscaping(body) { escaping in
            withUnsafePointer(to: escaping) { pointer in
                let job = Job(pieces: pieces, body: pointer)
                monitor.locked {
                    jobs.append(job)
                    monitor.wakeAll()
                }
                job.work()
                monitor.locked {
                    jobs.removeAll { $0 === job }
                    while job.helpers > 0 { monitor.wait() }
                }
            }
        }
    }

    private func serve() {
        monitor.lock()
        defer { monitor.unlock() }
        while !stopping {
            guard let job = jobs.last(where: { !$0.isTaken }) else {
                monitor.wait()
                continue
            }
            job.helpers += 1
            monitor.unlock()
            job.work()
            monitor.lock()
            job.helpers -= 1
            if job.helpers == 0 { monitor.wakeAll() }
        }
    }
}
