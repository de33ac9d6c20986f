import SluiceIO

/// A pool of reusable objects, so that large buffers are allocated once rather than per block.
final class ObjectPool<Thing>: @unchecked Sendable {
    // @unchecked: `things` and `free` are only accessed with `monitor` locked.
    private let monitor = Monitor()
    private var things: [Thing] = []
    /// How many more objects may be made.
    private var free: Int
    private let make: () -> Thing

    /// - Parameter most: the most objects; `take` waits if all are in use.
    init(most: Int = .max, _ make: @escaping () -> Thing) {
        free = max(1, most)
        self.make = make
    }

    func take() -> Thing {
        let spare = monitor.locked { () -> Thing? in
            while things.isEmpty, free == 0 { monitor.wait() }
            if let thing = things.popLast() { return thing }
            free -= 1
            return nil
        }
        return spare ?? make()
    }

    func giveBack(_ thing: Thing) {
        monitor.locked {
            things.append(thing)
            if free == 0 { monitor.wakeAll() }
        }
    }

    func using<R>(_ body: (Thing) throws -> R) rethrows -> R {
        let thing = take()
        defer { giveBack(thing) }
        return try body(thing)
    }

    /// All objects not in use; the pool is empty afterwards.
    func takeAll() -> [Thing] {
        monitor.locked {
            defer { things = [] }
            return things
        }
    }
}
