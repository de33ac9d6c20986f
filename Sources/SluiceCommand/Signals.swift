import Glibc
import Synchronization

private let received = Atomic<Int32>(0)
/// The message for a run that could not end in order, ready to be written from a signal handler.
nonisolated(unsafe) private var lastWords: (bytes: UnsafeMutablePointer<CChar>, count: Int)?

/// SIGINT and SIGTERM: the run ends in order, and the message says what is left.
enum Signals {
    static let isStopped: @Sendable () -> Bool = { received.load(ordering: .relaxed) != 0 }

    /// 130 for SIGINT, 143 for SIGTERM.
    static var exitStatus: Int32 { 128 + max(SIGINT, received.load(ordering: .relaxed)) }

    static func install(directory: String) {
        for number in [SIGINT, SIGTERM] {
            signal(number) { number in
                // A second signal doesn't wait for anything.
                if received.exchange(number, ordering: .relaxed) != 0 { _exit(128 + number) }
                // A stage in the midst of a long piece of work, or a pipe that gives nothing, is not waited for: a run
                // may end at any instant, so nothing is lost by it.
                ualarm(700_000, 0)
            }
        }
        if let words = strdup("\nsluice: \(stopped(by: "a signal", directory))\n") { lastWords = (words, strlen(words)) }
        signal(SIGALRM) { _ in
            if let lastWords { _ = Glibc.write(2, lastWords.bytes, lastWords.count) }
            _exit(128 + received.load(ordering: .relaxed))
        }
        // Whoever started this process may have had them blocked, and children inherit that.
        var heard = sigset_t()
        sigemptyset(&heard)
        for number in [SIGINT, SIGTERM, SIGALRM] { sigaddset(&heard, number) }
        pthread_sigmask(SIG_UNBLOCK, &heard, nil)
        // A reader that went away is an error of the write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
    }

    static func message(_ directory: String) -> String {
        stopped(by: received.load(ordering: .relaxed) == SIGTERM ? "SIGTERM" : "SIGINT", directory)
    }

    private static func stopped(by what: String, _ directory: String) -> String {
        "stopped by \(what); the work so far is in \(directory); run the same command with --resume to go on"
    }
}
