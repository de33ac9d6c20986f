import Glibc
import SluiceIO
import Synchronization

/// A server on this machine that answers questions, each a line, some time after it came, and counts them.
///
/// One thread serves any number of connections. An answer is `<question's bytes reversed>`; the time that it takes may
/// depend on the question.
final class AnswerServer: @unchecked Sendable {
    // @unchecked: `counts` is thread-safe, and all other state belongs to the serving thread.

    struct Counts {
        /// How often each question came.
        var asked: [String: Int] = [:]
        /// How often an answer was sent whole.
        var answered: [String: Int] = [:]
        var inFlight = 0
        var mostInFlight = 0
        var firstAt = 0.0
        var lastAt = 0.0
    }

    let port: UInt16
    private let listener: Int32
    private let delay: @Sendable (String) -> Int
    private let state = Mutex(Counts())
    private let isClosing = Atomic<Bool>(false)
    private var thread: NativeThread?
    private var buffers: [Int32: [UInt8]] = [:]
    private var due: [(at: Double, connection: Int32, question: String)] = []

    /// - Parameter delay: how long a question takes, in milliseconds.
    init(delay: @escaping @Sendable (String) -> Int) throws {
        self.delay = delay
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = self.listener
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(listener, pointer, length) == 0 && listen(listener, 1024) == 0
                    && getsockname(listener, pointer, &length) == 0
            }
        }
        guard isBound else { throw IOFailure(.cannotOpen, path: "the test's server", found: "error \(errno)") }
        port = UInt16(bigEndian: address.sin_port)
        thread = NativeThread(stackBytes: 1 << 20) { [self] in serve() }
    }

    /// Ends the server and its connections.
    func close() {
        isClosing.store(true, ordering: .releasing)
        thread?.join()
        thread = nil
        for connection in buffers.keys { Glibc.close(connection) }
        Glibc.close(listener)
    }

    var counts: Counts { state.withLock { $0 } }

    static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private func serve() {
        while !isClosing.load(ordering: .acquiring) {
            var polled = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
            polled += buffers.keys.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            let wait = due.first.map { max(0, Int32(($0.at - Self.now()) * 1000)) } ?? 20
            guard poll(&polled, nfds_t(polled.count), min(wait, 20)) >= 0 else { continue }
            for entry in polled where entry.revents != 0 {
                if entry.fd == listener {
                    let connection = accept(listener, nil, nil)
                    if connection >= 0 { buffers[connection] = [] }
                } else {
                    receive(entry.fd)
                }
            }
            answer()
        }
    }

    private func receive(_ connection: Int32) {
        var bytes = [UInt8](repeating: 0, count: 65536)
        let count = recv(connection, &bytes, bytes.count, 0)
        guard count > 0 else {
            buffers[connection] = nil
            let gone = due.count { $0.connection == connection }
            due.removeAll { $0.connection == connection }
            state.withLock { $0.inFlight -= gone }
            Glibc.close(connection)
            return
        }
        var all = (buffers[connection] ?? []) + bytes[..<count]
        while let end = all.firstIndex(of: 0x0A) {
            let question = String(decoding: all[..<end], as: UTF8.self)
            all.removeSubrange(...end)
            let at = Self.now() + Double(delay(question)) / 1000
            due.insert((at, connection, question), at: due.firstIndex { $0.at > at } ?? due.count)
            state.withLock { state in
                state.asked[question, default: 0] += 1
                state.inFlight += 1
                state.mostInFlight = max(state.mostInFlight, state.inFlight)
                if state.firstAt == 0 { state.firstAt = Self.now() }
            }
        }
        buffers[connection] = all
    }

    private func answer() {
        while let next = due.first, next.at <= Self.now() {
            due.removeFirst()
            let bytes = Array(next.question.utf8.reversed()) + [0x0A]
            let isSent = send(next.connection, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
            state.withLock { state in
                state.inFlight -= 1
                state.lastAt = Self.now()
                if isSent { state.answered[next.question, default: 0] += 1 }
            }
        }
    }
}

/// A connection to the server: one question at a time.
final class AnswerClient {
    private let connection: Int32

    init?(port: UInt16) {
        connection = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = port.bigEndian
        let connection = self.connection
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(connection, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else {
            Glibc.close(connection)
            return nil
        }
    }

    /// - Parameter isStopped: asked from time to time; if it returns true, the question is given up.
    func ask(_ question: [UInt8], isStopped: () -> Bool) -> [UInt8]? {
        let line = question + [0x0A]
        guard send(connection, line, line.count, Int32(MSG_NOSIGNAL)) == line.count else { return nil }
        var answer: [UInt8] = []
        while answer.last != 0x0A {
            if isStopped() { return nil }
            var state = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
            guard poll(&state, 1, 20) > 0 else { continue }
            var bytes = [UInt8](repeating: 0, count: 4096)
            let count = recv(connection, &bytes, bytes.count, 0)
            guard count > 0 else { return nil }
            answer += bytes[..<count]
        }
        return answer.dropLast()
    }

    func close() { Glibc.close(connection) }
}
