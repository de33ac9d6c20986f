import Glibc
import Synchronization

private let received = Atomic<Int32>(0)

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
            }
        }
        // A reader that went away is an error of the write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
    }

    static func message(_ directory: String) -> String {
        "stopped by \(received.load(ordering: .relaxed) == SIGTERM ? "SIGTERM" : "SIGINT"); the work so far is in \(directory); run the same command with --resume to go on"
    }
}
