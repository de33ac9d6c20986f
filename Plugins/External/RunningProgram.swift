import CProcess
import Glibc
import SluiceCore

/// A program that runs, and our ends of its pipes. Used by one thread at a time.
final class RunningProgram: @unchecked Sendable {
    // @unchecked: only the thread that has taken it from `Programs` uses it.
    /// Seconds that it has to end after its input, and then after SIGTERM.
    private static let patience = (orderly: 5.0, afterSignal: 1.0, whenStopped: 0.15)

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

    deinit { if !isEnded { end(.atOnce) } }

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
        guard waitid(P_PID, id_t(child.pid), &found, WEXITED | WNOHANG | WNOWAIT) == 0, found.si_signo == SIGCHLD
        else { return nil }
        let status = found._sifields._sigchld.si_status
        guard found.si_code != CLD_EXITED else { return "ended with exit status \(status)" }
        return "was ended by signal \(status) (\(String(cString: strsignal(status))))"
    }

    /// The same for a program that has closed its output: waits a moment for its end.
    func endingSoon() -> String? {
        let limit = monotonicSeconds() + Self.patience.afterSignal
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

    enum Manner {
        /// It gets to the end of its input, and may finish.
        case orderly
        /// The run stops.
        case stopped
        case atOnce
    }

    /// Ends its input, so that it may end while others are waited for.
    func closeInput() { close(&child.input) }

    /// Ends the program and all that it has started.
    ///
    /// - Returns: bytes that it wrote after its last answer; 0 unless it ends in an orderly manner.
    @discardableResult func end(_ manner: Manner) -> Int {
        guard !isEnded else { return 0 }
        isEnded = true
        notePeak()
        var extra = unread.count
        if manner == .orderly {
            close(&child.input)
            extra += drain(Self.patience.orderly)
        }
        if manner != .atOnce, ending == nil {
            kill(-child.group, SIGTERM)
            let patience = manner == .stopped ? Self.patience.whenStopped : Self.patience.afterSignal
            extra += drain(patience)
        }
        // The group is there as long as one of its processes has not been waited for.
        kill(-child.group, SIGKILL)
        // Not part of the group if it left that.
        if ending == nil { kill(child.pid, SIGKILL) }
        for pid in [child.pid, child.guard] where pid > 0 {
            while waitpid(pid, nil, 0) < 0 && errno == EINTR {}
        }
        readErrors()
        log.close()
        close(&child.input)
        close(&child.output)
        close(&child.error)
        close(&child.lifeline)
        return manner == .orderly ? extra : 0
    }

    /// Reads on until the program has ended, for so many seconds.
    ///
    /// - Returns: the bytes that came.
    private func drain(_ seconds: Double) -> Int {
        let limit = monotonicSeconds() + seconds
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

/// Seconds of a clock that only runs forward, for time limits.
func monotonicSeconds() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}
