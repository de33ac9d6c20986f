import Glibc

/// A thread of the system with a stack of a given size.
package struct NativeThread: @unchecked Sendable {
    // @unchecked: the handle never changes, and any thread may join.
    private final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    private let handle: pthread_t

    /// Starts the thread; nil if the system has none left.
    ///
    /// - Parameter stackBytes: its stack, of which only what is used takes memory.
    package init?(stackBytes: Int, _ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackBytes)
        let box = Unmanaged.passRetained(Box(body))
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            }, box.toOpaque())
        guard status == 0 else {
            box.release()
            return nil
        }
        handle = thread
    }

    /// Returns once the thread has ended. Call it once.
    package func join() { pthread_join(handle, nil) }
}
