import Glibc
import Synchronization

/// What a program left when it ended.
struct Outcome {
    /// The exit status; 128 and the number of the signal where one ended it.
    let status: Int32
    let output: [UInt8]
    let error: [UInt8]
    let seconds: Double

    var outputText: String { String(decoding: output, as: UTF8.self) }
    var errorText: String { String(decoding: error, as: UTF8.self) }
}

/// The program under test.
enum Program {
    /// `SLUICE_BINARY`, or the program that was built beside these tests.
    static let path: String = {
        if let given = getenv("SLUICE_BINARY") { return String(cString: given) }
        return buildFolder + "/sluice"
    }()

    /// Whether it is known to be a release build.
    static var isRelease: Bool { path.contains("/release/") }

    /// The folder that the running test bundle lies in.
    private static let buildFolder: String = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let own = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return own.lastIndex(of: "/").map { String(own[..<$0]) } ?? "."
    }()

    private static let counter = Atomic<Int>(0)

    /// Runs a program to its end.
    ///
    /// - Parameters:
    ///   - folder: its working directory, if not this one's.
    ///   - input: its standard input.
    static func run(
        _ arguments: [String], program: String = path, in folder: String? = nil, input: [UInt8] = []
    ) throws -> Outcome {
        let number = counter.add(1, ordering: .relaxed).newValue
        let names = ["in", "out", "err"].map { "/tmp/sluice-command-\(getpid())-\(number).\($0)" }
        defer { for name in names { unlink(name) } }
        try writeFile(names[0], input)

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, names[0], O_RDONLY, 0)
        for stream in 1...2 {
            posix_spawn_file_actions_addopen(
                &actions, Int32(stream), names[stream], O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        }

        // Spawning in another folder is no part of POSIX yet; a shell does it and gives its place to the program.
        let inFolder = folder.map { ["/bin/sh", "-c", #"cd "$0" && exec "$@""#, $0] } ?? []
        let command = inFolder + [program] + arguments
        var words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        let began = now()
        var pid: pid_t = 0
        let status = posix_spawn(&pid, command[0], &actions, nil, &words, environ)
        guard status == 0 else { throw Failure("\(program) can't be started: \(String(cString: strerror(status)))") }
        var code: Int32 = 0
        while waitpid(pid, &code, 0) < 0, errno == EINTR {}
        let signal = code & 0x7F
        return Outcome(
            status: signal == 0 ? code >> 8 & 0xFF : 128 + signal, output: try readFile(names[1]),
            error: try readFile(names[2]), seconds: now() - began)
    }

    private static func now() -> Double {
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
