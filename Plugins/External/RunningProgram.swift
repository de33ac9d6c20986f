import CProcess
import Glibc
import SluiceCore

/// A program that runs, and our ends of its pipes. Used by one thread at a time.
final class RunningProgram: @unchecked Sendable {
    // @unchecked: only the thread that has taken it from `Programs` uses it.
    private var child: sluice_child
    let log: ErrorLog
    private let journal: StageJournal?
    /// What it called itself at the start.
    var title = ""
    /// The number of the next record that it gets.
    var next = 0
    /// Bytes of answers that have not been read as a line yet.
    let unread = ByteBuffer()
    private(set) var isEnded = false
    private var isInputClosed: Bool { child.input < 0 }

    /// - Throws: `StageError` of the option `command`.
    init(_ command: ProgramCommand, memory: Int, stage: String, _ journal: StageJournal?) throws(StageError) {
        child = try command.start(memory: memory)
        log = ErrorLog(stage: stage, journal: journal)
        self.journal = journal
        journal?.add(to: "programs_started")
    }

    deinit { bury() }

    // MARK: Pipes

    enum Transfer {
        case bytes(Int)
        /// Nothing can be moved now.
        case none
        /// The program has closed its end.
        case closed
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        guard !isInputClosed else { return .closed }
        let count = sluice_child_write(child.input, bytes.baseAddress, bytes.count)
        if count >= 0 { return .bytes(count) }
        if errno == EAGAIN || errno == EINTR { return .none }
        close(&child.input)
        return .closed
    }

    /// Reads answers, at most what there is room for.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer { Self.read(child.output, into: buffer) }

    private static func read(_ file: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        guard file >= 0 else { return .closed }
        let count = Glibc.read(file, buffer.baseAddress, buffer.count)
        if count > 0 { return .bytes(count) }
        return count == 0 || errno != EAGAIN && errno != EINTR ? .closed : .none
    }

    /// Takes what has been written to standard error.
    func readErrors() {
        withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 16) { buffer in
            // Bounded, so that a program that does nothing else does not keep its answers waiting.
            for _ in 0..<16 {
                switch Self.read(child.error, into: buffer) {
                case .bytes(let count): log.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                case .none: return
                case .closed: return close(&child.error)
                }
            }
        }
    }

    /// Waits until something can be moved, at most so many milliseconds.
    ///
    /// - Parameter writes: whether there is something to write.
    func wait(writes: Bool, milliseconds: Int32) {
        // A negative file is passed over.
        var files = [
            pollfd(fd: child.output, events: Int16(POLLIN), revents: 0),
            pollfd(fd: child.error, events: Int16(POLLIN), revents: 0),
            pollfd(fd: writes ? child.input : -1, events: Int16(POLLOUT), revents: 0),
        ]
        poll(&files, 3, milliseconds)
    }

    private func close(_ file: inout Int32) {
        if file >= 0 { _ = Glibc.close(file) }
        file = -1
    }

    // MARK: The end

    /// How it ended, in words, such as `ended with exit status 1`; nil if it runs.
    var ending: String? {
        var found = siginfo_t()
        // It stays a zombie, so that the number of its group is not given to another.
        guard waitid(P_PID, id_t(child.pid), &found, WEXITED | WNOHANG | WNOWAIT) == 0 else {
            // Where SIGCHLD is ignored, nothing is left of it.
            return errno == ECHILD ? "ended" : nil
        }
        guard found.si_signo == SIGCHLD else { return nil }
        let status = found._sifields._sigchld.si_status
        guard found.si_code != CLD_EXITED else { return "ended with exit status \(status)" }
        return "was ended by signal \(status) (\(String(cString: strsignal(status))))"
    }

    /// The same for a program that has closed its output: waits a moment for its end.
    func endingSoon() -> String? {
        let limit = monotonicSeconds() + 0.5
        while monotonicSeconds() < limit {
            readErrors()
            if let ending {
                readErrors()
                return ending
            }
            usleep(1000)
        }
        return nil
    }

    /// How long programs may take to end, in seconds: after the end of their input, and then after SIGTERM.
    struct Patience {
        let orderly: Double
        let afterSignal: Double

        /// At the end of a run.
        static let usual = Patience(orderly: 5, afterSignal: 1)
        /// After the start was tried.
        static let short = Patience(orderly: 1, afterSignal: 0.2)
        /// The run stops, or the program has failed.
        static let none = Patience(orderly: 0, afterSignal: 0.15)
    }

    /// Ends programs and all that they have started, all at a time.
    ///
    /// - Returns: bytes that they wrote after their last answers, if they had the time to end in order.
    @discardableResult static func end(_ programs: [RunningProgram], _ patience: Patience) -> Int {
        let programs = programs.filter { !$0.isEnded }
        for program in programs {
            program.notePeak()
            program.close(&program.child.input)
        }
        var extra = programs.reduce(0) { $0 + $1.unread.count }
        func wait(_ seconds: Double) -> Int {
            let limit = monotonicSeconds() + seconds
            return programs.reduce(0) { $0 + $1.drain(until: limit) }
        }
        if patience.orderly > 0 { extra += wait(patience.orderly) }
        for program in programs where program.ending == nil { kill(-program.child.group, SIGTERM) }
        if programs.contains(where: { $0.ending == nil }) { extra += wait(patience.afterSignal) }
        for program in programs { program.bury() }
        return patience.orderly > 0 ? extra : 0
    }

    /// Kills what is left.
    private func bury() {
        guard !isEnded else { return }
        isEnded = true
        // The group is there as long as one of its processes has not been waited for.
        kill(-child.group, SIGKILL)
        // It may have left the group.
        if ending == nil { kill(child.pid, SIGKILL) }
        var used = rusage()
        while wait4(child.pid, nil, 0, &used) < 0 && errno == EINTR {}
        journal?.add(used.milliseconds, to: "program_cpu_milliseconds")
        while child.guard > 0, waitpid(child.guard, nil, 0) < 0 && errno == EINTR {}
        readErrors()
        log.close()
        close(&child.input)
        close(&child.output)
        close(&child.error)
        close(&child.lifeline)
    }

    /// Reads on until the program has ended, or a moment has come.
    ///
    /// - Returns: the bytes that came.
    private func drain(until limit: Double) -> Int {
        var bytes = 0
        var isOpen = true
        withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 16) { buffer in
            while true {
                let hasEnded = ending != nil
                readErrors()
                // What it wrote before its end is in the pipe.
                reading: while isOpen {
                    switch read(into: buffer) {
                    case .bytes(let count): bytes += count
                    case .none: break reading
                    case .closed: isOpen = false
                    }
                }
                if hasEnded || monotonicSeconds() >= limit { return }
                // A closed pipe is always ready.
                if isOpen { wait(writes: false, milliseconds: 5) } else { usleep(1000) }
            }
        }
        return bytes
    }

    /// VmHWM, for run.json.
    private func notePeak() {
        guard let journal, let file = fopen("/proc/\(child.pid)/status", "r") else { return }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, 256, file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            guard text.hasPrefix("VmHWM:") else { continue }
            if let size = text.split(whereSeparator: { !$0.isNumber }).first.flatMap({ Int($0) }) {
                journal.raise("program_memory_peak", to: size << 10)
            }
            return
        }
    }
}

extension rusage {
    /// Time on processors.
    fileprivate var milliseconds: Int {
        [ru_utime, ru_stime].reduce(0) { $0 + 1000 * $1.tv_sec + Int($1.tv_usec) / 1000 }
    }
}

/// Seconds of a clock that only runs forward, for time limits.
func monotonicSeconds() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}
