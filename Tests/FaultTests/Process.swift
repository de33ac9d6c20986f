import Glibc
import SluiceIO
import Synchronization

/// A running program, with its standard error in a file.
final class Process {
    let pid: pid_t
    private let errorPath: String
    private let began = Process.now()
    private static let counter = Atomic<Int>(0)

    /// `SLUICE_BINARY`, or the program built with these tests.
    static let sluice: String = {
        if let given = getenv("SLUICE_BINARY") { return String(cString: given) }
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let own = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return Path.folder(of: own) + "/sluice"
    }()

    struct Outcome {
        /// The exit status; 128 plus the signal number if a signal ended the program.
        let status: Int32
        let error: String
        let seconds: Double
    }

    /// - Parameters:
    ///   - input: the descriptor of its standard input.
    ///   - output: the file for its standard output.
    init(
        _ arguments: [String], program: String = sluice, input: Int32? = nil, output: String = "/dev/null"
    ) throws {
        errorPath = "\(Workspace.base)/sluice-fault-\(getpid())-\(Self.counter.add(1, ordering: .relaxed).newValue).err"
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errorPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        // A test runner's threads block signals, and a child inherits that.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        // Reset signals that the tests' parent ignores, as in a background job.
        for number in [SIGHUP, SIGINT, SIGTERM] { sigaddset(&none, number) }
        posix_spawnattr_setsigdefault(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var child: pid_t = 0
        let status = posix_spawnp(&child, program, &actions, &attributes, &words, environ)
        guard status == 0 else {
            throw IOFailure(
                .cannotOpen, path: program, found: "it can't be started: \(String(cString: strerror(status)))")
        }
        pid = child
    }

    /// The exit status, once the process has ended and been waited for.
    private var code: Int32?

    /// Waits until a condition holds or the program has ended, at most a minute.
    func wait(until isSo: () -> Bool) {
        let limit = Self.now() + 60
        while code == nil, !isSo(), Self.now() < limit {
            var found: Int32 = 0
            if waitpid(pid, &found, WNOHANG) == pid { code = found }
            Self.sleep(0.0005)
        }
    }

    /// Waits until a signal would stop the program in order, or until it has ended.
    func waitUntilItHears(_ signal: Int32) {
        wait {
            let status = (try? FileSystem.local.contents(of: "/proc/\(pid)/status")) ?? []
            let name = "SigCgt:"
            let line = String(decoding: status, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix(name) }
            let caught = line.flatMap { UInt64($0.dropFirst(name.count).filter { !$0.isWhitespace }, radix: 16) } ?? 0
            return caught & 1 << UInt64(signal - 1) != 0
        }
    }

    func send(_ signal: Int32) { if code == nil { kill(pid, signal) } }

    func wait() throws -> Outcome {
        var code = self.code ?? 0
        if self.code == nil { while waitpid(pid, &code, 0) < 0, errno == EINTR {} }
        self.code = code
        let seconds = Self.now() - began
        let error = String(decoding: try FileSystem.local.contents(of: errorPath), as: UTF8.self)
        unlink(errorPath)
        let signal = code & 0x7F
        return Outcome(status: signal == 0 ? code >> 8 & 0xFF : 128 + signal, error: error, seconds: seconds)
    }

    static func run(_ arguments: [String], program: String = sluice) throws -> Outcome {
        try Process(arguments, program: program).wait()
    }

    static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    static func sleep(_ seconds: Double) { usleep(UInt32(max(0, seconds) * 1e6)) }
}
