import Glibc
import Synchronization

/// The output and exit status of a program that ended.
struct Outcome {
    /// The exit status; 128 plus the signal number if a signal ended the program.
    let status: Int32
    let output: [UInt8]
    let error: [UInt8]
    let seconds: Double

    var outputText: String { String(decoding: output, as: UTF8.self) }
    var errorText: String { String(decoding: error, as: UTF8.self) }
}

/// The program under test.
enum Program {
    /// `SLUICE_BINARY`, or the program built with these tests.
    static let path: String = {
        if let given = getenv("SLUICE_BINARY") { return String(cString: given) }
        return buildFolder + "/sluice"
    }()

    /// Whether it is known to be a release build.
    static var isRelease: Bool { path.contains("/release/") }

    /// The folder of the running test bundle.
    private static let buildFolder: String = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let own = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return own.lastIndex(of: "/").map { String(own[..<$0]) } ?? "."
    }()

    private static let counter = Atomic<Int>(0)

    /// A running program.
    final class Running {
        let pid: pid_t
        private let names: [String]
        private let began = Program.now()
        private var status: Int32?

        fileprivate init(pid: pid_t, names: [String]) {
            self.pid = pid
            self.names = names
        }

        deinit { for name in names { unlink(name) } }

        /// Waits until a condition holds or the program has ended, with a time limit.
        func wait(until isSo: () -> Bool) {
            let limit = Program.now() + 60
            while status == nil, !isSo(), Program.now() < limit {
                var code: Int32 = 0
                if waitpid(pid, &code, WNOHANG) == pid { status = code }
                usleep(500)
            }
        }

        func send(_ signal: Int32) { if status == nil { kill(pid, signal) } }

        /// - Parameter watch: called every few milliseconds with the number of the process while it runs.
        func end(watch: ((pid_t) -> Void)? = nil) throws -> Outcome {
            var code = status ?? 0
            while status == nil {
                let ended = waitpid(pid, &code, watch == nil ? 0 : WNOHANG)
                if ended == pid || ended < 0 && errno != EINTR { break }
                guard ended == 0 else { continue }
                watch?(pid)
                usleep(2000)
            }
            status = code
            let signal = code & 0x7F
            return Outcome(
                status: signal == 0 ? code >> 8 & 0xFF : 128 + signal, output: try readFile(names[1]),
                error: try readFile(names[2]), seconds: Program.now() - began)
        }
    }

    /// Runs a program to its end.
    ///
    /// - Parameters:
    ///   - folder: its working directory; by default the current one.
    ///   - input: its standard input.
    ///   - watch: called every few milliseconds with the number of the process while it runs.
    static func run(
        _ arguments: [String], program: String = path, in folder: String? = nil, input: [UInt8] = [],
        watch: ((pid_t) -> Void)? = nil
    ) throws -> Outcome {
        try start(arguments, program: program, in: folder, input: input).end(watch: watch)
    }

    /// Starts a program that receives all signals, even if the tests' parent blocks or ignores some.
    static func start(
        _ arguments: [String], program: String = path, in folder: String? = nil, input: [UInt8] = []
    ) throws -> Running {
        let number = counter.add(1, ordering: .relaxed).newValue
        let names = ["in", "out", "err"].map { "/tmp/sluice-command-\(getpid())-\(number).\($0)" }
        try writeFile(names[0], input)

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, names[0], O_RDONLY, 0)
        for stream in 1...2 {
            posix_spawn_file_actions_addopen(
                &actions, Int32(stream), names[stream], O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        for number in [SIGHUP, SIGINT, SIGTERM, SIGPIPE] { sigaddset(&signals, number) }
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        // POSIX can't spawn in another folder yet; a shell changes to it and replaces itself with the program.
        let inFolder = folder.map { ["/bin/sh", "-c", #"cd "$0" && exec "$@""#, $0] } ?? []
        let command = inFolder + [program] + arguments
        var words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        let status = posix_spawn(&pid, command[0], &actions, &attributes, &words, environ)
        guard status == 0 else {
            for name in names { unlink(name) }
            throw Failure("\(program) can't be started: \(String(cString: strerror(status)))")
        }
        return Running(pid: pid, names: names)
    }

    fileprivate static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}

struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

func readFile(_ path: String) throws -> [UInt8] {
    guard let file = fopen(path, "rb") else { throw Failure("\(path): \(String(cString: strerror(errno)))") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        guard count > 0 else { return bytes }
        bytes += buffer[..<count]
    }
}

func writeFile(_ path: String, _ bytes: [UInt8]) throws {
    guard let file = fopen(path, "wb") else { throw Failure("\(path): \(String(cString: strerror(errno)))") }
    defer { fclose(file) }
    guard fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw Failure("\(path) can't be written") }
}
