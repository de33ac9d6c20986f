import Glibc

/// The server of `server.py`, in a process of its own on this machine, until this object goes.
public final class FaultServer: @unchecked Sendable {
    // @unchecked: nothing changes after `init`.

    public let port: UInt16
    private let process: pid_t
    private let channel: Int32

    /// What came under a name.
    public struct Counts: Sendable {
        private let json: String
        fileprivate init(_ json: String) { self.json = json }

        /// A count, such as `requests`, `texts`, `served`, `most_in_flight`.
        public subscript(name: String) -> Int {
            guard let key = json.range(of: "\"\(name)\": ") else { return -1 }
            return Int(json[key.upperBound...].prefix { $0.isNumber }) ?? -1
        }

        /// Whether a text is part of the counts, such as a key that came with a request.
        public func mentions(_ text: String) -> Bool { json.contains(text) }
    }

    /// Starts it. Prints `skipped:` and returns nil where there is no Python.
    public static func start() -> FaultServer? {
        if let server = FaultServer() { return server }
        print("skipped: the server of faults needs python3")
        return nil
    }

    private init?() {
        let script = #filePath.split(separator: "/").dropLast().map { "/" + $0 }.joined() + "/server.py"
        guard let (process, channel) = Self.spawn(["python3", "-S", script]) else { return nil }
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while read(channel, &byte, 1) == 1, byte != 0x0A { line.append(byte) }
        guard let port = UInt16(String(decoding: line, as: UTF8.self)) else {
            Glibc.close(channel)
            var status: Int32 = 0
            waitpid(process, &status, 0)
            return nil
        }
        (self.process, self.channel, self.port) = (process, channel, port)
    }

    deinit {
        // The server ends with its input.
        Glibc.close(channel)
        var status: Int32 = 0
        waitpid(process, &status, 0)
    }

    /// The address under a name, with faults such as `429x1+slow20`.
    public func url(_ name: String, _ faults: String = "") -> String {
        "http://127.0.0.1:\(port)/\(name)\(faults.isEmpty ? "" : "/\(faults)")"
    }

    /// What came under a name so far.
    public func counts(_ name: String) -> Counts {
        Counts(get("/\(name)/stats"))
    }

    /// The vector of a text; see `server.py`.
    public static func vector(_ text: String, dimension: Int) -> [Float] {
        let state = text.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        return (0..<dimension).map { index in
            let mixed = (state ^ UInt64(index)) &* 0x9E37_79B9_7F4A_7C15
            return Float(Int(mixed >> 40) - (1 << 23)) / Float(1 << 23)
        }
    }

    /// The body of an answer, by a connection of its own.
    private func get(_ path: String) -> String {
        let connection = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { Glibc.close(connection) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = port.bigEndian
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(connection, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        let request = Array("GET \(path) HTTP/1.1\r\nHost: x\r\n\r\n".utf8)
        guard isConnected, send(connection, request, request.count, 0) == request.count else { return "" }
        shutdown(connection, Int32(SHUT_WR))
        var all: [UInt8] = []
        var bytes = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = recv(connection, &bytes, bytes.count, 0)
            guard count > 0 else { break }
            all += bytes[..<count]
        }
        let text = String(decoding: all, as: UTF8.self)
        return text.range(of: "\r\n\r\n").map { String(text[$0.upperBound...]) } ?? ""
    }

    /// Starts a program: its number, and what its input and output are connected to.
    private static func spawn(_ words: [String]) -> (pid_t, Int32)? {
        // Other programs that a test starts meanwhile must not keep it open.
        var ends = [Int32](repeating: 0, count: 2)
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            return nil
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var process: pid_t = 0
        let status = posix_spawnp(&process, words[0], &actions, nil, &arguments, environ)
        posix_spawn_file_actions_destroy(&actions)
        Glibc.close(ends[1])
        guard status == 0 else {
            Glibc.close(ends[0])
            return nil
        }
        return (process, ends[0])
    }
}

extension String {
    /// Where a text is first; nil if it is not.
    fileprivate func range(of text: String) -> Range<String.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
