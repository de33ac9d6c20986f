import Glibc
import SluiceEngine
import Synchronization

/// The first signal and its time in nanoseconds; 0 if there was none.
private let received = Atomic<Int32>(0)
private let receivedAt = Atomic<Int>(0)
/// Whether a message about the end of the run has been or is being printed.
private let hasSpoken = Atomic<Bool>(false)
/// Prepared for the signal handler, which must not allocate memory.
nonisolated(unsafe) private var lastWords: LastWords?

/// Handles SIGINT, SIGTERM and SIGHUP: the run stops in order, and a message says whether it can be resumed.
///
/// The first signal counts. Terminals and programs such as `timeout` signal a process and its group within
/// microseconds, so signals that follow closely count as the same one; a later one ends the process at once. In either
/// case exactly one message is printed before the process ends.
enum Signals {
    /// Signals within this many nanoseconds count as one.
    private static let together = 300_000_000
    /// Microseconds that a run has to stop in order.
    private static let patience: UInt32 = 700_000

    static let isStopped: @Sendable () -> Bool = { received.load(ordering: .relaxed) != 0 }

    /// 129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM.
    static var exitStatus: Int32 { 128 + max(1, received.load(ordering: .relaxed)) }

    /// - Parameter words: the message for a run that does not stop in order.
    static func install(_ words: LastWords) {
        lastWords = words
        var heard = sigset_t()
        sigemptyset(&heard)
        // No handler interrupts another.
        for number in [SIGALRM, SIGHUP, SIGINT, SIGTERM] { sigaddset(&heard, number) }
        handle(SIGALRM, heard) { _ in Signals.leave() }
        for number in [SIGHUP, SIGINT, SIGTERM] {
            // Signals that the parent process ignores stay ignored: nohup, background jobs.
            var before = sigaction()
            guard sigaction(number, nil, &before) == 0, !before.isIgnored else { continue }
            handle(number, heard) { Signals.hear($0) }
        }
        // The parent process may have blocked them, and children inherit that.
        pthread_sigmask(SIG_UNBLOCK, &heard, nil)
        // Writing to a closed pipe is an error of that write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
    }

    private static func handle(
        _ number: Int32, _ blocked: sigset_t, _ handler: @escaping @convention(c) (Int32) -> Void
    ) {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = handler
        action.sa_mask = blocked
        action.sa_flags = SA_RESTART
        sigaction(number, &action, nil)
    }

    /// From here on the caller prints how the run ended, and no signal ends the process before that.
    static func settle() {
        hasSpoken.store(true, ordering: .relaxed)
        ualarm(0, 0)
    }

    /// Leaves signals to the system, which ends the process: for work after the run, which loses nothing.
    ///
    /// - Throws: `CommandFailure` if there was a signal before.
    static func release(_ directory: String) throws(CommandFailure) {
        for number in [SIGHUP, SIGINT, SIGTERM] {
            var handler = sigaction()
            if sigaction(number, nil, &handler) == 0, !handler.isIgnored { signal(number, SIG_DFL) }
        }
        guard isStopped() else { return }
        throw CommandFailure(
            status: exitStatus,
            message: "stopped after the run; \(directory) is complete, but standard output has no records")
    }

    static func name(_ signal: Int32) -> String {
        switch signal {
        case SIGTERM: "SIGTERM"
        case SIGHUP: "SIGHUP"
        default: "SIGINT"
        }
    }

    /// The message for a run that stopped in order.
    static func message(_ error: EngineError, otherwise: String = LastWords.nothingKept) -> String {
        let name = name(received.load(ordering: .relaxed))
        guard error.kept != nil else { return LastWords.stopped(by: name) + otherwise }
        return Words.error(error.saying(LastWords.stopped(by: name)))
    }

    // MARK: In a signal handler, where only a few calls are allowed

    private static func hear(_ number: Int32) {
        let now = nanoseconds()
        let (isFirst, before) = receivedAt.compareExchange(expected: 0, desired: now, ordering: .relaxed)
        if isFirst {
            received.store(number, ordering: .relaxed)
            // Don't wait for a stage that computes for long or for an idle pipe. A run may end at any instant without
            // losing anything.
            ualarm(patience, 0)
        } else if now - before > together {
            leave()
        }
    }

    private static func leave() {
        // The thread that prints the message ends the process, too.
        if hasSpoken.exchange(true, ordering: .relaxed) { return }
        lastWords?.speak(of: received.load(ordering: .relaxed))
        _exit(exitStatus)
    }

    private static func nanoseconds() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return max(1, time.tv_sec * 1_000_000_000 + time.tv_nsec)
    }
}

/// The message for a run that did not stop in order.
struct LastWords {
    /// The message of each signal, if work was kept and otherwise.
    private let words: [(signal: Int32, ifKept: UnsafeMutablePointer<CChar>?, otherwise: UnsafeMutablePointer<CChar>?)]
    /// If one of these files exists, the run can be resumed.
    private let files: [UnsafeMutablePointer<CChar>?]

    static let nothingKept = " before anything was kept; the same command, with or without --resume, starts over"

    static func stopped(by what: String) -> String { "stopped by \(what)" }

    /// - Parameters:
    ///   - directory: the output directory, if a stopped run keeps work there; nil if it keeps none.
    ///   - otherwise: the message if no work was kept.
    init(directory: String?, otherwise: String = nothingKept) {
        words = [SIGINT, SIGTERM, SIGHUP].map { number in
            let words = Self.stopped(by: Signals.name(number))
            let ifKept = directory.flatMap {
                strdup("\nsluice: \(words). The work so far is in \($0); --resume continues it.\n")
            }
            return (number, ifKept, strdup("\nsluice: \(words)\(otherwise)\n"))
        }
        files = directory.map { directory in RunDirectory.keptWork(in: directory).map { strdup($0) } } ?? []
    }

    /// Safe in a signal handler.
    func speak(of signal: Int32) {
        guard let words = words.first(where: { $0.signal == signal }) ?? words.first else { return }
        let isKept = words.ifKept != nil && files.contains { $0.map { access($0, F_OK) == 0 } ?? false }
        guard let text = isKept ? words.ifKept : words.otherwise else { return }
        _ = Glibc.write(2, text, strlen(text))
    }
}

extension sigaction {
    fileprivate var isIgnored: Bool {
        unsafeBitCast(__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
    }
}
