import Glibc
import SluiceEngine
import Synchronization

/// The signal that counts, and when it came, in nanoseconds; 0 for none.
private let received = Atomic<Int32>(0)
private let receivedAt = Atomic<Int>(0)
/// Whether somebody says, or has said, how the run ended.
private let hasSpoken = Atomic<Bool>(false)
/// What a signal handler may need, ready made: it may not allocate memory.
nonisolated(unsafe) private var lastWords: LastWords?

/// SIGINT, SIGTERM and SIGHUP: the run ends in order, and the message says what is left.
///
/// The first signal counts. Programs such as `timeout`, and terminals, signal a process and its group within
/// microseconds, so others that follow closely are part of it; a later one ends the process at once. However it ends,
/// the last words are said once, before.
enum Signals {
    /// Signals that come within so many nanoseconds are one.
    private static let together = 300_000_000
    /// Microseconds that a run has to end in order.
    private static let patience: UInt32 = 700_000

    static let isStopped: @Sendable () -> Bool = { received.load(ordering: .relaxed) != 0 }

    /// 129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM.
    static var exitStatus: Int32 { 128 + max(1, received.load(ordering: .relaxed)) }

    /// - Parameter words: what to say where the run could not end in order.
    static func install(_ words: LastWords) {
        lastWords = words
        var heard = sigset_t()
        sigemptyset(&heard)
        // One after the other, in the order that they came in.
        for number in [SIGALRM, SIGHUP, SIGINT, SIGTERM] { sigaddset(&heard, number) }
        handle(SIGALRM, heard) { _ in Signals.leave() }
        for number in [SIGHUP, SIGINT, SIGTERM] {
            // What whoever started the process wants ignored stays so: nohup, a job in the background.
            var before = sigaction()
            guard sigaction(number, nil, &before) == 0, !before.isIgnored else { continue }
            handle(number, heard) { Signals.hear($0) }
        }
        // Whoever started this process may have had them blocked, and children inherit that.
        pthread_sigmask(SIG_UNBLOCK, &heard, nil)
        // A reader that went away is an error of the write, not the end of the process.
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

    /// From here on the caller says how it ended, and no signal ends the process before that.
    static func settle() {
        hasSpoken.store(true, ordering: .relaxed)
        ualarm(0, 0)
    }

    /// What to say of a run that ended in order.
    static func message(_ error: EngineError, otherwise: String = LastWords.nothingKept) -> String {
        let name =
            switch received.load(ordering: .relaxed) {
            case SIGTERM: "SIGTERM"
            case SIGHUP: "SIGHUP"
            default: "SIGINT"
            }
        guard error.kept != nil else { return LastWords.stopped(by: name) + otherwise }
        return Words.error(error.saying(LastWords.stopped(by: name)))
    }

    // MARK: In a signal handler, where only a few calls are allowed

    private static func hear(_ number: Int32) {
        let now = nanoseconds()
        let (isFirst, before) = receivedAt.compareExchange(expected: 0, desired: now, ordering: .relaxed)
        if isFirst {
            received.store(number, ordering: .relaxed)
            // A stage in the midst of a long piece of work, or a pipe that gives nothing, is not waited for: a run may
            // end at any instant, so nothing is lost by it.
            ualarm(patience, 0)
        } else if now - before > together {
            leave()
        }
    }

    private static func leave() {
        // Whoever is speaking already ends the process in a moment.
        if hasSpoken.exchange(true, ordering: .relaxed) { return }
        lastWords?.speak()
        _exit(exitStatus)
    }

    private static func nanoseconds() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return max(1, time.tv_sec * 1_000_000_000 + time.tv_nsec)
    }
}

/// Last words for a run that could not end in order.
struct LastWords {
    private let ifKept: UnsafeMutablePointer<CChar>?
    private let otherwise: UnsafeMutablePointer<CChar>?
    /// Where one of these files stands, the run can go on.
    private let files: [UnsafeMutablePointer<CChar>?]

    static let nothingKept = " before anything was kept; the same command, with or without --resume, starts over"

    static func stopped(by what: String) -> String { "stopped by \(what)" }

    /// - Parameters:
    ///   - directory: the output directory, where a stopped run leaves work to go on with; nil where it leaves none.
    ///   - otherwise: what to say where nothing is left.
    init(directory: String?, otherwise: String = nothingKept) {
        let words = Self.stopped(by: "a signal")
        self.otherwise = strdup("\nsluice: \(words)\(otherwise)\n")
        ifKept = directory.flatMap {
            strdup("\nsluice: \(words). The work so far is in \($0); --resume goes on with it.\n")
        }
        files = directory.map { directory in RunDirectory.keptWork(in: directory).map { strdup($0) } } ?? []
    }

    /// Safe in a signal handler.
    func speak() {
        let isKept = ifKept != nil && files.contains { $0.map { access($0, F_OK) == 0 } ?? false }
        guard let words = isKept ? ifKept : otherwise else { return }
        _ = Glibc.write(2, words, strlen(words))
    }
}

extension sigaction {
    fileprivate var isIgnored: Bool {
        unsafeBitCast(__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
    }
}
