import Glibc
public import SluiceCore
import Synchronization

extension Parallel {
    /// Runs pieces on `width` threads, the calling one included, in no fixed order.
    public static func threads(_ width: Int) -> Parallel {
        Parallel(width: width) { pieces, body in
            withoutActuallyEscaping(body) { body in
                let next = Counter()
                let work: @Sendable () -> Void = {
                    while true {
                        let piece = next.take()
                        guard piece < pieces else { return }
                        body(piece)
                        // Yields to the other threads, so that a few short pieces don't all run on one thread.
                        sched_yield()
                    }
                }
                let others = (0..<(min(width, pieces) - 1)).map { _ in Thread(work) }
                work()
                for other in others { other.join() }
            }
        }
    }

    private final class Counter: Sendable {
        private let value = Atomic<Int>(0)

        func take() -> Int { value.wrappingAdd(1, ordering: .relaxed).oldValue }
    }

    private struct Thread {
        private final class Box: Sendable {
            let work: @Sendable () -> Void
            init(_ work: @escaping @Sendable () -> Void) { self.work = work }
        }

        private let thread: pthread_t

        init(_ work: @escaping @Sendable () -> Void) {
            var thread = pthread_t()
            let status = pthread_create(
                &thread, nil,
                { argument in
                    if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().work() }
                    return nil
                }, Unmanaged.passRetained(Box(work)).toOpaque())
            precondition(status == 0, "a thread can't be started (error \(status))")
            self.thread = thread
        }

        func join() { pthread_join(thread, nil) }
    }
}
